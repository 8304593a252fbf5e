r"""path: the exact optimum of one leader price, by tracing the pieces of the leader's loads.

On a fixed support everything is linear in the price p of the leader's provider s: with K of `support.py` and rho_i the
users' sensitivity to the price,

    K (lambda', q') = sum_{i uses s} alpha_s rho_i (e_i - e_s),      t'_ij = lambda'_i - q'_j - rho_i [j = s].

So the loads x = alpha q are linear until some slack t_ij reaches zero: a used pair leaves the support, or an unused one
enters. There, moving the pair changes K by a rank-one term, and with v = K^-1 (e_i - e_j)

    (lambda', q') <- (lambda', q') - kappa t'_ij v,                   kappa from `SupportInverse.flip`,

the slope t'_ij keeps its sign, so that the pair moves on into its new state, and the next piece begins. Each support
owns one interval of prices (critical regions of a strictly convex parametric programme are convex), hence the trace
ends.

Where several pairs reach zero at one price, pairs of zero slack that would turn infeasible are moved one at a time, the
one of least index first: Murty's rule for linear complementarity problems with a positive definite matrix, which ends
after finitely many moves whatever the order of arrival (K. G. Murty, "Note on a Bard-type scheme for solving the
complementarity problem", Opsearch 11 (1974) 123-130).

x_s never rises with p (`docs/mathematics.md`, L2), so beyond p no price up to the cap earns more than
(cap - unit cost) x_s(p): the trace for the optimum stops when that is no more than the best profit seen.

Cost of a piece: n m + min(n, m)^2; of the start: one equilibrium and one inverse.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prillm_or import __version__
from prillm_or.equilibrium import UserProblem, solve_users, user_problem
from prillm_or.errors import ConvergenceError
from prillm_or.market import Array, Market
from prillm_or.solvers.base import Capability, Deadline, Ended, Limits, Proposal
from prillm_or.support import SupportInverse

_log = logging.getLogger(__name__)

_BETTER = 1e-13
_ZERO_SLACK = 1e-12
_ZERO_RATE = 1e-12
_REFRESH = 64
_MOST_TIED_FLIPS = 100_000


class Path:
    """Exact optimum of one price by tracing its pieces."""

    name = "path"
    capabilities = frozenset({Capability.ONE_PRICE})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price; exact, whatever gap is asked for."""
        unit_cost, cap = float(market.unit_cost[market.leader[0]]), float(market.price_cap[0])
        deadline = Deadline(limits.time_limit)
        best_price, best_profit, pieces, bound = 0.0, -np.inf, 0, np.inf
        ended = Ended.FINISHED
        try:
            for piece in trace(user_problem(market), np.zeros(1), 0, cap):
                pieces += 1
                price, profit = best_on_piece(piece, 0, np.zeros(1), unit_cost)
                if pieces == 1 or profit > best_profit + _BETTER * abs(best_profit):
                    best_price, best_profit = price, profit
                load = float(piece.load[0] + piece.slope[0] * (piece.end - piece.start))
                # Where the cap is below the unit cost, dearer prices lose less: the whole range must be seen.
                bound = (cap - unit_cost) * load if cap >= unit_cost else np.inf
                if bound <= best_profit:
                    break
                if deadline.passed():
                    ended = Ended.TIME_LIMIT
                    break
                if pieces % 100 == 0:
                    _log.info("piece %d, price %.6g of %.6g", pieces, piece.end, cap)
            else:
                bound = best_profit
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        if pieces == 0:
            return Proposal(None, None, ended)
        upper_bound = max(best_profit, bound)
        note = f"{pieces} pieces"
        return Proposal(np.array([best_price]), upper_bound if np.isfinite(upper_bound) else None, ended, (note,))


@dataclass(frozen=True, eq=False)
class Piece:
    """Prices `start` to `end` on which the leader's loads are load + slope (p - start).

    Parameters
    ----------
    start, end
        Currency per volume unit.
    load, slope
        Shape (len(leader),): of all of the leader's providers, by the price of the one that moves.
    """

    start: float
    end: float
    load: Array
    slope: Array


def trace(users: UserProblem, prices: Array, which: int, end: float) -> Iterator[Piece]:
    """Yield the pieces of the leader's loads as one of its prices rises.

    Parameters
    ----------
    users
        From `user_problem`.
    prices
        Shape (len(leader),): the leader's prices; the one that moves starts here.
    which
        Which of the leader's prices moves.
    end
        The price to stop at.

    Raises
    ------
    ConvergenceError
        When a degenerate breakpoint does not resolve in double precision; `bisect` needs no breakpoints.
    """
    state = _State(users, prices, which)
    if state.price >= end:
        yield Piece(state.price, state.price, *state.loads())
        return
    while True:
        pair = state.next_pair()
        length = state.distance(pair)
        last = state.price + length >= end or not state.used()
        stop = end if last else state.price + length
        if stop > state.price:
            yield Piece(state.price, stop, *state.loads())
        if last:
            return
        state.advance(length)
        state.flip(pair)


class _State:
    """The trace at one price: support, slacks and their slopes.

    `room` and `rate` hold the slacks and their slopes, with the sign of pairs off the support turned, so that a support
    stays right while every room is >= 0.
    """

    def __init__(self, users: UserProblem, prices: Array, which: int) -> None:
        self._users = users
        self._which = which
        self._column = users.leader[which]
        self._prices = np.array(prices, dtype=np.float64)
        self._leader = list(users.leader)
        self._tied_flips = 0
        self._synchronise(solve_users(users, self._prices).support)

    @property
    def price(self) -> float:
        return float(self._prices[self._which])

    def _synchronise(self, support: NDArray[np.bool_]) -> None:
        """Recompute everything from the support, for the digits lost in many small updates."""
        users, column = self._users, self._column
        self._inverse = SupportInverse(support, users.capacity)
        offsets = users.offsets(self._prices)
        user, provider = self._inverse.offset_sums(offsets)
        self._level, self._congestion = self._inverse.solve(users.demand + user, -provider)
        slack = self._level[:, None] - offsets - self._congestion
        pull = self._inverse.weight[:, column] * users.sensitivity
        toward = np.zeros_like(users.capacity)
        toward[column] = -pull.sum()
        self._d_level, self._d_congestion = self._inverse.solve(pull, toward)
        d_slack = self._d_level[:, None] - self._d_congestion
        d_slack[:, column] -= users.sensitivity
        self._sign = np.where(support, 1.0, -1.0)
        self.room, self.rate = self._sign * slack, self._sign * d_slack
        self._zero = _ZERO_SLACK * float(np.abs(self._level).max() + np.abs(self._congestion).max())
        self._still = _ZERO_RATE * float(users.sensitivity.max())
        self._flips = 0

    def next_pair(self) -> int:
        """The pair, counted row by row, that limits how far the price can rise on this support."""
        pair = int((self.rate / np.maximum(self.room, self._zero)).argmin())
        if self.room.flat[pair] > self._zero:
            return pair
        tied = (self.room <= self._zero) & (self.rate < -self._still)
        return int(tied.argmax()) if tied.any() else self._next_untied()

    def _next_untied(self) -> int:
        """As `next_pair`, among the pairs that really move."""
        urgency = np.where(self.rate < -self._still, self.rate / np.maximum(self.room, self._zero), 0.0)
        return int(urgency.argmin())

    def distance(self, pair: int) -> float:
        """How far the price can rise until the pair's slack is zero; infinite where it never is."""
        room, rate = self.room.flat[pair], self.rate.flat[pair]
        if rate >= -self._still:
            return np.inf
        return float(room / -rate) if room > self._zero else 0.0

    def loads(self) -> tuple[Array, Array]:
        """The leader's loads and their slopes, shape (len(leader),) each."""
        capacity = self._users.capacity[self._leader]
        load, slope = capacity * self._congestion[self._leader], capacity * self._d_congestion[self._leader]
        if not self.used():  # zero but for rounding, and nobody comes back to a dearer provider
            load[self._which], slope[:] = 0.0, 0.0
        return load, slope

    def used(self) -> bool:
        """Whether anybody uses the provider whose price moves."""
        return bool(self._inverse.support[:, self._column].any())

    def advance(self, length: float) -> None:
        """Raise the price by `length`, at most up to the next breakpoint."""
        if length == 0:
            self._tied_flips += 1
            if self._tied_flips > _MOST_TIED_FLIPS:
                raise ConvergenceError(f"degenerate breakpoint at price {self.price!r}: try the solver bisect")
            return
        self._tied_flips = 0
        self._prices[self._which] += length
        self._level = self._level + length * self._d_level
        self._congestion = self._congestion + length * self._d_congestion
        self.room += length * self.rate

    def flip(self, pair: int) -> None:
        """Move the pair in or out of the support."""
        i, j = divmod(pair, self.room.shape[1])
        if self._flips == _REFRESH:
            support = self._inverse.support
            support[i, j] = not support[i, j]
            self._synchronise(support)
            return
        a, b = edge = self._inverse.edge(i, j)
        step = self._inverse.flip(i, j, edge) * self._sign[i, j] * self.rate[i, j]
        self._d_level = self._d_level - step * a
        self._d_congestion = self._d_congestion - step * b
        change = (step * a)[:, None] - step * b
        change *= self._sign
        self.rate -= change
        self._sign[i, j] *= -1.0
        self.room[i, j] = 0.0
        self.rate[i, j] *= -1.0
        self._flips += 1


def best_on_piece(piece: Piece, which: int, margins: Array, unit_cost: float) -> tuple[float, float]:
    """Price and profit of the best point of a piece, the smallest price among equals.

    `margins`, shape (len(leader),), holds price less unit cost of the leader's other providers; entry `which` is
    unused.
    """
    own_load, own_slope = piece.load[which], piece.slope[which]
    others = np.delete(margins, which)
    other_profit, other_slope = others @ np.delete(piece.load, which), others @ np.delete(piece.slope, which)
    margin, length = piece.start - unit_cost, piece.end - piece.start

    def profit(h: float) -> float:
        return float((margin + h) * (own_load + own_slope * h) + other_profit + other_slope * h)

    best = (0.0, profit(0.0))
    candidates = [length]
    if own_slope < 0:
        vertex = -(own_load + margin * own_slope + other_slope) / (2 * own_slope)
        candidates = [min(max(vertex, 0.0), length), length]
    for h in candidates:
        if (earned := profit(h)) > best[1]:
            best = (h, earned)
    return piece.start + best[0], best[1]
