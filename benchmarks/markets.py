"""The random markets all measurements share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from prillm_or.market.market import Market
from prillm_or.market.synthetic import Shape, generate

SHAPES: tuple[Shape, ...] = ("uniform", "heavy")


def sample(users: int, providers: int, seeds: int, shapes: Sequence[Shape] = SHAPES) -> list[Market]:
    """Markets of one size, `seeds` of each shape."""
    return [generate(users, providers, shape, seed) for shape in shapes for seed in range(1, seeds + 1)]


def led_by(market: Market, providers: int) -> Market:
    """The market led by so many of its last providers, each with the cap of the one that leads it now.

    Of price lists that is the cap of what a unit of the mean mix comes to, in the proportions of each one's own list.
    """
    leader = tuple(range(market.m - providers, market.m))
    if not market.components:
        return replace(market, leader=leader, price_cap=np.full(providers, market.price_cap[0]))
    mean = market.demand @ market.mix / market.demand.sum()
    lists = market.price[list(leader)]
    caps = float(market.price_cap @ mean) * lists / (lists @ mean)[:, None]
    return replace(market, leader=leader, price_cap=caps.ravel())


def size(market: Market) -> str:
    """Users x providers, for people."""
    return f"{market.n}x{market.m}"
