"""Plots: drawn on axes, given or new, or saved as an SVG, PNG or PDF by the file's ending."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prillm_or.errors import ArgumentError, PrillmError, argument
from prillm_or.output.canvas import finished, need_pictures, new_axes, shown_axes
from prillm_or.output.saving import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 3.8
"""Inches of a plot that has no rows of names."""

_WIDE = 7.2
_FORMS: dict[str, Literal["svg", "png", "pdf"]] = {".svg": "svg", ".png": "png", ".pdf": "pdf"}

ENDINGS = tuple(_FORMS)


def on_axes(ax: Axes | None, draw: Callable[[Axes], object], height: float = HEIGHT) -> Axes:
    """Draw on the axes and return them; where there are none on new ones, of this height in inches, with a legend.

    Raises
    ------
    ArgumentError
        When they are no axes of matplotlib.
    """
    if ax is not None:
        need_pictures("plots")
        from matplotlib.axes import Axes

        if not isinstance(ax, Axes):
            raise ArgumentError(f"{argument('ax')}: expected axes of matplotlib, got {type(ax).__name__}")
        draw(ax)
        return ax
    with shown_axes(_WIDE, height) as axes:
        draw(axes)
    return axes


def save_plot(path: Path, draw: Callable[[Axes], object], height: float = HEIGHT) -> None:
    """Draw on new axes, with the legend below, and write the file whole or not at all; the same plot, the same bytes.

    Parameters
    ----------
    draw
        One of the plots with all but its axes given, as by `functools.partial`.
    height
        Of the figure without its legend, in inches; the plots with rows of names say what they need.

    Raises
    ------
    PrillmError
        When the name has another ending, or the file cannot be written.
    """
    form = next((form for ending, form in _FORMS.items() if path.name.endswith(ending)), None)
    if form is None:
        raise PrillmError(f"{path}: expected a file name that ends in {' or '.join(ENDINGS)}")
    with new_axes(_WIDE, height, "prillm-or") as axes:
        draw(axes)
        content = finished(axes, form)
    replace_file(path, content)
