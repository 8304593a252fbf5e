"""Profit: what the leader earns at each price, with the exact pieces, the best price and the other local maxima."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prillm_or.curves.price_axis import last_shown, mark_cap, mark_today, price_axis
from prillm_or.curves.trace import SAME
from prillm_or.market.decisions import what_is_set
from prillm_or.output.look import DARK, LEADER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.curves.profit_curve import ProfitCurve

_LOSS_SHOWN = 0.4
"""Losses at prices below the unit cost are drawn down to this share of the best profit."""

_MARGIN = 0.05

_TICK = 0.02
"""Height at which the ends of pieces are marked, as a share of the picture's."""


def plot_profit(ax: Axes, curve: ProfitCurve) -> None:
    """Draw the profit over the price.

    Besides it: the ends of its pieces, as short lines on the axis, the best price, today's, the price cap, and the
    other local maxima. `ax.legend()` says which is which.
    """
    end, best = last_shown(curve), curve.best
    draw_profit(ax, curve, end)
    price_axis(ax, curve, end)
    _mark_pieces(ax, curve)
    mark_today(ax, curve, end)
    mark_cap(ax, curve, end)
    _mark_maxima(ax, curve)
    ax.plot(
        [best.price],
        [best.profit],
        "o",
        color=LEADER,
        markersize=8,
        zorder=4,
        label=f"best {what_is_set(curve.market)}: {best.price:.4g}, profit {best.profit:.4g}",
    )


def draw_profit(ax: Axes, curve: ProfitCurve, end: float) -> None:
    """Draw the curve alone up to a price, losses cut off where they are large, and name the axis of profits."""
    units = curve.market.units
    price, profit = curve.points(end)
    ax.plot(price, profit, color=DARK, linewidth=1.3, zorder=2)
    worst, best = float(profit.min()), curve.best.profit
    if best > 0:
        margin = _MARGIN * (best - worst)
        ax.set_ylim(max(worst - margin, -_LOSS_SHOWN * best), best + margin)
    ax.set_ylabel(f"profit, {units.currency} per {units.period}", parse_math=False)


def _mark_pieces(ax: Axes, curve: ProfitCurve) -> None:
    starts = curve.starts[1:]
    if len(starts):
        place, label = ax.get_xaxis_transform(), f"ends of the {len(curve.pieces)} exact pieces"
        height = [_TICK] * len(starts)
        ax.plot(starts, height, "|", transform=place, color=DARK, markersize=8, markeredgewidth=0.7, label=label)


def _mark_maxima(ax: Axes, curve: ProfitCurve) -> None:
    best = curve.best.price
    others = [one for one in curve.local_maxima if abs(one.price - best) > SAME * best]
    if others:
        count = len(others)
        label = f"other local maxima: {count}" if count > 1 else f"other local maximum: {others[0].price:.4g}"
        prices, profits = [one.price for one in others], [one.profit for one in others]
        ax.plot(prices, profits, "D", color=LEADER, markerfacecolor="white", markersize=6, zorder=3, label=label)
