"""capacity: the largest rivals stay, the others are merged with their sizes as weights.

alpha_a = sum_j alpha_j, and p_a, d_ia, b_a are the means of p_j, d_ij, b_j weighted by alpha_j, over the merged rivals.
Where every user uses every one of them this is exact: there x_j + f_ij / N_i = alpha_j (lambda_i - g_ij), N_i the
count, so the sums X_a + F_ia / N_i = sum_j alpha_j lambda_i - sum_j alpha_j g_ij are those of one rival with capacity
alpha_a and offset g_ia = sum_j alpha_j g_ij / alpha_a. Where users use different rivals it is not. No equilibrium is
solved; cost: n m.

With dispersion it is widths that say how large a rival is, and `pooled` how large all are together: without congestion,
or where alpha_j times the dispersion of j is the same for all merged rivals, that is exact in the same sense.

A rival of ample size, such as an outside option, outweighs all that it is merged with; `coarsest` keeps it apart.
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
    pooled,
    unreduced,
    weights_of,
)
from prillm_or.market.market import Market


def abstract(market: Market, keep: int) -> Abstraction:
    """Leave `keep` rivals."""
    if len(market.rivals) <= keep:
        return unreduced(market)
    shares, _ = pooled(market, market.rivals)
    kept = foremost(market, 1.0 + np.log(shares / shares.min()), keep - 1)  # digits of the small beside the huge
    merged = [j for j in market.rivals if j not in kept]
    shares, size = pooled(market, merged)
    price, cost = means(market, merged, shares)
    name = new_name(market, f"{len(merged)} others")
    return compose(market, kept, [MergedRival(name, price, size, cost, weights_of(market, merged, shares))], "capacity")


def coarsest(market: Market) -> Abstraction:
    """One rival in the place of all, beside those of ample size, whose weight would be all there is."""
    return abstract(market, 1 + int(ample(market).sum()))
