r"""path: the exact optimum of one leader price, by tracing the pieces of the leader's loads (`trace.py`).

On each piece the profit is a parabola. x_s never rises with the price p (`docs/mathematics.md`, L2), so beyond p no
price up to

    k + best / x_s(p),            k the unit cost, best the best profit seen,

earns more than best: the search ends where that is the cap, and where it is many pieces away it leaps there, to a new
equilibrium, and traces on. In a large market, where there are many pieces, a good price is looked for first, which
makes leaps long.

Cost: that of the pieces and the equilibria, see there; `--verbose` tells how many there were.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np

from prillm_or import __version__
from prillm_or.certificate import profit_of
from prillm_or.equilibrium import Equilibrium, UserProblem, solve_users
from prillm_or.market import Market
from prillm_or.pairs import are_listed
from prillm_or.solvers.base import Capability, Deadline, Ended, Limits, Proposal
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.trace import best_on_piece, trace

_log = logging.getLogger(__name__)

_BETTER = 1e-13
_MARGIN = 1e-9
_PROBES = 6
_LEAP = 4
_LEAP_BY_SIZE = 1 / 32
_FIRST_LENGTH = 0.02


class Path:
    """Exact optimum of one price by tracing its pieces."""

    name = "path"
    capabilities = frozenset({Capability.ONE_PRICE})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price; exact, whatever gap is asked for."""
        incumbent = Incumbent(market)
        search = Search(market, incumbent.users)
        deadline = Deadline(limits.time_limit)
        ended = Ended.FINISHED
        try:
            if are_listed((market.n, market.m)):
                for found in _probe(incumbent):
                    search.know(found)
            for _ in search.steps():
                if deadline.passed() and not search.done:
                    ended = Ended.TIME_LIMIT
                    break
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        prices = None if search.best_price is None else np.array([search.best_price])
        return Proposal(prices, search.upper_bound, ended, (search.note,))


def _probe(best: Incumbent) -> Iterator[Equilibrium]:
    """Equilibria at halves of the cap, and uphill from the best of them: they prove nothing, but make leaps long."""
    for halvings in range(_PROBES):
        yield best.offer(best.market.price_cap / 2**halvings)
    best.polish()
    assert best.equilibrium is not None
    yield best.equilibrium


class Search:
    """The search for the best price: the best so far, and what is proven of all others.

    Parameters
    ----------
    market, users
        The market, whose leader has one price, and its users by `user_problem`.

    Attributes
    ----------
    known
        Equilibria solved or told of.
    done
        Whether all prices are judged.
    """

    def __init__(self, market: Market, users: UserProblem) -> None:
        self._market = market
        self._users = users
        self._own = market.leader[0]
        self._unit_cost = float(market.unit_cost[self._own])
        self._cap = float(market.price_cap[0])
        self._worth = _LEAP + _LEAP_BY_SIZE * min(market.n, market.m)
        self._pieces = 0
        self._traced = 0.0
        self._beyond = np.inf
        self.known: list[Equilibrium] = []
        self.best_price: float | None = None
        self.best_profit = -np.inf
        self.done = False

    @property
    def upper_bound(self) -> float | None:
        """Proven bound on the profit at any price, or None where there is none yet."""
        bound = max(self.best_profit, self._beyond)
        return bound if np.isfinite(bound) else None

    @property
    def note(self) -> str:
        """What it took, for people."""
        return f"{self._pieces} pieces, {len(self.known)} equilibria"

    def know(self, found: Equilibrium) -> None:
        """Learn of an equilibrium of these users: the more it earns the longer leaps are, near it they cost less."""
        self.known.append(found)
        self._offer(float(found.prices[0]), profit_of(self._market, found.prices, found.load))

    def steps(self) -> Iterator[None]:
        """Go from price 0 to the cap, piece by piece and leap by leap, and stop after each for the caller to look."""
        price = 0.0
        while not self.done:
            near = min(self.known, key=lambda known: abs(known.prices[0] - price), default=None)
            found = solve_users(self._users, np.array([price]), near)
            self.know(found)
            onward = self._onward(price, float(found.load[self._own]))
            yield
            if not self.done and onward is None:
                for piece in trace(self._users, found.prices, 0, self._cap, found):
                    self._pieces, self._traced = self._pieces + 1, self._traced + piece.end - piece.start
                    self._offer(*best_on_piece(piece, 0, np.zeros(1), self._unit_cost))
                    load = float(piece.load[0] + piece.slope[0] * (piece.end - piece.start))
                    onward = self._onward(piece.end, load)
                    yield
                    if self.done or onward is not None:
                        break
            assert self.done or onward is not None
            price = onward or 0.0

    def _onward(self, price: float, load: float) -> float | None:
        """Where to leap to from a price with a load, or None to trace on; sets what is proven of prices beyond."""
        if self._cap <= price:
            self._beyond, self.done = -np.inf, True
            return None
        if self._cap < self._unit_cost:  # dearer prices lose less: the whole range must be seen
            return None
        self._beyond = (self._cap - self._unit_cost) * load
        if self._beyond <= self.best_profit:
            self.done = True
            return None
        if self.best_profit < 0:
            return None
        # The margin lets the trace meet the best price known, or a cheaper one that earns as much.
        onward = min(self._unit_cost + (1 - _MARGIN) * self.best_profit / load, self._cap)
        length = self._traced / self._pieces if self._pieces else _FIRST_LENGTH * price
        _log.info("price %.6g of %.6g, bound %.6g, best %.6g", price, self._cap, self._beyond, self.best_profit)
        return onward if onward - price > self._worth * length else None

    def _offer(self, price: float, profit: float) -> None:
        """Keep the better price, the cheaper one of equals."""
        more, equal = profit - self.best_profit, _BETTER * abs(profit)
        if self.best_price is None or more > equal or (more >= -equal and price < self.best_price):
            self.best_price, self.best_profit = price, profit
