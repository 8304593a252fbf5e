"""Scenarios: markets made for training, drawn from the generator's shapes and from perturbed real instances.

Guo, Bai and Jin (AAAI 2026) train on more than 2,000 scenarios, daily snapshots of real markets with perturbed rivals.
Here seeds 4 t, 4 t + 1, 4 t + 2 are markets of the shapes uniform, heavy and market with 4 to 50 users and 4 to 20
rivals, and seed 4 t + 3 is a shipped real instance led by another of its providers every other time, all of whose
figures are multiplied by lognormal noise of a sigma drawn from U[0.05, 0.4], and its values shifted by normal noise in
proportion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import get_args

import numpy as np

from prillm_or.files.markets import read_market
from prillm_or.files.names import find
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import Shape, generate

REAL = ("premium-4", "economy-8", "coding-13")
"""Real instances that training draws from; `roleplay-10` is kept for the judges."""

_KINDS = len(get_args(Shape)) + 1
_VALUE_NOISE = 0.3


@dataclass(frozen=True)
class Sizes:
    """Smallest and largest number of users and of rivals of generated scenarios."""

    users: tuple[int, int] = (4, 50)
    rivals: tuple[int, int] = (4, 20)


def kind_of(seed: int) -> str:
    """Where the scenario of a seed comes from: a shape of the generator, or `real`."""
    kinds: tuple[str, ...] = (*get_args(Shape), "real")
    return kinds[seed % _KINDS]


def scenario(seed: int, sizes: Sizes = Sizes(), real: tuple[str, ...] = REAL) -> Market:
    """Draw the market of a seed; the same arguments give the same market."""
    rng = np.random.default_rng([seed, 77])
    kind = kind_of(seed)
    if kind == "real":
        return _perturbed(_instance(real[seed // _KINDS % len(real)]), rng)
    users = int(rng.integers(sizes.users[0], sizes.users[1] + 1))
    rivals = int(rng.integers(sizes.rivals[0], sizes.rivals[1] + 1))
    return generate(users, rivals + 1, next(shape for shape in get_args(Shape) if shape == kind), seed)


@cache
def _instance(name: str) -> Market:
    return read_market(find("instances", name)).market


def _perturbed(market: Market, rng: np.random.Generator) -> Market:
    own = market.leader[0]
    leader = int(rng.integers(market.m)) if rng.random() < 0.5 else own
    sigma = rng.uniform(0.05, 0.4)

    def noisy(values: Array) -> Array:
        return np.asarray(values * np.exp(sigma * rng.standard_normal(values.shape)))

    spread = float(np.std(market.value - market.price))
    # A new leader gets the old one's room above its price.
    cap = market.price_cap[:1] / market.price[own] * market.price[leader]
    shift = _VALUE_NOISE * sigma * spread * rng.standard_normal(market.m)
    return replace(
        market,
        demand=noisy(market.demand),
        price=noisy(market.price),
        capacity=noisy(market.capacity),
        delay=noisy(market.delay),
        value=market.value + shift,
        user_values=market.user_values + shift if market.user_values.size else market.user_values,
        leader=(leader,),
        price_cap=cap,
        fit=None,
    )
