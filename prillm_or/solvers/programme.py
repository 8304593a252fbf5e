"""Programme: a Pyomo model as arrays, the form in which solvers' own interfaces take it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.core.base.var import VarData
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse import csr_array

from prillm_or.market import Array


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
        (first column, second column, coefficient) triples of the objective; empty for a linear one.
    rows, row_low, row_high
        Shape (M, N) and (M,).
    low, high, integer
        Shape (N,).
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

    def start(self) -> Array:
        """Present values of the variables, shape (N,); a variable without one counts as 0."""
        return np.array([column.value or 0.0 for column in self.columns])

    def load(self, values: Array) -> None:
        """Write values back into the Pyomo model."""
        for column, value in zip(self.columns, values, strict=True):
            column.set_value(float(value), skip_validation=True)


def compile_model(model: pyo.ConcreteModel) -> Programme:
    """Turn a Pyomo model with linear rows and a linear or quadratic objective to be maximised into arrays.

    The compiler refuses components it does not know by name, complementarity conditions among them: none is ever
    dropped in silence.
    """
    objective = model.objective
    repn = generate_standard_repn(objective.expr, quadratic=True)
    objective.deactivate()
    try:
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
    finally:
        objective.activate()
    number = {id(column): k for k, column in enumerate(form.columns)}
    columns = list(form.columns)
    for column in (*repn.linear_vars, *(v for pair in repn.quadratic_vars for v in pair)):
        if id(column) not in number:
            number[id(column)] = len(columns)
            columns.append(column)
    cost = np.zeros(len(columns))
    for column, coefficient in zip(repn.linear_vars, repn.linear_coefs, strict=True):
        cost[number[id(column)]] += coefficient
    quadratic = tuple(
        (number[id(first)], number[id(second)], float(coefficient))
        for (first, second), coefficient in zip(repn.quadratic_vars, repn.quadratic_coefs, strict=True)
    )
    matrix = form.A.tocsr()
    rows = csr_array((matrix.data, matrix.indices, matrix.indptr), shape=(matrix.shape[0], len(columns)))
    kind = np.array([row.bound_type for row in form.rows])
    side = np.asarray(form.rhs, dtype=np.float64)
    return Programme(
        columns=tuple(columns),
        cost=cost,
        offset=float(repn.constant),
        quadratic=quadratic,
        rows=rows,
        row_low=np.where(kind > 0, -np.inf, side),
        row_high=np.where(kind < 0, np.inf, side),
        low=np.array([-np.inf if column.lb is None else column.lb for column in columns], dtype=np.float64),
        high=np.array([np.inf if column.ub is None else column.ub for column in columns], dtype=np.float64),
        integer=np.array([column.is_integer() for column in columns]),
    )
