"""What flows cannot tell: the directions that no fit can know, and how well the others are known."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    alike,
    drawn_days,
    fit_from,
    hand_days,
    offering,
    parameters,
    wanted,
    with_flow_of,
)
from prillm_or.calibration.fit import fit_days
from prillm_or.calibration.identifiability import identifiability
from prillm_or.calibration.left_open import bounded, left_open
from prillm_or.calibration.misfit import Misfit
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_direction(found: dict[str, float], names: Sequence[str], expected: Array) -> None:
    """The same direction but for its sign; what is left out is small."""
    expected = expected / np.sqrt(expected @ expected)
    expected = expected * np.sign(expected[names.index(next(iter(found)))]) * np.sign(next(iter(found.values())))
    for name, part in zip(names, expected, strict=True):
        if name in found:
            assert found[name] == pytest.approx(part, abs=1e-5)
        else:
            assert abs(part) < 0.2 * np.abs(expected).max() + 1e-9
    assert list(found.values()) == sorted(found.values(), key=lambda part: -abs(part))


def test_one_day_tells_no_scale_of_money() -> None:
    # All users pay the same p_j on the only day, so that a value can stand for any part of it. Let w_q grow by a factor
    # 1 + e, and with it w_d and all p_j - b_j: no offset changes, but for a constant. Log w_q moves by e, theta_d by
    # theta_d e, and b_j by e (b_j - p_j), less that of the reference.
    true = wanted(3, 3, 5, congestion=8.0)
    days = drawn_days(true, 1, 5)
    assert (days.flow > 0).all()
    found = fit_from(true, days)
    given, theta = found.parameters, found.theta
    moved = (found.preferences.value - days.price[0]) / given.money
    others = np.delete(moved - moved[given.reference], given.reference)
    (direction,) = identifiability(found).undetermined
    assert_direction(direction, list(given.names()), np.array([1.0, theta[given.places["d"].start], *others]))
    # Prices that stay as they are teach no more; prices that change do.
    same = with_flow_of(true, replace(drawn_days(true, 4, 5), price=np.repeat(days.price, 4, axis=0)))
    assert len(identifiability(fit_from(true, same)).undetermined) == 1
    (said,) = left_open((direction,))
    assert said.startswith("the scale of money: ")
    assert "Days on which prices move" in said
    assert identifiability(fit_from(true, drawn_days(true, 2, 5))).undetermined == ()


def test_a_provider_that_is_never_offered_has_an_unknown_value() -> None:
    true = wanted(3, 4, 1)
    days = drawn_days(true, 5, 1)
    offered = days.offered.copy()
    offered[:, 2] = False
    gone = with_flow_of(true, offering(days, offered))
    (direction,) = identifiability(fit_from(true, gone)).undetermined
    assert direction.keys() == {"value of p3"}
    assert abs(direction["value of p3"]) == pytest.approx(1)


def test_a_provider_that_nobody_uses_has_an_unknown_value() -> None:
    true = wanted(3, 4, 1)
    days = drawn_days(true, 5, 1)
    price = days.price.copy()
    price[:, 2] = 99.0
    (direction,) = identifiability(fit_from(true, with_flow_of(true, replace(days, price=price)))).undetermined
    assert direction.keys() == {"value of p3"}
    (said,) = left_open((direction,))
    assert said.startswith("the value of p3. Nobody is seen to choose between")


def test_two_unknown_values_are_two_whatever_the_basis() -> None:
    turned = ({"value of a": 0.6, "value of b": 0.8}, {"value of b": 0.6, "value of a": -0.8})
    (said,) = left_open(turned)
    assert said.startswith("the value of a, b. ")


def test_many_unknown_things_are_counted_by_kind() -> None:
    values = [{f"value of p{k}": 1.0} for k in range(9)]
    weights = [{"own weight of congestion of u1": -1.0}]
    assert [said.split(". ")[0] for said in left_open([*values, *weights])] == [
        "the value of p0, p1, p2, p3, p4 and 4 more",
        "the own weight of congestion of u1",
    ]
    assert list(left_open(())) == []


def test_without_delays_their_weight_is_unknown() -> None:
    true = wanted(3, 4, 1)
    days = drawn_days(true, 5, 1)
    (direction,) = identifiability(fit_from(true, with_flow_of(true, replace(days, delay=0 * days.delay)))).undetermined
    assert direction.keys() == {"weight of delay"}


def test_a_weight_of_congestion_of_everybody_s_own_is_that_of_all() -> None:
    # Log w_q up by one and every log own factor down by one: nothing changes. All of these four parts are 1/2.
    true = wanted(3, 4, 1)
    found = fit_from(true, drawn_days(true, 5, 1), Specification(own_congestion=True))
    (direction,) = identifiability(found).undetermined
    assert_direction(direction, list(found.parameters.names()), np.array([1.0, 0, 0, 0, 0, -1, -1, -1]))
    (said,) = left_open((direction,))
    assert said.startswith("how weights of congestion split")


def test_what_is_hidden_tells_nothing() -> None:
    true = wanted(3, 4, 1)
    days = drawn_days(true, 5, 1)
    assert identifiability(fit_from(true, days)).undetermined == ()
    train = days.train.copy()
    train[1:] = False
    assert len(identifiability(fit_from(true, replace(days, train=train))).undetermined) == 1  # one day, see above
    weight = np.zeros(days.demand.shape)
    weight[0] = 1.0
    given = parameters(days)
    weighted = fit_days(days, given, weight=weight, start=given.pack(true))
    assert len(identifiability(weighted).undetermined) == 1


def test_singular_values_are_those_of_the_derivatives_in_units_of_the_flows() -> None:
    true = wanted(3, 3, 5, congestion=8.0)
    found = fit_from(true, drawn_days(true, 4, 5, noise=0.05))
    misfit = Misfit(found.parameters, found.days, found.weight)
    steps = 1e-6 * np.eye(found.parameters.size)
    differences = [(misfit.flow(found.theta + one) - misfit.flow(found.theta - one)).ravel() / 2e-6 for one in steps]
    unit = np.sqrt((found.days.flow**2).sum())
    expected = np.linalg.svd(np.array(differences) / unit, compute_uv=False)
    told = identifiability(found)
    np.testing.assert_allclose(told.singular_values, expected, rtol=1e-4)
    assert told.condition == pytest.approx(expected[0] / expected[-1], rel=1e-4)


def test_with_fewer_flows_than_numbers_to_find_there_is_no_condition() -> None:
    # One user, one day: 4 flows, that sum to what they have to, for log w_q, theta_d and 3 values: 3 of 5 directions
    # are told at most.
    true = wanted(1, 4, 5, congestion=8.0)
    days = drawn_days(true, 1, 5)
    assert (days.flow > 0).all()
    told = identifiability(fit_from(true, days))
    assert len(told.singular_values) == 5
    assert (np.diff(told.singular_values) <= 0).all()
    assert told.condition is None
    assert len(told.undetermined) == 2


# A matrix of cells by cells would have 10 GB for 20 users, 20 providers and 90 days.
def test_memory_grows_with_cells_times_parameters() -> None:
    true = wanted(8, 8, 1)
    found = fit_from(true, drawn_days(true, 20, 1))
    derivatives = 8 * found.days.flow.size * found.parameters.size
    tracemalloc.start()
    try:
        identifiability(found)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * derivatives


def test_a_value_at_a_corner_is_known_from_one_side() -> None:
    # All use p1, at a marginal cost of 1 + 2 w_q = 3 with demand and capacity 1: at a price of 3, p2 is just not used.
    true = alike(1, [0.0, 0.0], 1.0, 0.0)
    days = hand_days([[1.0, 3.0]], [[[1.0, 0.0]]])
    found = fit_from(true, days)
    assert found.parameters.provider_ids[found.parameters.reference] == "p1"
    edge = identifiability(replace(found, theta=found.parameters.pack(alike(1, [0.0, 0.0], 1.0, 0.0))))
    assert (edge.at_most, edge.at_least) == (("p2",), ())
    (said,) = bounded(edge.at_most, edge.at_least)
    assert said.startswith("how low the value of these is: p2. Each is worth at most")
    inside = identifiability(fit_from(true, with_flow_of(true, replace(days, price=np.array([[1.0, 1.5]])))))
    assert (inside.at_most, inside.at_least) == ((), ())
