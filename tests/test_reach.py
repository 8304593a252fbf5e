"""reach: from which price on nobody uses a provider, and solvers that never see a cap beyond it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.markets import draw_market, make_market, one_rival, with_unit_cost
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.reach import reach, within_reach

FAR = (1e4, 1e9, 1e17)
SEVERAL = ("ascent", "grid", "highs", "scip", "gurobi")


def two_brands(cap: float) -> Market:
    """Three kinds of users, two of whom weigh things their own way, and a leader with two prices."""
    return make_market(
        user_ids=("search", "coding", "support"),
        provider_ids=("large", "small", "rival-a", "rival-b"),
        demand=[120.0, 60.0, 40.0],
        price=[9.0, 2.0, 3.0, 7.0],
        capacity=[20.0, 40.0, 50.0, 25.0],
        value=[8.0, 2.0, 3.0, 6.0],
        unit_cost=[2.5, 0.5, 0.0, 0.0],
        delay=[[0.9, 0.3, 0.5, 0.8], [0.9, 0.3, 0.5, 0.8], [1.1, 0.4, 0.6, 1.0]],
        congestion_weight=[1.0, 0.5, 1.0],
        delay_weight=[1.0, 0.2, 2.0],
        leader=(0, 1),
        price_cap=[cap, cap],
    )


def test_reach_by_hand() -> None:
    # All of D = 4 at the rival: 2 + (4 + 4) / 2 = 6 at the margin, and the leader's first unit costs its price alone.
    market = one_rival(price_cap=[1e9])
    assert reach(market) == pytest.approx([6.0], rel=1e-9)
    assert within_reach(market).price_cap == pytest.approx([6.0], rel=1e-9)
    assert within_reach(one_rival(price_cap=[5.0])).price_cap == 5.0


def test_a_provider_that_nobody_ever_uses_has_reach_0() -> None:
    assert reach(one_rival(value=[-7.0, 0.0])) == 0.0


def test_a_provider_far_better_than_its_rivals() -> None:
    assert reach(one_rival(value=[1e9, 0.0])) == pytest.approx([1e9 + 6.0], rel=1e-11)


@pytest.mark.parametrize("kind", ["uniform", "heavy", "costs", "weights", "degenerate"])
def test_beyond_its_reach_nobody_uses_a_provider_whatever_the_other_prices(kind: str) -> None:
    rng = np.random.default_rng(7)
    for seed in range(10):
        market = replace(draw_market(kind, 5, 6, seed, leaders=1 + seed % 3), price_cap=np.full(1 + seed % 3, 1e3))
        own, ends = market.leader, reach(market)
        for a, j in enumerate(own):
            prices = rng.uniform(0.0, 1.5, len(own)) * np.maximum(ends, 1.0)
            prices[a] = ends[a]
            found = equilibrium_at(market, prices)
            assert found.load[j] <= 1e-12 * market.demand.sum()
            prices[a] = 10 * ends[a] + 1
            dearer = equilibrium_at(market, prices)
            assert dearer.load == pytest.approx(found.load, rel=1e-9, abs=1e-9 * market.demand.sum())


@pytest.mark.parametrize("kind", ["uniform", "heavy", "weights"])
def test_the_reach_of_one_price_is_no_dearer_than_need_be(kind: str) -> None:
    for seed in range(10):
        market = draw_market(kind, 5, 6, seed)
        if (end := reach(market)) > 0:
            assert equilibrium_at(market, (1 - 1e-6) * end).load[market.leader[0]] > 0


@pytest.mark.parametrize("solver", ["path", "bisect", "enumerate", "highs", "scip", "gurobi"])
def test_a_far_cap_changes_nothing_of_one_price(solver: str) -> None:
    near = make_market(price=[np.nan, 2.0, 3.0], unit_cost=[0.4, 0.0, 0.0], value=[1.5, 0.0, 0.0])
    expected = solve(near).profit
    for cap in FAR:
        result = solve(replace(near, price_cap=np.array([cap])), solver=solver)
        assert result.status == "optimal"
        assert result.profit == pytest.approx(expected, rel=1e-4)
        assert result.upper_bound is not None
        assert result.upper_bound >= expected * (1 - 1e-9)


@pytest.mark.parametrize("solver", SEVERAL)
@pytest.mark.parametrize("cap", FAR)
def test_a_far_cap_changes_nothing_of_several_prices(solver: str, cap: float) -> None:
    result = solve(two_brands(cap), solver=solver)
    # Of a branch and bound on this market with caps of 20 and 6.
    assert result.profit == pytest.approx(369.71853809895106, rel=1e-6)
    if solver in ("highs", "scip", "gurobi"):
        assert result.status == "optimal"
        assert result.upper_bound is not None
        assert result.upper_bound >= 369.718538098951


def test_a_far_cap_leaves_no_false_bound_of_an_abstraction() -> None:
    market = replace(generate(8, 13, "uniform", 3), price_cap=np.array([1e20]))
    exact = solve(market)
    result = solve(market, abstraction="anchored@2", certify=True)
    assert result.status in ("optimal", "feasible")
    assert result.upper_bound == pytest.approx(exact.profit, rel=1e-4)


@pytest.mark.parametrize("solver", ["path", "bisect", "highs", "scip", "gurobi"])
def test_where_serving_costs_more_than_anybody_pays_nothing_is_earned_and_that_is_proven(solver: str) -> None:
    result = solve(with_unit_cost(one_rival(), 7.0), solver=solver)
    assert result.status == "optimal"
    assert result.profit == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("solver", ["highs", "scip", "gurobi", "ascent"])
@pytest.mark.parametrize("cap", [0.0, 1e-9, 1e-300])
def test_several_prices_with_a_cap_of_next_to_nothing(solver: str, cap: float) -> None:
    result = solve(two_brands(cap), solver=solver)
    assert result.status in ("heuristic", "optimal")
    assert np.isfinite(result.profit)
    free = replace(two_brands(cap), unit_cost=np.zeros(4))
    result = solve(free, solver=solver)
    load = equilibrium_at(free, [cap, cap]).load[:2].sum()
    assert result.profit == pytest.approx(cap * load, rel=1e-6, abs=1e-300)
    if solver != "ascent":
        assert result.status == "optimal"
