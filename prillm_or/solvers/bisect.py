r"""bisect: the best single decision with a certificate, from equilibria alone; any size, no breakpoints.

The loads at two prices bound the profit in between (`monotone.py`); where the decision is not simply a price, but a
component's or a factor, the slacks do (`slacks.py`). Intervals are kept in a queue, the one with the
largest bound first. Where both ends have the same support, everything in between is linear (each support owns one
interval of prices), the profit is a known parabola and the interval is done, exactly. Others are halved. The proven
bound is the largest one left, so it may be read at any time.

Of many users few change whom they use between two prices that are near each other. So where that leaves half of them
or fewer, an interval goes on with these alone (`users/narrowing.py`): the n users of a market are looked at a few
times, not once for each of some sqrt(n) intervals whose bound is close.

Cost: one equilibrium a split, warm-started from an end; the notes of a result tell how many it took.

Reference: branch and bound with monotone demand; the grid argument is that of Briest, Hoefer and Krysta, "Stackelberg
network pricing games", Algorithmica 62 (2012) 733-753, doi 10.1007/s00453-010-9480-3.
"""

from __future__ import annotations

import heapq
import logging
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from prillm_or import __version__
from prillm_or.curves.parabola import vertex
from prillm_or.limits import Deadline, Limits
from prillm_or.market.decisions import decision_costs
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.monotone import Between, Monotone, by_loads
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.slacks import Slacks
from prillm_or.solvers.unserved import cheapest_unserved
from prillm_or.users.certificate import profit_of, relative_gap
from prillm_or.users.equilibrium import Equilibrium
from prillm_or.users.narrowing import are_many, costs_between, narrowed
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.reach import within_reach
from prillm_or.users.split import AnyEquilibrium, AnyUsers, equilibrium_of, reach_at, same_support

_log = logging.getLogger(__name__)
_NARROW = 1e-14
_BETTER = 1e-12
_FEW = 32
_MARGIN = 0.25


class Bisect:
    """Same-support bisection with the monotone bound."""

    name = "bisect"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.PRICE_LISTS})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price and prove it within `limits.gap`."""
        market = market if market.plain else within_reach(market)
        return bisected(market, user_problem(market), limits)


def bisected(market: Market, users: AnyUsers, limits: Limits) -> Proposal:
    """Find the best price of users who may be in parts; of these `market` has some in place of all."""
    search = _Search(market, users)
    deadline = Deadline(limits.time_limit)
    ended = Ended.FINISHED
    try:
        while relative_gap(search.bound(), search.profit) > limits.gap:
            if deadline.passed():
                ended = Ended.TIME_LIMIT
                break
            search.split()
    except KeyboardInterrupt:
        ended = Ended.INTERRUPTED
    stats = {"equilibria": search.equilibria, "intervals": len(search.queue)}
    note = f"{search.equilibria} equilibria, {len(search.queue)} intervals left"
    return Proposal(search.prices, search.bound(), ended, (note,), stats=stats)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some users of a market, beside others whose loads stand still while costs stay within bounds.

    Parameters
    ----------
    wider
        The users it is a part of.
    prices, congestion
        At either end of what it is meant for, shapes (2, 1) and (2, m).
    off
        How far from the line between these congestion may be; infinite where it is known to stay within bounds.
    """

    users: AnyUsers
    between: Between
    wider: _Part | None = None
    prices: Array = field(default_factory=lambda: np.zeros((2, 1)))
    congestion: Array = field(default_factory=lambda: np.zeros((2, 1)))
    off: float = np.inf

    def holds(self, found: AnyEquilibrium) -> bool:
        """Whether an equilibrium of these users is one of all."""
        if self.off == np.inf:
            return True
        share = (found.prices - self.prices[0]) / (self.prices[1] - self.prices[0])
        line = (1 - share) * self.congestion[0] + share * self.congestion[1]
        return bool((np.abs(found.congestion - line) <= self.off + found.noise).all())


class _Search:
    """The queue of intervals [a, b], each an entry (-bound, number, users, equilibrium at a, at b)."""

    def __init__(self, market: Market, users: AnyUsers) -> None:
        self._market = market
        self._cost = float(decision_costs(market)[0])
        self._number = count()  # decides between entries of one bound, so that the heap never compares equilibria
        self.queue: list[tuple[float, int, _Part, AnyEquilibrium, AnyEquilibrium]] = []
        self.prices: Array | None = None
        self.profit = -np.inf
        self.equilibria = 0
        self._many = market.plain and isinstance(users, UserProblem) and are_many(users)
        self._alike = users.alike
        if isinstance(users, UserProblem) and self._many:
            users = replace(users, market=None, fixed=np.zeros(market.m))  # loads are asked for, not each flow
        low, high = self._look(users, np.zeros(1)), self._look(users, market.price_cap)
        if market.plain and not high.by_decision.any() and (end := reach_at(high)) < high.prices:
            high = self._look(users, end)  # nobody is there from the reach on (L9)
        middle = self._look(users, np.minimum(np.nan_to_num(market.current), high.prices))
        nothing = market.plain and self.profit <= 0
        if nothing and (free := cheapest_unserved(market, lambda price: self._look(users, np.array([price])))):
            self._keep(free.prices, 0.0)
            return
        whole = _Part(users, self._between(users))
        self._push(whole, low, middle)
        self._push(whole, middle, high)

    def _between(self, users: AnyUsers) -> Between:
        if self._market.plain:
            return by_loads(Monotone(self._market, users))
        assert isinstance(users, UserProblem)
        return Slacks(self._market, users).between

    def _look(self, users: AnyUsers, prices: Array, near: AnyEquilibrium | Array | None = None) -> AnyEquilibrium:
        """Solve the equilibrium at a price, and keep the price if it is better."""
        self.equilibria += 1
        found = equilibrium_of(users, prices, near)
        profit = profit_of(self._market, prices, found.billed)
        if profit > self.profit + _BETTER * abs(self.profit) or self.prices is None:
            self._keep(prices, profit)
        return found

    def _keep(self, prices: Array, profit: float) -> None:
        self.prices, self.profit = prices, profit

    def bound(self) -> float:
        """Proven upper bound on the profit at any price."""
        return max(self.profit, -self.queue[0][0] if self.queue else -np.inf)

    def split(self) -> None:
        """Take the interval with the largest bound: go on with fewer users where few may change there, or halve it."""
        _, _, part, low, high = heapq.heappop(self.queue)
        if self._many and (fewer := self._fewer(part, low, high)) is not None:
            assert isinstance(fewer.users, UserProblem)
            if len(fewer.users.demand):  # otherwise the load stands still, and the dearer end is better
                self._push(fewer, *(self._again(fewer.users, end) for end in (low, high)))
            return
        middle = self._look(part.users, (low.prices + high.prices) / 2, (low.congestion + high.congestion) / 2)
        while part.wider is not None and not part.holds(middle):
            part = part.wider
            low, middle, high = (self._again(part.users, found) for found in (low, middle, high))
        self._push(part, low, middle)
        self._push(part, middle, high)
        gap = relative_gap(self.bound(), self.profit)
        _log.info("price %.6g, bound %.6g, gap %.1e", float(middle.prices[0]), self.bound(), gap)

    def _again(self, users: AnyUsers, found: AnyEquilibrium) -> AnyEquilibrium:
        """The same equilibrium of fewer or more users."""
        assert isinstance(users, UserProblem)
        assert isinstance(found, Equilibrium)
        fixed = np.asarray(users.fixed - found.users.fixed)
        return self._look(users, found.prices, found.congestion - fixed / users.capacity)

    def _fewer(self, part: _Part, low: AnyEquilibrium, high: AnyEquilibrium) -> _Part | None:
        """The users that may change between two equilibria, where they are half as many or fewer."""
        users, ends = part.users, (low.congestion, high.congestion)
        assert isinstance(users, UserProblem)
        if len(users.demand) < _FEW:
            return None
        # With common weights all costs rise with the price (L4). Otherwise this is a guess, that equilibria confirm.
        off = 0.0 if self._alike else _MARGIN * float(np.abs(ends[1] - ends[0]).max())
        costs = costs_between(users, (low.prices, high.prices), ends, off)
        left = narrowed(users, costs, (low.prices + high.prices) / 2, (ends[0] + ends[1]) / 2)
        if 2 * len(left.demand) > len(users.demand):
            return None
        if self._alike:
            return _Part(left, self._between(left), part)
        congestion = np.array(ends) - (left.fixed - users.fixed) / users.capacity
        return _Part(left, part.between, part, np.array([low.prices, high.prices]), congestion, off)

    def _push(self, part: _Part, low: AnyEquilibrium, high: AnyEquilibrium) -> None:
        """Queue an interval, or settle it where its profit is a known parabola."""
        a, b = float(low.prices[0]), float(high.prices[0])
        # A support that is right at both ends is right in between, for its prices are an interval (L1).
        if same_support(low, high):
            if a < b:
                self._settle(part, low, high)
            return
        if b - a <= _NARROW * b:
            return  # neighbouring numbers: both ends have been offered, there is no price in between
        heapq.heappush(self.queue, (-part.between(low, high), next(self._number), part, low, high))

    def _settle(self, part: _Part, low: AnyEquilibrium, high: AnyEquilibrium) -> None:
        # Of the loads, which have more digits than a slope by the linear system where a capacity is huge.
        length = float(high.prices[0] - low.prices[0])
        slope, beside = float((high.by_decision - low.by_decision)[0] / length), (high.beside - low.beside) / length
        if slope < 0:
            price, load = float(low.prices[0]), float(low.by_decision[0])
            top = price + vertex(load + (price - self._cost) * slope + beside, slope)
            if price < top < high.prices[0]:
                self._look(part.users, np.array([top]), low)
