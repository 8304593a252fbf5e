"""What an axes holds: bars, bands, labels; and markets with odd names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.markets import make_market
from prillm_or.market.market import Market, Units

ODD = ("$x$ <b>&amp;</b>", "通义千问-最大-预览版-二零二六", "a\nb_{c} \\alpha", "long " * 30, "$", "_^")
"""Names that are no formulas, however they look, and longer than any picture."""


def odd_market() -> Market:
    """A market of those names."""
    units = Units("$\\frac$", "<volume>", "s", "月")
    return make_market(user_ids=ODD, provider_ids=ODD, capacity=np.full(6, 5.0), units=units)


def labelled(axes: Axes, start: str) -> Any:
    """The one thing drawn whose label starts so."""
    handles, labels = axes.get_legend_handles_labels()
    (found,) = [handle for handle, label in zip(handles, labels, strict=True) if label.startswith(start)]
    return found


def rectangles(axes: Axes) -> list[Rectangle]:
    """The bars drawn."""
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def laid_out(axes: Axes) -> Figure:
    """The figure of the axes, every text in its place; machines differ in the letters that their fonts have."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    with without_glyphs():
        figure.draw_without_rendering()
    return figure


@contextmanager
def without_glyphs() -> Iterator[None]:
    """No warning of letters that the machine's fonts lack."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield
