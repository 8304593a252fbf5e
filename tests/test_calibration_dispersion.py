"""Calibration of tastes: dispersion beside congestion or in its place, common or by user or provider."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.calibration import (
    drawn_days,
    hand_days,
    misfit_of,
    numeric,
    observations_of_days,
    observed,
    parameters,
    random_theta,
    wanted,
    wanted_at_random,
)
from prillm_or.calibration.anchor import response
from prillm_or.calibration.draw_files import load_draws, read_draws
from prillm_or.calibration.fit import fit_days, without_price
from prillm_or.calibration.fit_files import read_earlier
from prillm_or.calibration.preferences import Preferences, aligned, market_with, predicted_flows
from prillm_or.calibration.procedure import calibrate
from prillm_or.calibration.specification import DISPERSIONS, Dispersion, Specification
from prillm_or.cli import run
from prillm_or.errors import ArgumentError
from prillm_or.files.markets import read_market
from prillm_or.market.market import Mask
from prillm_or.users.equilibrium import equilibrium_at

pytestmark = pytest.mark.usefixtures("one_thread")


def tasteful(true: Preferences, kind: Dispersion, seed: int, size: float = 2.0) -> Preferences:
    """The same with dispersion; the logarithms of factors sum to 0, as their price makes them."""
    rng, n, m = np.random.default_rng([seed, 9]), len(true.user_ids), len(true.provider_ids)
    user, provider = (np.exp(own - own.mean()) for own in (rng.uniform(-0.5, 0.5, n), rng.uniform(-0.5, 0.5, m)))
    return replace(
        true,
        dispersion=size,
        dispersion_factor=user if kind == "user" else np.ones(n),
        provider_dispersion=provider if kind == "provider" else np.ones(m),
    )


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_dispersion_alone_does_not_make_a_market_buy_by_price_alone(seed: int) -> None:
    # Users of one day split their demands over cheap and dear providers. Flows say nothing of the scale of money; at
    # a dispersion as large as the mean price the elasticities would be -13, -14 and -38, as they once were.
    rng = np.random.default_rng(seed)
    flow = np.exp(rng.standard_normal((1, 4, 5)))
    days = hand_days(np.geomspace(0.1, 10.0, 5)[None], flow, capacity=flow.sum(axis=1))
    given = parameters(days, Specification(own_values=True, congestion=False, dispersion="common"))
    found = fit_days(days, given)
    elasticity = response(found.preferences, days, range(5))
    assert -2 < elasticity < -0.5
    assert elasticity == pytest.approx(-np.exp(given.elasticity(found.theta)[0]), rel=0.2)
    assert found.missed < 1e-3


@pytest.mark.parametrize("congestion", [True, False])
def test_users_who_buy_of_one_provider_each_can_be_fitted(congestion: bool) -> None:
    # Nobody splits a demand: as if between two, the scale is (2^2 2 + 3^2 4) / 2 / (2 2 + 3 4) = 22 / 16, in currency.
    days = hand_days([[2.0, 3.0]], [[[2.0, 0.0], [0.0, 4.0]]], capacity=[[2.0, 4.0]])
    given = parameters(days, Specification(own_values=True, congestion=congestion, dispersion="common"))
    assert given.dispersion_scale * given.money == pytest.approx(22 / 16)
    assert fit_days(days, given).missed < 0.01


@pytest.mark.parametrize("kind", DISPERSIONS)
@pytest.mark.parametrize("congestion", [1.3, 0.0])
def test_the_market_of_a_day_has_the_equilibrium_that_is_predicted(kind: Dispersion, congestion: float) -> None:
    true = tasteful(replace(wanted(4, 5, 2), congestion=congestion), kind, 2)
    days = drawn_days(true, 3, 2, 0.3)
    observations = observations_of_days(days)
    for t, day in enumerate(observations.days):
        market = market_with(true, observations, day)
        assert market.congested == (congestion > 0)
        there, offered = observations.present[t], observations.offered[t]
        assert market.today is not None
        flow = equilibrium_at(market, market.today).flow
        np.testing.assert_allclose(flow, days.flow[t][np.ix_(there, offered)], rtol=0, atol=1e-9 * days.demand.max())


@pytest.mark.parametrize("kind", DISPERSIONS)
@pytest.mark.parametrize("congestion", [True, False])
def test_derivatives_are_those_of_differences(kind: Dispersion, congestion: bool) -> None:
    days = drawn_days(wanted_at_random(3, 4, 1), 2, 1, 0.2)
    specification = Specification(own_congestion=congestion, own_price=True, congestion=congestion, dispersion=kind)
    given = parameters(days, specification)
    theta = random_theta(given, 3)
    misfit = misfit_of(given, days, 0.1)
    expected = numeric(misfit.residuals, theta)
    np.testing.assert_allclose(misfit.jacobian(theta), expected, rtol=0, atol=1e-6)
    preferences = given.unpack(theta)
    np.testing.assert_allclose(given.pack(preferences), theta, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(misfit.flow(theta), predicted_flows(preferences, days), atol=1e-10 * days.demand.max())
    assert len(set(given.names())) == given.size


@pytest.mark.parametrize("congestion", [True, False])
def test_common_preferences_that_made_the_flows_come_back(congestion: bool) -> None:
    for seed in range(2):
        true = tasteful(wanted_at_random(4, 5, seed), "common", seed, 1.0 + seed)
        true = true if congestion else replace(true, congestion=0.0)
        days = drawn_days(true, 8, seed, 0.2)
        fit = fit_days(days, parameters(days, Specification(congestion=congestion, dispersion="common")))
        assert fit.misfit < 1e-14
        found = fit.preferences
        assert found.dispersion == pytest.approx(true.dispersion, rel=1e-5)
        assert found.congestion == pytest.approx(true.congestion, rel=1e-5)
        assert found.delay == pytest.approx(true.delay, rel=1e-5)


@pytest.mark.parametrize("kind", ["user", "provider"])
def test_factors_of_users_and_providers_come_back_from_near(kind: Dispersion) -> None:
    true = tasteful(replace(wanted_at_random(3, 4, 1), congestion=0.0), kind, 1)
    days = drawn_days(true, 8, 1)
    days = replace(days, demand=np.full_like(days.demand, days.demand.mean()))
    days = replace(days, flow=predicted_flows(true, days))
    given = parameters(days, Specification(congestion=False, dispersion=kind))
    fit = fit_days(days, given, start=given.pack(replace(true, dispersion=1.2 * true.dispersion)))
    shrunk, found = fit.preferences, without_price(fit).preferences
    used = days.flow.sum(axis=(0, 1)) > 0
    np.testing.assert_allclose(found.user_dispersion, true.user_dispersion * _common(found, true, used), rtol=1e-3)
    np.testing.assert_allclose(
        found.provider_dispersion[used] * _common(found, true, used), true.provider_dispersion[used], rtol=1e-3
    )
    # What is a user's own pays for itself with a part of the fit, which pulls it towards the common one.
    for own, ours in (("dispersion_factor", shrunk), ("provider_dispersion", shrunk)):
        assert np.ptp(np.log(getattr(ours, own))) <= np.ptp(np.log(getattr(true, own))) + 1e-9


def _common(found: Preferences, true: Preferences, used: Mask) -> float:
    """How factors of providers and the common dispersion split what is known of them, their product."""
    return float((true.provider_dispersion / found.provider_dispersion)[used].mean())


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("congestion", [True, False])
def test_larger_truths_come_back(congestion: bool, noise: float) -> None:
    for seed in range(3):
        true = tasteful(wanted_at_random(8, 10, seed), "common", seed)
        true = true if congestion else replace(true, congestion=0.0)
        days = drawn_days(true, 20, seed, 0.2, noise)
        given = parameters(days, Specification(congestion=congestion, dispersion="common"))
        fit, quiet = fit_days(days, given), predicted_flows(true, days)
        if noise == 0:
            # The search ends where it does from the truth (with noise, at times, a few percent of misfit above that),
            # and nothing is off.
            assert fit.misfit <= fit_days(days, given, start=given.pack(true)).misfit * (1 + 1e-6) + 1e-12
            assert ((predicted_flows(fit.preferences, days) - quiet) ** 2).sum() < 1e-9 * (quiet**2).sum()
        assert fit.preferences.dispersion == pytest.approx(true.dispersion, rel=1e-3 if noise == 0 else 0.2)
        plain = fit_days(days, parameters(days)).preferences
        ours, theirs = (predicted_flows(wants, days) for wants in (fit.preferences, plain))
        assert ((ours - quiet) ** 2).sum() < ((theirs - quiet) ** 2).sum()


def test_dispersion_is_written_read_drawn_and_solved(tmp_path: Path) -> None:
    true = tasteful(replace(wanted(3, 4, 4), congestion=0.0), "user", 4)
    seen = observed(true, 4, 4)
    found = calibrate(seen, dispersion="user", congestion=False, shrinkage=0.0, draws=3, baselines=[])
    assert found.fit.missed < 0.01
    names = found.write(tmp_path, ["2026-07-04"])
    written = json.loads((tmp_path / "fit.json").read_text())
    assert written["weights"]["congestion"] == 0
    assert written["intervals"]["weights"]["congestion"] == [0, 0]
    low, high = written["intervals"]["weights"]["dispersion"]
    assert low < high
    told = written["dispersion"]
    assert told["common"] == pytest.approx(found.fit.preferences.dispersion)
    assert list(told["users"]) == list(seen.user_ids)
    assert told["providers"] == {}
    assert any(sentence.startswith("Dispersion came out as") for sentence in found.findings)
    assert not any("weight of congestion came" in sentence for sentence in found.findings)
    market = read_market(tmp_path / names[-1]).market
    assert not market.congested
    np.testing.assert_array_equal(market.dispersion, found.fit.preferences.user_dispersion)
    flow = equilibrium_at(market, market.current).flow
    np.testing.assert_allclose(flow, found.flow[-1], rtol=0, atol=1e-9 * seen.demand.max())
    earlier = read_earlier(tmp_path / "fit.json").preferences
    np.testing.assert_allclose(earlier.user_dispersion, found.fit.preferences.user_dispersion, rtol=1e-12)
    assert found.intervals is not None
    draws = read_draws(tmp_path / "draws.json")
    for one, other in zip(draws.drawn, found.intervals.sample, strict=True):
        for name in ("congestion", "dispersion", "dispersion_factor", "provider_dispersion", "price_factor", "value"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for drawn, wants in zip(load_draws(tmp_path / "draws.json", market), draws.drawn, strict=True):
        np.testing.assert_array_equal(drawn.dispersion, wants.user_dispersion)
        assert not drawn.congested


def test_dispersion_by_name_for_others() -> None:
    true = tasteful(wanted(3, 4, 1), "user", 1)
    others = aligned(true, ("u3", "new"), ("p2", "new"))
    np.testing.assert_array_equal(others.dispersion_factor, [true.dispersion_factor[2], 1.0])
    np.testing.assert_array_equal(others.provider_dispersion, [1.0, 1.0])


def test_what_does_not_go_together_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    seen = observed(wanted(2, 3, 1), 2, 1)
    with pytest.raises(ArgumentError, match="dispersion='all': not known; there are common, user, provider"):
        calibrate(seen, dispersion="all")
    with pytest.raises(ArgumentError, match="congestion=False: only dispersion may take its place"):
        calibrate(seen, congestion=False)
    with pytest.raises(ArgumentError, match="own='congestion': congestion does not count"):
        calibrate(seen, own=["congestion"], congestion=False, dispersion="common")
    from prillm_or.calibration.observation_files import write_observations

    write_observations(seen, tmp_path / "seen")
    arguments = ["calibrate", str(tmp_path / "seen"), "--out", str(tmp_path / "out"), "--no-congestion"]
    assert run(arguments) == 2
    assert "--no-congestion: only dispersion may take its place; add --dispersion common" in capsys.readouterr().err


def test_a_page_tells_dispersion(tmp_path: Path) -> None:
    from prillm_or.calibration.observation_files import write_observations

    write_observations(observed(tasteful(wanted(2, 3, 1), "common", 1), 3, 1), tmp_path / "known")
    settings = ["--dispersion", "common", "--draws", "2", "--shrinkage", "0", "--report"]
    out = tmp_path / "out"
    assert run(["calibrate", str(tmp_path / "known"), "--out", str(out), *settings, "--baseline", "independence"]) == 0
    page = (out / "report.html").read_text()
    assert "common preferences, dispersion" in page
    assert ">dispersion<" in page
