"""Every public door refuses what it cannot take by an error of the package's own that says what is wrong with what."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

import prillm_or as po
from prillm_or.abstraction.registry import parse_abstraction
from prillm_or.comparison.method import parse_method
from prillm_or.output.answer import Answer

HUGE = 10**400
"""A whole number that no double holds."""


@pytest.fixture(scope="module")
def market() -> po.Market:
    return po.generate(6, 4, "uniform", 1)


def said(door: Callable[..., Any], *given: Any, **named: Any) -> str:
    with pytest.raises(po.PrillmError) as caught:
        door(*given, **named)
    return str(caught.value)


@pytest.mark.parametrize("given", [None, 3, b"coding-13", ["coding-13"], {}])
def test_what_is_neither_a_name_nor_a_path_is_refused(given: Any, market: po.Market, tmp_path: Path) -> None:
    assert "`name`: expected a name or a path, got" in said(po.load, given)
    assert "`path`: expected a name or a path, got" in said(po.read_market, given)
    assert "`path`: expected a name or a path, got" in said(po.write_market, market, given)
    assert "`path`: expected a name or a path, got" in said(po.solve(market).save, given)
    assert "`out`: expected a name or a path, got" in said(po.train, given)
    assert "`solver`: expected a name or a path, got" in said(po.solve, market, solver=given)
    if given is not None:
        assert "`model`: expected a name or a path, got" in said(po.solve, market, model=given)
        assert "`abstraction`: expected a name or a path, got" in said(po.solve, market, abstraction=given)
        assert "`market`: expected a Market" in said(po.write_market, given, tmp_path / "m.json")


def test_a_market_is_written_by_whatever_names_it(market: po.Market, tmp_path: Path) -> None:
    for name, given in (("m", market), ("k", "tiny/kink"), ("f", po.read_market("instances/tiny/kink.json"))):
        po.write_market(given, tmp_path / f"{name}.json")
    assert (tmp_path / "k.json").read_bytes() == (tmp_path / "f.json").read_bytes()


def test_a_profile_may_be_a_path(market: po.Market) -> None:
    assert po.solve(market, solver=Path("solvers/highs/stock.toml")).profit == pytest.approx(po.solve(market).profit)


def test_a_whole_number_beyond_double_precision_is_refused(market: po.Market) -> None:
    assert "`time_limit`: expected a number >= 0" in said(po.solve, market, time_limit=HUGE)
    assert "`prices`: expected a finite number >= 0" in said(po.equilibrium, market, {"p4": HUGE})


@pytest.mark.parametrize("given", ["x", {}, [1, "x"], HUGE])
def test_a_price_to_look_up_is_a_number(given: Any, market: po.Market) -> None:
    curve = po.curve(market)
    for look in (curve.load, curve.slope, curve.profit):
        assert "`prices`: expected numbers, got" in said(look, given)


def test_only_results_of_the_market_are_explained(market: po.Market) -> None:
    result = po.solve(market)
    for given in ("x", 3, {}, result.to_dict(), po.curve(market)):
        assert "`result`: expected a Result, as `solve` gives, got" in said(po.explain, market, given)
    other = po.generate(5, 4, "uniform", 9)
    assert f"the result is that of another market, {market.name}" in said(po.explain, other, result)
    assert "the result's price x is not between 0 and the cap 12" in said(
        po.explain, market, replace(result, prices={"p4": cast("Any", "x")})
    )


@pytest.mark.parametrize("given", [None, 3, "tiny/kink", {"a": 1}])
def test_draws_are_a_list_of_markets(given: Any, market: po.Market) -> None:
    assert "`draws`: expected markets in a list, got" in said(po.robust, market, given)


def test_a_draw_that_is_no_market_is_named(market: po.Market) -> None:
    assert "`draws[1]`: expected a Market" in said(po.robust, market, [market, 3])
    assert "`draws`: expected markets in a list, got Market" in said(po.robust, market, market)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"leaders": 3}, "`leaders`: expected ids in a list, got 3"),
        ({"leaders": "p1"}, "`leaders`: expected ids in a list, got 'p1'"),
        ({"leaders": None}, "`leaders`: expected ids in a list, got None"),
        ({"leaders": ["p1", "p1"]}, "`leaders`: p1 more than once"),
        ({"exit": None}, "`exit`: expected ids in a list, got None"),
        ({"owners": {"a": 3}}, "`owners`: expected ids in a list, got 3"),
        ({"owners": {3: ["p1"]}}, "`owners`: expected names with the ids they own"),
        ({"owners": 0}, "`owners`: expected names with the ids they own"),
        ({"merge": {"a": None}}, "`merge`: expected ids in a list, got None"),
        ({"entry": 3}, "`entry`: expected providers in a list, got 3"),
        ({"entry": [3]}, "`entry`: expected a name or a path, got 3"),
        ({"cost_shock": {"p1": 3}}, "cost_shock='p1=3': expected ID=CHANGE with a change such as +10%"),
        ({"cost_shock": 0}, "`cost_shock`: expected changes by id"),
        ({"platform_fee": 1.5}, "`platform_fee`: expected a share of revenue in [0, 1), got 1.5"),
        ({"tolerance": None}, "`tolerance`: expected a number >= 0, got None"),
    ],
)
def test_compete_names_the_argument_and_its_rule(keywords: dict[str, Any], says: str, market: po.Market) -> None:
    assert says in said(po.compete, market, starts=1, **keywords)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"kind": ["learned"]}, "`kind`: expected one of learned, learned-paper, got ['learned']"),
        ({"engine": "nobody"}, "`engine`: expected one of local, dask, got 'nobody'"),
        ({"address": "tcp://x"}, "only with engine='dask'"),
    ],
)
def test_train_refuses_before_it_leaves_anything_behind(keywords: dict[str, Any], says: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert says in said(po.train, tmp_path / "w.safetensors", scenarios=100, epochs=1, **keywords)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"observations": 3}, "`observations`: expected Observations or the path of a folder, got int"),
        ({"observations": po.Units()}, "`observations`: expected Observations or the path of a folder, got Units"),
        ({"own": 7}, "`own`: expected names in a list, got 7"),
        ({"own": "price"}, "`own`: expected names in a list, got 'price'"),
        ({"baselines": 3}, "`baselines`: expected names in a list, got 3"),
        ({"groups": {"g": "u1"}}, "`groups`: expected ids in a list, got 'u1'"),
        ({"groups": {"g": 3}}, "`groups`: expected ids in a list, got 3"),
        ({"warm": 3}, "`warm`: expected a name or a path, got 3"),
    ],
)
def test_calibrate_names_the_argument_and_its_rule(keywords: dict[str, Any], says: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert says in said(po.calibrate, **{"observations": tmp_path, **keywords})


def market_fields() -> dict[str, Any]:
    return {
        "name": "m", "user_ids": ("a", "b"), "provider_ids": ("rival", "us"), "demand": [3.0, 2.0],
        "price": [1.0, 2.0], "capacity": [2.0, 3.0], "delay": [[1, 2], [3, 4]], "leader": "us", "price_cap": [10.0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("name", None, "name: expected a text, got None"),
        ("description", 3, "description: expected a text, got 3"),
        ("units", {"currency": "EUR"}, "units: expected a Units, got {'currency': 'EUR'}"),
        ("user_ids", 3, "user_ids: expected a sequence of texts, got 3"),
        ("user_ids", ("a", 3), "user_ids: expected a sequence of texts, got ('a', 3)"),
        ("leader", None, "leader.providers: expected ids or positions, got None"),
        ("leader", 1.5, "leader.providers: expected ids or positions, got 1.5"),
        ("leader", (0.9,), "leader.providers: expected ids or positions, got 0.9"),
        ("leader", True, "leader.providers: expected ids or positions, got True"),
        ("leader", "uss", "leader.providers: no provider has the id 'uss'; did you mean"),
        ("demand", [HUGE, 1], "demand: expected an array of numbers, got list"),
    ],
)
def test_a_field_of_a_market_is_what_it_has_to_be(field: str, given: Any, says: str) -> None:
    assert says in said(po.Market, **market_fields() | {field: given})


def test_ids_of_an_array_are_plain_texts() -> None:
    market = po.Market(**market_fields() | {"user_ids": np.array(["a", "b"])})
    assert [type(name) for name in market.user_ids] == [str, str]


def test_units_are_texts() -> None:
    assert "units: currency: expected a text, got 3" in said(po.Units, 3)


USERS = pd.DataFrame({"demand": [3.0, 2.0]}, index=["a", "b"])
PROVIDERS = pd.DataFrame({"price": [1.0, 2.0], "capacity": [2.0, 3.0]}, index=["rival", "us"])
DELAYS = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["a", "b"], columns=["rival", "us"])


@pytest.mark.parametrize(
    ("leader", "cap", "says"),
    [
        (None, 10.0, "leader: expected a sequence of texts, got None"),
        ({"us": 1}, 10.0, "leader: expected a sequence of texts, got {'us': 1}"),
        ("us", None, "price_cap: expected a number, or numbers by id, got None"),
        ("us", [10.0], "price_cap: expected a number, or numbers by id, got [10.0]"),
        ("us", {}, "price_cap: leader's provider 'us' is missing"),
        ("us", {"us": "x"}, "price_cap: expected a number, or numbers by id, got 'x'"),
        ("us", {"us": 1.0, "su": 1.0}, "price_cap: no leader's provider has the id 'su'"),
    ],
)
def test_a_leader_of_frames_has_ids_and_caps(leader: Any, cap: Any, says: str) -> None:
    assert says in said(po.Market.from_frames, USERS, PROVIDERS, DELAYS, leader=leader, price_cap=cap)
    assert says in said(po.Observations.from_frames, *observed_frames(), leader=leader, price_cap=cap)


def test_frames_without_rows_are_refused() -> None:
    for frames in ((USERS, PROVIDERS, DELAYS.iloc[:0]), (USERS.iloc[:0], PROVIDERS, DELAYS.iloc[:0])):
        assert "expected at least one id in its index" in said(
            po.Market.from_frames, *frames, leader="us", price_cap=10.0
        )


def observed_frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    pairs = [(user, provider, 1.0) for user in "ab" for provider in ("rival", "us")]
    flows = pd.DataFrame([("2026-07-01", *pair) for pair in pairs], columns=["day", "user", "provider", "flow"])
    prices = [("2026-07-01", provider, 1.0, 2.0) for provider in ("rival", "us")]
    providers = pd.DataFrame(prices, columns=["day", "provider", "price", "capacity"])
    return flows, providers, pd.DataFrame(pairs, columns=["user", "provider", "delay"])


def test_a_leader_of_observations_needs_a_cap() -> None:
    assert "price_cap: expected a number" in said(po.Observations.from_frames, *observed_frames(), leader="us")
    assert po.Observations.from_frames(*observed_frames()).leader is None


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("name", None, "name: expected a text, got None"),
        ("units", "x", "units: expected a Units, got 'x'"),
        ("leader", "us", "leader: expected a Leader, got 'us'"),
        ("days", "2026-07-01", "days: expected a sequence of texts, got '2026-07-01'"),
        ("days", [3], "days: expected a sequence of texts, got [3]"),
        ("user_ids", "ab", "user_ids: expected a sequence of texts, got 'ab'"),
        ("flow", {}, "flow: expected an array of numbers, got dict"),
        ("price", "x", "price: expected an array of numbers, got str"),
        ("delay", [[[1, 2], [1]]], "delay: expected an array of numbers, got list"),
    ],
)
def test_a_field_of_observations_is_what_it_has_to_be(field: str, given: Any, says: str) -> None:
    observations = po.Observations.from_frames(*observed_frames())
    assert says in said(replace, observations, **{field: given})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({3: 4}, "change: [3]: expected a string, got 3"),
        ({"users": {3: {"demand": 1}}}, "change: users[3]: expected a string, got 3"),
        ({"remove": {"providers": ("p1",)}}, "change: remove.providers: expected a list, got a tuple"),
        (None, "change: expected an object, got null"),
    ],
)
def test_a_change_of_rubbish_is_refused(change: Any, says: str, market: po.Market) -> None:
    pricer = po.Pricer(market)
    assert says in said(pricer.update, change)
    assert says in said(pricer.what_if, change)
    assert pricer.market is market


def answers(market: po.Market) -> dict[str, Any]:
    return {
        "result": po.solve(market),
        "equilibrium": po.equilibrium(market),
        "curve": po.curve(market),
        "explanation": po.explain(market),
        "prices": po.explain(replace(market, leader=(2, 3), price_cap=np.array([12.0, 12.0]))),
        "envelope": po.envelope(both := replace(market, leader=(2, 3), price_cap=np.array([12.0, 12.0])), "p3"),
        "map": po.profit_map(both, "p3", "p4"),
        "game": po.compete(market, merge={"big": ["p1", "p2"]}, starts=1),
        "robust": po.robust(market, [market]),
    }


def test_every_answer_prints_saves_and_becomes_a_frame(market: po.Market, tmp_path: Path) -> None:
    """Every kind of answer is made and drawn once."""
    for name, answer in answers(market).items():
        assert market.name in str(answer) or name == "result"
        assert "<table>" in answer._repr_html_()
        assert len(answer.to_frame()) > 0
        answer.save(tmp_path / f"{name}.json")
        assert json.loads((tmp_path / f"{name}.json").read_text()) == json.loads(json.dumps(answer.to_dict()))
        assert "nowhere/x.json: cannot be written" in said(answer.save, tmp_path / "nowhere" / "x.json")
        if hasattr(answer, "plot"):
            assert "`ax`: expected axes of matplotlib, got str" in said(answer.plot, "x")


def test_without_pandas_every_frame_says_what_to_install(market: po.Market, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {po.Result, po.UserEquilibrium, po.ProfitCurve, po.Explanation, po.Game, po.RobustPrices, po.Calibration}
    at = po.equilibrium(market)
    monkeypatch.setitem(sys.modules, "pandas", None)
    missing = "pandas is not installed; pip install pandas"
    assert kinds <= set(Answer.__subclasses__())
    for kind in Answer.__subclasses__():
        assert said(kind.to_frame, object.__new__(kind)) == f"to_frame: {missing}"
    assert said(lambda: at.loads) == f"loads: {missing}"
    assert said(lambda: at.flows) == f"flows: {missing}"


def test_a_method_reads_its_abstraction_as_solve_does() -> None:
    assert parse_method("path:anchored@1+refine").abstraction == parse_abstraction("anchored@1+refine")
    assert "method='path:none@2': abstraction 'none@2': none keeps all rivals" in said(parse_method, "path:none@2")
