"""Programme: a Pyomo model as arrays, the form in which solvers' own interfaces take it.

Linear rows lie anywhere in the model; rows that are quadratic lie in `model.nonlinear`; special ordered sets in any
`SOSConstraint`; and rows that hold only where a binary is 0 in `model.implied`, listed in `model.indicators` as
(binary, row) pairs: Pyomo has no component for those.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.core.base.var import VarData
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse import csr_array, diags_array

from prillm_or.market.market import Array

_DIGITS = 1e-6


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
    shift, scale
        Shape (N,): the model's value of a column is its shift and scale times the programme's.
    unit
        The model's objective is so many times the programme's.
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
    shift: Array | float = 0.0
    scale: Array | float = 1.0
    unit: float = 1.0

    def start(self) -> Array:
        """Present values of the variables, shape (N,); a variable without one counts as 0."""
        values = np.array([column.value or 0.0 for column in self.columns])
        return np.asarray((values - self.shift) / self.scale)

    def load(self, values: Array) -> None:
        """Write values back into the Pyomo model."""
        for column, value in zip(self.columns, self.shift + self.scale * values, strict=True):
            column.set_value(float(value), skip_validation=True)

    def proven(self, bound: float, tolerance: float) -> float:
        """What is proven of the model's objective where a solver claims a bound on the programme's.

        The claim rests on multipliers y of linear programmes: c x <= b y + sum_k d_k x_k, with the reduced costs d_k
        pushing each column to a bound. A solver is content with d_k of the wrong sign up to its dual `tolerance`, which
        costs the bound up to that times the range of column k, and it drops nodes that are better than its incumbent by
        less. All that is added. The tolerances of rows and of integrality cost nothing: points that break rows by less
        are admitted besides those that keep them, which raises the optimum, and the incumbents that nodes are dropped
        for. What may be lost where a node is taken for infeasible that is so by less than the dual tolerance times the
        ranges, and what presolve, cuts and propagation round, is not known, and is not added.
        """
        ranges = self.high - self.low
        return self.unit * (bound + tolerance * (1 + float(ranges[np.isfinite(ranges)].sum())))

    def objective(self, values: Array) -> float:
        """The objective at values of the columns, shape (N,)."""
        curved = sum(c * values[a] * values[b] for a, b, c in self.quadratic)
        return float(self.offset + self.cost @ values + curved)


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


def normalised(programme: Programme, most: float) -> Programme:
    """The same programme, in which what can change by little counts as much as the rest, and profit is near 1.

    A solver's tolerances are absolute. Here each is a share of what a column may move, of what a row may change, and of
    the profit: loads of a leader with a thousandth of the demand count as much as its rivals'. Columns with bounds move
    from 0, over some 1 or less where they did in the model; the largest coefficient of a row is near 1 or more, but for
    rows that are nearly all rounding. Nothing is made coarser than the model is, nor finer than the digits there are
    (`_DIGITS` of a column's or row's largest value), and nothing is scaled but by powers of 2, so that only the shifts
    of columns to 0 round. Binaries, and columns of sets of which one is to be 0, keep their zero.

    Parameters
    ----------
    most
        A bound on the objective, which measures it where the present values have next to none.
    """
    low, high, finite = programme.low, programme.high, np.isfinite(programme.high - programme.low)
    size = np.where(finite, np.maximum(np.abs(low), np.abs(high)), 1.0)
    moved = finite & ~programme.integer
    scale = _power(np.minimum(np.where(moved, np.maximum(high - low, _DIGITS * size), 1.0), 1.0))
    moved[[column for set_ in programme.sets for column in set_]] = False
    shift = np.where(moved, low, 0.0)
    linear = tuple((k, float(c)) for k, c in enumerate(programme.cost))
    objective = _substituted(Row(linear, programme.quadratic, 0.0, 0.0), shift, scale)
    unit = _power(np.array([max(abs(programme.objective(programme.start())), 1e-3 * most)])).item()
    weight = np.maximum(
        abs(programme.rows @ diags_array(scale)).max(axis=1).toarray().ravel(),
        _DIGITS * abs(programme.rows @ diags_array(size)).max(axis=1).toarray().ravel(),
    )
    weight = _power(np.minimum(weight, 1.0))
    moved_by = programme.rows @ shift
    cost = np.zeros(len(scale))
    for column, coefficient in objective.linear:
        cost[column] += coefficient
    return replace(
        programme,
        cost=cost / unit,
        offset=(programme.offset - objective.low) / unit,
        quadratic=tuple((a, b, c / unit) for a, b, c in objective.quadratic),
        rows=csr_array(diags_array(1 / weight) @ programme.rows @ diags_array(scale)),
        row_low=(programme.row_low - moved_by) / weight,
        row_high=(programme.row_high - moved_by) / weight,
        low=(low - shift) / scale,
        high=(high - shift) / scale,
        quadratic_rows=tuple(_divided(_substituted(row, shift, scale)) for row in programme.quadratic_rows),
        indicators=tuple((k, _divided(_substituted(row, shift, scale))) for k, row in programme.indicators),
        shift=shift,
        scale=scale,
        unit=unit,
    )


def _power(values: Array) -> Array:
    """Powers of 2 near values > 0; 1 for 0."""
    return np.exp2(np.round(np.log2(np.where(values > 0, values, 1.0))))


def _substituted(row: Row, shift: Array, scale: Array) -> Row:
    """A row in columns that are shift and scale times others."""
    linear: dict[int, float] = {}
    constant = 0.0
    for k, c in row.linear:
        linear[k] = linear.get(k, 0.0) + c * scale[k]
        constant += c * shift[k]
    for a, b, c in row.quadratic:
        linear[a] = linear.get(a, 0.0) + c * shift[b] * scale[a]
        linear[b] = linear.get(b, 0.0) + c * shift[a] * scale[b]
        constant += c * shift[a] * shift[b]
    quadratic = tuple((a, b, float(c * scale[a] * scale[b])) for a, b, c in row.quadratic)
    return Row(
        tuple((k, float(c)) for k, c in linear.items()),
        quadratic,
        float(row.low - constant),
        float(row.high - constant),
    )


def _divided(row: Row) -> Row:
    """A row whose largest coefficient is 1 at least."""
    largest = max((abs(c) for *_, c in (*row.linear, *row.quadratic)), default=0.0)
    weight = _power(np.array([min(largest, 1.0)])).item()
    return Row(
        tuple((k, c / weight) for k, c in row.linear),
        tuple((a, b, c / weight) for a, b, c in row.quadratic),
        row.low / weight,
        row.high / weight,
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
