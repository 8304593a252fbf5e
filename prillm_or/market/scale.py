"""scale: whether double precision can compute with a market's figures at all, before anything overflows.

Its numbers reach from 1e-308 to 1e308, and what is computed are products of two: a price and a load, a load and a
slope. So figures beyond the square roots of these, and figures that far apart, are beyond it. Nearer ones may be, too,
as it has 16 digits: of those the certificate of an equilibrium tells.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prillm_or.market.market import Market
from prillm_or.output.numbers import figure

_MOST = 1e150
_TAME = 1e30


def beyond_precision(market: Market) -> Iterator[str]:
    """What of a market's figures is beyond double precision, in words. Cost: that of finding the longest delay."""
    if _is_tame(market):
        return
    with np.errstate(over="ignore", under="ignore"):
        low = float(min(market.demand.min(), market.capacity.min()))
        high = float(max(market.demand.max(), market.capacity.max()))
        if not 1 / _MOST <= low <= high <= _MOST * min(low, 1.0):
            yield f"demands and capacities go from {figure(low, 3)} to {figure(high, 3)}"
        weight = market.congestion_weight if market.congested else np.ones(1)
        low = float(market.price_weight.min() / weight.max())
        high = float(market.price_weight.max() / weight.min())
        if not 1 / _MOST <= low <= high <= _MOST:
            yield f"weights of price go from {figure(low, 3)} to {figure(high, 3)} times those of congestion"
        dearest = max(np.nanmax(market.price), market.price_cap.max(), market.unit_cost.max())
        if market.components:
            dearest *= market.mix.sum(axis=1).max()
        costs = market.price_weight.max() * dearest + market.delay_weight.max() * market.delay.max()
        high = float((costs + np.abs(market.worth).max()) / weight.min())
        if not high <= _MOST:
            yield f"prices, delays and values, by their weights, come to {figure(high, 3)}"


def _is_tame(market: Market) -> bool:
    """Whether no figure is so large, or as a divisor so small, that a second look is worth its time."""
    if market.components or market.user_values.size:
        return False
    divisors = (market.demand, market.capacity, market.price_weight, market.congestion_weight)
    costs = (market.price, market.unit_cost, market.price_cap, market.delay_weight, market.value)
    sizes = np.abs(np.concatenate([*divisors, *costs]))
    least = np.minimum.reduce(sizes[: 3 * market.n + market.m])
    most = np.fmax.reduce(sizes)  # leaves out a price that is absent
    return bool(most <= _TAME and least >= 1 / _TAME and market.delay.max() <= _TAME)
