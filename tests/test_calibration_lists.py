"""Calibration of days on which components are billed apart, and users buy unlike mixes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.calibration import billed_apart, differing, names_of, observed, spread_of_values, wanted, wanted_at_random
from prillm_or.calibration.baselines import baseline_flows
from prillm_or.calibration.days import days_of
from prillm_or.calibration.elasticities import own_price_elasticities
from prillm_or.calibration.fit import fit_days
from prillm_or.calibration.observation_files import write_observations
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import market_with, predicted_flows
from prillm_or.calibration.procedure import calibrate
from prillm_or.calibration.specification import Specification
from prillm_or.cli import run
from prillm_or.files.markets import read_market
from prillm_or.users.equilibrium import equilibrium_at

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alike", [True, False], ids=["common", "own"])
def test_the_market_of_a_day_has_the_equilibrium_that_is_predicted(seed: int, alike: bool) -> None:
    true = wanted(4, 5, seed) if alike else differing(wanted(4, 5, seed), seed)
    seen = billed_apart(observed(true, seed=seed), true, seed)
    for t, day in enumerate(seen.days):
        market = market_with(true, seen, day)
        assert market.components == ("input", "output")
        assert market.today is not None
        flow = equilibrium_at(market, market.today).flow
        np.testing.assert_allclose(flow, seen.flow[t], rtol=0, atol=1e-9 * seen.demand.max())


@pytest.mark.parametrize(("n", "m", "varied"), [(1, 3, True), (4, 5, True), (4, 5, False)])
def test_preferences_that_made_the_flows_come_back(n: int, m: int, varied: bool) -> None:
    for seed in range(2):
        true = wanted_at_random(n, m, seed)
        seen = billed_apart(observed(true, 6, seed), true, seed, varied=varied)
        days = days_of(seen)
        fit = fit_days(days, parameters_of(Specification(), days, *names_of(days), "seen"))
        used = days.flow.sum(axis=(0, 1)) > 0
        assert fit.misfit < 1e-15
        assert fit.preferences.congestion == pytest.approx(true.congestion, rel=1e-6)
        assert fit.preferences.delay == pytest.approx(true.delay, rel=1e-6)
        found, expected = (wants.value[used] - wants.value[used].min() for wants in (fit.preferences, true))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * spread_of_values(true))


def test_own_weights_of_prices_have_derivatives_of_what_each_pays() -> None:
    true = wanted(3, 4, 1)
    days = days_of(billed_apart(observed(true, 2, 1), true))
    given = parameters_of(Specification(own_price=True), days, *names_of(days), "seen")
    theta = np.random.default_rng(0).uniform(0.1, 0.4, given.size)
    changes = given.offset_changes(theta, days, given.offsets(theta, days))
    for k in range(given.size):
        step = 1e-6 * np.eye(given.size)[k]
        numeric = (given.offsets(theta + step, days) - given.offsets(theta - step, days)) / 2e-6
        np.testing.assert_allclose(changes[..., k], numeric, rtol=0, atol=1e-7)


def test_elasticities_are_of_all_components_together() -> None:
    true = wanted(3, 4, 2)
    seen = billed_apart(observed(true, 1, 2), true)
    found = own_price_elasticities(true, days_of(seen))
    dearer = np.where(np.arange(4)[:, None] == 1, 1 + 1e-6, 1.0) * seen.price
    loads = [
        predicted_flows(true, days_of(replace(seen, price=price))).sum(axis=(0, 1)) for price in (seen.price, dearer)
    ]
    assert found[1] == pytest.approx((loads[1][1] / loads[0][1] - 1) / 1e-6, rel=1e-4)


def test_prices_are_compared_by_what_each_user_pays() -> None:
    true = wanted(3, 4, 3)
    days = days_of(billed_apart(observed(true, 3, 3), true))
    split = baseline_flows("inverse-square", days, *names_of(days))
    np.testing.assert_allclose(split.sum(axis=2), days.demand, rtol=1e-12)
    expected = 1 / days.price[1, 2] ** 2
    np.testing.assert_allclose(split[1, 2] / days.demand[1, 2], expected / expected.sum(), rtol=1e-12)


def test_one_user_with_lists_is_fitted_as_with_what_it_pays() -> None:
    true = wanted(1, 4, 5)
    apart = billed_apart(observed(true, 5, 5, noise=0.1), true)
    blended = replace(apart, price=apart.paid[:, 0], components=(), mix=np.empty(0), leader=None)
    found, expected = (calibrate(seen, shrinkage=0.1, draws=0, baselines=[]) for seen in (apart, blended))
    assert found.fit.preferences.congestion == pytest.approx(expected.fit.preferences.congestion, rel=1e-6)
    np.testing.assert_allclose(found.flow, expected.flow, rtol=0, atol=1e-6 * apart.demand.max())
    np.testing.assert_allclose(found.elasticity, expected.elasticity, rtol=1e-6)


def test_a_folder_of_price_lists_is_calibrated_and_its_market_solved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    true = wanted(3, 4, 4)
    seen = billed_apart(observed(true, 4, 4), true)
    assert seen.leader is not None
    seen = replace(seen, leader=replace(seen.leader, decides="factor", price_cap=(4.0,)))
    write_observations(seen, tmp_path / "known")
    out = tmp_path / "fitted"
    settings = ["--draws", "2", "--shrinkage", "0", "--baseline", "inverse-square", "--report"]
    assert run(["calibrate", str(tmp_path / "known"), "--out", str(out), *settings]) == 0
    market = read_market(out / f"known-{seen.days[-1]}.json").market
    assert market.decides == "factor"
    np.testing.assert_array_equal(market.mix, seen.mix[-1])
    assert market.congestion_weight[0] == pytest.approx(true.congestion, rel=1e-5)
    capsys.readouterr()
    assert run(["solve", str(out / f"known-{seen.days[-1]}.json")]) == 0
    assert "factor" in capsys.readouterr().out
