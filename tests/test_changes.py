"""Changes of a market: what each does, beside a market made so from the start, and what is refused and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import prillm_or.market
from helpers.equality import assert_same
from helpers.markets import make_market
from prillm_or.errors import MarketError
from prillm_or.files.changes import read_change
from prillm_or.market.change_fields import change_schema
from prillm_or.market.changes import apply
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate

# Users u1, u2 of demands 1, 2; providers p1 (it leads), p2, p3 of prices 1, 2, 3 and capacities 2, 3, 4; cap 10.
DELAY = [[0, 0.25, 0.5], [0.75, 1, 1.25]]
RIVAL = {"id": "p4", "price": 1.5, "capacity": 6}
USER = {"id": "u3", "demand": 5}

# A change, and the fields of the market it must give.
KINDS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "price": ({"providers": {"p2": {"price": 0.5}}}, {"price": [1, 0.5, 3]}),
    "price-of-leader-today": ({"providers": {"p1": {"price": 4}}}, {"price": [4, 2, 3]}),
    "capacity": ({"providers": {"p3": {"capacity": 9}}}, {"capacity": [2, 3, 9]}),
    "value": ({"providers": {"p3": {"value": -2.5}}}, {"value": [0, 0, -2.5]}),
    "unit-cost": ({"providers": {"p1": {"unit_cost": 0.25}}}, {"unit_cost": [0.25, 0, 0]}),
    "demand": ({"users": {"u2": {"demand": 7}}}, {"demand": [1, 7]}),
    "weights": (
        {"users": {"u1": {"weights": {"price": 2, "delay": 0}}, "u2": {"weights": {"congestion": 3}}}},
        {"price_weight": [2, 1], "congestion_weight": [1, 3], "delay_weight": [0, 1]},
    ),
    "delays": (
        {"delays": {"u1": {"p1": 3, "p3": 4}, "u2": {"p2": 0}}},
        {"delay": [[3, 0.25, 4], [0.75, 0, 1.25]]},
    ),
    "cap": ({"price_cap": 6}, {"price_cap": [6]}),
    "cap-by-id": ({"price_cap": {"p1": 6}}, {"price_cap": [6]}),
    "rival-comes": (
        {"add": {"providers": [RIVAL | {"value": 1, "unit_cost": 2, "delays": {"u2": 8, "u1": 9}}]}},
        {
            "provider_ids": ("p1", "p2", "p3", "p4"),
            "price": [1, 2, 3, 1.5],
            "capacity": [2, 3, 4, 6],
            "value": [0, 0, 0, 1],
            "unit_cost": [0, 0, 0, 2],
            "delay": [[0, 0.25, 0.5, 9], [0.75, 1, 1.25, 8]],
        },
    ),
    "rival-comes-with-one-delay": (
        {"add": {"providers": [RIVAL | {"delays": 7}]}},
        {
            "provider_ids": ("p1", "p2", "p3", "p4"),
            "price": [1, 2, 3, 1.5],
            "capacity": [2, 3, 4, 6],
            "delay": [[0, 0.25, 0.5, 7], [0.75, 1, 1.25, 7]],
        },
    ),
    "rival-leaves": (
        {"remove": {"providers": ["p2"]}},
        {"provider_ids": ("p1", "p3"), "price": [1, 3], "capacity": [2, 4], "delay": [[0, 0.5], [0.75, 1.25]]},
    ),
    "user-comes": (
        {"add": {"users": [USER | {"weights": {"delay": 2}, "delays": {"p3": 3, "p2": 2, "p1": 1}}]}},
        {
            "user_ids": ("u1", "u2", "u3"),
            "demand": [1, 2, 5],
            "delay_weight": [1, 1, 2],
            "delay": [*DELAY, [1, 2, 3]],
        },
    ),
    "user-leaves": (
        {"remove": {"users": ["u1"]}},
        {"user_ids": ("u2",), "demand": [2], "delay": [[0.75, 1, 1.25]]},
    ),
    "all-users-replaced": (
        {"remove": {"users": ["u1", "u2"]}, "add": {"users": [USER | {"delays": 1}]}},
        {"user_ids": ("u3",), "demand": [5], "delay": [[1, 1, 1]]},
    ),
    "all-rivals-replaced": (
        {"remove": {"providers": ["p3", "p2"]}, "add": {"providers": [RIVAL | {"delays": 1}]}},
        {"provider_ids": ("p1", "p4"), "price": [1, 1.5], "capacity": [2, 6], "delay": [[0, 1], [0.75, 1]]},
    ),
    "everything-at-once": (
        {
            "users": {"u2": {"demand": 3}},
            "providers": {"p1": {"value": 2}},
            "delays": {"u2": {"p3": 6}},
            "price_cap": 5,
            "add": {
                "users": [USER | {"delays": {"p1": 1, "p3": 3, "p4": 4}}],
                "providers": [RIVAL | {"delays": {"u2": 8}}],
            },
            "remove": {"users": ["u1"], "providers": ["p2"]},
        },
        {
            "user_ids": ("u2", "u3"),
            "demand": [3, 5],
            "provider_ids": ("p1", "p3", "p4"),
            "price": [1, 3, 1.5],
            "capacity": [2, 4, 6],
            "value": [2, 0, 0],
            "price_cap": [5],
            "delay": [[0.75, 6, 8], [1, 3, 4]],
        },
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_gives_the_market_made_so_from_the_start(kind: str) -> None:
    change, expected = KINDS[kind]
    market = make_market()
    assert_same(apply(market, change), make_market(**expected))
    assert_same(apply(market, read_change(json.dumps(change).encode())), make_market(**expected))
    assert_same(market, make_market())


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_lets_every_kind_of_change_through(kind: str) -> None:
    assert list(jsonschema.Draft202012Validator(change_schema()).iter_errors(KINDS[kind][0])) == []


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert prillm_or.market.__file__ is not None
    shipped = Path(prillm_or.market.__file__).parent / "change.schema.json"
    assert shipped.read_text() == json.dumps(change_schema(), indent=2) + "\n"


def test_a_leader_among_those_who_stay_is_found_again() -> None:
    market = make_market(leader=(2, 1), price_cap=[3, 4])
    smaller = apply(market, {"remove": {"providers": ["p1"]}, "add": {"providers": [RIVAL | {"delays": 1}]}})
    assert smaller.leader_ids == ("p3", "p2")
    assert smaller.price_cap.tolist() == [3, 4]
    assert apply(market, {"price_cap": {"p2": 9}}).price_cap.tolist() == [3, 9]
    assert apply(market, {"price_cap": 9}).price_cap.tolist() == [9, 9]


def test_an_absent_price_of_today_stays_absent_until_it_is_given() -> None:
    market = make_market(price=[np.nan, 2, 3])
    assert apply(market, {"users": {"u1": {"demand": 2}}}).today is None
    today = apply(market, {"providers": {"p1": {"price": 2}}}).today
    assert today is not None
    assert today.tolist() == [2]


def test_units_name_and_description_stay() -> None:
    market = make_market(description="from somewhere")
    assert apply(market, {"remove": {"users": ["u1"]}}).description == "from somewhere"


def sold(**fields: Any) -> Market:
    """The small market with two components, crowds and tastes, where p1 decides the price of output."""
    lists: dict[str, Any] = {
        "components": ("input", "output"),
        "mix": [[0.75, 0.25], [0, 1]],
        "price": [[1, 3], [2, 2], [0.5, 1]],
        "unit_cost": [[0.5, 1], [0, 0], [0, 0]],
        "count": [10, 1],
        "dispersion": [0.5, 0.5],
        "provider_dispersion": [1, 2, 1],
        "decides": ("output",),
    }
    return make_market(**lists | fields)


# A change of that market, and the fields that it must give.
LISTED: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mix": ({"users": {"u1": {"mix": {"input": 1, "output": 2}}}}, {"mix": [[1, 2], [0, 1]]}),
    "mix-in-part": ({"users": {"u2": {"mix": {"input": 0.5}}}}, {"mix": [[0.75, 0.25], [0.5, 1]]}),
    "count": ({"users": {"u2": {"count": 7}}}, {"count": [10, 7]}),
    "dispersion": ({"users": {"u2": {"dispersion": 0}}}, {"dispersion": [0.5, 0]}),
    "values": (
        {"users": {"u2": {"values": {"p1": 3, "p3": -1}}}},
        {"user_values": [[np.nan] * 3, [3, np.nan, -1]]},
    ),
    "price": ({"providers": {"p2": {"price": 4}}}, {"price": [[1, 3], [4, 4], [0.5, 1]]}),
    "prices": (
        {"providers": {"p2": {"price": {"input": 4, "output": 5}}, "p1": {"price": {"output": 6}}}},
        {"price": [[1, 6], [4, 5], [0.5, 1]]},
    ),
    "unit-costs": ({"providers": {"p1": {"unit_cost": {"input": 0}}}}, {"unit_cost": [[0, 1], [0, 0], [0, 0]]}),
    "dispersion-of-provider": ({"providers": {"p3": {"dispersion": 3}}}, {"provider_dispersion": [1, 2, 3]}),
    "cap": ({"price_cap": 6}, {"price_cap": [6]}),
    "cap-by-id": ({"price_cap": {"p1": 6}}, {"price_cap": [6]}),
    "cap-by-component": ({"price_cap": {"p1": {"output": 6}}}, {"price_cap": [6]}),
    "no-congestion": (
        {"users": {"u1": {"weights": {"congestion": 0}}, "u2": {"weights": {"congestion": 0}}}},
        {"congestion_weight": [0, 0]},
    ),
    "rival-comes": (
        {"add": {"providers": [RIVAL | {"price": {"input": 1, "output": 9}, "dispersion": 4, "delays": 7}]}},
        {
            "provider_ids": ("p1", "p2", "p3", "p4"),
            "price": [[1, 3], [2, 2], [0.5, 1], [1, 9]],
            "unit_cost": [[0.5, 1], [0, 0], [0, 0], [0, 0]],
            "capacity": [2, 3, 4, 6],
            "provider_dispersion": [1, 2, 1, 4],
            "delay": [[0, 0.25, 0.5, 7], [0.75, 1, 1.25, 7]],
        },
    ),
    "user-comes": (
        {"add": {"users": [USER | {"mix": {"input": 2}, "count": 3, "values": {"p2": 8}, "delays": 1}]}},
        {
            "user_ids": ("u1", "u2", "u3"),
            "demand": [1, 2, 5],
            "mix": [[0.75, 0.25], [0, 1], [2, 0]],
            "count": [10, 1, 3],
            "dispersion": [0.5, 0.5, 0.5],
            "user_values": [[np.nan] * 3, [np.nan] * 3, [np.nan, 8, np.nan]],
            "delay": [*DELAY, [1, 1, 1]],
        },
    ),
    "everything-at-once": (
        {
            "users": {"u2": {"mix": {"input": 3}, "count": 2, "values": {"p3": 4}}},
            "providers": {"p1": {"price": {"input": 2}}},
            "add": {
                "users": [USER | {"mix": {"output": 1}, "dispersion": 2, "values": {"p4": 8}, "delays": 1}],
                "providers": [RIVAL | {"unit_cost": {"input": 0.5, "output": 1}, "delays": 2}],
            },
            "remove": {"users": ["u1"], "providers": ["p2"]},
        },
        {
            "user_ids": ("u2", "u3"),
            "demand": [2, 5],
            "mix": [[3, 1], [0, 1]],
            "count": [2, 1],
            "dispersion": [0.5, 2],
            "user_values": [[np.nan, 4, np.nan], [np.nan, np.nan, 8]],
            "provider_ids": ("p1", "p3", "p4"),
            "price": [[2, 3], [0.5, 1], [1.5, 1.5]],
            "unit_cost": [[0.5, 1], [0, 0], [0.5, 1]],
            "capacity": [2, 4, 6],
            "provider_dispersion": [1, 1, 1],
            "delay": [[0.75, 1.25, 2], [1, 1, 1]],
        },
    ),
}


@pytest.mark.parametrize("kind", LISTED)
def test_a_change_of_lists_crowds_and_tastes_gives_the_market_made_so_from_the_start(kind: str) -> None:
    change, expected = LISTED[kind]
    assert list(jsonschema.Draft202012Validator(change_schema()).iter_errors(change)) == []
    assert_same(apply(sold(), read_change(json.dumps(change).encode())), sold(**expected))


def test_leavers_take_what_is_theirs_with_them() -> None:
    values = [[1, np.nan, 2], [np.nan, 3, 4]]
    left = apply(sold(user_values=values), {"remove": {"users": ["u1"], "providers": ["p2"]}})
    assert_same(
        left,
        sold(
            **{"user_ids": ("u2",), "provider_ids": ("p1", "p3"), "user_values": [[np.nan, 4]], "mix": [[0, 1]]},
            **{"demand": [2], "count": [1], "dispersion": [0.5], "delay": [[0.75, 1.25]]},
            **{"price": [[1, 3], [0.5, 1]], "unit_cost": [[0.5, 1], [0, 0]], "capacity": [2, 4]},
            provider_dispersion=[1, 1],
        ),
    )


def test_caps_are_changed_decision_by_decision() -> None:
    market = sold(leader=(0, 1), decides="components", price_cap=[1, 2, 3, 4])
    assert apply(market, {"price_cap": {"p2": {"input": 9}}}).price_cap.tolist() == [1, 2, 9, 4]
    assert apply(market, {"price_cap": {"p1": 8}}).price_cap.tolist() == [8, 8, 3, 4]
    assert apply(market, {"price_cap": 7}).price_cap.tolist() == [7, 7, 7, 7]
    factors = sold(leader=(0, 1), decides="factor", price_cap=[1, 2])
    assert apply(factors, {"price_cap": {"p2": 9}}).price_cap.tolist() == [1, 9]


# A change of the market with components that is wrong in one way, the path of the field, part of the message.
LISTED_FAULTS: list[tuple[Any, str, str]] = [
    ({"users": {"u1": {"mix": {}}}}, "users.u1.mix", "expected at least one"),
    ({"users": {"u1": {"mix": {"ouput": 1}}}}, "users.u1.mix.ouput", 'name "ouput"; did you mean "output"?'),
    ({"users": {"u1": {"mix": {"output": -1}}}}, "users.u1.mix.output", "expected a number >= 0, got -1"),
    ({"users": {"u2": {"mix": {"output": 0}}}}, "users.u2.mix", "expected some component > 0"),
    ({"users": {"u1": {"count": 0}}}, "users.u1.count", "expected a number >= 1, got 0"),
    ({"users": {"u1": {"count": 1.5}}}, "users.u1.count", "expected a whole number >= 1, got 1.5"),
    ({"users": {"u1": {"dispersion": -1}}}, "users.u1.dispersion", "expected a number >= 0, got -1"),
    ({"users": {"u1": {"values": {"p9": 1}}}}, "users.u1.values.p9", 'no provider has the id "p9"'),
    (
        {"users": {"u1": {"values": {"p2": 1}}}, "remove": {"providers": ["p2"]}},
        "users.u1.values.p2",
        'provider "p2" leaves by the same change',
    ),
    (
        {"users": {"u1": {"weights": {"congestion": 0}}}},
        "congestion_weight[u1]",
        "0, while that of 'u2' is not: expected 0 for all users or for none",
    ),
    (
        {"providers": {"p1": {"price": {"cached": 1}}}},
        "providers.p1.price.cached",
        'no component has the name "cached"',
    ),
    ({"providers": {"p1": {"price": {"input": -1}}}}, "providers.p1.price.input", "expected a number >= 0, got -1"),
    ({"providers": {"p1": {"unit_cost": {"cached": 1}}}}, "providers.p1.unit_cost.cached", "no component has the name"),
    ({"price_cap": {"p1": {"input": 1}}}, "price_cap.p1.input", "the leader does not decide it"),
    ({"price_cap": {"p1": {"cached": 1}}}, "price_cap.p1.cached", 'no component has the name "cached"'),
    ({"add": {"users": [USER | {"delays": 1}]}}, "add.users[0].mix", "missing; say how much of each component"),
    (
        {"add": {"users": [USER | {"delays": 1, "mix": {"output": 1}, "values": {"p9": 1}}]}},
        "add.users[0].values.p9",
        'no provider has the id "p9"',
    ),
    (
        {"add": {"providers": [RIVAL | {"price": {"input": 1}, "delays": 1}]}},
        "add.providers[0].price.output",
        "missing; give all components, or a number",
    ),
    (
        {"add": {"providers": [RIVAL | {"unit_cost": {"output": 1}, "delays": 1}]}},
        "add.providers[0].unit_cost.input",
        "missing; give all components, or a number",
    ),
]


@pytest.mark.parametrize(("change", "path", "message"), LISTED_FAULTS, ids=lambda part: str(part)[:40])
def test_a_fault_of_lists_crowds_and_tastes_is_refused_with_its_place(change: Any, path: str, message: str) -> None:
    (line,) = refusal(sold(), change)
    assert line.startswith(f"{path}: ")
    assert message in line


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"users": {"u1": {"mix": {"input": 1}}}}, "users.u1.mix"),
        ({"providers": {"p1": {"price": {"input": 1}}}}, "providers.p1.price"),
        ({"price_cap": {"p1": {"input": 1}}}, "price_cap.p1"),
        ({"add": {"users": [USER | {"delays": 1, "mix": {"input": 1}}]}}, "add.users[0].mix"),
    ],
)
def test_a_market_of_one_price_has_no_components(change: Any, path: str, small_market: Market) -> None:
    (line,) = refusal(small_market, change)
    assert line.startswith(f"{path}: ")
    assert "there are no `components`" in line


def test_a_new_users_dispersion_must_be_given_where_users_differ() -> None:
    user = USER | {"delays": 1, "mix": {"output": 1}}
    (line,) = refusal(sold(dispersion=[0.5, 1]), {"add": {"users": [user]}})
    assert line.startswith("add.users[0].dispersion: missing; users differ in it")
    grown = apply(sold(dispersion=[0.5, 1]), {"add": {"users": [user | {"dispersion": 2}]}})
    assert grown.dispersion.tolist() == [0.5, 1, 2]


def test_a_rival_needs_no_capacity_where_nobody_weighs_congestion() -> None:
    rival = {"id": "p4", "price": 1.5, "delays": 1}
    (line,) = refusal(sold(), {"add": {"providers": [rival]}})
    assert line == "add.providers[0].capacity: missing"
    assert apply(sold(congestion_weight=[0, 0]), {"add": {"providers": [rival]}}).m == 4


# A change that is wrong in one way, the path of the field, part of the message.
FAULTS: list[tuple[Any, str, str]] = [
    ({}, "", "expected at least one of users, providers, delays, price_cap, add, remove"),
    (7, "", "expected an object, got 7"),
    ({"users": {}}, "users", "expected at least one"),
    ({"users": {"u1": {}}}, "users.u1", "expected at least one of demand, weights"),
    ({"users": {"u1": {"weights": {}}}}, "users.u1.weights", "expected at least one of price, congestion, delay"),
    ({"providers": {"p1": {}}}, "providers.p1", "expected at least one of price, capacity, value, unit_cost"),
    ({"delays": {"u1": {}}}, "delays.u1", "expected at least one"),
    ({"price_cap": {}}, "price_cap", "expected at least one"),
    ({"add": {}}, "add", "expected at least one of users, providers"),
    ({"add": {"users": []}}, "add.users", "expected at least one"),
    ({"remove": {}}, "remove", "expected at least one of users, providers"),
    ({"remove": {"users": []}}, "remove.users", "expected at least one"),
    ({"user": {"u1": {"demand": 1}}}, "user", 'unknown field; did you mean "users"?'),
    ({"users": {"u1": {"demnd": 1}}}, "users.u1.demnd", 'unknown field; did you mean "demand"?'),
    ({"providers": {"p1": {"cost": 1}}}, "providers.p1.cost", 'unknown field; did you mean "unit_cost"?'),
    ({"add": {"providers": [RIVAL | {"delays": 1, "vlue": 1}]}}, "add.providers[0].vlue", 'did you mean "value"?'),
    ({"users": {"u9": {"demand": 1}}}, "users.u9", 'no user has the id "u9"'),
    ({"providers": {"pp1": {"price": 1}}}, "providers.pp1", 'no provider has the id "pp1"; did you mean "p1"?'),
    ({"delays": {"u9": {"p1": 1}}}, "delays.u9", 'no user has the id "u9"'),
    ({"delays": {"u1": {"p9": 1}}}, "delays.u1.p9", 'no provider has the id "p9"'),
    ({"remove": {"users": ["u9"]}}, "remove.users[0]", 'no user has the id "u9"'),
    ({"remove": {"providers": ["p3", "p9"]}}, "remove.providers[1]", 'no provider has the id "p9"'),
    ({"remove": {"users": ["u1", "u1"]}}, "remove.users[1]", '"u1" names remove.users[0] already'),
    ({"price_cap": {"p2": 1}}, "price_cap.p2", "not one of the leader's providers"),
    ({"remove": {"providers": ["p1"]}}, "remove.providers[0]", '"p1" is the leader\'s; only rivals can leave'),
    ({"remove": {"providers": ["p2", "p3"]}}, "remove.providers", "no rival would be left"),
    ({"remove": {"users": ["u1", "u2"]}}, "remove.users", "no user would be left"),
    (
        {"remove": {"users": ["u1"]}, "users": {"u1": {"demand": 1}}},
        "users.u1",
        'user "u1" leaves by the same change; say one or the other',
    ),
    (
        {"remove": {"providers": ["p2"]}, "delays": {"u1": {"p2": 1}}},
        "delays.u1.p2",
        'provider "p2" leaves by the same change',
    ),
    (
        {"add": {"users": [USER | {"delays": 1}]}, "users": {"u3": {"demand": 1}}},
        "users.u3",
        'user "u3" comes by the same change; say it under add.users',
    ),
    ({"add": {"users": [USER | {"id": "u1", "delays": 1}]}}, "add.users[0].id", 'a user has the id "u1" already'),
    (
        {"add": {"providers": [RIVAL | {"delays": 1}] * 2}},
        "add.providers[1].id",
        '"p4" names add.providers[0] already',
    ),
    (
        {"remove": {"providers": ["p2"]}, "add": {"providers": [RIVAL | {"id": "p2", "delays": 1}]}},
        "add.providers[0].id",
        'a provider has the id "p2" already; change it under providers, or take another id',
    ),
    ({"add": {"users": [{"id": "u3", "delays": 1}]}}, "add.users[0].demand", "missing"),
    ({"add": {"users": [USER]}}, "add.users[0].delays", "missing"),
    ({"add": {"users": [USER | {"delays": {"p1": 1, "p2": 1}}]}}, "add.users[0].delays.p3", "missing; give one"),
    ({"add": {"users": [USER | {"delays": [1, 2, 3]}]}}, "add.users[0].delays", "expected a number, got a list"),
    ({"add": {"users": [5]}}, "add.users[0]", "expected an object, got 5"),
    ({"add": {"providers": [{"id": "p4", "capacity": 1, "delays": 1}]}}, "add.providers[0].price", "missing"),
    ({"add": {"providers": [RIVAL | {"delays": {"u1": 1}}]}}, "add.providers[0].delays.u2", "missing; give one"),
    (
        {"add": {"providers": [RIVAL | {"delays": {"u1": 1, "u2": 1, "u8": 1}}]}},
        "add.providers[0].delays.u8",
        'no user has the id "u8"',
    ),
    (
        {"add": {"providers": [RIVAL | {"delays": {"u1": 1, "u2": 1, "u3": 1}}], "users": [USER | {"delays": 1}]}},
        "add.providers[0].delays.u3",
        'user "u3" comes by the same change; say it under add.users',
    ),
    ({"users": {"u1": {"demand": 0}}}, "users.u1.demand", "expected a number > 0, got 0"),
    ({"users": {"u1": {"demand": "3"}}}, "users.u1.demand", 'expected a number, got "3"; write it without quotes'),
    ({"users": {"u1": {"demand": None}}}, "users.u1.demand", "expected a number, got null"),
    ({"users": {"u1": {"demand": True}}}, "users.u1.demand", "expected a number, got true"),
    ({"users": {"u1": {"demand": float("nan")}}}, "users.u1.demand", "expected a finite number, got NaN"),
    ({"users": {"u1": {"demand": 10**400}}}, "users.u1.demand", "expected a number within the range"),
    ({"users": {"u1": {"demand": 1j}}}, "users.u1.demand", "expected a number"),
    ({"users": {"u1": {"weights": {"price": 0}}}}, "users.u1.weights.price", "expected a number > 0, got 0"),
    ({"users": {"u1": {"weights": {"delay": -1}}}}, "users.u1.weights.delay", "expected a number >= 0, got -1"),
    ({"providers": {"p2": {"price": -1}}}, "providers.p2.price", "expected a number >= 0, got -1"),
    ({"providers": {"p2": {"capacity": 0}}}, "providers.p2.capacity", "expected a number > 0, got 0"),
    ({"providers": {"p2": {"value": float("inf")}}}, "providers.p2.value", "expected a finite number, got Infinity"),
    ({"providers": {"p2": {"unit_cost": -1}}}, "providers.p2.unit_cost", "expected a number >= 0, got -1"),
    ({"delays": {"u1": {"p1": -1}}}, "delays.u1.p1", "expected a number >= 0, got -1"),
    ({"delays": 1}, "delays", "expected an object, got 1"),
    ({"price_cap": -1}, "price_cap", "expected a number >= 0, got -1"),
    ({"price_cap": [1]}, "price_cap", "expected a number, got a list"),
    ({"remove": {"users": "u1"}}, "remove.users", 'expected a list, got "u1"'),
    ({"remove": {"users": [1]}}, "remove.users[0]", "expected a string, got 1"),
    ({"add": {"users": [USER | {"id": "\ud800", "delays": 1}]}}, "add.users[0].id", "half of a surrogate pair"),
]


def refusal(market: Market, change: Any) -> list[str]:
    """Lines of the refusal, without the word that each must start with."""
    with pytest.raises(MarketError) as caught:
        apply(market, change)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("change: ") for line in lines)
    assert tuple(line.removeprefix("change: ") for line in lines) == caught.value.problems
    return list(caught.value.problems)


@pytest.mark.parametrize(("change", "path", "message"), FAULTS, ids=lambda part: str(part)[:40])
def test_a_fault_is_refused_with_its_place(change: Any, path: str, message: str, small_market: Market) -> None:
    (line,) = refusal(small_market, change)
    assert line.startswith(f"{path}: " if path else message)
    assert message in line


def test_all_faults_are_listed_at_once(small_market: Market) -> None:
    change = {
        "users": {"u9": {"demand": -1}},
        "remove": {"providers": ["p1"]},
        "price_cap": "high",
        "add": {"providers": [{"id": "p2", "price": 1, "delays": {"u1": 1}}]},
    }
    paths = {line.partition(": ")[0] for line in refusal(small_market, change)}
    assert paths == {
        "users.u9",
        "users.u9.demand",
        "remove.providers[0]",
        "price_cap",
        "add.providers[0].id",
        "add.providers[0].capacity",
        "add.providers[0].delays.u2",
    }


def test_a_new_users_weight_must_be_given_where_users_differ() -> None:
    market = make_market(congestion_weight=[1, 2], delay_weight=[3, 3])
    (line,) = refusal(market, {"add": {"users": [USER | {"delays": 1}]}})
    assert line.startswith("add.users[0].weights.congestion: missing; users differ in it")
    grown = apply(market, {"add": {"users": [USER | {"delays": 1, "weights": {"congestion": 4}}]}})
    assert (grown.congestion_weight[2], grown.delay_weight[2]) == (4, 3)


def test_many_faults_of_a_kind_are_counted_and_quickly(small_market: Market) -> None:
    lines = refusal(small_market, {"users": {f"user {i}": {"demand": 1} for i in range(5000)}})
    assert len(lines) == 21
    assert lines[-1] == "users: ... and 4980 more of the kind"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b'{"users": ', "not JSON: Expecting value"),
        (b"\xff", "not UTF-8: byte 0"),
        ('{"name": 1}'.encode("utf-16"), "is UTF-16 or UTF-32, not UTF-8; save it as UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"price_cap": ' + b"1" * 5000 + b"}", "an integer too long"),
        (b'{"price_cap": 1, "price_cap": 2}', "price_cap: appears twice in its object"),
        (b'{"price_cap": 1} {}', "not JSON: Extra data"),
        (b"3", "expected an object, got 3"),
        (b"null", "expected an object, got null"),
    ],
)
def test_what_is_no_json_object_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(MarketError) as caught:
        read_change(content)
    (line,) = caught.value.problems
    assert message in line


words = st.sampled_from(["users", "providers", "delays", "price_cap", "add", "remove", "id", "u1", "u3", "p1", "p2"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text(max_size=3)
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=12
)


@given(documents)
def test_whatever_is_given_a_change_is_applied_or_refused(document: Any) -> None:
    market = _three_by_two()
    try:
        changed = apply(market, document)
    except MarketError:
        return
    assert changed.n >= 1
    assert changed.leader_ids == ("p1",)


def _three_by_two() -> Market:
    ones = np.ones(2)
    return Market(
        name="small",
        user_ids=("u1", "u2"),
        provider_ids=("p1", "p2", "p3"),
        demand=ones,
        price=np.ones(3),
        capacity=np.ones(3),
        value=np.zeros(3),
        unit_cost=np.zeros(3),
        delay=np.ones((2, 3)),
        price_weight=ones,
        congestion_weight=ones,
        delay_weight=ones,
        leader=(0,),
        price_cap=np.array([5.0]),
    )


def test_a_new_user_gets_the_weight_that_all_had_before_the_change() -> None:
    market = generate(2, 3, "uniform", 0)
    user = {"id": "new", "demand": 1.0, "delays": 0.5}
    changed = apply(market, {"users": {"u1": {"weights": {"price": 2.0}}}, "add": {"users": [user]}})
    assert changed.price_weight.tolist() == [2.0, 1.0, 1.0]
