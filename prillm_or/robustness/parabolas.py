r"""The profits of several markets between two breakpoints of their curves.

On a piece from p_0 the load is L + S (p - p_0), and with the unit cost k the profit at a price a + h of it

    (a + h - k) (x(a) + S h) + r + T h = v + d h + S h^2,     v = (a - k) x(a) + r,     d = x(a) + (a - k) S + T,

r + T h what is earned besides (`market/decisions.py`). It is a parabola, concave as S <= 0 but where users with weights
of their own have mixes besides: `Parabolas` holds the three numbers for N markets on intervals that no breakpoint of
any divides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or.curves.parabola import tops
from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.market.market import Array


@dataclass(frozen=True, eq=False)
class Parabolas:
    """Profits value + first h + second h^2 of N markets at the prices start + h, h from 0 to length, of B intervals.

    Parameters
    ----------
    start, length
        Shape (B,).
    value, first, second
        Shape (N, B); second <= 0 of concave parabolas.
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
        return tops(self.first, self.second, self.length)


def breakpoints(curves: Sequence[ProfitCurve], cap: float) -> Array:
    """Where a piece of any curve starts, ascending, and the cap; at least two, also where the cap is 0."""
    points = np.unique(np.concatenate([*(one.starts for one in curves), [cap]]))
    return points if len(points) > 1 else np.repeat(points, 2)


def profits(curves: Sequence[ProfitCurve], prices: Array) -> Array:
    """Profits, shape (N, len(prices))."""
    return np.array([one.profit(prices) for one in curves])


def along(curve: ProfitCurve, edges: Array) -> tuple[Array, Array]:
    """What a curve earns at rising prices, shape (edges,), and at most between each two of them, shape (edges - 1,)."""
    points = np.sort(np.append(edges, curve.starts[(curve.starts > edges[0]) & (curve.starts < edges[-1])]))
    pieces = parabolas([curve], points[:-1], np.diff(points))
    most = pieces.at(pieces.tops())[0]
    return curve.profit(edges), np.maximum.reduceat(most, np.searchsorted(points, edges[:-1]))


def parabolas(curves: Sequence[ProfitCurve], start: Array, length: Array, less: Array | None = None) -> Parabolas:
    """The parabolas on some intervals that no breakpoint divides.

    Each is that of how far a profit exceeds `less`, shape (N,), where that is given.
    """
    value, first, second = np.array([one.parabolas(start) for one in curves]).transpose(1, 0, 2)
    if all(one.market.plain for one in curves):
        # No load rises with its own price; a slope that is positive is zero but for rounding.
        second = np.minimum(second, 0.0)
    return Parabolas(start, length, value if less is None else value - less[:, None], first, second)
