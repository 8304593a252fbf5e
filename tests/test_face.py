"""The public surface: what `import prillm_or as po` shows; every door refuses what it cannot take, in a line."""

from __future__ import annotations

import json
import os
import pydoc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import prillm_or
import prillm_or as po

VERBS = {"load", "solve", "equilibrium", "curve", "explain", "compete", "calibrate", "robust", "train", "generate"}
VERBS |= {"backtest"}
COMMAND = str(Path(sys.executable).with_name("prillm-or"))
HEAVY = ("pyomo", "torch", "scipy", "pandas", "matplotlib", "highspy")


def frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The market of `instances/tiny/one-rival.json`'s size: two users, a rival and us."""
    users = pd.DataFrame({"demand": [3.0, 2.0]}, index=["a", "b"])
    providers = pd.DataFrame({"price": [1.0, np.nan], "capacity": [2.0, 3.0]}, index=["rival", "us"])
    delays = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], index=["a", "b"], columns=["rival", "us"])
    return users, providers, delays


def test_every_verb_is_there_and_nothing_that_is_not_public() -> None:
    assert set(dir(po)) >= VERBS | {"Market", "Observations", "Pricer", "Result", "show_versions"}
    assert dir(po) == vars(po)["__all__"]
    for name in dir(po):
        assert getattr(po, name).__module__.startswith("prillm_or.")


def test_all_verbs_are_imported_at_once_without_a_heavy_package(tmp_path: Path) -> None:
    """numpy's part of the time is the yardstick: it is 0.08 s, and the limit thus 0.3 s, on an idle machine."""
    code = (
        "import sys, time; began = time.process_time(); import numpy; ours = time.process_time(); "
        f"import prillm_or as po; verbs = [getattr(po, name) for name in {sorted(VERBS)!r}]; "
        "ended = time.process_time(); "
        "print([name for name in sys.argv[1:] if name in sys.modules], ended - began, ours - began)"
    )
    # numpy's threads, waiting, would count as time. An installed package has bytecode: the first run writes it.
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    alone.pop("PYTHONDONTWRITEBYTECODE", None)

    def run() -> list[str]:
        command = [sys.executable, "-c", code, *HEAVY]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=alone).stdout.split()

    runs = [run() for _ in range(5)]
    assert {found for found, _, _ in runs} == {"[]"}
    # What else the machine does only ever adds to a time: the least of each is nearest to it.
    whole, numpys = (min(float(run[part]) for run in runs) for part in (1, 2))
    assert whole / numpys < 3.75


def test_help_shows_the_verbs() -> None:
    shown = pydoc.plain(pydoc.render_doc(prillm_or))
    for name in VERBS:
        assert f"    {name}(" in shown


@pytest.mark.parametrize("given", [None, 3, {"name": "x"}, ["coding-13"]])
def test_what_is_no_market_is_refused(given: Any) -> None:
    for verb in (po.solve, po.equilibrium, po.curve, po.explain, po.compete, po.Pricer):
        with pytest.raises(po.ArgumentError, match="`market`: expected a Market, the path of a file or a name"):
            verb(given)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"gap": -1}, "`gap`: expected a number >= 0, got -1"),
        ({"gap": float("nan")}, "`gap`: expected a number >= 0, got nan"),
        ({"gap": "small"}, "`gap`: expected a number >= 0, got 'small'"),
        ({"time_limit": -3}, "`time_limit`: expected a number >= 0, got -3"),
        ({"threads": 0}, "`threads`: expected a whole number >= 1, got 0"),
        ({"seed": 1.5}, "`seed`: expected a whole number >= 0, got 1.5"),
        ({"abstraction": "nobody@2"}, "abstraction 'nobody': there is none of that name; there are none, min"),
        ({"abstraction": "learned@"}, "abstraction 'learned@': expected NAME"),
        ({"abstraction": "anchored@0"}, "expected to keep at least 1 rival, got 0"),
    ],
)
def test_solve_names_the_argument_and_its_rule(keywords: dict[str, Any], says: str) -> None:
    with pytest.raises(po.PrillmError) as caught:
        po.solve("tiny/kink", **keywords)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ({"nobody": 1.0}, "`prices`: no provider has the id 'nobody'"),
        ({"lead": -1.0}, "`prices`: expected a finite number >= 0, got -1.0 for 'lead'"),
        ({"lead": float("nan")}, "`prices`: expected a finite number >= 0, got nan for 'lead'"),
        ({"lead": "cheap"}, "`prices`: expected a finite number >= 0, got 'cheap' for 'lead'"),
        ([1.0], "`prices`: expected prices by id, got list"),
        (1.0, "`prices`: expected prices by id, got float"),
    ],
)
def test_equilibrium_takes_prices_by_id(prices: Any, says: str) -> None:
    with pytest.raises(po.ArgumentError) as caught:
        po.equilibrium("tiny/one-rival", prices)
    assert says in str(caught.value)


def test_an_equilibrium_has_labels() -> None:
    """lead's load at price p on tiny/one-rival is (6 - p)/2 (instances/tiny/README.md): 2 at price 2, profit 4."""
    state = po.equilibrium("tiny/one-rival", {"lead": 2.0})
    assert state.loads["lead"] == pytest.approx(2.0)
    assert state.flows.loc[:, "lead"].sum() == pytest.approx(2.0)
    assert state.profit == pytest.approx(4.0)
    assert set(state.to_frame().columns) == {"user", "provider", "flow"}
    assert "certified to " in str(state)


def test_the_best_price_of_a_market_of_frames_does_not_depend_on_the_order_of_rows() -> None:
    users, providers, delays = frames()
    market = po.Market.from_frames(users, providers, delays, leader="us", price_cap=10.0)
    turned = po.Market.from_frames(users[::-1], providers, delays.iloc[::-1, ::-1], leader="us", price_cap={"us": 10.0})
    assert turned.user_ids == ("b", "a")
    assert turned.delay.tolist() == [[3.0, 4.0], [1.0, 2.0]]
    assert po.solve(turned).price == pytest.approx(po.solve(market).price)


def test_a_market_reads_a_series_by_its_labels() -> None:
    users, providers, delays = frames()
    market = po.Market.from_frames(users, providers, delays, leader="us", price_cap=10.0)
    fields: dict[str, Any] = {
        "name": "m", "user_ids": ("a", "b"), "provider_ids": ("rival", "us"), "leader": ("us",), "price_cap": [10.0],
        "demand": users["demand"][::-1], "price": providers["price"][::-1], "capacity": providers["capacity"],
        "delay": delays.iloc[::-1, ::-1],
    }  # fmt: skip
    again = po.Market(**fields)
    for name in ("demand", "price", "capacity", "delay"):
        np.testing.assert_array_equal(getattr(again, name), getattr(market, name))
    with pytest.raises(po.MarketError, match="demand: expected the ids as its labels, 'a', 'b', got 0, 1"):
        po.Market(**fields | {"demand": users["demand"].reset_index(drop=True)})
    with pytest.raises(po.MarketError, match="capacity: expected an array of numbers, got dict"):
        po.Market(**fields | {"capacity": {"rival": 2.0, "us": 3.0}})
    with pytest.raises(po.MarketError, match=r"leader\.providers: no provider has the id 'you'"):
        po.Market(**fields | {"leader": ("you",)})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda u, p, d: (u.rename(columns={"demand": "demnd"}), p, d), "users: column demand is missing"),
        (lambda u, p, d: (u, p.assign(colour=1), d), "providers: unknown column 'colour'"),
        (lambda u, p, d: (u, p.reset_index(), d), "providers: expected ids as its index, got 0"),
        (lambda u, p, d: (u, p, d.drop(columns="us")), "delays: columns: provider 'us' is missing"),
        (lambda u, p, d: (u, p, d.rename(index={"a": "z"})), "delays: rows: no user has the id 'z'"),
        (lambda u, p, d: (u, p.assign(price=["cheap", 1]), d), "price of 'rival': expected a number, got 'cheap'"),
        (lambda u, p, d: (pd.concat([u, u]), p, d), "users: 'a' appears more than once in its index"),
        (lambda u, p, d: (u * -1, p, d), "demand[a]: expected a finite number > 0, got -3.0"),
        (lambda u, p, d: (u, p.drop(index="rival"), d.drop(columns="rival")), "the leader owns every provider"),
        (lambda u, p, d: (None, p, d), "users: expected a pandas frame, got NoneType"),
    ],
)
def test_a_faulty_frame_is_named(spoil: Callable[..., Any], says: str) -> None:
    with pytest.raises(po.MarketError) as caught:
        po.Market.from_frames(*spoil(*frames()), leader="us", price_cap=10.0)
    assert says in str(caught.value)


def test_a_market_takes_the_defaults_of_the_file(tmp_path: Path) -> None:
    users, providers, delays = frames()
    market = po.Market.from_frames(users, providers.assign(price=[1.0, 2.0]), delays, leader="us", price_cap=10.0)
    document = {
        "format": "prillm-or/market@1",
        "name": "market",
        "leader": {"providers": ["us"], "price_cap": 10.0},
        "users": [{"id": "a", "demand": 3.0}, {"id": "b", "demand": 2.0}],
        "providers": [{"id": "rival", "price": 1.0, "capacity": 2.0}, {"id": "us", "price": 2.0, "capacity": 3.0}],
        "delays": [[1.0, 2.0], [3.0, 4.0]],
    }
    path = tmp_path / "market.json"
    path.write_text(json.dumps(document))
    read = po.load(path)
    for name in ("value", "unit_cost", "price_weight", "congestion_weight", "delay_weight"):
        np.testing.assert_array_equal(getattr(market, name), getattr(read, name))


def test_a_result_is_printed_as_its_command_prints_it_and_saved_as_it_writes_it(tmp_path: Path) -> None:
    result = po.solve("tiny/one-rival")
    assert result.price == pytest.approx(3.0)
    assert list(result.to_frame().index) == ["lead"]
    result.save(tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text()) == result.to_dict()
    shown = subprocess.run([COMMAND, "solve", "tiny/one-rival"], capture_output=True, text=True, check=True).stdout
    ours = str(result).splitlines()
    assert ours[0].strip() == shown.splitlines()[0].strip()
    assert ours[2].split() == shown.splitlines()[2].split()
    assert "<table>" in result._repr_html_()  # what a notebook calls


def test_a_price_of_several_has_no_single_one() -> None:
    result = po.solve("tiny/two-prices")
    with pytest.raises(AttributeError, match="2 prices; see `prices`"):
        _ = result.price


def test_no_price_in_time_is_a_result_and_no_ctrl_c() -> None:
    began = time.perf_counter()
    result = po.solve("tiny/kink", solver="ipopt", model="smooth", time_limit=0)
    assert result.status is po.Status.TIME_LIMIT
    assert result.profit == pytest.approx(po.equilibrium("tiny/kink", result.prices).profit)
    assert time.perf_counter() - began < 30


def sold_frames() -> dict[str, Any]:
    """Two users of two components, one a crowd, both with tastes, and what one of them holds a provider to be worth."""
    users, providers, delays = frames()
    return {
        "users": users.assign(mix_input=[0.75, 0.0], mix_output=[0.25, 1.0], count=[10, 1], dispersion=[0.5, 2.0]),
        "providers": providers.drop(columns="price").assign(
            price_input=[1.0, 2.0], price_output=[3.0, np.nan], unit_cost=[0.25, 0.5], dispersion=[1.0, 3.0]
        ),
        "delays": delays,
        "values": pd.DataFrame([[4.0, None], [None, None]], index=["b", "a"], columns=["us", "rival"]),
    }


def test_frames_hold_price_lists_crowds_tastes_and_own_values() -> None:
    market = po.Market.from_frames(**sold_frames(), leader="us", price_cap={"us": {"output": 9.0, "input": 5.0}})
    providers = market.provider_ids
    us, rival = providers.index("us"), providers.index("rival")
    assert market.components == ("input", "output")
    assert market.mix.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert market.count.tolist() == [10, 1]
    np.testing.assert_array_equal(market.price[[rival, us]], [[1, 3], [2, np.nan]])
    np.testing.assert_array_equal(market.unit_cost[[rival, us]], [[0.25, 0.25], [0.5, 0.5]])
    np.testing.assert_array_equal(market.pair_dispersion[:, [rival, us]], [[0.5, 1.5], [2, 6]])
    np.testing.assert_array_equal(market.user_values[:, [rival, us]], [[np.nan, np.nan], [np.nan, 4]])
    assert [decision.name for decision in market.decisions] == ["us.input", "us.output"]
    assert market.price_cap.tolist() == [5.0, 9.0]


def test_frames_of_users_who_weigh_no_congestion_need_no_capacities() -> None:
    tables = sold_frames()
    tables["users"]["congestion_weight"] = 0.0
    tables["providers"] = tables["providers"].drop(columns="capacity").assign(price_output=[3.0, 4.0])
    market = po.Market.from_frames(**tables, leader="us", decides="factor", price_cap=2.0)
    assert not market.congested
    assert [decision.name for decision in market.decisions] == ["us"]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t["users"].pop("mix_output"), "providers: unknown column 'price_output'"),
        (lambda t: t["providers"].pop("price_output"), "providers: column price_output is missing"),
        (lambda t: t["users"].insert(0, "mix_cached", 0.5), "providers: column price_cached is missing"),
        (lambda t: t["providers"].pop("capacity"), "providers: column capacity is missing"),
        (lambda t: t["providers"].insert(0, "price", 1.0), "providers: unknown column 'price_input'"),
        (lambda t: t["values"].pop("us"), "values: columns: provider 'us' is missing"),
        (lambda t: t.update(values=t["values"].rename(index={"a": "z"})), "values: rows: no user has the id 'z'"),
        (
            lambda t: t.update(users=t["users"].assign(count=[1.5, 1])),
            "count[a]: expected a whole number >= 1, got 1.5",
        ),
        (lambda t: t.update(users=t["users"].assign(mix_output=[0.25, 0])), "mix[b]: expected some component > 0"),
    ],
)
def test_a_faulty_frame_of_price_lists_is_named(spoil: Callable[..., Any], says: str) -> None:
    tables = sold_frames()
    spoil(tables)
    with pytest.raises(po.MarketError) as caught:
        po.Market.from_frames(**tables, leader="us", price_cap=10.0)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("decides", "cap", "says"),
    [
        ("components", {"us": {"input": 1.0}}, "price_cap[us]: 'output' is missing"),
        (["output"], {"us": {"output": 1.0, "input": 1.0}}, "price_cap[us]: 'input' is not decided"),
        ("components", {"us": {"output": 1.0, "input": "x"}}, "price_cap[us]: expected numbers, got 'x'"),
        ("factor", {"us": {"output": 1.0}}, "price_cap: expected a number, or numbers by id, got {'output': 1.0}"),
        ("factors", 1.0, "leader.decides: expected 'components', 'factor' or a list of components, got 'factors'"),
        (5, 1.0, "decides: expected a sequence of texts, got 5"),
        (["cached"], {"us": 1.0}, "leader.decides: no component is called 'cached'"),
    ],
)
def test_a_leader_of_price_lists_has_caps_of_what_it_decides(decides: Any, cap: Any, says: str) -> None:
    with pytest.raises(po.MarketError) as caught:
        po.Market.from_frames(**sold_frames(), leader="us", decides=decides, price_cap=cap)
    assert says in str(caught.value)
