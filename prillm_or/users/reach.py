r"""reach: the price of each of the leader's providers from which on nobody uses it, whatever the leader's other prices.

Let l_i be user i's multiplier in the market of the rivals alone. Whatever the leader asks and the users' weights are,
none of them pays more at the margin with the leader there (`docs/mathematics.md`, L9), so that nobody uses provider j
at a price of

    max_i (l_i - g_ij) / rho_i        or more, g_ij the offset at price 0.

Prices beyond it route like that price: a cap beyond it may be lowered to it, and no profit is lost. A cap far above all
prices that anybody pays costs an algebraic model its digits, and is no measure of money.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import UserProblem, solve_users, user_problem

_ROUNDING = 1e-12


def within_reach(market: Market) -> Market:
    """The market with caps lowered to the reach of each of the leader's providers; itself where all caps are within.

    Its best profit is the market's, and its loads are, at each of its prices.
    """
    cap = np.minimum(reach(market), market.price_cap)
    return market if (cap == market.price_cap).all() else replace(market, price_cap=cap)


def reach(market: Market) -> Array:
    """Price from which on nobody uses each of the leader's providers, shape (len(leader),), >= 0; one equilibrium."""
    users, rivals = user_problem(market), list(market.rivals)
    offsets = users.base[:, rivals]
    shift = offsets.min(axis=1)  # rivals far worse than the leader are to keep their differences
    alone = replace(
        users,
        base=offsets - shift[:, None],
        shift=users.shift + shift,
        capacity=users.capacity[rivals],
        leader=(),
        market=None,  # of all providers; its digits beyond the first 16 are within the noise below
    )
    return reach_from(users, solve_users(alone, np.empty(0)).level, shift)


def reach_from(users: UserProblem, level: Array, shift: Array | float = 0.0) -> Array:
    """The reach, given the users' levels less a shift, shape (n,), where nobody uses the leader."""
    # A level is right to rounding beside the largest; a little more than that keeps the load at the price itself 0.
    noise = _ROUNDING * (np.abs(level).max() + np.abs(shift).max())
    dearest = (level + shift + noise)[:, None] - users.base[:, list(users.leader)]
    return np.asarray(np.maximum((dearest / users.sensitivity[:, None]).max(axis=0), 0.0))
