r"""ascent: several prices of one owner, uphill to a point that no piece around it improves on.

The profit is continuous and quadratic on pieces (`docs/mathematics.md`, L1, L5). Two steps take turns:

* one price at a time, each to its best over its whole range, exactly, by the pieces of `curves/trace.py`;
* where no single price helps, the point may sit on a ridge, between pieces that fall off on both sides, with a way up
  along it. A vector of least norm among the mixtures of the gradients of all pieces around is 0 where there is no way
  up, and else points along the ridge: gradient sampling. Gradients are exact, of the supports at prices a little off.

Both only ever raise the profit. What is found is a local maximum, and no bound is proven: this is a heuristic, tried
from several starts. Literature: Burke, Lewis, Overton, "A robust gradient sampling algorithm for nonsmooth, nonconvex
optimization", SIAM Journal on Optimization 15 (2005) 751-779, doi 10.1137/030601296.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prillm_or.curves.trace import best_on_piece, trace
from prillm_or.market.market import Array, Market
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, UserProblem, load_slopes, solve_users

_BETTER = 1e-13
_STANDSTILL = 1e-12
_MOST_PASSES = 200
_OFF = (1e-4, 1e-6)
_FLAT = 1e-9
_HEAVY = 1e4


def ascend(market: Market, users: UserProblem, prices: Array, near: Equilibrium | None = None) -> tuple[Array, float]:
    """Go uphill from the leader's prices; where it ends, and the profit there.

    Parameters
    ----------
    market, users
        The market, whose leader has several prices, and its users by `user_problem`.
    prices
        Shape (len(leader),): where to start, within the caps.
    near
        An equilibrium of the same users to look for others from.
    """
    hill = _Hill(market, users, near)
    profit = hill.profit(prices)
    for _ in range(_MOST_PASSES):
        before = profit
        prices, profit = hill.one_at_a_time(prices, profit)
        if profit - before <= _STANDSTILL * abs(profit):
            ridge, higher = hill.along_ridge(prices, profit)
            if higher - profit <= _STANDSTILL * abs(profit):
                break
            prices, profit = ridge, higher
    return prices, profit


class _Hill:
    """The profit of one market as a function of the leader's prices."""

    def __init__(self, market: Market, users: UserProblem, near: Equilibrium | None) -> None:
        self._market, self._users, self._near = market, users, near
        self._own = list(market.leader)
        self._cost = market.unit_cost[self._own]
        self._cap = market.price_cap

    def profit(self, prices: Array) -> float:
        self._near = solve_users(self._users, prices, self._near)
        return profit_of(self._market, prices, self._near.load)

    def one_at_a_time(self, prices: Array, profit: float) -> tuple[Array, float]:
        """Each price in turn to its best, all others held."""
        for which in range(len(prices)):
            low = prices.copy()
            low[which] = 0.0
            pieces = trace(self._users, low, which, float(self._cap[which]), self._near)
            points = (best_on_piece(piece, which, prices - self._cost, float(self._cost[which])) for piece in pieces)
            price, best = max(points, key=lambda point: point[1])
            if best - profit > _BETTER * abs(profit):
                prices, profit = prices.copy(), best
                prices[which] = price
        return prices, profit

    def along_ridge(self, prices: Array, profit: float) -> tuple[Array, float]:
        """A step along the ridge that prices may sit on; the same prices where there is no way up."""
        for off in _OFF:
            away = off * float(self._cap.max())
            direction = self._way_up(prices, away)
            if direction is None:
                continue

            def height(step: float, way: Array = direction) -> float:
                return self.profit(self._at(prices, way, step))

            step, best = _furthest(height, profit, away)
            if best > profit:
                return self._at(prices, direction, step), best
        return prices, profit

    def _at(self, prices: Array, direction: Array, step: float) -> Array:
        moved: Array = np.clip(prices + step * direction, 0.0, self._cap)
        return moved

    def _way_up(self, prices: Array, away: float) -> Array | None:
        """Least mixture of the gradients `away` from prices, and of what 0 and the caps forbid, its largest entry 1."""
        from scipy.optimize import nnls

        axes = np.eye(len(prices))
        gradients = [self._gradient(self._at(prices, sign * axis, away)) for axis in axes for sign in (-1.0, 1.0)]
        size = max(float(np.abs(gradients).max()), np.finfo(np.float64).tiny)
        walls = [*(axes[prices <= 0.0]), *(-axes[prices >= self._cap])]
        columns = np.array([*(gradient / size for gradient in gradients), *walls]).T
        shares = np.append(np.ones(len(gradients)), np.zeros(len(walls)))
        mixture, _ = nnls(np.vstack([columns, _HEAVY * shares]), np.append(np.zeros(len(prices)), _HEAVY))
        direction = columns @ mixture
        longest = float(np.abs(direction).max())
        return None if longest < _FLAT else direction / longest

    def _gradient(self, prices: Array) -> Array:
        found = solve_users(self._users, prices, self._near)
        slopes = load_slopes(self._users, found.laplacian)
        gradient: Array = found.load[self._own] + slopes.T @ (prices - self._cost)
        return gradient


def _furthest(height: Callable[[float], float], start: float, first: float) -> tuple[float, float]:
    """Step and height of a good point: as far as it rises, in doubled steps, or the top of the last three's parabola.

    `height` at 0 is `start`; the step is 0 where not even a small one rises.
    """
    step = first
    while (best := height(step)) <= start:
        step /= 16
        if step < first / 300:
            return 0.0, start
    low, peak = (0.0, start), (step, best)
    while (high := (2 * peak[0], height(2 * peak[0])))[1] > peak[1]:
        low, peak = peak, high
    (x0, y0), (x1, y1), (x2, y2) = low, peak, high
    bend = (x1 - x0) * (y1 - y2) - (x1 - x2) * (y1 - y0)
    if bend > 0:
        top = x1 - 0.5 * ((x1 - x0) ** 2 * (y1 - y2) - (x1 - x2) ** 2 * (y1 - y0)) / bend
        if (there := height(top)) > peak[1]:
            return top, there
    return peak
