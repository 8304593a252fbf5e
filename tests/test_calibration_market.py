"""Markets made of preferences: the equilibrium that is predicted, and what each field holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    differing,
    drawn_days,
    observations_of_days,
    wanted,
)
from prillm_or.calibration.preferences import EVERYONE, market_with, predicted_flows
from prillm_or.errors import ObservationsError
from prillm_or.users.equilibrium import equilibrium_at


@pytest.mark.parametrize("alike", [True, False], ids=["common", "own weights and groups"])
@pytest.mark.parametrize("seed", range(3))
def test_the_market_of_a_day_has_the_equilibrium_that_is_predicted(seed: int, alike: bool) -> None:
    true = wanted(4, 5, seed) if alike else differing(wanted(4, 5, seed), seed)
    days = drawn_days(true, 4, seed, 0.3)
    observations = observations_of_days(days)
    predicted = predicted_flows(true, days)
    for t, day in enumerate(observations.days):
        market = market_with(true, observations, day)
        there, offered = observations.present[t], observations.offered[t]
        expected = predicted[t][np.ix_(there, offered)]
        assert market.today is not None
        flow = equilibrium_at(market, market.today).flow
        np.testing.assert_allclose(flow, expected, rtol=0, atol=1e-9 * days.demand.max())
        assert market.user_ids == tuple(np.array(true.user_ids)[there])
        assert market.provider_ids == tuple(np.array(true.provider_ids)[offered])
        assert (market.delay >= 0).all()
        # At another price of the leader, too.
        other = days.price.copy()
        other[t, 0] += 1.0
        moved = predicted_flows(true, replace(days, price=other))[t][np.ix_(there, offered)]
        flow = equilibrium_at(market, market.today + 1.0).flow
        np.testing.assert_allclose(flow, moved, rtol=0, atol=1e-9 * days.demand.max())


def test_values_of_a_market_are_zero_at_least() -> None:
    for seed in range(3):
        for true in (wanted(4, 5, seed), differing(wanted(4, 5, seed), seed)):
            observations = observations_of_days(drawn_days(true, 1, seed))
            assert market_with(true, observations, observations.days[0]).value.min() == 0


def test_groups_hold_what_they_value_less_to_be_slower_by_hand() -> None:
    # b = (1, 0); group a adds (2, 0), everyone (0, 1): worth (3, 0) to u1 and (1, 1) to u2. The largest are 3 and 1,
    # 2 and 0 once the least is 0. What is missing counts as delay: to u1 0 and 1, to u2 2 and 0, with w_d d = d/2 each.
    true = replace(
        wanted(2, 2, 1),
        value=np.array([1.0, 0.0]),
        group_ids=("a", EVERYONE),
        group=np.array([0, 1]),
        group_value=np.array([[2.0, 0.0], [0.0, 1.0]]),
    )
    observations = replace(observations_of_days(drawn_days(true, 1, 1)), delay=np.array([[[2.0, 4.0], [6.0, 8.0]]]))
    market = market_with(true, observations, observations.days[0], "as told")
    np.testing.assert_allclose(market.value, np.array([2.0, 0.0]), atol=1e-15)
    np.testing.assert_allclose(market.delay, [[1 + 0, 2 + 1], [3 + 2, 4 + 0]], rtol=1e-15)
    np.testing.assert_array_equal(market.delay_weight, [1, 1])
    assert market.units.delay == "currency per volume unit"
    assert market.description == "as told"


def test_without_groups_delays_stay_what_they_are() -> None:
    true = wanted(2, 2, 1)
    observations = observations_of_days(drawn_days(true, 1, 1))
    market = market_with(true, observations, observations.days[0])
    np.testing.assert_array_equal(market.delay, observations.delay[0])
    np.testing.assert_array_equal(market.delay_weight, [true.delay] * 2)
    np.testing.assert_array_equal(market.congestion_weight, [true.congestion] * 2)
    assert market.units == observations.units
    assert market.common_weights


def test_a_market_needs_a_leader_and_a_day() -> None:
    true = wanted(2, 3, 1)
    observations = observations_of_days(drawn_days(true, 2, 1))
    with pytest.raises(ObservationsError, match="leader: none, and a market needs one"):
        market_with(true, replace(observations, leader=None), observations.days[0])
    with pytest.raises(ObservationsError, match="no day is called '2020-01-01'"):
        market_with(true, observations, "2020-01-01")
