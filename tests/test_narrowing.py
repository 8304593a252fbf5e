"""Narrowing: fewer users with the loads of all, while costs stay within bounds; and prices of many users by that."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from helpers.markets import draw_market
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Search
from prillm_or.users import equilibrium
from prillm_or.users.certificate import certified
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.narrowing import are_many, costs_around, costs_between, narrowed, respond, sample
from prillm_or.users.problem import user_problem

MARKETS = {
    "uniform": partial(generate, 600, 3),
    "tastes": partial(generate, 600, 3, dispersion=0.3),
    "crowds": partial(generate, 600, 4, people=10_000, dispersion=0.05),
    "weights": partial(draw_market, "weights", 600, 3),
    "own tastes": partial(generate, 700, 4, "market", dispersion=0.02),
    "alone": partial(generate, 600, 3, dispersion=0.3, congestion=False),
}


def market_of(kind: str, seed: int) -> Market:
    return MARKETS[kind](seed=seed)


@pytest.mark.parametrize("kind", MARKETS)
def test_few_users_have_the_loads_of_all(kind: str) -> None:
    users = user_problem(market_of(kind, 1))
    price = users.offsets(np.zeros(1)).std()
    prices = price * np.array([[1.0], [1.02]])
    low, high = (solve_users(users, each) for each in prices)
    off = float(np.abs(high.congestion - low.congestion).max())
    costs = costs_between(users, (low.prices, high.prices), (low.congestion, high.congestion), off)
    few = narrowed(users, costs, prices.mean(axis=0), (low.congestion + high.congestion) / 2)
    assert len(few.demand) < 200
    assert few.demand.sum() + np.sum(few.fixed) == pytest.approx(users.demand.sum(), rel=1e-12)
    for share in (0.0, 0.3, 1.0):
        at = (1 - share) * prices[0] + share * prices[1]
        whole, part = solve_users(users, at), solve_users(few, at)
        np.testing.assert_allclose(part.load, whole.load, rtol=0, atol=1e-11 * users.demand.sum())
        own = part.congestion + few.fixed / few.capacity
        np.testing.assert_allclose(own, whole.congestion, rtol=0, atol=1e-11 * float(np.abs(whole.congestion).max()))


@pytest.mark.parametrize("kind", MARKETS)
def test_the_loads_that_answer_a_congestion_tell_how_far_it_is_off(kind: str) -> None:
    users, price = user_problem(market_of(kind, 2)), np.array([1.0])
    found, offsets = solve_users(users, price), users.offsets(price)
    _, load = respond(users, offsets, found.congestion)
    np.testing.assert_allclose(load, found.load, rtol=1e-9)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-1, 1.0):
        near = found.congestion + size * rng.normal(size=len(load)) * users.congested
        _, load = respond(users, offsets, near)
        off = np.abs(users.excess(load, near) / users.capacity).max()
        assert np.abs(near - found.congestion).max() <= off * (1 + 1e-12)
        few = narrowed(users, costs_around(offsets, near, off), price, near)
        if len(few.demand):
            part = solve_users(few, price)
            np.testing.assert_allclose(part.load, found.load, rtol=0, atol=1e-11 * users.demand.sum())


def test_links_have_demand_where_costs_stand_still() -> None:
    users, price = user_problem(market_of("alone", 2)), np.array([1.0])
    still, offsets = np.zeros(users.base.shape[1]), users.offsets(price)
    few = narrowed(users, costs_around(offsets, still, 0.0), price, still)
    assert len(few.demand) > 0
    assert few.demand.min() > 0


def test_a_sample_has_all_the_demand() -> None:
    users = user_problem(generate(3000, 3, "heavy", 1))
    few = sample(users)
    assert len(few.demand) < 400
    assert few.demand.sum() == pytest.approx(users.demand.sum(), rel=1e-12)


@pytest.mark.parametrize("kind", MARKETS)
def test_equilibria_of_many_are_those_of_newton_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRILLM_OR_KERNEL", "0")
    market = market_of(kind, 3)
    users = user_problem(replace(market))
    assert are_many(users)
    many = solve_users(users, [1.5])
    monkeypatch.setattr(equilibrium, "are_many", lambda users: False)
    alone = solve_users(users, [1.5])
    np.testing.assert_allclose(many.flow, alone.flow, rtol=0, atol=1e-9 * float(users.demand.max()))
    np.testing.assert_allclose(many.load, alone.load, rtol=1e-11)


@pytest.mark.parametrize("kind", MARKETS)
def test_bisect_finds_the_best_of_many_by_some(kind: str) -> None:
    market = market_of(kind, 4)
    search = Search(market, user_problem(market))
    search.climb()
    for _ in search.steps():
        pass
    found = Bisect().solve(market, Limits(gap=1e-10))
    assert found.prices is not None
    assert found.upper_bound is not None
    assert found.upper_bound >= search.best_profit * (1 - 1e-11)
    assert found.upper_bound <= search.best_profit * (1 + 2e-10)
    assert found.prices[0] == pytest.approx(search.best_price, rel=1e-4)


def test_digits_of_a_hundred_thousand_users() -> None:
    # Sums of widths times offsets over so many users cancel to loads with ten digits fewer.
    market = generate(100_000, 3, "uniform", 1)
    users = replace(user_problem(market), market=None, fixed=np.zeros(3))
    found = solve_users(users, [2.0])
    np.testing.assert_allclose(users.capacity * found.congestion, found.load, rtol=1e-13)
    assert certified(market, found.prices, found.flow).kkt_residual < 1e-12
