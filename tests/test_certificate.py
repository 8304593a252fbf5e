"""The certificate: what its definition says, near zero at an equilibrium and far from it elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.answers import hand_answers
from helpers.markets import draw_market, in_other_units, make_market, one_rival
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Array, Market
from prillm_or.result import Certificate
from prillm_or.users.certificate import CERTIFIED, certify, is_certified, profit_of, relative_gap
from prillm_or.users.equilibrium import equilibrium_at


def slow_certificate(market: Market, leader_prices: Array, flow: Array) -> tuple[float, float]:
    """KKT residual and regret, loop by loop from their definition; the best reply by bisection on its marginal cost."""
    price, load = all_prices(market, leader_prices), flow.sum(axis=0)
    residual = regret = 0.0
    for i in range(market.n):
        demand, count = market.demand[i], market.count[i]
        cost, slope = [], []
        for j in range(market.m):
            delay = market.delay_weight[i] * market.delay[i, j]
            cost.append(market.price_weight[i] * price[j] + delay - market.value[j])
            slope.append(market.congestion_weight[i] / market.capacity[j])
        taste = [market.dispersion[i] * market.provider_dispersion[j] for j in range(market.m)]
        marginal = [
            cost[j] + slope[j] * (load[j] + flow[i, j] / count) + taste[j] * flow[i, j] / demand
            for j in range(market.m)
        ]
        money = max(map(abs, cost)) + max(slope[j] * load[j] for j in range(market.m)) + max(taste)
        excess = sum(flow[i, j] * (marginal[j] - min(marginal)) for j in range(market.m))
        routed = abs(sum(flow[i]) - demand)
        residual = max(residual, routed / demand, *(-flow[i] / demand), excess / (demand * money))

        start = [cost[j] + slope[j] * (load[j] - flow[i, j] / count) for j in range(market.m)]
        steepness = [2 * slope[j] / count + taste[j] / demand for j in range(market.m)]
        reply = best_reply(start, steepness, demand)
        paid = sum(flow[i, j] * (start[j] + steepness[j] / 2 * flow[i, j]) for j in range(market.m))
        least = sum(reply[j] * (start[j] + steepness[j] / 2 * reply[j]) for j in range(market.m))
        scale = sum(flow[i, j] * (abs(cost[j]) + slope[j] * load[j] + taste[j]) for j in range(market.m))
        regret = max(regret, (paid - least) / scale)
    return residual, regret


def best_reply(start: list[float], steepness: list[float], demand: float) -> list[float]:
    def fill(level: float) -> list[float]:
        return [max(0.0, level - a) / s for a, s in zip(start, steepness, strict=True)]

    low, high = min(start), min(start) + max(steepness) * demand
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(fill(middle)) < demand else (low, middle)
    return fill(high)


def feasible_flows(market: Market, rng: np.random.Generator) -> Array:
    split = rng.dirichlet(np.ones(market.m), market.n)
    return market.demand[:, None] * split


def test_the_definition_by_slow_loops(kind: str) -> None:
    rng = np.random.default_rng(1)
    for seed in range(4):
        market = draw_market(kind, 5, 4, seed)
        if seed % 2:
            market = replace(market, count=np.arange(1.0, 6.0), dispersion=np.array([0.0, 0.3, 1.0, 0.0, 2.0]))
        prices = 0.3 * market.price_cap
        for flow in (feasible_flows(market, rng), equilibrium_at(market, prices).flow):
            certificate = certify(market, prices, flow)
            residual, regret = slow_certificate(market, prices, flow)
            assert certificate.kkt_residual == pytest.approx(residual, rel=1e-9, abs=1e-14)
            assert certificate.max_regret == pytest.approx(regret, rel=1e-9, abs=1e-13)


def test_flows_at_several_prices_are_checked_at_once(kind: str) -> None:
    rng, market = np.random.default_rng(2), draw_market(kind, 5, 4, 1)
    prices = [fraction * market.price_cap for fraction in (0.2, 0.4, 0.5)]
    flows = [feasible_flows(market, rng), equilibrium_at(market, prices[1]).flow, feasible_flows(market, rng)]
    each = [certify(market, *given) for given in zip(prices, flows, strict=True)]
    together = certify(market, np.array(prices), np.array(flows))
    assert together.kkt_residual == pytest.approx(max(one.kkt_residual for one in each), rel=1e-14)
    assert together.max_regret == pytest.approx(max(one.max_regret for one in each), rel=1e-13)


def test_a_flow_that_is_no_number_is_never_certified() -> None:
    market = draw_market("uniform", 4, 3, 0)
    flow = equilibrium_at(market, [1.0]).flow.copy()
    flow[1, 2] = np.nan
    assert not is_certified(certify(market, [1.0], flow))


def test_an_infeasible_flow_is_seen() -> None:
    market = draw_market("uniform", 4, 3, 0)
    prices = np.array([1.0])
    flow = equilibrium_at(market, prices).flow
    for wrong, size in ((flow * 1.01, 0.01), (flow - 0.02 * market.demand[:, None] * np.eye(4, 3), None)):
        certificate = certify(market, prices, wrong)
        assert certificate.kkt_residual == pytest.approx(slow_certificate(market, prices, wrong)[0], rel=1e-9)
        if size:
            assert certificate.kkt_residual >= size * 0.999
    negative = np.array([[-1.0, market.demand[0] + 1.0, 0.0], *flow[1:]])
    assert certify(market, prices, negative).kkt_residual >= 1.0 / market.demand[0]


@pytest.mark.parametrize("moved", [0.5, 1e-2, 1e-4])
def test_moving_flow_away_from_the_equilibrium_shows(kind: str, moved: float) -> None:
    for seed in range(5):
        market = draw_market(kind, 4, 5, seed)
        prices = 0.3 * market.price_cap
        flow = equilibrium_at(market, prices).flow
        assert max(slow_certificate(market, prices, flow)) <= 1e-12
        # One user moves a part of its largest flow to the next provider.
        j = int(flow[0].argmax())
        shift = moved * flow[0, j]
        flow[0, j] -= shift
        flow[0, (j + 1) % market.m] += shift
        certificate = certify(market, prices, flow)
        # Both figures are at worst quadratic in what was moved.
        assert certificate.kkt_residual > 1e-3 * moved**2
        assert certificate.max_regret > 1e-4 * moved**2


def test_regret_by_hand() -> None:
    # D = 4, beta = 1/2 at both, all at the rival of price 2 with the leader at 3: cost 4 (2 + 4/2) = 16. The best split
    # (see test_equilibrium) is 3/2 and 5/2: 3/2 (3 + 3/4) + 5/2 (2 + 5/4) = 45/8 + 65/8 = 55/4. Saving 9/4 of 16.
    # KKT: marginal costs 3 and 2 + 2 (2) = 6, so 4 (6 - 3) / (4 (3 + 2)) = 3/5.
    market = one_rival()
    certificate = certify(market, [3.0], np.array([[0.0, 4.0]]))
    assert certificate.max_regret == pytest.approx(9 / 64, rel=1e-14)
    assert certificate.kkt_residual == pytest.approx(3 / 5, rel=1e-14)


def test_regret_beats_every_split_of_a_grid() -> None:
    market = draw_market("weights", 3, 3, 2)
    prices = np.array([2.0])
    flow = feasible_flows(market, np.random.default_rng(0))
    regret = certify(market, prices, flow).max_regret
    price, load = all_prices(market, prices), flow.sum(axis=0)
    steps = np.linspace(0, 1, 201)
    first, second = (grid.ravel() for grid in np.meshgrid(steps, steps))
    splits = np.array([first, second, 1 - first - second]).T[first + second <= 1]
    best = 0.0
    for i in range(market.n):
        cost = market.price_weight[i] * price + market.delay_weight[i] * market.delay[i] - market.value
        slope = market.congestion_weight[i] / market.capacity
        others = load - flow[i]
        replies = market.demand[i] * splits
        paid = (flow[i] * (cost + slope * load)).sum()
        saving = paid - (replies * (cost + slope * (others + replies))).sum(axis=1).min()
        best = max(best, saving / (flow[i] * (np.abs(cost) + slope * load)).sum())
    assert best <= regret <= best + 1e-4


def test_large_markets_are_checked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    market = draw_market("heavy", 11, 4, 0)
    flow = feasible_flows(market, np.random.default_rng(3))
    whole = certify(market, [1.0], flow)
    monkeypatch.setattr("prillm_or.users.certificate._BLOCK", 9)
    assert certify(market, [1.0], flow) == whole


def test_the_certificate_has_no_units() -> None:
    market = draw_market("weights", 4, 3, 5)
    flow = feasible_flows(market, np.random.default_rng(0))
    money, volume = 1024.0, 1 / 4096
    other = in_other_units(market, money, volume)
    plain, scaled = certify(market, [2.0], flow), certify(other, [2.0 * money], flow * volume)
    assert plain.kkt_residual > 0.01
    assert scaled.kkt_residual == pytest.approx(plain.kkt_residual, rel=1e-12)
    assert scaled.max_regret == pytest.approx(plain.max_regret, rel=1e-12)


def test_profits_by_hand() -> None:
    # Input and output billed, where these have prices of their own: load by mix, user by user.
    lists = {"price-list": [5.0, 4.0], "below-cost": [1.25, 0.625], "factor": [1.25, 0.3125]}
    for name, answer in hand_answers().items():
        billed = np.zeros((answer.market.m, 2) if name in lists else answer.market.m)
        billed[list(answer.market.leader)] = lists[name] if name in lists else [float(x) for x in answer.loads]
        assert profit_of(answer.market, [float(p) for p in answer.prices], billed) == pytest.approx(
            float(answer.profit)
        )
    # Two prices with costs, in the leader's order: (5 - 1) 2 + (3 - 4) 7 = 1.
    market = make_market(leader=(2, 0), unit_cost=[4.0, 9.0, 1.0])
    assert profit_of(market, [5.0, 3.0], np.array([7.0, 100.0, 2.0])) == 1.0


def test_both_figures_decide_whether_an_equilibrium_is_certified() -> None:
    assert is_certified(Certificate(CERTIFIED, CERTIFIED))
    assert not is_certified(Certificate(2 * CERTIFIED, 0.0))
    assert not is_certified(Certificate(0.0, 2 * CERTIFIED))


def test_gaps_by_hand() -> None:
    assert relative_gap(11.0, 10.0) == pytest.approx(0.1)
    assert relative_gap(-9.0, -10.0) == pytest.approx(0.1)
    assert relative_gap(2e-9, 0.0) == pytest.approx(2.0)  # the floor of 1e-9
