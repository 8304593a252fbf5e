r"""enumerate: brute force over the KKT patterns of one decision; small, exact, and independent of `path`.

At an equilibrium every pair (i, j) is used, with reduced cost r_ij = 0, or unused, with f_ij = 0. In scaled money
(costs of user i divided by w_q,i, if that is above 0) and with p the leader's decision, a price for instance,

    sum_j f_ij = D_i,    sum_i f_ij = x_j,
    g_ij + rho_i p [j = s] + x_j / alpha_j + f_ij / a_ij - lambda_i - r_ij = 0,
    f, r >= 0,    0 <= p <= cap,

with 1 / a_ij = 1 / (alpha_j count_i) + s_ij / (w_q,i D_i), and without congestion s_ij / D_i and no x_j / alpha_j.

These rows are linear in (p, lambda, x, f, r). The search branches depth first over the pairs, used or unused, and cuts
a partial pattern off when the rows with the columns fixed so far (r_ij = 0 or f_ij = 0) have no solution: a linear
feasibility programme, in which pairs not yet decided need not be complementary; HiGHS goes on from the last one. The
remaining columns of a complete pattern are a basis of the rows, so that everything is linear in p; its signs leave an
interval of prices, on which the profit is a quadratic of p with its best point at a top or at an end. Every
equilibrium has a pattern, hence the best of all is the optimum.

This is the brute force of Guo, Bai, Jin (AAAI 2026) with pruning. It neither solves equilibria (but one, of the rivals
alone, to bring down a cap that is far off: `users/reach.py`) nor uses that loads fall as the price rises, so it is a
check on `path`, `bisect` and the models. There are up to (2^m - 1)^n patterns, hence at most 16 pairs are taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import highspy
import numpy as np

from prillm_or import __version__
from prillm_or.errors import CombinationError, argument
from prillm_or.limits import Deadline, Limits
from prillm_or.market.decisions import all_prices, per_unit, rises
from prillm_or.market.market import Array, Market, Mask
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.silent import silent_highs
from prillm_or.users.reach import within_reach

_log = logging.getLogger(__name__)
_MOST_PAIRS = 16
_STILL = 1e-10
_ROUNDING = 1e-12
_HELD = 1e-12


class Enumerate:
    """Brute force over complementarity patterns."""

    name = "enumerate"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.PRICE_LISTS})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price; the bound is proven when all patterns were seen, and absent before.

        Raises
        ------
        CombinationError
            When there are more than 16 pairs of a user and a provider.
        """
        if market.n * market.m > _MOST_PAIRS:
            raise CombinationError(
                f"{market.name}: solver enumerate takes up to {_MOST_PAIRS} pairs of a user and a provider, here are "
                f"{market.n * market.m}; use {argument('solver', 'path')} or {argument('solver', 'bisect')}"
            )
        search = _Search(within_reach(market), Deadline(limits.time_limit))
        try:
            ended = Ended.FINISHED if search.run() else Ended.TIME_LIMIT
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        price, profit = search.best()
        prices = np.array([price]) if search.points else None
        note = f"{search.patterns} complete patterns, {search.checks} partial ones checked"
        stats = {"patterns": search.patterns, "checks": search.checks}
        return Proposal(prices, profit if ended is Ended.FINISHED else None, ended, (note,), stats=stats)


class _Rows:
    """The KKT rows in free units: columns u = p / cap, lambda (n), x (m), f (n m), r (n m).

    Volumes are shares of all demand; money is measured by the spread of the costs.
    """

    def __init__(self, market: Market) -> None:
        n, m = self.shape = market.n, market.m
        self.leader, self.cap, self.total = market.leader[0], float(market.price_cap[0]), float(market.demand.sum())
        table = all_prices(market, 0.0)
        # What a unit of each user's flow earns the leader, at p = 0 and per p.
        self.margin = np.broadcast_to(per_unit(market, table - market.unit_cost)[..., self.leader], n)
        self.rise = rises(market)[:, 0]
        spent = market.price_weight[:, None] * per_unit(market, table)
        scale = market.congestion_weight[:, None] if market.congested else 1.0
        offset = (spent + market.delay_weight[:, None] * market.delay - market.worth) / scale
        offset -= offset.min(axis=1, keepdims=True)
        by_load = 1 / market.capacity if market.congested else np.zeros(m)
        own = by_load / market.count[:, None] + market.pair_dispersion / (scale * market.demand[:, None])
        money = float(offset.max()) + self.total / float((1 / own).mean(axis=0).sum())
        by_load, own = by_load * self.total / money, own * self.total / money
        pays = self.cap * market.price_weight * self.rise / np.ravel(scale) / money
        self.level, self.load = slice(1, 1 + n), slice(1 + n, 1 + n + m)
        self.flow = (1 + n + m + np.arange(n * m)).reshape(n, m)
        self.reduced = self.flow + n * m
        self.matrix = np.zeros((n + m + n * m, 1 + n + m + 2 * n * m))
        self.right = np.concatenate([market.demand / self.total, np.zeros(m), -offset.ravel() / money])
        for i in range(n):
            self.matrix[i, self.flow[i]] = 1.0
            for j in range(m):
                row = self.matrix[n + m + i * m + j]
                row[0] = pays[i] * (j == self.leader)
                row[1 + i], row[self.reduced[i, j]] = -1.0, -1.0
                row[1 + n + j], row[self.flow[i, j]] = by_load[j], own[i, j]
        for j in range(m):
            self.matrix[n + j, self.flow[:, j]] = 1.0
            self.matrix[n + j, 1 + n + j] = -1.0

    def line(self, used: Mask) -> tuple[Array, Array]:
        """On a complete pattern, shape (n, m): all columns but u as values at u = 0 and rates by u, 0 where fixed."""
        columns = self.matrix.shape[1]
        # Of each pair one column is fixed, and u is the parameter: as many columns are left as there are rows.
        free = np.ones(columns, dtype=np.bool_)
        free[0] = False
        free[self.flow[~used]] = free[self.reduced[used]] = False
        values, rates = np.zeros(columns), np.zeros(columns)
        sides = np.column_stack([self.right, -self.matrix[:, 0]])
        values[free], rates[free] = np.linalg.solve(self.matrix[:, free], sides).T
        return values, rates

    def interval(self, values: Array, rates: Array) -> tuple[float, float]:
        """Values of u in [0, 1] at which flows and reduced costs are >= 0; empty if the first exceeds the second."""
        value, rate = values[self.load.stop :], rates[self.load.stop :]
        moves = np.abs(rate) > _STILL
        if (value[~moves] < -_STILL).any():
            return np.inf, -np.inf
        # Neighbouring patterns share the ends of their intervals: widened a little, no price falls between two.
        zero = -(value[moves] + _ROUNDING) / rate[moves]
        rises = rate[moves] > 0
        return float(zero[rises].max(initial=0.0)), float(zero[~rises].min(initial=1.0))


class _Search:
    """Depth first over pairs, with the profits seen on the way."""

    def __init__(self, market: Market, deadline: Deadline) -> None:
        self.points: list[tuple[float, float]] = []
        self.patterns = self.checks = 0
        self._rows = _Rows(market)
        self._feasible = _Feasibility(self._rows)
        self._deadline = deadline
        self._stopped = False

    def run(self) -> bool:
        """See all patterns; False when the time runs out."""
        used = np.zeros(self._rows.shape, dtype=np.bool_)
        for _ in self._complete(used, 0, np.full(self._rows.matrix.shape[1], np.inf)):
            self.patterns += 1
            self._collect(used)
            if self.patterns % 100 == 0:
                _log.info("%d complete patterns, %d partial ones checked", self.patterns, self.checks)
        return not self._stopped

    def best(self) -> tuple[float, float]:
        """Best price, the smallest among equals, and profit."""
        if not self.points:
            return np.nan, -np.inf
        top = max(profit for _, profit in self.points)
        rows = self._rows
        noise = _ROUNDING * float((np.abs(rows.margin) + rows.cap * rows.rise).max()) * rows.total
        return min(price for price, profit in self.points if profit >= top - noise), top

    def _complete(self, used: Mask, pair: int, point: Array) -> Iterator[None]:
        """Set `used` to one complete pattern after the other; pairs before `pair`, row by row, are decided.

        `point` is a solution of the rows with the columns fixed so far, or infinite where none is at hand.
        """
        if pair == used.size:
            yield None
            return
        i, j = divmod(pair, used.shape[1])
        for use in (True, False):
            column = int((self._rows.reduced if use else self._rows.flow)[i, j])
            if not use and j == used.shape[1] - 1 and not used[i, :j].any():
                return  # every user needs a provider
            self._stopped = self._stopped or self._deadline.passed()
            if self._stopped:
                return
            used[i, j] = use
            self._feasible.fix(column)
            # Where the parent's solution has the column at zero already, it is the child's as well.
            below = point if point[column] <= _HELD else self._check()
            if below is not None:
                yield from self._complete(used, pair + 1, below)
            self._feasible.free(column)

    def _check(self) -> Array | None:
        self.checks += 1
        return self._feasible.point()

    def _collect(self, used: Mask) -> None:
        """Note the profits at the ends and at the top of a complete pattern's prices."""
        rows = self._rows
        values, rates = rows.line(used)
        low, high = rows.interval(values, rates)
        if low > high:
            return
        flow, slope = values[rows.flow[:, rows.leader]], rates[rows.flow[:, rows.leader]]
        margin, rise = rows.margin, rows.cap * rows.rise
        candidates = [low, high]
        # Profit is the sum of (margin + rise u)(flow + slope u), a concave parabola of u where this is below 0.
        bend = float(rise @ slope)
        if bend < 0:
            top = -float(rise @ flow + margin @ slope) / (2 * bend)
            candidates.append(min(max(top, low), high))
        for u in candidates:
            self.points.append((rows.cap * u, float((margin + rise * u) @ (flow + slope * u)) * rows.total))


class _Feasibility:
    """The rows as a linear programme of HiGHS without an objective, its columns fixed and freed one by one."""

    def __init__(self, rows: _Rows) -> None:
        count, columns = rows.matrix.shape
        low, high = np.zeros(columns), np.full(columns, highspy.kHighsInf)
        low[rows.level], high[0] = -highspy.kHighsInf, 1.0
        entries = np.nonzero(rows.matrix)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = columns, count
        lp.col_cost_, lp.col_lower_, lp.col_upper_ = np.zeros(columns), low, high
        lp.row_lower_ = lp.row_upper_ = rows.right
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.concatenate([[0], np.cumsum(np.bincount(entries[0], minlength=count))])
        lp.a_matrix_.index_, lp.a_matrix_.value_ = entries[1], rows.matrix[entries]
        self._solver = silent_highs()
        self._solver.setOptionValue("presolve", "off")  # it would throw away the basis to go on from
        self._solver.passModel(lp)

    def fix(self, column: int) -> None:
        """Hold a column at zero."""
        self._solver.changeColBounds(column, 0.0, 0.0)

    def free(self, column: int) -> None:
        """Let it be any number >= 0 again."""
        self._solver.changeColBounds(column, 0.0, highspy.kHighsInf)

    def point(self) -> Array | None:
        """A solution, None where there is none; infinite where HiGHS cannot say, for no pattern may be lost by that."""
        self._solver.run()
        status = self._solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return None
        values = np.array(self._solver.getSolution().col_value)
        return values if status == highspy.HighsModelStatus.kOptimal else np.full(len(values), np.inf)
