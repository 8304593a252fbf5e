"""Descent: least squares within bounds, smooth and with pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import least_squares

from prillm_or.calibration.descent import descent
from prillm_or.market.market import Array

FREE = np.full(2, np.inf)


def rosenbrock(theta: Array) -> Array:
    return np.array([10.0 * (theta[1] - theta[0] ** 2), 1.0 - theta[0]])


def rosenbrock_slopes(theta: Array) -> Array:
    return np.array([[-20.0 * theta[0], 10.0], [-1.0, 0.0]])


@pytest.mark.parametrize("low", [-np.inf, 1.5])
def test_it_ends_where_scipy_does_each_point_lower_than_the_last(low: float) -> None:
    bounds = np.array([low, -np.inf])
    points = list(
        descent(rosenbrock, rosenbrock_slopes, np.array([2.0, -1.0]), bounds, FREE, precision=1e-12, most=200)
    )
    known = least_squares(rosenbrock, [2.0, -1.0], rosenbrock_slopes, bounds=(bounds, FREE), xtol=1e-15)
    np.testing.assert_allclose(points[-1][0], known.x, rtol=1e-6)
    misfits = [misfit for _, misfit in points]
    assert all(after < before for before, after in pairwise(misfits))
    assert misfits[-1] == pytest.approx(2.0 * known.cost, abs=1e-12)


def test_what_changes_no_residual_stays_where_it_is() -> None:
    points = list(
        descent(
            lambda theta: theta[:1] - 3.0, lambda _: np.eye(2)[:1], np.ones(2), -FREE, FREE, precision=1e-12, most=50
        )
    )
    np.testing.assert_allclose(points[-1][0], [3.0, 1.0], rtol=1e-9)


def test_pieces_that_meet_in_a_valley_are_followed_to_its_end() -> None:
    def slopes(theta: Array) -> Array:
        return np.array([[np.sign(theta[0] - theta[1]), -np.sign(theta[0] - theta[1])], [0.1, 0.1]])

    def residuals(theta: Array) -> Array:
        return np.array([1.0 + abs(theta[0] - theta[1]), 0.1 * theta.sum()])

    *_, (end, misfit) = descent(residuals, slopes, np.array([3.0, 1.0]), -FREE, FREE, precision=1e-9, most=300)
    assert misfit == pytest.approx(1.0, abs=1e-3)
    assert end == pytest.approx([0.0, 0.0], abs=0.3)


def test_residuals_are_asked_for_no_more_often_than_allowed() -> None:
    asked: list[Array] = []

    def counted(theta: Array) -> Array:
        asked.append(theta)
        return rosenbrock(theta)

    list(descent(counted, rosenbrock_slopes, np.array([-5.0, 9.0]), -FREE, FREE, precision=1e-12, most=7))
    assert len(asked) == 7
