r"""concave bound: what a concave quadratic is at most on a part of the unit box, proven from any approximate solution.

    maximise  c + g^T s + s^T H s / 2     over  0 <= s <= 1,  r + R s >= 0.

Where H has a direction in which it curves up, sum_i d_i s_i (1 - s_i) >= 0 is added, with d such that H - 2 diag(d) is
negative semidefinite: the answer is then too large by sum_i d_i / 4 at most.

*A bound of doubles.* Let s be any point of the unit box and lam >= 0 any multipliers of the rows. The Lagrangian
L = objective + lam^T (r + R s) is concave, so that for every point s' that is allowed

    objective(s') <= L(s') <= L(s) + sum_i max(-s_i L_i, (1 - s_i) L_i) =: B,       L_i the derivatives at s,

however well s and lam solve the programme: an interior point method only has to come near. What evaluating this may
cost in rounding is added: 64 machine epsilons, times what amplifies them, of the sum of the sizes of all terms. If
lam^T (r + R s) is below 0 on the whole box, by more than that, nothing is allowed.

*What reaches a target T* lies near s. With C = -H + 2 diag(d), e = s' - s and room = B - T, what is allowed and
reaches T has lam^T (r + R s') + e^T C e / 2 <= room, where (v^T e)^2 <= (v^T C^-1 v) e^T C e for every v (Cauchy). So

    (R_p e)^2 <= 2 room R_p C^-1 R_p^T    and    r_p + R_p s' <= room / lam_p         for every row,

and each variable's own e_i lies where room - max(-s_i L_i, (1 - s_i) L_i) + L_i e_i - e_i^2 / (2 C^-1_ii) >= 0. C
gets a small multiple of 1 for its inverse, and room what that may cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prillm_or.market.market import Array

_EPS = 64 * float(np.finfo(np.float64).eps)
_TINY = float(np.finfo(np.float64).tiny)
_NOTHING = 1e-200
_FLAT = 1e-9
_SAFE = 0.99
_TOLERANCE = 1e-8
_MOST_STEPS = 60


@dataclass(frozen=True, eq=False)
class Quadratic:
    """An objective c + g^T s + s^T H s / 2; `shift`, shape (size,), is the d that makes it concave.

    `size` is the sum of the sizes of all terms that it was added up from: what its rounding is measured by.
    """

    constant: float
    linear: Array
    bend: Array
    shift: Array
    size: float

    @property
    def penalty(self) -> float:
        """By how much the term that makes it concave may raise it."""
        return float(self.shift.sum()) / 4


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows r + R s, shapes (rows,) and (rows, size), and the sizes of what they were added up from, shape (rows,)."""

    constant: Array
    slope: Array
    size: Array

    def at(self, point: Array) -> Array:
        """Their values."""
        return self.constant + self.slope @ point


@dataclass(frozen=True, eq=False)
class Solved:
    """What was proven.

    Parameters
    ----------
    bound, doubt
        The bound, and what of it is for rounding.
    point
        Of the unit box, where the bound was taken from.
    low, high
        Shape (size,): whatever is allowed and reaches the target lies between them, in the unit box.
    row_low, row_high
        Shape (rows,): its r + R s lies between these.
    """

    bound: float
    doubt: float
    point: Array
    low: Array
    high: Array
    row_low: Array
    row_high: Array


def shift_of(bend: Array, first: int) -> Array:
    """A small d, shape (size,), with H - 2 diag(d) negative semidefinite: the least sum of three ways to take it.

    On all variables alike; on all, by the rows of the part of H that curves up; on the `first` variables alone.
    """
    values, vectors = np.linalg.eigh(bend)
    up = (vectors * np.maximum(values, 0.0)) @ vectors.T
    ways = [np.full(len(bend), max(0.0, float(values[-1])) / 2), np.abs(up).sum(axis=1) / 2]
    flat = np.full(len(bend), _FLAT * float(np.abs(bend).max(initial=0.0)))
    try:
        root = np.linalg.cholesky(2 * np.diag(flat[first:]) - bend[first:, first:])
    except np.linalg.LinAlgError:
        pass
    else:
        # By Schur's complement: what is left of the first variables once the others are at their best.
        half = np.linalg.solve(root, bend[first:, :first])
        left = bend[:first, :first] + half.T @ half
        flat[:first] += max(0.0, float(np.linalg.eigvalsh(left)[-1])) / 2
        ways.append(flat)
    return min(ways, key=lambda shift: float(shift.sum()))


def concave_bound(
    objective: Quadratic,
    rows: Rows,
    amplified: float,
    target: float,
    propose: Callable[[], tuple[Array, Array]] | None = None,
) -> Solved | None:
    """Bound the objective where the rows are >= 0; None where that is proven to be nowhere.

    Parameters
    ----------
    amplified
        How many times as much as a rounding of their sizes the figures may be off.
    target
        What is looked for: less than that is of no interest.
    propose
        Finds a point and multipliers of the rows; without, a dense interior point method does.
    """
    from scipy.linalg.lapack import dtrtri

    precision, count = _EPS * amplified, len(objective.linear)
    scale = np.maximum(np.abs(rows.slope).max(axis=1, initial=0.0), np.maximum(np.abs(rows.constant), _TINY))
    least, slopes, blur = rows.constant / scale, rows.slope / scale[:, None], precision * rows.size / scale
    # Where H is said to be concave, its doubles may not be: by a few roundings of the largest entry a row.
    shift = objective.shift + precision * count * float(np.abs(objective.bend).max(initial=0.0))
    linear, curvature = objective.linear, 2 * np.diag(shift) - objective.bend
    # Of the size that the objective itself has; what it was added up from may be far larger.
    money = max(float(np.abs(linear).max()), float(np.abs(curvature).max()), _NOTHING)
    flat = max(_FLAT, precision * count) * max(float(np.abs(curvature).max(initial=0.0)), _FLAT * money)
    try:
        root = np.linalg.cholesky(curvature + flat * np.eye(count))
    except np.linalg.LinAlgError:  # a crowd large beside a capacity: by more roundings than that
        shift = shift + max(-float(np.linalg.eigvalsh(curvature)[0]), 0.0)
        curvature = 2 * np.diag(shift) - objective.bend
        root = np.linalg.cholesky(curvature + flat * np.eye(count))
    if propose is None:
        point, lam = _solved(curvature / money, -(linear + shift) / money, slopes, -least)
        lam = lam * money
    else:
        point, lam = propose()
        lam = lam * scale
    point = np.clip(np.nan_to_num(point, nan=0.5), 0.0, 1.0)
    lam = np.maximum(np.nan_to_num(lam, posinf=0.0), 0.0)
    pull, rounding = lam @ slopes, float(lam @ blur)
    if float(lam @ least) + float(np.maximum(pull, 0.0).sum()) < -rounding:
        return None
    slope = linear + shift - curvature @ point + pull
    ends = np.maximum(-point * slope, (1 - point) * slope)
    value = objective.constant + (linear + shift) @ point - point @ curvature @ point / 2 + lam @ least + pull @ point
    doubt = rounding + precision * (objective.size + float(shift.sum()))
    bound = float(value + ends.sum()) + doubt
    inverse_root, _ = dtrtri(root, lower=1)  # X with C^-1 = X^T X: half of what C^-1 itself costs
    inverse, rows_inverse = (inverse_root**2).sum(axis=0) / _SAFE, ((slopes @ inverse_root.T) ** 2).sum(axis=1) / _SAFE
    room = max(bound - target, 0.0) + flat * count
    low, high = _roots(inverse, slope, np.maximum(room - ends, 0.0))
    at, away = least + slopes @ point, np.sqrt(2 * room * rows_inverse)
    with np.errstate(over="ignore"):  # a row that holds nothing back
        most = np.minimum(at + away, room / np.maximum(lam, _TINY))
    return Solved(
        bound,
        doubt,
        point,
        np.maximum(point + low, 0.0),
        np.minimum(point + high, 1.0),
        (at - away - blur) * scale,
        (most + blur) * scale,
    )


def _roots(inverse: Array, slope: Array, room: Array) -> tuple[Array, Array]:
    """The d <= 0 and d >= 0 where room + slope d - d^2 / (2 inverse) is 0, each in the form that loses no digits."""
    root = np.sqrt(slope**2 + 2 * room / inverse)
    with np.errstate(over="ignore"):  # nothing holds it back
        low = np.where(slope < 0, inverse * (slope - root), -2 * room / np.maximum(root + slope, _TINY))
        high = np.where(slope > 0, inverse * (slope + root), 2 * room / np.maximum(root - slope, _TINY))
    return low, high


def _solved(hessian: Array, gradient: Array, rows: Array, low: Array) -> tuple[Array, Array]:
    """A point of the unit box and multipliers of the rows, as good as an interior point method gets them."""
    count = len(gradient)
    import piqp

    solver = piqp.DenseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = _TOLERANCE
    solver.settings.max_iter = _MOST_STEPS
    solver.setup(hessian, gradient, None, None, rows, low, np.full(len(rows), np.inf), np.zeros(count), np.ones(count))
    solver.solve()
    return np.array(solver.result.x), np.array(solver.result.z_l)
