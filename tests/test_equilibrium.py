"""The users' equilibrium: by hand, certified on broad markets, against an independent QP, and its properties."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import highspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.answers import hand_answers
from helpers.markets import draw_market, in_other_units, make_market, one_rival
from prillm_or.curves.trace import trace
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Array, Market
from prillm_or.users.certificate import certify
from prillm_or.users.equilibrium import Equilibrium, _damped, equilibrium_at
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.problem import user_problem
from prillm_or.users.slopes import load_slopes

SIZES = [(1, 2), (1, 6), (5, 2), (4, 4), (3, 9), (9, 3), (12, 12), (30, 20)]
"""One user, one rival, n < m, n = m and n > m among them."""

seeds = st.integers(0, 10**6)
shares = st.floats(0.0, 1.0)
sizes = st.tuples(st.integers(1, 6), st.integers(2, 6))


def test_one_user_by_hand() -> None:
    # D = 4, beta = 1/2 at both, rival at 2: marginal costs p + f and 2 + (4 - f), equal at f = (6 - p)/2.
    market = one_rival()
    inside = equilibrium_at(market, [3.0])
    np.testing.assert_allclose(inside.flow, [[1.5, 2.5]], rtol=1e-14)
    np.testing.assert_allclose(inside.multiplier, [4.5], rtol=1e-14)  # 3 + 3/2 = 2 + 5/2
    nobody = equilibrium_at(market, [7.0])
    assert nobody.flow.tolist() == [[0.0, 4.0]]
    np.testing.assert_allclose(nobody.multiplier, [6.0], rtol=1e-14)  # 2 + 4 < 7


def test_two_users_by_hand() -> None:
    # beta = 1, all prices 0; user 2 waits 10 at p2 and stays at p1 with f = 1. User 1 there: (1 + f) + f = 2 (3 - f),
    # f = 5/4; loads 9/4 and 7/4; lambda_1 = 9/4 + 5/4 = 7/2 = 7/4 + 7/4; lambda_2 = 9/4 + 1 = 13/4 < 10 + 7/4.
    market = make_market(
        provider_ids=("p1", "p2"), demand=[3, 1], price=[0, 0], capacity=[1, 1], delay=[[0, 0], [0, 10]]
    )
    found = equilibrium_at(market, [0.0])
    np.testing.assert_allclose(found.flow, [[1.25, 1.75], [1.0, 0.0]], rtol=1e-14)
    np.testing.assert_allclose(found.load, [2.25, 1.75], rtol=1e-14)
    np.testing.assert_allclose(found.multiplier, [3.5, 3.25], rtol=1e-14)


@pytest.mark.usefixtures("listed")
def test_own_weights_by_hand() -> None:
    # Derived in instances/tiny/README.md: at p = 7/2 both use the leader, f_a = 5/8 and f_b = 15/4.
    market = hand_answers()["own-weights"].market
    own = market.leader[0]
    np.testing.assert_allclose(equilibrium_at(market, [3.5]).flow[:, own], [5 / 8, 15 / 4], rtol=1e-13)
    # At 43/6 user b is alone there. Its own money is twice the scaled one: w_q = 2, so that with x = 43/16 its marginal
    # cost is 43/6 + 2/3 (43/16 + 43/16) = 43/6 + 43/12 = 43/4.
    alone = equilibrium_at(market, [43 / 6])
    np.testing.assert_allclose(alone.flow[:, own], [0, 43 / 16], rtol=1e-13)
    np.testing.assert_allclose(alone.multiplier[1], 43 / 4, rtol=1e-13)


@pytest.mark.usefixtures("listed")
def test_every_hand_answer_has_its_loads() -> None:
    for answer in hand_answers().values():
        found = equilibrium_at(answer.market, [float(price) for price in answer.prices])
        loads = [float(load) for load in answer.loads]
        np.testing.assert_allclose(found.load[list(answer.market.leader)], loads, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "change",
    [
        lambda market: market,
        lambda market: in_other_units(market, money=1e-6),
        lambda market: in_other_units(market, money=1e12),
        lambda market: in_other_units(market, volume=1e-6),
        lambda market: in_other_units(market, volume=1e12),
        lambda market: replace(market, capacity=market.capacity / market.capacity.sum() * market.demand.sum() * 1e6),
        lambda market: replace(market, capacity=market.capacity / market.capacity.sum() * market.demand.sum() * 1e-6),
    ],
    ids=["plain", "money 1e-6", "money 1e12", "volume 1e-6", "volume 1e12", "capacity 1e6", "capacity 1e-6"],
)
@pytest.mark.usefixtures("listed")
def test_broad_markets_are_certified(kind: str, size: tuple[int, int], change: Callable[[Market], Market]) -> None:
    for seed in range(3):
        market = change(draw_market(kind, *size, seed))
        for share in (0.0, 0.3, 1.0):
            prices = share * market.price_cap
            found = equilibrium_at(market, prices)
            certificate = certify(market, prices, found.flow)
            assert certificate.kkt_residual <= 1e-12
            assert certificate.max_regret <= 1e-12
            np.testing.assert_allclose(found.load, found.flow.sum(axis=0), rtol=1e-14)
            np.testing.assert_allclose(found.multiplier, marginal_costs(market, found).min(axis=1), rtol=1e-9)


def marginal_costs(market: Market, found: Equilibrium) -> Array:
    own = market.delay_weight[:, None] * market.delay - market.value
    cost = market.price_weight[:, None] * all_prices(market, found.prices) + own
    slope = market.congestion_weight[:, None] / market.capacity
    return np.asarray(cost + slope * (found.load + found.flow))


@pytest.mark.usefixtures("listed")
def test_a_warm_start_changes_no_answer(kind: str) -> None:
    for seed, (n, m) in itertools.product(range(5), [(1, 4), (6, 3), (5, 8)]):
        market = draw_market(kind, n, m, seed)
        start = None
        for share in np.linspace(0, 1, 9):
            cold = equilibrium_at(market, share * market.price_cap)
            start = equilibrium_at(market, share * market.price_cap, start)
            np.testing.assert_allclose(start.flow, cold.flow, rtol=1e-10, atol=1e-12 * market.demand.sum())
            np.testing.assert_allclose(start.multiplier, cold.multiplier, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("listed")
def test_a_far_start_from_other_prices_changes_no_answer() -> None:
    market = draw_market("heavy", 8, 6, 3, leaders=2)
    far = equilibrium_at(market, [12.0, 0.0])
    near = equilibrium_at(market, [0.5, 9.0], far)
    np.testing.assert_allclose(near.flow, equilibrium_at(market, [0.5, 9.0]).flow, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [(1, 3), (3, 2), (4, 4), (6, 5)], ids=str)
def test_an_independent_qp_agrees(kind: str, size: tuple[int, int]) -> None:
    for seed in range(4):
        market = draw_market(kind, *size, seed)
        prices = 0.2 * market.price_cap
        expected = flows_by_highs(market, prices)
        np.testing.assert_allclose(equilibrium_at(market, prices).flow, expected, atol=1e-6 * market.demand.max())


def flows_by_highs(market: Market, prices: Array) -> Array:
    """Minimiser of the potential, sum g f + sum 1/(2 alpha) (x^2 + sum f^2), as one dense convex QP."""
    n, m = market.n, market.m
    own = market.delay_weight[:, None] * market.delay - market.value
    offsets = (market.price_weight[:, None] * all_prices(market, prices) + own) / market.congestion_weight[:, None]
    hessian = np.kron(np.ones((n, n)) + np.eye(n), np.diag(market.demand.mean() / market.capacity))
    model = highspy.HighsModel()
    lp = model.lp_
    lp.num_col_, lp.num_row_ = n * m, n
    lp.col_cost_ = offsets.ravel()
    lp.col_lower_, lp.col_upper_ = np.zeros(n * m), np.full(n * m, highspy.kHighsInf)
    lp.row_lower_ = lp.row_upper_ = market.demand / market.demand.mean()
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.arange(n + 1) * m
    lp.a_matrix_.index_, lp.a_matrix_.value_ = np.arange(n * m), np.ones(n * m)
    lower = [hessian[k:, k].nonzero()[0] + k for k in range(n * m)]
    model.hessian_.dim_ = n * m
    model.hessian_.format_ = highspy.HessianFormat.kTriangular
    model.hessian_.start_ = np.cumsum([0, *map(len, lower)])
    model.hessian_.index_ = np.concatenate(lower)
    model.hessian_.value_ = np.concatenate([hessian[rows, k] for k, rows in enumerate(lower)])
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("qp_regularization_value", 0.0)
    solver.passModel(model)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return np.asarray(market.demand.mean() * np.array(solver.getSolution().col_value).reshape(n, m))


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("size", [(1, 3), (4, 4), (9, 3), (4, 10)], ids=str)
def test_loads_are_right_exactly_at_kinks(kind: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        market = draw_market(kind, *size, seed)
        for piece in trace(user_problem(market), np.zeros(1), 0, float(market.price_cap[0])):
            found = equilibrium_at(market, [piece.start])
            load = found.load[market.leader[0]]
            np.testing.assert_allclose(load, piece.load[0], rtol=1e-9, atol=1e-11 * market.demand.sum())
            assert certify(market, found.prices, found.flow).max_regret <= 1e-12


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("leaders", [1, 2, 3])
def test_load_slopes_are_differences_inside_a_piece(kind: str, leaders: int) -> None:
    compared = 0
    for seed in range(12):
        market = draw_market(kind, 5, 5, seed, leaders)
        own = list(market.leader)
        prices = np.random.default_rng(seed).uniform(0.05, 0.4, leaders) * market.price_cap
        here = equilibrium_at(market, prices)
        slopes = load_slopes(user_problem(market), here.laplacian)
        if market.common_weights:
            np.testing.assert_allclose(slopes, slopes.T, atol=1e-10 * np.abs(slopes).max())  # second derivatives
        for b, step in enumerate(1e-5 * np.eye(leaders) * market.price_cap):
            low, high = equilibrium_at(market, prices - step), equilibrium_at(market, prices + step)
            if not (np.array_equal(low.support, here.support) and np.array_equal(high.support, here.support)):
                continue  # a kink lies in between
            difference = (high.load - low.load)[own] / (2 * step[b])
            np.testing.assert_allclose(slopes[:, b], difference, rtol=1e-6, atol=1e-6 * market.demand.sum() / 12)
            compared += 1
    assert compared >= 10 * leaders


class Spy:
    """Counts the damped steps and those that were really shortened."""

    def __init__(self) -> None:
        self.steps = self.shortened = 0

    def __call__(self, *arguments: Any) -> Any:
        answer = _damped(*arguments)
        target = arguments[-1]
        self.steps += 1
        self.shortened += not np.allclose(answer[0][1], target[1], rtol=1e-12, atol=0)
        return answer


@pytest.mark.usefixtures("listed")
def test_the_damped_safeguard_gives_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    markets = [
        draw_market(kind, n, m, seed)
        for kind in ("uniform", "heavy", "costs", "weights", "degenerate")
        for n, m in [(5, 4), (12, 6), (6, 12), (30, 30)]
        for seed in range(4)
    ]
    plain = [equilibrium_at(market, 0.2 * market.price_cap) for market in markets]
    spy = Spy()
    monkeypatch.setattr("prillm_or.users.kernel.MOST_PAIRS", 0)
    monkeypatch.setattr("prillm_or.users.equilibrium._FULL_STEPS", 0)
    monkeypatch.setattr("prillm_or.users.equilibrium._damped", spy)
    for market, expected in zip(markets, plain, strict=True):
        # A start far off, everything in use, or all users at one place, makes the steps long.
        everywhere, together = np.ones_like(expected.support), np.zeros_like(expected.support)
        together[:, 0] = True
        for support in (everywhere, together, expected.support[::-1]):
            laplacian = Laplacian(support, market.capacity)
            start = Equilibrium(expected.users, expected.prices, expected.level, expected.congestion, laplacian)
            found = equilibrium_at(market, 0.2 * market.price_cap, start)
            np.testing.assert_allclose(found.flow, expected.flow, rtol=1e-9, atol=1e-11 * market.demand.sum())
            assert certify(market, found.prices, found.flow).kkt_residual <= 1e-12
    assert spy.steps > 100
    assert spy.shortened > 10


@given(seed=seeds, size=sizes, share=shares, data=st.data())
def test_permuting_users_and_providers_permutes_the_answer(
    kind: str, seed: int, size: tuple[int, int], share: float, data: st.DataObject
) -> None:
    market = draw_market(kind, *size, seed)
    users = data.draw(st.permutations(range(market.n)))
    providers = data.draw(st.permutations(range(market.m)))
    permuted = replace(
        market,
        user_ids=tuple(market.user_ids[i] for i in users),
        provider_ids=tuple(market.provider_ids[j] for j in providers),
        leader=tuple(providers.index(j) for j in market.leader),
        delay=market.delay[np.ix_(users, providers)],
        **{name: getattr(market, name)[users] for name in USERS},
        **{name: getattr(market, name)[providers] for name in PROVIDERS},
    )
    plain, moved = (equilibrium_at(m, share * m.price_cap) for m in (market, permuted))
    check_close(market, moved.flow, plain.flow[np.ix_(users, providers)])
    np.testing.assert_allclose(moved.multiplier, plain.multiplier[users], rtol=1e-10, atol=1e-10)


USERS = ("demand", "price_weight", "congestion_weight", "delay_weight")
PROVIDERS = ("price", "capacity", "value", "unit_cost")


def check_close(market: Market, flow: Array, expected: Array) -> None:
    np.testing.assert_allclose(flow, expected, rtol=1e-9, atol=1e-11 * market.demand.sum())


@given(seed=seeds, size=sizes, share=shares, exponent=st.floats(-6, 12))
def test_scaling_money_scales_costs_and_no_flow(
    kind: str, seed: int, size: tuple[int, int], share: float, exponent: float
) -> None:
    market, money = draw_market(kind, *size, seed), 10.0**exponent
    plain = equilibrium_at(market, share * market.price_cap)
    scaled = equilibrium_at(in_other_units(market, money=money), share * market.price_cap * money)
    check_close(market, scaled.flow, plain.flow)
    np.testing.assert_allclose(scaled.multiplier, plain.multiplier * money, rtol=1e-10, atol=1e-10 * money)


@given(seed=seeds, size=sizes, share=shares, shift=st.floats(-1e3, 1e3))
def test_shifting_all_values_changes_no_flow(
    kind: str, seed: int, size: tuple[int, int], share: float, shift: float
) -> None:
    market = draw_market(kind, *size, seed)
    plain = equilibrium_at(market, share * market.price_cap)
    shifted = equilibrium_at(replace(market, value=market.value + shift), share * market.price_cap)
    # Values near 1e3 keep 13 digits of what they differ by.
    np.testing.assert_allclose(shifted.flow, plain.flow, rtol=1e-9, atol=1e-9 * market.demand.sum())
    np.testing.assert_allclose(shifted.multiplier, plain.multiplier - shift, rtol=1e-9, atol=1e-9)


@given(seed=seeds, size=sizes, low=shares, high=shares)
def test_the_load_never_rises_with_its_price(
    kind: str, seed: int, size: tuple[int, int], low: float, high: float
) -> None:
    market = draw_market(kind, *size, seed)
    low, high = sorted((low, high))
    cheap, dear = (equilibrium_at(market, share * market.price_cap) for share in (low, high))
    own = market.leader[0]
    assert dear.load[own] <= cheap.load[own] + 1e-11 * market.demand.sum()
    if market.common_weights:
        assert (dear.multiplier >= cheap.multiplier - 1e-10 * np.abs(cheap.multiplier).max()).all()
        assert (dear.flow[:, own] <= cheap.flow[:, own] + 1e-11 * market.demand.sum()).all()


@given(seed=seeds, size=sizes, low=shares, high=shares)
def test_loads_and_slacks_move_no_faster_than_proven(
    kind: str, seed: int, size: tuple[int, int], low: float, high: float
) -> None:
    # docs/mathematics.md, L6 and L7.
    market = draw_market(kind, *size, seed)
    users, own = user_problem(market), market.leader[0]
    low, high = sorted((low, high))
    cheap, dear = (equilibrium_at(market, share * market.price_cap) for share in (low, high))
    rise = float(dear.prices[0] - cheap.prices[0])
    largest, smallest = float(users.sensitivity.max()), float(users.sensitivity.min())

    def slack(found: Equilibrium) -> Array:
        level = found.multiplier / users.scale - users.shift
        return np.asarray(level[:, None] - users.offsets(found.prices) - found.load / users.capacity)

    money = max(float(np.abs(users.offsets(found.prices)).max() + found.load.sum()) for found in (cheap, dear))
    assert np.abs(slack(dear) - slack(cheap)).max() <= (2 * largest - smallest) * rise + 1e-10 * money
    steepest = users.capacity[own] * largest * market.n / (market.n + 1)
    assert dear.load[own] >= cheap.load[own] - steepest * rise - 1e-11 * market.demand.sum()
