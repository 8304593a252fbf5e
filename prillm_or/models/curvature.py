r"""How far users' own weights bend the profit: kappa of each provider, as `concave.py` defines it.

At most 1 everywhere, and the profit without the product of price and load is concave (`docs/mathematics.md`, 8).
"""

from __future__ import annotations

import numpy as np

from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import slopes, weight_ratio


def concavity(market: Market) -> float:
    """The largest kappa of all providers."""
    return float(curvatures(market).max())


def curvatures(market: Market) -> Array:
    """The number kappa of each provider, shape (m,); 0 where all users have one r = w_q / w_p."""
    ratio = weight_ratio(market)
    if (ratio == ratio[0]).all():
        return np.zeros(market.m)
    by_load, own = slopes(market)
    root = np.sqrt((by_load**2 / own).sum(axis=0) * (1 / own).sum(axis=0))
    return np.asarray(np.maximum(0.0, (root - (by_load / own).sum(axis=0)) / 2))
