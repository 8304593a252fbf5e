"""gurobi: Gurobi. It takes convex MIQPs as they are; where its licence does not reach, outer approximation.

The licence that comes with the package is for evaluation only, not for production. It allows 2000 variables and rows in
linear models, and 200 variables once any term is quadratic (measured with gurobipy 13.0.3). Whether the licence here is
that one is found by offering one model that is too large for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

import gurobipy as gp
import numpy as np
from gurobipy import GRB

from prillm_or.errors import OptionError, UnavailableError, argument
from prillm_or.limits import Limits
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.solvers.programme import Programme, Row, compile_model, normalised
from prillm_or.solvers.protocols import Answer, Ended

_ENDED = {
    GRB.OPTIMAL: Ended.FINISHED,
    GRB.TIME_LIMIT: Ended.TIME_LIMIT,
    GRB.INTERRUPTED: Ended.INTERRUPTED,
    GRB.INFEASIBLE: Ended.INFEASIBLE,
}
_LINEAR_LIMIT = 2000
_QUADRATIC_LIMIT = 200
_TOO_LARGE = 10010
_MOST_THREADS = 1024
_LARGEST_SEED = 2_000_000_000
_TOLERANCES = {"FeasibilityTol": 1e-9, "IntFeasTol": 1e-9, "OptimalityTol": 1e-9}
_INSTEAD = f"solve it with {argument('solver', 'highs')}, or install a full licence"


class Gurobi:
    """Gurobi, a commercial solver."""

    name = "gurobi"
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
        """Version of gurobipy."""
        return version("gurobipy")

    def licence(self) -> str:
        """State of the licence."""
        if _limited():
            return (
                f"for evaluation only, size-limited: {_LINEAR_LIMIT} variables and rows, {_QUADRATIC_LIMIT} variables "
                "if quadratic"
            )
        return "full"

    def limit(self) -> int | None:
        """That of the package's own licence, or None."""
        return _LINEAR_LIMIT if _limited() else None

    def refuses(self, formulation: Formulation) -> str | None:
        """Say that the licence is too small for the formulation's products, if it is."""
        size = formulation.quadratic_size
        if _limited() and size > _QUADRATIC_LIMIT:
            return f"the licence allows {_QUADRATIC_LIMIT} variables in a quadratic model, this one has {size}"
        return None

    def squares_in_rows(self, formulation: Formulation) -> bool:
        """No: an objective with squares is what it is made for."""
        return False

    def run(self, formulation: Formulation, limits: Limits, options: Mapping[str, object]) -> Answer:
        """Solve the model as it stands; the binaries start from the values in it."""
        programme = normalised(compile_model(formulation.model), formulation.upper_bound)
        settings: dict[str, object] = {
            "Threads": min(limits.usable_threads, _MOST_THREADS),
            "Seed": limits.seed_within(_LARGEST_SEED),
            "MIPGap": limits.gap,
        }
        if limits.time_limit is not None:
            settings["TimeLimit"] = limits.time_limit
        model, variables = _gurobi_model(programme)
        for name, value in {**settings, **_TOLERANCES, **options}.items():
            try:
                model.setParam(name, value)
            except (gp.GurobiError, TypeError, ValueError, OverflowError, AttributeError):
                raise OptionError(name, f"Gurobi has no such option, or not with the value {value!r}") from None
        try:
            variables.Start = programme.start()
            model.optimize()
        except gp.GurobiError as error:
            if error.errno == _TOO_LARGE:
                rows, columns = programme.rows.shape
                raise UnavailableError(
                    f"the model has {columns} variables and {rows} rows; the Gurobi licence here allows "
                    f"{_LINEAR_LIMIT} of each, and {_QUADRATIC_LIMIT} variables with products; {_INSTEAD}"
                ) from None
            return Answer(Ended.UNKNOWN, None, False, cause=f"Gurobi failed: {error.message}")
        has_values = model.SolCount > 0
        if has_values:
            programme.load(variables.X)
        bound = float(model.ObjBound)
        proven = programme.proven(bound, model.Params.OptimalityTol) if abs(bound) < GRB.INFINITY else None
        ended = _ENDED.get(model.Status, Ended.UNKNOWN)
        stats = {"nodes": int(model.NodeCount), "iterations": int(model.IterCount)}
        return Answer(ended, proven, has_values, stats, f"Gurobi ended with the status {model.Status}")


@cache
def _environment() -> gp.Env:
    """An environment that prints nothing: standard output may have to hold nothing but JSON."""
    try:
        environment = gp.Env(empty=True)
        environment.setParam("OutputFlag", 0)
        environment.start()
    except gp.GurobiError as error:
        raise UnavailableError(f"no Gurobi licence: {error.message}; {_INSTEAD}") from None
    return environment


@cache
def _limited() -> bool:
    """Whether the licence refuses a trivial model of one variable too many."""
    with gp.Model(env=_environment()) as model:
        model.addMVar(_LINEAR_LIMIT + 1)
        try:
            model.optimize()
        except gp.GurobiError as error:
            if error.errno == _TOO_LARGE:
                return True
            raise UnavailableError(f"Gurobi: {error.message}; {_INSTEAD}") from None
    return False


def _gurobi_model(programme: Programme) -> tuple[gp.Model, gp.MVar]:
    model = gp.Model(env=_environment())
    kinds = np.where(programme.integer, GRB.BINARY, GRB.CONTINUOUS)
    x = model.addMVar(len(programme.columns), lb=programme.low, ub=programme.high, vtype=kinds)
    equal = programme.row_low == programme.row_high
    below, above = ~equal & (programme.row_high < np.inf), ~equal & (programme.row_low > -np.inf)
    if equal.any():
        model.addConstr(programme.rows[equal] @ x == programme.row_low[equal])
    if below.any():
        model.addConstr(programme.rows[below] @ x <= programme.row_high[below])
    if above.any():
        model.addConstr(programme.rows[above] @ x >= programme.row_low[above])
    objective = programme.cost @ x + programme.offset
    if programme.quadratic:
        first, second, coefficients = (np.array(column) for column in zip(*programme.quadratic, strict=True))
        objective = objective + (coefficients * x[first.astype(int)] * x[second.astype(int)]).sum()
    model.setObjective(objective, GRB.MAXIMIZE)
    columns = x.tolist()
    for row in programme.quadratic_rows:
        for sense, side in _sides(row):
            model.addQConstr(_expression(columns, row), sense, side)
    for set_ in programme.sets:
        model.addSOS(GRB.SOS_TYPE1, [columns[k] for k in set_])
    for binary, row in programme.indicators:
        for sense, side in _sides(row):
            model.addGenConstrIndicator(columns[binary], False, _expression(columns, row), sense, side)
    return model, x


def _sides(row: Row) -> list[tuple[str, float]]:
    if row.low == row.high:
        return [(GRB.EQUAL, row.low)]
    sides = ((GRB.GREATER_EQUAL, row.low), (GRB.LESS_EQUAL, row.high))
    return [(sense, side) for sense, side in sides if np.isfinite(side)]


def _expression(columns: list[gp.Var], row: Row) -> gp.QuadExpr | gp.LinExpr:
    linear = gp.quicksum(c * columns[k] for k, c in row.linear)
    if not row.quadratic:
        return linear
    return linear + gp.quicksum(c * columns[a] * columns[b] for a, b, c in row.quadratic)
