"""highs: HiGHS. It solves linear programmes with binaries; convex quadratics go by outer approximation.

HiGHS keeps one pool of threads a process: a second solve with another number of threads answers nothing at all, so the
pool is reset whenever the number changes. It runs in a thread of its own, so that Ctrl-C reaches us. We wait for an
event, not for the thread: in Python 3.11 a `Thread.join` that Ctrl-C ends takes the thread for finished (cpython issue
bpo-45274), and a HiGHS that is freed while it runs corrupts the heap.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from threading import Event, Thread

import highspy
import numpy as np

from prillm_or.errors import OptionError
from prillm_or.limits import Deadline, Limits
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.solvers.programme import Programme, compile_model, normalised
from prillm_or.solvers.protocols import Answer, Ended
from prillm_or.solvers.silent import silent_highs

_ENDED = {
    highspy.HighsModelStatus.kOptimal: Ended.FINISHED,
    highspy.HighsModelStatus.kTimeLimit: Ended.TIME_LIMIT,
    highspy.HighsModelStatus.kInterrupt: Ended.INTERRUPTED,
    highspy.HighsModelStatus.kInfeasible: Ended.INFEASIBLE,
}
# When HiGHS derives cuts, it takes numbers below `small_matrix_value`, 1e-9 by itself, for rounding. With feasibility
# no wider than that, its cuts removed optima and it claimed another price at gap 0: keep the two far apart.
_DUAL = "dual_feasibility_tolerance"
# The start is the top of a climb: what looks for better points by itself takes longer than the rest of a small model.
_NO_HEURISTICS = {
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_feasibility_jump": False,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
}
_ELSEWHERE = 1e-7
"""Of profits near 1: more is no rounding."""
_TOLERANCES = {
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
    _DUAL: 1e-9,
    "small_matrix_value": 1e-12,
}


class Highs:
    """HiGHS, a free solver of linear programmes with integer variables."""

    name = "highs"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.SEVERAL_PRICES, Capability.PRICE_LISTS, Capability.MIP})

    def version(self) -> str:
        """Version of highspy."""
        return version("highspy")

    def licence(self) -> str:
        """State of the licence."""
        return "free (MIT), no limit of size"

    def limit(self) -> int | None:
        """None: there is no limit of size."""
        return None

    def refuses(self, formulation: Formulation) -> str | None:
        """Nothing: there is no limit of size."""
        return None

    def squares_in_rows(self, formulation: Formulation) -> bool:
        """It never gets squares."""
        return False

    def run(self, formulation: Formulation, limits: Limits, options: Mapping[str, object]) -> Answer:
        """Solve the model with its present tangents; the binaries start from the values in it."""
        deadline = Deadline(limits.time_limit)
        programme = normalised(compile_model(formulation.model), formulation.upper_bound)
        solver = silent_highs()
        _reset_pool(limits.usable_threads)
        solver.passModel(_highs_model(programme))
        settings = {
            "threads": limits.usable_threads,
            "random_seed": limits.seed_within(highspy.kHighsIInf),
            "mip_rel_gap": limits.gap,
        }
        if limits.time_limit is not None:
            settings["time_limit"] = limits.time_limit
        for name, value in {**settings, **_TOLERANCES, **_NO_HEURISTICS, **options}.items():
            try:
                taken = solver.setOptionValue(name, value) == highspy.HighsStatus.kOk
            except (TypeError, RuntimeError):
                taken = False
            if not taken:
                raise OptionError(name, f"HiGHS has no such option, or not with the value {value!r}")
        start = highspy.HighsSolution()
        start.col_value = programme.start().tolist()
        solver.setSolution(start)
        interrupted = _run(solver)
        if not interrupted and not deadline.passed() and _lost(programme, solver):
            solver.clearSolver()
            if (left := deadline.left()) is not None:
                solver.setOptionValue("time_limit", left)
            interrupted = _run(solver)
        information, solution = solver.getInfo(), solver.getSolution()
        ended = Ended.INTERRUPTED if interrupted else _ENDED.get(solver.getModelStatus(), Ended.UNKNOWN)
        has_values = information.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        if has_values:
            programme.load(np.array(solution.col_value))
        tolerance = max(solver.getOptionValue(name)[1] for name in ("mip_feasibility_tolerance", _DUAL))
        # Without binaries HiGHS has no nodes and says -1.
        stats = {"nodes": max(0, information.mip_node_count), "iterations": information.simplex_iteration_count}
        cause = f"HiGHS ended with the status {solver.modelStatusToString(solver.getModelStatus())!r}"
        return Answer(ended, _bound(programme, information, ended, tolerance), has_values, stats, cause)


def _run(solver: highspy.Highs) -> bool:
    """Solve in a thread; on Ctrl-C stop it, wait, and say so."""
    ended = Event()

    def work() -> None:
        try:
            solver.run()
        finally:
            ended.set()

    solver.HandleUserInterrupt = True  # without it nothing hears cancelSolve
    interrupted = False
    Thread(target=work, daemon=True).start()
    while not ended.is_set():
        try:
            ended.wait(0.1)
        except KeyboardInterrupt:
            interrupted = True
            solver.cancelSolve()
    return interrupted


def _lost(programme: Programme, solver: highspy.Highs) -> bool:
    """Whether HiGHS returned other values than those whose objective it claims.

    HiGHS 1.16 did where its presolve improved the start: the start came back as it was given, with the objective
    of the better point (see also its issue 1570). Without a start it returns what it found.
    """
    information, solution = solver.getInfo(), solver.getSolution()
    if not (information.valid and solution.value_valid):
        return False
    claimed = float(information.objective_function_value)
    return programme.objective(np.array(solution.col_value)) < claimed - _ELSEWHERE


def _bound(programme: Programme, information: highspy.HighsInfo, ended: Ended, tolerance: float) -> float | None:
    """The proven bound; without binaries left, that is the optimum itself. Cut off early, HiGHS may have none."""
    if not information.valid:
        return None
    if programme.integer.any():
        bound = float(information.mip_dual_bound)
    elif ended is Ended.FINISHED:
        bound = float(information.objective_function_value)
    else:
        return None
    return programme.proven(bound, tolerance) if abs(bound) < highspy.kHighsInf else None


def _highs_model(programme: Programme) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(programme.columns), programme.rows.shape[0]
    lp.sense_, lp.offset_ = highspy.ObjSense.kMaximize, programme.offset
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = programme.cost, programme.low, programme.high
    lp.row_lower_, lp.row_upper_ = programme.row_low, programme.row_high
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = programme.rows.indptr, programme.rows.indices
    lp.a_matrix_.value_ = programme.rows.data
    kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
    lp.integrality_ = [kinds[int(integer)] for integer in programme.integer]
    return lp


_pool_threads = 0


def _reset_pool(threads: int) -> None:
    global _pool_threads  # the pool is one a process, whatever we do
    if threads != _pool_threads:
        highspy.Highs.resetGlobalScheduler(True)
        _pool_threads = threads
