"""odca: the exact optimum of a model in which users ignore each other; exact in truth for one user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.answers import hand_answers, price_and_expected_profit, profit_at
from helpers.markets import draw_market, with_unit_cost
from helpers.sold import sold
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.market.selection import select
from prillm_or.solvers.odca import Odca
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem


def proposed(market: Market) -> tuple[float, float]:
    """Price, and the profit that the model expects of it."""
    return price_and_expected_profit(Odca().solve(market, Limits()))


def model_profit(market: Market, price: float) -> float:
    """Profit if each user fills providers by itself, marginal cost g + 2 f / alpha, its level found by halving."""
    users = user_problem(market)
    offsets, width = users.offsets(np.array([price])), market.capacity / 2
    low, high = offsets.min(axis=1), offsets.min(axis=1) + market.demand / width.min()
    for _ in range(80):
        level = (low + high) / 2
        much = (width * np.maximum(level[:, None] - offsets, 0.0)).sum(axis=1) > market.demand
        low, high = np.where(much, low, level), np.where(much, level, high)
    own = market.leader[0]
    load = (width[own] * np.maximum(level - offsets[:, own], 0.0)).sum()
    return float((price - market.unit_cost[own]) * load)


@pytest.mark.parametrize("size", [(1, 4), (3, 2), (4, 4), (9, 6)], ids=str)
def test_it_solves_its_own_model(kind: str, size: tuple[int, int]) -> None:
    for seed in range(2):
        market = draw_market(kind, *size, seed)
        price, expected = proposed(market)
        noise = 1e-9 * (market.price_cap[0] + market.unit_cost.max()) * market.demand.sum()
        assert model_profit(market, price) == pytest.approx(expected, rel=1e-8, abs=noise)
        for other in np.linspace(0, market.price_cap[0], 41):
            assert model_profit(market, float(other)) <= expected + 1e-8 * abs(expected) + noise


def test_it_is_exact_for_one_user(kind: str) -> None:
    for seed in range(5):
        market = draw_market(kind, 1, 7, seed)
        best = Path().solve(market, Limits())
        assert best.upper_bound is not None
        noise = 1e-12 * (market.price_cap[0] + market.unit_cost.max()) * market.demand.sum()
        price, expected = proposed(market)
        assert profit_at(market, [price]) == pytest.approx(best.upper_bound, rel=1e-9, abs=noise)
        assert expected == pytest.approx(best.upper_bound, rel=1e-8, abs=noise)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_exact_without_congestion(seed: int) -> None:
    market = sold(seed, n=4, m=4, decides="plain", congested=False)
    best = profit_at(market, np.array(list(solve(market, solver="path").prices.values())))
    price, expected = proposed(market)
    assert expected == pytest.approx(best, rel=1e-8, abs=1e-9)
    assert profit_at(market, [price]) == pytest.approx(best, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_crowds_and_tastes_in_its_own_model(seed: int) -> None:
    # Each of the users of a row is alone, so that the row's flow f costs 2 f / (alpha count) + s f / (w_q D) at the
    # margin: as in the market without congestion whose dispersion is D times that slope.
    market = sold(seed, n=4, m=4, decides="plain", congested=True, own_weights=False)
    slope = 2 / np.multiply.outer(market.count, market.capacity) + market.pair_dispersion / market.demand[:, None]
    price, expected = proposed(market)
    for other in (price, *np.linspace(0, float(market.price_cap[0]), 21)):
        load = sum(
            equilibrium_at(
                replace(
                    select(market, [i]),
                    congestion_weight=np.zeros(1),
                    dispersion=np.ones(1),
                    provider_dispersion=slope[i] * market.demand[i],
                ),
                [other],
            ).load[0]
            for i in range(market.n)
        )
        earned = (other - market.unit_cost[0]) * load
        assert earned <= expected * (1 + 1e-8) + 1e-9
        if other == price:
            assert earned == pytest.approx(expected, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("name", ["one-rival", "cap-binds", "identical-rivals", "kink", "nobody"])
def test_hand_answers_of_one_user(name: str) -> None:
    answer = hand_answers()[name]
    assert proposed(answer.market) == pytest.approx((float(answer.prices[0]), float(answer.profit)), abs=1e-8)


@pytest.mark.parametrize(
    ("name", "price", "expected", "profit"),
    [
        # Each of two users: p + 2 f/3 = 1 + 2 (3 - f)/3, so f = 3 (3 - p)/4, together 3 (3 - p)/2, top at p = 3/2:
        # 27/8 expected. In truth the load there is 4 - p = 5/2: 15/4.
        ("identical-users", 1.5, 27 / 8, 15 / 4),
        # User a: p + 2 f = 1 + 2 (6 - f), f = (13 - p)/4; user b, 15 further from the rival, stays up to p = 14. So
        # p (17 - p)/4 up to p = 13, top at 17/2: 289/16 expected; in truth 1 + (12 - 17/2)/4 = 15/8, times 17/2.
        ("two-maxima", 8.5, 289 / 16, 8.5 * 15 / 8),
        # Scaled, alpha = 3: G_a = 2 p - 5 and (2/3)(2 f - 6) = -G_a give f_a = (27 - 6 p)/4; G_b = (p - 5)/2 and
        # (2/3)(2 f - 4) = -G_b give f_b = (31 - 3 p)/8. Sum (85 - 15 p)/8, top at p = 17/6; in truth both use both
        # there, load (35 - 5 p)/4 = 125/24.
        ("own-weights", 17 / 6, 17 / 6 * 85 / 16, 17 / 6 * 125 / 24),
    ],
)
def test_two_users_by_hand(name: str, price: float, expected: float, profit: float) -> None:
    market = hand_answers()[name].market
    assert proposed(market) == pytest.approx((price, expected), rel=1e-8)
    result = solve(market, solver="odca")
    assert result.profit == pytest.approx(profit, rel=1e-9)
    assert result.status == "heuristic"


def test_the_smallest_price_among_equals() -> None:
    # one-rival with a unit cost of 7, above all prices at which anybody buys (6): every price from 6 on earns 0.
    market = with_unit_cost(hand_answers()["one-rival"].market, 7.0)
    assert proposed(market) == pytest.approx((6.0, 0.0), abs=1e-9)


def test_it_is_never_above_the_optimum(kind: str) -> None:
    for seed in range(5):
        market = draw_market(kind, 8, 9, seed)
        best = Path().solve(market, Limits()).upper_bound
        assert best is not None
        assert profit_at(market, [proposed(market)[0]]) <= best + 1e-11 * abs(best)


def test_without_time_it_finds_no_price() -> None:
    proposal = Odca().solve(hand_answers()["kink"].market, Limits(time_limit=0.0))
    assert (proposal.ended, proposal.prices) == (Ended.TIME_LIMIT, None)


def test_many_users_go_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    market = draw_market("weights", 23, 5, 0)
    whole = proposed(market)
    monkeypatch.setattr("prillm_or.solvers.odca._BLOCK", 20)
    assert proposed(market) == whole


def test_ctrl_c_before_any_price(small_market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prillm_or.solvers.odca.best_price", interrupt)
    assert Odca().solve(small_market, Limits()).ended is Ended.INTERRUPTED
    with pytest.raises(KeyboardInterrupt):
        solve(small_market, solver="odca")
