"""Windows: the best decisions lie within them, and so do flows and reduced costs at all decisions there."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.markets import draw_market
from helpers.sold import sold
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import costs, slopes
from prillm_or.models.window import Window, whole_window
from prillm_or.solvers.branch import Branch
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.windows import narrowed_window
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.reach import within_reach


def found(market: Market, deadline: Deadline | None = None) -> tuple[Window, Incumbent]:
    """The window that the best of a few prices, polished, leaves."""
    best = Incumbent(market)
    for share in (0.2, 0.5, 0.8):
        best.offer(share * market.price_cap)
        best.polish()
    return narrowed_window(market, best, deadline or Deadline(None)), best


def several() -> list[Market]:
    """Plain markets of two and three prices, lists, factors, own weights, crowds."""
    plain = [draw_market(kind, 5, 6, seed, 2) for seed, kind in enumerate(("uniform", "heavy", "costs", "weights"))]
    three = [draw_market("degenerate", 4, 6, 1, 3), draw_market("heavy", 6, 6, 2, 3)]
    lists = [sold(seed, 5, 5, decides="components", own_weights=bool(seed % 2)) for seed in range(3)]
    factors = [sold(seed, 5, 5, leaders=2, decides="factor") for seed in range(2)]
    return [within_reach(market) for market in (*plain, *three, *lists, *factors, sold(0, 5, 5, decides="factor"))]


def test_the_window_keeps_every_best_price(kind: str) -> None:
    for seed in range(10):
        market = draw_market(kind, 5, 5, seed)
        price = next(iter(solve(market, solver="path").prices.values()))
        window, _ = found(market)
        assert window.low[0] <= price <= window.high[0] + 1e-12


def test_the_window_keeps_the_best_of_several_decisions() -> None:
    narrower = 0
    for market in several()[::2]:
        best = Branch().solve(market, Limits(gap=1e-6, time_limit=2)).prices
        window, ours = found(market)
        assert best is not None
        assert ours.prices is not None
        for decisions in (best, ours.prices):
            assert (window.low <= decisions + 1e-3 * market.price_cap).all()
            assert (decisions <= window.high + 1e-3 * market.price_cap).all()
        assert (window.low <= ours.prices).all()
        assert (ours.prices <= window.high).all()
        narrower += bool((window.high - window.low < 0.8 * market.price_cap).any())
    assert narrower >= 4


def test_nothing_out_of_the_window_earns_as_much() -> None:
    rng = np.random.default_rng(0)
    for market in several():
        window, best = found(market)
        beyond = [
            decisions
            for decisions in rng.uniform(0, market.price_cap, (60, len(market.price_cap)))
            if (decisions < window.low).any() or (decisions > window.high).any()
        ]
        judge = Incumbent(market)
        for decisions in beyond:
            judge.offer(decisions)
        assert not beyond or judge.profit < best.profit


def check_pairs(market: Market, window: Window, decisions: Array) -> None:
    """Flows and reduced costs at the equilibrium are within what the window says of them, or a rounding beside it."""
    at = equilibrium_at(market, decisions)
    by_load, own = slopes(market)
    marginal = costs(market, decisions) + by_load * at.load + own * at.flow
    level = at.multiplier / market.price_weight
    reduced, digit = marginal - level[:, None], 1e-9 * market.demand[:, None]
    assert (window.flow_low <= at.flow + digit).all()
    assert (at.flow <= np.maximum(window.flow_high, 0.0) + digit).all()
    unused = at.flow == 0
    assert (reduced[unused] <= window.reduced_high[unused] + 1e-9 * np.abs(level).max()).all()


def test_what_a_window_says_of_pairs_holds_in_it() -> None:
    rng, told = np.random.default_rng(1), 0
    for market in several():
        window, _ = found(market)
        for decisions in rng.uniform(window.low, window.high, (25, len(window.low))):
            check_pairs(market, window, decisions)
        told += int((window.flow_low > 0).sum() + (window.flow_high <= 0).sum())
    assert told > 50


def test_one_decision_alone_leaves_few_pairs_open_and_loses_no_price() -> None:
    rng, told = np.random.default_rng(2), 0
    kinds = enumerate(("uniform", "heavy", "weights", "degenerate"))
    lists = [sold(2, 5, 5, decides=("input",), own_weights=True), sold(3, 5, 5, decides="factor")]
    for market in [*(draw_market(kind, 5, 6, seed) for seed, kind in kinds), *map(within_reach, lists)]:
        assert len(market.decisions) == 1
        window, best = found(market)
        for decisions in rng.uniform(window.low, window.high, (25, 1)):
            check_pairs(market, window, decisions)
        judge = Incumbent(market)
        for share in np.linspace(0, 1, 60):
            if not window.low <= share * market.price_cap <= window.high:
                judge.offer(share * market.price_cap)
        assert judge.profit <= best.profit
        told += int((window.flow_low > 0).sum() + (window.flow_high <= 0).sum())
    assert told > 100


def test_without_time_the_window_is_whole() -> None:
    market = draw_market("uniform", 5, 6, 0, 2)
    window, _ = found(market, Deadline(0.0))
    np.testing.assert_array_equal(window.low, 0 * market.price_cap)
    np.testing.assert_array_equal(window.high, market.price_cap)


def test_a_window_in_other_units_holds_the_same() -> None:
    market, unit = draw_market("heavy", 4, 5, 3, 2), np.array([2.0, 4.0])
    window, _ = found(market)
    other = window.in_units(2.0, 8.0, unit)
    np.testing.assert_array_equal(other.low * unit, window.low)
    np.testing.assert_array_equal(other.high * unit, window.high)
    np.testing.assert_array_equal(other.flow_high * 8, window.flow_high)
    np.testing.assert_array_equal(other.reduced_high * 2, window.reduced_high)
    assert np.isinf(whole_window(market).flow_high).all()


@pytest.mark.parametrize("solver", ["highs", "scip", "gurobi"])
def test_models_of_a_window_find_what_branch_finds(solver: str) -> None:
    for seed, kind in enumerate(("heavy", "costs")):
        market = draw_market(kind, 4, 5, seed, 2)
        ours, theirs = solve(market, solver="branch", gap=1e-6), solve(market, solver=solver, gap=1e-6)
        assert ours.status == theirs.status == "optimal"
        assert theirs.profit == pytest.approx(ours.profit, rel=2e-6)
        assert theirs.upper_bound is not None
        assert theirs.upper_bound >= ours.profit
