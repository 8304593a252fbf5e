"""Which price to try next: power and width against simulation, the cheapest of trials, the command and its mistakes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prillm_or as po
from helpers.calibration import observed
from helpers.draws import drawn, market_and_draws, wanted_of_their_own
from prillm_or.calibration.draw_files import write_draws
from prillm_or.calibration.draws import Draws
from prillm_or.calibration.noise import window_noise
from prillm_or.calibration.preferences import Preferences, market_with
from prillm_or.cli import run
from prillm_or.curves.profit_curve import curve
from prillm_or.errors import ArgumentError
from prillm_or.experiments.planning import planned
from prillm_or.experiments.points import Points, ends, points_of
from prillm_or.experiments.trial import best_trial, outcome
from prillm_or.files.markets import write_market

DAY = "2026-07-01"


def some_points(count: int = 12) -> Points:
    market, _ = market_and_draws()
    return points_of([curve(one) for one in drawn(market, count, 4)], np.arange(1.0, count + 1))


def test_the_range_holds_nine_tenths_of_the_weight() -> None:
    # Weights .04 .06 .8 .06 .04: 5 % is reached at the second, 95 % at the fourth.
    low, high = ends(np.arange(5.0), np.array([[0.04, 0.06, 0.8, 0.06, 0.04], [0, 0, 1, 0, 0]]))
    assert low.tolist() == [1, 2]
    assert high.tolist() == [3, 2]


def test_points_tell_the_best_guess_and_what_doubt_costs() -> None:
    points = some_points()
    means = [float(points.weight @ [one.profit(price) for one in points.curves]) for price in points.best]
    assert points.guess == points.best[int(np.argmax(means))]
    most = [one.best.profit for one in points.curves]
    assert points.doubt == pytest.approx(float(points.weight @ most) - max(means), rel=1e-9)
    assert points.losses(np.array([points.guess])) == pytest.approx(0, abs=1e-9)
    assert (np.diff(points.best) >= 0).all()


@pytest.mark.parametrize("error", [0.02, 0.3])
def test_power_and_width_are_those_of_simulated_trials(error: float) -> None:
    points, rng, width = some_points(), np.random.default_rng(1), 0.4
    logs = points.log_loads(points.guess * np.array([0.8, 1.2]))
    effect = logs[:, 1] - logs[:, 0]
    power, after = outcome(points, effect, error, width)
    seen = effect[rng.choice(12, 20_000, p=points.weight)] + error * rng.standard_normal(20_000)
    weight = points.weight * np.exp(-(((seen[:, None] - effect) / error) ** 2) / 2)
    low, high = ends(points.best, weight / weight.sum(axis=1, keepdims=True))
    assert power == pytest.approx(float(np.mean(high - low <= width)), abs=0.04)
    assert after == pytest.approx(float(np.mean(high - low)), abs=0.04)


def test_a_trial_is_as_long_as_it_has_to_be_and_costs_what_it_says() -> None:
    points = some_points()
    found, longer = (best_trial(points, noise, 0.5, 0.8) for noise in (0.1, 0.2))
    assert found is not None
    assert longer is not None
    assert found.power >= 0.8
    assert longer.days > found.days
    assert found.days % 6 == 0
    prices = np.array([found.price, found.against])
    assert found.cost == pytest.approx(found.days / 2 * points.losses(prices).sum(), rel=1e-9)
    logs = points.log_loads(np.sort(prices))
    fewer = outcome(points, logs[:, 1] - logs[:, 0], 0.1 / np.sqrt(found.days / 6 - 1), 0.5) if found.days > 6 else (0,)
    assert fewer[0] < 0.8
    assert abs(prices / points.guess - 1).max() <= 0.3 + 1e-12


def test_a_trial_that_cannot_narrow_enough_says_how_far_it_goes() -> None:
    points = some_points()
    found = best_trial(points, 5.0, 0.01, 0.8)
    assert found is not None
    assert found.days == 360
    assert found.power < 0.8
    low, high = points.range
    assert found.width <= high - low


def test_several_decisions_are_looked_at_one_by_one() -> None:
    market, draws = market_and_draws()
    market, *draws = (replace(one, leader=(0, 1), price_cap=np.full(2, 12.0)) for one in (market, *draws[:4]))
    found = planned(market, tuple(draws), np.ones(4), width=0.01, power=0.8, noise=0.1)
    assert list(found.decisions) == ["p1", "p2"]
    for name, one in found.decisions.items():
        assert one.range[1] <= max(curve(draw, name).best.price for draw in draws)
    assert [trial["decision"] for trial in found.to_dict()["trials"]] == list(found.trials)
    costs = [trial.cost for trial in found.trials.values()]
    assert costs == sorted(costs)


def fitted(folder: Path, centre: Preferences, *others: Preferences, profile: tuple[Preferences, ...] = ()) -> Path:
    """A folder as calibrate writes it."""
    folder.mkdir()
    values = dict(zip(centre.provider_ids, centre.value.tolist(), strict=True))
    fit = {"format": "prillm-or/fit@1", "weights": {"congestion": 1.3, "delay": 0.6}, "values": values}
    (folder / "fit.json").write_text(json.dumps(fit))
    write_draws(Draws("known", centre, others, profile), folder / "draws.json")
    write_market(market_with(centre, observed(centre, noise=0.03), DAY), folder / f"known-{DAY}.json")
    return folder


def test_noise_is_what_a_fit_does_not_explain_of_a_load() -> None:
    # Windows of three days at 0, 0, 1, 1 (log): the seven overlapping changes are 0, 1/3, 2/3, 1, 2/3, 1/3, 0.
    beyond = np.repeat([0.0, 0.0, 1.0, 1.0], 3)
    predicted = np.random.default_rng(1).uniform(1, 2, (12, 2, 3))
    observed = predicted * np.exp(beyond)[:, None, None]
    changes = np.array([0, 1, 2, 3, 2, 1, 0]) / 3
    found = window_noise(observed, predicted, [0, 2])
    assert found == pytest.approx(np.sqrt(np.mean(changes**2)), rel=1e-9)
    assert window_noise(observed[1:], predicted[1:], [0]) is None
    assert window_noise(observed, predicted, []) is None
    assert window_noise(predicted, predicted, [0]) is None


def test_the_command_plans_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    centre, *others = (wanted_of_their_own(4, 5, seed) for seed in range(1, 8))
    folder, out = fitted(tmp_path / "fitted", centre, *others[:4], profile=tuple(others[4:])), tmp_path / "out.json"
    assert run(["experiment", str(folder), "--noise", "0.05", "--json", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("Go on: the range of best prices is wider than wished. The best of ")
    document = json.loads(out.read_text())
    (trial,) = document["trials"]
    assert document["format"] == "prillm-or/experiment@1"
    assert {"decision", "price", "days", "cost", "power"} <= trial.keys()
    assert trial["power"] >= 0.8
    assert document["points"] == 7
    # Four draws and the fit count as much as the two points of the profile.
    seen, weight = observed(centre, noise=0.03), np.array([0.1] * 4 + [0.25] * 2 + [0.1])
    points = points_of([curve(market_with(one, seen, DAY)) for one in (*others, centre)], weight)
    assert document["decisions"][trial["decision"]]["guess"] == pytest.approx(points.guess, rel=1e-9)
    assert document["decisions"][trial["decision"]]["range"] == pytest.approx(points.range, rel=1e-9)
    assert po.experiment(folder / "fit.json", noise=0.05).to_dict() == document
    assert run(["experiment", str(folder), "--noise", "50"]) == 1
    assert "No trial of so many days narrows the range enough" in " ".join(capsys.readouterr().out.split())
    fit = json.loads((folder / "fit.json").read_text())
    (folder / "fit.json").write_text(json.dumps(fit | {"noise": 0.05}))
    assert po.experiment(folder).to_dict() == document
    assert run(["experiment", str(folder), "--width", "10000", "--json", str(out)]) == 0
    assert capsys.readouterr().out.startswith("Stop: the range of best prices is narrow enough.")
    assert json.loads(out.read_text())["trials"] == []


def test_mistakes_come_with_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    centre, other = wanted_of_their_own(4, 5, 1), wanted_of_their_own(4, 5, 2)
    folder = fitted(tmp_path / "fitted", centre, other)

    def refusal(*arguments: str) -> str:
        assert run(["experiment", *arguments]) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "there is no such file; give the fit.json of a calibrate, or its folder" in refusal(str(tmp_path))
    assert "Invalid value for '--width'" in refusal(str(folder), "--width", "-1")
    with pytest.raises(ArgumentError, match="expected a number between 0 and 1"):
        po.experiment(folder, power=1.0)
    (folder / f"known-{DAY}.json").unlink()
    assert "no market known-DAY.json beside it; name the leader in folder.json" in refusal(str(folder))
    (folder / "draws.json").unlink()
    assert "no draws.json beside it" in refusal(str(folder))
