r"""Descent: least squares from one point, within bounds, by Levenberg and Marquardt's method.

From theta, with residuals r, their derivatives J, H = J^T J and g = J^T r, the step d solves

    (H + mu S) d = -g

over the entries that are not at a bound which g holds them to; what would pass a bound stops there. S is the largest
diagonal of H met so far, each entry at least a thousandth of the largest: steps are long in entries that change the
misfit little, where they would otherwise be kept short by pieces of the misfit that meet in others (in trials less than
half the steps, to lower ends). A step that lowers |r|^2 is taken. The damping mu follows the ratio of what the misfit
falls to what the step was to save (Nielsen): it shrinks by up to a third where the ratio is near 1, and grows ever
faster where steps fail. H has the side of theta, so that a step costs one factor of it however many residuals there
are; what its squared condition loses are digits of directions that hardly change the misfit, in which damping lets
theta stay.

Reference: Madsen, Nielsen, Tingleff, "Methods for non-linear least squares problems", 2nd edition, DTU 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.linalg import lapack

from prillm_or.market.market import Array

_FIRST, _LEAST = 1e-3, 1e-12
"""Damping to begin with, and the least."""
_FLOOR = 1e-3
"""Of the largest entry of S: the least."""
_TRUSTED = 0.25
"""Ratio from which a small gain says that there is little left to gain."""


def descent(
    residuals: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    start: Array,
    low: Array,
    high: Array,
    *,
    precision: float,
    most: int,
) -> Iterator[tuple[Array, float]]:
    """Points of ever lower misfit and their misfits, `start` first.

    It ends where a step gains or moves less than `precision` of what there is, where the gradient is as small, or where
    residuals were asked for `most` times.
    """
    theta = np.clip(start, low, high)
    missed = residuals(theta)
    misfit = float(missed @ missed)
    yield theta, misfit
    damping, growth, asked, scale = _FIRST, 2.0, 1, np.zeros_like(theta)
    while asked < most:
        slopes = jacobian(theta)
        gradient, curvature = slopes.T @ missed, slopes.T @ slopes
        free = np.flatnonzero(~((theta <= low) & (gradient > 0) | (theta >= high) & (gradient < 0)))
        if np.abs(gradient[free]).max(initial=0.0) < precision:
            return
        scale = np.maximum(scale, curvature.diagonal())
        scale = np.maximum(scale, _FLOOR * scale.max())
        while True:
            step = np.zeros_like(theta)
            step[free] = _step(curvature[np.ix_(free, free)], gradient[free], damping * scale[free])
            moved = np.clip(theta + step, low, high)
            step = moved - theta
            saved = -float(2.0 * gradient @ step + step @ curvature @ step)
            missed_there = residuals(moved)
            asked += 1
            gain = misfit - float(missed_there @ missed_there)
            ratio = gain / saved if saved > 0 else np.sign(gain)
            small = float(np.linalg.norm(step)) < precision * (precision + float(np.linalg.norm(theta)))
            if gain > 0:
                break
            if small or asked >= most:
                return
            damping, growth = damping * growth, 2.0 * growth
        damping, growth = max(damping * max(1.0 / 3.0, 1.0 - (2.0 * ratio - 1.0) ** 3), _LEAST), 2.0
        theta, missed, before, misfit = moved, missed_there, misfit, float(missed_there @ missed_there)
        yield theta, misfit
        if small or (ratio > _TRUSTED and gain < precision * before):
            return


def _step(curvature: Array, gradient: Array, damping: Array) -> Array:
    matrix = curvature.copy()
    matrix[np.diag_indices_from(matrix)] += damping
    _, step, failed = lapack.dposv(matrix, -gradient)
    return np.asarray(np.linalg.lstsq(matrix, -gradient)[0] if failed else step)
