"""Anchors: the leader's prices at which to solve the full market's equilibrium, found without solving any of it."""

from __future__ import annotations

import numpy as np

from prillm_or.abstraction import capacity
from prillm_or.market import Array, Market
from prillm_or.solvers.base import Limits
from prillm_or.solvers.path import Path
from prillm_or.solvers.spiter import Spiter


def today_anchor(market: Market) -> Array:
    """Prices today, at most the caps; half the caps where one is absent. Shape (len(leader),)."""
    return market.price_cap / 2 if market.today is None else np.minimum(market.today, market.price_cap)


def capacity_anchor(market: Market) -> Array:
    """Best prices of the market's own `capacity` merge into one rival, shape (len(leader),).

    One price by `path`, several by `spiter`, on n users and as many providers as the leader has, and one.
    """
    small = capacity.abstract(market, 1).market
    prices = (Path() if len(market.leader) == 1 else Spiter()).solve(small, Limits()).prices
    if prices is None:
        raise KeyboardInterrupt
    return prices
