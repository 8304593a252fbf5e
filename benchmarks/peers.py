"""Peers: general QP solvers set on the users' equilibrium, which minimises a strictly convex potential.

With loads x as variables the Hessian is diagonal (sparse form, for all but DAQP):

    min   sum_ij g_ij f_ij + sum_j 1/(2 alpha_j) (x_j^2 + sum_i f_ij^2)
    s.t.  sum_j f_ij = D_i,   sum_i f_ij - x_j = 0,   f >= 0.

Without them it is dense, with fewer rows (DAQP). Volumes are in units of the mean demand, and each user's offsets g
start at zero: scales that suit the peers' tolerances. Matrices are assembled when a peer is made, before any clock
starts; `set_up` hands them to a fresh native solver, `update` changes the costs of one that lives.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from prillm_or.market.market import Array
from prillm_or.users.problem import UserProblem

TIME_LIMIT = 60.0
"""Seconds for one solve, for the peers that take a limit."""


class PeerError(Exception):
    """A peer gave no answer."""


class Programme:
    """The quadratic programme of a user problem, in the sparse form of the module docstring.

    Parameters
    ----------
    users
        From `user_problem`.
    """

    def __init__(self, users: UserProblem) -> None:
        self.n, self.m = users.base.shape
        self.unit = float(users.demand.mean())
        self.demand, self.capacity = users.demand / self.unit, users.capacity / self.unit
        self.flows = self.n * self.m
        self.slope = np.concatenate([np.tile(1 / self.capacity, self.n), 1 / self.capacity])
        by_user: Any = sp.kron(sp.eye(self.n), np.ones((1, self.m)))
        by_provider: Any = sp.kron(np.ones((1, self.n)), sp.eye(self.m))
        self.rows: Any = sp.csc_matrix(sp.block_array([[by_user, None], [by_provider, -sp.eye(self.m)]]))
        self.right = np.concatenate([self.demand, np.zeros(self.m)])

    def cost(self, offsets: Array) -> Array:
        """Linear costs of flows and loads, shape (n m + m,), of offsets (n, m)."""
        return np.concatenate([offsets.ravel(), np.zeros(self.m)])

    def load(self, point: Array) -> Array:
        """Loads, shape (m,), in the market's volume units."""
        return np.asarray(self.unit * point[: self.flows].reshape(self.n, self.m).sum(axis=0))


class Peer(Protocol):
    """A QP solver. `tolerances` are those worth trying, from loose to tight."""

    name: str
    tolerances: tuple[float, ...]

    def __init__(self, programme: Programme) -> None: ...

    def set_up(self, cost: Array, tolerance: float) -> None:
        """Make a native solver."""

    def update(self, cost: Array) -> None:
        """Change the costs of the native solver."""

    def solve(self) -> Array:
        """Solve; the point, flows first. Raises `PeerError` where there is none."""


class Piqp:
    """PIQP, proximal interior point, sparse."""

    name = "PIQP"
    tolerances: tuple[float, ...] = (1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13)

    def __init__(self, programme: Programme) -> None:
        self._hessian = sp.diags(programme.slope).tocsc()
        self._rows, self._right = programme.rows, programme.right
        self._low = np.concatenate([np.zeros(programme.flows), np.full(programme.m, -np.inf)])

    def set_up(self, cost: Array, tolerance: float) -> None:
        """Make a native solver."""
        import piqp

        self._solver = piqp.SparseSolver()
        settings = self._solver.settings
        settings.eps_abs = settings.eps_rel = tolerance
        settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = tolerance
        settings.preconditioner_reuse_on_update = True
        self._solver.setup(self._hessian, cost, self._rows, self._right, x_l=self._low)

    def update(self, cost: Array) -> None:
        """Change the costs of the native solver."""
        self._solver.update(c=cost)

    def solve(self) -> Array:
        """Solve. PIQP has no time limit."""
        import piqp

        if self._solver.solve() != piqp.PIQP_SOLVED:
            raise PeerError("not solved")
        return np.array(self._solver.result.x)  # a copy: the next solve overwrites it


class Daqp:
    """DAQP, dual active set, dense, flows alone."""

    name = "DAQP"
    tolerances: tuple[float, ...] = (1e-6, 1e-9, 1e-11)

    def __init__(self, programme: Programme) -> None:
        n, m, self._flows = programme.n, programme.m, programme.flows
        self._hessian = np.kron(np.ones((n, n)) + np.eye(n), np.diag(1 / programme.capacity))
        self._rows = np.kron(np.eye(n), np.ones((1, m)))
        self._high = np.concatenate([np.full(n * m, 1e30), programme.demand])
        self._low = np.concatenate([np.zeros(n * m), programme.demand])
        self._sense = np.concatenate([np.zeros(n * m, dtype=np.int32), np.full(n, 5, dtype=np.int32)])

    def set_up(self, cost: Array, tolerance: float) -> None:
        """Make a native solver."""
        import daqp

        self._solver = daqp.Model()
        self._solver.settings = {"primal_tol": tolerance, "iter_limit": 100_000}
        self._solver.setup(self._hessian, cost[: self._flows], self._rows, self._high, self._low, self._sense)

    def update(self, cost: Array) -> None:
        """Change the costs of the native solver."""
        self._solver.update(f=cost[: self._flows])

    def solve(self) -> Array:
        """Solve, warm after an update."""
        point, _, flag, _ = self._solver.solve()
        if flag != 1:
            raise PeerError(f"exit flag {flag}")
        return np.array(point)


class Clarabel:
    """Clarabel, interior point."""

    name = "Clarabel"
    tolerances: tuple[float, ...] = (1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13)

    def __init__(self, programme: Programme) -> None:
        self._hessian = sp.diags(programme.slope).tocsc()
        signs = -sp.eye(programme.flows, programme.flows + programme.m)
        self._rows = sp.csc_matrix(sp.vstack([programme.rows, signs]))
        self._right = np.concatenate([programme.right, np.zeros(programme.flows)])
        self._flows, self._equalities = programme.flows, len(programme.right)

    def set_up(self, cost: Array, tolerance: float) -> None:
        """Make a native solver."""
        import clarabel

        settings = clarabel.DefaultSettings()
        settings.verbose, settings.presolve_enable, settings.max_threads = False, False, 1
        settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
        settings.time_limit = TIME_LIMIT
        cones = [clarabel.ZeroConeT(self._equalities), clarabel.NonnegativeConeT(self._flows)]
        self._solver = clarabel.DefaultSolver(self._hessian, cost, self._rows, self._right, cones, settings)

    def update(self, cost: Array) -> None:
        """Change the costs of the native solver."""
        self._solver.update(q=cost)

    def solve(self) -> Array:
        """Solve; an answer short of the tolerance is taken too, and judged by its error."""
        solution = self._solver.solve()
        if str(solution.status) not in ("Solved", "AlmostSolved", "InsufficientProgress"):
            raise PeerError(str(solution.status))
        return np.array(solution.x)


class Osqp:
    """OSQP, operator splitting, with polish."""

    name = "OSQP + polish"
    tolerances: tuple[float, ...] = (1e-5, 1e-7, 1e-9)

    def __init__(self, programme: Programme) -> None:
        self._hessian = sp.diags(programme.slope).tocsc()
        self._rows = sp.csc_matrix(sp.vstack([programme.rows, sp.eye(programme.flows, programme.flows + programme.m)]))
        self._low = np.concatenate([programme.right, np.zeros(programme.flows)])
        self._high = np.concatenate([programme.right, np.full(programme.flows, np.inf)])

    def set_up(self, cost: Array, tolerance: float) -> None:
        """Make a native solver."""
        import osqp

        self._solver = osqp.OSQP()
        self._solver.setup(
            self._hessian,
            cost,
            self._rows,
            self._low,
            self._high,
            verbose=False,
            polishing=True,
            eps_abs=tolerance,
            eps_rel=tolerance,
            max_iter=1_000_000,
            time_limit=TIME_LIMIT,
        )

    def update(self, cost: Array) -> None:
        """Change the costs of the native solver."""
        self._solver.update(q=cost)

    def solve(self) -> Array:
        """Solve, warm after an update."""
        answer = self._solver.solve()
        if answer.info.status != "solved":
            raise PeerError(answer.info.status)
        return np.array(answer.x)


class HighsQp:
    """HiGHS, primal active set, without its default regularisation, which moves the answer."""

    name = "HiGHS QP"
    tolerances: tuple[float, ...] = (1e-7, 1e-9)

    def __init__(self, programme: Programme) -> None:
        import highspy

        columns = programme.flows + programme.m
        model = highspy.HighsModel()
        lp = model.lp_
        lp.num_col_, lp.num_row_ = columns, len(programme.right)
        lp.col_cost_ = np.zeros(columns)
        lp.col_lower_ = np.concatenate([np.zeros(programme.flows), np.full(programme.m, -highspy.kHighsInf)])
        lp.col_upper_ = np.full(columns, highspy.kHighsInf)
        lp.row_lower_ = lp.row_upper_ = programme.right
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = programme.rows.indptr, programme.rows.indices
        lp.a_matrix_.value_ = programme.rows.data
        model.hessian_.dim_ = columns
        model.hessian_.format_ = highspy.HessianFormat.kTriangular
        model.hessian_.start_, model.hessian_.index_ = np.arange(columns + 1), np.arange(columns)
        model.hessian_.value_ = programme.slope
        self._model, self._columns = model, np.arange(columns, dtype=np.int32)

    def set_up(self, cost: Array, tolerance: float) -> None:
        """Make a native solver."""
        import highspy

        highspy.Highs.resetGlobalScheduler(True)  # or it refuses where a run before had another number of threads
        self._solver: Any = highspy.Highs()
        options = {
            "output_flag": False,
            "threads": 1,
            "qp_regularization_value": 0.0,
            "qp_allow_hot_start": True,
            "primal_feasibility_tolerance": tolerance,
            "dual_feasibility_tolerance": tolerance,
            "time_limit": TIME_LIMIT,
        }
        for name, value in options.items():
            self._solver.setOptionValue(name, value)
        self._solver.passModel(self._model)
        self._solver.changeColsCost(len(self._columns), self._columns, cost)

    def update(self, cost: Array) -> None:
        """Change the costs of the native solver, keeping point and basis: in this order, or nothing is kept."""
        # The time limit counts all solves of an object.
        self._solver.setOptionValue("time_limit", self._solver.getRunTime() + TIME_LIMIT)
        solution, basis = self._solver.getSolution(), self._solver.getBasis()
        self._solver.changeColsCost(len(self._columns), self._columns, cost)
        self._solver.setSolution(solution)
        self._solver.setBasis(basis)

    def solve(self) -> Array:
        """Solve, warm after an update."""
        import highspy

        self._solver.run()
        status = self._solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise PeerError(self._solver.modelStatusToString(status))
        return np.array(self._solver.getSolution().col_value)


PEERS: tuple[type[Peer], ...] = (Piqp, Daqp, Clarabel, Osqp, HighsQp)
