"""spgce: the exact optimum of a model in which all users are one crowd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.answers import hand_answers, price_and_expected_profit, profit_at
from helpers.markets import draw_market
from helpers.sold import sold
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.market.selection import select
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended
from prillm_or.solvers.spgce import Spgce
from prillm_or.solving.run import solve
from prillm_or.users.problem import user_problem


def proposed(market: Market) -> tuple[float, float]:
    """Price, and the profit that the model expects of it."""
    return price_and_expected_profit(Spgce().solve(market, Limits()))


def crowd_profit(market: Market, price: float) -> float:
    """Profit if offsets' means plus congestion x / alpha are alike wherever the crowd is; its level by halving."""
    users, total = user_problem(market), float(market.demand.sum())
    offsets = market.demand @ users.offsets(np.array([price])) / total
    low, high = offsets.min(), offsets.min() + total / market.capacity.min()
    for _ in range(80):
        level = (low + high) / 2
        much = (market.capacity * np.maximum(level - offsets, 0.0)).sum() > total
        low, high = (low, level) if much else (level, high)
    own = market.leader[0]
    return float((price - market.unit_cost[own]) * market.capacity[own] * max(level - offsets[own], 0.0))


@pytest.mark.parametrize("size", [(1, 4), (3, 2), (4, 4), (9, 6)], ids=str)
def test_it_solves_its_own_model(kind: str, size: tuple[int, int]) -> None:
    for seed in range(2):
        market = draw_market(kind, *size, seed)
        price, expected = proposed(market)
        noise = 1e-9 * (market.price_cap[0] + market.unit_cost.max()) * market.demand.sum()
        assert crowd_profit(market, price) == pytest.approx(expected, rel=1e-8, abs=noise)
        for other in np.linspace(0, market.price_cap[0], 41):
            assert crowd_profit(market, float(other)) <= expected + 1e-8 * abs(expected) + noise


def as_one_user(market: Market) -> Market:
    """The crowd as one user, whose own flow counts twice at the margin: mean offsets, capacities twice as large."""
    users, share = user_problem(market), market.demand / market.demand.sum()
    return replace(
        market,
        user_ids=("crowd",),
        demand=market.demand.sum()[None],
        price=np.zeros(market.m),
        value=np.zeros(market.m),
        delay=(share @ users.base)[None, :],
        capacity=2 * market.capacity,
        price_weight=share @ users.sensitivity,
        congestion_weight=np.ones(1),
        delay_weight=np.ones(1),
        count=np.ones(1),
        dispersion=np.zeros(1),
        mix=np.empty((1, 0)),
    )


def test_the_crowd_is_one_user_with_twice_the_capacities(kind: str) -> None:
    for seed in range(5):
        market = draw_market(kind, 6, 7, seed)
        price, expected = proposed(market)
        best = Path().solve(as_one_user(market), Limits()).upper_bound
        noise = 1e-12 * (market.price_cap[0] + market.unit_cost.max()) * market.demand.sum()
        assert expected == pytest.approx(best, rel=1e-8, abs=noise)
        assert profit_at(as_one_user(market), [price]) == pytest.approx(best, rel=1e-8, abs=noise)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("congested", [True, False])
def test_it_is_exact_for_one_crowd_with_a_taste(seed: int, congested: bool) -> None:
    market = sold(seed, n=1, m=4, decides="plain", congested=congested)
    market = replace(market, count=np.full(1, 1e7), dispersion=np.ones(1))
    best = Path().solve(market, Limits()).upper_bound
    price, expected = proposed(market)
    assert expected == pytest.approx(best, rel=1e-5, abs=1e-6)
    assert profit_at(market, [price]) == pytest.approx(best, rel=1e-5, abs=1e-6)


def test_it_is_exact_in_the_limit_of_many_identical_users() -> None:
    # n identical users behave as a crowd with all capacities times n / (n + 1).
    one = draw_market("uniform", 1, 4, 3)
    shares = []
    for n in (1, 10, 100):
        names = tuple(f"u{i}" for i in range(n))
        market = select(one, [0] * n, user_ids=names, demand=np.full(n, one.demand[0] / n))
        best = Bisect().solve(market, Limits(gap=1e-9)).upper_bound
        assert best is not None
        shares.append(profit_at(market, [proposed(market)[0]]) / best)
    assert shares == sorted(shares)
    assert shares[0] < 0.999
    assert shares[-1] > 0.9999


@pytest.mark.parametrize(
    ("name", "price", "expected", "profit"),
    [
        # p + x/2 = 2 + (4 - x)/2, x = 4 - p, top at p = 2: 4 expected; in truth (6 - p)/2 = 2 as well.
        ("one-rival", 2.0, 4.0, 4.0),
        # p + x/2 = 1 + (7 - x)/2, x = 9/2 - p, top at p = 9/4, where `far` stays out: the common cost p/2 + 9/4 is
        # below 11/2. In truth the load is (8 - p)/2 = 23/8.
        ("kink", 9 / 4, 81 / 16, 9 / 4 * 23 / 8),
        # p + x/3 = 1 + (6 - x)/3, x = 3 (3 - p)/2, top at p = 3/2; in truth 4 - p = 5/2.
        ("identical-users", 1.5, 27 / 8, 15 / 4),
        # Scaled, demands 6 and 4: 0.6 (2 p - 5) + 0.4 (p - 5)/2 = 1.4 p - 4, and (2 x - 10)/3 less: x = 11 - 2.1 p,
        # top at p = 55/21: 11 p / 2 expected; in truth (35 - 5 p)/4.
        ("own-weights", 55 / 21, 55 / 21 * 5.5, 55 / 21 * (35 - 275 / 21) / 4),
        ("cap-binds", 2.0, 4.0, 4.0),  # as one-rival, whose top is at the cap
        ("nobody", 0.0, 0.0, 0.0),
    ],
)
def test_by_hand(name: str, price: float, expected: float, profit: float) -> None:
    market = hand_answers()[name].market
    assert proposed(market) == pytest.approx((price, expected), rel=1e-8, abs=1e-12)
    result = solve(market, solver="spgce")
    assert result.profit == pytest.approx(profit, rel=1e-9, abs=1e-12)
    assert result.status == "heuristic"


def test_it_is_never_above_the_optimum(kind: str) -> None:
    for seed in range(5):
        market = draw_market(kind, 8, 9, seed)
        best = Path().solve(market, Limits()).upper_bound
        assert best is not None
        assert profit_at(market, [proposed(market)[0]]) <= best + 1e-11 * abs(best)


def test_ctrl_c_before_any_price(small_market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prillm_or.solvers.spgce.best_price", interrupt)
    assert Spgce().solve(small_market, Limits()).ended is Ended.INTERRUPTED
