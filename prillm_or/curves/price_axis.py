"""Prices: the axis that the profit and the support share, from 0 up, and the prices marked on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prillm_or.curves.trace import Piece
from prillm_or.market.market import Market
from prillm_or.output.look import DARK, QUIET, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BEYOND = 1.15
_NEARLY = 0.75


def last_shown(market: Market, pieces: Sequence[Piece], which: int) -> float:
    """Where the axis ends: at the cap, unless nobody uses the provider, or not today, at most prices below it."""
    cap, today = float(market.price_cap[which]), market.price[market.leader[which]]
    used = max((piece.end for piece in pieces if piece.load[which] > 0), default=cap)
    end = _BEYOND * max(used, today) if today <= cap else _BEYOND * used
    return float(end if 0 < end < _NEARLY * cap else cap)


def price_axis(ax: Axes, market: Market, which: int, end: float) -> None:
    """Name the axis, and let it end at `end`."""
    units = market.units
    name = short(market.leader_ids[which])
    ax.set_xlabel(f"price of {name}, {units.currency} per {units.volume}", parse_math=False)
    if end > 0:
        ax.set_xlim(0.0, 1.01 * end)


def mark_today(ax: Axes, market: Market, which: int, end: float) -> None:
    """Draw a line at today's price, where there is one."""
    today = float(market.price[market.leader[which]])
    if today >= 0:  # absent prices are NaN
        _mark(ax, "price today", today, end, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))


def mark_cap(ax: Axes, market: Market, which: int, end: float) -> None:
    """Draw a line at the price cap."""
    _mark(ax, "price cap", float(market.price_cap[which]), end, color=DARK, linewidth=1.6, linestyle=":")


def _mark(ax: Axes, what: str, price: float, end: float, **style: Any) -> None:
    """A line, or where the picture ends before it a word in the legend."""
    if price <= end:
        ax.axvline(price, label=f"{what}: {price:.4g}", zorder=2.4, **style)
    else:
        ax.plot([], [], label=f"{what}: {price:.4g}, beyond the picture", **style)
