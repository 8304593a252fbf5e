"""Warnings of a result: each code where it is due, and nowhere else; what it says; they change no exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prillm_or as po
from helpers.answers import result_at
from helpers.markets import shipped
from helpers.sold import price_list
from prillm_or.cli import run
from prillm_or.files.markets import write_market
from prillm_or.market.fit_note import FitNote
from prillm_or.market.market import Market
from prillm_or.market.outside import with_outside
from prillm_or.market.sanity import costless, implausible
from prillm_or.market.synthetic import generate

REAL = ("coding-13", "economy-8", "premium-4", "premium-4-two-prices", "roleplay-10")
OF_THE_MARKET = {"no-values", "delays-dominate", "congestion-dominates", "no-congestion", "capacity-apart"}


def mine(**changes: Any) -> Market:
    """The README's market."""
    fields: dict[str, Any] = {
        "name": "mine",
        "user_ids": ("app", "bot"),
        "provider_ids": ("us", "them"),
        "demand": [30.0, 12.0],
        "price": [3.0, 2.0],
        "capacity": [10.0, 15.0],
        "value": [1.5, 0.0],
        "unit_cost": [0.4, 0.0],
        "delay": [[0.8, 1.2], [0.5, 2.0]],
        "leader": ("us",),
        "price_cap": [10.0],
    }
    return Market(**fields | changes)


def codes(market: Market, **keywords: Any) -> set[str]:
    """Codes of what its best price is warned of, without those of the market's own figures."""
    return {warning.code for warning in po.solve(market, **keywords).warnings} - OF_THE_MARKET


def test_a_market_like_the_readmes_is_warned_of_nothing() -> None:
    assert po.solve(mine()).warnings == ()


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        (mine(price_cap=[4.0]), {"cap-binds"}),
        (mine(price_cap=[4.525]), set()),  # the best price itself: a higher one earns less
        (mine(unit_cost=[50.0, 0.0]), {"nobody-served", "far-from-today", "cap-below-cost"}),
        (mine(price=[0.0, 2.0], price_cap=[0.0]), {"cap-binds", "loss", "cap-below-cost"}),
        (mine(price=[1.0, 2.0]), {"far-from-today", "inelastic"}),
        (mine(price=[9.5, 2.0]), {"far-from-today"}),
        (mine(price=[2.3, 2.0]), set()),
        (mine(price=[11.0, 2.0]), {"far-from-today", "today-above-cap"}),
        (mine(price=[np.nan, 2.0]), set()),
    ],
)
def test_a_price_is_warned_of_what_a_reader_has_to_know(market: Market, expected: set[str]) -> None:
    assert codes(market) == expected


def test_a_load_that_hardly_answers_the_price_is_named() -> None:
    """lead's load at price p on tiny/kink is 4 - p/2: at today's 1 an elasticity of -1/7 (instances/tiny)."""
    (warning,) = (one for one in po.solve("tiny/kink").warnings if one.code == "inelastic")
    assert "1 % more would cost lead 0.143 % of its load" in warning.text


def test_a_load_that_answers_the_price_too_much_is_named() -> None:
    """lead's load at price p on tiny/one-rival is (6 - p)/2: 0.1 at 5.8, an elasticity of -29 (instances/tiny)."""
    market = shipped("tiny/one-rival")
    price = market.price.copy()
    price[list(market.leader)] = 5.8
    (warning,) = (one for one in po.solve(replace(market, price=price)).warnings if one.code == "hyperelastic")
    assert "1 % more would cost lead 29 % of its load" in warning.text
    assert "hyperelastic" not in codes(market)


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (FitNote(best_price_range={"us": (3.0, 9.0)}), "best price of us open, any from 3 to 9 may be it"),
        (FitNote((-8.0, -0.1), {"us": (3.0, 9.0)}), "may be it (own elasticity -8 to -0.1)"),
        (FitNote((-8.0, -0.1)), "the data leave open how users answer a price (own elasticity -8 to -0.1)"),
        # The best price, 4.525, is not among them: the file has been changed since the market was fitted.
        (FitNote((-8.0, -0.1), {"us": (5.0, 9.0)}), "leave open how users answer a price"),
        (FitNote((-1.1, -1.0), {"us": (4.0, 4.9)}), None),
        (FitNote((-1.1, -1.0)), None),
        (FitNote(), None),
    ],
)
def test_a_fit_that_leaves_the_price_open_is_named(note: FitNote, said: str | None) -> None:
    told = [warning for warning in po.solve(mine(fit=note)).warnings if warning.code == "unidentified"]
    assert len(told) == (said is not None)
    assert all(said is not None and said in warning.text for warning in told)


def test_a_fit_to_flows_without_a_price_is_named() -> None:
    market = mine(fit=FitNote())
    free = replace(market, price=np.where(np.isin(range(market.m), market.leader), 0.0, market.price))
    (told,) = (warning.text for warning in po.solve(free).warnings if warning.code == "unidentified")
    assert told == "nothing was paid, so that how users answer a price rests on the model alone"


def test_a_baseline_that_predicts_better_than_the_fit_is_named() -> None:
    def r2(flows: float | None, shares: float | None) -> dict[str, float | None]:
        return {"r2": flows, "r2_shares": shares}

    def told(**methods: Any) -> list[str]:
        return [w.text for w in po.solve(mine(fit=FitNote(scores=methods))).warnings if w.code == "baseline-wins"]

    (text,) = told(
        calibrated={"in_sample": r2(0.8, 0.5)}, a={"in_sample": r2(0.9, 0.4)}, b={"in_sample": r2(0.95, None)}
    )
    assert text.startswith("in sample, b predicts flows better than the fit (R^2 0.950 against 0.800; so does a)")
    held = {"calibrated": {"in_sample": r2(0.1, 0.1), "holdout": r2(0.8, 0.5)}}
    (text,) = told(**held, a={"in_sample": r2(0.9, 0.9), "holdout": r2(0.7, 0.6)})
    assert text.startswith("held out, a predicts users' shares better than the fit (R^2 0.600 against 0.500):")
    assert not told(**held, a={"in_sample": r2(0.9, 0.9), "holdout": r2(0.8, 0.5)}, b={"in_sample": None})
    assert not told(a={"in_sample": r2(0.9, 0.9)})


def test_profit_from_users_without_a_rival_is_named() -> None:
    """On tiny/two-maxima the best price keeps one user, who uses nobody else (instances/tiny/README.md)."""
    (warning,) = (one for one in po.solve("tiny/two-maxima").warnings if one.code == "captive")
    assert warning.text.startswith("100 % of the profit")
    assert "captive" not in codes(shipped("tiny/one-rival"))


def test_an_abstraction_without_a_bound_is_named() -> None:
    assert "abstracted" in codes(shipped("premium-4"), abstraction="capacity@2")
    assert "abstracted" not in codes(shipped("premium-4"), abstraction="capacity@2", certify=True)
    assert "abstracted" not in codes(shipped("tiny/kink"), abstraction="capacity@2")  # solved as it is


def test_caps_that_bind_are_named_one_by_one() -> None:
    market = replace(shipped("tiny/two-prices"), price_cap=np.array([12.0, 3.8]))  # 3.5 and 4 are best without
    (cap,) = (warning.text for warning in po.solve(market).warnings if warning.code == "cap-binds")
    assert cap.startswith("the price cap of better, 3.8, binds")


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_warnings_do_not_depend_on_the_unit_of_money(scale: float) -> None:
    for market in (mine(price_cap=[4.0]), mine(price=[1.0, 2.0]), mine()):
        money = {key: getattr(market, key) * scale for key in ("price", "value", "unit_cost", "price_cap")}
        weights = {key: getattr(market, key) * scale for key in ("congestion_weight", "delay_weight")}
        assert codes(replace(market, **money, **weights)) == codes(market)


def test_warnings_are_in_the_json_and_change_no_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_market(mine(price_cap=[4.0]), tmp_path / "mine.json")
    assert run(["solve", str(tmp_path / "mine.json"), "--json", "-"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning == {"code": "cap-binds", "text": "the price cap, 4, binds: a higher price would earn more"}
    pricer = po.Pricer(mine())
    assert pricer.result.warnings == ()
    result = pricer.update({"price_cap": 4.0})
    assert [one.code for one in result.warnings] == ["cap-binds"]
    assert result.to_dict()["warnings"] == [warning]


def of_market(market: Market) -> list[str]:
    return [one.code for one in implausible(market)]


@pytest.mark.parametrize("name", REAL)
def test_the_real_markets_look_as_they_should(name: str) -> None:
    market = shipped(name)
    assert of_market(market) == []
    assert [one.code for one in costless(market)] == ["no-unit-costs"]  # nobody knows theirs


@pytest.mark.parametrize("shape", ["uniform", "heavy", "market"])
def test_generated_markets_look_as_they_should(shape: Any) -> None:
    for seed in range(5):
        assert of_market(generate(12, 6, shape, seed)) == []


@pytest.mark.parametrize("name", ["coding-13", "roleplay-10"])
def test_a_slip_of_a_thousand_is_seen_in_real_markets(name: str) -> None:
    """Not in the others, whose delays hardly count: a thousand times as long they are like prices."""
    market = shipped(name)
    assert of_market(replace(market, delay=1000 * market.delay)) == ["delays-dominate"]
    assert of_market(replace(market, capacity=market.capacity / 1000)) == ["congestion-dominates"]
    assert of_market(replace(market, capacity=1000 * market.capacity)) == ["no-congestion"]


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        (mine(delay=1000 * mine().delay), ["delays-dominate"]),
        (mine(capacity=mine().capacity / 1000), ["congestion-dominates"]),
        (mine(capacity=mine().capacity * 1000), ["no-congestion"]),
        (mine(value=[0.0, 0.0]), ["no-values"]),
        (mine(price_cap=[0.4]), ["cap-below-cost", "today-above-cap"]),
        (mine(price_cap=[2.9]), ["today-above-cap"]),
    ],
)
def test_a_slip_is_seen_by_solve_and_validate(
    market: Market, expected: Sequence[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert of_market(market) == expected
    assert {warning.code for warning in po.solve(market).warnings} >= set(expected)
    write_market(market, tmp_path / "odd.json")
    assert run(["validate", str(tmp_path / "odd.json")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for warning in implausible(market):
        assert warning.text in said


def test_one_capacity_of_another_size_is_named_but_not_the_outside_option() -> None:
    market = shipped("premium-4")
    far = market.capacity.copy()
    far[-1] = 2000 * np.median(far)
    assert "capacity-apart" in of_market(replace(market, capacity=far))
    assert of_market(with_outside(market, -1.0)) == []


@pytest.mark.parametrize("shown", [str, lambda game: json.dumps(game.to_dict())])
def test_rivals_that_cost_nothing_are_named_by_compete(shown: Callable[[Any], str]) -> None:
    game = po.compete(mine(), starts=1)
    assert "no rival has a `unit_cost`" in shown(game)
    assert "unit_cost`:" not in shown(po.compete(mine(unit_cost=[0.4, 0.3]), starts=1))


def test_a_component_that_is_a_small_part_of_bills_is_no_sign_of_wrong_units() -> None:
    """The user is torn: 1 % more on all prices costs 0.4 % of the load, on the input alone a fraction of that."""
    market = price_list(mix=[[0.1, 0.95]])  # the unit of 2 is as dear as before
    result = result_at(market, market.current)
    assert result.context is not None
    assert -0.2 < (result.context.elasticity["own.input"] or -1.0) < 0
    assert "inelastic" not in {warning.code for warning in result.warnings}
    deaf = result_at(price_list(capacity=[0.02, 0.02]), [1.0, 2.0])
    assert "inelastic" in {warning.code for warning in deaf.warnings}


@pytest.mark.parametrize("free", [0, 1])
def test_a_component_that_is_free_today_says_nothing_of_its_list(free: int) -> None:
    prices = np.ones((2, 2))
    prices[0, free] = 0.0
    market = price_list(price=prices, mix=[[1.0, 1.0]], capacity=[0.02, 0.02])
    result = result_at(market, prices[0])
    assert "inelastic" in {warning.code for warning in result.warnings}


def test_prices_that_one_decides_are_warned_of_by_their_names() -> None:
    result = result_at(price_list(price_cap=[10.0, 2.4]), [2.1, 2.4])
    texts = {warning.code: warning.text for warning in result.warnings}
    assert texts["cap-binds"] == "the price cap of own.output, 2.4, binds: a higher price would earn more"
    assert texts["far-from-today"].startswith("2.1 for own.input is far from what was observed (2.1 times today's)")
    factor = result_at(price_list(decides="factor", price_cap=[1.5], price=[[1.0, 2.0], [9.0, 9.0]]), [1.5])
    assert "the factor cap of own, 1.5, binds: a higher factor would earn more" in {w.text for w in factor.warnings}


def test_profits_from_captive_users_are_counted_by_their_mixes() -> None:
    """The second user asks for output alone, of which the rival is too dear for it: all of its 8 comes from it."""
    market = price_list(
        user_ids=("u", "v"),
        mix=[[1.0, 0.0], [0.0, 1.0]],
        demand=[1.0, 4.0],
        delay=[[9.0, 0.0], [0.0, 9.0]],
        price=[[1.0, 2.0], [2.0, 2.0]],
        unit_cost=[[0.0, 0.0], [0.0, 0.0]],
    )
    result = result_at(market, [1.0, 2.0])
    assert result.profit == pytest.approx(8.0)
    assert any(w.code == "captive" and w.text.startswith("100 % of the profit") for w in result.warnings)


def test_a_price_that_nobody_pays_is_named() -> None:
    unbought = price_list(mix=[[1.0, 0.0]], value=[1.0, 0.0])
    (warning,) = implausible(unbought)
    assert warning.code == "nobody-buys"
    assert "no user's `mix` holds output: the price own.output changes nothing" in warning.text
    assert list(implausible(replace(unbought, decides=("input",), price_cap=np.array([10.0])))) == []
    free = {"decides": "factor", "price": [[1.0, 0.0], [2.0, 2.0]], "value": [1.0, 0.0]}
    assert [one.code for one in implausible(price_list(**free, mix=[[0.0, 1.0]]))] == ["nobody-buys"]
    assert list(implausible(price_list(**free))) == []


def test_tastes_spread_users_as_congestion_does() -> None:
    roomy = price_list(capacity=[2e5, 2e5], value=[1.0, 0.0])
    assert of_market(roomy) == ["no-congestion"]
    assert of_market(replace(roomy, dispersion=np.array([1e-3]))) == ["no-congestion"]
    assert of_market(replace(roomy, dispersion=np.array([1.0]))) == []
    assert of_market(replace(roomy, dispersion=np.array([1.0]), congestion_weight=np.zeros(1))) == []


@pytest.mark.parametrize("decides", ["components", "factor"])
def test_a_slip_is_seen_in_price_lists(decides: str) -> None:
    """Today's list comes to 2 a unit."""
    market = price_list(decides=decides, value=[1.0, 0.0], delay=[[0.0, 0.5]])
    assert of_market(market) == []
    assert of_market(replace(market, delay=1000 * market.delay)) == ["delays-dominate"]
    assert of_market(replace(market, capacity=market.capacity / 1000)) == ["congestion-dominates"]
    assert of_market(replace(market, price_cap=0.9 * market.current)) == ["today-above-cap"] * len(market.decisions)
