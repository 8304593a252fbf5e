"""Draws of a calibration: the markets that they make, their file, and their quantiles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.calibration import observed
from helpers.draws import wanted_of_their_own
from prillm_or.calibration.bootstrap import bootstrap
from prillm_or.calibration.days import days_of
from prillm_or.calibration.draw_files import DrawsError, read_draws, write_draws
from prillm_or.calibration.draws import Draws, drawn_markets
from prillm_or.calibration.fit import fit_days
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import market_with
from prillm_or.calibration.specification import Specification
from prillm_or.errors import CombinationError, MarketError
from prillm_or.market.market import Market
from prillm_or.users.equilibrium import equilibrium_at


def assert_same_users(one: Market, other: Market) -> None:
    """Flows and profits alike: values may differ by a constant."""
    for price in (0.5, 1.5, 3.0):
        ours, theirs = (equilibrium_at(market, [price]).flow for market in (one, other))
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9 * one.demand.sum())


@pytest.mark.parametrize("groups", [1, 2])
def test_the_market_of_a_draw_is_the_one_that_its_preferences_make(groups: int) -> None:
    true, others = (
        wanted_of_their_own(4, 5, 1, groups),
        [replace(wanted_of_their_own(4, 5, seed, groups), delay=0.2 * seed) for seed in (2, 3)],
    )
    seen = observed(true, noise=0.03)
    market = market_with(true, seen, seen.days[-1])
    made = drawn_markets(Draws("known", true, tuple(others)), market, 2)
    assert len(made) == 2
    for drawn_market, preferences in zip(made, others, strict=True):
        assert_same_users(drawn_market, market_with(preferences, seen, seen.days[-1]))
    with pytest.raises(AssertionError):
        assert_same_users(made[0], market)


def test_draws_keep_what_the_market_has_been_given_since() -> None:
    true, other = wanted_of_their_own(4, 5, 1), wanted_of_their_own(4, 5, 2)
    seen = observed(true, noise=0.03)
    market = market_with(true, seen, seen.days[0])
    changed = replace(market, price_cap=np.array([7.0]), unit_cost=np.arange(5.0), demand=2 * market.demand)
    (made,) = drawn_markets(Draws("known", true, (other,)), changed, 1)
    assert made.price_cap.tolist() == [7.0]
    np.testing.assert_array_equal(made.unit_cost, np.arange(5.0))
    np.testing.assert_array_equal(made.demand, 2 * market.demand)


def test_draws_of_another_fit_are_refused() -> None:
    true = wanted_of_their_own(4, 5, 1)
    market = market_with(true, observed(true, noise=0.03), "2026-07-01")
    draws = Draws("known", true, (wanted_of_their_own(4, 5, 2),))
    for field, message in (
        ({"value": market.value * [1.01, 1, 1, 1, 1]}, "value of p1"),
        ({"congestion_weight": 1.01 * market.congestion_weight}, "weight of congestion of u1"),
        ({"delay_weight": 0 * market.delay_weight}, "weight of delay of u1: 0, the fit has 0.6"),
        ({"price_weight": market.price_weight * [1, 2, 1, 1]}, "weight of price of u2"),
        ({"user_ids": ("u1", "u2", "u3", "x")}, "users: x: not among those of known"),
    ):
        with pytest.raises(MarketError, match=message):
            drawn_markets(draws, replace(market, **field), 1)
    with pytest.raises(CombinationError, match="2 draws wanted, the fit of known has 1"):
        drawn_markets(draws, market, 2)


def test_a_market_with_groups_that_does_not_weigh_delays_does_not_tell_them() -> None:
    true = replace(wanted_of_their_own(4, 5, 1, 2), delay=0.0)
    market = market_with(true, observed(true, noise=0.03), "2026-07-01")
    made = drawn_markets(Draws("known", true, (true,)), market, 1)
    assert_same_users(made[0], market)
    with pytest.raises(CombinationError, match="calibrate without `groups`"):
        drawn_markets(Draws("known", true, (wanted_of_their_own(4, 5, 2, 2),)), market, 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_draws_on_file_are_read_back(groups: int, tmp_path: Path) -> None:
    plain = replace(wanted_of_their_own(4, 5, 9, groups), price_factor=np.ones(4))
    drawn = (wanted_of_their_own(4, 5, 2, groups), plain)
    draws = Draws("known", wanted_of_their_own(4, 5, 1, groups), drawn, (wanted_of_their_own(4, 5, 3, groups),))
    write_draws(draws, tmp_path / "draws.json")
    read = read_draws(tmp_path / "draws.json")
    assert read.name == "known"
    assert [len(read.drawn), len(read.profile)] == [2, 1]
    pairs = zip((read.centre, *read.drawn, *read.profile), (draws.centre, *drawn, *draws.profile), strict=True)
    for one, other in pairs:
        for name in one.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_faults_of_a_file_of_draws_are_named(tmp_path: Path) -> None:
    path = tmp_path / "draws.json"
    write_draws(Draws("known", wanted_of_their_own(4, 5, 1, 2), (wanted_of_their_own(4, 5, 2, 2),)), path)
    good = json.loads(path.read_text())

    def refusal(**fields: Any) -> str:
        path.write_text(json.dumps(good | fields))
        with pytest.raises(DrawsError) as caught:
            read_draws(path)
        return str(caught.value)

    assert 'format: expected "prillm-or/draws@1", got "prillm-or/fit@1"' in refusal(format="prillm-or/fit@1")
    assert "draws[0].values: expected 5 numbers, got 1" in refusal(draws=[good["draws"][0] | {"values": [1.0]}])
    assert "draws[0].delay: expected a number >= 0, got -1" in refusal(draws=[good["draws"][0] | {"delay": -1.0}])
    assert "profile[0].delay: expected a number >= 0, got -1" in refusal(profile=[good["draws"][0] | {"delay": -1.0}])
    for own, said in (
        ({"dispersion_factors": [1.0]}, "dispersion_factors: expected 4 numbers, got 1"),
        ({"provider_dispersions": [1.0]}, "provider_dispersions: expected 5 numbers, got 1"),
        ({"user_values": {"u1": [1.0]}}, "user_values: expected 5 numbers for each"),
        ({"user_values": {"x": [1.0] * 5}}, "user_values: expected names of users"),
    ):
        assert f"profile[0].{said}" in refusal(profile=[good["draws"][0] | own])
    assert "draws[0].group_values" in refusal(draws=[good["draws"][0] | {"group_values": {}}])
    assert "groups: expected for each user" in refusal(groups={"u1": "a"})
    assert "users[1]" in refusal(users=["u1", "u1", "u3", "u4"])
    assert "draws: expected at least one" in refusal(draws=[])
    with pytest.raises(DrawsError, match="none: cannot be read"):
        read_draws(tmp_path / "none")


def test_the_quantiles_of_the_draws_are_the_intervals() -> None:
    seen = observed(
        replace(wanted_of_their_own(4, 5, 1), price_factor=np.ones(4), congestion_factor=np.ones(4)), days=5, noise=0.03
    )
    days = days_of(seen)
    given = parameters_of(Specification(), days, seen.user_ids, seen.provider_ids, "known")
    found = bootstrap(fit_days(days, given, start=given.pack(wanted_of_their_own(4, 5, 1))), 39, seed=1)
    assert found.draws == len(found.sample) == 39
    held = [one.value[:, None] - one.value[found.reference] for one in found.sample]
    ends = np.quantile(np.hstack(held), [0.05, 0.95], axis=1, method="weibull").T
    np.testing.assert_allclose(ends, found.values - found.values[found.reference], atol=1e-9)
    congestion = np.exp(np.quantile(np.log([one.congestion for one in found.sample]), [0.05, 0.95], method="weibull"))
    np.testing.assert_allclose(congestion, found.weights["congestion"], rtol=1e-9)
    assert all(one.value.min() == 0 for one in found.sample)
