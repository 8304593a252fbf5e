"""The users' equilibrium as it is shown: prices by name, also of components and factors, and what is billed."""

from __future__ import annotations

import json
from typing import Any

import pytest

import prillm_or as po
from helpers.sold import price_list, sold


@pytest.mark.parametrize(
    "prices",
    [
        {"own.input": 1.5, "own.output": 3.0},
        {"own": {"input": 1.5, "output": 3.0}},
        {"own": {"output": 3.0}, "own.input": 1.5},
    ],
)
def test_prices_of_components_by_hand(prices: dict[str, Any]) -> None:
    state = po.equilibrium(price_list(), prices)  # P = 3, x = 2
    assert state.loads["own"] == pytest.approx(2.0)
    assert state.billed.loc["own"].to_dict() == {"input": pytest.approx(2.0), "output": pytest.approx(1.0)}
    assert state.profit == pytest.approx(2 * 1.25 + 1 * 2.5)
    document = state.to_dict()
    assert document["prices"] == {"own": {"input": 1.5, "output": 3.0}, "rival": {"input": 2.0, "output": 2.0}}
    assert list(document)[1:4] == ["prices", "loads", "billed"]


def test_a_number_is_the_price_of_all_components_and_a_factor_where_one_is_decided() -> None:
    assert po.equilibrium(price_list(), {"own": 2.0}).loads["own"] == pytest.approx(2.0)  # P = 3
    state = po.equilibrium(price_list(decides="factor"), {"own": 1.5, "rival.output": 4.0})
    assert state.loads["own"] == pytest.approx(2.5)  # both a unit dearer than today
    document = state.to_dict()
    assert (document["factors"], document["prices"]["own"]) == ({"own": 1.5}, {"input": 1.5, "output": 3.0})


def test_an_id_with_a_dot_goes_before_a_component() -> None:
    market = price_list(provider_ids=("own", "own.input"), leader=("own",))
    state = po.equilibrium(market, {"own.input": 4.0, "own.input.output": 2.0})
    assert state.to_dict()["prices"] == {
        "own": {"input": 1.0, "output": 2.0},
        "own.input": {"input": 4.0, "output": 2.0},
    }


@pytest.mark.parametrize(
    ("decides", "prices", "says"),
    [
        ("components", {"own.imput": 1.0}, "no component is called 'imput'; did you mean \"input\"?"),
        ("components", {"onw.input": 1.0}, "no provider has the id 'onw.input'"),
        ("components", {"own.input": -1.0}, "expected a finite number >= 0, got -1.0 for 'own.input'"),
        ("components", {"own": {"input": "dear"}}, "expected a finite number >= 0, got 'dear' for 'own.input'"),
        ("factor", {"own.input": 1.0}, "a factor of the list of own, not its prices; give own=FACTOR"),
    ],
)
def test_what_cannot_be_a_price(decides: str, prices: dict[str, Any], says: str) -> None:
    with pytest.raises(po.ArgumentError) as refusal:
        po.equilibrium(price_list(decides=decides), prices)
    assert says in refusal.value.message


def test_a_component_without_a_price_today_is_named() -> None:
    market = price_list(price=[[1.0, float("nan")], [2.0, 2.0]])
    with pytest.raises(po.CombinationError, match=r"no price today for own\.output"):
        po.equilibrium(market)
    assert po.equilibrium(market, {"own.output": 2.0}).loads["own"] == pytest.approx(2.5)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_mixes_and_counts_are_shown_where_users_differ(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    state = po.equilibrium(sold(8, decides=("output",), congested=False))
    lines = str(state).splitlines()
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert "billed" in text
    assert "congestion" not in text  # no load congests anybody
    if width == 120:
        assert all(word in text for word in ("count", "mix", "output price", "cached 23.1, output 2.08, input 1.72"))
    alike = str(po.equilibrium(price_list()))
    assert "mix" not in alike
    assert "count" not in alike
    json.dumps(state.to_dict(), allow_nan=False)
