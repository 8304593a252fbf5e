"""Canvas: axes in the style of all our plots, and their picture as bytes or as an SVG to stand in a page."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from prillm_or.errors import need_packages
from prillm_or.output.look import wide_letters

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEIGHT, _LINE, _LETTERS = 3.1, 0.18, 12
_DPI = 200
_DATED = {
    "svg": ("Date", "Creator", "Format", "Type"),
    "png": ("Software",),
    "pdf": ("CreationDate", "Creator", "Producer"),
}
"""Fields that would differ from run to run, or say what nobody asks."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": ["sans-serif"],
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
}

_WIDE_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei"),
    *("PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
)
_SPARE = 0.5
"""How much wider than measured a wide letter may be, as a share of the font's size."""


@contextmanager
def drawing(width: float, name: str, height: float = _HEIGHT) -> Iterator[tuple[Axes, list[str]]]:
    """Give axes to draw on, sizes in inches; at the end the list holds the SVG, its ids preceded by `name`."""
    done: list[str] = []
    with new_axes(width, height, name) as axes:
        yield axes, done
        done.append(_inline(finished(axes, "svg").decode(), name))


def need_pictures(what: str) -> None:
    """Refuse to draw where matplotlib is not installed.

    Raises
    ------
    UnavailableError
        When it is not.
    """
    need_packages(what, "matplotlib", extra="plots")


@contextmanager
def new_axes(width: float, height: float, salt: str) -> Iterator[Axes]:
    """Give axes in our style, alone on a figure of this size in inches; `salt` decides the ids of an SVG."""
    need_pictures("pictures")
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_style() | {"svg.hashsalt": salt}):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(drawn)
        yield drawn.add_subplot()


@contextmanager
def shown_axes(width: float, height: float) -> Iterator[Axes]:
    """The same on a figure of pyplot's, which a notebook shows by itself; at the end the legend is put below."""
    need_pictures("pictures")
    import matplotlib.pyplot as plt

    with plt.rc_context(_style()):
        drawn, axes = plt.subplots(figsize=(width, height), layout="constrained")
        yield axes
        _put_legend_below(axes, drawn)


def finished(axes: Axes, form: Literal["svg", "png", "pdf"]) -> bytes:
    """Put the legend below, for which the figure grows, and draw it; the same axes give the same bytes."""
    drawn = axes.get_figure(root=True)
    assert drawn is not None
    _put_legend_below(axes, drawn)
    _spare_room(drawn)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that no font here has are drawn by the reader's fonts in an SVG.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        drawn.savefig(stream, format=form, dpi=_DPI, metadata=dict.fromkeys(_DATED[form]))
    return stream.getvalue()


def _put_legend_below(axes: Axes, drawn: Figure) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        labels = [textwrap.fill(label, int(drawn.get_figwidth() * _LETTERS)) for label in labels]
        drawn.set_figheight(drawn.get_figheight() + _LINE * sum(label.count("\n") + 1 for label in labels))
        drawn.legend(handles, labels, loc="outside lower left")


def _style() -> dict[Any, Any]:
    return {**_STYLE, "font.sans-serif": ["DejaVu Sans", *_wide_fonts()]}


def _wide_fonts() -> list[str]:
    """Those installed here for letters that ours lacks."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return [font for font in _WIDE_FONTS if font in installed]


def _spare_room(drawn: Figure) -> None:
    """Leave room at the sides for the reader's wide letters, which may be wider than what they were measured by."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.text import Text

    texts = [text for text in drawn.findobj(Text) if isinstance(text, Text)]
    points = [wide_letters(text.get_text()) * text.get_fontproperties().get_size_in_points() for text in texts]
    spare = _SPARE * max(points) / 72
    engine = drawn.get_layout_engine()
    if spare > 0 and isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=spare)


def _inline(svg: str, name: str) -> str:
    """What a page can hold: no prolog, no style sheet of its own, no size in points, ids of its own."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*" ', r"\1", svg, count=1)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
