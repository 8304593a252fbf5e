"""Calibration of values of users' own, shrunk towards those of families and these towards the common ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.calibration import (
    billed_apart,
    drawn_days,
    misfit_of,
    numeric,
    observations_of_days,
    observed,
    parameters,
    random_theta,
    wanted,
    wanted_at_random,
)
from helpers.equality import assert_same
from helpers.observation_folders import PROVIDERS, folder_of, refusal
from prillm_or.calibration.draw_files import load_draws, read_draws
from prillm_or.calibration.fit import fit_days, without_price
from prillm_or.calibration.fit_files import read_earlier
from prillm_or.calibration.observation_files import read_observations, write_observations
from prillm_or.calibration.observations import without_absent
from prillm_or.calibration.preferences import Preferences, aligned, market_with, predicted_flows
from prillm_or.calibration.procedure import calibrate
from prillm_or.calibration.specification import Specification
from prillm_or.errors import ObservationsError
from prillm_or.files.markets import read_market
from prillm_or.market.market import Array
from prillm_or.users.equilibrium import equilibrium_at

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILIES = ("x", "y", "x", "z", "y")


def partial_to_families(true: Preferences, seed: int, size: float = 0.4) -> Preferences:
    """Users each of which likes families more or less than all do, and providers a little."""
    rng, n = np.random.default_rng([seed, 4]), len(true.user_ids)
    families = size * rng.standard_normal((n, 3))
    return replace(true, user_value=families[:, [0, 1, 0, 2, 1]] + 0.25 * size * rng.standard_normal((n, 5)))


def own(preferences: Preferences, used: Array) -> Array:
    """Values of each user against its mean over the providers in use: nothing else can be told."""
    values = preferences.value_by_user[:, used]
    return np.asarray(values - values.mean(axis=1, keepdims=True))


@pytest.mark.parametrize("seed", range(2))
def test_the_market_of_a_day_has_the_equilibrium_that_is_predicted(seed: int) -> None:
    true = partial_to_families(wanted(4, 5, seed), seed)
    true = replace(true, group_ids=("a", "everyone"), group=np.arange(4) % 2, group_value=0.3 * np.eye(2, 5))
    days = drawn_days(true, 3, seed, 0.3)
    observations = observations_of_days(days)
    for t, day in enumerate(observations.days):
        market = market_with(true, observations, day)
        there, offered = observations.present[t], observations.offered[t]
        np.testing.assert_array_equal(market.user_values, true.value_by_user[np.ix_(there, offered)])
        assert market.delay_weight.tolist() == [true.delay] * there.sum()
        flow = equilibrium_at(market, market.current).flow
        np.testing.assert_allclose(flow, days.flow[t][np.ix_(there, offered)], rtol=0, atol=1e-9 * days.demand.max())


@pytest.mark.parametrize("families", [(), FAMILIES], ids=["alone", "families"])
def test_derivatives_are_those_of_differences(families: tuple[str, ...]) -> None:
    days = drawn_days(wanted_at_random(3, 5, 1), 2, 1, 0.2)
    given = parameters(days, Specification(own_congestion=True, own_values=True, families=families))
    assert given.size == 1 + 1 + 4 + 3 + 3 * 5 + 3 * 2 * bool(families)  # z has one member: no value of its own
    theta = random_theta(given, 3)
    misfit = misfit_of(given, days, 0.1)
    np.testing.assert_allclose(misfit.jacobian(theta), numeric(misfit.residuals, theta), rtol=0, atol=1e-6)
    preferences = given.unpack(theta)
    again = given.pack(preferences)
    np.testing.assert_allclose(given.unpack(again).user_value, preferences.user_value, rtol=1e-10, atol=1e-12)
    assert (again**2).sum() <= (theta**2).sum() + 1e-9  # of all that say the same, the one that costs least
    np.testing.assert_allclose(misfit.flow(theta), predicted_flows(preferences, days), atol=1e-10 * days.demand.max())
    assert len(set(given.names())) == given.size


def test_own_values_come_back() -> None:
    true = partial_to_families(replace(wanted_at_random(3, 5, 2), congestion=2.0), 2)
    days = drawn_days(true, 8, 2)
    days = replace(days, demand=np.full_like(days.demand, days.demand.mean()))
    days = replace(days, flow=predicted_flows(true, days))
    fits = {}
    for families in ((), FAMILIES):
        given = parameters(days, Specification(own_values=True, families=families))
        fits[families] = fit_days(days, given, start=given.pack(replace(true, user_value=0 * true.user_value)))
    used = days.flow.sum(axis=(0, 1)) > 0
    free = without_price(fits[FAMILIES])
    assert free.missed < 1e-8
    assert free.preferences.congestion == pytest.approx(2.0, rel=1e-3)
    assert (days.flow.sum(axis=0)[:, used] > 0).all()
    np.testing.assert_allclose(own(free.preferences, used), own(true, used), rtol=0, atol=1e-2)
    # Where users go by families, one that knows of them has less to shrink.
    assert fits[FAMILIES].misfit < fits[()].misfit
    common = parameters(days, Specification())
    assert fits[FAMILIES].missed < 0.2 * fit_days(days, common, start=common.pack(true)).missed


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_larger_truths_come_back(noise: float) -> None:
    """All but what being a user's own costs, which is a share of what common preferences miss."""
    for seed in range(3):
        true = partial_to_families(wanted_at_random(6, 5, seed), seed)
        days = drawn_days(true, 20, seed, 0.2, noise)
        quiet = predicted_flows(true, days)
        missed = {}
        for families in (None, (), FAMILIES):
            specification = Specification(own_values=families is not None, families=families or ())
            found = fit_days(days, parameters(days, specification)).preferences
            missed[families] = ((predicted_flows(found, days) - quiet) ** 2).sum() / (quiet**2).sum()
        assert missed[FAMILIES] < 0.5 * missed[None]
        assert missed[()] < 0.5 * missed[None]
        assert missed[FAMILIES] < (0.05 * missed[None] if noise == 0 else 0.01)


def test_own_values_are_written_read_drawn_and_solved(tmp_path: Path) -> None:
    true = partial_to_families(wanted(3, 5, 4), 4)
    seen = replace(observed(true, 4, 4), families=FAMILIES)
    write_observations(seen, tmp_path / "known")
    assert_same(read_observations(tmp_path / "known"), seen)
    found = calibrate(seen, own=["values"], shrinkage=0.0, draws=2, baselines=[])
    assert found.fit.parameters.families == ("x", "y")
    names = found.write(tmp_path, ["2026-07-04"])
    written = json.loads((tmp_path / "fit.json").read_text())
    fitted = found.fit.preferences
    assert [list(values.values()) for values in written["user_values"].values()] == fitted.value_by_user.tolist()
    market = read_market(tmp_path / names[-1]).market
    np.testing.assert_array_equal(market.worth, fitted.value_by_user)
    flow = equilibrium_at(market, market.current).flow
    np.testing.assert_allclose(flow, found.flow[-1], rtol=0, atol=1e-9 * seen.demand.max())
    earlier = read_earlier(tmp_path / "fit.json").preferences
    np.testing.assert_allclose(earlier.value_by_user, fitted.value_by_user, rtol=0, atol=1e-12)
    draws = read_draws(tmp_path / "draws.json")
    for drawn, wants in zip(load_draws(tmp_path / "draws.json", market), draws.drawn, strict=True):
        np.testing.assert_array_equal(drawn.worth, wants.value_by_user)


def test_own_values_by_name_for_others() -> None:
    true = partial_to_families(wanted(3, 5, 1), 1)
    others = aligned(true, ("u3", "new"), ("p2", "new"))
    assert others.user_value.tolist() == [[true.user_value[2, 1], 0.0], [0.0, 0.0]]


def test_families_keep_to_their_providers(tmp_path: Path) -> None:
    rows = PROVIDERS.splitlines()
    named = "\n".join(f"{row},{end}" for row, end in zip(rows, ("family", "x", "y", "x", "x", "x"), strict=True))
    (line,) = refusal(folder_of(tmp_path / "seen", providers=named + "\n"))
    assert line == 'providers.csv: row 6, family: "x", and "y" in a row before; a provider is of one family'
    seen = replace(billed_apart(observed(wanted(2, 3, 1), 2, 1), wanted(2, 3, 1)), families=("x", "y", "x"))
    there = np.array([True, False, True])
    price = np.where(there[:, None], seen.price, np.nan)
    fewer = replace(seen, flow=seen.flow * there, price=price, capacity=np.where(there, seen.capacity, np.nan))
    assert without_absent(fewer).families == ("x", "x")
    with pytest.raises(ObservationsError, match="families: expected 3 names, one for each provider, got 2"):
        replace(seen, families=("x", "y"))
