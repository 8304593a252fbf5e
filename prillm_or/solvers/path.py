r"""path: the exact optimum of one decision of the leader, by tracing the pieces of its loads (`curves/trace.py`).

A decision that is not simply a price, but a component's or a factor, is left to `every_piece.py`. Of a price, on each
piece the profit is a parabola. What need not be traced is leapt over, with k the unit cost and best the best
profit seen:

* prices from 0 up to one from which on the profit only rises (`monotone.py`);
* at a price p with load x_s(p), which never rises, all prices up to k + best / x_s(p), where that is many pieces away;
* prices up to another of known load, where the two loads leave no room for a better one in between (`monotone.py`); a
  price is looked for this way beyond which nothing earns more, if the load goes on falling as it does at p.

The end is where (cap - k) x_s(p) is no more than best. A good price is looked for first, uphill from today's: it makes
leaps long.

Cost: that of the pieces and the equilibria, see there; the notes of a result tell how many there were.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from prillm_or import __version__
from prillm_or.curves.parabola import vertex
from prillm_or.curves.trace import Piece, best_on_piece, trace
from prillm_or.errors import ConvergenceError
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.every_piece import best_of_every_piece
from prillm_or.solvers.monotone import HIDDEN, Monotone, Point
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.small_path import best_of_small, is_small
from prillm_or.solvers.unserved import cheapest_unserved
from prillm_or.users.certificate import relative_gap
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.narrowing import are_many
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.reach import reach_from
from prillm_or.users.slopes import load_slopes

_log = logging.getLogger(__name__)

_MANY = 5000
_EXACT = 1e-12
_BETTER = 1e-13
_MARGIN = 1e-9
_CLIMBS = 3
_LEAP = 4
_NEXT = tuple(1 + sign * step * float(np.finfo(np.float64).eps) for step in (1, 2, 4, 16, 256) for sign in (-1, 1))
_LEAP_BY_SIZE = 1 / 32
_FIRST_LENGTH = 0.02
_FEW = 8
"""So few pieces, all at one kink perhaps, do not tell how long others are."""


Start = tuple[float, Callable[[], Equilibrium]]
"""An equilibrium to look for others from, of the same or of like users: its price, and what fetches it when needed."""


class Path:
    """Exact optimum of one decision by tracing its pieces."""

    name = "path"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.PRICE_LISTS})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best value; exact, whatever gap is asked for."""
        deadline = Deadline(limits.time_limit)
        if not market.plain:
            return _of_lists(market, limits, deadline)
        users = user_problem(market)
        if is_small(users) and not deadline.passed() and (small := best_of_small(market, users)) is not None:
            return small
        if market.n >= _MANY and are_many(users):
            return Bisect().solve(market, replace(limits, gap=min(limits.gap, _EXACT)))
        search = Search(market, users)
        ended = Ended.FINISHED
        try:
            search.climb()
            for _ in search.steps():
                if deadline.passed() and not search.done:
                    ended = Ended.TIME_LIMIT
                    break
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        except ConvergenceError:
            search.coarse = True
        return proposal_of(search, market, ended, replace(limits, time_limit=deadline.left()))


def _of_lists(market: Market, limits: Limits, deadline: Deadline) -> Proposal:
    """The best by every piece; where they are too blurred for the gap, or one does not resolve, by `bisect`."""
    try:
        return best_of_every_piece(market, user_problem(market), limits.gap, deadline)
    except ConvergenceError as lost:
        found = Bisect().solve(market, replace(limits, time_limit=deadline.left()))
        return replace(found, notes=(f"{lost.args[0]}, so bisect went on", *found.notes))


def proposal_of(search: Search, market: Market, ended: Ended, limits: Limits) -> Proposal:
    """What a search found; where rounding hides what it proves, or stopped it, `bisect` proves the bound."""
    stats, note, bound = search.stats, search.note, search.upper_bound
    if ended is Ended.FINISHED and search.coarse:
        search.settle()
        bound = search.upper_bound if search.done else None
        if bound is None or relative_gap(bound, search.best_profit) > limits.gap:
            found = Bisect().solve(market, limits)
            assert found.prices is not None
            search.look(float(found.prices[0]))
            bound, ended = found.upper_bound, found.ended
            note = f"{note}; rounding hides what pieces earn, so bisect went on: {', '.join(found.notes)}"
            stats |= {f"bisect_{name}": figure for name, figure in found.stats.items()}
    prices = None if search.best_price is None else np.array([search.best_price])
    return Proposal(prices, bound, ended, (note,), stats=stats)


class Search:
    """The search for the best price: the best so far, and what is proven of all others.

    Parameters
    ----------
    market, users
        The market, whose leader has one price, and its users by `user_problem`.
    starts
        Equilibria to look for others from.

    Attributes
    ----------
    bounds
        What loads prove.
    done
        Whether all prices are judged.
    coarse
        Whether the pieces have fewer digits than profits should.
    """

    def __init__(self, market: Market, users: UserProblem, starts: Iterable[Start] = ()) -> None:
        self._market = market
        self._users = users
        self._starts = list(starts)
        self._cap = float(market.price_cap[0])
        self.bounds = Monotone(market, users)
        # Pieces that a leap must save to be worth its equilibrium; their mean length so far is `_traced` / `_pieces`.
        self._worth = _LEAP + _LEAP_BY_SIZE * min(market.n, market.m)
        self._pieces = 0
        self._traced = 0.0
        # The dearest price from which an end was guessed: the next guess is made well beyond it, not on each piece.
        self._tried = -np.inf
        # Between calls no price up to the point passed last earns more than the best, none beyond it more than
        # `_beyond`. It is infinite while nothing is known of those, -infinite once there are none.
        self._beyond = np.inf
        # The most that a piece may earn whose profits rounding blurs.
        self._hidden = -np.inf
        # The equilibria solved and the loads there, by price, in the order in which they were solved.
        self._known: dict[float, Equilibrium] = {}
        self._points: dict[float, Point] = {}
        self.best_price: float | None = None
        self.best_profit = -np.inf
        self.done = False
        self.coarse = False

    @property
    def upper_bound(self) -> float | None:
        """Proven bound on the profit at any price, or None where there is none yet."""
        bound = max(self.best_profit, self._hidden, self._beyond)
        return bound if np.isfinite(bound) else None

    @property
    def known(self) -> list[Equilibrium]:
        """Equilibria that were solved, in their order."""
        return list(self._known.values())

    @property
    def stats(self) -> dict[str, float]:
        """Pieces traced and equilibria solved so far."""
        return {"pieces": self._pieces, "equilibria": len(self._known)}

    @property
    def note(self) -> str:
        """The same in words."""
        return f"{self._pieces} pieces, {len(self._known)} equilibria"

    def near(self, price: float) -> Equilibrium | None:
        """The equilibrium nearest to a price, of those that were solved or to start from; None of none."""
        nearest = min(self._starts, key=lambda start: abs(start[0] - price), default=None)
        return None if nearest is None else nearest[1]()

    def look(self, price: float) -> Equilibrium:
        """Solve the equilibrium at a price, or the reach where that is cheaper, and learn of it."""
        if (same := self._known.get(price)) is not None:
            return same
        found = solve_users(self._users, np.array([price]), self.near(price))
        point = self.bounds.point(found)
        if point.load <= 0 and (end := reach_from(self._users, found.level)).item() < price:
            # Nobody is there from the reach on (L9): a point far beyond it would leave bounds between points no digits.
            price = end.item()
            self._cap = min(self._cap, price)
            found = Equilibrium(self._users, end, found.level, found.congestion, found.laplacian, found.routed)
            point = Point(price, 0.0)
        self._known[price], self._points[price] = found, point
        self._starts.append((price, lambda: found))
        self._offer(price, (price - self.bounds.unit_cost) * point.load)
        return found

    def settle(self) -> None:
        """Take the best price that there is beside the one found, by equilibria, which have all digits.

        Where the load falls steeply, as all move away at nearly one price, the next number may be on the better side.
        """
        traced, self.best_price, self.best_profit = self.best_price, None, -np.inf
        for price, point in self._points.items():
            self._offer(price, (price - self.bounds.unit_cost) * point.load)
        if traced is not None:
            self.look(traced)
        if (best := self.best_price) is not None:
            for factor in _NEXT:
                self.look(min(best * factor, self._cap))

    def climb(self) -> None:
        """Go uphill from today's price: the nearer the best price is guessed, the more can be leapt over."""
        today, k = float(self._market.price[self._market.leader[0]]), self.bounds.unit_cost
        price = self._cap / 4 if np.isnan(today) else min(today, self._cap)
        for _ in range(_CLIMBS):
            before = self.best_profit
            found = self.look(price)
            price = float(found.prices[0])
            load, slope = self._points[price].load, float(load_slopes(self._users, found.laplacian)[0, 0])
            if slope >= 0 or self.best_profit <= before:
                return
            # The top of the parabola of this piece (L5), though it may lie beyond the piece: it is only a guess.
            price = min(max(price + vertex(load + (price - k) * slope, slope), 0.0), self._cap)

    def steps(self) -> Iterator[None]:
        """Go up to the cap, piece by piece and leap by leap, and stop after each for the caller to look."""
        if self.best_profit <= 0 and (free := cheapest_unserved(self._market, self.look)) is not None:
            self.best_price, self.best_profit, self._beyond = float(free.prices[0]), 0.0, -np.inf
            self.done = True
            yield
            return
        # Below this price the profit only rises (L8), so that no price there is better.
        at = self.look(max(map(self.bounds.rising_to, self._points.values()), default=0.0))
        while True:
            # Counted where a trace begins, sigma holds at all dearer prices: nobody joins, or all users were counted.
            point, sigma = self._points[float(at.prices[0])], self.bounds.sigma(at)
            self._pass(point)
            yield
            if self.done:
                return
            onward = self._onward(point, 0.0, sigma)
            if onward is None:
                for piece in trace(self._users, at.prices, 0, self._cap, at):
                    point = self._add(piece, at)
                    self._pass(point)
                    yield
                    if self.done:
                        return
                    onward = self._onward(point, float(piece.slope[0]), sigma)
                    if onward is not None:
                        break
            assert onward is not None, "a trace ends at the cap"
            at = onward

    def _add(self, piece: Piece, at: Equilibrium) -> Point:
        """Judge a piece of the trace from an equilibrium; its end."""
        length = piece.end - piece.start
        self._pieces, self._traced = self._pieces + 1, self._traced + length
        price, profit = best_on_piece(piece, 0, np.zeros(1), self.bounds.unit_cost)
        self._offer(price, profit)
        load, doubt = max(float(piece.load[0] + piece.slope[0] * length), 0.0), self.bounds.doubt(at.noise, piece.end)
        if not piece.load[0]:
            # All prices beyond are to be ruled out, so it had better be so.
            if self._error(piece.start, 0.0) > doubt:
                raise ConvergenceError(f"{self._market.name}: the trace has lost its way at price {piece.start!r}")
        elif max(piece.end - self.bounds.unit_cost, 0.0) * doubt > HIDDEN * abs(profit):
            # What rounding may hide is proven of no price.
            self.coarse = True
            doubt += self._error(piece.end, load)
            self._hidden = max(self._hidden, profit + (piece.end - self.bounds.unit_cost) * doubt)
            load += doubt
        return Point(piece.end, load)

    def _error(self, price: float, load: float) -> float:
        """How far a load that was traced is from that of an equilibrium."""
        found = self.look(price)
        return abs(self._points[float(found.prices[0])].load - load)

    def _pass(self, point: Point) -> None:
        """All prices up to that of a point are judged; say what is proven of those beyond."""
        if self._cap <= point.price:
            self._beyond, self.done = -np.inf, True
        # Beyond the point the load is no more than there (L2), the margin no more than the cap's. Where that margin is
        # negative, dearer prices lose less, and the whole range must be seen.
        elif self._cap > self.bounds.unit_cost:
            self._beyond = (self._cap - self.bounds.unit_cost) * point.load
            self.done = self._beyond <= self.best_profit
        _log.info("price %.6g of %.6g, best %.6g, bound %.6g", point.price, self._cap, self.best_profit, self._beyond)

    def _onward(self, point: Point, slope: float, sigma: float) -> Equilibrium | None:
        """Where to leap to, no price in between being better, or None to trace on."""
        # Without a profit to beat, no price above the unit cost can be ruled out.
        k, best = self.bounds.unit_cost, self.best_profit
        if best <= 0 or self._cap <= k:
            return None
        # A price that was solved before costs nothing to leap to.
        for price, ahead in self._points.items():
            if price > point.price and self._leaves_none(point, ahead, sigma):
                return self._known[price]
        worth = self._worth * (self._traced / self._pieces if self._pieces >= _FEW else _FIRST_LENGTH * point.price)
        if slope < 0 and point.price > self._tried + worth:
            # The load expected at the end decides whether to solve the equilibrium there, the true one whether to leap.
            end = self._expected_end(point, slope)
            if self._leaves_none(point, end, sigma):
                self._tried = point.price
                found = self.look(end.price)
                if self._leaves_none(point, self._points[float(found.prices[0])], sigma):
                    return found
        # Up to k + best / load no price earns more than best, for the load never rises (L2); at a load of 0 `_pass` has
        # ended the search. The margin lets the trace meet the best price known, or a cheaper one that earns as much.
        onward = min(k + (1 - _MARGIN) * best / point.load, self._cap)
        return self.look(onward) if onward - point.price > worth else None

    def _leaves_none(self, low: Point, high: Point, sigma: float) -> bool:
        """Whether no price between two points is better than the best."""
        return self.bounds.between(low, high, sigma) <= self.best_profit

    def _expected_end(self, point: Point, slope: float) -> Point:
        """Where no dearer price is better, if the load goes on falling as it does at a point."""
        # At a load of `last` not even the cap's margin earns the best profit.
        last = (1 - _MARGIN) * self.best_profit / (self._cap - self.bounds.unit_cost)
        price = min(point.price + (point.load - last) / -slope, self._cap)
        return Point(price, point.load + slope * (price - point.price))

    def _offer(self, price: float, profit: float) -> None:
        """Keep the better price, the cheaper one of equals."""
        more, equal = profit - self.best_profit, _BETTER * abs(profit)
        if self.best_price is None or more > equal or (more >= -equal and price < self.best_price):
            self.best_price, self.best_profit = price, profit
