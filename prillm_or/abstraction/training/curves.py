"""Curves: the leader's exact profit at any price, from the pieces that `path` traces in the full market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.curves.trace import Piece, best_on_piece, trace
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import user_problem

_EARNS = 1e-9


@dataclass(frozen=True, eq=False)
class Curve:
    """Profit of a leader with one provider over its price.

    Parameters
    ----------
    start, load, slope
        Shape (P,): on piece t the leader's load is load + slope (price - start).
    unit_cost
        Of the leader's provider.
    best_price, best_profit
        The smallest price with the highest profit, and that profit.
    """

    start: Array
    load: Array
    slope: Array
    unit_cost: float
    best_price: float
    best_profit: float

    def profit(self, prices: Array) -> Array:
        """Profit at prices of any shape; above the cap, the last piece goes on until the load is zero."""
        piece = np.clip(np.searchsorted(self.start, prices, side="right") - 1, 0, len(self.start) - 1)
        load = self.load[piece] + self.slope[piece] * (prices - self.start[piece])
        return np.asarray((prices - self.unit_cost) * np.maximum(load, 0.0))


def exact_curve(market: Market) -> Curve | None:
    """Curve over [0, cap], or None where no price earns a profit worth the name."""
    unit_cost = float(market.unit_cost[market.leader[0]])
    pieces = list(trace(user_problem(market), np.zeros(1), 0, float(market.price_cap[0])))
    best_price, best_profit = 0.0, -np.inf
    for piece in pieces:
        price, profit = best_on_piece(piece, 0, np.zeros(1), unit_cost)
        if profit > best_profit:
            best_price, best_profit = price, profit
    if best_profit <= _EARNS * float(market.demand.sum() * np.nanmax(market.price)):
        return None
    return Curve(
        start=np.array([piece.start for piece in pieces]),
        load=np.array([piece.load[0] for piece in pieces]),
        slope=np.array([piece.slope[0] for piece in pieces]),
        unit_cost=unit_cost,
        best_price=best_price,
        best_profit=best_profit,
    )


def best_up_to(market: Market, caps: Array, unit_cost: float) -> Array:
    """Best price below each cap, at the price of one trace up to the highest."""
    order = np.argsort(caps)
    best = np.zeros(len(caps))
    best_price, best_profit = 0.0, -np.inf
    waiting = list(order)
    for piece in trace(user_problem(market), np.zeros(1), 0, float(caps.max())):
        while waiting and caps[waiting[0]] <= piece.end:
            cut = Piece(piece.start, float(caps[waiting[0]]), piece.load, piece.slope)
            price, profit = best_on_piece(cut, 0, np.zeros(1), unit_cost)
            best[waiting.pop(0)] = price if profit > best_profit else best_price
        price, profit = best_on_piece(piece, 0, np.zeros(1), unit_cost)
        if profit > best_profit:
            best_price, best_profit = price, profit
    best[waiting] = best_price
    return best


def share_of(small: Market, curve: Curve) -> float:
    """Share of the full market's best profit that the best price of a small market earns there."""
    price = best_up_to(small, small.price_cap, curve.unit_cost)
    return float(curve.profit(price)[0] / curve.best_profit)
