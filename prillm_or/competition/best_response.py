"""best_response: an owner's best prices at given prices of all others, proven: one by `path`, several by `branch`.

Of the price of one component, and of a factor, all pieces are traced. `uphill` is the step of an owner of several
prices while all others move, too: the local maximum that is uphill, by `solvers/ascent.py`, which proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.curves.parabola import vertex
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array, Market
from prillm_or.solvers.ascent import Climb
from prillm_or.solvers.branch import Branch
from prillm_or.solvers.path import Path, Search
from prillm_or.solvers.protocols import Ended
from prillm_or.solvers.small_path import best_of_small, is_small
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import within_reach
from prillm_or.users.slopes import load_slopes

_DIGITS, _EQUAL = 1e-5, 1e-13
_LONGEST_S = 10.0


@dataclass(frozen=True, eq=False)
class BestResponse:
    """The best prices of a market's leader that were found.

    Parameters
    ----------
    prices
        Shape (k,): the best decisions.
    profit, now
        Profits of the best decisions and of those of now.
    bound
        Proven bound on the profit at any prices; infinite where none is proven, as by `uphill`.
    here
        The equilibrium at the prices of now.
    """

    prices: Array
    profit: float
    now: float
    bound: float
    here: Equilibrium

    @property
    def gain(self) -> float:
        """What moving earns, at least 0."""
        return max(self.profit - self.now, 0.0)


def best_response(
    market: Market, near: Equilibrium | None = None, now: Array | None = None, gap: float = 1e-7
) -> BestResponse:
    """Find the leader's best decisions, proven, and what they gain over those of now.

    Parameters
    ----------
    market
        The market; the leader's decisions now are within its caps.
    near
        An equilibrium of the same users at any prices, to look for others from; None to start cold.
    now
        Shape (k,): the leader's decisions now; today's of the market if left out.
    gap
        Relative gap that is worked for, in 10 s at most, where there are several.
    """
    now = market.current if now is None else now
    if market.plain and len(market.decisions) == 1:
        return _one_price(market, near, now)
    here = solve_users(user_problem(market), now, near)
    solver = Path() if len(market.decisions) == 1 else Branch(now)
    found = solver.solve(market, Limits(gap=gap, time_limit=_LONGEST_S))
    if found.ended is Ended.INTERRUPTED:
        raise KeyboardInterrupt  # half a search is none
    assert found.prices is not None
    assert found.upper_bound is not None, "both prove a bound at any time"
    profit = profit_of(market, found.prices, solve_users(here.users, found.prices, here).billed)
    return BestResponse(found.prices, profit, profit_of(market, now, here.billed), found.upper_bound, here)


def uphill(market: Market, near: Equilibrium | None, now: Array, deadline: Deadline) -> BestResponse:
    """Climb from the leader's decisions now to a local maximum; of one price, the best response."""
    if len(market.decisions) == 1:
        return best_response(market, near, now)
    users = user_problem(market)
    here = solve_users(users, now, near)
    reached = within_reach(market)
    climb = Climb(reached, users, np.minimum(now, reached.price_cap), here, deadline)
    climb.run()
    best = climb.best
    assert best.prices is not None, "the start was looked at"
    return BestResponse(best.prices, best.profit, profit_of(market, now, here.billed), np.inf, here)


def _one_price(market: Market, near: Equilibrium | None, now: Array) -> BestResponse:
    users = user_problem(market)
    if is_small(users) and (best := best_of_small(market, users)) is not None:
        here = solve_users(users, now, near)
        assert best.prices is not None
        assert best.upper_bound is not None
        profit = best.upper_bound
        return BestResponse(best.prices, profit, profit_of(market, now, here.billed), profit, here)
    search = Search(market, users, () if near is None else [(float(now[0]), lambda: near)])
    search.climb()
    here = search.look(float(now[0]))
    for _ in search.steps():
        pass
    prices = np.array([_top(market, search)])
    assert search.upper_bound is not None, "the search is done"
    return BestResponse(prices, search.best_profit, profit_of(market, now, here.billed), search.upper_bound, here)


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
