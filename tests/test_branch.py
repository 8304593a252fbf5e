"""branch: several decisions proven; its relaxation bounds whatever is in its box, however badly it is solved."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from helpers.markets import draw_market
from helpers.sold import sold
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.market.outside import with_outside
from prillm_or.solvers import box_relaxation, concave_bound
from prillm_or.solvers.box_relaxation import Box, Relaxation
from prillm_or.solvers.branch import Branch
from prillm_or.solvers.each_alone import each_alone
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.run import solve
from prillm_or.users.certificate import certify, profit_of, relative_gap
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

KINDS = tuple(itertools.product(("plain", "factor", "components"), (False, True)))


def several(kind: str, n: int, m: int, k: int, seed: int) -> Market:
    """A market of `draw_market` whose first k providers lead."""
    market = draw_market(kind, n, m, seed)
    return replace(market, leader=tuple(range(k)), price_cap=np.full(k, market.price_cap[0]))


def earned(market: Market, decisions: Array) -> float:
    return profit_of(market, decisions, solve_users(user_problem(market), decisions).billed)


def check(market: Market, found: Proposal, seed: int, probes: int = 150) -> None:
    """The bound holds of decisions near and far, and the proposal attains it within the gap."""
    assert found.ended is Ended.FINISHED
    assert found.prices is not None
    assert found.upper_bound is not None
    users = user_problem(market)
    profit = earned(market, found.prices)
    assert certify(market, found.prices, solve_users(users, found.prices).flow).worst < 1e-9
    assert relative_gap(found.upper_bound, profit) <= 1e-4
    rng, k = np.random.default_rng(seed), len(found.prices)
    near = found.prices * (1 + rng.normal(0, 0.03, (probes, k)))
    for decisions in np.vstack([rng.uniform(0, market.price_cap, (probes, k)), near]):
        assert earned(market, np.clip(decisions, 0, market.price_cap)) <= found.upper_bound + 1e-9 * abs(profit)


@pytest.mark.parametrize("kind", ["uniform", "heavy", "costs", "degenerate"])
def test_two_and_three_prices_are_proven(kind: str) -> None:
    for k, seed in ((2, 0), (2, 1), (3, 0)):
        market = several(kind, 6, 6, k, seed)
        check(market, Branch().solve(market, Limits()), seed, probes=60)


@pytest.mark.parametrize("decides", ["plain", "factor", "components"])
def test_lists_crowds_and_tastes(decides: str) -> None:
    for seed in (20, 22, 24):
        market = sold(seed, 5, 5, leaders=1 if decides == "components" else 2, decides=decides)
        check(market, Branch().solve(market, Limits()), seed, probes=60)


@pytest.mark.parametrize("kind", ["uniform", "heavy", "costs"])
def test_an_outside_option_is_no_harder_than_a_rival(kind: str) -> None:
    for seed in range(3):
        market = with_outside(several(kind, 6, 6, 2, seed), -1.0)
        found = Branch().solve(market, Limits())
        check(market, found, seed, probes=60)
        assert found.stats["nodes"] < 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "heavy", "weights", "costs", "degenerate"])
def test_models_agree(kind: str) -> None:
    for seed in range(2):
        market = several(kind, 5, 6, 2, seed)
        ours = solve(market, solver="branch", gap=1e-5)
        theirs = solve(market, solver="scip", model="kkt-bilinear", gap=1e-5)
        assert ours.status == theirs.status == "optimal"
        assert ours.profit == pytest.approx(theirs.profit, rel=2e-5)


def test_one_decision_is_that_of_path() -> None:
    for seed in range(0, 30, 5):
        market = sold(seed)
        best, found = (
            Path().solve(market, Limits()).upper_bound,
            Branch().solve(market, Limits(gap=1e-6, time_limit=20)),
        )
        assert found.ended is Ended.FINISHED
        assert best is not None
        assert found.upper_bound is not None
        assert best * (1 - 1e-9) - 1e-9 <= found.upper_bound <= best * (1 + 1e-6) + 1e-9


def boxes(market: Market, seed: int, count: int) -> list[tuple[Box, Array, Array]]:
    """Boxes whose slacks L6 bounds, decisions in them, and some pairs fixed as these have them."""
    rng, users, drawn = np.random.default_rng(seed), user_problem(market), []
    speed = 2 * users.sensitivity.max(axis=0) - users.sensitivity.min(axis=0)
    for _ in range(count):
        low, high = np.sort(rng.uniform(0, market.price_cap, (2, len(market.price_cap))), axis=0)
        high = low + (high - low) * rng.choice([1.0, 0.2, 0.02])
        middle = solve_users(users, (low + high) / 2)
        slack = middle.level[:, None] - users.offsets(middle.prices) - middle.congestion
        away = float(speed @ (high - low)) / 2 + 1e-9
        inside = rng.uniform(low, high)
        used = solve_users(users, inside).flow > 1e-9
        fixed = (rng.random(used.shape) < rng.choice([0.0, 0.3])) & (used | (rng.random(used.shape) < 0.5))
        drawn.append((Box(low, high, slack - away, slack + away), inside, np.where(fixed, np.where(used, 1, -1), 0)))
    return drawn


@pytest.mark.parametrize(("decides", "own_weights"), KINDS)
@pytest.mark.parametrize("solved", ["well", "badly", "in flows"])
def test_a_relaxation_bounds_all_of_its_box(
    decides: str, own_weights: bool, solved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)

    def badly(hessian: Array, gradient: Array, rows: Array, low: Array) -> tuple[Array, Array]:
        return rng.random(len(gradient)), rng.random(len(low)) * 10.0 ** rng.integers(-6, 3)

    if solved == "badly":
        monkeypatch.setattr(concave_bound, "_solved", badly)
    if solved == "in flows":
        monkeypatch.setattr(box_relaxation, "_FEW", -1000)
    for seed in range(4):
        market = sold(seed, 5, 5, leaders=1 if decides == "components" else 2, decides=decides, own_weights=own_weights)
        relaxation, users = Relaxation(market, user_problem(market)), user_problem(market)
        for box, inside, fixed in boxes(market, seed, 8):
            near = solve_users(users, np.clip(market.price_cap / 3, box.low, box.high))
            support = np.where(fixed != 0, fixed > 0, near.support)
            support = np.where(box.slack_low > 0, True, np.where(box.slack_high < 0, False, support))
            if not support.any(axis=1).all():
                continue
            profit = earned(market, inside)
            target = profit - rng.choice([1e-9, 1e-3, 1.0]) * abs(profit) - 1e-12
            found = relaxation.bound(box, support, near.prices, fixed != 0, target)
            assert found is not None
            assert found.bound >= profit - 1e-9 * max(abs(profit), 1.0)
            at, left = solve_users(users, inside), found.box
            slack = at.level[:, None] - users.offsets(inside) - at.congestion
            off = 1e-9 * users.stiffness * np.abs(slack).max()
            assert (left.low <= inside).all() and (inside <= left.high).all()  # noqa: PT018 - one thing
            assert ((left.slack_low - off <= slack) & (slack <= left.slack_high + off)).all()


@pytest.mark.parametrize(("decides", "own_weights"), KINDS)
def test_in_flows_a_relaxation_is_solved_as_well(
    decides: str, own_weights: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    for seed in range(4):
        market = sold(seed, 5, 5, leaders=1 if decides == "components" else 2, decides=decides, own_weights=own_weights)
        relaxation, users = Relaxation(market, user_problem(market)), user_problem(market)
        for box, inside, fixed in boxes(market, seed, 4):
            near, bounds = solve_users(users, inside), []
            support = np.where(fixed != 0, fixed > 0, near.support)
            for few in (1000, -1000):
                monkeypatch.setattr(box_relaxation, "_FEW", few)
                found = relaxation.bound(box, support, near.prices, fixed != 0, earned(market, inside))
                assert found is not None
                bounds.append(found.bound)
            assert bounds[1] <= bounds[0] + 1e-5 * abs(bounds[0]) + 1e-6
            compared += 1
    assert compared == 16


@pytest.mark.parametrize("near", [[0.0, 0.0], [12.0, 1.0], [100.0, 100.0]])
def test_what_is_proven_does_not_depend_on_where_it_starts(near: list[float]) -> None:
    market = several("uniform", 6, 6, 2, 1)
    cold, found = Branch().solve(market, Limits()), Branch(np.array(near)).solve(market, Limits())
    check(market, found, 1, probes=20)
    assert found.prices is not None
    assert found.upper_bound is not None
    assert cold.prices is not None
    assert earned(market, cold.prices) <= found.upper_bound * (1 + 1e-9)
    assert (found.prices <= market.price_cap).all()


@pytest.mark.parametrize("kind", ["uniform", "heavy", "costs", "degenerate"])
def test_what_each_price_earns_alone_cuts_off_nothing_that_earns_enough(kind: str) -> None:
    cut = 0.0
    for seed in range(6):
        market = several(kind, 6, 8, 3, seed)
        users, cap, rng = user_problem(market), market.price_cap, np.random.default_rng(seed)
        seen = np.vstack([rng.uniform(0, cap, (60, 3)), rng.uniform(0, cap / 4, (60, 3))])
        profits = np.array([earned(market, decisions) for decisions in seen])
        for target in (profits.max(), np.quantile(profits, 0.8), 0.0):
            low, high, bound = each_alone(market, users, 0 * cap, cap, float(target))
            enough = seen[profits >= target]
            assert ((low <= enough) & (enough <= high)).all()
            assert bound >= profits.max()
            cut += float(1 - np.prod((high - low) / cap))
            part = (seen >= cap / 8).all(axis=1) & (seen <= cap / 2).all(axis=1)
            low, high, bound = each_alone(market, users, cap / 8, cap / 2, float(target))
            assert profits[part].max() <= max(bound, target)
            enough = seen[part & (profits >= target)]
            assert ((low <= enough) & (enough <= high)).all()
        low, high, _ = each_alone(market, users, 0 * cap, cap, float(10 * np.abs(profits).sum() + 1))
        assert (low > high).any()
    assert cut > 2


def test_it_tells_what_it_has_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    market = several("uniform", 12, 12, 3, 0)
    found = Branch().solve(market, Limits(gap=1e-9, time_limit=0.05))
    assert found.prices is not None
    assert found.upper_bound is None or found.upper_bound >= earned(market, found.prices) * (1 - 1e-12)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prillm_or.solvers.branch._Search.step", interrupt)
    found = Branch().solve(market, Limits())
    assert found.ended is Ended.INTERRUPTED
    assert found.prices is not None
    assert found.upper_bound is not None
    assert found.upper_bound > earned(market, found.prices)
