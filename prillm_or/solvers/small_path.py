r"""small path: the best price of a small market, from all its pieces at once, by the kernel.

What `path.py` leaps over costs the kernel less than one leap. So all pieces are traced from the unit cost k on, below
which nothing is earned, to the price p where (cap - k) x_s(p) is no more than the best profit; each is a parabola. An
equilibrium there says that the trace has not lost its way. Whatever is out of the ordinary is left to the search:
losses alone, digits that hide what pieces earn, a trace that the kernel gives up.
"""

from __future__ import annotations

import numpy as np

from prillm_or.market.market import Market
from prillm_or.solvers.monotone import HIDDEN, Monotone
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.users.problem import UserProblem

_MOST_PAIRS = 10_000


def is_small(users: UserProblem) -> bool:
    """Whether all pieces of a market cost less than leaps over some of them."""
    return users.kernel is not None and users.base.size <= _MOST_PAIRS


def best_of_small(market: Market, users: UserProblem) -> Proposal | None:
    """The best price of a leader that decides one, exact; None where that is left to the search."""
    kernel, bounds, cap = users.kernel, Monotone(market, users), float(market.price_cap[0])
    k = bounds.unit_cost
    if kernel is None or not k < cap or (best := kernel.best(k, cap)) is None:
        return None
    price, profit, count, end, traced, there, noise = best
    doubt = bounds.doubt(noise, end)
    # Where the last load is right the trace has not lost its way: it would hardly have found back.
    if profit <= 0 or (end - k) * doubt > HIDDEN * profit or abs(there - traced) > doubt:
        return None
    stats = {"pieces": int(count), "equilibria": 2}
    return Proposal(np.array([price]), profit, Ended.FINISHED, (f"{count:.0f} pieces, 2 equilibria",), stats=stats)
