r"""grid: what is done without looking at the structure: try prices on a grid, a general quadratic programme for each.

The users' equilibrium at given prices minimises the potential (`docs/mathematics.md`, section 2)

    sum_ij g_ij f_ij + sum_j x_j^2 / (2 alpha_j) + sum_ij f_ij^2 / (2 a_ij),
    sum_j f_ij = D_i,  sum_i f_ij = x_j,  f >= 0,

which any QP solver takes; here HiGHS, afresh at every price. 101 prices from 0 to the cap, or 21 x 21 for two prices;
then three times a finer grid, with steps a fifth as long, around the best. Nothing is proven between the points: no
bound. It shares no code with `path` but the users' equilibrium at one price, that of the cap (`users/reach.py`).

HiGHS needs care: its default regularisation shifts the answer, so it is set to 0; its hot start has given wrong
answers and stays off; its time limit counts all runs of one object; a QP cannot be cancelled, so that Ctrl-C takes
effect when the one at hand is done. The number of threads is left at its default, which goes with whatever pool of
threads the process has.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import highspy
import numpy as np

from prillm_or import __version__
from prillm_or.errors import CombinationError, argument
from prillm_or.limits import Deadline, Limits
from prillm_or.market.decisions import all_prices, per_unit
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.silent import silent_highs
from prillm_or.users.certificate import profit_of
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import within_reach

_log = logging.getLogger(__name__)
_POINTS = {1: 101, 2: 21}
_REFINEMENTS = 3
_FINER = 5
_BETTER = 1e-10


class Grid:
    """Grid search with one general quadratic programme per point."""

    name = "grid"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.SEVERAL_PRICES, Capability.PRICE_LISTS})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best point of the grid and of its refinements.

        Raises
        ------
        CombinationError
            When there are more than two prices: grids grow too fast.
        """
        if len(market.decisions) not in _POINTS:
            raise CombinationError(
                f"{market.name}: the leader sets {len(market.decisions)} prices, solver grid takes one or two; "
                f"use {argument('solver', 'ascent')} or {argument('solver', 'highs')}"
            )
        search = _Search(within_reach(market), Deadline(limits.time_limit))
        ended = Ended.FINISHED
        try:
            if not search.run():
                ended = Ended.TIME_LIMIT
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        note = f"{search.solved} quadratic programmes solved, {search.failed} failed; nothing is proven between points"
        return Proposal(
            search.prices, None, ended, (note,), stats={"programmes": search.solved, "failed": search.failed}
        )


class _Search:
    """The best point so far."""

    def __init__(self, market: Market, deadline: Deadline) -> None:
        self.prices: Array | None = None
        self.solved = self.failed = 0
        self._market = market
        self._deadline = deadline
        self._profit = -np.inf
        self._users = _UsersProgramme(market)
        # Ties go to the smallest prices, and programmes are solved to about this share of all the money in play.
        dearest = per_unit(market, all_prices(market, market.price_cap)[list(market.leader)])
        costs = per_unit(market, market.unit_cost[list(market.leader)])
        self._noise = _BETTER * float((dearest + costs).max()) * float(market.demand.sum())

    def run(self) -> bool:
        """Go through the grids; False when the time runs out."""
        cap = self._market.price_cap
        points = _POINTS[len(cap)]
        step = cap / (points - 1)
        axes = [np.linspace(0.0, highest, points) for highest in cap]
        for refinement in range(_REFINEMENTS + 1):
            for prices in _product(axes):
                if self._deadline.passed():
                    return False
                self._try(prices)
            if self.prices is None:
                return True
            _log.info("grid %d: prices %s, profit %.6g", refinement, self.prices, self._profit)
            step = step / _FINER
            around = self.prices + np.arange(-_FINER, _FINER + 1)[:, None] * step
            axes = [np.unique(axis) for axis in np.clip(around, 0.0, cap).T]
        return True

    def _try(self, prices: Array) -> None:
        billed = self._users.billed(prices, self._deadline.left())
        if billed is None:
            self.failed += not self._deadline.passed()
            return
        self.solved += 1
        profit = profit_of(self._market, prices, billed)
        if self.prices is None or profit > self._profit + self._noise:
            self.prices, self._profit = prices, profit


def _product(axes: list[Array]) -> Iterator[Array]:
    """Points of the grid, smallest prices first."""
    return (np.array(point) for point in itertools.product(*axes))


class _UsersProgramme:
    """The potential as a programme of HiGHS: columns x (m) and f (n m, row by row), volumes in shares of all demand."""

    def __init__(self, market: Market) -> None:
        self._users = user_problem(market)
        self._total = float(market.demand.sum())
        self._money = float(self._users.base.max() + self._total / self._users.width.sum())
        self._solver = silent_highs()
        self._solver.setOptionValue("qp_regularization_value", 0.0)
        self._solver.passModel(self._rows())
        self._solver.passHessian(self._hessian())

    def billed(self, prices: Array, seconds: float | None) -> Array | None:
        """Billed volumes at the leader's decisions, shape (k,), as `profit_of` takes them; None without an answer."""
        n, m = self._users.base.shape
        cost = np.concatenate([np.zeros(m), self._users.offsets(prices).ravel() / self._money])
        self._solver.changeColsCost(m + n * m, np.arange(m + n * m, dtype=np.int32), cost)
        if seconds is not None:
            self._solver.setOptionValue("time_limit", self._solver.getRunTime() + seconds)
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        values, tariff = np.array(self._solver.getSolution().col_value) * self._total, self._users.tariff
        return values[:m] if tariff is None else values[m:].reshape(n, m).T @ tariff.mix

    def _rows(self) -> highspy.HighsLp:
        """Demands, n rows, and loads, m rows, by rows."""
        n, m = self._users.base.shape
        flow = m + np.arange(n * m).reshape(n, m)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = m + n * m, n + m
        lp.col_cost_ = np.zeros(m + n * m)
        lp.col_lower_, lp.col_upper_ = np.zeros(m + n * m), np.full(m + n * m, highspy.kHighsInf)
        lp.row_lower_ = lp.row_upper_ = np.concatenate([self._users.demand / self._total, np.zeros(m)])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.concatenate([m * np.arange(n + 1), n * m + (n + 1) * np.arange(1, m + 1)])
        loads = np.column_stack([np.arange(m), flow.T])
        lp.a_matrix_.index_ = np.concatenate([flow.ravel(), loads.ravel()])
        lp.a_matrix_.value_ = np.concatenate([np.ones(n * m), np.tile([-1.0] + n * [1.0], m)])
        return lp

    def _hessian(self) -> highspy.HighsHessian:
        """Diagonal, 1 / alpha_j at x_j and 1 / a_ij at each f_ij."""
        n, m = self._users.base.shape
        hessian = highspy.HighsHessian()
        hessian.dim_, hessian.format_ = m + n * m, highspy.HessianFormat.kTriangular
        hessian.start_, hessian.index_ = np.arange(m + n * m + 1), np.arange(m + n * m)
        widths = np.broadcast_to(self._users.width, (n, m)).ravel()
        hessian.value_ = self._total / np.concatenate([self._users.capacity, widths]) / self._money
        return hessian
