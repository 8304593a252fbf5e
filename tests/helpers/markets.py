"""Markets: written down, drawn, shipped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.files.markets import MarketFile, read_market
from prillm_or.files.names import find
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate

KINDS = ("uniform", "heavy", "costs", "weights", "degenerate")
"""Kinds of random markets, see `draw_market`."""


def make_market(**fields: Any) -> Market:
    """Two users, three providers, p1 leads; any field may be given instead."""
    n = len(fields.get("user_ids", "12"))
    m = len(fields.get("provider_ids", "123"))
    defaults: dict[str, Any] = {
        "name": "small",
        "user_ids": tuple(f"u{i + 1}" for i in range(n)),
        "provider_ids": tuple(f"p{j + 1}" for j in range(m)),
        "demand": 1.0 + np.arange(n),
        "price": 1.0 + np.arange(m),
        "capacity": 2.0 + np.arange(m),
        "value": np.zeros(m),
        "unit_cost": np.zeros(m),
        "delay": np.arange(n * m, dtype=float).reshape(n, m) / 4,
        "price_weight": np.ones(n),
        "congestion_weight": np.ones(n),
        "delay_weight": np.ones(n),
        "leader": (0,),
        "price_cap": np.full(len(fields.get("leader", "1")), 10.0),
    }
    return Market(**(defaults | fields))


def one_rival(**fields: Any) -> Market:
    """One user with D = 4, both capacities 2, the rival at 2; any field may be given instead."""
    defaults: dict[str, Any] = {
        "user_ids": ("u",),
        "provider_ids": ("own", "rival"),
        "demand": [4],
        "price": [0, 2],
        "capacity": [2, 2],
        "delay": [[0, 0]],
    }
    return make_market(**(defaults | fields))


def in_other_units(market: Market, money: float = 1.0, volume: float = 1.0, congestion: float = 1.0) -> Market:
    """The same market, with `money`, `volume` and `congestion` of the new units to one of the old."""
    return replace(
        market,
        demand=market.demand * volume,
        capacity=market.capacity * (volume / congestion),
        price=market.price * money,
        value=market.value * money,
        unit_cost=market.unit_cost * money,
        user_values=market.user_values * money,
        price_cap=market.price_cap * (1.0 if market.decides == "factor" else money),
        dispersion=market.dispersion * money,
        congestion_weight=market.congestion_weight * (money / congestion),
        delay_weight=market.delay_weight * money,
    )


def with_unit_cost(market: Market, unit_cost: float) -> Market:
    """The market where a unit costs its leader so much."""
    return replace(market, unit_cost=np.where(np.arange(market.m) == market.leader[0], unit_cost, market.unit_cost))


def shipped_file(name: str) -> MarketFile:
    """A shipped market with its file."""
    return read_market(find("instances", name))


def shipped(name: str) -> Market:
    """A shipped market, such as `coding-13` or `tiny/kink`."""
    return shipped_file(name).market


def draw_market(kind: str, n: int, m: int, seed: int, leaders: int = 1) -> Market:
    """Random market of a kind: the same arguments give the same market; the last `leaders` providers lead.

    * `uniform`, `heavy`: the generator's shapes, all weights 1;
    * `costs`: unit costs, one in four above the cap, and common weights other than 1;
    * `weights`: every user has its own;
    * `degenerate`: small integers, users and providers in identical pairs, so that pairs come and go together.
    """
    rng = np.random.default_rng([seed, n, m])
    market = generate(n, m, "heavy" if kind == "heavy" else "uniform", seed)
    leader = tuple(range(m - leaders, m))
    market = replace(market, name=f"{kind}-{n}x{m}-{seed}", leader=leader, price_cap=np.full(leaders, 12.0))
    if kind == "costs":
        return _with_costs(market, rng)
    if kind == "weights":
        return replace(
            market,
            price_weight=rng.uniform(0.5, 2, n),
            congestion_weight=rng.uniform(0.5, 2, n),
            delay_weight=rng.uniform(0, 2, n),
        )
    return _degenerate(market, rng) if kind == "degenerate" else market


SCALES = ("demand", "capacity", "both", "weak", "money", "all", "tied", "dear")
"""What lies far apart in the markets of `draw_scaled`."""


def draw_scaled(what: str, seed: int, orders: float = 8.0) -> Market:
    """A small random market of one price in which numbers are up to 10^orders larger or smaller than usual.

    * `demand`, `capacity`, `both`: these of each user and provider;
    * `weak`: all capacities, so that congestion hardly counts;
    * `money`: prices, values, delays and costs; `all`: everything, weights as well;
    * `tied`: nothing, but small integers and equal users;
    * `dear`: nothing, but the leader's unit cost is far beyond what anyone pays.
    """
    rng = np.random.default_rng([seed, SCALES.index(what)])
    n, m = int(rng.integers(1, 5)), int(rng.integers(2, 5))

    def drawn(low: float, high: float, size: Any, *far: str) -> Any:
        values = rng.uniform(low, high, size)
        if what == "tied":
            return np.maximum(np.round(values), 1.0)
        return values * 10 ** rng.uniform(-orders, orders, size) if what in (*far, "all") else values

    own = rng.random() < 0.5
    market = make_market(
        name=f"{what}-{seed}",
        user_ids=tuple(f"u{i}" for i in range(n)),
        provider_ids=tuple(f"p{j}" for j in range(m)),
        demand=drawn(1, 10, n, "demand", "both"),
        capacity=drawn(1, 5, m, "capacity", "both") * (10 ** rng.uniform(2, orders) if what == "weak" else 1.0),
        price=drawn(0.2, 5, m, "money"),
        value=drawn(0, 3, m, "money"),
        unit_cost=drawn(0, 1, m, "money") * (30.0 if what == "dear" else 1.0),
        delay=drawn(0, 3, (n, m), "money"),
        leader=(int(rng.integers(m)),),
        price_cap=drawn(5, 12, 1),
        **{f"{weight}_weight": drawn(0.5, 2, n) if own else np.ones(n) for weight in ("price", "congestion", "delay")},
    )
    return (
        replace(market, demand=np.full(n, market.demand[0]), delay=market.delay[:1].repeat(n, axis=0))
        if what == "tied"
        else market
    )


def _with_costs(market: Market, rng: np.random.Generator) -> Market:
    unit_cost = rng.uniform(0.1, 4, market.m)
    own = unit_cost[list(market.leader)]
    cap = own * (0.7 if rng.integers(4) == 0 else 3.0)
    price, congestion, delay = (np.full(market.n, weight) for weight in rng.uniform(0.3, 3, 3))
    return replace(
        market,
        unit_cost=unit_cost,
        price_cap=cap,
        price_weight=price,
        congestion_weight=congestion,
        delay_weight=delay,
    )


def _degenerate(market: Market, rng: np.random.Generator) -> Market:
    n, m = market.n, market.m
    twin_user, twin_provider = np.arange(n) // 2 * 2, np.arange(m) // 2 * 2
    return replace(
        market,
        demand=_whole(rng.integers(1, 4, n)[twin_user]),
        price=_whole(rng.integers(0, 4, m)[twin_provider]),
        capacity=2.0 ** _whole(rng.integers(0, 3, m)[twin_provider]),
        value=_whole(rng.integers(0, 2, m)[twin_provider]),
        delay=_whole(rng.integers(0, 3, (n, m))[np.ix_(twin_user, twin_provider)]),
        price_cap=np.full(len(market.leader), 8.0),
    )


def _whole(numbers: NDArray[np.int64]) -> Array:
    return numbers.astype(np.float64)
