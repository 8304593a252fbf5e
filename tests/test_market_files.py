"""Files of markets: what is read, what is written, and that both agree."""

from __future__ import annotations

import gzip
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.commands import imported_by
from helpers.equality import assert_same
from helpers.market_files import refusal, valid, written
from helpers.markets import make_market
from helpers.sold import sold
from prillm_or.errors import MarketError, PrillmError
from prillm_or.files.markets import read_market, write_market
from prillm_or.market.changes import apply
from prillm_or.market.fit_note import FitNote
from prillm_or.market.market import Market, Units
from prillm_or.market.outside import with_outside
from prillm_or.market.schema import instance_schema

ROOT = Path(__file__).parent.parent


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    file = read_market(written(tmp_path, valid()))
    market = file.market
    assert file.path == tmp_path / "market.json"
    assert (market.name, market.description, market.units) == (
        "fault",
        "",
        Units("currency", "volume unit", "delay unit", "period"),
    )
    assert market.value.tolist() == [0.0, -1.0, 0.0]
    assert market.unit_cost.tolist() == [0.0, 0.0, 0.5]
    assert market.price_weight.tolist() == market.congestion_weight.tolist() == market.delay_weight.tolist() == [1, 1]
    assert market.leader == (0,)
    assert market.price_cap.tolist() == [9.0]
    assert market.plain
    assert market.count.tolist() == [1, 1]
    assert market.pair_dispersion.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert market.user_values.size == market.mix.size == 0
    assert market.fit is None


def test_own_weights_override_the_markets_key_by_key(tmp_path: Path) -> None:
    document = valid() | {"weights": {"congestion": 2, "delay": 0}}
    document["users"][1]["weights"] = {"congestion": 3, "price": 5}
    market = read_market(written(tmp_path, document)).market
    assert market.price_weight.tolist() == [1.0, 5.0]
    assert market.congestion_weight.tolist() == [2.0, 3.0]
    assert market.delay_weight.tolist() == [0.0, 0.0]


def test_caps_follow_the_order_of_the_leaders_providers(tmp_path: Path) -> None:
    document = valid() | {"leader": {"providers": ["c", "a"], "price_cap": {"a": 1, "c": 2}}}
    market = read_market(written(tmp_path, document)).market
    assert market.leader == (2, 0)
    assert market.price_cap.tolist() == [2.0, 1.0]


def test_a_leaders_price_may_be_absent_or_above_the_cap(tmp_path: Path) -> None:
    document = valid()
    document["providers"][0]["price"] = 90
    today = read_market(written(tmp_path, document)).market.today
    assert today is not None
    assert today.tolist() == [90.0]
    del document["providers"][0]["price"]
    assert read_market(written(tmp_path, document)).market.today is None


def test_a_large_market_is_read_quickly(tmp_path: Path) -> None:
    n, m = 2000, 200
    document = valid()
    document["users"] = [{"id": f"u{i}", "demand": 1.5} for i in range(n)]
    document["providers"] += [{"id": f"p{j}", "price": 1, "capacity": 1} for j in range(m - 3)]
    document["delays"] = np.random.default_rng(0).random((n, m)).tolist()
    path = written(tmp_path, document)
    start = time.process_time()
    assert read_market(path).market.delay.shape == (n, m)
    assert time.process_time() - start < 2.0


def listed() -> dict[str, Any]:
    """The valid market with two components."""
    document = valid() | {"components": ["input", "output"]}
    for user in document["users"]:
        user["mix"] = {"output": 0.25}
    return document


def test_prices_and_costs_are_of_all_components_or_of_each(tmp_path: Path) -> None:
    document = listed()
    document["providers"][0] |= {"price": {"output": 4, "input": 1}, "unit_cost": 0.5}
    document["providers"][1] |= {"unit_cost": {"output": 0.25, "input": 0}}
    market = read_market(written(tmp_path, document)).market
    assert market.components == ("input", "output")
    assert market.price.tolist() == [[1, 4], [2, 2], [1, 1]]
    assert market.unit_cost.tolist() == [[0.5, 0.5], [0, 0.25], [0.5, 0.5]]
    assert market.mix.tolist() == [[0, 0.25], [0, 0.25]]
    assert [decision.name for decision in market.decisions] == ["a.input", "a.output"]


@pytest.mark.parametrize(
    ("decides", "price", "today"),
    [
        ("components", None, None),
        ("components", {"input": 1}, None),
        ("components", {"input": 1, "output": 2}, [1, 2]),
        (["output", "input"], None, None),
        (["output"], {"input": 1}, None),
        (["output"], {"input": 1, "output": 2}, [2]),
        ("factor", {"input": 1, "output": 2}, [1]),
        ("factor", 3, [1]),
    ],
)
def test_what_is_decided_may_have_no_price_today(tmp_path: Path, decides: Any, price: Any, today: Any) -> None:
    document = listed()
    document["leader"]["decides"] = decides
    document["providers"][0]["price"] = price
    if price is None:
        del document["providers"][0]["price"]
    market = read_market(written(tmp_path, document)).market
    assert (None if market.today is None else market.today.tolist()) == today


@pytest.mark.parametrize(
    ("decides", "given", "caps"),
    [
        ("components", 9, [9, 9, 9, 9]),
        ("components", {"a": 8, "c": {"output": 7, "input": 6}}, [6, 7, 8, 8]),
        (["output"], {"a": {"output": 5}, "c": 4}, [4, 5]),
        ("factor", {"a": 2, "c": 1.5}, [1.5, 2]),
    ],
)
def test_caps_are_by_provider_and_component(tmp_path: Path, decides: Any, given: Any, caps: list[float]) -> None:
    leader = {"providers": ["c", "a"], "decides": decides, "price_cap": given}
    assert read_market(written(tmp_path, listed() | {"leader": leader})).market.price_cap.tolist() == caps


def test_crowds_tastes_and_own_values(tmp_path: Path) -> None:
    document = valid() | {"dispersion": 0.5, "weights": {"congestion": 0}}
    document["users"][0] |= {"count": 1e9, "values": {"c": -2}}
    document["users"][1] |= {"dispersion": 2}
    for provider in document["providers"]:
        del provider["capacity"]
    document["providers"][2]["dispersion"] = 3
    market = read_market(written(tmp_path, document)).market
    assert market.count.tolist() == [1e9, 1]
    assert market.pair_dispersion.tolist() == [[0.5, 0.5, 1.5], [2, 2, 6]]
    assert market.worth.tolist() == [[0, -1, -2], [0, -1, 0]]
    assert not market.congested


def test_what_a_fit_left_open_goes_with_the_market(tmp_path: Path) -> None:
    scores = {"smooth": {"rmse": 0.25, "events": None}}
    fit = {"elasticity_range": [-3.0, -1.0], "best_price_range": [2, 2.5], "scores": scores}
    market = read_market(written(tmp_path, valid() | {"fit": fit})).market
    assert market.fit == FitNote((-3.0, -1.0), {"a": (2.0, 2.5)}, scores)
    write_market(market, tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text())["fit"] == fit
    assert_same(read_market(tmp_path / "again.json").market, market)


def test_best_prices_of_a_fit_are_those_of_the_market_that_was_fitted(small_market: Market) -> None:
    note = FitNote((-3.0, -1.0), {small_market.decisions[0].name: (1.0, 2.0)}, {"calibrated": {}})
    market = replace(small_market, fit=note)
    assert market.fit == note
    changed = apply(market, {"users": {market.user_ids[0]: {"demand": 1.5}}})
    for other in (changed, apply(market, {"remove": {"users": [market.user_ids[0]]}}), with_outside(market, 1.0)):
        assert other.fit == FitNote((-3.0, -1.0), None, {"calibrated": {}})
    with pytest.raises(MarketError, match="elasticity_range: expected two numbers, the lower one first"):
        FitNote((-1.0, -3.0))


def test_a_plain_market_is_written_as_ever(tmp_path: Path, small_market: Market) -> None:
    """With the fields that there were before there were price lists."""
    write_market(small_market, tmp_path / "small.json")
    document = json.loads((tmp_path / "small.json").read_text())
    assert [*document] == ["format", "name", "description", "weights", "leader", "users", "providers", "delays"]
    assert [*document["leader"]] == ["providers", "price_cap"]
    assert {key for user in document["users"] for key in user} == {"id", "demand"}
    assert {key for one in document["providers"] for key in one} == {"id", "price", "capacity", "value", "unit_cost"}


@pytest.mark.parametrize("decides", [None, "components", "factor"])
def test_markets_as_they_are_sold_survive_writing_and_reading(tmp_path: Path, decides: Any) -> None:
    validator = jsonschema.Draft202012Validator(instance_schema())
    for seed in range(12):
        market = sold(seed, leaders=1 + seed % 2, decides=decides)
        if market.user_values.size and np.isnan(market.user_values).all():
            market = replace(market, user_values=np.empty((0, 0)))  # nobody has a value of its own, either way
        write_market(market, tmp_path / "sold.json")
        assert_same(read_market(tmp_path / "sold.json").market, market)
        validator.validate(json.loads((tmp_path / "sold.json").read_text()))


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


positive = st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False)


non_negative = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    users, providers = (draw(st.lists(names, min_size=k, max_size=4, unique=True)) for k in (1, 2))
    n, m = len(users), len(providers)
    leader = tuple(draw(st.lists(st.integers(0, m - 1), min_size=1, max_size=m - 1, unique=True)))

    def numbers(kind: st.SearchStrategy[float], size: int) -> Any:
        return np.array(draw(st.lists(kind, min_size=size, max_size=size)))

    price = numbers(non_negative, m)
    price[[j for j in leader if draw(st.booleans())]] = np.nan
    return Market(
        name=draw(names),
        user_ids=tuple(users),
        provider_ids=tuple(providers),
        demand=numbers(positive, n),
        price=price,
        capacity=numbers(positive, m),
        value=numbers(st.floats(allow_nan=False, allow_infinity=False), m),
        unit_cost=numbers(non_negative, m),
        delay=numbers(non_negative, n * m).reshape(n, m),
        price_weight=numbers(positive, n),
        congestion_weight=numbers(positive, n),
        delay_weight=numbers(non_negative, n),
        leader=leader,
        price_cap=numbers(non_negative, len(leader)),
        units=Units(currency=draw(names)),
        description=draw(names),
    )


@given(market=markets(), suffix=st.sampled_from([".json", ".json.gz"]))
def test_any_market_survives_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, market: Market, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("round") / f"market{suffix}"
    write_market(market, path)
    assert_same(read_market(path).market, market)
    content = gzip.decompress(path.read_bytes()) if suffix.endswith("gz") else path.read_bytes()
    jsonschema.Draft202012Validator(instance_schema()).validate(json.loads(content))


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_the_same_market_gives_the_same_bytes(tmp_path: Path, small_market: Market, suffix: str) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_market(small_market, first)
    os.utime(first, (0, 0))
    write_market(replace(small_market), second)
    assert first.read_bytes() == second.read_bytes()


def test_a_market_file_has_a_line_for_each_user_provider_and_row(tmp_path: Path, small_market: Market) -> None:
    write_market(small_market, tmp_path / "small.json")
    lines = (tmp_path / "small.json").read_text().splitlines()
    assert '    {"id": "u2", "demand": 2.0}' in lines
    assert '    {"id": "p3", "price": 3.0, "capacity": 4.0, "value": 0.0, "unit_cost": 0.0}' in lines
    assert "    [0.75, 1.0, 1.25]" in lines


@pytest.mark.parametrize(("m", "inline"), [(1000, True), (1001, False)])
def test_more_than_a_million_delays_go_beside_the_file(tmp_path: Path, m: int, inline: bool) -> None:
    """The limit is what it is."""
    market = make_market(user_ids=tuple(f"u{i}" for i in range(1000)), provider_ids=tuple(f"p{j}" for j in range(m)))
    write_market(market, tmp_path / "big.json.gz")
    assert (tmp_path / "big.delays.npy").exists() != inline
    assert_same(read_market(tmp_path / "big.json.gz").market, market)


def test_delays_of_another_write_are_refused(tmp_path: Path) -> None:
    ids = {name: tuple(f"{name[0]}{k}" for k in range(1001)) for name in ("user_ids", "provider_ids")}
    market = make_market(**ids)
    write_market(market, tmp_path / "big.json")
    old = (tmp_path / "big.json").read_bytes()
    write_market(replace(market, delay=market.delay + 1), tmp_path / "big.json")
    (tmp_path / "big.json").write_bytes(old)  # as a kill between the two leaves it
    (line,) = refusal(tmp_path / "big.json")
    assert line.startswith('delays.npy: "big.delays.npy": is not the file that sha256 tells of')
    document = json.loads(old)
    del document["delays"]["sha256"]  # it may be left out
    assert read_market(written(tmp_path, document)).market.delay[0, 0] == market.delay[0, 0] + 1


def test_writing_leaves_nothing_else_behind(tmp_path: Path, small_market: Market) -> None:
    write_market(small_market, tmp_path / "small.json")
    write_market(small_market, tmp_path / "small.json")
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]


def test_a_failed_write_keeps_the_old_file(
    tmp_path: Path, small_market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(PrillmError, match=r"small\.json: cannot be written: No space left on device"):
        write_market(small_market, path)
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["market.txt", "market.gz", "market"])
def test_a_market_needs_a_name_its_reader_knows(tmp_path: Path, small_market: Market, name: str) -> None:
    with pytest.raises(PrillmError, match=r"ends in \.json or \.json\.gz"):
        write_market(small_market, tmp_path / name)


def test_writing_into_a_folder_that_is_not_there_is_refused(tmp_path: Path, small_market: Market) -> None:
    with pytest.raises(PrillmError, match="cannot be written: No such file or directory"):
        write_market(small_market, tmp_path / "none" / "small.json")


def test_the_shipped_schema_is_the_generated_one() -> None:
    shipped = (ROOT / "prillm_or" / "market" / "market.schema.json").read_text()
    assert shipped == json.dumps(instance_schema(), indent=2) + "\n"


def test_reading_imports_nothing_heavy() -> None:
    heavy = ("pandas", "scipy", "pyomo", "torch", "networkx", "matplotlib")
    assert imported_by("import prillm_or.files", *heavy) == []
