"""unserved: a leader who can earn nothing, and the price at which it loses nothing either; one price.

The load never rises with the price (`docs/mathematics.md`, L2). So where nobody is served at the unit cost k, no price
above it earns anything and none below it more than nothing: the best profit is 0, at the least price at which nobody is
served. Where the cap is below k, the same holds of the cap.
"""

from __future__ import annotations

from collections.abc import Callable

from prillm_or.curves.trace import trace
from prillm_or.errors import ConvergenceError
from prillm_or.market.market import Market
from prillm_or.users.equilibrium import Equilibrium, UserProblem

_GROWTH = 4.0


def cheapest_unserved(market: Market, users: UserProblem, look: Callable[[float], Equilibrium]) -> Equilibrium | None:
    """The equilibrium at the least price at which nobody is served, where the leader can earn nothing; else None.

    Parameters
    ----------
    look
        Solves the equilibrium at a price.
    """
    own = market.leader[0]
    top = float(min(market.unit_cost[own], market.price_cap[0]))
    highest = look(top)
    if highest.load[own] > 0:
        return None
    start, price = look(0.0), 0.0
    if start.load[own] == 0:
        return start
    try:
        for piece in trace(users, start.prices, 0, top, start):
            price = piece.end if piece.load[0] > 0 else piece.start
    except ConvergenceError:
        return highest
    # At the price itself rounding decides whether the last user is there: the next ones up to where it does not.
    step = highest.noise / float(users.sensitivity.min())
    while price + step < top:
        found = look(price + step)
        slack = found.level - users.offsets(found.prices)[:, own] - found.congestion[own]
        if slack.max() < -found.noise:
            return found
        step *= _GROWTH
    return highest
