"""Learning curves: losses of a training run over its epochs, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prillm_or.output.canvas import drawing

if TYPE_CHECKING:
    from prillm_or.abstraction.training.fit import Epoch

_WIDE = 5.8
"""Inches."""


def learning_picture(history: Sequence[Epoch], name: str) -> str:
    """Draw training and held-out losses, relative to the first held-out loss."""
    first, count = history[0].validation, range(1, len(history) + 1)
    with drawing(_WIDE, name) as (axes, done):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.plot(count, [e.training / first for e in history], linewidth=0.8, label="learned from")
        axes.plot(count, [e.validation / first for e in history], linewidth=2.0, label="held out")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss / first held-out loss")
    return done[0]
