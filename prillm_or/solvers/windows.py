r"""windows: the decisions that can still be optimal once some profit is known, for the exact formulations.

*One price.* Let best be that profit. Since x_s never rises with p (`docs/mathematics.md`, L2), p in (k, p-) earns at
most (p - k) x_s(k) < best for p- = k + best / x_s(k), and p > p+ earns at most (cap - k) x_s(p+) < best for any p+ with
x_s(p+) < best / (cap - k): we halve the range a few times for such a p+. Every optimum lies in [p-, p+].

*Any other decisions.* Slices at the sides of the box of all decisions are cut off where `branch.py` proves that they
earn less than best, and its bounds on slacks in what is left are handed on: with slacks t_ij in [t-, t+] there,

    a_ij max(0, t-) <= f_ij <= a_ij t+,         mu_ij <= -t- where f_ij = 0.

The range is narrowed once at each end, not until it closes: that would be `bisect` or `branch`, and the models are to
prove the rest themselves.
"""

from __future__ import annotations

import numpy as np

from prillm_or.limits import Deadline
from prillm_or.market.market import Market
from prillm_or.models.window import Window, plain_window, whole_window
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.users.equilibrium import solve_users

_HALVINGS = 10


def narrowed_window(market: Market, best: Incumbent, deadline: Deadline) -> Window:
    """The decisions that may earn more than the best so far; better ones met on the way are kept there.

    Parameters
    ----------
    best
        Of `market`, with decisions offered.
    """
    if not market.plain or len(market.decisions) > 1:
        return _trimmed_window(market, best, deadline)
    return _price_window(market, best)


def _price_window(market: Market, best: Incumbent) -> Window:
    own = market.leader[0]
    unit_cost, cap = float(market.unit_cost[own]), float(market.price_cap[0])
    if best.profit <= 0 or cap <= unit_cost:
        return whole_window(market)

    def load(price: float) -> float:
        return float(solve_users(best.users, [price], best.equilibrium).load[own])

    low = min(unit_cost + best.profit / load(unit_cost), cap)
    safe, high = low, cap  # at `high` and above, profit is below the best; `safe` may be an optimum
    for _ in range(_HALVINGS):
        middle = (safe + high) / 2
        if (cap - unit_cost) * load(middle) < best.profit:
            high = middle
        else:
            safe = middle
    return plain_window(market, np.array([low * (1 - 1e-9)]), np.array([high]))


def _trimmed_window(market: Market, best: Incumbent, deadline: Deadline) -> Window:
    from prillm_or.solvers.branch import trimmed

    box, users = trimmed(market, best, deadline), best.users
    width, demand = np.broadcast_to(users.width, users.base.shape), market.demand[:, None]
    return Window(
        box.low,
        box.high,
        np.clip(width * box.slack_low, 0.0, demand),
        np.minimum(width * box.slack_high, demand),
        np.maximum(-box.slack_low, 0.0) * (users.scale / market.price_weight)[:, None],
    )
