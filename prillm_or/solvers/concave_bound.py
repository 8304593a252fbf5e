r"""concave bound: what a concave quadratic is at most on a part of the unit box, proven from any approximate solution.

    maximise  c + g^T s + s^T H s / 2     over  0 <= s <= 1,  r + R s >= 0.

Where H has a direction in which it curves up, sum_i d_i s_i (1 - s_i) >= 0 is added, with d such that H - 2 diag(d) is
negative semidefinite: the answer is then too large by sum_i d_i / 4 at most.

*A bound of doubles.* Let s be any point of the unit box and lam >= 0 any multipliers of the rows. The Lagrangian
L = objective + lam^T (r + R s) is concave, so that for every point s' that is allowed

    objective(s') <= L(s') <= L(s) + sum_i max(-s_i L_i, (1 - s_i) L_i),         L_i the derivatives at s,

however well s and lam solve the programme: an interior point method only has to come near. What evaluating this may
cost in rounding is added: 64 machine epsilons of the sum of the sizes of all terms. If lam^T (r + R s) is below 0 on
the whole box, by more than that, nothing is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import piqp

from prillm_or.market.market import Array

_EPS = 64 * float(np.finfo(np.float64).eps)
_FLAT = 1e-9
_TOLERANCE = 1e-8
_MOST_STEPS = 60


@dataclass(frozen=True, eq=False)
class Quadratic:
    """An objective c + g^T s + s^T H s / 2; `shift`, shape (size,), is the d that makes it concave."""

    constant: float
    linear: Array
    bend: Array
    shift: Array

    @property
    def penalty(self) -> float:
        """By how much the term that makes it concave may raise it."""
        return float(self.shift.sum()) / 4


@dataclass(frozen=True, eq=False)
class Solved:
    """A proven bound, what of it is for rounding, and the point of the unit box that it was taken from."""

    bound: float
    doubt: float
    point: Array


def made_concave(constant: float, linear: Array, bend: Array, first: int) -> Quadratic:
    """An objective with the term that makes it concave, of the first variables alone where that costs less."""
    size = float(np.abs(bend).max(initial=0.0))
    # The largest eigenvalue of doubles is off by a few roundings of the norm for each row.
    everywhere = np.full(len(bend), max(0.0, float(np.linalg.eigvalsh(bend)[-1])) / 2 + _EPS * len(bend) * size)
    flat = np.full(len(bend), _FLAT * size)
    try:
        root = np.linalg.cholesky(2 * np.diag(flat[first:]) - bend[first:, first:])
    except np.linalg.LinAlgError:
        return Quadratic(constant, linear, bend, everywhere)
    # By Schur's complement: what is left of the first variables once the others are at their best.
    half = np.linalg.solve(root, bend[first:, :first])
    left = bend[:first, :first] + half.T @ half
    flat[:first] += max(0.0, float(np.linalg.eigvalsh(left)[-1])) / 2
    return Quadratic(constant, linear, bend, flat if flat.sum() < everywhere.sum() else everywhere)


def concave_bound(objective: Quadratic, least: Array, rows: Array, amplified: float) -> Solved | None:
    """Bound the objective where least + rows s >= 0; None where that is proven to be nowhere.

    `amplified` is how many times as much as a rounding the figures may be off.
    """
    precision = _EPS * amplified
    scale = np.maximum(np.abs(rows).max(axis=1, initial=0.0), np.abs(least))
    scale = np.where(scale > 0, scale, 1.0)
    least, rows = least / scale, rows / scale[:, None]
    linear, bend, shift = objective.linear, objective.bend, objective.shift
    money = max(abs(objective.constant) + float(np.abs(linear).sum()), float(np.finfo(np.float64).tiny))
    point, lam = _solved((2 * np.diag(shift) - bend) / money, -(linear + shift) / money, rows, -least)
    lam = lam * money
    pull, rounding = lam @ rows, precision * float(lam @ (np.abs(least) + np.abs(rows).sum(axis=1, initial=0.0)))
    if float(lam @ least) + float(np.maximum(pull, 0.0).sum()) < -rounding:
        return None
    value = objective.constant + linear @ point + point @ bend @ point / 2 + shift @ (point * (1 - point))
    slope = linear + bend @ point + shift * (1 - 2 * point) + pull
    bound = value + lam @ least + pull @ point + np.maximum(-point * slope, (1 - point) * slope).sum()
    sizes = money + float(np.abs(bend).sum()) + float(shift.sum())
    doubt = rounding + precision * sizes
    return Solved(float(bound) + doubt, doubt, point)


def _solved(hessian: Array, gradient: Array, rows: Array, low: Array) -> tuple[Array, Array]:
    """A point of the unit box and multipliers of the rows, as good as an interior point method gets them."""
    count = len(gradient)
    solver = piqp.DenseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = _TOLERANCE
    solver.settings.max_iter = _MOST_STEPS
    solver.setup(hessian, gradient, None, None, rows, low, np.full(len(rows), np.inf), np.zeros(count), np.ones(count))
    solver.solve()
    point = np.clip(np.nan_to_num(np.array(solver.result.x), nan=0.5), 0.0, 1.0)
    return point, np.maximum(np.nan_to_num(np.array(solver.result.z_l), posinf=0.0), 0.0)
