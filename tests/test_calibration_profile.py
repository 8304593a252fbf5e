"""The profile of a fit: points with the elasticity held, which of them the data tell from the fit, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prillm_or as po
from helpers.calibration import alike, fit_from, observations_of, observed
from prillm_or.calibration.anchor import Anchor, response
from prillm_or.calibration.days import Days, days_of
from prillm_or.calibration.draw_files import read_draws
from prillm_or.calibration.judged_fit import Options, fit_and_judge, priced
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import Preferences, market_with, predicted_flows
from prillm_or.calibration.price_events import price_events
from prillm_or.calibration.profile import STRONGEST, WEAKEST, Profile, best_price, decided, profile
from prillm_or.calibration.specification import Specification
from prillm_or.calibration.verdict import events_in_words
from prillm_or.files.markets import read_market
from prillm_or.market.synthetic import generate
from prillm_or.report.calibration_page import calibration_page

pytestmark = pytest.mark.usefixtures("one_thread")

TRUE = alike(4, generate(4, 5, "uniform", 3).value, 1.3, 0.6)


def profiled(seen: Observations, anchor: Anchor | None = None, *, priced_too: bool = False) -> Profile:
    """The profile of the fit from the truth."""
    fit = replace(fit_from(TRUE, days_of(seen)), anchor=anchor)
    best = best_price(fit.preferences, seen) if priced_too else None
    return profile(fit, seen, priced(seen), best=best)


def test_scaling_money_changes_no_flow_and_divides_the_response() -> None:
    days = days_of(observed(TRUE, 1))
    for dispersion, spec in ((0.0, Specification()), (0.4, Specification(dispersion="common"))):
        given = parameters_of(spec, days, TRUE.user_ids, TRUE.provider_ids, "known")
        theta = given.pack(replace(TRUE, dispersion=dispersion))
        scaled = given.unpack(given.rescaled(theta, 3.0, days.price[0]))
        before = given.unpack(theta)
        np.testing.assert_allclose(predicted_flows(scaled, days), predicted_flows(before, days), atol=1e-9)
        assert scaled.congestion == pytest.approx(3 * before.congestion)
        assert slope_at(scaled, days) == pytest.approx(slope_at(before, days) / 3, rel=1e-6)


def slope_at(preferences: Preferences, days: Days) -> float:
    """What a rise of the last price by a millionth does to its load, over that rise."""
    price = days.price.copy()
    price[:, -1] *= 1 + 1e-6
    loads = [predicted_flows(preferences, d)[:, :, -1].sum() for d in (days, replace(days, price=price))]
    return float(loads[1] - loads[0]) / 1e-6


def test_one_day_leaves_the_scale_of_money_open_and_the_price_with_it() -> None:
    seen = observed(TRUE, 1)
    found = profiled(seen, priced_too=True)
    assert found.elasticity_range == pytest.approx((STRONGEST, WEAKEST), rel=0.02)
    assert found.open == found.points
    assert max(point.misfit for point in found.points) < 1e-6
    (name,) = (found.best_price_range or {}).keys()
    low, high = (found.best_price_range or {})[name]
    assert high > 2 * low
    for point in found.points[::6]:  # the best prices are those of the points' own markets
        assert point.best is not None
        best = po.solve(market_with(point.preferences, seen, seen.days[-1]))
        assert decided(point.best) == pytest.approx({name: best.price})
        assert response(point.preferences, days_of(seen), priced(seen)) == pytest.approx(point.elasticity)


def test_days_on_which_prices_move_tell_the_elasticity() -> None:
    seen = observed(TRUE, 12, noise=0.03)
    found = profiled(seen)
    low, high = found.elasticity_range
    assert low <= response(TRUE, days_of(seen), priced(seen)) <= high
    assert low > 1.5 * high
    assert found.own in found.open
    assert any(point.told and point.misfit > 2 * found.own.misfit for point in found.points)
    assert found.best_price_range is None
    assert found.resampled_in_words == "12 spells of unchanged prices resampled"


def test_days_at_the_same_prices_tell_no_more_than_one() -> None:
    """Its users are resampled, and all have to agree."""
    seen = observed(TRUE, 6)
    still = replace(seen, price=np.tile(seen.price[0], (6, 1)))
    still = replace(still, flow=predicted_flows(TRUE, days_of(still)))
    found = profiled(still)
    assert found.resampled_in_words == "users resampled, prices never moved"
    assert found.elasticity_range == pytest.approx((STRONGEST, WEAKEST), rel=0.02)


def test_an_elasticity_known_from_elsewhere_bounds_the_profile() -> None:
    """At 90 %: 1.645 standard errors to each side, since one day says nothing."""
    seen = observed(TRUE, 1)
    days = days_of(seen)
    own = response(TRUE, days, priced(seen))
    found = profiled(seen, Anchor(priced(seen), own, -0.1 * own))
    assert found.elasticity_range == pytest.approx((1.1645 * own, 0.8355 * own), rel=0.01)


def test_what_is_open_goes_into_the_files_of_a_fit(tmp_path: Path) -> None:
    seen = observed(TRUE, 1)
    found = po.calibrate(seen, shrinkage=0.0, draws=2, baselines=["independence"])
    assert found.profile is not None
    found.write(tmp_path, [seen.days[-1]])
    fit = json.loads((tmp_path / "fit.json").read_text())
    assert {len(column) for column in fit["profile"].values()} == {len(found.profile.points)}
    prices = fit["profile"]["best_price"], fit["profile"]["logit_price"]
    assert fit["best_price_range"] == [min(map(min, prices)), max(map(max, prices))]
    assert list((found.profile.model_price_range or {}).values()) == [(min(prices[0]), max(prices[0]))]
    assert len(read_draws(tmp_path / "draws.json").profile) == len(found.profile.open)
    market = read_market(tmp_path / f"known-{seen.days[-1]}.json").market
    assert market.fit is not None
    assert list(market.fit.elasticity_range or ()) == fit["elasticity_range"]
    assert list((market.fit.best_price_range or {}).values()) == [tuple(fit["best_price_range"])]
    assert "unidentified" in {warning.code for warning in po.solve(market).warnings}
    said = str(found)
    assert said.startswith("Try prices, do not settle on one: the best price of p5 may be any from ")
    assert "Own-price elasticity: " in said
    assert "No price event was seen" in said
    assert "Best baseline, in sample: of flows independence, R^2 " in said
    assert any(sentence.startswith("One day was seen") for sentence in found.findings)


@pytest.mark.parametrize("leader", [True, False])
def test_without_a_price_the_fit_says_that_it_knows_no_response(leader: bool) -> None:
    seen = observed(TRUE, 1)
    free = replace(seen, price=0.0 * seen.price, leader=seen.leader if leader else None)
    found = po.calibrate(free, shrinkage=0.0, draws=2, baselines=["independence"])
    assert found.profile is None
    *price, flows, baseline = found.verdict
    assert len(price) == leader
    assert all(text.startswith("Try prices, do not settle on one: the fit's own best, ") for text in price)
    who = "p5" if leader else "anybody"
    assert flows == f"No price was paid to {who} on any day: how users answer one is not seen in these flows."
    assert baseline.startswith("Best baseline, in sample: of flows independence, ")
    assert str(found).startswith(found.verdict[0][:60])


def test_the_verdict_of_a_backtest_stands_in_place_of_a_count(tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    file.write_text(json.dumps({"format": "prillm-or/backtest@1", "verdict": "The fit predicts well.", "events": []}))
    found = po.calibrate(observed(TRUE, 1), shrinkage=0.0, draws=0, baselines=[], backtest=file)
    assert "Price events: The fit predicts well." in found.verdict
    file.write_text(json.dumps({"format": "prillm-or/fit@1"}))
    with pytest.raises(po.PrillmError) as caught:
        po.calibrate(observed(TRUE, 1), backtest=file)
    assert f'{file}: format: expected "prillm-or/backtest@1", got "prillm-or/fit@1"' in str(caught.value)
    assert "verdict: missing" in str(caught.value)


def test_without_draws_or_a_leader_the_profile_has_no_prices() -> None:
    seen = observed(TRUE, 4, noise=0.02)
    for alone, draws in ((replace(seen, leader=None), 1), (seen, 0)):
        found = po.calibrate(alone, shrinkage=0.0, draws=draws, baselines=[])
        fields = found.to_dict()
        assert set(fields["profile"]["best_price"]) == set(fields["profile"]["profit"]) == {None}
        assert fields["best_price_range"] is None
        assert fields["elasticity_range"][0] < fields["elasticity_range"][1] < 0
        assert found.verdict[0].startswith(
            "Own-price elasticity: " if alone.leader is None else "The fit's own best price"
        )


def test_price_events_are_counted_by_provider_and_day() -> None:
    seen = observed(TRUE, 3)
    price = np.tile(seen.price[0], (3, 1))
    still = replace(seen, price=price)
    assert price_events(still) == 0
    assert events_in_words(still).startswith("No price event was seen")
    price[1:, 0] *= 1.05001
    price[2, 1] *= 0.94
    price[2, 2] *= 1.04
    assert price_events(replace(seen, price=price)) == 2
    assert events_in_words(replace(seen, price=price)).startswith("2 price events seen, moves by 5% or more;")


def test_where_nobody_buys_of_the_leader_there_is_no_elasticity_and_where_nobody_ever_would_no_best_price() -> None:
    rng = np.random.default_rng(2)
    price = np.tile([9.0, 1.0, 1.2], (6, 1)) * rng.uniform(0.9, 1.1, (6, 3))
    flow = rng.uniform(1.0, 2.0, (6, 2, 3)) * [0.0, 1.0, 1.0]
    seen = observations_of(flow, price=price, leader=Leader(("p1",), (9.5,)))
    found = fit_and_judge(seen, Options(shrinkage=0.0, profile=True, draws=1))
    assert found.profile is not None
    assert found.profile.own.elasticity == 0
    assert found.best is not None
    worthless = replace(found.fit.preferences, value=np.array([0.0, 99.0, 99.0]))
    assert best_price(worthless, seen) is None


@pytest.mark.slow
def test_a_page_of_a_market_that_answers_no_price() -> None:
    # Everyone buys of the leader: no elasticity, and no interval of a value that anything is drawn by.
    flow = np.zeros((3, 2, 2))
    flow[..., 0] = [2.0, 3.0] * np.array([[1.0], [1.1], [1.2]])
    seen = observations_of(
        flow,
        price=[[1.0, 2.0], [1.0, 2.0], [1.1, 2.0]],
        capacity=np.full((3, 2), 100.0),
        delay=np.full((3, 2, 2), 0.1),
        leader=Leader(("p1",), (10.0,)),
    )
    found = po.calibrate(seen, draws=3)
    assert found.profile is not None
    assert found.profile.own.elasticity == 0.0
    page = calibration_page(found)
    assert "any weaker than -0.001 there" in page
