"""What a result says to do: the price to move, what that brings, how far it is proven, how the load answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import prillm_or as po
from helpers.answers import result_at
from helpers.markets import make_market, shipped
from helpers.sold import price_list
from prillm_or.market.fit_note import FitNote
from prillm_or.market.market import Units
from prillm_or.output.advice import sentences
from prillm_or.output.tables import as_text
from prillm_or.result import Result, Status, result_from_json, results_parts


def said(result: Result) -> list[str]:
    return list(sentences(result))


def kink(today: float) -> Result:
    """lead's load at price p is 4 - p/2 up to 3, then 2.5 - 0.9 (p - 3); 3 earns 7.5 (instances/tiny/README.md)."""
    market = shipped("tiny/kink")
    price = market.price.copy()
    price[list(market.leader)] = today
    return po.solve(replace(market, price=price, units=Units("EUR", "kWh", "s", "day")))


def test_a_price_is_raised_from_what_to_what() -> None:
    assert said(kink(2.0))[:4] == [
        "Raise the price of lead from 2 to 3 (+50 %; EUR per kWh).",
        "Its profit rises from 6 to 7.5 (+25 %; EUR a day), its load falls from 3 to 2.5 (-16.7 %; kWh a day).",
        f"No price up to the cap of 10 earns more: proven, to a gap of {kink(2.0).gap:.2g}.",
        "At today's price, 1 % more costs 0.333 % of the load.",
    ]


def test_a_price_is_lowered_or_kept_or_set() -> None:
    assert said(kink(4.0))[0] == "Lower the price of lead from 4 to 3 (-25 %; EUR per kWh)."
    assert said(kink(3.0))[:2] == [
        "Keep the price of lead at 3 (EUR per kWh).",
        "Its profit stays at 7.5 (EUR a day), its load stays at 2.5 (kWh a day).",
    ]
    assert said(kink(np.nan))[:2] == [
        "Set the price of lead to 3 (EUR per kWh).",
        "Its profit is then 7.5 (EUR a day), its load 2.5 (kWh a day).",
    ]


def test_a_small_change_is_told_with_the_digits_it_takes() -> None:
    assert said(kink(3.0003))[0] == "Lower the price of lead from 3.0003 to 3 (-0.01 %; EUR per kWh)."


def test_without_units_there_are_none() -> None:
    text = str(po.solve("tiny/kink"))
    assert "currency per volume unit" in " ".join(text.split())
    assert "USD" not in text
    assert "token" not in text


def test_several_prices_are_told_together() -> None:
    market = replace(shipped("tiny/two-prices"), units=Units("EUR", "kWh", "s", "day"))
    move, brings, proof, answers = said(po.solve(market, solver="ascent"))[:4]
    assert (
        move
        == "Raise the price of plain from 3 to 3.5 (+16.7 %); raise the price of better from 3 to 4 (+33.3 %); all in "
        "EUR per kWh."
    )
    assert brings.startswith("Together their profit rises from 9 to 9.5 (+5.56 %;")
    assert proof == "Whether another price earns more is not proven: this method gives no bound."
    assert answers == "At today's prices, 1 % more on one alone costs of its load: plain 2 %, better 1 %."


def test_what_the_data_leave_open_comes_before_the_price_of_the_fit() -> None:
    market = replace(shipped("tiny/kink"), fit=FitNote((-2.0, -0.4), {"lead": (2.0, 5.0)}))
    first, second, *others = said(po.solve(market))
    assert first == (
        "Try prices, do not settle on one: the data leave the best price of lead open, any from 2 to 5 may be it (own "
        "elasticity -2 to -0.4)."
    )
    assert second.startswith("By the fit alone: raise the price of lead from 1 to 3 (+200 %")
    assert not any("the data leave" in line for line in others)


@pytest.mark.parametrize(
    ("changes", "proof"),
    [
        (
            {"status": Status.FEASIBLE, "upper_bound": 9.0, "gap": 0.2},
            "No price up to the cap of 10 earns more than 9, 20 % more; the best may lie between.",
        ),
        (
            {"status": Status.TIME_LIMIT, "upper_bound": 9.0, "gap": 0.2},
            "The time limit came first: no price up to the cap of 10 earns more than 9, 20 % more; the best may lie "
            "between.",
        ),
        (
            {"status": Status.HEURISTIC, "upper_bound": None, "gap": None},
            "Whether another price earns more is not proven: this method gives no bound.",
        ),
    ],
)
def test_an_open_gap_is_no_proof(changes: dict[str, object], proof: str) -> None:
    assert proof in said(replace(kink(2.0), **changes))  # type: ignore[arg-type]


def test_a_price_worse_than_todays_is_not_recommended() -> None:
    worse = replace(kink(2.0), status=Status.HEURISTIC, upper_bound=None, gap=None, profit=5.0)
    assert said(worse)[0] == "Keep today's prices: what was found so far earns less."
    assert not any("Raise" in line for line in said(worse))


def test_a_failed_run_recommends_nothing() -> None:
    failed = said(replace(kink(2.0), status=Status.ERROR))
    assert failed[0] == "The run failed: do not act on this price."
    assert not any("proven" in line or "Raise" in line for line in failed)


def test_a_result_from_a_file_says_what_the_file_holds() -> None:
    result = kink(2.0)
    again = said(result_from_json(json.loads(json.dumps(result.to_dict()))))
    assert again[:2] == [
        "Raise the price of lead from 2 to 3 (+50 %).",
        "Its profit rises from 6 to 7.5 (+25 %), its load 2.5.",
    ]


def test_the_price_of_a_component_is_named_with_its_provider() -> None:
    units = Units("EUR", "kWh", "s", "day")
    assert said(result_at(price_list(units=units), [1.0, 3.0]))[:2] == [
        "Keep the input price of own at 1; raise the output price of own from 2 to 3 (+50 %); all in EUR per kWh.",
        "Its profit rises from 3.75 to 4.5 (+20 %; EUR a day), its load falls from 2.5 to 2.25 (-10 %; kWh a day).",
    ]
    one = said(result_at(price_list(decides=("output",), units=units), [3.0]))
    assert one[0] == "Raise the output price of own from 2 to 3 (+50 %; EUR per kWh)."
    # x = (7 - P) / 2 and P = 1 + y / 2: the output billed, x / 2, falls by 1/8 a unit of y from 1.25 at y = 2.
    assert one[3] == "At today's output price of own, 1 % more costs 0.2 % of the billed volume."


def test_a_factor_is_told_with_the_prices_that_it_makes() -> None:
    units = Units("EUR", "kWh", "s", "day")
    lines = said(result_at(price_list(decides="factor", units=units), [1.5]))
    assert lines[0] == "Multiply all prices of own by 1.5: input from 1 to 1.5, output from 2 to 3 (EUR per kWh)."
    # P = 2 y: sales at today's prices, 2 x = 7 - 2 y, are 5 at y = 1 and fall by 2.
    assert lines[3] == "At today's prices, 1 % more costs 0.4 % of the sales, counted at today's prices."
    assert said(result_at(price_list(decides="factor"), [1.0]))[0] == (
        "Keep all prices of own as they are, a factor of 1 (currency per volume unit)."
    )
    single = said(result_at(make_market(decides="factor"), [1.5]))
    assert single[0] == "Multiply the price of p1 by 1.5: from 1 to 1.5 (currency per volume unit)."


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("decides", ["components", "factor"])
def test_lists_of_prices_fit_every_width(width: int, decides: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    results = [result_at(price_list(decides=decides), [1.5] * (2 if decides == "components" else 1))]
    for parts in (results_parts(results), results_parts(results * 2)):
        lines = as_text(parts).splitlines()
        assert max(map(len, lines)) <= width
        assert any("own" in line for line in lines)
    assert "input 1.5, output" in " ".join(str(results[0]).split())
