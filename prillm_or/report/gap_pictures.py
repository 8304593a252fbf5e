"""Pictures: the profit curve with every method's price on it, and time against gap, as SVG to stand in a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prillm_or.comparison.summary import Line, Section
from prillm_or.curves.price_axis import last_shown, mark_cap, mark_today, price_axis
from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.curves.profit_plot import draw_profit
from prillm_or.limits import Limits
from prillm_or.output.canvas import drawing
from prillm_or.output.numbers import figure, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOOR = 1e-9
"""Gaps below are drawn here: a logarithmic axis has no zero."""

# Colours of Okabe and Ito, told apart by colour-blind readers too; every method has its own sign as well.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#8C6D1F")
_SIGNS = ("o", "s", "D", "^", "v", "P", "X", "p", "<", ">", "h")


def curve_picture(section: Section, curve: ProfitCurve, width: float, name: str) -> str:
    """Draw the profit curve, today's price, and the price of every method; methods at one point share a mark."""
    end = last_shown(curve, (price for line in section.lines for price in line.prices.values()))
    with drawing(width, name) as (axes, done):
        draw_profit(axes, curve, end)
        mark_today(axes, curve, end)
        mark_cap(axes, curve, end)
        for index, lines in _points(section.lines):
            (price,) = lines[0].prices.values()
            names = ", ".join(line.method for line in lines)
            axes.plot([price], [lines[0].profit or 0.0], label=f"{names}: {figure(price, 4)}", **_mark(index))
        price_axis(axes, curve, end)
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
