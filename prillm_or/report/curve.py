"""Curve: the leader's whole profit over its one price, sampled on the exact pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.equilibrium import user_problem
from prillm_or.errors import ConvergenceError
from prillm_or.market import Array, Market
from prillm_or.solvers.base import Deadline
from prillm_or.solvers.trace import trace

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
    cap, unit_cost = float(market.price_cap[0]), float(market.unit_cost[market.leader[0]])
    deadline = Deadline(_PATIENCE_S)
    prices, profits = [], []
    pieces, whole = 0, True
    try:
        for piece in trace(user_problem(market), np.zeros(1), 0, cap):
            pieces += 1
            points = 2 + int(_POINTS * (piece.end - piece.start) / cap)
            price = np.linspace(piece.start, piece.end, points)
            prices.append(price)
            profits.append((price - unit_cost) * (piece.load[0] + piece.slope[0] * (price - piece.start)))
            if deadline.passed():
                whole = False
                break
    except ConvergenceError:
        whole = False
    if not prices:
        return None
    return Curve(np.concatenate(prices), np.concatenate(profits), pieces, whole)
