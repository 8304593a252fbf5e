"""The misfit: by hand, what it says of R^2 and of weights, and its exact derivatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.calibration import (
    FULL,
    drawn_days,
    hand_days,
    misfit_of,
    numeric,
    parameters,
    part,
    random_theta,
    wanted_at_random,
)
from prillm_or.calibration.days import Days
from prillm_or.calibration.misfit import OWN, Misfit
from prillm_or.calibration.scores import scores
from prillm_or.calibration.specification import Specification
from prillm_or.users.differentiable import Settled, settle

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_misfit_by_hand() -> None:
    # D = 4, alpha = (2, 4), offsets (3, 2): flows (2/3, 10/3), as in test_calibration_gradient. Seen are (1, 3), mean
    # 2: V = 2. Both are off by 1/3: 2/9 / 2 = 1/9. Market shares 1/4 and 3/4 are those seen: kappa times 1/9 more.
    days = hand_days([[3.0, 2.0]], [[[1.0, 3.0]]], capacity=[[2.0, 4.0]])
    theta = np.zeros(3)
    for kappa, expected in ((0.0, 1 / 9), (0.3, 1.3 / 9)):
        residuals = misfit_of(parameters(days), days, kappa).residuals(theta)
        assert residuals @ residuals == pytest.approx(expected)
    # An own weight of e^0.5 of congestion, made up for by the common one: the same flows, for OWN/4.
    own = parameters(days, Specification(own_congestion=True))
    residuals = misfit_of(own, days).residuals(np.array([-0.5, 0, 0, 0.5]))
    assert residuals @ residuals == pytest.approx(1 / 9 + OWN / 4)
    # Only p1 is seen: nothing to compare with but its own square. Its share s = 1 / (1 + 4 (1 - s)) is 1/4 again, and
    # both flows are pulled, off by 1/3 each.
    hidden = replace(days, train=np.array([[[True, False]]]))
    for kappa, expected in ((0.0, 1 / 9), (0.3, 1.6 / 9)):
        residuals = misfit_of(parameters(hidden), hidden, kappa).residuals(theta)
        assert residuals @ residuals == pytest.approx(expected)


def test_the_misfit_of_common_preferences_is_what_r2_leaves_to_explain() -> None:
    days = drawn_days(wanted_at_random(3, 4, 2), 4, 2, missing=0.3, noise=0.3)
    given = parameters(days)
    misfit = misfit_of(given, days)
    theta = random_theta(given, 1)
    residuals = misfit.residuals(theta)
    scored = scores(days.flow, misfit.flow(theta), days.demand, days.train)
    assert scored.r2 is not None
    assert residuals @ residuals == pytest.approx(1 - scored.r2, rel=1e-12)


def test_the_misfit_with_weights_is_that_of_days_taken_so_many_times() -> None:
    days = drawn_days(wanted_at_random(3, 4, 2), 3, 2, missing=0.3, noise=0.3)
    twice = part(days, [0, 1, 1, 2, 2, 2])
    given = parameters(days)
    theta = random_theta(given, 1)
    weight = np.repeat([[1.0], [2.0], [3.0]], 3, axis=1)
    one = Misfit(given, days, weight).residuals(theta)
    other = misfit_of(given, twice).residuals(theta)
    assert one @ one == pytest.approx(other @ other, rel=1e-12)
    tripled = Misfit(given, days, 3 * weight).residuals(theta)
    np.testing.assert_allclose(tripled, one, rtol=1e-12)


@pytest.mark.parametrize("specification", [Specification(), FULL, Specification(congestion=False, groups=FULL.groups)])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_the_misfit_are_exact_between_kinks(
    specification: Specification, shrinkage: float, seed: int
) -> None:
    days = drawn_days(wanted_at_random(4, 5, seed), 3, seed, missing=0.3, noise=0.3)
    days = replace(days, train=days.train & (np.random.default_rng(seed).random(days.flow.shape) < 0.8))
    given = parameters(days, specification)
    theta = random_theta(given, seed)
    weight = np.random.default_rng(seed).uniform(0.5, 2, days.demand.shape)
    misfit = Misfit(given, days, weight, shrinkage)
    step = 1e-6 if specification.congestion else 1e-9  # without congestion offsets are a million times as large
    support = misfit.flow(theta) > 0
    for one in step * np.eye(given.size):  # no kink near
        assert ((misfit.flow(theta + one) > 0) == support).all()
        assert ((misfit.flow(theta - one) > 0) == support).all()
    exact = misfit.jacobian(theta)
    assert exact.shape == (len(misfit.residuals(theta)), given.size)
    differences = numeric(misfit.residuals, theta, step)
    assert np.abs(exact).max() > 0.01
    np.testing.assert_allclose(exact, differences, rtol=1e-5, atol=1e-6 * np.abs(exact).max())
    changes = misfit.flow_changes(theta)
    np.testing.assert_allclose(changes.sum(axis=2), 0, atol=1e-7)  # demands are met


def test_residuals_and_derivatives_do_not_depend_on_what_was_asked_before() -> None:
    days = drawn_days(wanted_at_random(4, 5, 1), 3, 1, missing=0.3, noise=0.3)
    given = parameters(days, FULL)
    misfit, one, other = misfit_of(given, days, 0.1), random_theta(given, 1), random_theta(given, 2)
    theta = one.copy()
    first = misfit.residuals(theta), misfit.jacobian(theta)
    theta[:] = other  # in place, as an optimiser may
    fresh = misfit_of(given, days, 0.1)
    np.testing.assert_allclose(misfit.jacobian(theta), fresh.jacobian(other), atol=1e-9)
    np.testing.assert_allclose(misfit.residuals(one), first[0], atol=1e-9)
    np.testing.assert_allclose(misfit.jacobian(one), first[1], atol=1e-9)


def settled_days(n: int, m: int, seed: int) -> tuple[Settled, torch.Tensor, Days]:
    true = wanted_at_random(n, m, seed)
    days = drawn_days(true, 4, seed, missing=0.3)
    given = parameters(days)
    offsets = torch.from_numpy(given.offsets(given.pack(true), days))
    return settle(offsets, *days.tensors()), offsets, days


@pytest.mark.parametrize(("n", "m"), [(1, 2), (3, 5), (5, 3)])
def test_changes_of_flows_are_their_derivatives(n: int, m: int) -> None:
    settled, offsets, days = settled_days(n, m, 3)
    directions = torch.from_numpy(np.random.default_rng(1).standard_normal((*days.flow.shape, 4)))
    changes = settled.changes(directions)
    for k in range(4):
        ahead, back = (settle(offsets + step * directions[..., k], *days.tensors()) for step in (1e-6, -1e-6))
        assert bool((ahead.support == settled.support).all())  # no kink near
        assert bool((back.support == settled.support).all())
        differences = (ahead.flow - back.flow) / 2e-6
        np.testing.assert_allclose(changes[..., k].numpy(), differences.numpy(), atol=1e-6 * float(changes.abs().max()))


@pytest.mark.parametrize(("n", "m"), [(1, 2), (3, 5), (5, 3), (8, 13)])
def test_changes_of_flows_are_the_transpose_of_the_gradients(n: int, m: int) -> None:
    # <G, J v> = <J^T G, v>
    settled, _, days = settled_days(n, m, 5)
    rng = np.random.default_rng(2)
    slope, direction = (torch.from_numpy(rng.standard_normal(days.flow.shape)) for _ in range(2))
    ahead = float((slope * settled.changes(direction[..., None])[..., 0]).sum())
    back = float((settled.gradients(slope)[0] * direction).sum())
    assert abs(ahead) > 1e-3
    assert ahead == pytest.approx(back, rel=1e-10)


def test_changes_of_flows_in_many_directions_are_those_in_each() -> None:
    settled, _, days = settled_days(4, 6, 1)
    directions = torch.from_numpy(np.random.default_rng(3).standard_normal((*days.flow.shape, 3)))
    together = settled.changes(directions)
    for k in range(3):
        np.testing.assert_allclose(settled.changes(directions[..., k : k + 1])[..., 0], together[..., k], atol=1e-10)
    none = settled.changes(torch.ones((*days.flow.shape, 1), dtype=torch.float64))  # a cost common to all choices
    np.testing.assert_allclose(none.numpy(), 0, atol=1e-10)
