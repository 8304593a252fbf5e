"""capacity: the rivals of largest capacity stay, the others are merged with their capacities as weights.

alpha_a = sum_j alpha_j, and p_a, d_ia, b_a are the means of p_j, d_ij, b_j weighted by alpha_j, over the merged rivals.
Where every user uses every one of them this is exact: there x_j + f_ij = alpha_j (lambda_i - g_ij), so the sums
X_a + F_ia = sum_j alpha_j lambda_i - sum_j alpha_j g_ij are those of one rival with capacity alpha_a and offset
g_ia = sum_j alpha_j g_ij / alpha_a. Where users use different rivals it is not. No equilibrium is solved; cost: n m.
"""

from __future__ import annotations

from prillm_or.abstraction.base import Abstraction, MergedRival, compose, foremost, means, new_name, weights_of, whole
from prillm_or.market import Market


def abstract(market: Market, keep: int) -> Abstraction:
    """Leave `keep` rivals."""
    if len(market.rivals) <= keep:
        return whole(market)
    kept = foremost(market, market.capacity[list(market.rivals)], keep - 1)
    merged = [j for j in market.rivals if j not in kept]
    capacity = market.capacity[merged]
    weights = capacity / capacity.sum()
    price, cost = means(market, merged, weights)
    name = new_name(market, f"{len(merged)} others")
    rival = MergedRival(name, price, float(capacity.sum()), cost, weights_of(market, merged, weights))
    return compose(market, kept, [rival], "capacity")
