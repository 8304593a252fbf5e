"""scip: SCIP, free and without a limit of size; it takes every exact formulation as it is.

SCIP wants a linear objective, so a quadratic one becomes a variable below it. It catches Ctrl-C itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pyscipopt as scip

from prillm_or.errors import OptionError
from prillm_or.limits import Limits
from prillm_or.market.market import Array
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.solvers.programme import Programme, Row, compile_model, normalised
from prillm_or.solvers.protocols import Answer, Ended

_ENDED = {
    "optimal": Ended.FINISHED,
    "gaplimit": Ended.FINISHED,
    "timelimit": Ended.TIME_LIMIT,
    "userinterrupt": Ended.INTERRUPTED,
    "infeasible": Ended.INFEASIBLE,
}
_LARGEST_SEED = 2_147_483_647
_DUAL = "numerics/dualfeastol"
_TOLERANCES = {
    "numerics/feastol": 1e-7,  # the least that its LP solver keeps without complaint
    _DUAL: 1e-9,
}


class Scip:
    """SCIP, a free solver of mixed-integer nonlinear programmes."""

    name = "scip"
    capabilities = frozenset(
        {
            Capability.ONE_PRICE,
            Capability.SEVERAL_PRICES,
            Capability.PRICE_LISTS,
            Capability.MIP,
            Capability.CONVEX_MIQP,
            Capability.NONCONVEX,
            Capability.SOS1,
            Capability.INDICATOR,
        }
    )

    def version(self) -> str:
        """Version of PySCIPOpt."""
        return version("pyscipopt")

    def licence(self) -> str:
        """State of the licence."""
        return "free (Apache 2.0), no limit of size"

    def limit(self) -> int | None:
        """None: there is no limit of size."""
        return None

    def refuses(self, formulation: Formulation) -> str | None:
        """Nothing: there is no limit of size."""
        return None

    def squares_in_rows(self, formulation: Formulation) -> bool:
        """Where there are binaries: many small convex rows suit its branching there, the objective with sets."""
        return Capability.MIP in formulation.needs

    def run(self, formulation: Formulation, limits: Limits, options: Mapping[str, object]) -> Answer:
        """Solve the model as it stands; it starts from the values in it."""
        programme = normalised(compile_model(formulation.model), formulation.upper_bound)
        model, columns = scip_model(programme)
        seed = limits.seed_within(_LARGEST_SEED)
        settings: dict[str, Any] = {"limits/gap": limits.gap, "randomization/randomseedshift": seed}
        if limits.time_limit is not None:
            settings["limits/time"] = limits.time_limit
        for name, value in {**settings, **_TOLERANCES, **options}.items():
            try:
                model.setParam(name, value)
            except Exception:  # PySCIPOpt raises whatever SCIP's return code stands for
                raise OptionError(name, f"SCIP has no such option, or not with the value {value!r}") from None
        try:
            model.optimize()
        except Exception as error:  # as above; what SCIP says of its tree after a failure proves nothing
            return Answer(Ended.UNKNOWN, None, False, cause=f"SCIP failed: {error}")
        ended = _ENDED.get(model.getStatus(), Ended.UNKNOWN)
        has_values = model.getNSols() > 0
        if has_values:
            best = model.getBestSol()
            programme.load(np.array([model.getSolVal(best, column) for column in columns]))
        bound = float(model.getDualbound())
        stats = {"nodes": int(model.getNTotalNodes()), "iterations": int(model.getNLPIterations())}
        proven = None if model.isInfinity(abs(bound)) else programme.proven(bound, float(model.getParam(_DUAL)))
        return Answer(ended, proven, has_values, stats, f"SCIP ended with the status {model.getStatus()!r}")


def scip_model(programme: Programme) -> tuple[scip.Model, list[scip.Variable]]:
    """The programme for SCIP, with its start, and SCIP's columns."""
    model = scip.Model()
    model.hideOutput()
    # Many rounds of cuts at the root take longer than the few nodes of a small model. Its heuristics stay: without them
    # it once lost the optimum (tests/test_sold_models.py, 1005).
    model.setSeparating(scip.SCIP_PARAMSETTING.FAST)
    limits = zip(programme.low, programme.high, programme.integer, strict=True)
    columns = [
        model.addVar(lb=_finite(low), ub=_finite(high), vtype="B" if integer else "C") for low, high, integer in limits
    ]
    _add_rows(model, columns, programme)
    for set_ in programme.sets:
        model.addConsSOS1([columns[k] for k in set_])
    start = programme.start()
    values = list(zip(columns, start.tolist(), strict=True))
    for binary, row in programme.indicators:
        values += _add_indicator(model, columns, columns[binary], row, start)
    profit = _expression(columns, ((k, float(c)) for k, c in enumerate(programme.cost) if c), programme.quadratic)
    if programme.quadratic:
        below = model.addVar(lb=None, ub=None, vtype="C")
        model.addCons(below <= profit)
        quadratic = sum(c * start[a] * start[b] for a, b, c in programme.quadratic)
        values.append((below, float(programme.cost @ start + quadratic)))
        profit = below
    model.setObjective(profit + programme.offset, "maximize")
    solution = model.createSol()
    for variable, value in values:
        model.setSolVal(solution, variable, value)
    model.addSol(solution)
    return model, columns


def _add_rows(model: scip.Model, columns: list[scip.Variable], programme: Programme) -> None:
    rows = programme.rows
    for k in range(rows.shape[0]):
        entries = slice(rows.indptr[k], rows.indptr[k + 1])
        linear = zip(rows.indices[entries].tolist(), rows.data[entries].tolist(), strict=True)
        _add_row(model, _expression(columns, linear, ()), float(programme.row_low[k]), float(programme.row_high[k]))
    for row in programme.quadratic_rows:
        _add_row(model, _expression(columns, row.linear, row.quadratic), row.low, row.high)


def _add_row(model: scip.Model, body: scip.Expr, low: float, high: float) -> None:
    if low == high:
        model.addCons(body == low)
        return
    if np.isfinite(low):
        model.addCons(body >= low)
    if np.isfinite(high):
        model.addCons(body <= high)


def _add_indicator(
    model: scip.Model, columns: list[scip.Variable], binary: scip.Variable, row: Row, start: Array
) -> Iterator[tuple[scip.Variable, float]]:
    """Add a row that holds where the binary is 0; yield the slacks that SCIP adds to it, and theirs at the start."""
    body, at = _expression(columns, row.linear, ()), sum(c * start[k] for k, c in row.linear)
    for sign, side in ((1.0, row.high), (-1.0, -row.low)):
        if np.isfinite(side):
            indicator = model.addConsIndicator(sign * body <= side, binvar=binary, activeone=False)
            # Without its slacks the start would break the rows that do not hold, and SCIP refuse it.
            yield model.getSlackVarIndicator(indicator), max(float(sign * at - side), 0.0)


def _expression(
    columns: list[scip.Variable], linear: Iterable[tuple[int, float]], quadratic: Iterable[tuple[int, int, float]]
) -> scip.Expr:
    terms = [c * columns[k] for k, c in linear] + [c * columns[a] * columns[b] for a, b, c in quadratic]
    return scip.quicksum(terms)


def _finite(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
