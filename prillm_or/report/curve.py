"""Curve: the leader's whole profit over its one price, sampled on the exact pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or.curves.trace import Piece, best_on_piece, trace
from prillm_or.errors import ConvergenceError
from prillm_or.limits import Deadline
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import user_problem

_PATIENCE_S = 30.0
_POINTS = 300


@dataclass(frozen=True, eq=False)
class Curve:
    """Points on the profit curve, at every end of a piece and between.

    Parameters
    ----------
    price, profit
        Shape (points,), prices rising.
    pieces
        Number of exact pieces.
    whole
        Whether it reaches the price cap.
    """

    price: Array
    profit: Array
    pieces: int
    whole: bool


def profit_curve(market: Market) -> Curve | None:
    """Trace the profit curve; None for a leader with several prices. A very long one is cut off after half a minute."""
    if len(market.leader) > 1:
        return None
    cap, deadline = float(market.price_cap[0]), Deadline(_PATIENCE_S)
    pieces: list[Piece] = []
    whole = True
    try:
        for piece in trace(user_problem(market), np.zeros(1), 0, cap):
            pieces.append(piece)
            if deadline.passed():
                whole = False
                break
    except ConvergenceError:
        whole = False
    if not pieces:
        return None
    return Curve(*profit_points(market, pieces, 0, cap), len(pieces), whole)


def profit_points(market: Market, pieces: Sequence[Piece], which: int, span: float) -> tuple[Array, Array]:
    """Prices and profits on the pieces of one of the leader's prices, its others as today, shape (points,) each.

    Parameters
    ----------
    span
        The width of what is drawn: it gets some 300 points, besides two for each piece.
    """
    margins = _margins(market)
    others = np.arange(len(margins)) != which
    unit_cost = float(market.unit_cost[market.leader[which]])
    prices, profits = [], []
    for piece in pieces:
        within = (piece.end - piece.start) / span if span > 0 else 0.0
        price = np.linspace(piece.start, piece.end, 2 + int(_POINTS * min(within, 1.0)))
        load = piece.load[:, None] + piece.slope[:, None] * (price - piece.start)
        prices.append(price)
        profits.append((price - unit_cost) * load[which] + margins[others] @ load[others])
    return np.concatenate(prices), np.concatenate(profits)


def best_point(market: Market, pieces: Sequence[Piece], which: int) -> tuple[float, float]:
    """Price and profit of the best point of the pieces of one of the leader's prices, its others as today."""
    margins, unit_cost = _margins(market), float(market.unit_cost[market.leader[which]])
    return max((best_on_piece(piece, which, margins, unit_cost) for piece in pieces), key=lambda point: point[1])


def _margins(market: Market) -> Array:
    """Today's prices of the leader's providers less their unit costs; that of the moving price is not used."""
    leader = list(market.leader)
    return market.price[leader] - market.unit_cost[leader]
