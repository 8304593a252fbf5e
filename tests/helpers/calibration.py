"""Users whose preferences are known, the days that they make, and observations of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from prillm_or.calibration.days import Days, days_of
from prillm_or.calibration.fit import Fit, fit_days
from prillm_or.calibration.misfit import OWN, Misfit
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.parameters import Parameters, parameters_of
from prillm_or.calibration.preferences import EVERYONE, Preferences, market_with, predicted_flows
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array, Mask
from prillm_or.market.synthetic import generate
from prillm_or.users.equilibrium import equilibrium_at

FULL = Specification(own_congestion=True, own_price=True, groups={"a": ("u1", "u3")})
"""All that users can have of their own."""


def user_names(n: int) -> tuple[str, ...]:
    """`u1`, `u2` and so on."""
    return tuple(f"u{i + 1}" for i in range(n))


def provider_names(m: int) -> tuple[str, ...]:
    """`p1`, `p2` and so on."""
    return tuple(f"p{j + 1}" for j in range(m))


def names_of(days: Days) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the users and of the providers of days."""
    _, n, m = days.flow.shape
    return user_names(n), provider_names(m)


# Preferences


def alike(n: int, value: ArrayLike, congestion: float, delay: float) -> Preferences:
    """Preferences common to n users."""
    values = np.array(value, dtype=np.float64)
    return Preferences(
        user_ids=user_names(n),
        provider_ids=provider_names(len(values)),
        congestion=congestion,
        delay=delay,
        value=values,
        price_factor=np.ones(n),
        congestion_factor=np.ones(n),
        group_ids=(EVERYONE,),
        group=np.zeros(n, dtype=np.intp),
        group_value=np.zeros((1, len(values))),
        user_value=np.zeros((n, len(values))),
        dispersion=0.0,
        dispersion_factor=np.ones(n),
        provider_dispersion=np.ones(len(values)),
    )


def wanted(n: int, m: int, seed: int, congestion: float = 1.0, delay: float = 0.5) -> Preferences:
    """Preferences common to all users, with random values."""
    value = generate(n, m, "uniform", seed).value
    return alike(n, value - value.min(), congestion, delay)


def wanted_at_random(n: int, m: int, seed: int) -> Preferences:
    """The same with random weights of congestion and delay, well apart from 1."""
    rng = np.random.default_rng([seed, n, m])
    return wanted(n, m, seed, float(np.exp(rng.uniform(-0.7, 0.7))), rng.uniform(0.3, 1.5))


def differing(true: Preferences, seed: int) -> Preferences:
    """The same with own weights for all, and groups that hold providers to be worth more or less."""
    rng, (n, m) = np.random.default_rng(seed), (len(true.user_ids), len(true.provider_ids))
    return replace(
        true,
        price_factor=rng.uniform(0.5, 2, n),
        congestion_factor=rng.uniform(0.5, 2, n),
        group_ids=("a", EVERYONE),
        group=np.arange(n) % 2,
        group_value=0.5 * rng.standard_normal((2, m)),
    )


def spread_of_values(true: Preferences) -> float:
    """The largest difference of values."""
    return float(np.ptp(true.value))


def assert_same_preferences(one: Preferences, other: Preferences, digits: float) -> None:
    """The same weights, and values up to so small a part of their spread."""
    assert one.congestion == pytest.approx(other.congestion, rel=digits)
    assert one.delay == pytest.approx(other.delay, rel=digits)
    size = max(spread_of_values(other), 1e-9)
    np.testing.assert_allclose(one.value_by_user, other.value_by_user, rtol=0, atol=digits * size)
    np.testing.assert_allclose(one.price_factor, other.price_factor, rtol=digits)
    np.testing.assert_allclose(one.congestion_factor, other.congestion_factor, rtol=digits)


# Days


def hand_days(
    price: ArrayLike,
    flow: ArrayLike,
    *,
    capacity: ArrayLike = 1.0,
    delay: ArrayLike = 0.0,
    offered: ArrayLike = True,
) -> Days:
    """Days written down: prices (T, m), flows (T, n, m); one number stands for an array; all flows are seen."""
    prices, flows = np.array(price, dtype=np.float64), np.array(flow, dtype=np.float64)
    days = Days(
        price=prices,
        capacity=np.broadcast_to(np.asarray(capacity, dtype=np.float64), prices.shape).copy(),
        delay=np.broadcast_to(np.asarray(delay, dtype=np.float64), flows.shape).copy(),
        demand=flows.sum(axis=2),
        offered=np.broadcast_to(np.asarray(offered, dtype=np.bool_), prices.shape).copy(),
        flow=flows,
        train=np.ones(flows.shape, dtype=bool),
    )
    return replace(days, train=days.cells)


def drawn_days(true: Preferences, count: int, seed: int, missing: float = 0.0, noise: float = 0.0) -> Days:
    """Days on which users want what is true, with a share of offers and of users missing; flows are lognormal about it.

    The first two providers are always offered, the first user is always there.
    """
    n, m = len(true.user_ids), len(true.provider_ids)
    base, rng = generate(n, m, "uniform", seed), np.random.default_rng([seed, n, m, count])
    offered, present = rng.random((count, m)) >= missing, rng.random((count, n)) >= missing
    offered[:, :2] = present[:, 0] = True
    cells = present[:, :, None] & offered[:, None]
    days = Days(
        price=np.where(offered, base.price * rng.uniform(0.8, 1.25, (count, m)), 0.0),
        capacity=np.where(offered, base.capacity, 1.0),
        delay=np.where(cells, base.delay * rng.uniform(0.8, 1.25, (count, n, m)), 0.0),
        demand=base.demand * rng.uniform(0.5, 1.5, (count, n)) * present,
        offered=offered,
        flow=np.zeros((count, n, m)),
        train=cells,
    )
    return with_flow(days, predicted_flows(true, days) * np.exp(noise * rng.standard_normal(cells.shape)))


def with_flow(days: Days, flow: Array) -> Days:
    """The days with other flows, and the demands that they sum to."""
    return replace(days, flow=flow, demand=flow.sum(axis=2))


def with_flow_of(true: Preferences, days: Days) -> Days:
    """The days with the flows of users who want what is true."""
    return with_flow(days, predicted_flows(true, days))


def offering(days: Days, offered: Mask) -> Days:
    """The days with only these of their offers, shape (T, m); flows stay what they were."""
    return replace(
        days,
        price=np.where(offered, days.price, 0.0),
        capacity=np.where(offered, days.capacity, 1.0),
        delay=np.where(offered[:, None], days.delay, 0.0),
        offered=offered,
        train=days.train & offered[:, None],
    )


def part(
    days: Days,
    t: Sequence[int] | slice = slice(None),
    i: Sequence[int] | slice = slice(None),
    j: Sequence[int] | slice = slice(None),
) -> Days:
    """Some days, users or providers, in the order given."""
    return Days(
        price=days.price[t][:, j],
        capacity=days.capacity[t][:, j],
        delay=days.delay[t][:, i][:, :, j],
        demand=days.demand[t][:, i],
        offered=days.offered[t][:, j],
        flow=days.flow[t][:, i][:, :, j],
        train=days.train[t][:, i][:, :, j],
    )


def own_truth(n: int, m: int, seed: int, congestion: float, price: float) -> tuple[Preferences, Days]:
    """Users who differ in their weights, with as much demand each, so that none is too small to be seen.

    Logarithms of their factors sum to 0: a factor common to all is the common weights' affair, and the price that
    what is a user's own has makes it so.
    """
    rng = np.random.default_rng(seed)
    u, v = (size * rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 1, n) for size in (congestion, price))
    true = replace(
        wanted_at_random(n, m, seed),
        congestion_factor=np.exp(u - u.mean()),
        price_factor=np.exp(v - v.mean()),
        congestion=2.0,
    )
    days = drawn_days(true, 8, seed)
    days = replace(days, demand=np.broadcast_to(days.demand.mean(axis=1, keepdims=True), days.demand.shape).copy())
    return true, with_flow_of(true, days)


# Fits


def parameters(days: Days, specification: Specification | None = None) -> Parameters:
    """What a fit to the days looks for."""
    return parameters_of(specification or Specification(), days, *names_of(days), "seen")


def random_theta(given: Parameters, seed: int, size: float = 0.3) -> Array:
    """Near where users weigh congestion like prices; the weight of delay is positive."""
    rng = np.random.default_rng(seed)
    theta = size * rng.standard_normal(given.size)
    theta[given.places["q"]] += np.log(given.scale)
    theta[given.places["d"]] = rng.uniform(0.1, 0.5)
    return theta


def misfit_of(given: Parameters, days: Days, shrinkage: float = 0.0, own: float = OWN) -> Misfit:
    """The misfit with all days and users counted once."""
    return Misfit(given, days, np.ones(days.demand.shape), shrinkage, own=own)


def numeric(function: object, theta: Array, step: float = 1e-6) -> Array:
    """Central differences, the entries of theta last."""
    assert callable(function)
    steps = step * np.eye(len(theta))
    return np.stack([(function(theta + one) - function(theta - one)) / (2 * step) for one in steps], axis=-1)


def fitted(days: Days, specification: Specification | None = None, shrinkage: float = 0.0) -> Fit:
    """A fit without knowing anything."""
    return fit_days(days, parameters(days, specification), shrinkage)


def fit_from(true: Preferences, days: Days, specification: Specification | None = None) -> Fit:
    """A fit from the truth: a small part of the time of a search."""
    given = parameters(days, specification)
    return fit_days(days, given, start=given.pack(true))


# Observations


def observations_of(flow: ArrayLike, **given: Any) -> Observations:
    """Observations of flows (T, n, m); providers are offered at 1 each unless a price is given."""
    flows = np.array(flow, dtype=np.float64)
    days, n, m = flows.shape
    price = np.array(given.pop("price", np.ones((days, m))), dtype=np.float64)
    defaults: dict[str, Any] = {
        "name": "seen",
        "days": tuple(f"2026-07-{day + 1:02d}" for day in range(days)),
        "user_ids": user_names(n),
        "provider_ids": provider_names(m),
        "capacity": np.where(np.isnan(price), np.nan, 10.0),
        "delay": np.ones(flows.shape),
    }
    return Observations(flow=flows, price=price, **(defaults | given))


def observations_of_days(days: Days) -> Observations:
    """Observations of the same days; p1 leads."""
    return observations_of(
        days.flow,
        price=np.where(days.offered, days.price, np.nan),
        capacity=np.where(days.offered, days.capacity, np.nan),
        delay=np.where(days.cells, days.delay, np.nan),
        leader=Leader(("p1",), (99.0,)),
    )


def billed_apart(seen: Observations, true: Preferences, seed: int = 0, *, varied: bool = True) -> Observations:
    """The same days with prices of input and output, mixes of each user, and the flows of who wants what is true.

    Mixes need not sum to 1, and are those of a day each where they are `varied`.
    """
    rng = np.random.default_rng([seed, 5])
    price = seen.price[:, :, None] * rng.uniform(0.5, 2.0, (seen.T, seen.m, 2)) * [1.0, 4.0]
    mix = rng.uniform(0.1, 0.9, (seen.T if varied else 1, seen.n, 2)) * [1.0, 0.4]
    leader = seen.leader and replace(seen.leader, price_cap=tuple(np.repeat(seen.leader.price_cap, 2).tolist()))
    mixes = np.broadcast_to(mix, (seen.T, seen.n, 2))
    apart = replace(seen, price=price, components=("input", "output"), mix=mixes, leader=leader)
    return replace(apart, flow=predicted_flows(true, days_of(apart)))


def observed(true: Preferences, days: int = 4, seed: int = 3, noise: float = 0.0) -> Observations:
    """Flows of users who want what is true, lognormal about the equilibria; the last provider leads."""
    n, m = len(true.user_ids), len(true.provider_ids)
    rng, market = np.random.default_rng(seed), generate(n, m, "uniform", seed)
    price = market.price * rng.uniform(0.7, 1.4, (days, m))
    delay = market.delay * rng.uniform(0.7, 1.4, (days, n, m))
    demand = market.demand * rng.uniform(0.5, 1.5, (days, n))
    seen = observations_of(
        np.repeat(demand[:, :, None] / m, m, axis=2),
        name="known",
        user_ids=true.user_ids,
        provider_ids=true.provider_ids,
        price=price,
        capacity=np.tile(market.capacity, (days, 1)),
        delay=delay,
        leader=Leader((true.provider_ids[-1],), (12.0,)),
    )
    markets = [market_with(true, seen, day) for day in seen.days]
    flow = np.array([equilibrium_at(one, one.price[list(one.leader)]).flow for one in markets])
    return replace(seen, flow=flow * np.exp(noise * rng.standard_normal(flow.shape)))
