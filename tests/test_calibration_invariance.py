"""Fits: units, orders, weights of nothing and what is hidden change nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    FULL,
    assert_same_preferences,
    drawn_days,
    fitted,
    own_truth,
    parameters,
    part,
    spread_of_values,
    wanted_at_random,
    with_flow,
)
from prillm_or.calibration.days import Days
from prillm_or.calibration.fit import Fit, fit_days
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.specification import Specification

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_moved_alike(found: Fit, base: Fit, money: float = 1.0, capacity: float = 1.0, delay: float = 1.0) -> None:
    one, other = found.preferences, base.preferences
    assert one.congestion == pytest.approx(money * capacity * other.congestion, rel=1e-6)
    assert one.delay == pytest.approx(money / delay * other.delay, rel=1e-6)
    np.testing.assert_allclose(one.value, money * other.value, rtol=0, atol=1e-6 * money * spread_of_values(other))
    assert found.misfit == pytest.approx(base.misfit, rel=1e-9)


@pytest.fixture(scope="module", params=[0.0, 0.1])
def noisy(request: pytest.FixtureRequest) -> tuple[Days, Fit]:
    """Days with noise, offers and users missing, and a fit to them; with and without shrinkage.

    All users use all that is offered, here and in the fit: there is no kink near, at which a search may end early.
    """
    days = drawn_days(replace(wanted_at_random(4, 5, 3), congestion=8.0, delay=0.3), 8, 3, 0.3, noise=0.05)
    found = fitted(days, shrinkage=request.param)
    assert (predicted_flows(found.preferences, days)[days.cells] > 0).all()
    return days, found


@pytest.mark.parametrize("factor", [1e-6, 7e3])
def test_units_of_volume_change_nothing(noisy: tuple[Days, Fit], factor: float) -> None:
    days, base = noisy
    scaled = replace(days, flow=factor * days.flow, demand=factor * days.demand, capacity=factor * days.capacity)
    assert_moved_alike(fitted(scaled, shrinkage=base.shrinkage), base)


@pytest.mark.parametrize("factor", [1e-6, 7e3])
def test_units_of_money_scale_weights_and_values(noisy: tuple[Days, Fit], factor: float) -> None:
    days, base = noisy
    found = fitted(replace(days, price=factor * days.price), shrinkage=base.shrinkage)
    assert_moved_alike(found, base, money=factor)


@pytest.mark.parametrize("factor", [1e-6, 7e3])
def test_units_of_capacity_and_delay_scale_their_weights(noisy: tuple[Days, Fit], factor: float) -> None:
    days, base = noisy
    found = fitted(replace(days, capacity=factor * days.capacity), shrinkage=base.shrinkage)
    assert_moved_alike(found, base, capacity=factor)
    found = fitted(replace(days, delay=factor * days.delay), shrinkage=base.shrinkage)
    assert_moved_alike(found, base, delay=factor)


def test_where_users_come_and_go_searches_end_at_kinks_a_thousandth_of_the_misfit_apart() -> None:
    # The misfit of noisy flows has a kink wherever a pair comes into use or goes, and a search may stop at one. The
    # same problem in other units is searched from other distances, and ends elsewhere.
    days = drawn_days(wanted_at_random(4, 5, 3), 8, 3, 0.3, noise=0.05)
    base = fitted(days)
    found = fitted(replace(days, price=7 * days.price))
    assert found.misfit == pytest.approx(base.misfit, rel=1e-3)
    assert found.preferences.congestion == pytest.approx(7 * base.preferences.congestion, rel=0.05)


def test_a_constant_on_all_prices_of_a_day_changes_nothing(noisy: tuple[Days, Fit]) -> None:
    days, base = noisy
    rise = np.random.default_rng(1).uniform(0, 3, (len(days.price), 1))
    dearer = replace(days, price=np.where(days.offered, days.price + rise, 0.0))
    assert_moved_alike(fitted(dearer, shrinkage=base.shrinkage), base)


def test_the_order_of_days_users_and_providers_changes_nothing_but_the_order(noisy: tuple[Days, Fit]) -> None:
    days, base = noisy
    rng = np.random.default_rng(5)
    t, i, j = (rng.permutation(size).tolist() for size in days.flow.shape)
    assert_moved_alike(fitted(part(days, t=t), shrinkage=base.shrinkage), base)
    assert_moved_alike(fitted(part(days, i=i), shrinkage=base.shrinkage), base)
    turned = replace(base, preferences=replace(base.preferences, value=base.preferences.value[j]))
    assert_moved_alike(fitted(part(days, t, i, j), shrinkage=base.shrinkage), turned)


def test_the_order_of_users_and_providers_turns_what_is_their_own() -> None:
    _, days = own_truth(3, 4, 1, 0.2, 0.2)
    base = fitted(days, FULL).preferences
    i, j = [1, 0, 2], [3, 0, 2, 1]  # u1 and u2 change places: the second is now in the group, with u3
    found = fitted(part(days, i=i, j=j), Specification(own_congestion=True, own_price=True, groups={"a": ("u2", "u3")}))
    expected = replace(
        base,
        value=base.value[j],
        congestion_factor=base.congestion_factor[i],
        price_factor=base.price_factor[i],
        group=base.group[i],
        group_value=base.group_value[:, j],
    )
    one, other = found.preferences.value_by_user, expected.value_by_user
    np.testing.assert_allclose(one - one[:, :1], other - other[:, :1], atol=1e-4)
    np.testing.assert_allclose(found.preferences.congestion_weight, expected.congestion_weight, rtol=1e-4)
    np.testing.assert_allclose(found.preferences.price_factor, expected.price_factor, rtol=1e-4)


def test_all_weights_larger_change_nothing(noisy: tuple[Days, Fit]) -> None:
    days, base = noisy
    found = fit_days(days, parameters(days), base.shrinkage, np.full(days.demand.shape, 7.0))
    assert_moved_alike(found, base)


@pytest.mark.parametrize("specification", [Specification(), Specification(own_price=True)], ids=str)
def test_a_day_of_weight_zero_is_as_if_left_out(specification: Specification) -> None:
    days = drawn_days(wanted_at_random(3, 4, 3), 7, 3, noise=0.05)
    wild = days.flow.copy()
    wild[2] = wild[2][:, ::-1]
    days = with_flow(days, wild)
    weight = np.ones(days.demand.shape)
    weight[2] = 0.0
    without = part(days, t=[0, 1, 3, 4, 5, 6])
    given = parameters(days, specification)
    found = fit_days(days, given, weight=weight)
    # What is a user's own costs in units of all days.
    units = {name: getattr(given, name) for name in ("money", "waiting", "scale")}
    expected = fit_days(without, replace(parameters(without, specification), **units))
    assert_same_preferences(found.preferences, expected.preferences, 1e-5)
    assert found.misfit == pytest.approx(expected.misfit, rel=1e-8)
    assert fitted(days, specification).misfit > 2 * found.misfit


def test_a_user_of_weight_zero_still_congests() -> None:
    # Flows of u1 are wild, but its demand is what it is: the truth comes back from the others.
    true = wanted_at_random(4, 5, 2)
    days = drawn_days(true, 8, 2)
    wild = days.flow.copy()
    wild[:, 0] = days.demand[:, :1] / 5
    weight = np.ones(days.demand.shape)
    weight[:, 0] = 0.0
    found = fit_days(replace(days, flow=wild), parameters(days), weight=weight)
    assert_same_preferences(found.preferences, true, 1e-6)


@pytest.mark.parametrize(
    ("specification", "hidden", "shrinkage"),
    [
        (Specification(), "cells", 0.0),
        (Specification(), "users", 0.1),
        (Specification(), "days", 0.1),
        (Specification(values=False), "cells", 0.1),
        (FULL, "cells", 0.1),
        pytest.param(FULL, "days", 0.0, marks=pytest.mark.slow),
    ],
    ids=["cells", "users", "days", "no values", "own, cells", "own, days"],
)
def test_flows_that_are_hidden_never_matter(specification: Specification, hidden: str, shrinkage: float) -> None:
    days = drawn_days(wanted_at_random(3, 4, 6), 5, 6, 0.3, noise=0.1)
    train = days.train.copy()
    if hidden == "cells":
        train &= np.random.default_rng(1).random(train.shape) < 0.7
    elif hidden == "users":
        train[:, 1] = False
    else:
        train[-2:] = False
    days = replace(days, train=train)
    other = replace(days, flow=np.where(train, days.flow, 1e3))
    one, two = (fitted(given, specification, shrinkage) for given in (days, other))
    np.testing.assert_array_equal(one.theta, two.theta)
    assert one.misfit == two.misfit


def test_hidden_flows_are_predicted_when_there_is_no_noise() -> None:
    true = wanted_at_random(4, 5, 2)
    days = drawn_days(true, 8, 2, 0.3)
    train = days.train & (np.random.default_rng(1).random(days.train.shape) < 0.5)
    found = fitted(replace(days, train=train))
    np.testing.assert_allclose(predicted_flows(found.preferences, days), days.flow, atol=1e-6 * days.flow.max())
