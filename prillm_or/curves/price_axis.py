"""Prices: the axis that the profit and the support share, from 0 up, and the prices marked on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prillm_or.output.look import DARK, QUIET, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.curves.profit_curve import ProfitCurve

_BEYOND = 1.15
_NEARLY = 0.75


def last_shown(curve: ProfitCurve) -> float:
    """Where the axis ends: at the cap, unless nobody uses the provider, or not today, at most prices below it."""
    cap, today = curve.cap, curve.today
    used = max((piece.end for piece in curve.pieces if piece.load[curve.decision] > 0), default=cap)
    end = _BEYOND * (max(used, today) if today is not None and today <= cap else used)
    return end if 0 < end < _NEARLY * cap else cap


def price_axis(ax: Axes, curve: ProfitCurve, end: float) -> None:
    """Name the axis, and let it end at `end`."""
    units = curve.market.units
    ax.set_xlabel(f"price of {short(curve.provider)}, {units.currency} per {units.volume}", parse_math=False)
    if end > 0:
        ax.set_xlim(0.0, 1.01 * end)


def mark_today(ax: Axes, curve: ProfitCurve, end: float) -> None:
    """Draw a line at today's price, where there is one."""
    if curve.today is not None:
        _mark(ax, "price today", curve.today, end, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))


def mark_cap(ax: Axes, curve: ProfitCurve, end: float) -> None:
    """Draw a line at the price cap."""
    _mark(ax, "price cap", curve.cap, end, color=DARK, linewidth=1.6, linestyle=":")


def _mark(ax: Axes, what: str, price: float, end: float, **style: Any) -> None:
    """A line, or where the picture ends before it a word in the legend."""
    if price <= end:
        ax.axvline(price, label=f"{what}: {price:.4g}", zorder=2.4, **style)
    else:
        ax.plot([], [], label=f"{what}: {price:.4g}, beyond the picture", **style)
