"""Anchors: the leader's decisions at which to solve the full market's equilibrium, found without solving any of it."""

from __future__ import annotations

import numpy as np

from prillm_or.abstraction import capacity
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.solvers.ascent import Ascent
from prillm_or.solvers.protocols import Ended, Proposal


def today_anchor(market: Market) -> Array:
    """Decisions today, at most the caps; half the caps where one is absent. Shape (k,)."""
    return market.price_cap / 2 if market.today is None else np.minimum(market.today, market.price_cap)


def capacity_anchor(market: Market) -> Array:
    """Best decisions of the market's own coarsest `capacity` merge, shape (k,).

    By `ascent`, on n users and as many providers as the leader has, and mostly one.
    """
    return merged_anchor(capacity.coarsest(market).market)


def merged_anchor(small: Market) -> Array:
    """Best decisions of a market of few rivals, shape (k,)."""
    return best_prices(Ascent().solve(small, Limits()))


def best_prices(proposal: Proposal) -> Array:
    """Decisions of a solver that was to run to its end, shape (k,).

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, which solvers answer with what they have: half a search is no anchor.
    """
    if proposal.ended is Ended.INTERRUPTED or proposal.prices is None:
        raise KeyboardInterrupt
    return proposal.prices
