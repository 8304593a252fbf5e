"""Closed-form abstractions: exact where they must be, touching at the anchor, blind to order, writable as files."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.markets import draw_market, shipped
from helpers.sold import sold
from prillm_or.abstraction import anchored, average, capacity, minimum
from prillm_or.abstraction.anchors import capacity_anchor, today_anchor
from prillm_or.abstraction.small_market import Abstraction, ample
from prillm_or.files.markets import read_market, write_market
from prillm_or.limits import Limits
from prillm_or.market.decisions import all_prices, decision_costs
from prillm_or.market.market import Array, Market
from prillm_or.market.outside import with_outside
from prillm_or.market.synthetic import generate
from prillm_or.solvers.path import Path as ExactPath
from prillm_or.users.equilibrium import Equilibrium, equilibrium_at
from prillm_or.users.problem import user_problem
from prillm_or.users.slopes import earning_slopes, load_slopes

Abstract = Callable[[Market, int], Abstraction]

KINDS = ("uniform", "heavy", "costs", "weights", "degenerate")
CLOSED_FORMS = {
    "min": minimum.abstract,
    "avg": average.abstract,
    "capacity": capacity.abstract,
    "anchored": anchored.abstract,
}
MERGES = {name: CLOSED_FORMS[name] for name in ("capacity", "anchored")}


@pytest.fixture(params=CLOSED_FORMS)
def closed_form(request: pytest.FixtureRequest) -> Abstract:
    return CLOSED_FORMS[request.param]


@pytest.fixture(params=MERGES)
def merge(request: pytest.FixtureRequest) -> Abstract:
    return MERGES[request.param]


def costs(market: Market) -> Array:
    """What a unit costs users before congestion and the leader's price, over their congestion weight; shape (n, m)."""
    own = market.price_weight[:, None] * all_prices(market, 0.0) + market.delay_weight[:, None] * market.delay
    return (own - market.value) / market.congestion_weight[:, None]


def best_price(market: Market) -> float:
    prices = ExactPath().solve(market, Limits()).prices
    assert prices is not None
    return float(prices[0])


def everybody_everywhere(seed: int, *, own_weights: bool = False) -> Market:
    """A market so congested that every user uses every rival at every price up to the cap."""
    rng = np.random.default_rng(seed)
    n, m = 5, 7
    weights = rng.uniform(0.8, 1.25, (3, n)) if own_weights else np.ones((3, n))
    return Market(
        name="everybody",
        user_ids=tuple(f"u{i}" for i in range(n)),
        provider_ids=tuple(f"p{j}" for j in range(m)),
        demand=rng.uniform(40, 60, n),
        price=rng.uniform(1.0, 1.3, m),
        capacity=rng.uniform(5, 10, m),
        value=rng.uniform(0, 0.3, m),
        unit_cost=np.full(m, 0.1),
        delay=rng.uniform(0, 0.3, (n, m)),
        price_weight=weights[0],
        congestion_weight=weights[1],
        delay_weight=weights[2],
        leader=(3,),
        price_cap=np.array([15.0]),
    )


# Exact where every user uses every rival


@pytest.mark.parametrize("own_weights", [False, True])
@pytest.mark.parametrize("keep", [1, 2, 4])
def test_where_everybody_uses_every_rival_merges_are_exact(merge: Abstract, keep: int, own_weights: bool) -> None:
    for seed in range(5):
        market = everybody_everywhere(seed, own_weights=own_weights)
        rivals = list(market.rivals)
        for price in (0.0, 15.0):
            assert (equilibrium_at(market, [price]).flow[:, rivals] > 0).all()
        small = merge(market, keep).market
        assert len(small.rivals) == keep
        own = small.leader[0]
        for price in np.linspace(0.0, 15.0, 7):
            full, few = equilibrium_at(market, [price]), equilibrium_at(small, [price])
            np.testing.assert_allclose(few.load[own], full.load[3], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(few.multiplier, full.multiplier, rtol=1e-9)
        assert best_price(small) == pytest.approx(best_price(market), rel=1e-9)


def sold_everywhere(kind: str, seed: int) -> Market:
    """Such a market of crowds, tastes or price lists, for which merges are exact all the same."""
    rng = np.random.default_rng([seed, 5])
    market = everybody_everywhere(seed, own_weights=kind != "crowds")
    tastes: dict[str, Any] = {"dispersion": rng.uniform(300, 600, 5)}
    price = rng.uniform(0.4, 0.7, (7, 2))
    lists = {
        "components": ("input", "output"),
        "mix": rng.uniform(0.5, 1.5, (5, 2)),
        "price": price,
        "unit_cost": price / 9,
    }
    kinds: dict[str, dict[str, Any]] = {
        "crowds": {"count": rng.integers(1, 9, 5), "delay": market.delay / 9, "value": market.value / 9},
        "tastes": {**tastes, "provider_dispersion": 3.0 / market.capacity},
        "tastes alone": {
            **tastes,
            "congestion_weight": np.zeros(5),
            "capacity": np.ones(7),
            "provider_dispersion": rng.uniform(0.5, 2, 7),
        },
        "output": {**lists, "decides": ("output",), "price_cap": [8.0]},
        "factor": {**lists, "decides": "factor", "price_cap": [12.0]},
        "values": {"user_values": np.where(rng.random((5, 7)) < 0.5, rng.uniform(0, 0.3, (5, 7)), np.nan)},
    }
    return replace(market, **kinds[kind])


@pytest.mark.parametrize("kind", ["crowds", "tastes", "tastes alone", "output", "factor", "values"])
@pytest.mark.parametrize("keep", [1, 3])
def test_so_are_those_of_crowds_tastes_and_price_lists(merge: Abstract, keep: int, kind: str) -> None:
    for seed in range(3):
        market = sold_everywhere(kind, seed)
        small = merge(market, keep).market
        for share in (0.0, 0.3, 1.0):
            full, few = (equilibrium_at(which, share * market.price_cap) for which in (market, small))
            assert (full.flow[:, list(market.rivals)] > 0).all(), (kind, seed, share)
            np.testing.assert_allclose(few.flow[:, small.leader[0]], full.flow[:, market.leader[0]], rtol=1e-8)
            np.testing.assert_allclose(few.multiplier, full.multiplier, rtol=1e-9)
        assert best_price(small) == pytest.approx(best_price(market), rel=1e-7)


# Touching at the anchor


def profit_slope(found: Equilibrium, market: Market) -> float:
    """Of one decision, on the support of an equilibrium."""
    volume, beside = earning_slopes(found.users, found.laplacian)
    margin = found.prices - decision_costs(market)
    return float(found.by_decision[0] + margin[0] * volume[0, 0] + beside[0])


def sold_and_merged(seed: int) -> tuple[Market, Abstraction, Equilibrium, Equilibrium]:
    """A market as it is sold, merged at some anchor, and the equilibria of both there."""
    rng = np.random.default_rng(seed)
    leaders = 1 + (seed % 4 == 3)
    decides = "components" if seed % 8 == 3 else None
    market = sold(seed, m=leaders + int(rng.integers(4, 9)), leaders=leaders, decides=decides)
    anchor = market.price_cap * rng.uniform(0.0, 0.7, len(market.decisions))
    made = anchored.abstract(market, 1 + seed % 3, anchor=anchor)
    assert made.equilibrium is not None
    return market, made, made.equilibrium, equilibrium_at(made.market, anchor)


@pytest.mark.parametrize(
    "seeds", [range(24), pytest.param(range(24, 1000), marks=pytest.mark.slow)], ids=lambda seeds: str(len(seeds))
)
def test_markets_as_they_are_sold_touch_at_the_anchor(seeds: range) -> None:
    """Flows and multipliers always; the slope of the profit of one decision where some size of the merged rival can."""
    slopes = matched = 0
    for seed in seeds:
        market, made, full, few = sold_and_merged(seed)
        stay = [market.provider_ids.index(name) for name in made.market.provider_ids if name not in made.merged]
        np.testing.assert_allclose(
            few.flow[:, : len(stay)], full.flow[:, stay], rtol=0, atol=1e-10 * market.demand.max()
        )
        money = np.abs(full.multiplier).max() + full.congestion.max()
        np.testing.assert_allclose(few.multiplier, full.multiplier, rtol=0, atol=1e-10 * money)
        if len(market.decisions) == 1 and full.by_decision[0] > 0:
            slopes += 1
            target = profit_slope(full, market)
            matched += abs(profit_slope(few, made.market) - target) <= 1e-7 * abs(target)
    assert slopes >= len(seeds) // 4
    assert matched >= 0.9 * slopes


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 9),
    m=st.integers(4, 9),
    seed=st.integers(0, 10**6),
    keep=st.integers(1, 2),
    share=st.floats(0.0, 1.0),
)
def test_at_the_anchor_flows_and_multipliers_are_those_of_the_full_market(
    kind: str, n: int, m: int, seed: int, keep: int, share: float
) -> None:
    market = draw_market(kind, n, m, seed)
    made = anchored.abstract(market, keep, anchor=share * market.price_cap)
    found = made.equilibrium
    assert found is not None
    np.testing.assert_array_equal(made.anchor, share * market.price_cap)
    few = equilibrium_at(made.market, found.prices)
    volume = market.demand.max()
    np.testing.assert_allclose(few.flow[:, made.market.leader[0]], found.flow[:, market.leader[0]], atol=2e-9 * volume)
    money = np.abs(found.multiplier).max() + (found.load / market.capacity).max()
    np.testing.assert_allclose(few.multiplier, found.multiplier, atol=2e-9 * money)


@pytest.mark.parametrize("leaders", [1, 2])
@pytest.mark.parametrize("kind", ["uniform", "heavy", "costs", "weights"])
def test_at_the_anchor_the_load_has_the_slope_of_the_full_market(kind: str, leaders: int) -> None:
    matched = 0
    for seed in range(30):
        market = draw_market(kind, 8, 8, seed, leaders=leaders)
        anchor = 0.31 * market.price_cap
        made = anchored.abstract(market, 1 + seed % 3, anchor=anchor)
        assert made.equilibrium is not None
        (others,) = made.merged.values()
        total = sum(market.capacity[market.provider_ids.index(name)] for name in others)
        if made.market.capacity[-1] == pytest.approx(total, rel=1e-12):
            continue  # no capacity gives the slope
        matched += 1
        slope = load_slopes(user_problem(market), made.equilibrium.laplacian).sum()
        few = load_slopes(user_problem(made.market), equilibrium_at(made.market, anchor).laplacian).sum()
        assert few == pytest.approx(slope, rel=1e-7)
    assert matched >= 20


def test_the_slope_is_matched_where_it_does_not_fall_with_the_merged_capacity() -> None:
    """With users' own weights it need not: looking for a change of sign at the ends alone matches 49 of these."""
    matched = 0
    for seed in range(60):
        market = generate(8, 9, "market", seed)
        weights = np.exp(np.random.default_rng(seed).normal(0, 0.8, 8))
        market = replace(market, price_weight=weights)
        anchor = 0.1 * market.price_cap
        made = anchored.abstract(market, 2, anchor=anchor)
        assert made.equilibrium is not None
        slope = load_slopes(user_problem(market), made.equilibrium.laplacian)[0, 0]
        few = load_slopes(user_problem(made.market), equilibrium_at(made.market, anchor).laplacian)[0, 0]
        matched += abs(few - slope) <= 1e-7 * abs(slope)
    assert matched >= 56


def test_an_anchor_without_load_still_merges() -> None:
    market = draw_market("uniform", 6, 6, 3)
    market = replace(market, price_cap=np.array([1e4]))
    made = anchored.abstract(market, 2, anchor=np.array([1e4]))
    assert made.equilibrium is not None
    assert made.equilibrium.load[market.leader[0]] == 0.0
    (others,) = made.merged.values()
    total = sum(market.capacity[market.provider_ids.index(name)] for name in others)
    assert made.market.capacity[-1] == pytest.approx(total, rel=1e-12)
    assert 0 < best_price(made.market) < 1e4


def test_the_rivals_that_gain_most_are_kept_by_anchored_the_largest_by_capacity() -> None:
    market = draw_market("uniform", 8, 8, 5)
    made = anchored.abstract(market, 3)
    assert made.equilibrium is not None
    step = 1e-6
    gains = equilibrium_at(market, made.equilibrium.prices + step).load - made.equilibrium.load
    most = sorted(market.rivals, key=lambda j: -gains[j])[:2]
    assert set(made.kept) == {market.provider_ids[j] for j in most}
    largest = sorted(market.rivals, key=lambda j: -market.capacity[j])[:2]
    assert set(capacity.abstract(market, 3).kept) == {market.provider_ids[j] for j in largest}


# All of them


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), keep=st.integers(1, 4), leaders=st.integers(1, 2))
def test_what_stays_is_unchanged_to_users(kind: str, seed: int, keep: int, leaders: int) -> None:
    market = draw_market(kind, 4, 7, seed, leaders=leaders)
    for abstract in CLOSED_FORMS.values():
        made = abstract(market, keep)
        small = made.market
        assert len(small.rivals) == keep
        assert small.leader_ids == market.leader_ids
        assert set(made.kept) | set(made.merged) == {small.provider_ids[j] for j in small.rivals}
        stay = [j for j, name in enumerate(market.provider_ids) if name in small.provider_ids]
        assert small.provider_ids == (*(market.provider_ids[j] for j in stay), *made.merged)
        np.testing.assert_allclose(costs(small)[:, : len(stay)], costs(market)[:, stay], rtol=1e-12, atol=1e-12)
        for field in ("price", "capacity", "value", "unit_cost"):
            np.testing.assert_array_equal(getattr(small, field)[: len(stay)], getattr(market, field)[stay])
        for field in ("demand", "price_cap", "price_weight", "congestion_weight"):
            np.testing.assert_array_equal(getattr(small, field), getattr(market, field))
        for weights in made.merged.values():
            assert sum(weights.values()) == pytest.approx(1.0)
            assert set(weights).isdisjoint({*made.kept, *market.leader_ids})


def test_a_market_with_as_few_rivals_is_returned_as_it_is(closed_form: Abstract) -> None:
    market = draw_market("uniform", 4, 4, 0)
    for keep in (3, 4, 50):
        made = closed_form(market, keep)
        assert made.market is market
        assert (made.merged, made.equilibrium) == ({}, None)
        assert len(made.kept) == 3


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), keep=st.integers(1, 3))
def test_the_order_of_providers_and_users_changes_nothing(kind: str, seed: int, keep: int) -> None:
    market = draw_market(kind, 5, 6, seed)
    rng = np.random.default_rng(seed)
    users, providers = rng.permutation(5), rng.permutation(6)
    shuffled = replace(
        market,
        user_ids=tuple(market.user_ids[i] for i in users),
        provider_ids=tuple(market.provider_ids[j] for j in providers),
        delay=market.delay[np.ix_(users, providers)],
        leader=(int(np.flatnonzero(providers == market.leader[0])[0]),),
        **{f: getattr(market, f)[users] for f in ("demand", "price_weight", "congestion_weight", "delay_weight")},
        **{f: getattr(market, f)[providers] for f in ("price", "capacity", "value", "unit_cost")},
    )
    for abstract in CLOSED_FORMS.values():
        one, other = abstract(market, keep), abstract(shuffled, keep)
        assert set(one.kept) == set(other.kept)
        assert list(one.merged) == list(other.merged)
        where = [other.market.provider_ids.index(name) for name in one.market.provider_ids]
        np.testing.assert_allclose(other.market.capacity[where], one.market.capacity, rtol=1e-6)
        mine, theirs = costs(one.market)[users], costs(other.market)[:, where]
        np.testing.assert_allclose(theirs, mine, rtol=1e-6, atol=1e-6 * np.abs(mine).max())


@pytest.mark.parametrize("money", [1e-6, 1e6])
@pytest.mark.parametrize("volume", [1e-9, 1e9])
def test_units_change_nothing(closed_form: Abstract, money: float, volume: float) -> None:
    market = draw_market("costs", 6, 7, 2)
    other = replace(
        market,
        demand=volume * market.demand,
        capacity=volume * market.capacity,
        **{f: money * getattr(market, f) for f in ("price", "value", "unit_cost", "price_cap")},
        delay_weight=money * market.delay_weight,
        congestion_weight=money * market.congestion_weight,
    )
    here, there = closed_form(market, 2), closed_form(other, 2)
    assert here.kept == there.kept
    assert best_price(there.market) == pytest.approx(money * best_price(here.market), rel=1e-7)


def test_values_of_any_sign_and_an_absent_price_of_the_leader(closed_form: Abstract) -> None:
    market = draw_market("weights", 6, 7, 4)
    prices = market.price.copy()
    prices[market.leader[0]] = np.nan
    market = replace(market, price=prices)
    other = replace(market, value=market.value - 100.0)
    here, there = closed_form(market, 2), closed_form(other, 2)
    assert np.isnan(here.market.price[here.market.leader[0]])
    assert best_price(there.market) == pytest.approx(best_price(here.market), rel=1e-7)


@pytest.mark.parametrize("seed", range(4, 12))
def test_markets_as_they_are_sold_keep_what_is_theirs(closed_form: Abstract, seed: int, tmp_path: Path) -> None:
    market = sold(seed, m=7)
    made = closed_form(market, 2)
    small = made.market
    stay = [j for j, name in enumerate(market.provider_ids) if name in small.provider_ids]
    for field in ("price", "capacity", "value", "unit_cost", "provider_dispersion"):
        np.testing.assert_array_equal(getattr(small, field)[: len(stay)], getattr(market, field)[stay])
    for field in ("demand", "count", "dispersion", "mix", "price_weight", "congestion_weight", "price_cap"):
        np.testing.assert_array_equal(getattr(small, field), getattr(market, field))
    assert (small.decides, small.components, small.decisions) == (market.decides, market.components, market.decisions)
    if market.user_values.size:
        np.testing.assert_array_equal(small.user_values[:, : len(stay)], market.user_values[:, stay])
        assert np.isnan(small.user_values[:, len(stay) :]).all()
    if market.components:
        assert not small.price[len(stay) :].any()
    write_market(small, tmp_path / "small.json")
    assert best_price(read_market(tmp_path / "small.json").market) == best_price(small)


def test_an_outside_option_is_kept_apart_without_congestion_too() -> None:
    market = with_outside(sold(3, m=6, congested=False), 1.0)
    assert ample(market).tolist() == [False] * 6 + [True]
    assert capacity.coarsest(market).kept == ("outside",)


def test_a_small_market_is_a_file_like_any_other(closed_form: Abstract, tmp_path: Path) -> None:
    for kind in ("weights", "costs"):
        small = closed_form(draw_market(kind, 4, 7, 6), 2).market
        write_market(small, tmp_path / "small.json")
        again = read_market(tmp_path / "small.json").market
        assert (again.name, again.description, again.units) == (small.name, small.description, small.units)
        assert (again.provider_ids, again.leader) == (small.provider_ids, small.leader)
        for field in ("price", "capacity", "value", "delay", "delay_weight", "price_weight", "congestion_weight"):
            np.testing.assert_array_equal(getattr(again, field), getattr(small, field))
        assert best_price(again) == best_price(small)


def test_no_merged_rival_takes_a_name_that_is_taken() -> None:
    market = draw_market("uniform", 4, 6, 0)
    market = replace(market, provider_ids=("5 others", "4 others", "average 1", "p4", "p5", "p6"))
    for abstract in CLOSED_FORMS.values():
        for keep in (1, 2):
            made = abstract(market, keep)
            assert set(made.merged).isdisjoint(market.provider_ids)


def test_min_keeps_the_cheapest_and_avg_the_means() -> None:
    market = draw_market("uniform", 4, 7, 1)
    rivals = list(market.rivals)
    cheapest = sorted(rivals, key=lambda j: market.price[j])[:3]
    made = minimum.abstract(market, 3)
    assert (set(made.kept), made.merged) == ({market.provider_ids[j] for j in cheapest}, {})
    small = average.abstract(market, 2).market
    np.testing.assert_allclose(small.capacity[1:], market.capacity[rivals].mean())
    np.testing.assert_allclose(costs(small)[:, 1:], costs(market)[:, rivals].mean(axis=1, keepdims=True) * np.ones(2))


def test_anchors() -> None:
    market = shipped("coding-13")
    assert market.today is not None
    np.testing.assert_array_equal(today_anchor(market), market.today)
    np.testing.assert_array_equal(today_anchor(replace(market, price_cap=market.today / 2)), market.today / 2)
    absent = market.price.copy()
    absent[market.leader[0]] = np.nan
    np.testing.assert_array_equal(today_anchor(replace(market, price=absent)), market.price_cap / 2)
    assert capacity_anchor(market) == pytest.approx([best_price(capacity.abstract(market, 1).market)], rel=1e-12)


def test_notes_say_who_was_kept_and_merged_and_where_it_is_anchored() -> None:
    market = shipped("coding-13")
    notes = anchored.abstract(market, 2).notes
    assert [note.split(":")[0].split(" ")[0] for note in notes] == ["rivals", "rival", "anchored"]
    assert re.fullmatch(r"rivals kept: deepseek-v4-flash.*", notes[0])
    assert re.search(r"minimax-m3 \d+\.\d %, ", notes[1])
    assert average.abstract(market, 1).notes[0] == "rivals kept: none"
