r"""bisect: the best single decision with a certificate, from equilibria alone; any size, no breakpoints.

The loads at two prices bound the profit in between (`monotone.py`); where the decision is not simply a price, but a
component's or a factor, the slacks do (`slacks.py`). Intervals are kept in a queue, the one with the
largest bound first. Where both ends have the same support, everything in between is linear (each support owns one
interval of prices), the profit is a known parabola and the interval is done, exactly. Others are halved. The proven
bound is the largest one left, so it may be read at any time.

Cost: one equilibrium a split, warm-started from an end; the notes of a result tell how many it took.

Reference: branch and bound with monotone demand; the grid argument is that of Briest, Hoefer and Krysta, "Stackelberg
network pricing games", Algorithmica 62 (2012) 733-753, doi 10.1007/s00453-010-9480-3.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable
from itertools import count

import numpy as np

from prillm_or import __version__
from prillm_or.curves.parabola import vertex
from prillm_or.limits import Deadline, Limits
from prillm_or.market.decisions import decision_costs
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.monotone import Monotone
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.slacks import Slacks
from prillm_or.solvers.unserved import cheapest_unserved
from prillm_or.users.certificate import relative_gap
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.reach import within_reach

_log = logging.getLogger(__name__)
_NARROW = 1e-14


class Bisect:
    """Same-support bisection with the monotone bound."""

    name = "bisect"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.PRICE_LISTS})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price and prove it within `limits.gap`."""
        search = _Search(within_reach(market))
        deadline = Deadline(limits.time_limit)
        ended = Ended.FINISHED
        try:
            while relative_gap(search.bound(), search.best.profit) > limits.gap:
                if deadline.passed():
                    ended = Ended.TIME_LIMIT
                    break
                search.split()
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        stats = {"equilibria": search.equilibria, "intervals": len(search.queue)}
        note = f"{search.equilibria} equilibria, {len(search.queue)} intervals left"
        return Proposal(search.best.prices, search.bound(), ended, (note,), stats=stats)


class _Search:
    """The queue of intervals [a, b], each an entry (-bound, number, equilibrium at a, at b)."""

    def __init__(self, market: Market) -> None:
        self.best = Incumbent(market)
        users = self.best.users
        self._cost = float(decision_costs(market)[0])
        self._between = _by_loads(Monotone(market, users)) if market.plain else Slacks(market, users).between
        self._number = count()  # decides between entries of one bound, so that the heap never compares equilibria
        self.queue: list[tuple[float, int, Equilibrium, Equilibrium]] = []
        self.equilibria = 2
        low, high = self.best.offer(np.zeros(1)), self.best.offer(market.price_cap)
        nothing = market.plain and self.best.profit <= 0
        if nothing and (free := cheapest_unserved(market, users, self._look)) is not None:
            self.best.keep(free)
        else:
            self._push(low, high)

    def _look(self, price: float) -> Equilibrium:
        self.equilibria += 1
        return solve_users(self.best.users, [price], self.best.equilibrium)

    def bound(self) -> float:
        """Proven upper bound on the profit at any price."""
        return max(self.best.profit, -self.queue[0][0] if self.queue else -np.inf)

    def split(self) -> None:
        """Halve the interval with the largest bound."""
        _, _, low, high = heapq.heappop(self.queue)
        middle = self.best.offer((low.prices + high.prices) / 2, low)
        self.equilibria += 1
        _log.info("price %.6g, bound %.6g", float(middle.prices[0]), self.bound())
        self._push(low, middle)
        self._push(middle, high)

    def _push(self, low: Equilibrium, high: Equilibrium) -> None:
        """Queue an interval, or settle it where its profit is a known parabola."""
        a, b = float(low.prices[0]), float(high.prices[0])
        # A support that is right at both ends is right in between, for its prices are an interval (L1).
        if np.array_equal(low.support, high.support):
            if a < b:
                self._settle(low, high)
            return
        if b - a <= _NARROW * b:
            return  # neighbouring numbers: both ends have been offered, there is no price in between
        heapq.heappush(self.queue, (-self._between(low, high), next(self._number), low, high))

    def _settle(self, low: Equilibrium, high: Equilibrium) -> None:
        # Of the loads, which have more digits than a slope by the linear system where a capacity is huge.
        length = float(high.prices[0] - low.prices[0])
        slope, beside = float((high.by_decision - low.by_decision)[0] / length), (high.beside - low.beside) / length
        if slope < 0:
            price, load = float(low.prices[0]), float(low.by_decision[0])
            top = price + vertex(load + (price - self._cost) * slope + beside, slope)
            if price < top < high.prices[0]:
                self.best.offer(np.array([top]), low)
                self.equilibria += 1


def _by_loads(bounds: Monotone) -> Callable[[Equilibrium, Equilibrium], float]:
    """What bounds the profit of a price between two equilibria."""
    # Users are counted at the cheaper end: with common weights nobody joins as the price rises (L3).
    return lambda low, high: bounds.between(bounds.point(low), bounds.point(high), bounds.sigma(low))
