r"""reach: the value of each of the leader's decisions from which on nobody pays it, whatever its others are.

Let l_i be user i's multiplier in the market of the rivals alone. Whatever the leader asks and the users' weights are,
none of them pays more at the margin with the leader there (`docs/mathematics.md`, L9), so that nobody whom decision k
concerns uses its provider j at a value of

    max_i (l_i - g_ij) / rho_ik       or more, over rho_ik > 0, g_ij the offset where all decisions are 0.

Values beyond it route like it, and bill nobody: a cap beyond it may be lowered to it, and no profit is lost. A cap far
above all prices that anybody pays costs an algebraic model its digits, and is no measure of money.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prillm_or.market.decisions import all_prices, dearest
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, bare_users, user_problem

_ROUNDING = 1e-12


def within_reach(market: Market) -> Market:
    """The market with caps lowered to the reach of each of the leader's decisions; itself where all caps are within.

    Its best profit is the market's, and its loads are, at each of its decisions.
    """
    cap = np.minimum(reach(market), market.price_cap)
    return market if (cap == market.price_cap).all() else replace(market, price_cap=cap)


def turnover(market: Market) -> float:
    """What the leader could turn over, currency per period: all demand at the dearest price that anybody pays.

    The highest unit cost of the leader's is added: serving may cost more than it earns. It is what the rounding of a
    profit is measured by where the profit itself is near zero; one equilibrium.
    """
    price = dearest(market, all_prices(market, within_reach(market).price_cap))
    return (price + dearest(market, market.unit_cost)) * float(market.demand.sum())


def reach(market: Market) -> Array:
    """Value from which on nobody pays each of the leader's decisions, shape (k,), >= 0; one equilibrium."""
    users, rivals = user_problem(market), list(market.rivals)
    offsets = users.base[:, rivals]
    shift = offsets.min(axis=1)  # rivals far worse than the leader are to keep their differences
    # Offsets of all providers have digits beyond the first 16; they are within the noise below.
    alone = bare_users(offsets - shift[:, None], users.capacity[rivals], users.demand, users.width[..., rivals])
    return reach_from(users, solve_users(alone, np.empty(0)).level, shift)


def reach_from(users: UserProblem, level: Array, shift: Array | float = 0.0) -> Array:
    """The reach, given the users' levels less a shift, shape (n,), where nobody uses the leader."""
    # A level is right to rounding beside the largest; a little more than that keeps the load at the price itself 0.
    noise = _ROUNDING * (np.abs(level).max() + np.abs(shift).max())
    dearest = (level + shift + noise)[:, None] - users.base[:, list(users.decided)]
    values = np.divide(dearest, users.sensitivity, out=np.zeros_like(dearest), where=users.sensitivity > 0)
    return np.asarray(np.maximum(values.max(axis=0), 0.0))
