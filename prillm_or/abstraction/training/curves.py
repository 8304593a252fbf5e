"""Curves: what the leader's exact profit at any price in the full market says of a small one."""

from __future__ import annotations

import numpy as np

from prillm_or.curves.profit_curve import ProfitCurve, curve
from prillm_or.curves.trace import Piece, best_on_piece, trace
from prillm_or.market.market import Array, Market
from prillm_or.users.problem import user_problem

_EARNS = 1e-9


def exact_curve(market: Market) -> ProfitCurve | None:
    """Curve over [0, cap], or None where no price earns a profit worth the name."""
    found = curve(market)
    worth = _EARNS * float(market.demand.sum() * np.nanmax(market.price))
    return found if found.best.profit > worth else None


def best_up_to(market: Market, caps: Array) -> Array:
    """Best price below each cap, at the price of one trace up to the highest."""
    unit_cost = float(market.unit_cost[market.leader[0]])
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


def share_of(small: Market, curve: ProfitCurve) -> float:
    """Share of the full market's best profit that the best price of a small market earns there."""
    return float(shares_of(small, curve, small.price_cap)[0])


def shares_of(small: Market, curve: ProfitCurve, caps: Array) -> Array:
    """Shares of the full market's best profit that a small one's best price below each cap earns there."""
    return curve.profit(best_up_to(small, caps)) / curve.best.profit
