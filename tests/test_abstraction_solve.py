"""Solving by way of small markets: judged in the full one, refined within six equilibria, certified on request."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.answers import profit_at
from helpers.commands import imported_by, in_process
from helpers.markets import draw_market, shipped
from helpers.sold import sold
from prillm_or.abstraction.refine import MOST_EQUILIBRIA, refine
from prillm_or.abstraction.registry import ABSTRACTIONS, AbstractionChoice
from prillm_or.cli import run
from prillm_or.errors import CombinationError, UnavailableError, UnknownNameError
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.result import Status
from prillm_or.solvers.path import Path as ExactPath
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.run import solve

CLOSED_FORMS = ("min", "avg", "capacity", "anchored")
ANCHORED, REFINED = AbstractionChoice("anchored"), AbstractionChoice("anchored", refine=True)


# Choices


def test_a_choice_prints_as_a_method_writes_it() -> None:
    assert str(AbstractionChoice("capacity", 3)) == "capacity@3"
    assert str(REFINED) == "anchored@2+refine"
    assert (ANCHORED.label, REFINED.label) == ("anchored", "anchored+refine")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        (
            {"name": "anchord"},
            UnknownNameError,
            "'anchord': there is none of that name; did you mean anchored",
        ),
        ({"name": "none"}, UnknownNameError, "there are min, avg"),
        ({"name": "min", "keep": 0}, CombinationError, "at least 1 rival, got 0"),
        ({"name": "capacity", "refine": True}, CombinationError, "no anchor to refine; anchored and learned have one"),
        ({"name": "learned-paper", "refine": True}, CombinationError, "anchored and learned have one"),
        ({"name": "anchored", "weights": "x"}, CombinationError, "no weights; learned and learned-paper do"),
    ],
)
def test_a_choice_that_cannot_work_says_what_would(
    fields: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        AbstractionChoice(**fields)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, small_market: Market) -> None:
    monkeypatch.setitem(ABSTRACTIONS, "learned", replace(ABSTRACTIONS["learned"], packages=("no_such_package",)))
    with pytest.raises(UnavailableError, match=r"abstraction learned: .*pip install 'prillm-or\[learn\]'"):
        solve(small_market, abstraction=AbstractionChoice("learned", 1))


# Solving


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize(("solver", "model"), [("auto", None), ("bisect", None), ("highs", "kkt-bigm"), ("odca", None)])
def test_the_price_is_judged_in_the_full_market(coding: Market, name: str, solver: str, model: str | None) -> None:
    result = solve(coding, solver=solver, model=model, abstraction=AbstractionChoice(name))
    assert (result.status, result.upper_bound, result.gap) == (Status.HEURISTIC, None, None)
    assert (result.method.abstraction, result.method.keep, result.method.model) == (name, 2, model)
    assert result.instance == "coding-13"
    assert list(result.prices) == ["step-3.7-flash"]
    assert result.profit == pytest.approx(profit_at(coding, np.array(list(result.prices.values()))), rel=1e-12)
    assert max(result.certificate.kkt_residual, result.certificate.max_regret) <= 1e-12
    parts = result.time_s
    assert parts.abstract > 0
    assert parts.total == pytest.approx(
        parts.read + parts.build + parts.abstract + parts.solve + parts.verify, abs=1e-3
    )
    assert any(note.startswith("rivals kept") for note in result.notes)


def test_merges_beat_the_baselines_and_refining_loses_nothing(coding: Market) -> None:
    best = solve(coding).profit
    share = {name: solve(coding, abstraction=AbstractionChoice(name)).profit / best for name in CLOSED_FORMS}
    assert max(share["avg"], share["min"]) < 0.99 < share["capacity"] < share["anchored"] <= 1 + 1e-12
    assert solve(coding, abstraction=REFINED).profit / best >= share["anchored"] - 1e-12


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_a_market_with_few_rivals_is_solved_as_it_is(name: str) -> None:
    market = draw_market("uniform", 4, 4, 0)
    plain = solve(market)
    result = solve(market, abstraction=AbstractionChoice(name, 3))
    assert (result.status, result.profit, result.upper_bound) == (Status.OPTIMAL, plain.profit, plain.upper_bound)
    assert (result.method.solver, result.method.abstraction, result.method.keep) == ("path", name, 3)
    assert result.time_s.abstract == 0.0
    assert "solved as it is" in result.notes[0]


@pytest.mark.parametrize("choice", [AbstractionChoice("capacity"), ANCHORED, REFINED], ids=str)
def test_several_prices(choice: AbstractionChoice) -> None:
    market = draw_market("uniform", 5, 7, 2, leaders=2)
    result = solve(market, solver="ascent", abstraction=choice)
    assert result.status is Status.HEURISTIC
    assert tuple(result.prices) == market.leader_ids
    assert result.profit >= 0.9 * solve(market, solver="ascent").profit
    with pytest.raises(CombinationError, match="solver path takes one"):
        solve(market, solver="path", abstraction=choice)


def test_a_licence_counts_for_the_small_market_only() -> None:
    market = draw_market("uniform", 3, 2000, 0)
    with pytest.raises(UnavailableError, match="at least 2007 variables"):
        solve(market, solver="gurobi", model="kkt-bigm")
    result = solve(market, solver="gurobi", model="kkt-bigm", abstraction=ANCHORED)
    assert result.status is Status.HEURISTIC


def test_a_time_limit_is_told_and_the_small_bound_is_not() -> None:
    market = draw_market("heavy", 8, 9, 1)
    for choice in (ANCHORED, REFINED):
        result = solve(market, solver="bisect", abstraction=choice, gap=1e-9, time_limit=0.0)
        assert (result.status, result.upper_bound) == (Status.TIME_LIMIT, None)


# Refining


class Watched:
    """Solves small markets exactly and remembers them."""

    def __init__(self) -> None:
        self.markets: list[Market] = []

    def __call__(self, small: Market) -> Proposal:
        self.markets.append(small)
        return ExactPath().solve(small, Limits())


@pytest.mark.parametrize("seed", range(20))
def test_refining_returns_the_best_price_seen_within_six_equilibria(seed: int) -> None:
    market = draw_market(("uniform", "heavy", "costs", "weights")[seed % 4], 7, 8, seed)
    watched = Watched()
    proposal = refine(market, AbstractionChoice("anchored", 1, refine=True), watched)
    assert proposal.prices is not None
    assert (proposal.upper_bound, proposal.ended) == (None, Ended.FINISHED)
    assert 1 <= len(watched.markets) <= MOST_EQUILIBRIA - 1
    assert proposal.stats["small_markets"] == len(watched.markets)
    assert proposal.stats["full_equilibria"] in (len(watched.markets), len(watched.markets) + 1)
    one_shot = ExactPath().solve(watched.markets[0], Limits()).prices
    assert one_shot is not None
    least = profit_at(market, one_shot)
    assert profit_at(market, proposal.prices) >= least - 1e-9 * abs(least)


def test_prices_that_never_stand_still_cost_six_equilibria() -> None:
    market = draw_market("uniform", 6, 7, 0)
    asked = iter([1.0, 2.0, 0.5, 3.0, 0.25])
    tried = []

    def restless(small: Market) -> Proposal:
        tried.append(np.array([next(asked)]))
        return Proposal(tried[-1], 1.0, Ended.FINISHED, build_s=0.5)

    proposal = refine(market, REFINED, restless)
    assert len(tried) == 5
    assert proposal.stats == {"full_equilibria": 6, "small_markets": 5}
    assert proposal.build_s == 2.5
    assert proposal.prices is not None
    assert profit_at(market, proposal.prices) >= max(profit_at(market, prices) for prices in tried)


def test_a_price_that_stands_still_ends_it() -> None:
    market = draw_market("uniform", 6, 7, 0)
    proposal = refine(market, REFINED, lambda small: Proposal(np.array([2.0]), None, Ended.FINISHED))
    # The first anchor, 2, and half of the better of them; from there 2 is proposed again.
    assert proposal.stats["full_equilibria"] == 3


@pytest.mark.parametrize("ended", [Ended.TIME_LIMIT, Ended.INTERRUPTED, Ended.UNKNOWN])
def test_a_solver_that_stops_early_ends_it(ended: Ended) -> None:
    market = draw_market("uniform", 6, 7, 0)
    proposal = refine(market, REFINED, lambda small: Proposal(np.array([2.0]), None, ended))
    assert (proposal.ended, proposal.stats["full_equilibria"]) == (ended, 2)
    assert proposal.prices is not None
    without = refine(market, REFINED, lambda small: Proposal(None, None, ended))
    assert (without.ended, without.stats["full_equilibria"]) == (ended, 1)


def test_ctrl_c_keeps_the_best_price_seen() -> None:
    market = draw_market("uniform", 6, 7, 0)

    def stopped(small: Market) -> Proposal:
        raise KeyboardInterrupt

    proposal = refine(market, REFINED, stopped)
    assert proposal.ended is Ended.INTERRUPTED
    assert proposal.prices is not None


# Certifying


@pytest.mark.parametrize("choice", [AbstractionChoice("min", 1), ANCHORED, REFINED], ids=str)
@pytest.mark.parametrize("kind", ["heavy", "costs", "weights"])
def test_a_bound_on_request_is_valid_and_leaves_the_price(choice: AbstractionChoice, kind: str) -> None:
    market = draw_market(kind, 8, 9, 3)
    bare = solve(market, abstraction=choice)
    result = solve(market, abstraction=choice, certify=True)
    best = solve(market).profit
    assert result.prices == bare.prices
    assert result.upper_bound is not None
    assert best * (1 - 1e-12) <= result.upper_bound <= best * (1 + 1.0001e-4)
    assert (result.status is Status.OPTIMAL) == (result.gap is not None and result.gap <= 1e-4)
    assert result.time_s.abstract > 0


def test_any_method_that_proves_none_can_be_certified(coding: Market) -> None:
    assert solve(coding, solver="odca", certify=True).status is Status.FEASIBLE
    assert solve(coding, solver="path", certify=True).upper_bound == solve(coding, solver="path").upper_bound


@pytest.mark.parametrize("decides", ["plain", "factor", "components"])
def test_several_decisions_are_certified_by_branch(decides: str) -> None:
    market = sold(10, 4, 5, leaders=1 if decides == "components" else 2, decides=decides, own_weights=False)
    found, best = solve(market, abstraction=ANCHORED, certify=True), solve(market)
    assert found.upper_bound is not None
    assert found.profit <= best.profit * (1 + 1e-9) <= found.upper_bound * (1 + 1e-4)
    assert found.upper_bound <= best.profit * (1 + 1e-4)
    assert (found.method.solver, found.method.abstraction) == ("branch", "anchored")
    assert found.stats["branch_nodes"] >= 1
    names = [decision.name for decision in market.decisions]
    assert [f"branch_price.{name}" in found.stats for name in names] == [True, True]


# Command line


@pytest.mark.wheel
def test_solve_with_an_abstraction_in_a_real_process() -> None:
    arguments = ["solve", "coding-13", "--abstraction", "anchored", "--keep", "2", "--solver", "path", "--json", "-"]
    done = in_process(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["method"]["abstraction"] == "anchored"
    assert result["method"]["keep"] == 2
    assert (result["status"], result["upper_bound"], result["gap"]) == ("heuristic", None, None)
    best = solve(shipped("coding-13")).profit
    assert 0.999 * best <= result["profit"] <= best * (1 + 1e-9)
    assert result["time_s"]["abstract"] > 0


@pytest.mark.parametrize(
    "flags", [["--keep", "2"], ["--refine"], ["--weights", "w"], ["--abstraction", "none", "--keep", "1"]], ids=str
)
def test_flags_of_an_abstraction_need_one(flags: list[str]) -> None:
    done = in_process("solve", "tiny/kink", *flags)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.endswith("only with an --abstraction, as in --abstraction anchored")
    assert flags[-2 if flags[-1] in "12w" else -1] in line


@pytest.mark.parametrize(
    ("flags", "fragment"),
    [
        (["--abstraction", "anchord"], "did you mean anchored"),
        (["--abstraction", "min", "--refine"], "anchored and learned have one"),
        (["--abstraction", "anchored", "--weights", "w"], "learned and learned-paper do"),
        (["--abstraction", "anchored", "--keep", "0"], "at least 1 rival"),
        (["--abstraction", "anchored", "--refine", "--write-model", "m.lp"], "leave --refine out"),
    ],
)
def test_a_mistake_gives_one_clear_line_and_2(
    flags: list[str], fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["solve", "coding-13", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert fragment in line


def test_a_gap_asked_of_an_abstraction_is_reached_by_certifying_only(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["solve", "coding-13", "--abstraction", "anchored", "--gap", "1e-3"]
    assert run(asked) == 1
    assert run([*asked, "--certify"]) == 0
    assert "path, anchored, keep 2" in capsys.readouterr().out


def test_the_exported_programme_is_that_of_the_small_market(tmp_path: Path) -> None:
    full, small = tmp_path / "full.lp", tmp_path / "small.lp"
    assert run(["solve", "coding-13", "--write-model", str(full), "--json", str(tmp_path / "r.json")]) == 0
    flags = ["--abstraction", "capacity", "--keep", "1"]
    assert run(["solve", "coding-13", *flags, "--write-model", str(small), "--json", str(tmp_path / "r.json")]) == 0
    # Two providers of 13; users have values of their own, so that many of the 104 pairs cannot be and are left out.
    assert small.stat().st_size < full.stat().st_size / 3


def test_models_lists_the_abstractions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ABSTRACTIONS)
    assert imported_by("from prillm_or.cli import run; run(['models'])", "torch") == []


def test_ctrl_c_in_the_first_small_market_keeps_the_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(self: ExactPath, market: Market, limits: Limits) -> Proposal:
        if market.name.startswith("uniform-6x7-0,") and "anchored" in market.name:
            raise KeyboardInterrupt
        return solve_path(self, market, limits)

    market, solve_path = draw_market("uniform", 6, 7, 0), ExactPath.solve
    monkeypatch.setattr(ExactPath, "solve", stopped)
    result = solve(market, solver="path", abstraction=REFINED)
    assert result.interrupted
    assert result.method.abstraction == "anchored+refine"
    assert result.profit == pytest.approx(profit_at(market, np.array(list(result.prices.values()))))
