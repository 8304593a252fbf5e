"""ascent: `path` for one price, a local maximum of several; `spiter` is another name of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.answers import hand_answers, profit_at
from helpers.markets import draw_market, make_market, shipped
from prillm_or.curves.trace import best_on_piece, trace
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.ascent import Ascent, Climb, ascend
from prillm_or.solvers.grid import Grid
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended
from prillm_or.solvers.registry import solvers_with
from prillm_or.solvers.starts import starts
from prillm_or.solving.run import solve
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import within_reach


def best_prices(market: Market) -> Array:
    proposal = Ascent().solve(market, Limits())
    assert proposal.ended is Ended.FINISHED
    assert proposal.prices is not None
    return proposal.prices


def best_along(market: Market, prices: Array, which: int) -> float:
    """Most profit of one price with the others held, by a trace of its own."""
    costs = market.unit_cost[list(market.leader)]
    start = np.where(np.arange(len(prices)) == which, 0.0, prices)
    pieces = trace(user_problem(market), start, which, float(market.price_cap[which]))
    return max(best_on_piece(piece, which, prices - costs, costs[which])[1] for piece in pieces)


def one_at_a_time(market: Market, prices: Array) -> float:
    climb, before = Climb(market, user_problem(market), prices), -np.inf
    while climb.best.profit > before:
        before = climb.best.profit
        climb.one_at_a_time()
    return climb.best.profit


def test_one_price_is_path(kind: str) -> None:
    for seed in range(3):
        market = draw_market(kind, 5, 6, seed)
        expected, proposal = Path().solve(market, Limits()), Ascent().solve(market, Limits())
        assert proposal.prices == expected.prices
        assert proposal.upper_bound == expected.upper_bound
    assert solve(market, solver="ascent").status == "optimal"


def test_spiter_is_another_name_of_it() -> None:
    market = draw_market("uniform", 4, 5, 7, leaders=2)
    asked, other = (solve(market, solver=name) for name in ("ascent", "spiter"))
    assert (asked.method.solver, other.method.solver) == ("ascent", "spiter")
    assert (asked.prices, asked.profit, asked.status) == (other.prices, other.profit, other.status)
    assert "ascent" in solvers_with({Capability.SEVERAL_PRICES})
    assert "spiter" not in solvers_with({Capability.SEVERAL_PRICES})


def test_two_prices_by_hand() -> None:
    # From instances/tiny/README.md: 7/2 and 4, profit 19/2, where profit is smooth: the ascent ends at the optimum.
    answer = hand_answers()["two-prices"]
    prices = best_prices(answer.market)
    np.testing.assert_allclose(prices, [3.5, 4.0], atol=1e-4)
    assert profit_at(answer.market, prices) == pytest.approx(9.5, rel=1e-9)


@pytest.mark.parametrize("leaders", [2, 3])
def test_no_single_price_improves(kind: str, leaders: int) -> None:
    for seed in range(3):
        market = draw_market(kind, 4, 6, seed, leaders=leaders)
        prices = best_prices(market)
        profit = profit_at(market, prices)
        assert ((prices >= 0) & (prices <= market.price_cap)).all()
        for which in range(leaders):
            assert best_along(market, prices, which) <= profit + 1e-9 * abs(profit)
            for price in np.linspace(0, market.price_cap[which], 21):
                changed = np.where(np.arange(leaders) == which, price, prices)
                assert profit_at(market, changed) <= profit + 1e-9 * abs(profit)


def test_it_is_no_worse_than_its_starts(kind: str) -> None:
    market = draw_market(kind, 4, 5, 7, leaders=2)
    best = profit_at(market, best_prices(market))
    assert all(profit_at(market, prices) <= best + 1e-12 * abs(best) for prices in starts(market))


def test_a_ridge_does_not_stop_it() -> None:
    # Two of the leader's providers are identical twins, so that profit has a ridge where their prices are equal, on
    # which no single price gains. What is found need not be the best, and no bound is claimed.
    market = draw_market("degenerate", 2, 4, 0, leaders=2)
    begin = starts(market)[:3]
    alone = [one_at_a_time(market, prices) for prices in begin]
    known = profit_at(market, np.array([2.25, 2.25]))
    assert known > max(alone) * 1.005
    assert all(ascend(market, user_problem(market), [prices]).profit >= known * (1 - 1e-12) for prices in begin)
    result = solve(market, solver="ascent")
    assert result.status == "heuristic"
    assert result.upper_bound is None
    assert result.profit >= known * (1 - 1e-12)


@pytest.mark.parametrize("name", [pytest.param("premium-4-two-prices", marks=pytest.mark.slow), "tiny/two-prices"])
def test_two_prices_against_the_proven_bound_and_a_grid(name: str) -> None:
    market = shipped(name)
    profit = profit_at(market, best_prices(market))
    result = solve(market, solver="highs", model="kkt-bigm", gap=1e-3)
    assert result.upper_bound is not None
    assert 0.999 * result.upper_bound <= profit <= result.upper_bound * (1 + 1e-9)
    grid = Grid().solve(market, Limits()).prices
    assert grid is not None
    assert profit_at(market, grid) <= profit * (1 + 1e-9)
    for a in np.linspace(0, market.price_cap[0], 21):
        for b in np.linspace(0, market.price_cap[1], 21):
            assert profit_at(market, np.array([a, b])) <= profit * (1 + 1e-9)


def test_starts() -> None:
    # p1 and p2 lead, at 1 and 2 today, with caps 1.5 and 1: today's prices are clipped to 1 and 1.
    market = make_market(leader=(0, 1), price_cap=[1.5, 1.0])
    assert [prices.tolist() for prices in starts(market)] == [[1.0, 1.0], [1.5, 1.0], [0.75, 0.5], [0.0, 0.0]]
    market = make_market(leader=(0, 1), price_cap=[1.5, 1.0], unit_cost=[2.0, 0.3, 0.0])
    assert starts(market)[-1].tolist() == [1.5, 0.3]
    # Without a price today, and all alike where the cap is 0.
    market = make_market(price=[np.nan, 2.0, 3.0])
    assert [prices.tolist() for prices in starts(market)] == [[10.0], [5.0], [0.0]]
    assert [prices.tolist() for prices in starts(make_market(price_cap=[0.0]))] == [[0.0]]


def test_without_time_a_start_is_returned() -> None:
    market = hand_answers()["two-prices"].market
    proposal = Ascent().solve(market, Limits(time_limit=0.0))
    assert proposal.ended is Ended.TIME_LIMIT
    assert proposal.prices is not None
    np.testing.assert_array_equal(proposal.prices, market.today)


def test_whenever_the_time_runs_out_what_was_found_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    market = draw_market("degenerate", 2, 4, 0, leaders=2)  # with a ridge
    start = profit_at(market, starts(market)[0])

    class Steps(Deadline):
        left_over = 0

        def passed(self) -> bool:
            Steps.left_over -= 1
            return Steps.left_over < 0

    monkeypatch.setattr("prillm_or.solvers.ascent.Deadline", Steps)
    profits = []
    for Steps.left_over in range(0, 120, 3):  # looks at the clock until the time is up
        proposal = Ascent().solve(market, Limits())
        assert proposal.ended is Ended.TIME_LIMIT
        assert proposal.prices is not None
        profits.append(profit_at(market, proposal.prices))
    assert min(profits) >= start
    assert (np.diff(profits) >= -1e-12 * np.abs(profits[1:])).all()
    assert profits[-1] > start


def test_ctrl_c_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    market, calls = hand_answers()["two-prices"].market, []

    def interrupted(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return trace(*args)

    monkeypatch.setattr("prillm_or.solvers.ascent.trace", interrupted)
    proposal = Ascent().solve(market, Limits())
    assert proposal.ended is Ended.INTERRUPTED
    assert proposal.prices is not None
    assert market.today is not None
    assert profit_at(market, proposal.prices) > profit_at(market, market.today)


@pytest.mark.parametrize("demand", [4e-2, 4e-4, 4e-8, 4e-14, 4e-20, 4e-100])
def test_a_ridge_between_two_of_its_own_is_climbed_however_sharp_it_is(demand: float) -> None:
    """The one user, without congestion to speak of, is torn between the two along a line of equal differences.

    Sampled directions miss that line by rounding: from two starts of four the climbs ended at 2.5 and 2.7 times the
    demand, after 200 rounds.
    """
    market = within_reach(replace(shipped("tiny/two-prices"), demand=np.array([demand])))
    for prices in starts(market):
        climb = Climb(market, user_problem(market), prices)
        climb.run()
        assert climb.arrived
        assert climb.traces < 100
        assert climb.best.profit >= (1 - 1e-7) * (4 - demand) * demand
