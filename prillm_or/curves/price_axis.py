"""Prices: the axis that the profit and the support share, from 0 up, and the prices marked on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prillm_or.market.decisions import FACTOR, what_is_set
from prillm_or.output.look import DARK, QUIET, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.curves.profit_curve import ProfitCurve

_BEYOND = 1.15
_NEARLY = 0.75
_LITTLE = 0.05
_SAME = 1 + 1e-9


def last_shown(curve: ProfitCurve, prices: Iterable[float] = ()) -> float:
    """Where the axis ends: a margin beyond all that happens; at the last price traced where that is nearly as far.

    What happens: the local maxima, today's price, other `prices` to be seen, and the ends of pieces that begin with
    more than a twentieth of the best profit; the last piece of all goes on as it begins.
    """
    cap, least = min(curve.cap, curve.searched[1]), _LITTLE * curve.best.profit
    seen = [curve.best.price, *(one.price for one in curve.local_maxima), *prices]
    seen += curve.starts[1:][curve.profit(curve.starts[:-1]) > least].tolist()
    seen += [] if curve.today is None else [curve.today]
    end = _BEYOND * max(price for price in seen if price <= cap * _SAME)
    return end if 0 < end < _NEARLY * cap else cap


def price_axis(ax: Axes, curve: ProfitCurve, end: float) -> None:
    """Name the axis, and let it end at `end`."""
    units, named = curve.market.units, curve.in_words.removesuffix(curve.provider) + short(curve.provider)
    unit = "" if curve.market.decides == FACTOR else f", {units.currency} per {units.volume}"
    ax.set_xlabel(f"{named}{unit}", parse_math=False)
    if end > 0:
        ax.set_xlim(0.0, 1.01 * end)


def mark_today(ax: Axes, curve: ProfitCurve, end: float) -> None:
    """Draw a line at today's price, where there is one."""
    if curve.today is not None:
        _mark(
            ax,
            f"{what_is_set(curve.market)} today",
            curve.today,
            end,
            color=QUIET,
            linewidth=1.2,
            linestyle=(0, (4, 3)),
        )


def mark_cap(ax: Axes, curve: ProfitCurve, end: float) -> None:
    """Draw a line at the price cap; where the picture ends before it, say what is earned there."""
    earned = f", where the profit is {float(curve.profit(curve.cap)) + 0.0:.4g}" if curve.complete else ""
    _mark(ax, f"{what_is_set(curve.market)} cap", curve.cap, end, earned, color=DARK, linewidth=1.6, linestyle=":")


def _mark(ax: Axes, what: str, price: float, end: float, beyond: str = "", **style: Any) -> None:
    """A line, or where the picture ends before it a word in the legend."""
    if price <= end:
        ax.axvline(price, label=f"{what}: {price:.4g}", zorder=2.4, **style)
    else:
        ax.plot([], [], label=f"{what}: {price:.4g}, beyond the picture{beyond}", **style)
