"""min: the cheapest rivals stay, the others are left out; the paper's baseline of that name."""

from __future__ import annotations

from prillm_or.abstraction.small_market import Abstraction, compose, foremost, unreduced
from prillm_or.market.market import Market


def abstract(market: Market, keep: int) -> Abstraction:
    """Leave the `keep` rivals of lowest price."""
    if len(market.rivals) <= keep:
        return unreduced(market)
    return compose(market, foremost(market, -market.price[list(market.rivals)], keep), [], "min")
