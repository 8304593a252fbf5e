"""The random markets all measurements share."""

from __future__ import annotations

from collections.abc import Sequence

from prillm_or.market.market import Market
from prillm_or.market.synthetic import Shape, generate

SHAPES: tuple[Shape, ...] = ("uniform", "heavy")


def sample(users: int, providers: int, seeds: int, shapes: Sequence[Shape] = SHAPES) -> list[Market]:
    """Markets of one size, `seeds` of each shape."""
    return [generate(users, providers, shape, seed) for shape in shapes for seed in range(1, seeds + 1)]


def size(market: Market) -> str:
    """Users x providers, for people."""
    return f"{market.n}x{market.m}"
