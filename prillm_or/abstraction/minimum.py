"""min: the cheapest rivals stay, the others are left out; the paper's baseline of that name.

Where prices are lists, the cheapest are so to the mean mix, each user's counting by its demand.
"""

from __future__ import annotations

from prillm_or.abstraction.small_market import Abstraction, compose, foremost, unreduced
from prillm_or.market.decisions import per_unit
from prillm_or.market.market import Market


def abstract(market: Market, keep: int) -> Abstraction:
    """Leave the `keep` rivals of lowest price."""
    if len(market.rivals) <= keep:
        return unreduced(market)
    price = per_unit(market, market.price[list(market.rivals)])
    paid = price if price.ndim == 1 else market.demand @ price
    return compose(market, foremost(market, -paid, keep), [], "min")
