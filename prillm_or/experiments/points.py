"""Points: what may be true of one decision, each a profit curve with a weight, and what the weights say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.market.market import Array

LEVEL = 0.9
"""Of the weight: what a range of best prices holds, the rest half below and half above it."""
_LEAST_LOAD = 1e-4


@dataclass(frozen=True, eq=False)
class Points:
    """K curves of one decision, of which one is right, best prices rising.

    Parameters
    ----------
    curves
        Of K markets, each from 0 to the same cap.
    weight
        Shape (K,): how likely each is, of sum 1.
    best
        Shape (K,): the best price of each, rising.
    earned
        Shape (K, K): what each earns (rows) at the best prices of all.
    least
        A load below it, a ten-thousandth of the largest at a best price, counts as it: shares near 0 are only noise.
    """

    curves: tuple[ProfitCurve, ...]
    weight: Array
    best: Array
    earned: Array
    least: float

    @property
    def guess(self) -> float:
        """Of the best prices the one with the highest mean profit: what to ask if nothing more can be learned."""
        return float(self.best[self._guessed])

    @property
    def range(self) -> tuple[float, float]:
        """Best prices that hold `LEVEL` of the weight between them."""
        low, high = ends(self.best, self.weight)
        return float(low), float(high)

    @property
    def doubt(self) -> float:
        """What not knowing costs a period: the mean of best profits less that of the best guess."""
        return float(self.weight @ (self.earned.diagonal() - self.earned[:, self._guessed]))

    def losses(self, prices: Array) -> Array:
        """How far mean profits at prices, shape (P,), are below that at the best guess."""
        earned = np.array([curve.profit(prices) for curve in self.curves])
        return np.asarray(self.weight @ (self.earned[:, [self._guessed]] - earned))

    def log_loads(self, prices: Array) -> Array:
        """Logarithms of loads, shape (K, P)."""
        return np.log(np.maximum([curve.load(prices) for curve in self.curves], self.least))

    @property
    def _guessed(self) -> int:
        return int((self.weight @ self.earned).argmax())


def points_of(curves: Sequence[ProfitCurve], weight: Array) -> Points:
    """Curves that may be right, with how likely each is, in any unit."""
    order = np.argsort([curve.best.price for curve in curves], kind="stable")
    ordered = tuple(curves[k] for k in order)
    best = np.array([curve.best.price for curve in ordered])
    earned = np.array([curve.profit(best) for curve in ordered])
    most = max(float(curve.load(curve.best.price)) for curve in ordered)
    return Points(ordered, weight[order] / weight.sum(), best, earned, _LEAST_LOAD * most)


def ends(best: Array, weight: Array) -> tuple[Array, Array]:
    """Ends of the range of best prices, shape (K,) and rising, at weights of shape (..., K) that sum to 1."""
    reached, last = np.cumsum(weight, axis=-1), len(best) - 1
    low, high = ((reached < part).sum(axis=-1) for part in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return best[np.minimum(low, last)], best[np.minimum(high, last)]
