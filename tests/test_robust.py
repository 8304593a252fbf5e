"""Prices over draws: by hand, against dense grids, and what must hold of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.answers import profit_at
from helpers.draws import drawn, market_and_draws
from helpers.markets import draw_market, one_rival
from helpers.sold import price_list, sold
from prillm_or.curves.profit_curve import ProfitCurve, curve
from prillm_or.errors import CombinationError, ConvergenceError
from prillm_or.market.market import Market
from prillm_or.robustness import pricing as robust_module
from prillm_or.robustness.best import best_mean, best_worst, survey, top_of_lowest
from prillm_or.robustness.parabolas import Parabolas, breakpoints, profits
from prillm_or.robustness.prices import RobustPrices
from prillm_or.robustness.pricing import robust
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at

GRID = 10_001


def cap_of(market: Market) -> float:
    return float(market.price_cap[0])


# By hand. One user with demand 4, both capacities 2, rival at 2 (`instances/tiny/one-rival`): p + f - b = 2 + (4 - f),
# so that the load is (6 + b - p)/2 where the leader is worth b, and zero from p = 6 + b on.


def worth(value: float, **fields: Any) -> Market:
    """The market of one rival where the leader is worth so much, and its price may be up to 20."""
    given = {"name": f"worth {value:g}", "value": [value, 0], "price": [3, 2], "price_cap": [20]}
    return one_rival(**(given | fields))


def test_two_parabolas_of_which_one_is_below_the_other() -> None:
    # Profits p (6 - p)/2 and p (8 - p)/2. Mean p (14 - 2 p)/4, top at p = 7/2: 7/2 * 7/4 = 49/8. The first is below the
    # second up to 6, where it is 0 and stays: best worst case that of the first alone, p = 3: 9/2.
    found = robust(worth(1.0), [worth(0.0), worth(2.0)])
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
    # Best alone: 9/2 at 3 and 8 at 4. The regrets are (p - 3)^2 / 2 and (p - 4)^2 / 2, alike at 7/2: 1/8.
    assert found.least_regret.price == pytest.approx(7 / 2, rel=1e-9)
    assert found.least_regret.worst_regret == pytest.approx(1 / 8, rel=1e-9)
    assert found.best_worst.worst_regret == pytest.approx(1 / 2, rel=1e-6)
    # 1/8 of 9/2. Today's price of 3 is the best of the first, and costs 1/2 of 8 in the second.
    assert found.least_regret.worst_regret_share == pytest.approx(1 / 36, rel=1e-9)
    assert found.best_range["own"] == pytest.approx((3, 4), rel=1e-9)
    assert found.today is not None
    assert found.today.worst_regret == pytest.approx(1 / 2, rel=1e-9)
    assert found.today.worst_regret_share == pytest.approx(1 / 16, rel=1e-9)
    shown = " ".join(str(found).split())
    assert shown.startswith("Raise the price of own from 3 to 3.5 (+16.7 %): that costs at most 0.125 ")
    assert (
        "at most 2.78 % of the best profit, whichever draw is right. The best of each of 2 draws runs from 3 to"
        in shown
    )
    assert (found.mean_bound, found.worst_bound) == (found.best_mean.mean_profit, found.best_worst.worst_profit)


def steep() -> Market:
    """A user who weighs congestion 1/4, the leader worth 4: p - 4 + f/4 = 2 + (4 - f)/4, so f = 14 - 2 p, at most 4."""
    return worth(4.0, congestion_weight=[0.25], name="steep")


def test_the_best_worst_case_and_the_best_mean_are_at_a_kink() -> None:
    # Worth 7, the load is 4 up to p = 5, then (13 - p)/2; the steep one's is 4 up to 5, too, then 14 - 2 p, and zero at
    # 7. Both profits are 4 p up to 5: 20 there. From there on p (14 - 2 p) is the lower one and falls (top at 7/2), and
    # the mean p (41 - 5 p)/4 falls (top at 41/10).
    found = robust(worth(7.0), [worth(7.0), steep()])
    assert found.best_worst.price == found.best_mean.price == pytest.approx(5, rel=1e-12)
    assert found.best_worst.worst_profit == found.best_mean.mean_profit == pytest.approx(20, rel=1e-12)
    # The market itself earns p (13 - p)/2, at its top 13/2 so much as 169/8, at 5 only 20.
    assert found.best_worst.central_share == pytest.approx(160 / 169, rel=1e-12)


def test_the_best_worst_case_is_where_parabolas_cross_inside_a_piece() -> None:
    # With demand 2 and worth 10, p + f - 10 = 2 + (2 - f): load 2 up to p = 10. The steep one's is 14 - 2 p from 5 on.
    # They meet at p = 6: the lower profit is 2 p before and p (14 - 2 p) after, which falls: best worst case 12 at 6.
    # The mean is p (16 - 2 p)/2 from 5 on, falling; 3 p before: best at 5, 15.
    other = worth(10.0, demand=[2.0])
    found = robust(worth(7.0), [other, steep()])
    assert found.best_worst.price == pytest.approx(6, rel=1e-12)
    assert found.best_worst.worst_profit == pytest.approx(12, rel=1e-12)
    assert found.best_mean.price == pytest.approx(5, rel=1e-12)
    assert found.best_mean.mean_profit == pytest.approx(15, rel=1e-12)
    assert np.abs(breakpoints([curve(other), curve(steep())], 20.0) - 6.0).min() > 0.5


def test_the_cap_binds() -> None:
    # Profits p (6 - p)/2 and p (8 - p)/2 rise up to 3 and 4: with a cap of 2 both prices are 2, 4 and 6.
    cap = {"price_cap": [2.0]}
    found = robust(worth(1.0, **cap), [worth(0.0, **cap), worth(2.0, **cap)])
    assert [price.price for price in found.by_name.values()] == [2.0] * 4
    assert found.best_mean.mean_profit == pytest.approx(5)
    assert found.best_worst.worst_profit == pytest.approx(4)


def test_a_cap_of_zero_leaves_one_price() -> None:
    cap = {"price_cap": [0.0]}
    found = robust(worth(1.0, **cap), [worth(0.0, **cap), worth(2.0, **cap)])
    assert [price.price for price in found.by_name.values()] == [0.0] * 4
    assert found.best_mean.mean_profit == 0.0
    assert found.best_mean.central_share is None


def test_where_every_worst_case_is_nothing_the_price_of_the_best_mean_is_the_answer() -> None:
    # Worth -6 nobody uses the leader at any price. Mean of p (6 - p)/2 and 0: top at 3.
    found = robust(worth(0.0), [worth(0.0), worth(-6.0)])
    assert found.best_worst == found.best_mean
    assert found.best_mean.price == pytest.approx(3, rel=1e-6)
    assert (found.best_worst.worst_profit, found.best_worst.worst_draw) == (0.0, 2)


def test_unit_costs_above_the_cap_call_for_few_users() -> None:
    # Unit cost 10, cap 5: profit (p - 10)(6 - p)/2, worst at small prices; least loss at the cap, -5/2; worth 2: -15/2.
    fields = {"unit_cost": [10.0, 0.0], "price_cap": [5.0]}
    found = robust(worth(1.0, **fields), [worth(0.0, **fields), worth(2.0, **fields)])
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
    regret = (np.array([[one.best.profit] for one in curves]) - earned).max(axis=0)
    assert found.least_regret.worst_regret <= regret.min() + 1e-12 * size
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
            profit = (prices[k] - draw.unit_cost[own]) * equilibrium_at(draw, [prices[k]]).load[own]
            assert row[k] == pytest.approx(profit, rel=1e-9, abs=1e-9 * size)


@pytest.mark.parametrize("seed", range(8))
def test_no_value_of_a_dense_grid_is_better_for_a_component_or_a_factor(seed: int) -> None:
    """Also where a volume rises with its own price, as it may with weights of users' own."""
    market = sold(seed, 5, 4, decides="factor" if seed % 2 else ("output",), own_weights=seed % 4 > 1)
    rng = np.random.default_rng(seed)
    draws = [replace(market, value=market.value + rng.uniform(-0.5, 0.5, market.m)) for _ in range(4)]
    found = robust(market, draws)
    values = np.linspace(0.0, cap_of(market), 1_001)
    earned = profits([curve(draw) for draw in draws], values)
    size = abs(earned).max()
    assert found.best_mean.mean_profit >= earned.mean(axis=0).max() - 1e-9 * size
    assert found.best_worst.worst_profit >= earned.min(axis=0).max() - 1e-9 * size
    for price in found.by_name.values():
        here = [profit_at(draw, [price.price]) for draw in draws]
        assert [price.mean_profit, price.worst_profit] == pytest.approx([np.mean(here), min(here)], abs=1e-9 * size)
    assert found.to_dict()["decision"] == market.decisions[0].name


def test_draws_of_another_decision_are_refused() -> None:
    market = price_list(decides=("output",))
    with pytest.raises(
        CombinationError, match="another decision: expected output price of own, got input price of own"
    ):
        robust(market, [price_list(decides=("input",))])
    with pytest.raises(CombinationError, match="another list of components: expected input, output, got in, out"):
        robust(market, [price_list(decides=("out",), components=("in", "out"))])
    with pytest.raises(CombinationError, match="another price cap"):
        robust(price_list(), [price_list(price_cap=np.array([10.0, 9.0]))])


@pytest.mark.parametrize("seed", range(20))
def test_the_top_of_parabolas_some_of_which_are_convex(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (5, 1)
    block = Parabolas(np.zeros(1), np.ones(1), *(rng.normal(0, 1, shape) for _ in range(3)))
    h, top = top_of_lowest(block)
    at = np.linspace(0.0, 1.0, 20_001)
    lowest = (block.value + at * (block.first + block.second * at)).min(axis=0)
    assert top >= lowest.max() - 1e-12
    assert top == pytest.approx(float(block.at(np.array([h])).min()))
    assert (
        block.at(block.tops())
        >= np.array([[v] for v in (block.value + at * (block.first + block.second * at)).max(axis=1)]) - 1e-12
    ).all()


def test_many_draws_of_a_larger_market() -> None:
    market = draw_market("uniform", 15, 12, 1)
    draws = drawn(market, 60, 1, spread=0.1)
    curves = [curve(draw) for draw in draws]
    prices = np.linspace(0.0, cap_of(market), GRID)
    earned = profits(curves, prices)
    seen = survey(curves, cap_of(market))
    price, mean = best_mean(curves, seen)
    assert 0 <= mean / earned.mean(axis=0).max() - 1 < 1e-6
    assert profits(curves, np.array([price])).mean() == pytest.approx(mean, rel=1e-12)
    price, worst = best_worst(curves, seen)
    assert 0 <= worst / earned.min(axis=0).max() - 1 < 1e-5
    assert profits(curves, np.array([price])).min() == pytest.approx(worst, rel=1e-12)


# Several decisions


def several(market: Market, count: int = 2) -> Market:
    return replace(market, leader=tuple(range(count)), price_cap=np.full(count, cap_of(market)))


@pytest.mark.parametrize("kind", ["uniform", "weights", "costs"])
def test_no_pair_of_prices_on_a_grid_is_better_and_none_exceeds_the_bounds(kind: str) -> None:
    market = several(draw_market(kind, 4, 5, 2))
    draws = drawn(market, 3, 2, spread=0.1)
    found = robust(market, draws)
    near = [price.decisions.values() for price in found.by_name.values()]
    steps = np.linspace(0.9, 1.1, 4)
    grid = [np.array([a, b]) for a in np.linspace(0, cap_of(market), 7) for b in np.linspace(0, cap_of(market), 7)]
    grid += [np.array(list(prices)) * [a, b] for prices in near for a in steps for b in steps]
    earned = np.array([[profit_at(draw, np.minimum(prices, draw.price_cap)) for draw in draws] for prices in grid])
    size = abs(earned).max()
    assert earned.mean(axis=1).max() <= found.best_mean.mean_profit + 1e-9 * size <= found.mean_bound + 2e-9 * size
    assert earned.min(axis=1).max() <= found.best_worst.worst_profit + 1e-9 * size <= found.worst_bound + 2e-9 * size
    # Regrets are told against bounds: a ten-thousandth above the best profits at most.
    best = np.array([solve(draw).profit for draw in draws])
    regrets = (best - earned).max(axis=1)
    assert found.least_regret.worst_regret <= regrets.min() + 1e-4 * size
    for price in found.by_name.values():
        here = np.array([profit_at(draw, list(price.decisions.values())) for draw in draws])
        assert [price.mean_profit, price.worst_profit] == pytest.approx([here.mean(), here.min()], rel=1e-9)
        assert (best - here).max() - 1e-9 * size <= price.worst_regret <= (best - here).max() + 1e-4 * size


@pytest.mark.parametrize("decides", ["plain", "factor", "components"])
def test_draws_alike_with_several_decisions_give_the_optimum_itself(decides: str) -> None:
    market = sold(10, 4, 4, leaders=1 if decides == "components" else 2, decides=decides, own_weights=False)
    found, best = robust(market, [market] * 3), solve(market)
    for price in found.by_name.values():
        assert list(price.decisions) == [decision.name for decision in market.decisions]
        assert [price.mean_profit, price.worst_profit] == pytest.approx([best.profit] * 2, rel=1e-4)
        # A bound is a gap above what its own search found, and so may be two above what another did.
        gaps = 2.001e-4 if price is found.central else 1.001e-4
        assert price.worst_regret <= gaps * best.profit
    assert best.upper_bound is not None
    assert found.mean_bound == pytest.approx(best.upper_bound, rel=1e-4)
    document = found.to_dict()
    assert document["decisions"] == [decision.name for decision in market.decisions]
    assert document["prices"]["central"]["prices"] == dict(found.central.decisions)
    assert "not proven best" in " ".join(str(found).split())
    assert list(found.to_frame().columns[:2]) == document["decisions"][:2]


def test_one_draw_with_several_decisions_gives_the_optimum_of_that_draw() -> None:
    market = several(draw_market("uniform", 5, 5, 7))
    (draw,) = drawn(market, 1, 7)
    found, best = robust(market, [draw]), solve(draw)
    for price in (found.best_mean, found.best_worst, found.least_regret):
        assert price.mean_profit == price.worst_profit == pytest.approx(best.profit, rel=1e-9)
    with pytest.raises(ValueError, match="the leader decides 2 numbers"):
        _ = found.best_mean.price


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


def test_the_order_of_the_draws_does_not_matter() -> None:
    market, draws = market_and_draws()
    found, again = robust(market, draws), robust(market, draws[::-1])
    assert figures(again) == pytest.approx(figures(found), rel=1e-6)
    assert again.best_mean.mean_profit == pytest.approx(found.best_mean.mean_profit, rel=1e-12)
    assert again.best_worst.worst_profit == pytest.approx(found.best_worst.worst_profit, rel=1e-12)
    assert again.best_worst.price == pytest.approx(found.best_worst.price, rel=1e-6)
    assert again.best_worst.worst_draw == len(draws) + 1 - found.best_worst.worst_draw


def test_each_price_is_the_best_of_the_three_at_what_it_is_for() -> None:
    market, draws = market_and_draws()
    found = robust(market, draws)
    for price in found.by_name.values():
        assert price.mean_profit <= found.best_mean.mean_profit * (1 + 1e-12)
        assert price.worst_profit <= found.best_worst.worst_profit * (1 + 1e-12)
        assert price.central_profit <= found.central.central_profit * (1 + 1e-12)
        assert price.worst_profit <= price.mean_profit
    # They differ here, so that the above says something.
    assert found.best_worst.worst_profit > 1.001 * found.best_mean.worst_profit
    assert found.best_mean.mean_profit > 1.001 * found.best_worst.mean_profit


def test_profits_are_those_of_equilibria_in_every_draw() -> None:
    market, draws = market_and_draws()
    found = robust(market, draws)
    for price in found.by_name.values():
        earned = [price.price * equilibrium_at(draw, [price.price]).load[draw.leader[0]] for draw in draws]
        assert price.mean_profit == pytest.approx(np.mean(earned), rel=1e-12)
        assert price.worst_profit == pytest.approx(min(earned), rel=1e-12)
        assert price.worst_draw == int(np.argmin(earned)) + 1
    assert max(found.certificate.kkt_residual, found.certificate.max_regret) < 1e-10


def test_pieces_that_contradict_the_equilibria_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(market: Market) -> ProfitCurve:
        true = curve(market)
        return replace(true, pieces=tuple(replace(piece, load=piece.load * (1 + 1e-8)) for piece in true.pieces))

    monkeypatch.setattr(robust_module, "curve", wrong)
    with pytest.raises(ConvergenceError, match="differ in profit"):
        robust(*market_and_draws())


def test_ctrl_c_during_the_search_of_the_market_itself_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robust_module, "solve", lambda market: replace(solve(market), interrupted=True))
    with pytest.raises(KeyboardInterrupt):
        robust(*market_and_draws())


def test_ctrl_c_during_the_proof_of_a_draw_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    market = several(draw_market("uniform", 4, 4, 1))

    def pressed(*_: object) -> Proposal:
        return Proposal(np.ones(2), 1.0, Ended.INTERRUPTED)

    best = solve(market)
    monkeypatch.setattr(robust_module, "solve", lambda _: best)
    monkeypatch.setattr("prillm_or.solvers.branch.Branch.solve", pressed)
    with pytest.raises(KeyboardInterrupt):
        robust(market, [market])


def test_a_draw_without_a_bound_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    market = several(draw_market("uniform", 4, 4, 1))
    best = solve(market)
    monkeypatch.setattr(robust_module, "solve", lambda _: best)
    monkeypatch.setattr("prillm_or.solvers.branch.Branch.solve", lambda *_: Proposal(np.ones(2), None, Ended.UNKNOWN))
    with pytest.raises(ConvergenceError, match=r"draw 1 .*no bound on its best profit"):
        robust(market, [market])
