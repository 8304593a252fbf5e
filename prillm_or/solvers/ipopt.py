r"""ipopt: Ipopt, an interior-point method for smooth programmes. It finds local maxima and proves nothing.

The library is the one inside the wheel of `ipyopt` (Ipopt 3.12.12 with MUMPS and reference BLAS), called in this
process. A `Programme` is at most quadratic, so that all its derivatives are exact and come straight from its arrays: of
a sum of terms q x_a x_b the gradient has q x_b at a and q x_a at b, the Hessian q at (a, b) and at (b, a).

This Ipopt limits processor time alone, so the time limit is kept by its callback, between iterations. So is Ctrl-C,
which meanwhile sets a flag: as an exception it would lose the iterate at hand. It has one thread and no random choice.

Reference: Wächter, Biegler, Mathematical Programming 106 (2006) 25-57, doi 10.1007/s10107-004-0559-y.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from types import FrameType
from typing import Any

import ipyopt
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from prillm_or.errors import CombinationError, OptionError
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.solvers.programme import Programme, compile_model
from prillm_or.solvers.protocols import Answer, Ended

Indices = NDArray[np.intp]

_ENDED = {
    0: Ended.FINISHED,  # Solve_Succeeded
    1: Ended.FINISHED,  # Solved_To_Acceptable_Level
    6: Ended.FINISHED,  # Feasible_Point_Found, where there are as many equations as variables
    -4: Ended.TIME_LIMIT,  # Maximum_CpuTime_Exceeded
}
_STOPPED = 5  # User_Requested_Stop: by our callback, which knows why
_SILENT = {"print_level": 0, "sb": "yes"}
_FEASIBLE = 1e-6


class Ipopt:
    """Ipopt, a free local solver of smooth programmes."""

    name = "ipopt"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.SEVERAL_PRICES, Capability.PRICE_LISTS, Capability.NLP})

    def version(self) -> str:
        """Version of ipyopt."""
        return version("ipyopt")

    def licence(self) -> str:
        """State of the licence."""
        return "free (EPL), no limit of size; local maxima, no bound"

    def limit(self) -> int | None:
        """None: there is no limit of size."""
        return None

    def refuses(self, formulation: Formulation) -> str | None:
        """Nothing: there is no limit of size."""
        return None

    def squares_in_rows(self, formulation: Formulation) -> bool:
        """It never gets a concave profit."""
        return False

    def run(self, formulation: Formulation, limits: Limits, options: Mapping[str, object]) -> Answer:
        """Climb to a local maximum from the values in the model, and leave the last iterate there.

        The answer has values where that iterate meets every row and bound within 1e-6, and never a bound.

        Raises
        ------
        CombinationError
            When the model has integer variables, sets or indicators, or Ipopt refuses an option.
        """
        programme = compile_model(formulation.model)
        if programme.integer.any() or programme.sets or programme.indicators:
            raise CombinationError(f"Ipopt takes continuous variables only, model {formulation.name} has others")
        functions = Functions(programme)
        with _stopping(Deadline(limits.time_limit)) as stop:
            x, status = _solve(functions, programme, stop, {**options, **_SILENT})
        ended, stats = _ended(status, stop), {"iterations": stop.iterations}
        cause = f"Ipopt ended with the status {status}"
        if not np.isfinite(x).all():
            return Answer(ended, None, False, stats, cause)
        programme.load(x)
        return Answer(ended, None, functions.violation(x) <= _FEASIBLE, stats, cause)


class Functions:
    """Objective (negated: Ipopt minimises) and rows of a programme with their exact derivatives, at points shape (N,).

    Linear rows come first, quadratic rows after them. The sparse derivatives list their entries at `jacobian_places`
    and `hessian_places`, (rows, columns) each; the Hessian's lie in its lower triangle.

    Parameters
    ----------
    programme
        Without integer variables.
    """

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        count, linear_rows = len(programme.columns), programme.rows.shape[0]
        rows = programme.quadratic_rows
        self.low = np.concatenate([programme.row_low, [row.low for row in rows]])
        self.high = np.concatenate([programme.row_high, [row.high for row in rows]])
        self._objective = _products((0, *entry) for entry in programme.quadratic)
        self._products = _products((linear_rows + k, *entry) for k, row in enumerate(rows) for entry in row.quadratic)
        self._matrix = _all_rows(programme)
        entries = self._matrix.tocoo()
        of, first, second = self._products.row, self._products.first, self._products.second
        self._slots, places = _slots(
            np.concatenate([entries.row, of, of]), np.concatenate([entries.col, first, second]), count
        )
        self.jacobian_places = places
        self._linear_values = np.asarray(entries.data, dtype=np.float64)
        pairs = (np.concatenate([self._objective.first, first]), np.concatenate([self._objective.second, second]))
        self._hessian_slots, self.hessian_places = _slots(np.maximum(*pairs), np.minimum(*pairs), count)
        twice = np.where(pairs[0] == pairs[1], 2.0, 1.0)
        self._curvature = twice * np.concatenate([-self._objective.value, self._products.value])

    def objective(self, x: Array) -> float:
        """Minus the programme's objective."""
        programme, products = self.programme, self._objective
        curved = products.value @ (x[products.first] * x[products.second])
        return -float(programme.offset + programme.cost @ x + curved)

    def gradient(self, x: Array) -> Array:
        """Gradient of `objective`, shape (N,)."""
        products = self._objective
        by_first = _summed(products.first, products.value * x[products.second], len(x))
        by_second = _summed(products.second, products.value * x[products.first], len(x))
        return -(self.programme.cost + by_first + by_second)

    def rows(self, x: Array) -> Array:
        """Values of the rows, shape (M,)."""
        products = self._products
        curved = products.value * x[products.first] * x[products.second]
        values: Array = self._matrix @ x + _summed(products.row, curved, len(self.low))
        return values

    def jacobian(self, x: Array) -> Array:
        """Entries of the rows' Jacobian."""
        products = self._products
        parts = (self._linear_values, products.value * x[products.second], products.value * x[products.first])
        return _summed(self._slots, np.concatenate(parts), len(self.jacobian_places[0]))

    def hessian(self, multipliers: Array, factor: float) -> Array:
        """Entries of the Hessian of factor * `objective` + multipliers (M,) * rows: the same at every point."""
        weights = np.concatenate([np.full(len(self._objective.value), factor), multipliers[self._products.row]])
        return _summed(self._hessian_slots, weights * self._curvature, len(self.hessian_places[0]))

    def violation(self, x: Array) -> float:
        """Largest violation of a row or bound."""
        programme, rows = self.programme, self.rows(x)
        over = (self.low - rows, rows - self.high, programme.low - x, x - programme.high)
        return max(float(part.max(initial=0.0)) for part in over)


@dataclass(frozen=True, eq=False)
class _Products:
    """Terms value * x[first] * x[second] of numbered rows, one shape for all."""

    row: Indices
    first: Indices
    second: Indices
    value: Array


def _products(entries: Iterable[tuple[int, int, int, float]]) -> _Products:
    table = np.array(list(entries), dtype=np.float64).reshape(-1, 4)
    row, first, second = table[:, :3].T.astype(np.intp)
    return _Products(row, first, second, table[:, 3])


def _all_rows(programme: Programme) -> csr_array:
    """Linear parts of all rows, shape (M, N)."""
    linear = programme.rows.tocoo()
    terms = [(k, *term) for k, row in enumerate(programme.quadratic_rows) for term in row.linear]
    table = np.array(terms, dtype=np.float64).reshape(-1, 3)
    below = linear.shape[0] + table[:, 0].astype(np.intp)
    places = (np.concatenate([linear.row, below]), np.concatenate([linear.col, table[:, 1].astype(np.intp)]))
    shape = (linear.shape[0] + len(programme.quadratic_rows), len(programme.columns))
    return csr_array((np.concatenate([linear.data, table[:, 2]]), places), shape=shape)


def _slots(rows: Indices, columns: Indices, count: int) -> tuple[Indices, tuple[Indices, Indices]]:
    """Give equal places of a matrix of `count` columns one slot: the slot of each entry, and the place of each slot."""
    keys, slots = np.unique(rows.astype(np.intp) * count + columns, return_inverse=True)
    return slots.astype(np.intp), (keys // count, keys % count)


def _summed(slots: Indices, values: Array, count: int) -> Array:
    """Sum of the values of each slot, shape (count,)."""
    return np.bincount(slots, values, count).astype(np.float64, copy=False)


class _Stop:
    """Whether and why Ipopt is to stop, asked between iterations, and how many of them there were."""

    def __init__(self, deadline: Deadline) -> None:
        self.interrupted = False
        self.iterations = 0
        self._deadline = deadline

    @property
    def ended(self) -> Ended | None:
        """The reason, or None to go on."""
        if self.interrupted:
            return Ended.INTERRUPTED
        return Ended.TIME_LIMIT if self._deadline.passed() else None


@contextmanager
def _stopping(deadline: Deadline) -> Iterator[_Stop]:
    """Let Ctrl-C set a flag for as long as Ipopt works (Python delivers it to the main thread alone)."""
    stop = _Stop(deadline)

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.interrupted = True

    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield stop  # not ours to catch, or ignored by whoever started us
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def _solve(functions: Functions, programme: Programme, stop: _Stop, options: Mapping[str, object]) -> tuple[Array, int]:
    """Last iterate, shape (N,), and Ipopt's status."""

    def into(function: Callable[[Array], Array]) -> Callable[[Array, Array], None]:
        def write(x: Array, out: Array) -> None:
            out[:] = function(x)

        return write

    def hessian(x: Array, multipliers: Array, factor: float, out: Array) -> None:
        out[:] = functions.hessian(multipliers, factor)

    def go_on(mode: int, iteration: int, *_: float) -> bool:
        stop.iterations = iteration
        return stop.ended is None

    count = len(programme.columns)
    problem = ipyopt.Problem(
        count,
        programme.low,
        programme.high,
        len(functions.low),
        functions.low,
        functions.high,
        functions.jacobian_places,
        functions.hessian_places,
        functions.objective,
        into(functions.gradient),
        into(functions.rows),
        into(functions.jacobian),
        hessian,
        go_on,
    )
    for name, value in options.items():
        _set(problem, name, value)
    x, _, status = problem.solve(np.clip(programme.start(), programme.low, programme.high))
    return x, status


def _set(problem: ipyopt.Problem, name: str, value: Any) -> None:
    """Set an option; a whole number may stand for a real one, as people write it.

    Ipopt comments on what it refuses on standard output, and no option of its own forbids it.
    """
    for attempt in (value, float(value)) if type(value) is int else (value,):
        try:
            problem.set(**{name: attempt})
        except (TypeError, ValueError, OverflowError):
            continue
        return
    raise OptionError(name, f"Ipopt has no such option, or not with the value {value!r}")


def _ended(status: int, stop: _Stop) -> Ended:
    if stop.interrupted:  # in its last iteration, perhaps: whoever asks again is to know
        return Ended.INTERRUPTED
    if status == _STOPPED:
        return stop.ended or Ended.UNKNOWN
    return _ENDED.get(status, Ended.UNKNOWN)
