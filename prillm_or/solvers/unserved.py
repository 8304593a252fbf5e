"""unserved: a leader who can earn nothing, and the price at which it loses nothing either; one price.

The load never rises with the price (`docs/mathematics.md`, L2). So where nobody is served at the unit cost k, no price
above it earns anything and none below it more than nothing: the best profit is 0, at the least price at which nobody is
served, the provider's reach. Where the cap is below k, the same holds of the cap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prillm_or.market.market import Market
from prillm_or.users.split import AnyEquilibrium, reach_at

Found = TypeVar("Found", bound=AnyEquilibrium)


def cheapest_unserved(market: Market, look: Callable[[float], Found]) -> Found | None:
    """The equilibrium at the least price at which nobody is served, where the leader can earn nothing; else None.

    Parameters
    ----------
    look
        Solves the equilibrium at a price, or at the reach where that is less.
    """
    own = market.leader[0]
    highest = look(float(min(market.unit_cost[own], market.price_cap[0])))
    if highest.load[own] > 0:
        return None
    end = reach_at(highest).item()
    return look(end) if end < highest.prices[0] else highest
