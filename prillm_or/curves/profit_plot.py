"""Profit: what the leader earns at each price, with the exact pieces, the best price and the other local maxima."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prillm_or.curves.price_axis import last_shown, mark_cap, mark_today, price_axis
from prillm_or.curves.trace import Piece
from prillm_or.explanation.pieces import SAME, local_maxima
from prillm_or.market.market import Array, Market
from prillm_or.output.look import DARK, LEADER
from prillm_or.report.curve import best_point, profit_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOSS_SHOWN = 0.4
"""Losses at prices below the unit cost are drawn down to this share of the best profit."""


_TICK = 0.02
"""Height at which the ends of pieces are marked, as a share of the picture's."""


def plot_profit(ax: Axes, market: Market, pieces: Sequence[Piece], which: int = 0) -> None:
    """Draw the profit over the price.

    Besides it: the ends of its pieces, as short lines on the axis, the best price, today's, the price cap, and, where
    the leader has one price, the other local maxima. `ax.legend()` says which is which.

    Parameters
    ----------
    pieces
        From `trace`.
    which
        Which of the leader's prices moves; its others are as today.
    """
    end = last_shown(market, pieces, which)
    best = best_point(market, pieces, which)
    draw_profit(ax, market, *profit_points(market, pieces, which, end))
    price_axis(ax, market, which, end)
    _mark_pieces(ax, pieces)
    mark_today(ax, market, which, end)
    mark_cap(ax, market, which, end)
    if len(market.leader) == 1:
        _mark_maxima(ax, market, pieces, best[0])
    ax.plot(
        [best[0]],
        [best[1]],
        "o",
        color=LEADER,
        markersize=8,
        zorder=4,
        label=f"best price: {best[0]:.4g}, profit {best[1]:.4g}",
    )
    if best[1] > 0 and ax.get_ylim()[0] < -_LOSS_SHOWN * best[1]:
        ax.set_ylim(bottom=-_LOSS_SHOWN * best[1])


def draw_profit(ax: Axes, market: Market, price: Array, profit: Array) -> None:
    """Draw the curve alone, through its points, and name the axes."""
    units = market.units
    ax.plot(price, profit, color=DARK, linewidth=1.3, zorder=2)
    ax.set_ylabel(f"profit, {units.currency} per {units.period}", parse_math=False)


def _mark_pieces(ax: Axes, pieces: Sequence[Piece]) -> None:
    starts = [piece.start for piece in pieces[1:]]
    if starts:
        place, label = ax.get_xaxis_transform(), f"ends of the {len(pieces)} exact pieces"
        height = [_TICK] * len(starts)
        ax.plot(starts, height, "|", transform=place, color=DARK, markersize=8, markeredgewidth=0.7, label=label)


def _mark_maxima(ax: Axes, market: Market, pieces: Sequence[Piece], best: float) -> None:
    cap, unit_cost = float(market.price_cap[0]), float(market.unit_cost[market.leader[0]])
    others = [one for one in local_maxima(pieces, unit_cost, cap) if abs(one.price - best) > SAME * best]
    if others:
        count = len(others)
        label = f"other local maxima: {count}" if count > 1 else f"other local maximum: {others[0].price:.4g}"
        prices, profits = [one.price for one in others], [one.profit for one in others]
        ax.plot(prices, profits, "D", color=LEADER, markerfacecolor="white", markersize=6, zorder=3, label=label)
