"""Programme: a Pyomo model as arrays, the form in which solvers' own interfaces take it.

Linear rows lie anywhere in the model; rows that are quadratic lie in `model.nonlinear`; special ordered sets in any
`SOSConstraint`; and rows that hold only where a binary is 0 in `model.implied`, listed in `model.indicators` as
(binary, row) pairs: Pyomo has no component for those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.core.base.var import VarData
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse import csr_array

from prillm_or.market.market import Array


@dataclass(frozen=True)
class Row:
    """A row low <= linear + quadratic <= high.

    Parameters
    ----------
    linear
        (column, coefficient) pairs.
    quadratic
        (column, column, coefficient) triples.
    """

    linear: tuple[tuple[int, float], ...]
    quadratic: tuple[tuple[int, int, float], ...]
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Programme:
    """Maximise offset + cost x + sum of quadratic entries, subject to rows and bounds.

    Parameters
    ----------
    columns
        The Pyomo variables, N of them.
    cost, offset
        Shape (N,), and the constant.
    quadratic
        (column, column, coefficient) triples of the objective; empty for a linear one.
    rows, row_low, row_high
        Shape (M, N) and (M,).
    low, high, integer
        Shape (N,).
    quadratic_rows
        Rows with products of columns.
    sets
        Special ordered sets of type 1, each the columns of which at most one is not zero.
    indicators
        (binary column, row) pairs: the row holds where the binary is 0.
    """

    columns: tuple[VarData, ...]
    cost: Array
    offset: float
    quadratic: tuple[tuple[int, int, float], ...]
    rows: csr_array
    row_low: Array
    row_high: Array
    low: Array
    high: Array
    integer: NDArray[np.bool_]
    quadratic_rows: tuple[Row, ...] = ()
    sets: tuple[tuple[int, ...], ...] = ()
    indicators: tuple[tuple[int, Row], ...] = ()

    def start(self) -> Array:
        """Present values of the variables, shape (N,); a variable without one counts as 0."""
        return np.array([column.value or 0.0 for column in self.columns])

    def load(self, values: Array) -> None:
        """Write values back into the Pyomo model."""
        for column, value in zip(self.columns, values, strict=True):
            column.set_value(float(value), skip_validation=True)


def compile_model(model: pyo.ConcreteModel) -> Programme:
    """Turn a Pyomo model whose objective is to be maximised into arrays.

    The compiler refuses components it does not know by name, complementarity conditions among them: none is ever
    dropped in silence.
    """
    with _linear_part_alone(model) as sets:
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
    columns = _Columns(form.columns)
    objective = generate_standard_repn(model.objective.expr, quadratic=True)
    linear, quadratic = columns.linear(objective), columns.quadratic(objective)
    quadratic_rows = tuple(columns.row(row) for row in _rows_of(model, "nonlinear"))
    indicators = tuple((columns.number(binary), columns.row(row)) for binary, row in getattr(model, "indicators", ()))
    ordered = tuple(tuple(columns.number(variable) for variable in set_.get_variables()) for set_ in sets)
    count = len(columns.variables)
    cost = np.zeros(count)
    for column, coefficient in linear:
        cost[column] += coefficient
    matrix = form.A.tocsr()
    kind = np.array([row.bound_type for row in form.rows])
    side = np.asarray(form.rhs, dtype=np.float64)
    return Programme(
        columns=tuple(columns.variables),
        cost=cost,
        offset=float(objective.constant),
        quadratic=quadratic,
        rows=csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], count)),
        row_low=np.where(kind > 0, -np.inf, side),
        row_high=np.where(kind < 0, np.inf, side),
        low=np.array([-np.inf if v.lb is None else v.lb for v in columns.variables], dtype=np.float64),
        high=np.array([np.inf if v.ub is None else v.ub for v in columns.variables], dtype=np.float64),
        integer=np.array([v.is_integer() for v in columns.variables]),
        quadratic_rows=quadratic_rows,
        sets=ordered,
        indicators=indicators,
    )


@contextmanager
def _linear_part_alone(model: pyo.ConcreteModel) -> Iterator[list[pyo.SOSConstraint]]:
    """Hide what the compiler of linear rows does not know, for as long as it works; yield the sets hidden."""
    sets = list(model.component_data_objects(pyo.SOSConstraint, active=True))
    hidden = [model.objective, *sets, *_rows_of(model, "nonlinear"), *_rows_of(model, "implied")]
    for component in hidden:
        component.deactivate()
    try:
        yield sets
    finally:
        for component in hidden:
            component.activate()


def _rows_of(model: pyo.ConcreteModel, name: str) -> list[pyo.Constraint]:
    component = model.component(name)
    return [] if component is None else [row for row in component.values() if row.active]


class _Columns:
    """Numbers for variables, in the order in which they are met."""

    def __init__(self, variables: list[VarData]) -> None:
        self.variables = list(variables)
        self._numbers = {id(variable): k for k, variable in enumerate(self.variables)}

    def number(self, variable: VarData) -> int:
        if id(variable) not in self._numbers:
            self._numbers[id(variable)] = len(self.variables)
            self.variables.append(variable)
        return self._numbers[id(variable)]

    def linear(self, repn: Any) -> tuple[tuple[int, float], ...]:
        terms = zip(repn.linear_vars, repn.linear_coefs, strict=True)
        return tuple((self.number(variable), float(coefficient)) for variable, coefficient in terms)

    def quadratic(self, repn: Any) -> tuple[tuple[int, int, float], ...]:
        terms = zip(repn.quadratic_vars, repn.quadratic_coefs, strict=True)
        return tuple((self.number(a), self.number(b), float(coefficient)) for (a, b), coefficient in terms)

    def row(self, constraint: pyo.Constraint) -> Row:
        repn = generate_standard_repn(constraint.body, quadratic=True)
        if repn.nonlinear_expr is not None:
            raise TypeError(f"{constraint.name}: neither linear nor quadratic")
        low = -np.inf if constraint.lower is None else pyo.value(constraint.lower) - repn.constant
        high = np.inf if constraint.upper is None else pyo.value(constraint.upper) - repn.constant
        return Row(self.linear(repn), self.quadratic(repn), float(low), float(high))
