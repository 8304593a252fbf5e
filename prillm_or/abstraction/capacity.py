"""capacity: the rivals of largest capacity stay, the others are merged with their capacities as weights.

alpha_a = sum_j alpha_j, and p_a, d_ia, b_a are the means of p_j, d_ij, b_j weighted by alpha_j, over the merged rivals.
Where every user uses every one of them this is exact: there x_j + f_ij = alpha_j (lambda_i - g_ij), so the sums
X_a + F_ia = sum_j alpha_j lambda_i - sum_j alpha_j g_ij are those of one rival with capacity alpha_a and offset
g_ia = sum_j alpha_j g_ij / alpha_a. Where users use different rivals it is not. No equilibrium is solved; cost: n m.

A rival of ample capacity, such as an outside option, outweighs all that it is merged with; `coarsest` keeps it apart.
"""

from __future__ import annotations

import numpy as np

from prillm_or.abstraction.small_market import (
    Abstraction,
    MergedRival,
    ample,
    compose,
    foremost,
    means,
    new_name,
    unreduced,
    weights_of,
)
from prillm_or.market.market import Market


def abstract(market: Market, keep: int) -> Abstraction:
    """Leave `keep` rivals."""
    if len(market.rivals) <= keep:
        return unreduced(market)
    capacity = market.capacity[list(market.rivals)]
    kept = foremost(market, 1.0 + np.log(capacity / capacity.min()), keep - 1)  # digits of the small beside the huge
    merged = [j for j in market.rivals if j not in kept]
    capacity = market.capacity[merged]
    weights = capacity / capacity.sum()
    price, cost = means(market, merged, weights)
    name = new_name(market, f"{len(merged)} others")
    rival = MergedRival(name, price, float(capacity.sum()), cost, weights_of(market, merged, weights))
    return compose(market, kept, [rival], "capacity")


def coarsest(market: Market) -> Abstraction:
    """One rival in the place of all, beside those of ample capacity, whose weight would be all there is."""
    return abstract(market, 1 + int(ample(market).sum()))
