"""Pictures: the profit curve with every method's price on it, and time against gap, as SVG to stand in a page."""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from prillm_or.report.curve import Curve
from prillm_or.report.plots.look import wide_letters
from prillm_or.report.plots.prices import mark_today, price_axis
from prillm_or.report.plots.profit import draw_profit
from prillm_or.report.summary import Line, Section, figure, seconds
from prillm_or.solvers.base import Limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 5.8, 3.7
"""Inches across; the legend adds to the height. On a small screen the narrow form keeps letters legible."""

_HEIGHT, _LINE, _LETTERS = 3.1, 0.18, 12
_DPI = 200
_DATED = {
    "svg": ("Date", "Creator", "Format", "Type"),
    "png": ("Software",),
    "pdf": ("CreationDate", "Creator", "Producer"),
}
"""Fields that would differ from run to run, or say what nobody asks."""

FLOOR = 1e-9
"""Gaps below are drawn here: a logarithmic axis has no zero."""

# Colours of Okabe and Ito, told apart by colour-blind readers too; every method has its own sign as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#8C6D1F")
_SIGNS = ("o", "s", "D", "^", "v", "P", "X", "p", "<", ">", "h")
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


def curve_picture(section: Section, curve: Curve, width: float, name: str) -> str:
    """Draw the profit curve, today's price, and the price of every method; methods at one point share a mark."""
    market = section.instance.market
    end = float(curve.price[-1])
    with drawing(width, name) as (axes, done):
        draw_profit(axes, market, curve.price, curve.profit)
        mark_today(axes, market, 0, end)
        for index, lines in _points(section.lines):
            (price,) = lines[0].prices.values()
            names = ", ".join(line.method for line in lines)
            axes.plot([price], [lines[0].profit or 0.0], label=f"{names}: {figure(price, 4)}", **_mark(index))
        price_axis(axes, market, 0, end)
    return done[0]


def gap_picture(section: Section, limits: Limits, width: float, name: str) -> str:
    """Draw median time against gap: filled where the method proved it, hollow where it is only known from others."""
    with drawing(width, name) as (axes, done):
        axes.set_xscale("log")
        axes.set_yscale("log")
        for index, line in enumerate(section.lines):
            gap = shown_gap(line)
            if gap is None or line.time_s is None:
                continue
            mark = _mark(index) | ({} if line.gap is not None else {"markerfacecolor": "white"})
            label = line.method if line.gap is not None else f"{line.method} (proves no gap)"
            axes.plot([line.time_s], [max(gap, FLOOR)], label=label, **mark)
        if limits.gap > FLOOR:
            axes.axhline(limits.gap, color="#999999", linewidth=1, linestyle=(0, (4, 3)), label="gap asked for")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, FLOOR / 3), max(high, 10 * limits.gap))
        _time_ticks(axes)
        axes.set_yticks([FLOOR, 1e-7, 1e-5, 1e-3, 1e-1], ["1e-9, less", "1e-7", "1e-5", "1e-3", "0.1"])
        axes.minorticks_off()
        axes.set_xlabel("time, median")
        axes.set_ylabel("gap")
    return done[0]


def shown_gap(line: Line) -> float | None:
    """The proven gap; where the method proves none, the distance to the best proven profit; None where neither is."""
    if line.gap is not None:
        return line.gap
    if line.profit_share is None or line.profit_share <= 0:
        return None
    return max(1 / line.profit_share - 1, 0.0)


def _points(lines: Sequence[Line]) -> Iterator[tuple[int, list[Line]]]:
    """Methods by the point they are drawn at, each with the place of its first method, which gives the mark."""
    points: dict[tuple[str, str], tuple[int, list[Line]]] = {}
    for index, line in enumerate(lines):
        if line.profit is not None:
            (price,) = line.prices.values()
            key = figure(price, 4), figure(line.profit, 4)
            points.setdefault(key, (index, []))[1].append(line)
    yield from points.values()


def _mark(index: int) -> dict[str, Any]:
    colour = _COLOURS[index % len(_COLOURS)]
    return {
        "marker": _SIGNS[index % len(_SIGNS)],
        "color": colour,
        "markerfacecolor": colour,
        "markersize": 7,
        "markeredgewidth": 1.4,
        "linestyle": "none",
        "zorder": 3,
    }


def _time_ticks(axes: Axes) -> None:
    """Whole powers of ten around the points, in words."""
    low, high = axes.get_xlim()
    powers = range(math.floor(math.log10(low / 1.5)), math.ceil(math.log10(high * 1.5)) + 1)
    ticks = [10.0**power for power in powers]
    axes.set_xticks(ticks, [seconds(value) for value in ticks])


@contextmanager
def drawing(width: float, name: str, height: float = _HEIGHT) -> Iterator[tuple[Axes, list[str]]]:
    """Give axes to draw on, sizes in inches; at the end the list holds the SVG, its ids preceded by `name`."""
    done: list[str] = []
    with new_axes(width, height, name) as axes:
        yield axes, done
        done.append(_inline(finished(axes, "svg").decode(), name))


@contextmanager
def new_axes(width: float, height: float, salt: str) -> Iterator[Axes]:
    """Give axes in our style, alone on a figure of this size in inches; `salt` decides the ids of an SVG."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {**_STYLE, "font.sans-serif": ["DejaVu Sans", *_wide_fonts()], "svg.hashsalt": salt}
    with matplotlib.rc_context(style):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(drawn)
        yield drawn.add_subplot()


def finished(axes: Axes, form: Literal["svg", "png", "pdf"]) -> bytes:
    """Put the legend below, for which the figure grows, and draw it; the same axes give the same bytes."""
    drawn = axes.get_figure(root=True)
    assert drawn is not None
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        labels = [textwrap.fill(label, int(drawn.get_figwidth() * _LETTERS)) for label in labels]
        drawn.set_figheight(drawn.get_figheight() + _LINE * sum(label.count("\n") + 1 for label in labels))
        drawn.legend(handles, labels, loc="outside lower left")
    _spare_room(drawn)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that no font here has are drawn by the reader's fonts in an SVG.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        drawn.savefig(stream, format=form, dpi=_DPI, metadata=dict.fromkeys(_DATED[form]))
    return stream.getvalue()


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
