"""The command `calibrate`: what it writes, what `solve` makes of it, users' mistakes; outlier days, age, findings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.calibration import alike, observed
from helpers.commands import PROGRAM, imported_by, in_process, interrupted, read_json, running, wait_for_work
from prillm_or.calibration.baselines import BASELINES
from prillm_or.calibration.calibration import OURS
from prillm_or.calibration.days import days_of
from prillm_or.calibration.findings import delay_reaction
from prillm_or.calibration.fit import Fit, fit_days
from prillm_or.calibration.fit_files import FitError, read_earlier
from prillm_or.calibration.holdout import hold_out_cells, hold_out_days, hold_out_users
from prillm_or.calibration.judged_fit import Earlier, Options, fit_and_judge, scaled_to_rest
from prillm_or.calibration.observation_files import write_observations
from prillm_or.calibration.observations import Observations, market_of
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import aligned
from prillm_or.calibration.procedure import calibrate
from prillm_or.calibration.specification import Specification
from prillm_or.calibration.weighting import decayed, trusted
from prillm_or.cli import run
from prillm_or.errors import ObservationsError, PrillmError
from prillm_or.files.markets import read_market
from prillm_or.market.synthetic import generate
from prillm_or.robustness.pricing import robust
from prillm_or.users.equilibrium import equilibrium_at

QUICK = ("--shrinkage", "0", "--draws", "0", "--baseline", "independence")
CONGESTION, DELAY = 1.3, 0.6

pytestmark = pytest.mark.usefixtures("one_thread")


def known(days: int = 4, noise: float = 0.0, seed: int = 3) -> Observations:
    """Flows of four users and five providers at known weights; the values are those of the generated market."""
    return observed(alike(4, generate(4, 5, "uniform", seed).value, CONGESTION, DELAY), days, seed, noise)


def folder_of(observations: Observations, place: Path) -> Path:
    write_observations(observations, place / observations.name)
    return place / observations.name


def test_the_fit_on_file_has_the_fields_and_figures_of_the_format(tmp_path: Path) -> None:
    """Whole as it is: five baselines, a day held out, and draws."""
    seen = known(noise=0.02)
    out = tmp_path / "fitted"
    arguments = ("--out", str(out), "--holdout", "days:1", "--draws", "3")
    assert run(["calibrate", str(folder_of(seen, tmp_path)), *arguments]) == 0
    fit = read_json(out / "fit.json")
    assert fit["format"] == "prillm-or/fit@1"
    assert set(fit["weights"]) == {"price", "congestion", "delay"}
    assert fit["weights"]["price"] == 1
    assert list(fit["values"]) == list(seen.provider_ids)
    assert min(fit["values"].values()) == 0
    assert (fit["days"], fit["observations"]) == (4, 4 * 4 * 5)
    assert {"in_sample", "holdout"} <= set(fit["scores"])
    assert {"r2", "mae"} <= set(fit["scores"]["holdout"])
    assert list(fit["baselines"]) == ["independence", "last-day", "inverse-square", "npm", "no-congestion"]
    assert all({"in_sample", "holdout"} <= set(scored) for scored in fit["baselines"].values())
    assert set(fit["intervals"]["values"]) == set(seen.provider_ids)
    assert fit["intervals"]["weights"]["congestion"][0] < fit["intervals"]["weights"]["congestion"][1]
    assert fit["identifiability"]["undetermined"] == []
    assert fit["scores"]["holdout"]["cells"] == 20
    # In sample the three days before: R^2 and MAE by their definition.
    earlier = read_earlier(out / "fit.json").preferences
    market = market_of(
        seen, seen.days[0], value=earlier.value, congestion_weight=earlier.congestion, delay_weight=earlier.delay
    )
    wrong = equilibrium_at(market, market.price[list(market.leader)]).flow - seen.flow[0]
    assert np.abs(wrong).mean() <= 3 * fit["scores"]["in_sample"]["mae"] + 1e-9


def test_without_a_hold_out_its_scores_are_null(tmp_path: Path) -> None:
    out = tmp_path / "fitted"
    assert run(["calibrate", str(folder_of(known(), tmp_path)), "--out", str(out), *QUICK]) == 0
    fit = read_json(out / "fit.json")
    assert fit["scores"]["holdout"] is None
    assert fit["intervals"] is None
    assert fit["holdout"] is None
    assert fit["scores"]["in_sample"]["r2"] == pytest.approx(1, abs=1e-9)
    assert fit["weights"]["congestion"] == pytest.approx(CONGESTION, rel=1e-6)
    assert fit["weights"]["delay"] == pytest.approx(DELAY, rel=1e-6)


def test_the_market_written_is_the_last_day_and_solve_takes_it(tmp_path: Path) -> None:
    seen, out = known(), tmp_path / "fitted"
    folder = folder_of(seen, tmp_path)
    assert run(["calibrate", str(folder), "--out", str(out), *QUICK]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["fit.json", "known-2026-07-04.json"]
    market = read_market(out / "known-2026-07-04.json").market
    flow = equilibrium_at(market, market.price[list(market.leader)]).flow
    np.testing.assert_allclose(flow, seen.flow[-1], atol=1e-6 * seen.flow.max())
    result = tmp_path / "result.json"
    assert run(["solve", str(out / "known-2026-07-04.json"), "--json", str(result)]) == 0
    assert read_json(result)["status"] == "optimal"


def test_every_day_or_none_is_written_when_asked_for(tmp_path: Path) -> None:
    folder, out = folder_of(known(2), tmp_path), tmp_path / "fitted"
    assert run(["calibrate", str(folder), "--out", str(out), *QUICK, "--market", "all"]) == 0
    assert len(list(out.glob("known-*.json"))) == 2
    assert run(["calibrate", str(folder), "--out", str(tmp_path / "bare"), *QUICK, "--market", "none"]) == 0
    assert [path.name for path in (tmp_path / "bare").iterdir()] == ["fit.json"]


def test_without_a_leader_no_market_is_written_and_one_asked_for_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = folder_of(replace(known(2), leader=None), tmp_path), tmp_path / "fitted"
    assert run(["calibrate", str(folder), "--out", str(out), *QUICK]) == 0
    assert "folder.json names no leader" in capsys.readouterr().err
    assert run(["calibrate", str(folder), "--out", str(tmp_path / "no"), *QUICK, "--market", "last"]) == 2
    assert "name one in folder.json" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
@pytest.mark.wheel
def test_standard_output_holds_nothing_but_json_in_a_real_process(tmp_path: Path) -> None:
    folder = folder_of(known(2), tmp_path)
    arguments = ("calibrate", str(folder), "--out", str(tmp_path / "fitted"), *QUICK, "--report", "--json", "-")
    done = in_process(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == read_json(tmp_path / "fitted" / "fit.json")
    assert "<html" in (tmp_path / "fitted" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--holdout", "days:4"), "possible: 1 to 3"),
        (("--holdout", "days:x"), "expected days:N, users:ID,ID or cells:SHARE"),
        (("--holdout", "days:inf"), "expected days:N"),
        (("--holdout", "cells:nan"), "share between 0 and 1"),
        (("--holdout", "users:nobody"), "no user is called 'nobody'"),
        (("--holdout", "cells:1.5"), "share between 0 and 1"),
        (("--holdout", "weeks:1"), "expected days:N"),
        (("--own", "delay"), "--own delay: not known; there are congestion, price"),
        (("--group", "big"), "expected NAME=ID,ID"),
        (("--group", "big=nobody"), "no user is called 'nobody'"),
        (("--shrinkage", "much"), "expected auto or a number >= 0"),
        (("--shrinkage", "-1"), "expected auto or a number >= 0"),
        (("--baseline", "magic"), "--baseline magic: not known; there are independence"),
        (("--market", "2020-01-01"), "no day is called '2020-01-01'"),
        (("--warm", "missing.json"), "missing.json: cannot be read"),
        (("--draws", "-1"), "--draws"),
        (("--half-life", "0"), "--half-life"),
        (("--elasticity", "1.1"), "--elasticity 1.1: expected E or E:SE, a number < 0"),
        (("--elasticity", "-1", "--pool", "no"), "--pool: says the elasticity, as does --elasticity -1; leave one"),
        (("--pool", "no"), "no: not a folder"),
        (("--elasticity", "-1.1:0"), "--elasticity -1.1:0: expected E or E:SE"),
        (("--elasticity", "-1.1:some"), "its standard error > 0"),
    ],
)
def test_mistakes_end_with_2_one_clear_line_and_nothing_written(
    arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = folder_of(known(), tmp_path), tmp_path / "fitted"
    assert run(["calibrate", str(folder), "--out", str(out), *QUICK, *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not out.exists()


def test_a_baseline_without_its_package_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(BASELINES["xgboost"], package="nowhere_to_be_found")
    monkeypatch.setattr("prillm_or.calibration.baselines.BASELINES", {**BASELINES, "xgboost": entry})
    folder, out = folder_of(known(), tmp_path), tmp_path / "fitted"
    assert run(["calibrate", str(folder), "--out", str(out), *QUICK, "--baseline", "xgboost"]) == 2
    assert "pip install 'prillm-or[baselines]'" in capsys.readouterr().err
    assert not out.exists()


def test_a_faulty_folder_lists_its_faults_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(known(2), tmp_path)
    flows = folder / "flows.csv"
    flows.write_text(flows.read_text(encoding="utf-8") + "2026-07-01,stranger,nowhere,-1\n", encoding="utf-8")
    assert run(["calibrate", str(folder), "--out", str(tmp_path / "fitted")]) == 2
    error = capsys.readouterr().err
    assert "-1" in error
    assert not (tmp_path / "fitted").exists()
    assert run(["calibrate", str(tmp_path / "absent"), "--out", str(tmp_path / "fitted")]) == 2
    assert "not a folder" in capsys.readouterr().err
    assert run(["calibrate", str(folder), "--out", str(flows)]) == 2
    assert "a file, not a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_before_the_fit_is_done_leaves_nothing(tmp_path: Path) -> None:
    """The fit has to have begun."""
    folder, out = folder_of(known(12, noise=0.05), tmp_path), tmp_path / "fitted"
    arguments = ("calibrate", str(folder), "--out", str(out), "--draws", "100000")
    with running(*PROGRAM, *arguments) as process:
        wait_for_work(2, process)
        interrupted(process)
    assert not out.exists()


def test_ctrl_c_in_the_draws_keeps_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(fit: Fit, draws: int, seed: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prillm_or.calibration.judged_fit.bootstrap", interrupted)
    found = fit_and_judge(known(), Options(shrinkage=0.0, draws=5))
    assert found.interrupted
    assert found.intervals is None
    assert found.scores[OURS].in_sample is not None


def test_a_new_day_is_fitted_from_the_earlier_fit_to_the_same_end(tmp_path: Path) -> None:
    seen = known(6, noise=0.02)
    folder = folder_of(seen, tmp_path)
    before = fit_and_judge(replace_days(seen, 5), Options(shrinkage=0.0))
    (tmp_path / "fit.json").write_text(json.dumps(before.to_dict()), encoding="utf-8")
    warm = ("--warm", str(tmp_path / "fit.json"), "--draws", "0", "--baseline", "independence")
    assert run(["calibrate", str(folder), "--out", str(tmp_path / "warm"), *warm]) == 0
    assert run(["calibrate", str(folder), "--out", str(tmp_path / "cold"), *QUICK]) == 0
    one, other = (read_json(tmp_path / name / "fit.json") for name in ("warm", "cold"))
    # A search ends when a step lowers the misfit by less than 1e-9 of it: far inside the noise, not at its last digit.
    assert one["weights"]["congestion"] == pytest.approx(other["weights"]["congestion"], rel=1e-3)
    assert list(one["values"].values()) == pytest.approx(list(other["values"].values()), abs=1e-3)


def replace_days(seen: Observations, count: int) -> Observations:
    arrays = {name: getattr(seen, name)[:count] for name in ("flow", "price", "capacity", "delay")}
    return replace(seen, days=seen.days[:count], **arrays)


def test_own_weights_and_groups_survive_the_file(tmp_path: Path) -> None:
    seen = known(6, noise=0.1)
    groups = {"first": seen.user_ids[:2]}
    options = Options(Specification(own_congestion=True, own_price=True, groups=groups), shrinkage=0.0)
    found = fit_and_judge(seen, options).fit.preferences
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(fit_and_judge(seen, options).to_dict()), encoding="utf-8")
    back = read_earlier(path).preferences
    for name in ("value", "price_factor", "congestion_factor", "group_value", "group"):
        np.testing.assert_allclose(getattr(back, name), getattr(found, name), rtol=1e-12)
    assert back.group_ids == found.group_ids == ("first", "everyone")
    again = fit_and_judge(seen, replace(options, shrinkage=None), earlier=Earlier(back, 0.0))
    np.testing.assert_allclose(again.fit.preferences.value_by_user, found.value_by_user, atol=1e-4)


def test_preferences_go_over_to_new_users_and_providers_by_name() -> None:
    found = fit_and_judge(known(), Options(Specification(own_congestion=True), shrinkage=0.0)).fit.preferences
    users, providers = (*found.user_ids[1:], "new"), ("new", *found.provider_ids[::-1])
    other = aligned(found, users, providers)
    assert other.congestion_factor.tolist() == [*found.congestion_factor[1:], 1.0]
    shifted = np.array([found.value.mean(), *found.value[::-1]])
    np.testing.assert_allclose(other.value, shifted - shifted.min())


def test_a_file_that_is_no_fit_is_refused_with_every_fault(tmp_path: Path) -> None:
    path = tmp_path / "fit.json"
    path.write_text('{"format": "prillm-or/fit@2", "weights": {"congestion": -1}, "values": {}}', encoding="utf-8")
    with pytest.raises(FitError) as refusal:
        read_earlier(path)
    assert 'format: expected "prillm-or/fit@1", got "prillm-or/fit@2"' in str(refusal.value)
    for said in ("weights.congestion", "weights.delay", "values"):
        assert said in str(refusal.value)


def test_an_outlier_day_bends_the_robust_fit_less() -> None:
    seen = known(8, noise=0.01)
    odd = np.array(seen.flow)
    odd[3] = odd[3][:, ::-1]
    seen = replace(seen, flow=odd)
    plain, robust = (fit_and_judge(seen, Options(shrinkage=0.0, robust=on)).fit for on in (False, True))
    wrong = [abs(fit.preferences.congestion / CONGESTION - 1) for fit in (plain, robust)]
    assert wrong[1] < 0.5 * wrong[0]
    trust = robust.weight / plain.weight
    assert trust[3].max() < 0.5
    assert trust[[0, 1, 2, 4]].min() > 0.9
    with pytest.raises(ObservationsError, match="outliers show among 3 or more"):
        fit_and_judge(known(2), Options(shrinkage=0.0, robust=True))


def test_weights_halve_with_every_half_life_before_the_last_day_seen() -> None:
    seen = known(4)
    held = hold_out_days(seen, 1)
    weight = decayed(seen, days_of(seen, seen.cells & ~held), 1.0)
    # The third day is the last one seen: ages 2, 1, 0, and 0 for the day held out.
    np.testing.assert_allclose(weight[:, 0], [0.25, 0.5, 1, 1])
    assert weight.shape == (4, 4)
    hourly = replace(seen, days=("2026-07-01", "2026-07-01T12", "2026-07-02T00", "2026-07-02T06"))
    np.testing.assert_allclose(decayed(hourly, days_of(seen), 0.25)[:, 0], 0.5 ** np.array([5, 3, 1, 0]))


def test_days_missed_like_the_others_keep_their_weight() -> None:
    seen = known(5, noise=0.02)
    days = days_of(seen)
    fit = fit_days(days, parameters_of(Specification(), days, seen.user_ids, seen.provider_ids, "known"))
    weight = trusted(fit, np.ones(days.demand.shape))
    assert ((weight > 0) & (weight <= 1)).all()
    assert np.median(weight) == 1


@pytest.mark.parametrize("kind", ["days", "users", "cells"])
def test_what_is_held_out_is_not_seen(kind: str) -> None:
    seen = known(noise=0.05)
    held = {
        "days": lambda: hold_out_days(seen, 1),
        "users": lambda: hold_out_users(seen, seen.user_ids[:1]),
        "cells": lambda: hold_out_cells(seen, 0.2),
    }[kind]()
    flow = np.array(seen.flow)
    # Swap what is held out within each row, so that demands stay as they are.
    for t, i in np.argwhere(held.any(axis=2)).tolist():
        flow[t, i, held[t, i]] = flow[t, i, held[t, i]][::-1]
    other = replace(seen, flow=flow)
    options = Options(shrinkage=0.1, baselines=())
    one, two = (fit_and_judge(each, options, held_out=held).fit for each in (seen, other))
    # Sums of a row in another order differ by rounding.
    np.testing.assert_allclose(one.theta, two.theta, rtol=1e-6, atol=1e-9)


def test_predictions_given_the_rest_by_hand() -> None:
    observed_flow = np.array([[[1.0, 2.0, 3.0]]])
    held = np.array([[[False, True, True]]])
    # Of a demand of 6 the seen cell leaves 5; predictions 1 and 4 for the others are 2:8 of it.
    predicted = np.array([[[9.0, 0.5, 2.0]]])
    rest = scaled_to_rest(observed_flow, predicted, np.array([[6.0]]), held)
    np.testing.assert_allclose(rest, [[[0, 1, 4]]])
    # Nothing predicted: what is left is split evenly.
    rest = scaled_to_rest(observed_flow, np.zeros((1, 1, 3)), np.array([[6.0]]), held)
    np.testing.assert_allclose(rest, [[[0, 2.5, 2.5]]])


def test_the_findings_say_what_the_data_cannot_tell() -> None:
    one_day = fit_and_judge(known(1), Options(shrinkage=0.0))
    said = " ".join(one_day.findings)
    assert "Nothing was held out" in said
    assert "cannot be told" in said
    assert "The flows of one day do not tell the weight of congestion. It is the scale of money" in said
    held = hold_out_days(known(), 1)
    said = " ".join(fit_and_judge(known(), Options(shrinkage=0.0), held_out=held).findings)
    assert "Held out, independence does not predict better than the fit: flows, R^2" in said
    assert "predicts" not in said


def test_the_reaction_of_delays_to_loads_is_the_slope_of_their_logarithms() -> None:
    seen = known(12)
    load = np.repeat(seen.load[:, None], 4, axis=1)
    delay = np.where(load > 0, np.maximum(load, 1e-9) ** 0.3, 1.0)
    reaction, points = delay_reaction(replace(seen, delay=delay))
    assert points >= 30
    assert reaction == pytest.approx(0.3, rel=1e-9)
    still, _ = delay_reaction(replace(seen, delay=np.ones(seen.flow.shape)))
    assert still == pytest.approx(0, abs=1e-12)
    assert delay_reaction(known(1))[0] is None


def test_in_python_a_fit_has_markets_and_draws_to_price_over() -> None:
    found = calibrate(known(), shrinkage=0.0, draws=3, baselines=[])
    market = found.market()
    safe = robust(market, found.draws(3))
    assert safe.draws == 3
    assert market.name == "known-2026-07-04"
    assert list(found.to_frame().columns) == ["value", "low", "high", "elasticity"]
    assert "own-price elasticity" in str(found)
    with pytest.raises(PrillmError, match="4 draws wanted"):
        found.draws(4)


def test_in_python_arguments_are_named() -> None:
    for options, said in (
        ({"own": "price"}, "`own`: expected names"),
        ({"own": ["delay"]}, "own='delay': not known"),
        ({"holdout": "weeks:1"}, "holdout='weeks:1': expected days:N"),
        ({"shrinkage": -1}, "shrinkage=-1: expected auto"),
        ({"draws": -1}, "`draws`"),
        ({"half_life": float("nan")}, "`half_life`"),
        ({"groups": {"big": "u1"}}, "`groups`"),
    ):
        with pytest.raises(PrillmError, match=said):
            calibrate(known(), **options)


def test_calibrate_is_imported_without_torch_scipy_or_pandas() -> None:
    assert imported_by("import prillm_or.calibration.procedure", "torch", "scipy", "pandas") == []
