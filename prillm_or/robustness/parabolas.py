r"""The profit of one market over all prices of its leader, and those of several markets between two breakpoints.

On a piece from p_0 the load is L + S (p - p_0), S <= 0, and with the unit cost k the profit at a price a + h of it

    (a + h - k) (x(a) + S h) = v + d h + S h^2,      v = (a - k) x(a),      d = x(a) + (a - k) S,

a concave parabola: `Parabolas` holds the three numbers for N markets on intervals that no breakpoint of any divides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or.curves.trace import trace
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import user_problem

_BLOCK = 1_000_000


@dataclass(frozen=True, eq=False)
class Curve:
    """Loads of the leader over its price, in pieces; the first starts at price 0.

    Parameters
    ----------
    start, load, slope
        Shape (pieces,): where a piece starts, and the load there and its slope.
    unit_cost
        Of the leader's provider.
    """

    start: Array
    load: Array
    slope: Array
    unit_cost: float

    def load_and_slope(self, prices: Array) -> tuple[Array, Array]:
        """Load at each price, and its slope on the piece that the price is on or starts."""
        piece = np.searchsorted(self.start, prices, "right") - 1
        return self.load[piece] + self.slope[piece] * (prices - self.start[piece]), self.slope[piece]


@dataclass(frozen=True, eq=False)
class Parabolas:
    """Profits value + first h + second h^2 of N markets at the prices start + h, h from 0 to length, of B intervals.

    Parameters
    ----------
    start, length
        Shape (B,).
    value, first, second
        Shape (N, B), second <= 0.
    """

    start: Array
    length: Array
    value: Array
    first: Array
    second: Array

    def at(self, h: Array) -> Array:
        """Profits, shape (N, B), at h of each interval, shape (B,), or of each market in it, shape (N, B)."""
        return self.value + h * (self.first + self.second * h)

    def tops(self) -> Array:
        """Where each is highest, shape (N, B); the cheapest such place."""
        bent = self.second < 0
        vertex = -self.first / np.where(bent, 2 * self.second, 1.0)
        end = np.where(self.first > 0, self.length, 0.0)
        return np.where(bent, np.clip(vertex, 0.0, self.length), end)


def curve(market: Market) -> Curve:
    """Trace the leader's load over all its prices, from 0 to the cap."""
    pieces = list(trace(user_problem(market), np.zeros(1), 0, float(market.price_cap[0])))
    return Curve(
        start=np.array([piece.start for piece in pieces]),
        load=np.array([piece.load[0] for piece in pieces]),
        # No load rises with its own price; a slope that is positive is zero but for rounding.
        slope=np.minimum([piece.slope[0] for piece in pieces], 0.0),
        unit_cost=float(market.unit_cost[market.leader[0]]),
    )


def breakpoints(curves: Sequence[Curve], cap: float) -> Array:
    """Where a piece of any curve starts, ascending, and the cap; at least two, also where the cap is 0."""
    points = np.unique(np.concatenate([*(one.start for one in curves), [cap]]))
    return points if len(points) > 1 else np.repeat(points, 2)


def profits(curves: Sequence[Curve], prices: Array) -> Array:
    """Profits, shape (N, len(prices))."""
    return np.array([(prices - one.unit_cost) * one.load_and_slope(prices)[0] for one in curves])


def blocks(curves: Sequence[Curve], points: Array) -> Iterator[Parabolas]:
    """The parabolas on the intervals between points, from cheap to dear, in blocks of bounded memory."""
    start, length = points[:-1], np.diff(points)
    size = max(1, _BLOCK // len(curves))
    for begin in range(0, len(start), size):
        block = slice(begin, begin + size)
        yield parabolas(curves, start[block], length[block])


def parabolas(curves: Sequence[Curve], start: Array, length: Array) -> Parabolas:
    """The parabolas on some intervals."""
    found = [one.load_and_slope(start) for one in curves]
    load, slope = np.array([load for load, _ in found]), np.array([slope for _, slope in found])
    margin = start - np.array([[one.unit_cost] for one in curves])
    return Parabolas(start, length, margin * load, load + margin * slope, slope)
