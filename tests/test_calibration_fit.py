"""Fits: preferences that made the flows come back, from any start, with shrinkage, and from days that tell little."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from helpers.calibration import (
    FULL,
    assert_same_preferences,
    drawn_days,
    fitted,
    misfit_of,
    offering,
    own_truth,
    parameters,
    part,
    spread_of_values,
    wanted_at_random,
    with_flow,
    with_flow_of,
)
from prillm_or.calibration.days import Days, independent_flows
from prillm_or.calibration.findings import _price_of_own
from prillm_or.calibration.fit import SHRINKAGES, fit_days, fit_path, without_price
from prillm_or.calibration.misfit import OWN
from prillm_or.calibration.preferences import EVERYONE, Preferences, predicted_flows
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array

pytestmark = pytest.mark.usefixtures("one_thread")


def used_values(preferences: Preferences, days: Days) -> Array:
    """Values of providers in use, the least of them 0."""
    used = preferences.value[days.flow.sum(axis=(0, 1)) > 0]
    return np.asarray(used - used.min())


# What made the flows comes back


SIZES = [
    (1, 2, 4, 0.0),
    (1, 4, 8, 0.3),
    (2, 3, 5, 0.3),
    (3, 3, 4, 0.3),
    (5, 4, 8, 0.3),
    (4, 7, 8, 0.0),
    (8, 13, 6, 0.3),
]


@pytest.mark.parametrize(("n", "m", "count", "missing"), SIZES)
def test_preferences_that_made_the_flows_come_back(n: int, m: int, count: int, missing: float) -> None:
    for seed in range(1 if n * m > 50 else 3):
        true = wanted_at_random(n, m, seed)
        days = drawn_days(true, count, seed, missing)
        found = fitted(days)
        assert found.misfit < 1e-15
        assert found.preferences.congestion == pytest.approx(true.congestion, rel=1e-6)
        assert found.preferences.delay == pytest.approx(true.delay, rel=1e-6)
        np.testing.assert_allclose(
            used_values(found.preferences, days), used_values(true, days), rtol=0, atol=1e-4 * spread_of_values(true)
        )
        assert found.preferences.value.min() == 0
        assert found.preferences.common


def test_a_weight_of_delay_of_zero_comes_back() -> None:
    for seed in range(2):
        true = replace(wanted_at_random(4, 5, seed), delay=0.0)
        days = drawn_days(true, 8, seed, 0.3)
        found = fitted(days).preferences
        assert 0 <= found.delay < 1e-6
        assert found.congestion == pytest.approx(true.congestion, rel=1e-6)


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_weights_of_congestion_far_from_one_come_back(factor: float) -> None:
    for seed in range(2):
        true = replace(wanted_at_random(4, 5, seed), congestion=factor, delay=0.5)
        days = drawn_days(true, 8, seed, 0.3)
        found = fitted(days).preferences
        assert found.congestion == pytest.approx(factor, rel=1e-6)
        assert found.delay == pytest.approx(0.5, rel=1e-6)


def test_of_several_starts_one_leads_to_the_truth() -> None:
    # With so little congestion flows are nearly all or nothing, and from many starts the search ends at another
    # minimum: from the third, fourth and fifth for the first days, from the first, fourth and fifth for the second.
    for seed in (0, 4):
        true = replace(wanted_at_random(4, 5, seed), congestion=0.1, delay=0.5)
        found = fitted(drawn_days(true, 6, seed))
        assert found.misfit < 1e-12
        assert found.preferences.congestion == pytest.approx(0.1, rel=1e-6)


def test_a_baseline_finds_what_it_knows_of() -> None:
    # Without values, flows made without them: weights come back.
    true = replace(wanted_at_random(4, 5, 3), value=np.zeros(5))
    found = fitted(drawn_days(true, 6, 3), Specification(values=False)).preferences
    np.testing.assert_array_equal(found.value, 0)
    assert found.congestion == pytest.approx(true.congestion, rel=1e-6)
    assert found.delay == pytest.approx(true.delay, rel=1e-6)


def test_a_fit_of_the_weight_of_delay_alone() -> None:
    days = drawn_days(wanted_at_random(3, 4, 1), 4, 1)
    found = fitted(days, Specification(values=False, congestion=False))
    assert found.theta.shape == (1,)
    np.testing.assert_array_equal(found.preferences.value, 0)
    assert found.preferences.congestion == pytest.approx(1e-6 * found.parameters.scale)


OWN_KINDS = [(0.2, 0.0), (0.0, 0.2), (0.2, 0.2)]


@pytest.mark.parametrize(("congestion", "price"), OWN_KINDS)
def test_own_weights_come_back_when_they_cost_nothing(congestion: float, price: float) -> None:
    # OWN / T times theta^2 holds a user's own weights short of the truth. We let it go to 1e-10 from where the fit
    # ends: theta is then off by that over the curvature of R^2, and 1e-5 allows for curvatures down to 1e-5.
    for seed in range(2):
        true, days = own_truth(3, 4, seed, congestion, price)
        found = fitted(days, Specification(own_congestion=congestion > 0, own_price=price > 0))
        misfit, (low, high) = misfit_of(found.parameters, days, own=1e-10 * len(days.flow)), found.parameters.bounds()
        ended = least_squares(
            misfit.residuals, found.theta, misfit.jacobian, bounds=(low, high), ftol=1e-15, xtol=1e-15, gtol=1e-15
        )
        assert_same_preferences(found.parameters.unpack(ended.x), true, 1e-5)


@pytest.mark.parametrize(("congestion", "price"), OWN_KINDS)
def test_own_weights_are_held_short_of_the_truth_as_far_as_their_price_says(congestion: float, price: float) -> None:
    for seed in range(2):
        true, days = own_truth(3, 4, seed, congestion, price)
        found = fitted(days, Specification(own_congestion=congestion > 0, own_price=price > 0))
        given = found.parameters
        theta = given.pack(true)
        own, truth = found.theta[given.shrunk], theta[given.shrunk]
        # The truth has no misfit but the price of what is own, and the fit is at least as good.
        price_of_truth = misfit_of(given, days).residuals(theta)
        assert found.misfit <= price_of_truth @ price_of_truth
        assert own @ own < truth @ truth
        for kind in ("u", "v"):
            assert abs(found.theta[given.places[kind]].sum()) < 1e-6
        # To first order about the truth, the fit is off by the step d that minimises |J d|^2 + OWN |theta + d|^2; what
        # is left is of second order, d^2. A quarter of the step and of the truth allow for that, and for kinks.
        misfit = misfit_of(given, days)
        step, *_ = np.linalg.lstsq(misfit.jacobian(theta), -misfit.residuals(theta), rcond=None)
        np.testing.assert_allclose(own, truth + step[given.shrunk], atol=0.25 * np.abs(step[given.shrunk]).max() + 0.01)


def test_users_who_differ_are_not_told_apart_without_reason() -> None:
    # Noise-free flows of users who want the same: what is their own costs, and explains nothing.
    true = wanted_at_random(3, 4, 2)
    days = drawn_days(true, 6, 2)
    found = fitted(days, Specification(own_congestion=True, own_price=True, groups={"a": ("u1",)})).preferences
    assert_same_preferences(found, true, 1e-5)


def test_values_of_groups_come_back() -> None:
    # Groups {u1, u2} and everyone else hold providers to be worth less or more; what they differ by is found once it
    # costs nothing, as above. Only differences of values matter, for each user.
    for seed in range(2):
        true, rng = wanted_at_random(4, 4, seed), np.random.default_rng(seed)
        true = replace(
            true,
            congestion=8.0,
            delay=0.3,
            group_ids=("a", EVERYONE),
            group=np.array([0, 0, 1, 1]),
            group_value=0.3 * rng.standard_normal((2, 4)),
        )
        days = drawn_days(true, 6, seed)
        assert (days.flow.sum(axis=0) > 0).all()
        found = fitted(days, Specification(groups={"a": ("u1", "u2")}))
        given = found.parameters
        assert found.preferences.group_ids == true.group_ids
        truth = given.pack(true)
        assert found.misfit <= OWN * truth[given.shrunk] @ truth[given.shrunk]
        misfit, (low, high) = misfit_of(given, days, own=1e-10), given.bounds()
        ended = least_squares(
            misfit.residuals, found.theta, misfit.jacobian, bounds=(low, high), ftol=1e-15, xtol=1e-15, gtol=1e-15
        )
        ours, theirs = given.unpack(ended.x).value_by_user, true.value_by_user
        np.testing.assert_allclose(
            ours - ours[:, :1], theirs - theirs[:, :1], atol=1e-4 * spread_of_values(true), err_msg=f"seed {seed}"
        )
        # Values common to all explain the flows far worse, even than those held short of the truth.
        missed = misfit_of(given, days, own=0.0).residuals(found.theta)
        assert fitted(days).misfit > 10 * missed @ missed


def test_a_warm_start_at_the_truth_stays_there() -> None:
    true = wanted_at_random(5, 6, 1)
    days = drawn_days(true, 5, 1, 0.3)
    given = parameters(days)
    found = fit_days(days, given, start=given.pack(true))
    np.testing.assert_allclose(found.theta, given.pack(true), rtol=0, atol=1e-8)
    assert found.misfit < 1e-20


def test_a_warm_start_at_the_end_of_a_fit_stays_there() -> None:
    days = drawn_days(wanted_at_random(3, 4, 1), 6, 1, 0.3, noise=0.05)
    for specification, shrinkage in ((Specification(), 0.0), (Specification(), 0.3), (FULL, 0.1)):
        found = fitted(days, specification, shrinkage)
        again = fit_days(days, found.parameters, shrinkage, start=found.theta)
        np.testing.assert_allclose(again.theta, found.theta, atol=1e-4)
        assert again.misfit == pytest.approx(found.misfit, rel=1e-7)
        assert again.misfit <= found.misfit * (1 + 1e-12)


def test_a_start_out_of_bounds_is_moved_inside() -> None:
    true = wanted_at_random(2, 3, 1)
    days = drawn_days(true, 5, 1)
    given = parameters(days)
    start = given.pack(true)
    start[given.places["d"]] = -1.0
    assert_same_preferences(fit_days(days, given, start=start).preferences, true, 1e-5)


# Shrinkage


def test_more_shrinkage_goes_towards_independence_and_away_from_what_is_seen() -> None:
    # Of exact minima of A + kappa B, B falls and A grows in kappa.
    days = drawn_days(wanted_at_random(2, 3, 4), 5, 4, noise=0.3)
    fits = fit_path(days, parameters(days))
    assert [fit.shrinkage for fit in fits] == sorted(SHRINKAGES, reverse=True)
    flows = [predicted_flows(fit.preferences, days) for fit in fits]
    pulled = [float(((flow - independent_flows(days)) ** 2).sum()) for flow in flows]
    missed = [float(((flow - days.flow) ** 2)[days.train].sum()) for flow in flows]
    assert pulled == sorted(pulled)
    assert missed == sorted(missed, reverse=True)
    assert pulled[-1] > 1.1 * pulled[0]


def test_a_path_has_the_shrinkages_asked_for_from_strong_to_weak() -> None:
    days = drawn_days(wanted_at_random(2, 3, 4), 4, 4, noise=0.1)
    for specification in (Specification(), Specification(own_price=True)):
        given = parameters(days, specification)
        fits = fit_path(days, given, (0.0, 0.3, 0.0))
        assert [fit.shrinkage for fit in fits] == [0.3, 0.0]
        assert all(fit.parameters is given or fit.parameters.specification == specification for fit in fits)
        for fit in fits:
            alone = fit_days(days, given, fit.shrinkage)
            assert alone.misfit == pytest.approx(fit.misfit, rel=1e-6)


# Little to learn from


def test_one_day_is_fitted_exactly() -> None:
    days = drawn_days(wanted_at_random(3, 4, 2), 1, 2)
    assert fitted(days).misfit < 1e-15


def test_one_user_of_one_day_is_fitted_exactly() -> None:
    days = drawn_days(wanted_at_random(1, 3, 2), 1, 2)
    assert fitted(days).misfit < 1e-15


def test_a_day_with_one_provider_tells_nothing() -> None:
    true = wanted_at_random(3, 4, 2)
    days = drawn_days(true, 6, 2)
    offered = days.offered.copy()
    offered[2] = [False, True, False, False]
    lone = with_flow_of(true, offering(days, offered))
    assert_same_preferences(fitted(lone).preferences, true, 1e-6)


def test_days_with_one_provider_each_have_flows_without_preferences() -> None:
    days = drawn_days(wanted_at_random(3, 2, 2), 3, 2)
    only = part(days, j=[0])
    only = with_flow(only, days.demand[:, :, None])
    found = fitted(only)
    assert found.misfit < 1e-20
    np.testing.assert_array_equal(found.preferences.value, [0])


def test_prices_of_zero_still_tell_values_in_units_of_congestion() -> None:
    true = wanted_at_random(3, 4, 2)
    days = drawn_days(true, 6, 2)
    free = with_flow_of(true, replace(days, price=np.zeros_like(days.price)))
    found = fitted(free).preferences
    ratio = found.congestion / true.congestion
    np.testing.assert_allclose(found.value, ratio * true.value, atol=1e-6 * ratio * spread_of_values(true))
    assert found.delay == pytest.approx(ratio * true.delay, rel=1e-6)


def without_delays(seed: int) -> tuple[Preferences, Days]:
    true = wanted_at_random(3, 4, seed)
    days = drawn_days(true, 6, seed)
    return true, with_flow_of(true, replace(days, delay=np.zeros_like(days.delay)))


def test_without_delays_the_rest_comes_back() -> None:
    true, days = without_delays(2)
    found = fitted(days).preferences
    assert_same_preferences(replace(found, delay=true.delay), true, 1e-6)


# A search must not drift where the data say nothing.
@pytest.mark.parametrize("seed", range(3))
def test_without_delays_their_weight_stays_zero(seed: int) -> None:
    assert fitted(without_delays(seed)[1]).preferences.delay < 1e-6


def test_a_day_without_anybody_tells_nothing() -> None:
    true = wanted_at_random(3, 4, 2)
    days = drawn_days(true, 6, 2)
    demand = days.demand.copy()
    demand[3] = 0.0
    empty = with_flow_of(true, replace(days, demand=demand, train=days.train & (demand > 0)[:, :, None]))
    assert_same_preferences(fitted(empty).preferences, true, 1e-6)


@pytest.mark.parametrize(
    "size",
    [
        1.0,
        # The mean of many 0.1 is not 0.1, and their variation 1e-33 rather than 0.
        0.1,
    ],
)
def test_flows_that_do_not_vary_have_a_misfit_in_units_of_themselves(size: float) -> None:
    days = drawn_days(wanted_at_random(2, 3, 1), 4, 1)
    assert fitted(with_flow(days, np.full(days.flow.shape, size))).misfit < 1e-6


def test_without_their_price_own_weights_fit_exact_flows_exactly() -> None:
    true, days = own_truth(3, 4, 0, 0.0, 0.5)
    found = fitted(days, Specification(own_price=True))
    free = without_price(found)
    assert found.missed > 1e-7
    assert free.missed < 1e-9
    (said,) = _price_of_own(found, free)
    assert said.startswith("What is users' own is shrunk, and that alone keeps the fit from the flows")
    noisy = fitted(drawn_days(true, 8, 0, noise=0.1), Specification(own_price=True))
    assert list(_price_of_own(noisy, without_price(noisy))) == []
