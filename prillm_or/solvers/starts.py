"""Prices to start from, or to fall back on before anything better is known."""

from __future__ import annotations

import numpy as np

from prillm_or.market.market import Array, Market


def starts(market: Market) -> list[Array]:
    """Today's prices, clipped to the caps, where the market has them; the caps; half the caps; all different.

    Each has shape (len(leader),), currency per volume unit.
    """
    wanted = [market.price_cap, market.price_cap / 2]
    if market.today is not None:
        wanted.insert(0, np.minimum(market.today, market.price_cap))
    different = dict.fromkeys(tuple(prices.tolist()) for prices in wanted)
    return [np.array(prices) for prices in different]
