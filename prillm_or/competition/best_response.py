"""best_response: an owner's prices at given prices of all others: exact for one, by `solvers/ascent.py` for several."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.curves.parabola import vertex
from prillm_or.market.market import Array, Market
from prillm_or.solvers.ascent import ascend
from prillm_or.solvers.path import Search
from prillm_or.solvers.starts import starts
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, load_slopes, solve_users, user_problem
from prillm_or.users.reach import within_reach

_DIGITS, _EQUAL = 1e-5, 1e-13


@dataclass(frozen=True, eq=False)
class BestResponse:
    """The best prices of a market's leader that were found.

    Parameters
    ----------
    prices
        Shape (len(leader),): the best prices.
    profit, now
        Profits of the best prices and of today's.
    bound
        Proven bound on the profit at any prices, or None where none is proven (several prices).
    here
        The equilibrium at today's prices.
    """

    prices: Array
    profit: float
    now: float
    bound: float | None
    here: Equilibrium

    @property
    def gain(self) -> float:
        """What moving earns, at least 0."""
        return max(self.profit - self.now, 0.0)


def best_response(market: Market, near: Equilibrium | None = None) -> BestResponse:
    """Find the leader's best prices and what they gain over today's.

    Parameters
    ----------
    market
        The market; the leader's prices today are within its caps.
    near
        An equilibrium of the same users at any prices, to look for others from; None to start cold.
    """
    return _one_price(market, near) if len(market.leader) == 1 else _several_prices(market, near)


def _one_price(market: Market, near: Equilibrium | None) -> BestResponse:
    users, today = user_problem(market), _today(market)
    search = Search(market, users, () if near is None else [(float(today[0]), lambda: near)])
    search.climb()
    here = search.look(float(today[0]))
    for _ in search.steps():
        pass
    prices = np.array([_top(market, search)])
    return BestResponse(prices, search.best_profit, profit_of(market, today, here.billed), search.upper_bound, here)


def _top(market: Market, search: Search) -> float:
    """The best price to the last digits: a search keeps the cheaper one of prices whose profits are equal to 13."""
    assert search.best_price is not None
    price, best, cost = search.best_price, search.best_profit, search.bounds.unit_cost
    found = search.look(price)
    slope = float(load_slopes(found.users, found.laplacian)[0, 0])
    if slope >= 0:
        return price
    top = price + vertex(search.bounds.point(found).load + (price - cost) * slope, slope)
    if not 0 <= top <= market.price_cap[0] or abs(top - price) > _DIGITS * price:
        return price
    profit = (top - cost) * search.bounds.point(search.look(top)).load
    return top if profit >= best - _EQUAL * abs(best) else price


def _several_prices(market: Market, near: Equilibrium | None) -> BestResponse:
    """Uphill from several starts, today's prices among them."""
    users, today = user_problem(market), _today(market)
    here = solve_users(users, today, near)
    reached = within_reach(market)
    best = ascend(reached, users, starts(reached), here)
    assert best.prices is not None
    return BestResponse(best.prices, best.profit, profit_of(market, today, here.billed), None, here)


def _today(market: Market) -> Array:
    return market.price[list(market.leader)]
