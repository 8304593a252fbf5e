"""nearest: of all decisions that earn the same by the same bills, those nearest to today's."""

from __future__ import annotations

from prillm_or.market.market import Array, Market
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.same_bills import nearest_same

_ROUNDING = 1e-12


def nearest_to_today(market: Market, best: Incumbent) -> Array | None:
    """The best decisions, shape (k,), moved to today's as far as no bill changes; None where there are none yet.

    Without prices today, and where the profit there is not the same but for rounding, they stay.
    """
    found = best.equilibrium
    if found is None or market.today is None:
        return best.prices
    near = solve_users(best.users, nearest_same(market, found, market.today), found)
    as_much = profit_of(market, near.prices, near.billed) >= best.profit - _ROUNDING * abs(best.profit)
    return near.prices if as_much else best.prices
