"""Prices over draws: by hand, against dense grids, what must hold of them, and from a calibration in a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.markets import draw_market
from prillm_or.calibration.bootstrap import bootstrap
from prillm_or.calibration.days import days_of
from prillm_or.calibration.draw_files import DrawsError, read_draws, write_draws
from prillm_or.calibration.draws import Draws, drawn_markets
from prillm_or.calibration.fit import fit_days
from prillm_or.calibration.observation_files import write_observations
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.preferences import EVERYONE, Preferences, market_with
from prillm_or.calibration.specification import Specification, parameters_of
from prillm_or.cli import run
from prillm_or.curves.profit_curve import ProfitCurve, curve
from prillm_or.errors import CombinationError, ConvergenceError, MarketError
from prillm_or.files.markets import read_market, write_market
from prillm_or.market.market import Market
from prillm_or.market.outside import with_outside
from prillm_or.market.synthetic import generate
from prillm_or.robustness import pricing as robust_module
from prillm_or.robustness.best import best_mean, best_worst, top_of_lowest
from prillm_or.robustness.parabolas import Parabolas, breakpoints, profits
from prillm_or.robustness.prices import RobustPrices
from prillm_or.robustness.pricing import robust
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium

PROGRAM = (sys.executable, "-c", "from prillm_or.cli import main; main()")
GRID = 10_001


def drawn(market: Market, count: int, seed: int, spread: float = 0.2) -> list[Market]:
    """The market with values moved by parts of the mean price, and weights by factors, of every user its own."""
    rng = np.random.default_rng(seed)
    money = float(np.nanmean(market.price)) + 0.1
    return [
        replace(
            market,
            value=market.value + spread * money * rng.standard_normal(market.m),
            price_weight=market.price_weight * np.exp(spread * rng.standard_normal(market.n)),
            congestion_weight=market.congestion_weight * np.exp(spread * rng.standard_normal(market.n)),
            delay_weight=market.delay_weight * np.exp(spread * rng.standard_normal(market.n)),
        )
        for _ in range(count)
    ]


def cap_of(market: Market) -> float:
    return float(market.price_cap[0])


# By hand. One user with demand 4, both capacities 2, rival at 2 (`instances/tiny/one-rival`): p + f - b = 2 + (4 - f),
# so that the load is (6 + b - p)/2 where the leader is worth b, and zero from p = 6 + b on.


def one_rival(value: float, **fields: Any) -> Market:
    defaults: dict[str, Any] = {
        "name": f"worth {value:g}",
        "user_ids": ("u",),
        "provider_ids": ("own", "rival"),
        "demand": [4.0],
        "price": [3.0, 2.0],
        "capacity": [2.0, 2.0],
        "value": [value, 0.0],
        "unit_cost": [0.0, 0.0],
        "delay": [[0.0, 0.0]],
        "price_weight": [1.0],
        "congestion_weight": [1.0],
        "delay_weight": [1.0],
        "leader": (0,),
        "price_cap": [20.0],
    }
    return Market(**(defaults | fields))


def test_two_parabolas_of_which_one_is_below_the_other() -> None:
    # Profits p (6 - p)/2 and p (8 - p)/2. Mean p (14 - 2 p)/4, top at p = 7/2: 7/2 * 7/4 = 49/8. The first is below the
    # second up to 6, where it is 0 and stays: best worst case that of the first alone, p = 3: 9/2.
    found = robust(one_rival(1.0), [one_rival(0.0), one_rival(2.0)])
    assert found.best_mean.price == pytest.approx(7 / 2, rel=1e-6)
    assert found.best_mean.mean_profit == pytest.approx(49 / 8, rel=1e-12)
    assert found.best_mean.worst_profit == pytest.approx(7 / 2 * 5 / 4, rel=1e-6)
    assert found.best_worst.price == pytest.approx(3, rel=1e-6)
    assert found.best_worst.worst_profit == pytest.approx(9 / 2, rel=1e-12)
    assert found.best_worst.mean_profit == pytest.approx((9 / 2 + 15 / 2) / 2, rel=1e-6)
    assert found.best_worst.worst_draw == 1
    # The market itself: p (7 - p)/2, top at 7/2: 49/8. At p = 3 it earns 3 * 4/2 = 6, 48/49 of that.
    assert found.central.price == pytest.approx(7 / 2, rel=1e-6)
    assert found.central.central_profit == pytest.approx(49 / 8, rel=1e-12)
    assert found.central.central_share == 1.0
    assert found.best_worst.central_profit == pytest.approx(6, rel=1e-6)
    assert found.best_worst.central_share == pytest.approx(48 / 49, rel=1e-6)
    # Users leave at 6 and 8: pieces 0..6, 6..8, 8..20; below 2 + b the rival is not used (f = 4 up to p = b - 2 = 0).
    assert found.pieces == 3
    assert found.draws == 2


def steep() -> Market:
    """A user who weighs congestion 1/4, the leader worth 4: p - 4 + f/4 = 2 + (4 - f)/4, so f = 14 - 2 p, at most 4."""
    return one_rival(4.0, congestion_weight=[0.25], name="steep")


def test_the_best_worst_case_and_the_best_mean_are_at_a_kink() -> None:
    # Worth 7, the load is 4 up to p = 5, then (13 - p)/2; the steep one's is 4 up to 5, too, then 14 - 2 p, and zero at
    # 7. Both profits are 4 p up to 5: 20 there. From there on p (14 - 2 p) is the lower one and falls (top at 7/2), and
    # the mean p (41 - 5 p)/4 falls (top at 41/10).
    found = robust(one_rival(7.0), [one_rival(7.0), steep()])
    assert found.best_worst.price == found.best_mean.price == pytest.approx(5, rel=1e-12)
    assert found.best_worst.worst_profit == found.best_mean.mean_profit == pytest.approx(20, rel=1e-12)
    # The market itself earns p (13 - p)/2, at its top 13/2 so much as 169/8, at 5 only 20.
    assert found.best_worst.central_share == pytest.approx(160 / 169, rel=1e-12)


def test_the_best_worst_case_is_where_parabolas_cross_inside_a_piece() -> None:
    # With demand 2 and worth 10, p + f - 10 = 2 + (2 - f): load 2 up to p = 10. The steep one's is 14 - 2 p from 5 on.
    # They meet at p = 6: the lower profit is 2 p before and p (14 - 2 p) after, which falls: best worst case 12 at 6.
    # The mean is p (16 - 2 p)/2 from 5 on, falling; 3 p before: best at 5, 15.
    other = one_rival(10.0, demand=[2.0])
    found = robust(one_rival(7.0), [other, steep()])
    assert found.best_worst.price == pytest.approx(6, rel=1e-12)
    assert found.best_worst.worst_profit == pytest.approx(12, rel=1e-12)
    assert found.best_mean.price == pytest.approx(5, rel=1e-12)
    assert found.best_mean.mean_profit == pytest.approx(15, rel=1e-12)
    assert np.abs(breakpoints([curve(other), curve(steep())], 20.0) - 6.0).min() > 0.5


def test_the_cap_binds() -> None:
    # Profits p (6 - p)/2 and p (8 - p)/2 rise up to 3 and 4: with a cap of 2 both prices are 2, 4 and 6.
    cap = {"price_cap": [2.0]}
    found = robust(one_rival(1.0, **cap), [one_rival(0.0, **cap), one_rival(2.0, **cap)])
    assert [price.price for price in found.by_name.values()] == [2.0, 2.0, 2.0]
    assert found.best_mean.mean_profit == pytest.approx(5)
    assert found.best_worst.worst_profit == pytest.approx(4)


def test_a_cap_of_zero_leaves_one_price() -> None:
    cap = {"price_cap": [0.0]}
    found = robust(one_rival(1.0, **cap), [one_rival(0.0, **cap), one_rival(2.0, **cap)])
    assert [price.price for price in found.by_name.values()] == [0.0, 0.0, 0.0]
    assert found.best_mean.mean_profit == 0.0
    assert found.best_mean.central_share is None


def test_where_every_worst_case_is_nothing_the_price_of_the_best_mean_is_the_answer() -> None:
    # Worth -6 nobody uses the leader at any price. Mean of p (6 - p)/2 and 0: top at 3.
    found = robust(one_rival(0.0), [one_rival(0.0), one_rival(-6.0)])
    assert found.best_worst == found.best_mean
    assert found.best_mean.price == pytest.approx(3, rel=1e-6)
    assert (found.best_worst.worst_profit, found.best_worst.worst_draw) == (0.0, 2)


def test_unit_costs_above_the_cap_call_for_few_users() -> None:
    # Unit cost 10, cap 5: profit (p - 10)(6 - p)/2, worst at small prices; least loss at the cap, -5/2; worth 2: -15/2.
    fields = {"unit_cost": [10.0, 0.0], "price_cap": [5.0]}
    found = robust(one_rival(1.0, **fields), [one_rival(0.0, **fields), one_rival(2.0, **fields)])
    assert found.best_mean.price == found.best_worst.price == 5.0
    assert found.best_mean.mean_profit == pytest.approx(-5)
    assert found.best_worst.worst_profit == pytest.approx(-15 / 2)
    assert found.best_mean.central_share is None


# Against a grid


@pytest.mark.parametrize("seed", range(3))
def test_no_price_of_a_dense_grid_is_better(kind: str, seed: int) -> None:
    market = draw_market(kind, 6, 5, seed)
    draws = drawn(market, 9, seed)
    found = robust(market, draws)
    prices = np.linspace(0.0, cap_of(market), GRID)
    curves = [curve(draw) for draw in draws]
    earned = profits(curves, prices)
    size = np.abs(earned).max()
    means, worst = earned.mean(axis=0), earned.min(axis=0)
    assert means.max() <= found.best_mean.mean_profit + 1e-12 * size
    assert worst.max() <= found.best_worst.worst_profit + 1e-12 * size
    # The grid comes near: a step of it changes a profit by no more than its steepest slope.
    step, steepest = prices[1], max(np.abs(np.diff(row)).max() for row in earned)
    assert step > 0
    assert means.max() >= found.best_mean.mean_profit - steepest
    assert worst.max() >= found.best_worst.worst_profit - steepest
    # The curves are those of the equilibria.
    for draw, row in zip(draws, earned, strict=True):
        for k in (1, GRID // 3, GRID - 1):
            own = draw.leader[0]
            profit = (prices[k] - draw.unit_cost[own]) * equilibrium(draw, [prices[k]]).load[own]
            assert row[k] == pytest.approx(profit, rel=1e-9, abs=1e-9 * size)


def test_many_draws_of_a_larger_market() -> None:
    market = draw_market("uniform", 15, 12, 1)
    draws = drawn(market, 60, 1, spread=0.1)
    curves = [curve(draw) for draw in draws]
    prices = np.linspace(0.0, cap_of(market), GRID)
    earned = profits(curves, prices)
    price, mean = best_mean(curves, cap_of(market))
    assert 0 <= mean / earned.mean(axis=0).max() - 1 < 1e-6
    assert profits(curves, np.array([price])).mean() == pytest.approx(mean, rel=1e-12)
    price, worst = best_worst(curves, cap_of(market))
    assert 0 <= worst / earned.min(axis=0).max() - 1 < 1e-5
    assert profits(curves, np.array([price])).min() == pytest.approx(worst, rel=1e-12)


# The top of the minimum of concave parabolas on one interval


@pytest.mark.parametrize("seed", range(60))
def test_the_top_of_many_parabolas_is_that_of_an_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, length = int(rng.integers(1, 40)), float(rng.uniform(0.5, 3))
    second = -rng.exponential(size=(count, 1)) * rng.integers(0, 2, (count, 1))  # some are straight lines
    block = Parabolas(
        np.zeros(1), np.array([length]), rng.normal(1, 0.3, (count, 1)), rng.normal(0, 2, (count, 1)), second
    )
    h, top = top_of_lowest(block)
    assert block.at(np.array([h])).min() == pytest.approx(top, rel=1e-12)
    # The top is at an end, at a vertex, or where two cross.
    places = [0.0, length, *block.tops()[:, 0]]
    for a in range(count):
        for b in range(a):
            difference = [float(part[a, 0] - part[b, 0]) for part in (block.second, block.first, block.value)]
            places += [root.real for root in np.roots(difference) if abs(root.imag) < 1e-9 and 0 <= root.real <= length]
    assert top == pytest.approx(max(float(block.at(np.array([place])).min()) for place in places), rel=1e-9, abs=1e-12)


def test_parabolas_that_are_all_equal_or_touch() -> None:
    def block(*rows: tuple[float, float, float]) -> Parabolas:
        value, first, second = (np.array(part)[:, None] for part in zip(*rows, strict=True))
        return Parabolas(np.zeros(1), np.array([2.0]), value, first, second)

    assert top_of_lowest(block((0.0, 2.0, -1.0))) == (1.0, 1.0)
    assert top_of_lowest(block(*[(0.0, 2.0, -1.0)] * 5)) == (1.0, 1.0)
    # A line through the vertex of a parabola, from above to below.
    assert top_of_lowest(block((0.0, 2.0, -1.0), (3.0, -2.0, 0.0))) == (1.0, 1.0)
    # At h = 0 one falls and one rises from the same value.
    assert top_of_lowest(block((1.0, 1.0, 0.0), (1.0, -1.0, 0.0))) == pytest.approx((0.0, 1.0), abs=1e-12)
    assert top_of_lowest(block((1.0, 0.0, 0.0), (2.0, 0.0, 0.0))) == (0.0, 1.0)


# What must hold


@pytest.fixture(scope="module")
def some() -> tuple[Market, list[Market]]:
    market = draw_market("weights", 7, 6, 4)
    return market, drawn(market, 12, 4)


def figures(found: RobustPrices) -> list[float]:
    return [
        number
        for price in (found.best_mean, found.best_worst)
        for number in (price.mean_profit, price.worst_profit, price.central_profit)
    ]


def test_one_draw_gives_the_optimum_of_that_draw(kind: str) -> None:
    market = draw_market(kind, 6, 5, 7)
    (draw,) = drawn(market, 1, 7)
    found, best = robust(market, [draw]), solve(draw, solver="path")
    for price in (found.best_mean, found.best_worst):
        assert price.mean_profit == price.worst_profit == pytest.approx(best.profit, rel=1e-10, abs=1e-10)


def test_draws_that_are_the_market_itself_give_its_optimum(kind: str) -> None:
    market = draw_market(kind, 6, 5, 8)
    found, best = robust(market, [market] * 3), solve(market)
    for price in found.by_name.values():
        assert price.central_profit == pytest.approx(best.profit, rel=1e-10, abs=1e-10)
        assert price.mean_profit == pytest.approx(best.profit, rel=1e-10, abs=1e-10)
        assert price.central_share is None or price.central_share == pytest.approx(1.0, rel=1e-10)


def test_the_order_of_the_draws_does_not_matter(some: tuple[Market, list[Market]]) -> None:
    market, draws = some
    found, again = robust(market, draws), robust(market, draws[::-1])
    assert figures(again) == pytest.approx(figures(found), rel=1e-6)
    assert again.best_mean.mean_profit == pytest.approx(found.best_mean.mean_profit, rel=1e-12)
    assert again.best_worst.worst_profit == pytest.approx(found.best_worst.worst_profit, rel=1e-12)
    assert again.best_worst.price == pytest.approx(found.best_worst.price, rel=1e-6)
    assert again.best_worst.worst_draw == len(draws) + 1 - found.best_worst.worst_draw


def test_each_price_is_the_best_of_the_three_at_what_it_is_for(some: tuple[Market, list[Market]]) -> None:
    market, draws = some
    found = robust(market, draws)
    for price in found.by_name.values():
        assert price.mean_profit <= found.best_mean.mean_profit * (1 + 1e-12)
        assert price.worst_profit <= found.best_worst.worst_profit * (1 + 1e-12)
        assert price.central_profit <= found.central.central_profit * (1 + 1e-12)
        assert price.worst_profit <= price.mean_profit
    # They differ here, so that the above says something.
    assert found.best_worst.worst_profit > 1.001 * found.best_mean.worst_profit
    assert found.best_mean.mean_profit > 1.001 * found.best_worst.mean_profit


def test_profits_are_those_of_equilibria_in_every_draw(some: tuple[Market, list[Market]]) -> None:
    market, draws = some
    found = robust(market, draws)
    for price in found.by_name.values():
        earned = [price.price * equilibrium(draw, [price.price]).load[draw.leader[0]] for draw in draws]
        assert price.mean_profit == pytest.approx(np.mean(earned), rel=1e-12)
        assert price.worst_profit == pytest.approx(min(earned), rel=1e-12)
        assert price.worst_draw == int(np.argmin(earned)) + 1
    assert max(found.certificate.kkt_residual, found.certificate.max_regret) < 1e-10


def test_pieces_that_contradict_the_equilibria_are_an_error(
    some: tuple[Market, list[Market]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(market: Market) -> ProfitCurve:
        true = curve(market)
        return replace(true, pieces=tuple(replace(piece, load=piece.load * (1 + 1e-8)) for piece in true.pieces))

    monkeypatch.setattr(robust_module, "curve", wrong)
    with pytest.raises(ConvergenceError, match="differ in profit"):
        robust(*some)


def test_ctrl_c_during_the_search_of_the_market_itself_ends_it(
    some: tuple[Market, list[Market]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(robust_module, "solve", lambda market: replace(solve(market), interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        robust(*some)


# Draws of a calibration


def wanted(n: int, m: int, seed: int, groups: int = 1) -> Preferences:
    rng = np.random.default_rng(seed)
    value = rng.uniform(0, 3, m)
    return Preferences(
        user_ids=tuple(f"u{i + 1}" for i in range(n)),
        provider_ids=tuple(f"p{j + 1}" for j in range(m)),
        congestion=1.3,
        delay=0.6,
        value=value - value.min(),
        price_factor=rng.uniform(0.5, 2, n),
        congestion_factor=rng.uniform(0.5, 2, n),
        group_ids=("a", EVERYONE)[-groups:],
        group=np.arange(n) % groups,
        group_value=rng.normal(0, 0.5, (groups, m)) * (groups > 1),
    )


def observed(true: Preferences, days: int = 4, seed: int = 3, noise: float = 0.03) -> Observations:
    """Flows of users who want what is true, lognormal about the equilibria; the last provider leads."""
    n, m = len(true.user_ids), len(true.provider_ids)
    rng, market = np.random.default_rng(seed), generate(n, m, "uniform", seed)
    price = market.price * rng.uniform(0.7, 1.4, (days, m))
    delay = market.delay * rng.uniform(0.7, 1.4, (days, n, m))
    demand = market.demand * rng.uniform(0.5, 1.5, (days, n))
    seen = Observations(
        name="known",
        days=tuple(f"2026-07-{t + 1:02}" for t in range(days)),
        user_ids=true.user_ids,
        provider_ids=true.provider_ids,
        flow=np.repeat(demand[:, :, None] / m, m, axis=2),
        price=price,
        capacity=np.tile(market.capacity, (days, 1)),
        delay=delay,
        leader=Leader((true.provider_ids[-1],), (12.0,)),
    )
    markets = [market_with(true, seen, day) for day in seen.days]
    flow = np.array([equilibrium(one, one.price[list(one.leader)]).flow for one in markets])
    return replace(seen, flow=flow * np.exp(noise * rng.standard_normal(flow.shape)))


def assert_same_users(one: Market, other: Market) -> None:
    """Flows and profits alike: values may differ by a constant."""
    for price in (0.5, 1.5, 3.0):
        np.testing.assert_allclose(
            equilibrium(one, [price]).flow, equilibrium(other, [price]).flow, rtol=1e-9, atol=1e-9 * one.demand.sum()
        )


@pytest.mark.parametrize("groups", [1, 2])
def test_the_market_of_a_draw_is_the_one_that_its_preferences_make(groups: int) -> None:
    true, others = wanted(4, 5, 1, groups), [replace(wanted(4, 5, seed, groups), delay=0.2 * seed) for seed in (2, 3)]
    seen = observed(true)
    market = market_with(true, seen, seen.days[-1])
    made = drawn_markets(Draws("known", true, tuple(others)), market, 2)
    assert len(made) == 2
    for drawn_market, preferences in zip(made, others, strict=True):
        assert_same_users(drawn_market, market_with(preferences, seen, seen.days[-1]))
    with pytest.raises(AssertionError):
        assert_same_users(made[0], market)


def test_draws_keep_what_the_market_has_been_given_since() -> None:
    true, other = wanted(4, 5, 1), wanted(4, 5, 2)
    seen = observed(true)
    market = market_with(true, seen, seen.days[0])
    changed = replace(market, price_cap=np.array([7.0]), unit_cost=np.arange(5.0), demand=2 * market.demand)
    (made,) = drawn_markets(Draws("known", true, (other,)), changed, 1)
    assert made.price_cap.tolist() == [7.0]
    np.testing.assert_array_equal(made.unit_cost, np.arange(5.0))
    np.testing.assert_array_equal(made.demand, 2 * market.demand)


def test_draws_of_another_fit_are_refused() -> None:
    true = wanted(4, 5, 1)
    market = market_with(true, observed(true), "2026-07-01")
    draws = Draws("known", true, (wanted(4, 5, 2),))
    for field, message in (
        ({"value": market.value * [1.01, 1, 1, 1, 1]}, "value of p1"),
        ({"congestion_weight": 1.01 * market.congestion_weight}, "weight of congestion of u1"),
        ({"delay_weight": 0 * market.delay_weight}, "weight of delay of u1: 0, the fit has 0.6"),
        ({"price_weight": market.price_weight * [1, 2, 1, 1]}, "weight of price of u2"),
        ({"user_ids": ("u1", "u2", "u3", "x")}, "users: x: not among those of known"),
    ):
        with pytest.raises(MarketError, match=message):
            drawn_markets(draws, replace(market, **field), 1)
    with pytest.raises(CombinationError, match="2 draws wanted, the fit of known has 1"):
        drawn_markets(draws, market, 2)


def test_a_market_with_groups_that_does_not_weigh_delays_does_not_tell_them() -> None:
    true = replace(wanted(4, 5, 1, 2), delay=0.0)
    market = market_with(true, observed(true), "2026-07-01")
    made = drawn_markets(Draws("known", true, (true,)), market, 1)
    assert_same_users(made[0], market)
    with pytest.raises(CombinationError, match="calibrate without `groups`"):
        drawn_markets(Draws("known", true, (wanted(4, 5, 2, 2),)), market, 1)


@pytest.mark.parametrize("groups", [1, 2])
def test_draws_on_file_are_read_back(groups: int, tmp_path: Path) -> None:
    plain = replace(wanted(4, 5, 9, groups), price_factor=np.ones(4))
    draws = Draws("known", wanted(4, 5, 1, groups), (wanted(4, 5, 2, groups), plain))
    write_draws(draws, tmp_path / "draws.json")
    read = read_draws(tmp_path / "draws.json")
    assert read.name == "known"
    assert len(read.drawn) == 2
    for one, other in zip((read.centre, *read.drawn), (draws.centre, *draws.drawn), strict=True):
        for name in one.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_faults_of_a_file_of_draws_are_named(tmp_path: Path) -> None:
    path = tmp_path / "draws.json"
    write_draws(Draws("known", wanted(4, 5, 1, 2), (wanted(4, 5, 2, 2),)), path)
    good = json.loads(path.read_text())

    def refusal(**fields: Any) -> str:
        path.write_text(json.dumps(good | fields))
        with pytest.raises(DrawsError) as caught:
            read_draws(path)
        return str(caught.value)

    assert 'format: expected "prillm-or/draws@1", got "prillm-or/fit@1"' in refusal(format="prillm-or/fit@1")
    assert "draws[0].values: expected 5 numbers, got 1" in refusal(draws=[good["draws"][0] | {"values": [1.0]}])
    assert "draws[0].delay: expected a number >= 0, got -1" in refusal(draws=[good["draws"][0] | {"delay": -1.0}])
    assert "draws[0].group_values" in refusal(draws=[good["draws"][0] | {"group_values": {}}])
    assert "groups: expected for each user" in refusal(groups={"u1": "a"})
    assert "users[1]" in refusal(users=["u1", "u1", "u3", "u4"])
    assert "draws: expected at least one" in refusal(draws=[])
    with pytest.raises(DrawsError, match="none: cannot be read"):
        read_draws(tmp_path / "none")


def test_the_quantiles_of_the_draws_are_the_intervals() -> None:
    seen = observed(replace(wanted(4, 5, 1), price_factor=np.ones(4), congestion_factor=np.ones(4)), days=5)
    days = days_of(seen)
    given = parameters_of(Specification(), days, seen.user_ids, seen.provider_ids, "known")
    found = bootstrap(fit_days(days, given, start=given.pack(wanted(4, 5, 1))), 39, seed=1)
    assert found.draws == len(found.sample) == 39
    held = [one.value[:, None] - one.value[found.reference] for one in found.sample]
    ends = np.quantile(np.hstack(held), [0.05, 0.95], axis=1, method="weibull").T
    np.testing.assert_allclose(ends, found.values - found.values[found.reference], atol=1e-9)
    congestion = np.exp(np.quantile(np.log([one.congestion for one in found.sample]), [0.05, 0.95], method="weibull"))
    np.testing.assert_allclose(congestion, found.weights["congestion"], rtol=1e-9)
    assert all(one.value.min() == 0 for one in found.sample)


# The command


def folder_of(markets: Sequence[Market], folder: Path) -> Path:
    folder.mkdir()
    for number, market in enumerate(markets):
        write_market(market, folder / f"{number:03}.json")
    return folder


def test_given_markets_are_draws(tmp_path: Path, some: tuple[Market, list[Market]]) -> None:
    market, draws = some
    write_market(market, tmp_path / "market.json")
    given = folder_of(draws, tmp_path / "given")
    out = tmp_path / "out.json"
    arguments = ["--draws", str(given), "--json", str(out)]
    assert run(["solve", str(tmp_path / "market.json"), "--robust", "5", *arguments]) == 0
    document = json.loads(out.read_text())
    found = robust(market, draws[:5]).to_dict()
    assert document["format"] == "prillm-or/robust@1"
    assert document["draws"] == 5
    assert document["prices"] == found["prices"]
    assert run(["robust", str(tmp_path / "market.json"), "--count", "5", *arguments]) == 0
    again = json.loads(out.read_text())
    assert again | {"time_s": 0} == document | {"time_s": 0}
    assert run(["robust", str(tmp_path / "market.json"), *arguments]) == 0
    assert json.loads(out.read_text())["draws"] == len(draws)
    assert document["instance_sha256"] == read_market(tmp_path / "market.json").sha256


def test_users_may_leave_in_every_draw(tmp_path: Path, some: tuple[Market, list[Market]]) -> None:
    market, draws = some
    write_market(market, tmp_path / "market.json")
    given, out = folder_of(draws[:3], tmp_path / "given"), tmp_path / "out.json"
    arguments = ["--robust", "3", "--draws", str(given), "--outside", "-4", "--json", str(out)]
    assert run(["solve", str(tmp_path / "market.json"), *arguments]) == 0
    document = json.loads(out.read_text())
    found = robust(with_outside(market, -4.0), [with_outside(draw, -4.0) for draw in draws[:3]])
    assert document["outside"] == -4
    assert document["prices"] == found.to_dict()["prices"]
    assert document["prices"] != robust(market, draws[:3]).to_dict()["prices"]


def test_mistakes_are_named(
    tmp_path: Path, some: tuple[Market, list[Market]], capsys: pytest.CaptureFixture[str]
) -> None:
    market, draws = some
    path = str(tmp_path / "market.json")
    write_market(market, path)
    given = str(folder_of(draws[:2], tmp_path / "given"))

    def refusal(*arguments: str) -> str:
        assert run(["solve", *arguments]) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return error

    assert "no draws.json beside" in refusal(path, "--robust", "2")
    assert "holds 2 markets; take so many" in refusal(path, "--robust", "3", "--draws", given)
    assert "--draws: only with --robust" in refusal(path, "--draws", given)
    with_draws = (path, "--robust", "2", "--draws", given)
    assert "--robust does not go with --solver, --gap:" in refusal(*with_draws, "--solver", "highs", "--gap", "0.1")
    assert "--robust does not go with --abstraction:" in refusal(*with_draws, "--abstraction", "anchored")
    assert "--robust does not go with --jobs:" in refusal(*with_draws, "--jobs", "2")
    assert "--robust takes one market at a time" in refusal(path, *with_draws)
    assert run(["solve", *with_draws, "--solver", "path"]) == 0
    write_market(replace(market, leader=(0, 1), price_cap=np.ones(2)), path)
    assert "the leader sets 2 prices" in refusal(*with_draws)
    write_market(replace(market, price_cap=np.ones(1)), path)
    assert "has another price cap: expected [1.0], got [12.0]" in refusal(*with_draws)
    write_market(replace(market, leader=(0,)), path)
    assert "has another leader: expected p1, got p6" in refusal(*with_draws)
    (tmp_path / "given" / "draws.json").write_text("{}")
    assert "the folder of a calibration" in refusal(*with_draws)
    assert "Invalid value for '--robust'" in refusal(path, "--robust", "0")


def test_from_observed_flows_to_robust(tmp_path: Path) -> None:
    true = replace(wanted(4, 5, 1), price_factor=np.ones(4), congestion_factor=np.ones(4))
    write_observations(observed(true, noise=0.1), tmp_path / "known")
    quick = ("--shrinkage", "0", "--baseline", "independence", "--draws", "12")
    subprocess.run([*PROGRAM, "calibrate", "known", "--out", "fitted", *quick], cwd=tmp_path, check=True, timeout=60)
    command = ["solve", "fitted/known-2026-07-04.json", "--robust", "12"]
    shown = subprocess.run([*PROGRAM, *command], cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True)
    for words in ("over 12 draws", "of the market itself", "best mean", "best worst case"):
        assert words in shown.stdout
    plain = subprocess.run(
        [*PROGRAM, *command, "--json", "-"], cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
    )
    prices = json.loads(plain.stdout)["prices"]
    assert list(prices) == ["central", "best_mean", "best_worst"]
    best = solve(read_market(tmp_path / "fitted" / "known-2026-07-04.json").market)
    assert prices["central"]["central_profit"] == pytest.approx(best.profit, rel=1e-12)
    assert prices["best_mean"]["mean_profit"] >= prices["central"]["mean_profit"]
    assert prices["best_worst"]["worst_profit"] > prices["central"]["worst_profit"]
    assert prices["best_worst"]["central_share"] < 1


def test_pricing_over_draws_needs_no_torch(tmp_path: Path) -> None:
    true = wanted(4, 5, 1)
    write_market(market_with(true, observed(true), "2026-07-01"), tmp_path / "market.json")
    write_draws(Draws("known", true, (wanted(4, 5, 2), wanted(4, 5, 3))), tmp_path / "draws.json")
    code = (
        "import sys; from prillm_or.cli import run; "
        "assert run(['solve', 'market.json', '--robust', '2']) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
