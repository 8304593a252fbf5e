"""The command compete: tables, JSON, exit codes, what-if flags, and refusals."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.markets import make_market, shipped
from prillm_or.cli import run
from prillm_or.competition.game import compete
from prillm_or.files.markets import read_market, write_market
from prillm_or.market.synthetic import generate


@pytest.fixture
def market_file(tmp_path: Path) -> str:
    """A file of a market of two users and three providers, p1 leads, with unit costs."""
    path = tmp_path / "three.json"
    write_market(make_market(unit_cost=np.array([0.5, 0.25, 1.0]), delay=np.full((2, 3), 0.5)), path)
    return str(path)


def answer(*arguments: str, code: int = 0, starts: int = 2) -> Any:
    """What the command writes as JSON."""
    out = Path(arguments[0]).with_suffix(".answer.json")
    assert run(["compete", *arguments, "--starts", str(starts), "--json", str(out)]) == code
    return json.loads(out.read_text(encoding="utf-8"))


def test_the_json_says_what_was_found_and_how_far_it_is_proven(market_file: str) -> None:
    document = answer(market_file)
    assert document["format"] == "prillm-or/competition@1"
    assert document["status"] == "equilibrium"
    assert document["owners"] == {"p1": ["p1"], "p2": ["p2"], "p3": ["p3"]}
    assert document["caps"] == {"p1": 10.0, "p2": 10.0, "p3": 10.0}
    (one,) = document["equilibria"]
    assert one["starts"] == ["today", "costs"]
    for name in ("prices", "loads", "profits", "users_cost", "platform_revenue", "certificate"):
        assert document[name] == one[name]
    for gain in document["certificate"].values():
        assert gain["proven"]
        assert 0 <= gain["relative_gain"] <= gain["relative_bound"] <= 1e-8
    assert sum(document["loads"].values()) == pytest.approx(3.0)
    assert document["profits"]["p3"] == pytest.approx((document["prices"]["p3"] - 1.0) * document["loads"]["p3"])
    assert document["today"]["prices"] == {"p1": 1.0, "p2": 2.0, "p3": 3.0}
    assert document["cycle"] == document["unsettled"] == []
    assert document["counterfactual"] is None
    assert document["rounds"] >= one["rounds"] >= 1


def test_a_table_shows_everybody(market_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compete", market_file, "--starts", "1", "--merge", "both=p1,p3", "--platform-fee", "0.1"]) == 0
    shown = capsys.readouterr().out
    for row in ("price of p1", "load of p2", "profit of p3", "profit of owner both"):
        assert row in shown
    for row in ("users' cost", "platform's revenue"):
        assert row in shown
    for column in ("today", "present", "what if", "change"):
        assert column in shown
    assert "path, exact" in shown
    assert "what if: equilibrium, from start before, today" in shown


def test_standard_output_holds_nothing_but_json(market_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compete", market_file, "--starts", "1", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["instance"] == "small"


def test_two_owners_without_an_equilibrium_are_told_that_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.json"
    write_market(generate(4, 3, "uniform", 35), path)
    document = answer(str(path), "--leaders", "p2,p3", code=1)
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("no equilibrium: proven that, whatever they ask up to their caps, one of the two owners")
    assert "At the nearest prices found no owner gains more than" in shown
    assert document["status"] == "no_equilibrium"
    share, boxes = document["absence"]["share"], document["absence"]["boxes"]
    assert share == pytest.approx(document["nearest"]["epsilon"] / 4)
    assert boxes > 1


def test_no_equilibrium_is_said_with_the_cycle_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cycles.json"
    write_market(generate(4, 3, "uniform", 13), path)
    document = answer(str(path), code=1, starts=1)
    shown = capsys.readouterr().out
    assert shown.startswith("no equilibrium found; it is not proven that there is none. At the nearest")
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "over the cycle" in shown
    assert "start today came back to prices it had before" in shown
    assert "the cycle, prices after each round" in shown
    assert document["status"] == "no_equilibrium_found"
    assert document["prices"] is document["certificate"] is None
    assert document["equilibria"] == []
    assert document["unsettled"] == [{"start": "today", "end": "cycle"}]
    assert len(document["cycle"]) >= 2
    near = document["nearest"]
    assert 0 < near["epsilon"] == near["epsilons"][near["owner"]] == max(near["epsilons"].values()) < 0.05
    assert f"gains more than {100 * near['epsilon']:.2g} %" in " ".join(shown.split())
    assert near["gain"] == near["certificate"][near["owner"]]["bound"]
    assert set(near["prices"]) == set(near["profits"]) == set(near["epsilons"])
    for what, ranges in document["cycle_range"].items():
        assert what in ("decisions", "profits")
        assert all(one["low"] <= one["mean"] <= one["high"] for one in ranges.values())
    assert all(list(prices) == ["p1", "p2", "p3"] for prices in document["cycle"])


def test_leaders_owners_and_cap(market_file: str) -> None:
    document = answer(market_file, "--leaders", "p2,p3", "--owner", "us=p2,p3", "--cap", "3")
    assert document["owners"] == {"us": ["p2", "p3"]}
    assert document["caps"] == {"p2": 3.0, "p3": 3.0}
    assert document["prices"]["p1"] == 1.0
    assert set(document["certificate"]) == {"us"}
    assert document["certificate"]["us"]["note"] == "branch, proven bound"
    assert document["certificate"]["us"]["relative_bound"] <= 2e-7
    assert document["nearest"] is document["cycle_range"] is None


def test_a_cap_at_or_above_the_prices_changes_nothing_and_one_below_binds(market_file: str) -> None:
    present = answer(market_file)
    highest = max(present["prices"].values())
    same = answer(market_file, "--price-cap", repr(highest))["counterfactual"]
    assert same["prices"] == pytest.approx(present["prices"], abs=1e-7)
    assert same["loads"] == pytest.approx(present["loads"], abs=1e-7)
    assert same["profits"] == pytest.approx(present["profits"], abs=1e-7)
    lower = answer(market_file, "--price-cap", repr(0.9 * highest))["counterfactual"]
    assert max(lower["prices"].values()) <= 0.9 * highest
    assert lower["users_cost"] < present["users_cost"]


def test_a_fee_acts_like_a_higher_unit_cost(market_file: str, tmp_path: Path) -> None:
    fee = answer(market_file, "--platform-fee", "0.2")["counterfactual"]
    path = tmp_path / "dearer.json"
    market = read_market(market_file).market
    write_market(replace(market, unit_cost=market.unit_cost / 0.8), path)
    dearer = answer(str(path))
    assert fee["prices"] == pytest.approx(dearer["prices"], rel=1e-7)
    assert fee["profits"] == pytest.approx({name: 0.8 * profit for name, profit in dearer["profits"].items()}, rel=1e-7)
    revenue = sum(price * fee["loads"][name] for name, price in fee["prices"].items())
    assert fee["platform_revenue"] == pytest.approx(0.2 * revenue)


def test_a_fee_moves_no_price_where_nothing_costs(tmp_path: Path) -> None:
    path = tmp_path / "free.json"
    write_market(make_market(), path)
    document = answer(str(path), "--platform-fee", "0.3")
    assert document["counterfactual"]["prices"] == pytest.approx(document["prices"], abs=1e-7)
    assert document["counterfactual"]["users_cost"] == pytest.approx(document["users_cost"])


def test_shocks(market_file: str) -> None:
    document = answer(market_file, "--cost-shock", "p2=+100%", "--cost-shock", "p1=+0.5", "--demand-shock", "all=-50%")
    present, after = document, document["counterfactual"]
    assert after["what_if"] == {"cost_shock": ["p2=+100%", "p1=+0.5"], "demand_shock": ["all=-50%"]}
    assert sum(after["loads"].values()) == pytest.approx(sum(present["loads"].values()) / 2)
    cost = {"p1": 1.0, "p2": 0.5, "p3": 1.0}
    for name, profit in after["profits"].items():
        assert profit == pytest.approx((after["prices"][name] - cost[name]) * after["loads"][name])


def test_exit_and_entry(market_file: str, tmp_path: Path) -> None:
    entrant = tmp_path / "new.json"
    entrant.write_text(json.dumps({"id": "new", "price": 12.0, "capacity": 3.0, "unit_cost": 0.1, "delays": 0.5}))
    after = answer(market_file, "--exit", "p1", "--entry", str(entrant))["counterfactual"]
    assert after["owners"] == {"p2": ["p2"], "p3": ["p3"], "new": ["new"]}
    assert after["caps"] == {"p2": 10.0, "p3": 10.0, "new": 12.0}
    assert sum(after["loads"].values()) == pytest.approx(3.0)
    assert after["loads"]["new"] > 0


def test_a_merger_takes_providers_over(tmp_path: Path) -> None:
    path = tmp_path / "four.json"
    owned = make_market(provider_ids=("a", "b", "c", "d"), leader=(0, 1), price_cap=np.array([8.0, 8.0]))
    write_market(owned, path)
    document = answer(str(path), "--merge", "new=b,c", starts=1)
    assert document["owners"] == {"a+b": ["a", "b"], "c": ["c"], "d": ["d"]}
    assert document["counterfactual"]["owners"] == {"new": ["b", "c"], "a": ["a"], "d": ["d"]}


def test_users_may_leave(market_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(market_file, "--outside", "0.0")
    assert "outside" not in document["owners"]
    assert document["prices"]["outside"] == 0.0
    assert document["outside"] == 0.0
    assert "with an outside option of value 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--leaders", "x"], "--leaders: no provider has the id 'x'"),
        (["--owner", "p1,p2"], "--owner p1,p2: expected NAME=ID,ID"),
        (["--owner", "us=p1,p2,p3"], "owner us: it would own every provider"),
        (["--merge", "us=p1,x"], "--merge: 'x' is no provider that an owner sets the price of"),
        (["--leaders", "p1,p2", "--merge", "us=p1,p3"], "--merge: 'p3' is no provider that an owner"),
        (["--merge", "all=p1,p2,p3"], "owner all: it would own every provider"),
        (["--exit", "x"], "--exit: no provider has the id 'x'"),
        (["--exit", "p1,p2,p3"], "--exit: no provider would be left"),
        (["--cost-shock", "p1=10"], "--cost-shock p1=10: expected ID=CHANGE"),
        (["--cost-shock", "p1=+x%"], "--cost-shock p1=+x%: expected ID=CHANGE"),
        (["--cost-shock", "p9=+1"], "--cost-shock: no provider has the id 'p9'"),
        (["--cost-shock", "p1=-7"], "--cost-shock: a unit cost would fall below 0"),
        (["--demand-shock", "u1=-100%"], "--demand-shock: a demand would not be above 0"),
        (["--platform-fee", "1"], "fee: expected a share of revenue in [0, 1), got 1"),
        (["--entry", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--cap", "inf"], "cap: expected a finite number"),
    ],
)
def test_bad_input_ends_with_2_and_a_line(
    arguments: list[str], says: str, market_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compete", market_file, *arguments]) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "entry.json"),
        ("[]", "expected an object"),
        ('{"id": "p1", "price": 1, "capacity": 1, "delays": 1}', "id: a provider has the id"),
        ('{"id": "new", "price": -1, "capacity": 1, "delays": 1}', "price"),
        ('{"id": "new", "price": 1, "capacity": 1}', "delays: "),
    ],
)
def test_a_bad_entrant_is_refused_with_its_file(
    content: str, says: str, market_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "entry.json"
    path.write_text(content)
    assert run(["compete", market_file, "--entry", str(path)]) == 2
    line = capsys.readouterr().err
    assert "entry.json: " in line
    assert says in line


def test_a_share_of_no_unit_cost_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "free.json"
    write_market(make_market(), path)
    assert run(["compete", str(path), "--cost-shock", "p1=+10%"]) == 2


@pytest.mark.parametrize("cap", ["1e3", "1e6", "1e9"])
def test_a_cap_without_meaning_changes_nothing(market_file: str, cap: str) -> None:
    """Whoever has no cap in mind writes a large number; what is claimed is held to the same digits."""
    sets = ("--leaders", "p2,p3")  # p1 leads, whose cap is in the file
    plain, free = answer(market_file, *sets, "--cap", "20"), answer(market_file, *sets, "--cap", cap)
    assert len(free["equilibria"]) == len(plain["equilibria"])
    assert free["prices"] == pytest.approx(plain["prices"], rel=1e-7)
    assert max(gain["relative_gain"] for gain in free["certificate"].values()) <= 1e-12


def test_a_shock_of_all_costs_leaves_the_outside_option_alone(market_file: str) -> None:
    after = answer(market_file, "--outside", "-6", "--cost-shock", "all=+0.1")["counterfactual"]
    assert "outside" not in after["profits"]
    below = answer(market_file, "--outside", "-6", "--cost-shock", "all=-0.1")["counterfactual"]
    assert below["status"] == "equilibrium"


@pytest.mark.parametrize(
    "flags", [("--leaders", "p1,outside"), ("--owner", "a=p2,outside"), ("--cost-shock", "outside=+1")]
)
def test_nobody_sets_a_price_or_cost_of_leaving(
    market_file: str, flags: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compete", market_file, "--outside", "-6", *flags]) == 2
    assert "with --outside nobody sets the price or cost of `outside`" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [("--price-cap", "inf"), ("--tolerance", "inf"), ("--leaders", "p1,p1")])
def test_what_makes_no_sense_is_refused_before_any_work(
    market_file: str, flags: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compete", market_file, *flags]) == 2
    assert "finite number" in (said := capsys.readouterr().err) or "p1 more than once" in said


def test_a_page_holds_the_present_and_the_change_side_by_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "page.html"
    flags = ["--starts", "1", "--platform-fee", "0.1", "--page", str(out)]
    assert run(["compete", "tiny/one-rival", *flags]) == 0
    text = out.read_text("utf-8")
    assert re.findall(r'<h2 id="m\d-name">(.*?)</h2>', text) == ["present: lead", "what if: lead"]
    assert "the platform keeps 10.00 % of revenue" in text
    (document,) = re.findall(r'<script type="application/json">(.*?)</script>', text)[1:]
    found = json.loads(document)
    market = shipped("tiny/one-rival")
    game = compete(market, starts=1, platform_fee=0.1)
    assert game.after is not None
    assert game.after.first is not None
    own = market.leader[0]
    # What the leader would do there is what it does: nobody gains by moving.
    assert found["best"] == pytest.approx([game.after.first.decisions[own]], rel=1e-6)
    assert found["market"]["price"][1 - own] == pytest.approx([game.after.first.decisions[1 - own]], rel=1e-12)
    assert run(["compete", "tiny/one-rival", "--page", str(tmp_path / "page.txt")]) == 2
    assert "ends in .html" in capsys.readouterr().err
