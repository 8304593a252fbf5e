r"""ascent: several prices of one owner, uphill to a point that no piece around it improves on.

The profit is continuous and quadratic on pieces (`docs/mathematics.md`, L1, L5). Four steps take turns, each of which
only ever raises it:

* one price at a time, each to its best over its whole range, exactly, by the pieces of `curves/trace.py`;
* all prices at once to the top of the piece at hand, by Newton steps (`Incumbent.polish`);
* on, the way that these two went, as far as it rises: along a ridge they may creep;
* where none of these helps, the point may sit on a ridge, between pieces that fall off on both sides, with a way up
  along it. A vector of least norm among the mixtures of the gradients of all pieces around is 0 where there is no way
  up, and else points along the ridge: gradient sampling. Gradients are exact, of the supports at prices a little off.
  All prices alike are tried first: where users are torn between two of the leader's own, that is the ridge.

What is found is a local maximum, and no bound is proven: this is a heuristic, tried from several starts (`starts.py`).
One price needs none of it: that is `path`, exact, with its bound.

`spiter` is another name of it, after SPITER (segmentation-based pricing with iterative optimization; Jin, Guo, Bai, Wu,
Liu, Wu, Computer Networks 246 (2024) 110405), of which we could read the abstract only: it promises a local maximum of
a leader with several prices. Read so, segments are the pieces of one price, and iterating is one price after the other.
That alone is the first step above, which stops at ridges.

Literature: Burke, Lewis, Overton, "A robust gradient sampling algorithm for nonsmooth, nonconvex optimization", SIAM
Journal on Optimization 15 (2005) 751-779, doi 10.1137/030601296.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import numpy as np

from prillm_or import __version__
from prillm_or.curves.trace import best_on_piece, trace
from prillm_or.limits import Deadline, Limits
from prillm_or.market.decisions import decision_costs, sizes
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.starts import starts
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.reach import within_reach

_log = logging.getLogger(__name__)
_STANDSTILL = 1e-12
_MOST_ROUNDS = 200
_OFF = (1e-4, 1e-6)
_FLAT = 1e-9
_HEAVY = 1e4


class Ascent:
    """Ascents from several starts; `path` for one price."""

    name = "ascent"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.SEVERAL_PRICES, Capability.PRICE_LISTS})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price, or the best local maximum of several."""
        if len(market.decisions) == 1:
            return Path().solve(market, limits)
        market = within_reach(market)
        users, deadline = user_problem(market), Deadline(limits.time_limit)
        climbs: list[Climb] = []
        ended = Ended.FINISHED
        try:
            for prices in starts(market):
                climbs.append(Climb(market, users, prices, deadline=deadline))
                climbs[-1].run()
                if deadline.passed():
                    ended = Ended.TIME_LIMIT
                    break
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        best = max((climb.best for climb in climbs), key=lambda best: best.profit, default=None)
        return Proposal(None if best is None else best.prices, None, ended, (_note(climbs),), stats=_stats(climbs))


def ascend(market: Market, users: UserProblem, begin: Iterable[Array], near: Equilibrium | None = None) -> Incumbent:
    """Climb from several starts to the end, and keep the best end.

    Parameters
    ----------
    market, users
        The market, whose leader has several prices, and its users by `user_problem`.
    begin
        The starts, at least one, each of shape (k,) and within the caps.
    near
        An equilibrium of the same users to look for others from.
    """
    climbs = [Climb(market, users, prices, near) for prices in begin]
    for climb in climbs:
        climb.run()
    return max((climb.best for climb in climbs), key=lambda best: best.profit)


class Climb:
    """A way up from one start.

    Parameters
    ----------
    market, users, near
        As of `ascend`.
    prices
        The start.
    deadline
        When to stop.

    Attributes
    ----------
    best
        The highest point so far.
    traces, ridges
        Steps of one price, and steps along ridges.
    arrived
        Whether there is no way up any more.
    """

    def __init__(
        self,
        market: Market,
        users: UserProblem,
        prices: Array,
        near: Equilibrium | None = None,
        deadline: Deadline | None = None,
    ) -> None:
        self._market = market
        self._unit = 1 / sizes(market)
        self._deadline = deadline or Deadline(None)
        self.best = Incumbent(market, users)
        self.best.offer(prices, near)
        self.traces = self.ridges = 0
        self.arrived = False

    def run(self) -> None:
        """Climb until there is no way up, or the time is up."""
        with suppress(_TimeUp):
            for _ in range(_MOST_ROUNDS):
                start, before = self._highest().prices, self.best.profit
                self.one_at_a_time()
                self.best.polish()
                # Along a ridge these two may creep, by steps that hardly gain: further the same way, in longer ones.
                self._far_along(self._highest().prices - start, 1.0)
                if self._stands_at(before):
                    self._along_ridge()
                    if self._stands_at(before):
                        self.arrived = True
                        return
                _log.info("prices %s, profit %.6g", self.best.prices, self.best.profit)

    def one_at_a_time(self) -> None:
        """Bring each price in turn to its best, all others held."""
        for which in range(len(self._market.decisions)):
            if self._deadline.passed():
                raise _TimeUp
            at = self._highest()
            prices = at.prices.copy()
            prices[which] = self._best_along(at, which)
            self.best.offer(prices)

    def _best_along(self, at: Equilibrium, which: int) -> float:
        """Best value of one price, the others held; of the part that was seen when the time runs out."""
        self.traces += 1
        cost = decision_costs(self._market)
        low = at.prices.copy()
        low[which] = 0.0
        price, best = 0.0, -np.inf
        for piece in trace(self.best.users, low, which, float(self._market.price_cap[which]), at):
            top, profit = best_on_piece(piece, which, at.prices - cost, float(cost[which]))
            if profit > best:
                price, best = top, profit
            if self._deadline.passed():
                break
        return price

    def _along_ridge(self) -> None:
        """Step along the ridge that the best prices may sit on."""
        at, profit = self._highest(), self.best.profit
        for off in _OFF:
            away = off * float((self._market.price_cap / self._unit).max())
            # Users torn between two of the leader's own providers stay so where both prices move alike. A sampled
            # direction misses that line by rounding, which is too much where congestion is weak and ridges are sharp.
            for direction in (np.ones(len(at.prices)), -np.ones(len(at.prices)), self._way_up(at, away)):
                if direction is None:
                    continue
                self.ridges += 1
                self._far_along(direction * self._unit, away)
                if not self._stands_at(profit):
                    return

    def _far_along(self, way: Array, first: float) -> None:
        """Go along a way from the best prices for as long as it rises, if a first step of that length does."""
        at = self._highest()

        def height(step: float) -> float:
            found = self._look(at.prices + step * way)
            return profit_of(self._market, found.prices, found.billed)

        if way.any():
            _go_far(height, self.best.profit, first)

    def _way_up(self, at: Equilibrium, away: float) -> Array | None:
        """Least mixture of the gradients `away` from prices, and of what 0 and the caps forbid, its largest entry 1.

        In what decisions add to a unit's cost, where these are not simply prices.
        """
        from scipy.optimize import nnls

        prices, axes = at.prices, np.eye(len(at.prices))
        around = [prices + sign * away * axis * self._unit for axis in axes for sign in (-1.0, 1.0)]
        gradients = [self.best.gradient(self._look(point)) * self._unit for point in around]
        size = max(float(np.abs(gradients).max()), np.finfo(np.float64).tiny)
        walls = [*(axes[prices <= 0.0]), *(-axes[prices >= self._market.price_cap])]
        columns = np.array([*(gradient / size for gradient in gradients), *walls]).T
        shares = np.append(np.ones(len(gradients)), np.zeros(len(walls)))
        mixture, _ = nnls(np.vstack([columns, _HEAVY * shares]), np.append(np.zeros(len(prices)), _HEAVY))
        direction = columns @ mixture
        longest = float(np.abs(direction).max())
        return None if longest < _FLAT else direction / longest

    def _look(self, prices: Array) -> Equilibrium:
        """The equilibrium at prices, brought within the caps; kept where it is the best."""
        if self._deadline.passed():
            raise _TimeUp
        return self.best.offer(prices)

    def _highest(self) -> Equilibrium:
        assert self.best.equilibrium is not None, "the start was offered"
        return self.best.equilibrium

    def _stands_at(self, profit: float) -> bool:
        return self.best.profit - profit <= _STANDSTILL * abs(profit)


class _TimeUp(Exception):
    """The time limit has come."""


def _go_far(height: Callable[[float], float], start: float, first: float) -> None:
    """Look at far points: as far as it rises, in doubled steps, and the top of the last three's parabola.

    `height` at 0 is `start`; where not even a small step rises, that is all.
    """
    step = first
    while (best := height(step)) <= start:
        step /= 16
        if step <= first / 300:  # at a cap of 0 there is no step at all
            return
    low, peak = (0.0, start), (step, best)
    while (high := (2 * peak[0], height(2 * peak[0])))[1] > peak[1]:
        low, peak = peak, high
    (x0, y0), (x1, y1), (x2, y2) = low, peak, high
    bend = (x1 - x0) * (y1 - y2) - (x1 - x2) * (y1 - y0)
    if bend > 0:
        height(x1 - 0.5 * ((x1 - x0) ** 2 * (y1 - y2) - (x1 - x2) ** 2 * (y1 - y0)) / bend)


def _stats(climbs: Sequence[Climb]) -> dict[str, float]:
    """What it took."""
    return {
        "starts": len(climbs),
        "traces": sum(climb.traces for climb in climbs),
        "ridges": sum(climb.ridges for climb in climbs),
    }


def _note(climbs: Sequence[Climb]) -> str:
    """The same for people, and where it ended."""
    arrived = bool(climbs) and all(climb.arrived for climb in climbs)
    where = "local maximum" if arrived else "stopped before a local maximum"
    return f"{where}; {', '.join(f'{count} {what}' for what, count in _stats(climbs).items())}"
