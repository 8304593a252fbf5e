r"""monotone: what the leader's loads at two prices prove of the profit in between; one price p of the provider s.

x_s never rises with p, and never falls faster than sigma = R / (1 / alpha_s + 1 / w_s), R the largest rho_i and w_s the
sum of the widths of the users of s (`docs/mathematics.md`, L2 and L7). So on [a, b], with k the unit cost,

    profit <= max over p of (p - k) min(x_s(a), x_s(b) + sigma (b - p))    where b >= k,
    profit <= (b - k) x_s(b)                                               where b < k;

and the profit rises all the way from price 0 to q if 0 < x_s(q) >= sigma (q - k), since its derivative there is
x_s + (p - k) x_s' >= x_s(q) - sigma (q - k) (L8).

Where users weigh prices alike nobody joins s as it gets dearer (L3), so w_s counts those at a; elsewhere all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prillm_or.market.market import Market
from prillm_or.users.equilibrium import ROUNDING
from prillm_or.users.split import AnyEquilibrium, AnyUsers

_MARGIN = 1e-9

HIDDEN = 1e-11
"""What rounding may hide of a profit that is proven: mostly less than what profits of one price differ by."""


@dataclass(frozen=True)
class Point:
    """A price and the load there."""

    price: float
    load: float


class Monotone:
    """The bounds of one market.

    Parameters
    ----------
    market, users
        The market, whose leader has one price, and its users by `user_problem`.
    """

    def __init__(self, market: Market, users: AnyUsers) -> None:
        self._own = market.leader[0]
        self._users = users
        self._capacity, self._fastest = float(users.capacity[self._own]), users.fastest
        self._width = users.width_of(self._own)
        # Of a load that is congestion times capacity, or without congestion a sum of flows.
        self._per_slack = users.stiffness * (self._capacity if np.isfinite(self._capacity) else self._width)
        self.unit_cost = float(market.unit_cost[self._own])

    def point(self, found: AnyEquilibrium) -> Point:
        """The leader's price and load at an equilibrium."""
        return Point(float(found.prices[0]), float(found.load[self._own]))

    def doubt(self, noise: float, price: float) -> float:
        """What rounding may make of a load traced to a price, given the noise of slacks where the trace began."""
        return self._per_slack * (noise + ROUNDING * self._fastest * price)

    def sigma(self, low: AnyEquilibrium | None = None) -> float:
        """How fast the load may fall at most, at all prices or from that of `low` on."""
        width = self._width
        if low is not None and self._users.alike:
            width = low.width_of(self._own)
        return self._fastest / (1 / self._capacity + 1 / width) if width else 0.0

    def between(self, low: Point, high: Point, sigma: float) -> float:
        """Bound on the profit at prices between two points; `sigma` is that from some price up to `low`'s on."""
        k = self.unit_cost
        # Below the unit cost a dear price and a small load lose least. Without sigma the load stands still.
        if high.price < k or not sigma:
            return (high.price - k) * (high.load if high.price < k else low.load)
        # The two bounds of the load cross `met` below `high`. Down to `low` from there the load at `low` is the smaller
        # one, and what it bounds rises with the price. Up from there the other gives a concave parabola, whose top is
        # clipped to what is left. Written by the way down from `high`: the prices may be one and the same number.
        met = min(max(low.load - high.load, 0.0) / sigma, high.price - low.price)
        down = min(max((high.price - k - high.load / sigma) / 2, 0.0), met)
        return (high.price - k - down) * (high.load + sigma * down)

    def rising_to(self, point: Point) -> float:
        """A price up to which the profit only rises, as a point says; 0 where it says nothing."""
        if point.load <= 0:
            return 0.0
        # L8 asks for x_s(q) >= sigma (q - k). Below the point the load is no less, so that of the point will do.
        return max(min(point.price, self.unit_cost + (1 - _MARGIN) * point.load / self.sigma()), 0.0)


Between = Callable[[Any, Any], float]
"""What bounds the profit at decisions between two equilibria."""


def by_loads(bounds: Monotone) -> Between:
    """The bound between two equilibria by the leader's loads there."""
    # Users are counted at the cheaper end: with common weights nobody joins as the price rises (L3).
    return lambda low, high: bounds.between(bounds.point(low), bounds.point(high), bounds.sigma(low))
