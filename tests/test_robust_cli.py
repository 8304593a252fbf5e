"""The command `robust`: draws from files and from a calibration in a real process, and mistakes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.calibration import observed
from helpers.commands import imported_by
from helpers.draws import market_and_draws, wanted_of_their_own
from prillm_or.calibration.draw_files import write_draws
from prillm_or.calibration.draws import Draws
from prillm_or.calibration.observation_files import write_observations
from prillm_or.calibration.preferences import market_with
from prillm_or.cli import run
from prillm_or.files.markets import read_market, write_market
from prillm_or.market.market import Market
from prillm_or.market.outside import with_outside
from prillm_or.robustness.pricing import robust
from prillm_or.solving.run import solve


def folder_of(markets: Sequence[Market], folder: Path) -> Path:
    folder.mkdir()
    for number, market in enumerate(markets):
        write_market(market, folder / f"{number:03}.json")
    return folder


def test_given_markets_are_draws(tmp_path: Path) -> None:
    market, draws = market_and_draws()
    write_market(market, tmp_path / "market.json")
    given = folder_of(draws, tmp_path / "given")
    out = tmp_path / "out.json"
    arguments = ["--draws", str(given), "--json", str(out)]
    assert run(["solve", str(tmp_path / "market.json"), "--robust", "5", *arguments]) == 0
    document = json.loads(out.read_text())
    found = robust(market, draws[:5]).to_dict()
    assert document["format"] == "prillm-or/robust@1"
    assert document["draws"] == 5
    assert document["prices"] == found["prices"]
    assert run(["robust", str(tmp_path / "market.json"), "--count", "5", *arguments]) == 0
    again = json.loads(out.read_text())
    assert again | {"time_s": 0} == document | {"time_s": 0}
    assert run(["robust", str(tmp_path / "market.json"), *arguments]) == 0
    assert json.loads(out.read_text())["draws"] == len(draws)
    assert document["instance_sha256"] == read_market(tmp_path / "market.json").sha256


def test_users_may_leave_in_every_draw(tmp_path: Path) -> None:
    market, draws = market_and_draws()
    write_market(market, tmp_path / "market.json")
    given, out = folder_of(draws[:3], tmp_path / "given"), tmp_path / "out.json"
    arguments = ["--robust", "3", "--draws", str(given), "--outside", "-4", "--json", str(out)]
    assert run(["solve", str(tmp_path / "market.json"), *arguments]) == 0
    document = json.loads(out.read_text())
    found = robust(with_outside(market, -4.0), [with_outside(draw, -4.0) for draw in draws[:3]])
    assert document["outside"] == -4
    assert document["prices"] == found.to_dict()["prices"]
    assert document["prices"] != robust(market, draws[:3]).to_dict()["prices"]


def test_several_prices_over_given_markets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market, draws = market_and_draws()
    market, *draws = (replace(one, leader=(0, 1), price_cap=np.full(2, 12.0)) for one in (market, *draws[:3]))
    write_market(market, tmp_path / "market.json")
    given, out = folder_of(draws, tmp_path / "given"), tmp_path / "out.json"
    command = ["robust", str(tmp_path / "market.json"), "--draws", str(given)]
    assert run([*command, "--json", str(out)]) == 0
    document = json.loads(out.read_text())
    assert document["decisions"] == ["p1", "p2"]
    assert document["prices"]["best_mean"]["mean_profit"] <= document["bounds"]["mean_profit"]
    assert document["prices"]["best_worst"]["worst_profit"] <= document["bounds"]["worst_profit"]
    capsys.readouterr()
    assert run(command) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "not proven best" in " ".join(shown.split())


def test_mistakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market, draws = market_and_draws()
    path = str(tmp_path / "market.json")
    write_market(market, path)
    given = str(folder_of(draws[:2], tmp_path / "given"))

    def refusal(*arguments: str) -> str:
        assert run(["solve", *arguments]) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    assert "no draws.json beside" in refusal(path, "--robust", "2")
    assert "holds 2 markets; take so many" in refusal(path, "--robust", "3", "--draws", given)
    assert "--draws: only with --robust" in refusal(path, "--draws", given)
    with_draws = (path, "--robust", "2", "--draws", given)
    assert "--robust does not go with --solver, --gap:" in refusal(*with_draws, "--solver", "highs", "--gap", "0.1")
    assert "--robust does not go with --abstraction:" in refusal(*with_draws, "--abstraction", "anchored")
    assert "--robust does not go with --jobs:" in refusal(*with_draws, "--jobs", "2")
    assert "--robust takes one market at a time" in refusal(path, *with_draws)
    assert run(["solve", *with_draws, "--solver", "path"]) == 0
    write_market(replace(market, leader=(0, 1), price_cap=np.ones(2)), path)
    assert "has another leader: expected p1, p2, got p6" in refusal(*with_draws)
    write_market(replace(market, price_cap=np.ones(1)), path)
    assert "has another price cap: expected [1.0], got [12.0]" in refusal(*with_draws)
    write_market(replace(market, leader=(0,)), path)
    assert "has another leader: expected p1, got p6" in refusal(*with_draws)
    (tmp_path / "given" / "draws.json").write_text("{}")
    assert "the folder of a calibration" in refusal(*with_draws)
    assert "Invalid value for '--robust'" in refusal(path, "--robust", "0")


def test_from_observed_flows_to_robust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    true = replace(wanted_of_their_own(4, 5, 1), price_factor=np.ones(4), congestion_factor=np.ones(4))
    write_observations(observed(true, noise=0.1), tmp_path / "known")
    quick = ("--shrinkage", "0", "--baseline", "independence", "--draws", "12")
    assert run(["calibrate", "known", "--out", "fitted", *quick]) == 0
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "150")
    command = ["solve", "fitted/known-2026-07-04.json", "--robust", "12"]
    assert run(command) == 0
    shown = capsys.readouterr().out
    for words in ("over 12 draws", "of the market itself", "best mean", "best worst case"):
        assert words in shown
    assert run([*command, "--json", "-"]) == 0
    prices = json.loads(capsys.readouterr().out)["prices"]
    assert list(prices) == ["central", "best_mean", "best_worst", "least_regret"]
    best = solve(read_market(tmp_path / "fitted" / "known-2026-07-04.json").market)
    assert prices["central"]["central_profit"] == pytest.approx(best.profit, rel=1e-12)
    assert prices["best_mean"]["mean_profit"] >= prices["central"]["mean_profit"]
    assert prices["best_worst"]["worst_profit"] > prices["central"]["worst_profit"]
    assert prices["best_worst"]["central_share"] < 1


def test_all_that_a_fit_does_not_tell_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    centre, *others = (wanted_of_their_own(4, 5, seed) for seed in range(1, 6))
    seen = observed(centre, noise=0.03)
    market = market_with(centre, seen, "2026-07-01")
    write_market(market, tmp_path / "market.json")
    path, out = str(tmp_path / "market.json"), tmp_path / "out.json"

    def refusal(*arguments: str) -> str:
        assert run(["robust", path, *arguments]) == 2
        return capsys.readouterr().err

    assert "over what? Give --fit fit.json" in refusal()
    assert "fit.json: there is no such file; give the fit.json of a calibrate" in refusal("--fit", str(tmp_path))
    values = dict(zip(centre.provider_ids, centre.value.tolist(), strict=True))
    fit = {"format": "prillm-or/fit@1", "weights": {"congestion": 1.3, "delay": 0.6}, "values": values}
    (tmp_path / "fit.json").write_text(json.dumps(fit))
    assert "no draws.json beside it" in refusal("--fit", str(tmp_path / "fit.json"))
    write_draws(Draws("known", centre, tuple(others[:2]), tuple(others[2:])), tmp_path / "draws.json")
    assert "leave --draws x out" in refusal("--fit", str(tmp_path), "--draws", "x")
    assert "leave --count out" in refusal("--fit", str(tmp_path), "--count", "2")
    assert run(["robust", path, "--fit", str(tmp_path), "--json", str(out)]) == 0
    assert "(draws: 2 of the fit, 2 of its profile, the fit itself)" in " ".join(capsys.readouterr().out.split())
    document = json.loads(out.read_text())
    points = [*(market_with(one, seen, "2026-07-01") for one in others), market]
    best = [solve(point).price for point in points]
    assert document["draws"] == 5
    assert document["best_price_range"] == pytest.approx([min(best), max(best)], rel=1e-9)
    assert document["prices"]["least_regret"]["worst_regret"] == pytest.approx(
        robust(market, points).least_regret.worst_regret, rel=1e-9
    )


def test_pricing_over_draws_needs_no_torch(tmp_path: Path) -> None:
    true = wanted_of_their_own(4, 5, 1)
    write_market(market_with(true, observed(true, noise=0.03), "2026-07-01"), tmp_path / "market.json")
    write_draws(
        Draws("known", true, (wanted_of_their_own(4, 5, 2), wanted_of_their_own(4, 5, 3))), tmp_path / "draws.json"
    )
    code = "from prillm_or.cli import run; assert run(['solve', 'market.json', '--robust', '2']) == 0"
    assert imported_by(code, "torch", folder=tmp_path) == []
