"""Prices to start from, or to fall back on before anything better is known."""

from __future__ import annotations

import numpy as np

from prillm_or.market.decisions import decision_costs
from prillm_or.market.market import Array, Market


def starts(market: Market) -> list[Array]:
    """Today's decisions, where the market has them, the caps, half of them, unit costs; within the caps, all different.

    Each has shape (k,).
    """
    wanted = [market.price_cap, market.price_cap / 2, decision_costs(market)]
    if market.today is not None:
        wanted.insert(0, market.today)
    different = dict.fromkeys(tuple(np.minimum(prices, market.price_cap).tolist()) for prices in wanted)
    return [np.array(prices) for prices in different]
