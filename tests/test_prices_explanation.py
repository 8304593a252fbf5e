"""Why several decisions: against answers by hand, finite differences of equilibria, and the market solved anew."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import prillm_or as po
from helpers.answers import profit_at, result_at
from helpers.markets import draw_market, shipped
from helpers.sold import price_list, sold
from prillm_or.cli import run
from prillm_or.errors import CombinationError
from prillm_or.explanation.derive_prices import explain_prices
from prillm_or.explanation.explanation import State
from prillm_or.explanation.prices_explanation import PricesExplanation, Relation
from prillm_or.explanation.prices_words import sentences_of_prices
from prillm_or.market.market import Market
from prillm_or.output.look import letters
from prillm_or.output.tables import as_text
from prillm_or.solvers.ascent import ascend
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem

STEP = 1e-5


def test_two_substitutes_by_hand() -> None:
    """See tiny/README.md: lambda = (6 + p1 + p2)/3, loads lambda - p1 = 1 and lambda - p2 + 1 = 3/2 at 7/2 and 4."""
    found = explain_prices(shipped("tiny/two-prices"))
    assert found.prices == pytest.approx({"plain": 3.5, "better": 4.0})
    # Loads fall by 2/3 with their own price and rise by 1/3 with the other's.
    by_hand = {
        ("plain", "plain"): -3.5 * (2 / 3) / 1,
        ("plain", "better"): 4 * (1 / 3) / 1,
        ("better", "plain"): 3.5 * (1 / 3) / 1.5,
        ("better", "better"): -4 * (2 / 3) / 1.5,
    }
    for (of, by), e in by_hand.items():
        sides = found.elasticities[of][by]
        assert (sides.left, sides.right) == pytest.approx((e, e))
    (pair,) = found.pairs
    assert (pair.decisions, pair.relation) == (("plain", "better"), Relation.SUBSTITUTES)
    # The load of `plain`, (10 - 2 p1)/3 with the other at 4, is 0 at 5; that of `better`, (12.5 - 2 p2)/3, at 6.25.
    (user,) = found.users
    assert user.state == State.SHARED
    leaves = {name: turn.leaves_at for name, turn in user.along.items()}
    assert leaves == pytest.approx({"plain": 5.0, "better": 6.25})
    # With a demand of D the best sum of prices is D + 7/2, each half as much more: 4.04 gives 3.52 and 4.02.
    level = (4.04 + 2 + 7.54) / 3
    profit = 3.52 * (level - 3.52) + 4.02 * (level - 4.02 + 1)
    assert user.price_effect is not None
    assert user.profit_effect is not None
    assert user.price_effect["demand"] == pytest.approx({"plain": 0.02, "better": 0.02})
    assert user.profit_effect["demand"] == pytest.approx(profit - 9.5)
    assert found.one_of_many == ()
    # 1 % more of `plain`: p1 = 3.535 takes 0.035 * 2/3 from its load and brings half of that to the other.
    (plain, better) = found.decisions
    assert plain.higher.billed == pytest.approx({"plain": -0.07 / 3, "better": 0.035 / 3})
    assert plain.higher.profit == pytest.approx(3.535 * (1 - 0.07 / 3) + 4 * (1.5 + 0.035 / 3) - 9.5)
    assert (better.cap, better.cap_binds, better.kink) == (10.0, False, ())


def test_two_complements_by_hand() -> None:
    """One user pays P = y1 + y2 / 2 and has (7 - P) / 2; at (1.875, 3.75) P is 3.75, the volume 1.625."""
    found = explain_prices(price_list())
    assert found.billed is not None
    assert found.billed["own"] == pytest.approx({"input": 1.625, "output": 0.8125})
    # Both bill the same volume, by 1 and 1/2: y1 adds -1/2 a unit to it, y2 -1/4; 1.875 / 2 = 3.75 / 4.
    for row in found.elasticities.values():
        for sides in row.values():
            assert (sides.left, sides.right) == pytest.approx((-0.9375 / 1.625, -0.9375 / 1.625))
    assert found.pairs[0].relation == Relation.COMPLEMENTS
    (many,) = found.one_of_many
    (direction,) = many.directions
    assert direction["own.output"] == pytest.approx(-2 * direction["own.input"])
    assert many.ranges == {"own.input": pytest.approx((0.0, 3.75)), "own.output": pytest.approx((0.0, 7.5))}
    said = " ".join(sentences_of_prices(found))
    assert "Complements: with own.input 1 % higher the billed volume of own.output changes by -0.577 %" in said
    assert "with own.input 1 higher and own.output 2 lower nobody pays more or less" in said


def told(name: str, folder: Path) -> dict[str, Any]:
    out = folder / "why.json"
    assert run(["explain", name, "--json", str(out)]) == 0
    document: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return document


def test_two_prices_of_a_shipped_market_beside_equilibria(tmp_path: Path) -> None:
    document = told("premium-4-two-prices", tmp_path)
    market, prices = po.load("premium-4-two-prices"), document["prices"]
    opus, sonnet = "claude-opus-4.8", "claude-sonnet-4.6"
    here = po.equilibrium(market, prices).to_dict()["loads"]
    more = po.equilibrium(market, prices | {opus: prices[opus] * (1 + STEP)}).to_dict()["loads"]
    less = po.equilibrium(market, prices | {opus: prices[opus] * (1 - STEP)}).to_dict()["loads"]
    # (load at 1.00001 p - load at p) / (1e-5 load)
    cross, own = document["elasticities"][sonnet][opus], document["elasticities"][opus][opus]
    assert cross["right"] == pytest.approx((more[sonnet] - here[sonnet]) / (STEP * here[sonnet]), rel=1e-6)
    assert cross["left"] == pytest.approx((here[sonnet] - less[sonnet]) / (STEP * here[sonnet]), rel=1e-6)
    assert own["right"] == pytest.approx((more[opus] - here[opus]) / (STEP * here[opus]), rel=1e-6)
    assert own["left"] == pytest.approx((here[opus] - less[opus]) / (STEP * here[opus]), rel=1e-6)
    assert (cross["right"] > 0, own["right"] < 0) == (True, True)
    assert document["pairs"] == [{"decisions": [opus, sonnet], "relation": "substitutes"}]
    assert document["decisions"][1]["cap_binds"] is True


def test_a_price_list_of_a_shipped_market_beside_equilibria(tmp_path: Path) -> None:
    """Over two seconds: it is solved by `branch` first, as the command does."""
    document = told("premium-4-lists", tmp_path)
    market, prices = po.load("premium-4-lists"), document["prices"]["gpt-5.5"]

    def billed(factor: float) -> dict[str, float]:
        moved = {"gpt-5.5": prices | {"input": prices["input"] * factor}}
        billed: dict[str, float] = po.equilibrium(market, moved).to_dict()["billed"]["gpt-5.5"]
        return billed

    here, more = billed(1.0), billed(1 + STEP)
    for of in ("input", "output"):
        # (billed at 1.00001 p - billed at p) / (1e-5 billed)
        e = (more[of] - here[of]) / (STEP * here[of])
        assert document["elasticities"][f"gpt-5.5.{of}"]["gpt-5.5.input"]["right"] == pytest.approx(e, rel=1e-6)
        assert e < 0
    relations = {tuple(pair["decisions"]): pair["relation"] for pair in document["pairs"]}
    assert relations["gpt-5.5.input", "gpt-5.5.output"] == "complements"


def markets() -> list[Market]:
    return [
        draw_market("common", 6, 5, 3, leaders=2),
        sold(3, n=6, m=4, leaders=2, decides="plain"),
        sold(4, n=5, m=4, leaders=1, decides="components"),
        sold(8, n=5, m=5, leaders=2, decides="factor"),
    ]


def at_some(market: Market) -> tuple[np.ndarray[Any, Any], PricesExplanation]:
    """Decisions that a climb finds, explained."""
    best = ascend(market, user_problem(market), [market.price_cap / 3])
    assert best.prices is not None
    return best.prices, explain_prices(market, result_at(market, best.prices))


@pytest.mark.parametrize("which", range(4))
def test_elasticities_effects_and_turns_are_those_of_equilibria(which: int) -> None:
    market = markets()[which]
    at, found = at_some(market)
    here = equilibrium_at(market, at)
    assert found.profit == pytest.approx(profit_at(market, at))
    for b, part in enumerate(found.decisions):
        for sign, side in ((1, "right"), (-1, "left")):
            step = at.copy()
            step[b] *= 1 + sign * 1e-7
            there = equilibrium_at(market, step)
            for a, row in enumerate(found.elasticities.values()):
                e = getattr(row[part.name], side)
                if e is not None and here.by_decision[a] > 0:
                    numeric = sign * (there.by_decision[a] - here.by_decision[a]) / (1e-7 * here.by_decision[a])
                    assert e == pytest.approx(numeric, rel=1e-4, abs=1e-5)
            step[b] = at[b] * (1 + sign * 0.01)
            change = part.higher if sign > 0 else part.lower
            assert change.profit == pytest.approx(profit_at(market, step) - found.profit, rel=1e-6, abs=1e-9)
        j = market.decisions[b].provider
        for i, user in enumerate(found.users):
            turn = user.along[part.name]
            for value in filter(None, (turn.leaves_at, turn.joins_at)):
                step = at.copy()
                step[b] = value * (1 - 1e-6)
                assert equilibrium_at(market, step).flow[i, j] > 0
                step[b] = value * (1 + 1e-6)
                assert equilibrium_at(market, step).flow[i, j] == 0


@pytest.mark.parametrize("which", [0, 2])
def test_effects_are_those_of_the_changed_market(which: int) -> None:
    market = markets()[which]
    at, found = at_some(market)
    demand = market.demand.copy()
    demand[1] *= 1.01
    changed = replace(market, demand=demand)
    best = ascend(changed, user_problem(changed), [at])
    effect = found.users[1].profit_effect
    assert effect is not None
    assert effect["demand"] == pytest.approx(best.profit - found.profit, rel=1e-6, abs=1e-9)
    assert set(found.rivals[0].price_effect or {}) == {"price", "capacity", "value"}
    assert set((found.rivals[0].price_effect or {})["price"]) == {part.name for part in found.decisions}


def test_every_two_decisions_are_a_pair_and_tables_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    market = draw_market("common", 5, 6, 2, leaders=3)
    names = tuple(f"a-service-whose-name-is-rather-long-{j}" for j in range(market.m))
    market = replace(market, provider_ids=names)
    found = explain_prices(market, result_at(market, np.full(3, 0.8)))
    own = [decision.name for decision in market.decisions]
    assert {pair.decisions for pair in found.pairs} == set(combinations(own, 2))
    monkeypatch.setenv("COLUMNS", "80")
    lines = as_text(found.parts()).splitlines()
    assert max(map(letters, lines)) <= 80
    assert any(line.startswith("hidden for want of width") for line in lines)
    assert all(name in found.to_dict()["elasticities"][own[0]] for name in own)


def test_what_is_not_the_best_is_called_so() -> None:
    market = shipped("tiny/two-prices")
    said = " ".join(sentences_of_prices(explain_prices(market, result_at(market, [3.0, 4.0]))))
    assert "1 % more of it alone would bring" in said


def test_a_result_of_another_market_or_beyond_a_cap_is_refused() -> None:
    market = shipped("tiny/two-prices")
    result = po.solve(market)
    with pytest.raises(CombinationError, match=r"has a price of step-3\.7-flash, not of plain, better"):
        po.explain(market, po.solve("coding-13"))
    beyond = replace(result, prices={"plain": 3.5, "better": 10.1})
    with pytest.raises(CombinationError, match=r"price of better 10\.1 is not between 0 and the cap 10"):
        po.explain(market, beyond)


def test_it_becomes_a_frame_and_a_picture(tmp_path: Path) -> None:
    found = po.explain("tiny/two-prices")
    assert isinstance(found, po.PricesExplanation)
    frame = found.to_frame()
    assert frame.loc["plain", "elasticity_better"] == pytest.approx(4 / 3)
    assert found.plot(Figure().add_subplot()).get_xlabel().startswith("change of the best profit")
    assert run(["explain", "tiny/price-list", "--plot", str(tmp_path / "why.svg")]) == 0
    assert "price of rival" in (tmp_path / "why.svg").read_text(encoding="utf-8")
