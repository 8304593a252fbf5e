"""Starting values by linear programme: true values come back, and slacks are the least."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components

from helpers.markets import draw_market
from prillm_or.calibration.initial import InitialValues, initial_values
from prillm_or.market.market import Array, Market, Mask
from prillm_or.market.selection import select
from prillm_or.users.equilibrium import equilibrium_at


@dataclass(frozen=True, eq=False)
class Days:
    """Arguments of `initial_values`, in its order."""

    price: Array
    delay: Array
    capacity: Array
    flow: Array
    offered: Mask
    price_weight: Array
    congestion_weight: Array
    delay_weight: Array

    def solve(self) -> InitialValues:
        return initial_values(
            self.price,
            self.delay,
            self.capacity,
            self.flow,
            self.offered,
            self.price_weight,
            self.congestion_weight,
            self.delay_weight,
        )

    @property
    def cost(self) -> Array:
        """Marginal costs less values."""
        congestion = (self.flow.sum(1, keepdims=True) + self.flow) / self.capacity[:, None]
        own = self.price_weight[:, None] * self.price[:, None] + self.delay_weight[:, None] * self.delay
        return np.asarray(own + self.congestion_weight[:, None] * congestion)

    @property
    def rows(self) -> Mask:
        return np.asarray((self.flow.sum(2) > 0)[..., None] & self.offered[:, None], dtype=np.bool_)


def one_user(price: list[list[float]], flow: list[list[float]], capacity: list[float]) -> Days:
    """One user with weights 1 and no delays; a row a day."""
    one, shape = np.ones(1), (len(price), 1, len(capacity))
    return Days(
        price=np.array(price),
        delay=np.zeros(shape),
        capacity=np.tile(capacity, (len(price), 1)),
        flow=np.array(flow)[:, None],
        offered=np.ones((len(price), len(capacity)), dtype=bool),
        price_weight=one,
        congestion_weight=one,
        delay_weight=one,
    )


def generated(base: Market, days: int, offers: float = 1.0, seed: int = 0) -> Days:
    """Equilibria of `base` with other prices, demands, capacities, offers and users each day."""
    rng = np.random.default_rng([seed, base.n, base.m])
    price = base.price * rng.uniform(0.5, 2, (days, base.m)) + rng.uniform(0, 0.3, (days, base.m))
    capacity = base.capacity * rng.uniform(0.7, 1.4, (days, base.m))
    offered = rng.random((days, base.m)) < offers
    offered[:, :2] = True
    flow = np.zeros((days, base.n, base.m))
    for day in range(days):
        there, users = np.flatnonzero(offered[day]), np.flatnonzero(rng.random(base.n) < max(offers, 0.6))
        users = users if len(users) else np.arange(1)
        market = select(
            base,
            users.tolist(),
            there.tolist(),
            demand=base.demand[users] * rng.uniform(0.5, 2, len(users)),
            price=price[day, there],
            capacity=capacity[day, there],
            leader=(0,),
            price_cap=np.full(1, 99.0),
        )
        flow[day][np.ix_(users, there)] = equilibrium_at(market, [price[day, 0]]).flow
    return Days(
        price=np.where(offered, price, np.nan),
        delay=np.tile(base.delay, (days, 1, 1)),
        capacity=np.where(offered, capacity, np.nan),
        flow=flow,
        offered=offered,
        price_weight=base.price_weight,
        congestion_weight=base.congestion_weight,
        delay_weight=base.delay_weight,
    )


def linked(flow: Array) -> list[list[int]]:
    """Groups of providers in use whose differences of value the flows determine."""
    used = (flow > 0).reshape(-1, flow.shape[2]).astype(int)
    _, label = connected_components(used.T @ used, directed=False)
    in_use = used.any(0)
    return [np.flatnonzero((label == one) & in_use).tolist() for one in np.unique(label[in_use])]


def two_stages(days: Days) -> tuple[float, float]:
    """Least sum of slacks, and least sum of values with it, by scipy, one after the other."""
    rows, m = np.argwhere(days.rows), days.flow.shape[2]
    users = {pair: k for k, pair in enumerate(sorted({(t, i) for t, i, _ in rows.tolist()}))}
    count = m + len(users) + len(rows)
    matrix, right = [], []
    for k, (t, i, j) in enumerate(rows.tolist()):
        row = np.zeros(count)
        row[j] = row[m + users[t, i]] = 1.0
        slack = np.zeros(count)
        slack[m + len(users) + k] = 1.0
        matrix.append(row - slack)
        right.append(days.cost[t, i, j])
        if days.flow[t, i, j] > 0:
            matrix.append(-row - slack)
            right.append(-days.cost[t, i, j])
    bounds = [(0, None)] * m + [(None, None)] * len(users) + [(0, None)] * len(rows)
    slacks, values = (np.arange(count) >= m + len(users)).astype(float), (np.arange(count) < m).astype(float)
    least = float(linprog(slacks, matrix, right, bounds=bounds).fun or 0.0)
    smallest = float(linprog(values, [*matrix, slacks], [*right, least + 1e-9], bounds=bounds).fun or 0.0)
    return least, smallest


def test_one_user_two_providers_by_hand() -> None:
    # p = (4, 2), b = (1, 0), alpha = (2, 4), D = 4: g = (3, 2), and f = (2/3, 10/3) as in test_calibration_gradient.
    # Marginal costs: 4 + 2 (2/3)/2 = 14/3 and 2 + 2 (10/3)/4 = 11/3; they differ by b_1 - b_2 = 1, level 11/3.
    found = one_user([[4.0, 2.0]], [[2 / 3, 10 / 3]], [2.0, 4.0]).solve()
    np.testing.assert_allclose(found.value, [1, 0], atol=1e-12)
    np.testing.assert_allclose(found.level, [[11 / 3]], rtol=1e-12)
    np.testing.assert_allclose(found.slack, 0, atol=1e-12)


def test_an_unused_provider_gets_nothing_and_raises_the_others() -> None:
    # All 2 units at the second: 1 + 2 * 2/2 = 3 at the margin. The first would cost 2, so b_2 >= b_1 + 1.
    found = one_user([[2.0, 1.0]], [[0.0, 2.0]], [2.0, 2.0]).solve()
    np.testing.assert_allclose(found.value, [0, 1], atol=1e-12)
    np.testing.assert_allclose(found.slack, 0, atol=1e-12)


def test_days_that_contradict_each_other_share_the_least_slack() -> None:
    # Alpha = 2, flows (1, 1): marginal costs p + 1. Day 1 says b_1 - b_2 = 1, day 2 says 3: slacks add up to 2 for any
    # difference between, and the smallest values are (1, 0). A third day like the second outvotes the first.
    flow = [[1.0, 1.0]] * 3
    two = one_user([[2.0, 1.0], [4.0, 1.0]], flow[:2], [2.0, 2.0]).solve()
    np.testing.assert_allclose(two.value, [1, 0], atol=1e-12)
    np.testing.assert_allclose(two.slack.sum(axis=(1, 2)), [0, 2], atol=1e-12)
    three = one_user([[2.0, 1.0], [4.0, 1.0], [4.0, 1.0]], flow, [2.0, 2.0]).solve()
    np.testing.assert_allclose(three.value, [3, 0], atol=1e-12)
    np.testing.assert_allclose(three.slack.sum(axis=(1, 2)), [2, 0, 0], atol=1e-12)


@pytest.mark.parametrize(("n", "m", "days", "offers"), [(3, 4, 1, 1.0), (8, 13, 5, 1.0), (5, 6, 12, 0.6)])
def test_true_values_come_back(kind: str, n: int, m: int, days: int, offers: float) -> None:
    for seed in range(3):
        base = draw_market(kind, n, m, seed)
        given = generated(base, days, offers, seed)
        found = given.solve()
        size = max(np.ptp(base.value), 1.0)
        assert found.value.min() == 0
        assert found.slack.max() < 1e-9 * size
        for group in linked(given.flow):
            truth, ours = base.value[group], found.value[group]
            np.testing.assert_allclose(ours - ours.min(), truth - truth.min(), rtol=0, atol=1e-8 * size)


def test_what_comes_back_has_the_observed_equilibrium() -> None:
    base = draw_market("weights", 6, 7, 1)
    given = generated(base, 1)
    reduced = given.cost - given.solve().value - given.solve().level[..., None]
    np.testing.assert_allclose(np.where(given.rows, reduced, 0.0).min(), 0, atol=1e-9)
    np.testing.assert_allclose(reduced[given.flow > 0], 0, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_slack_first_then_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    exact = generated(draw_market("weights", 4, 5, seed), 4, 0.7, seed)
    exact = replace(exact, price=np.nan_to_num(exact.price), capacity=np.nan_to_num(exact.capacity, nan=1.0))
    noisy = replace(exact, flow=exact.flow * np.exp(0.3 * rng.standard_normal(exact.flow.shape)))
    found = noisy.solve()
    least, smallest = two_stages(noisy)
    assert least > 0.01
    assert found.slack.sum() == pytest.approx(least, rel=1e-7)
    assert found.value.sum() == pytest.approx(smallest, rel=1e-6, abs=1e-7)


def test_units_change_nothing() -> None:
    given = generated(draw_market("uniform", 5, 6, 2), 3)
    scaled = replace(
        given,
        price=1e6 * given.price,
        congestion_weight=1e6 * given.congestion_weight,
        delay_weight=1e6 * given.delay_weight,
        flow=1e-7 * given.flow,
        capacity=1e-7 * given.capacity,
    )
    np.testing.assert_allclose(scaled.solve().value, 1e6 * given.solve().value, rtol=1e-8, atol=1e-4)


def test_days_without_anybody() -> None:
    days = one_user([[4.0, 2.0], [9.0, np.nan]], [[2 / 3, 10 / 3], [0.0, 0.0]], [2.0, 4.0])
    found = days.solve()
    np.testing.assert_allclose(found.value, [1, 0], atol=1e-12)
    assert np.isnan(found.level[1]).all()
    nobody = one_user([[4.0, 2.0]], [[0.0, 0.0]], [2.0, 4.0]).solve()
    np.testing.assert_array_equal(nobody.value, [0, 0])


def test_refuses_what_cannot_be() -> None:
    days = one_user([[4.0, 2.0]], [[1.0, 1.0]], [2.0, 4.0])
    with pytest.raises(ValueError, match="not offered"):
        replace(days, offered=np.array([[True, False]])).solve()
    with pytest.raises(ValueError, match="finite"):
        replace(days, price=np.array([[np.nan, 2.0]])).solve()
