"""What theta means: preferences in numbers without units, their names, their bounds, and offsets made of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    FULL,
    assert_same_preferences,
    drawn_days,
    hand_days,
    misfit_of,
    numeric,
    parameters,
    random_theta,
    wanted_at_random,
)
from prillm_or.calibration.preferences import EVERYONE, predicted_flows
from prillm_or.calibration.specification import Specification
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array

SWITCHES = [
    Specification(
        own_congestion=own_congestion,
        own_price=own_price,
        groups={"a": ("u1", "u3")} if grouped else {},
        values=values,
        congestion=congestion,
    )
    for own_congestion, own_price, grouped, values, congestion in itertools.product((False, True), repeat=5)
]


@pytest.mark.parametrize("specification", SWITCHES, ids=str)
def test_theta_and_preferences_say_the_same(specification: Specification) -> None:
    days = drawn_days(wanted_at_random(4, 3, 1), 3, 1)
    given = parameters(days, specification)
    theta = random_theta(given, 2)
    preferences = given.unpack(theta)
    np.testing.assert_allclose(given.pack(preferences), theta, rtol=1e-13, atol=1e-15)
    assert_same_preferences(given.unpack(given.pack(preferences)), preferences, 1e-13)
    assert preferences.value.min() == 0
    # The same flows, from the offsets of theta and from what the preferences say.
    flow = misfit_of(given, days).flow(theta)
    np.testing.assert_allclose(flow, predicted_flows(preferences, days), atol=1e-10 * days.demand.max())


@pytest.mark.parametrize("specification", SWITCHES, ids=str)
def test_every_entry_has_a_name_of_its_own(specification: Specification) -> None:
    given = parameters(drawn_days(wanted_at_random(4, 3, 1), 3, 1), specification)
    names = list(given.names())
    assert len(names) == len(set(names)) == given.size
    s = specification
    # n = 4 users, m = 3 providers, groups a and everyone: 1 + 1 + 2, 4, 4, and 2 x 3.
    assert given.size == s.congestion + 1 + 2 * s.values + 4 * s.own_congestion + 4 * s.own_price + 6 * bool(s.groups)
    assert len(given.shrunk) == 4 * s.own_congestion + 4 * s.own_price + 6 * bool(s.groups)
    assert all(("own" in names[k]) or (" to " in names[k]) for k in given.shrunk)


def test_each_entry_moves_what_its_name_says() -> None:
    given = parameters(drawn_days(wanted_at_random(4, 3, 1), 3, 1), FULL)
    theta = random_theta(given, 3)

    def described(theta: Array) -> dict[str, float]:
        found = given.unpack(theta)
        value = found.value - found.value[given.reference]
        facts = {"weight of congestion": found.congestion, "weight of delay": found.delay}
        facts |= {f"value of {name}": value[j] for j, name in enumerate(given.provider_ids)}
        for i, user in enumerate(given.user_ids):
            facts[f"own weight of congestion of {user}"] = found.congestion_factor[i]
            facts[f"own weight of price of {user}"] = found.price_factor[i]
        for g, group in enumerate(found.group_ids):
            facts |= {
                f"value of {name} to {group}": found.group_value[g, j] for j, name in enumerate(given.provider_ids)
            }
        return facts

    before = described(theta)
    for k, name in enumerate(given.names()):
        changed = theta.copy()
        changed[k] += 0.1
        moved = {fact for fact, number in described(changed).items() if abs(number - before[fact]) > 1e-9}
        assert moved == {name}


def test_units_and_the_reference_by_hand() -> None:
    # Flows 3 and 1 at prices 2 and 6, delays 1 and 5, capacities 3 and 2: money (6 + 6)/4 = 3, waiting (3 + 5)/4 = 2,
    # congestion (9/3 + 1/2)/4 = 7/8, at which a weight of 3 / (7/8) = 24/7 counts as much as prices.
    days = hand_days([[2.0, 6.0]], [[[3.0, 1.0]]], capacity=[[3.0, 2.0]], delay=[[[1.0, 5.0]]])
    given = parameters(days)
    assert (given.money, given.waiting, given.reference) == (3, 2, 0)
    assert given.scale == pytest.approx(24 / 7)
    # Theta (log 2, 1, 1/3): w_q = 2, w_d = 1 x 3/2, b = (0, 3 x 1/3). Offsets (2 + 1.5 x 1 - 0)/2 and
    # (6 + 1.5 x 5 - 1)/2.
    theta = np.array([np.log(2), 1, 1 / 3])
    np.testing.assert_allclose(given.offsets(theta, days), [[[1.75, 6.25]]], rtol=1e-14)
    # Derivatives: by log w_q minus the offsets; by theta_d 3/2 d / 2; by b_2 -3/2 at the second alone.
    expected = [[[[-1.75, 0.75, 0], [-6.25, 3.75, -1.5]]]]
    np.testing.assert_allclose(given.offset_changes(theta, days, given.offsets(theta, days)), expected, rtol=1e-14)
    found = given.unpack(theta)
    np.testing.assert_allclose(found.value, np.array([0.0, 1.0]), atol=1e-15)
    # A value below the reference's: the least is 0, and the reference is worth the more.
    np.testing.assert_allclose(given.unpack(np.array([0, 0, -1])).value, np.array([3.0, 0.0]), atol=1e-15)
    # The reference is the provider of largest flow, as far as it is seen.
    hidden = replace(days, train=np.array([[[False, True]]]))
    assert parameters(hidden).reference == 1


def test_own_weights_and_group_values_in_offsets_by_hand() -> None:
    # One user in group a: w_q = 2 e^u, w_p = e^v, b = money (theta + delta). Price 4, delay 0, money 4: with u = log 2,
    # v = log 3, delta = 1/2 at p1: (3 x 4 - 2)/4 = 2.5 and (3 x 4 - 4 x 1)/4 = 2, with theta = 1 at p2.
    days = hand_days([[4.0, 4.0]], [[[2.0, 1.0]]])
    given = parameters(days, Specification(own_congestion=True, own_price=True, groups={"a": ("u1",)}))
    assert given.group_ids == ("a",)
    assert given.money == 4
    theta = np.array([np.log(2), 0, 1, np.log(2), np.log(3), 0.5, 0])
    np.testing.assert_allclose(given.offsets(theta, days), [[[2.5, 2.0]]], rtol=1e-14)


@pytest.mark.parametrize("specification", SWITCHES, ids=str)
def test_derivatives_of_offsets_are_exact(specification: Specification) -> None:
    days = drawn_days(wanted_at_random(4, 3, 1), 3, 1, missing=0.3)
    given = parameters(days, specification)
    theta = random_theta(given, 4)
    offsets = given.offsets(theta, days)
    assert offsets.shape == days.flow.shape
    exact = given.offset_changes(theta, days, offsets)
    assert exact.shape == (*days.flow.shape, given.size)
    differences = numeric(lambda at: given.offsets(at, days), theta)
    scale = max(1.0, np.abs(differences).max())
    np.testing.assert_allclose(exact, differences, rtol=1e-7, atol=1e-8 * scale)


def test_bounds_hold_weights_of_delay_above_zero_and_others_where_one_can_compute() -> None:
    given = parameters(drawn_days(wanted_at_random(4, 3, 1), 3, 1), FULL)
    low, high = given.bounds()
    names = list(given.names())
    assert low[names.index("weight of delay")] == 0
    assert np.isinf(high[names.index("weight of delay")])
    for name, centre in (("weight of congestion", np.log(given.scale)), ("own weight of price of u2", 0.0)):
        k = names.index(name)
        np.testing.assert_allclose([low[k], high[k]], [centre - np.log(1e6), centre + np.log(1e6)])
    assert all(np.isinf(low[k]) for k, name in enumerate(names) if "value" in name)


def test_users_are_put_into_their_groups() -> None:
    days = drawn_days(wanted_at_random(4, 3, 1), 2, 1)
    given = parameters(days, Specification(groups={"a": ("u4", "u2"), "b": ("u1",)}))
    assert given.group_ids == ("a", "b", EVERYONE)
    np.testing.assert_array_equal(given.group, [1, 0, 2, 0])
    all_named = parameters(days, Specification(groups={"a": ("u4", "u2"), "b": ("u1", "u3")}))
    assert all_named.group_ids == ("a", "b")
    assert parameters(days).group_ids == (EVERYONE,)


def test_groups_that_cannot_be_are_refused_all_at_once() -> None:
    days = drawn_days(wanted_at_random(3, 2, 1), 2, 1)
    with pytest.raises(ObservationsError) as error:
        parameters(days, Specification(groups={"a": ("u1", "x"), EVERYONE: ("u1", "u2")}))
    assert error.value.problems == (
        "group: no user is called 'x'",
        "group: 'u1' is named twice",
        "group: 'everyone' is the group of those whom no group names; take another name",
    )
