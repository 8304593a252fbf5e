"""What a page of a market holds: exact between its prices, the largest named, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.answers import profit_at
from helpers.explorer import explored
from helpers.markets import draw_market, shipped
from helpers.sold import sold
from prillm_or.cli import run
from prillm_or.curves.profit_curve import curve
from prillm_or.errors import CombinationError
from prillm_or.explanation.derive import explain_price
from prillm_or.explanation.explanation import Explanation
from prillm_or.files.markets import write_market
from prillm_or.market.decisions import all_prices, decision_costs
from prillm_or.report.explorer_data import Movement, document, movement
from prillm_or.report.explorer_slices import decision_slices
from prillm_or.solving.recheck import decided_in
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at

ROOM = 250_000


def test_between_its_prices_everything_is_linear(kind: str) -> None:
    market = draw_market(kind, 9, 6, 3)
    moved = movement(market, explain_price(market), ROOM)
    shown = np.ix_(moved.users.named, moved.providers.named)
    assert moved.flow.shape == (len(moved.price), 9, 6)
    for k in range(len(moved.price) - 1):
        low, high = moved.price[k : k + 2]
        load, flow = ((values[k] + values[k + 1]) / 2 for values in (moved.load, moved.flow))
        found = equilibrium_at(market, [(low + high) / 2])
        np.testing.assert_allclose(load, found.load[market.leader[0]], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(flow, found.flow[shown], atol=1e-9 * market.demand.max())


@pytest.mark.parametrize("seed", range(6))
def test_what_price_lists_earn_is_linear_in_parts(seed: int) -> None:
    market = sold(seed, 5, 4, decides="factor" if seed % 2 else ("output",))
    explanation = explain_price(market)
    moved = movement(market, explanation, ROOM)
    for k in range(len(moved.price) - 1):
        value = float(moved.price[k : k + 2].mean())
        volume, rest = (float(amounts[k : k + 2].mean()) for amounts in (moved.sold, moved.rest))
        earned = (value - explanation.marginal_cost) * volume + rest
        assert earned == pytest.approx(profit_at(market, [value]), abs=1e-9 * max(explanation.profit, 1.0))
    shown = document(market, explanation, moved)
    assert (len(shown["sold"]), len(shown["rest"])) == (len(moved.price), len(moved.price))
    names, fixed, slopes = zip(*shown["providers"][0]["price"], strict=True)
    assert names == market.components
    at_two = np.array(fixed) + 2 * np.array(slopes)
    assert at_two == pytest.approx(all_prices(market, [2.0])[market.leader[0]])


def test_with_little_room_the_largest_are_named_and_the_rest_is_one() -> None:
    market = draw_market("uniform", 30, 12, 1)
    explanation = explain_price(market)
    whole = movement(market, explanation, ROOM)
    moved = movement(market, explanation, 100 * len(whole.price))
    users, providers = moved.users, moved.providers
    assert (len(users.named), len(users.others), len(providers.named), len(providers.others)) == (5, 25, 6, 6)
    np.testing.assert_allclose(moved.flow.sum(axis=1)[:, 0], moved.load, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(moved.flow.sum(axis=(1, 2)), market.demand.sum(), rtol=1e-12)
    np.testing.assert_array_equal(moved.load, whole.load)
    assert _uses_leader(whole) >= _uses_leader(moved)
    assert _uses_leader(moved) == set(users.named)  # they are named first
    shown = document(market, explanation, moved)
    demand = pytest.approx(market.demand[list(users.others)].sum())
    assert shown["users"][-1] == {"name": "25 other users", "demand": demand, "named": False}
    assert shown["providers"][-1] == {"name": "6 other rivals", "named": False, "price": None, "capacity": None}


def _uses_leader(moved: Movement) -> set[int]:
    return {i for place, i in enumerate(moved.users.named) if moved.flow[:, place, 0].max() > 1e-9}


def test_too_many_pieces_are_refused() -> None:
    one = explored(shipped("coding-13"))
    assert isinstance(one.explanation, Explanation)
    pieces = len(curve(one.market).pieces)
    with pytest.raises(CombinationError, match=f"{pieces} pieces, too many for a page"):
        movement(one.market, one.explanation, 100)


@pytest.mark.parametrize("decides", ["plain", "factor", "components"])
def test_every_slice_is_exact_with_the_others_where_it_says(decides: str) -> None:
    market = sold(10, 4, 4, leaders=1 if decides == "components" else 2, decides=decides, own_weights=False)
    result = solve(market)
    best = decided_in(market, result)
    slices = decision_slices(market, best, [1.0] * len(market.rivals), ROOM)
    assert [(one.base, one.decision) for one in slices] == [(base, k) for base in ("best", "today") for k in (0, 1)]
    own, cost = list(market.leader), decision_costs(market)
    for one in slices:
        moved, shown = one.moved, one.document(market)
        base = dict(shown["others"])
        assert list(base) == [decision.name for decision in market.decisions]
        wanted = best if one.base == "best" else market.today
        assert list(base.values()) == pytest.approx(list(wanted if wanted is not None else []))
        assert shown["best"] in shown["price"]
        for k in range(len(moved.price) - 1):
            decisions = np.array(list(base.values()))
            decisions[one.decision] = value = float(moved.price[k : k + 2].mean())
            found = equilibrium_at(market, decisions)
            load, volume, rest = (float(part[k : k + 2].mean()) for part in (moved.load, moved.sold, moved.rest))
            assert load == pytest.approx(found.load[own].sum(), abs=1e-9 * market.demand.sum())
            earned = (value - cost[one.decision]) * volume + rest
            assert earned == pytest.approx(profit_at(market, decisions), abs=1e-9 * result.profit)
    names = [provider["name"] for provider in slices[0].document(market)["providers"]]
    assert names[: len(own)] == list(market.leader_ids)


def test_without_prices_of_today_slices_are_those_of_the_best() -> None:
    market = shipped("tiny/two-prices")
    for other in (replace(market, price=np.array([np.nan, 3.0, 3.0])), replace(market, price_cap=np.array([2.0, 9.0]))):
        best = decided_in(other, solve(other))
        assert [one.base for one in decision_slices(other, best, [1.0], ROOM)] == ["best", "best"]


def test_the_command_writes_the_page_or_says_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "page.html"
    assert run(["page", "tiny/kink", "tiny/two-prices", "--out", str(out)]) == 0
    assert capsys.readouterr().out.split() == ["written:", str(out)]
    text = out.read_text(encoding="utf-8")
    assert text.count("<article") == 2
    write_market(replace(shipped("tiny/kink"), name="mine"), tmp_path / "mine.json")
    assert run(["page", str(tmp_path / "mine.json"), "--out", str(out)]) == 0
    assert "Price explorer: mine" in out.read_text(encoding="utf-8")
    assert run(["page", "tiny/kink", "--outside", "-0.5", "--out", str(out)]) == 0
    assert "outside is a rival of value -0.5" in out.read_text(encoding="utf-8")
    before = out.read_bytes()
    for instances, target, said in (
        (["nothing-like-it"], out, "there is none of that name"),
        (["tiny/kink"], tmp_path / "page.htm", "ends in .html"),
        (["tiny/kink"], tmp_path / "none" / "page.html", "does not exist"),
    ):
        assert run(["page", *instances, "--out", str(target)]) == 2
        assert said in capsys.readouterr().err
    assert out.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "page.html"]
