"""Learning curves: losses of each part of a training run over its epochs, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from prillm_or.output.canvas import drawing

if TYPE_CHECKING:
    from prillm_or.abstraction.training.fit import Epoch

_WIDE = 5.8
"""Inches."""


def learning_picture(history: Mapping[str, Sequence[Epoch]], name: str) -> str:
    """Draw training (thin) and held-out (thick) losses of every part, relative to the part's first held-out loss."""
    with drawing(_WIDE, name) as (axes, done):
        axes.set_yscale("log")
        for index, (part, epochs) in enumerate(history.items()):
            first, colour, count = epochs[0].validation, f"C{index}", range(1, len(epochs) + 1)
            axes.plot(count, [e.training / first for e in epochs], color=colour, linewidth=0.8)
            axes.plot(count, [e.validation / first for e in epochs], color=colour, linewidth=2.0, label=part)
        axes.set_xlabel("epoch (thin: learned from, thick: held out)")
        axes.set_ylabel("loss / first held-out loss")
    return done[0]
