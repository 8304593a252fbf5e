"""Markets as they are sold: price lists, mixes, factors, crowds, tastes, values of users' own, no congestion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.markets import shipped
from helpers.rational import Rational
from helpers.sold import sold
from prillm_or.curves.trace import trace
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.market.selection import select
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Proposal
from prillm_or.users.certificate import certify, profit_of, relative_gap
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.reach import reach
from prillm_or.users.slopes import load_slopes


def drawn(market: Market, seed: int, count: int) -> Array:
    """Decisions within the caps."""
    return np.random.default_rng(seed).uniform(0.0, market.price_cap, (count, len(market.price_cap)))


def earned(market: Market, decisions: Array) -> float:
    """Profit at a certified equilibrium."""
    found = solve_users(user_problem(market), decisions)
    assert certify(market, decisions, found.flow).worst < 1e-9
    return profit_of(market, decisions, found.billed)


def check_on_a_grid(market: Market, proposal: Proposal) -> None:
    """No price of a fine grid, finer around the one found, earns more than the bound, which the one found attains."""
    assert proposal.prices is not None
    assert proposal.upper_bound is not None
    profit = earned(market, proposal.prices)
    assert relative_gap(proposal.upper_bound, profit) < 1e-9
    near = proposal.prices[0] * (1 + np.linspace(-0.01, 0.01, 21))
    users, found, most = user_problem(market), None, -np.inf
    for value in np.concatenate([np.linspace(0.0, market.price_cap[0], 150), near[near <= market.price_cap[0]]]):
        found = solve_users(users, [value], found)
        most = max(most, profit_of(market, [value], found.billed))
    assert most <= proposal.upper_bound + 1e-9 * max(abs(profit), 1.0)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_equilibria_are_certified_and_path_beats_a_grid(first: int) -> None:
    for seed in range(first, first + 20):
        market = sold(seed)
        users = user_problem(market)
        for decisions in drawn(market, seed, 3):
            assert certify(market, decisions, solve_users(users, decisions).flow).worst < 1e-12
        if seed % 2:
            check_on_a_grid(market, Path().solve(market, Limits()))


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_a_thousand_markets(first: int) -> None:
    for seed in range(first, first + 100):
        market = sold(seed)
        for decisions in drawn(market, seed, 3):
            earned(market, decisions)
        found = Path().solve(market, Limits())
        check_on_a_grid(market, found)
        other = Bisect().solve(market, Limits(gap=1e-4))
        assert found.upper_bound is not None
        assert other.prices is not None
        assert other.upper_bound is not None
        noise = 1e-4 * abs(found.upper_bound) + 1e-9
        assert found.upper_bound - noise <= earned(market, other.prices) <= other.upper_bound + noise
        assert other.upper_bound >= found.upper_bound - 1e-9 * max(abs(found.upper_bound), 1.0)


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_rational_arithmetic_agrees(first: int) -> None:
    for seed in range(first, first + 10):
        market = sold(seed, 3, 3)
        exact, found = Rational(market), Path().solve(market, Limits())
        assert found.prices is not None
        price, best = exact.best()
        assert earned(market, found.prices) == pytest.approx(best, rel=1e-10, abs=1e-10)
        assert found.upper_bound == pytest.approx(best, rel=1e-10, abs=1e-10)
        flow = solve_users(user_problem(market), [price]).flow
        np.testing.assert_allclose(flow, exact.flows(price), rtol=0, atol=1e-11 * market.demand.max())


def test_bisect_needs_no_pieces() -> None:
    for seed in range(0, 24, 2):
        market = sold(seed)
        best, found = Path().solve(market, Limits()).upper_bound, Bisect().solve(market, Limits(gap=1e-4))
        assert found.prices is not None
        assert found.upper_bound is not None
        assert best is not None
        assert best - 1e-4 * abs(best) - 1e-9 <= earned(market, found.prices) <= found.upper_bound + 1e-9
        assert found.upper_bound >= best - 1e-9 * max(abs(best), 1.0)


def written_out(market: Market) -> Market:
    """The market with each row's users in rows of their own."""
    rows = np.repeat(np.arange(market.n), market.count.astype(int)).tolist()
    names = tuple(f"{market.user_ids[i]}-{k}" for k, i in enumerate(rows))
    return select(market, rows, user_ids=names, demand=(market.demand / market.count)[rows], count=np.ones(len(rows)))


@pytest.mark.parametrize("seed", range(6))
def test_a_crowd_is_its_users_written_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    market = sold(seed, 4, 4)
    market = replace(market, count=rng.integers(1, 8, 4).astype(float))
    whole = written_out(market)
    rows = np.repeat(np.arange(4), market.count.astype(int))
    for decisions in drawn(market, seed, 4):
        of_crowds, of_users = (solve_users(user_problem(each), decisions).flow for each in (market, whole))
        np.testing.assert_allclose(of_crowds / market.count[:, None], of_users[np.unique(rows, return_index=True)[1]])
        np.testing.assert_allclose(np.ptp(of_users[rows == 0], axis=0), 0.0, atol=1e-12)
    best, of_all = (Path().solve(each, Limits()).upper_bound for each in (market, whole))
    assert best == pytest.approx(of_all, rel=1e-10)


def test_a_million_users_in_forty_rows() -> None:
    market = sold(3, 40, 6, congested=True, decides="plain", own_weights=False)
    market = replace(market, count=np.full(40, 25_000.0), demand=1e3 * market.demand, capacity=1e4 * market.capacity)
    rows = np.repeat(np.arange(40), 25).tolist()
    apart = select(
        market,
        rows,
        user_ids=tuple(f"u{k}" for k in range(1000)),
        demand=market.demand[rows] / 25,
        count=np.full(1000, 1000.0),
    )
    one, other = (Path().solve(each, Limits()) for each in (market, apart))
    assert one.prices is not None
    assert other.prices is not None
    assert one.prices[0] == pytest.approx(other.prices[0], rel=1e-12)
    assert earned(market, one.prices) == pytest.approx(earned(apart, other.prices), rel=1e-12)
    assert one.upper_bound == pytest.approx(earned(market, one.prices), rel=1e-12)


@pytest.mark.parametrize("power", [3, 6, 9])
def test_digits_of_huge_crowds(power: int) -> None:
    # Flows keep ten digits and more, whatever the count; where pieces are blurred, bisect proves the gap asked for.
    for seed in (2, 16, 27, 59):
        market = replace(sold(seed, 3, 3, congested=True), count=np.array([10.0**power, 1.0, 10.0 ** (power // 2)]))
        exact, found = Rational(market), Path().solve(market, Limits())
        assert found.prices is not None
        assert found.upper_bound is not None
        flow = solve_users(user_problem(market), found.prices).flow
        np.testing.assert_allclose(flow, exact.flows(float(found.prices[0])), rtol=0, atol=1e-10 * market.demand.max())
        best = exact.best()[1]
        assert best - 1e-4 * abs(best) <= earned(market, found.prices) <= best * (1 + 1e-9)
        assert found.upper_bound >= best - 1e-9 * abs(best)


@pytest.mark.parametrize("power", [7, 8, 9])
def test_equilibria_of_huge_crowds_alone(power: int) -> None:
    # Widths ten million times the capacity: full Newton steps go round in circles unless they start near.
    for seed in (3, 18, 19, 20, 24, 38):
        market = sold(seed, m=7, congested=True)
        market = replace(market, count=np.full(market.n, 10.0**power), dispersion=np.zeros(market.n))
        for value in (0.0, 1.0, 2.0):
            decisions = np.full(len(market.price_cap), value)
            assert certify(market, decisions, solve_users(user_problem(market), decisions).flow).worst < 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_lemmas(seed: int) -> None:
    market = sold(seed, leaders=2, decides=["components", "factor"][seed % 2], own_weights=seed >= 4)
    users = user_problem(market)
    limits = reach(market)
    for decisions in drawn(market, seed, 3):
        found = solve_users(users, decisions)
        if seed < 4:  # billed volumes are the gradient of a concave function
            slopes = load_slopes(users, found.laplacian)
            np.testing.assert_allclose(slopes, slopes.T, atol=1e-9 * np.abs(slopes).max() + 1e-12)
            assert (np.diag(slopes) <= 1e-12).all()
        for k, decision in enumerate(market.decisions):
            more = decisions.copy()
            more[k] += 0.3
            after = solve_users(users, more)
            own = decision.provider
            assert after.load[own] <= found.load[own] + 1e-12  # L2
            rho = users.sensitivity[:, k]
            assert (found.load - after.load)[own] <= 0.3 * steepest(users, own, float(rho.max())) + 1e-9  # L7
            change = np.abs(slacks(users, after.prices) - slacks(users, decisions))
            assert change.max() <= 0.3 * (2 * rho.max() - rho.min()) + 1e-9  # L6
            more[k] = limits[k]
            assert abs(solve_users(users, more).by_decision[k]) < 1e-9 * market.demand.sum() * max(1.0, rho.max())  # L9


def slacks(users: UserProblem, decisions: Array) -> Array:
    found = solve_users(users, decisions)
    return np.asarray(found.level[:, None] - users.offsets(decisions) - found.congestion)


def steepest(users: UserProblem, own: int, fastest: float) -> float:
    width = float(np.broadcast_to(users.width, users.base.shape)[:, own].sum())
    return fastest / (1 / float(users.capacity[own]) + 1 / width)


def test_pieces_of_one_decision_among_several() -> None:
    for seed in range(4):
        market = sold(seed, leaders=2, decides="components")
        users, at = user_problem(market), drawn(market, seed, 1)[0]
        for which in range(len(at)):
            low = at.copy()
            low[which] = 0.0
            for piece in trace(users, low, which, float(market.price_cap[which])):
                middle = low.copy()
                middle[which] = (piece.start + piece.end) / 2
                found = solve_users(users, middle)
                length = middle[which] - piece.start
                np.testing.assert_allclose(found.by_decision, piece.load + piece.slope * length, atol=1e-8)
                assert found.beside == pytest.approx(piece.rest + piece.rest_slope * length, abs=1e-8)


def test_a_shift_of_all_values_changes_no_flow_and_money_scales() -> None:
    for seed in range(10):
        market = sold(seed)
        at = drawn(market, seed, 1)[0]
        flow = solve_users(user_problem(market), at).flow
        own = market.user_values + 3.0 if market.user_values.size else market.user_values
        shifted = replace(market, value=market.value + 3.0, user_values=own)
        np.testing.assert_allclose(solve_users(user_problem(shifted), at).flow, flow, atol=1e-11)
        if market.decides != "factor":
            cents = replace(
                market,
                price=100 * market.price,
                unit_cost=100 * market.unit_cost,
                value=100 * market.value,
                user_values=100 * market.user_values,
                delay_weight=100 * market.delay_weight,
                congestion_weight=100 * market.congestion_weight,
                dispersion=100 * market.dispersion,
                price_cap=100 * market.price_cap,
            )
            one, other = (Path().solve(each, Limits()).upper_bound for each in (market, cents))
            assert one is not None
            assert other == pytest.approx(100 * one, rel=1e-9, abs=1e-9)


def test_without_congestion_shares_and_the_best_price_are_hotellings() -> None:
    """As derived in instances/tiny/README.md of `tastes`; here for any user, with a dispersion t of the rival's own."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        s, t, r, v, k = rng.uniform(4.0, 6.0), rng.uniform(0.8, 1.2), *rng.uniform(0.5, 2.0, 3)
        market = replace(
            shipped("tiny/tastes"),
            dispersion=np.array([s]),
            provider_dispersion=np.array([1.0, t]),
            price=np.array([1.0, r]),
            value=np.array([v, 0.0]),
            unit_cost=np.array([k, 0.0]),
        )
        best = Path().solve(market, Limits()).prices
        assert best is not None
        # The load is demand (r + v + s t - p) / (s + s t) while both are used: the top is midway between its zeros.
        assert best[0] == pytest.approx((r + v + s * t + k) / 2)
        share = solve_users(user_problem(market), best).load[0] / market.demand[0]
        assert share == pytest.approx((r + v + s * t - best[0]) / (s + s * t))


def test_no_other_list_earns_more_than_the_one_found_by_hand() -> None:
    """Of tiny/price-list: 14 at (2, 1). Dearer input takes as much output as dearer output takes input."""
    market = shipped("tiny/price-list")
    users = user_problem(market)
    lists = [np.array([y, z]) for y in np.linspace(0.0, 6.0, 31) for z in np.linspace(0.0, 6.0, 31)]
    profits = [profit_of(market, at, solve_users(users, at).billed) for at in lists]
    assert max(profits) == pytest.approx(14.0)
    np.testing.assert_allclose(lists[int(np.argmax(profits))], [2.0, 1.0])
    slopes = load_slopes(users, solve_users(users, [2.0, 1.0]).laplacian)
    np.testing.assert_allclose(slopes, [[-2.0, -1.0], [-1.0, -2.0]])


@pytest.mark.slow
@pytest.mark.parametrize(("own_weights", "expected"), [(True, 3), (False, 0)])
def test_a_billed_volume_may_rise_with_its_own_price_where_weights_differ(own_weights: bool, expected: int) -> None:
    rising = lists = 0
    for seed in range(200):
        market = sold(seed, own_weights=own_weights)
        if market.plain:
            continue
        pieces = trace(user_problem(market), np.zeros(1), 0, float(market.price_cap[0]))
        lists += 1
        rising += any(piece.slope[0] > 1e-9 * market.demand.sum() for piece in pieces)
    assert (rising, lists) == (expected, 155)
