"""Market: immutable, and refused where it breaks a rule."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from helpers.markets import make_market
from prillm_or.errors import MarketError
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Market, by_leader, by_provider


def test_arrays_are_copies_and_read_only() -> None:
    demand = np.array([1.0, 2.0])
    market = make_market(demand=demand)
    demand[0] = 5.0
    assert market.demand[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        market.demand[0] = 5.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        market.name = "other"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    "arrays",
    [
        {"price": [np.nan, 2.5, 3.0]},
        {"demand": [1.5, 2.0], "delay": np.ones((2, 3))},
        {"count": [2.0, 1.0]},
        {"value": [0.0, -2.0, 1.0], "user_values": [[np.nan, 1.0, 2.0], [0.0, 0.0, np.nan]]},
    ],
)
def test_other_arrays_make_the_market_that_replacing_them_makes(arrays: dict[str, Any]) -> None:
    market = make_market()
    kept = (market.current, market.worth, market.pair_dispersion, market.rivals)  # what may go over, and what may not
    found, wanted = market.with_arrays(**arrays), dataclasses.replace(market, **arrays)
    assert found.rivals == kept[-1]
    for name in (*(field.name for field in dataclasses.fields(Market)), "current", "worth", "pair_dispersion"):
        assert repr(getattr(found, name)) == repr(getattr(wanted, name)), name
    for name, given in arrays.items():
        assert getattr(found, name) is not given
        assert not getattr(found, name).flags.writeable


@pytest.mark.parametrize(
    "arrays",
    [
        {"demand": [1.0, 0.0]},
        {"demand": [1.0, np.nan]},
        {"demand": [1.0, np.inf]},
        {"demand": [1.0, 2.0, 3.0]},
        {"demand": ["many", 2.0]},
        {"price": [1.0, np.nan, 3.0]},
        {"value": [0.0, -np.inf, 1.0]},
        {"delay": np.array([[0.0, -1.0, 0.0], [0.0, 0.0, 0.0]])},
        {"congestion_weight": [0.0, 1.0]},
        {"count": [1.5, 1.0]},
    ],
)
def test_other_arrays_are_refused_as_those_of_a_new_market(arrays: dict[str, Any]) -> None:
    market = make_market()
    with pytest.raises(MarketError) as refusal:
        market.with_arrays(**arrays)
    with pytest.raises(MarketError) as wanted:
        dataclasses.replace(market, **arrays)
    assert refusal.value.problems == wanted.value.problems


def test_sizes_names_and_rivals() -> None:
    market = make_market(leader=(2, 0))
    assert (market.n, market.m) == (2, 3)
    assert market.rivals == (1,)
    assert market.leader_ids == ("p3", "p1")


def test_today_follows_the_leaders_order_and_needs_every_price() -> None:
    today = make_market(leader=(2, 0)).today
    assert today is not None
    assert today.tolist() == [3.0, 1.0]
    assert make_market(leader=(2, 0), price=[np.nan, 2.0, 3.0]).today is None


def test_all_prices_puts_the_leaders_in_place() -> None:
    market = make_market(leader=(2, 0), price=[np.nan, 2.0, 3.0])
    assert all_prices(market, [7.0, 8.0]).tolist() == [8.0, 2.0, 7.0]
    assert market.price[2] == 3.0


def test_values_by_id() -> None:
    market = make_market(leader=(2, 0))
    assert by_provider(market, np.array([7.0, 8.0, 9.0])) == {"p1": 7.0, "p2": 8.0, "p3": 9.0}
    assert by_leader(market, [9.0, 7.0]) == {"p3": 9.0, "p1": 7.0}
    with pytest.raises(ValueError, match="zip"):
        by_leader(market, np.zeros(3))


def test_common_weights_are_seen_key_by_key() -> None:
    assert make_market(price_weight=[2.0, 2.0]).common_weights
    for weight in ("price_weight", "congestion_weight", "delay_weight"):
        assert not make_market(**{weight: [1.0, 2.0]}).common_weights


def test_a_changed_market_is_checked_like_a_new_one(small_market: Market) -> None:
    assert dataclasses.replace(small_market, demand=np.array([3.0, 4.0])).demand.tolist() == [3.0, 4.0]
    with pytest.raises(MarketError, match=r"demand\[u2\]"):
        dataclasses.replace(small_market, demand=np.array([3.0, -4.0]))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"demand": [1.0]}, "demand: expected shape (2,), got (1,)"),
        ({"delay": np.ones((3, 2))}, "delay: expected shape (2, 3), got (3, 2)"),
        ({"price_cap": [1.0, 2.0]}, "price_cap: expected shape (1,), got (2,)"),
        ({"user_ids": ("u", "u")}, "users: 'u' appears more than once"),
        ({"provider_ids": ("a", "b", "a")}, "providers: 'a' appears more than once"),
        ({"leader": (0, 0)}, "leader.providers: 0 appears more than once"),
        ({"leader": (), "price_cap": []}, "leader.providers: expected at least one provider"),
        ({"leader": (3,)}, "leader.providers: no provider number 3"),
        ({"leader": (0, 1, 2)}, "leader.providers: the leader owns every provider; at least one rival is needed"),
        ({"demand": [0.0, 1.0]}, "demand[u1]: expected a finite number > 0, got 0.0"),
        ({"capacity": [1.0, -2.0, 1.0]}, "capacity[p2]: expected a finite number > 0, got -2.0"),
        ({"price": [1.0, np.nan, 1.0]}, "price[p2]: expected a finite number >= 0, got nan"),
        ({"price": [np.inf, 1.0, 1.0]}, "price[p1]: expected a finite number >= 0, got inf"),
        ({"value": [0.0, np.inf, 0.0]}, "value[p2]: expected a finite number, got inf"),
        ({"unit_cost": [0.0, 0.0, -1.0]}, "unit_cost[p3]: expected a finite number >= 0, got -1.0"),
        ({"delay": [[0, 0, 0], [0, -1, 0]]}, "delay[u2, p2]: expected a finite number >= 0, got -1.0"),
        ({"price_weight": [0.0, 1.0]}, "price_weight[u1]: expected a finite number > 0, got 0.0"),
        (
            {"congestion_weight": [0.0, 1.0]},
            "congestion_weight[u1]: 0, while that of 'u2' is not: expected 0 for all users or for none, since a user "
            "without it would burden others and not be burdened",
        ),
        ({"delay_weight": [-1.0, 1.0]}, "delay_weight[u1]: expected a finite number >= 0, got -1.0"),
        ({"price_cap": [-1.0]}, "price_cap[p1]: expected a finite number >= 0, got -1.0"),
    ],
)
def test_each_broken_rule_is_named(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(MarketError) as caught:
        make_market(**fields)
    assert caught.value.problems == (problem,)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(MarketError) as caught:
        make_market(demand=[-1.0, 0.0], capacity=[1.0, 1.0, 0.0])
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["demand[u1]", "demand[u2]", "capacity[p3]"]
    assert str(caught.value).startswith("small: demand[u1]: ")


def test_limits_of_what_is_allowed() -> None:
    market = make_market(price=[99.0, 0.0, 0.0], price_cap=[0.0], value=[-5.0, 0.0, 5.0], delay_weight=[0.0, 0.0])
    assert market.price[0] > market.price_cap[0]
