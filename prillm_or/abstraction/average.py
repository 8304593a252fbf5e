"""avg: identical rivals, each the plain mean of all; the paper's baseline of that name.

Price, capacity, dispersion, value and each user's delay are means over the rivals, so with K of them out of r only the
share K / r of the rivals' capacity is left.
"""

from __future__ import annotations

import numpy as np

from prillm_or.abstraction.small_market import (
    Abstraction,
    MergedRival,
    Size,
    compose,
    means,
    new_name,
    unreduced,
    weights_of,
)
from prillm_or.market.market import Market


def abstract(market: Market, keep: int) -> Abstraction:
    """Leave `keep` rivals, all alike."""
    if len(market.rivals) <= keep:
        return unreduced(market)
    rivals = list(market.rivals)
    price, cost = means(market, rivals, np.full(len(rivals), 1.0 / len(rivals)))
    size = Size(float(market.capacity[rivals].mean()), float(market.provider_dispersion[rivals].mean()))
    weights = weights_of(market, rivals, np.ones(len(rivals)))
    names = [new_name(market, f"average {number}") for number in range(1, keep + 1)]
    return compose(market, [], [MergedRival(name, price, size, cost, weights) for name in names], "avg")
