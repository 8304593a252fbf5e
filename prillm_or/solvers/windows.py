r"""windows: the decisions that can still be optimal once some profit is known, for the exact formulations.

*One decision.* Its range is cut into equal parts. What the equilibria at the ends of a part prove of the profit in
between (`monotone.py`, `slacks.py`) drops the parts at the sides that earn less than the best so far; the rest is cut
again. The last parts also say what slacks t_ij are there, by L6 (`slacks.py`): over all of the window they lie between
the least and the largest of any part.

*Several decisions.* Slices at the sides of the box of all decisions are cut off where `branch.py` proves that they
earn less than best, and its bounds on slacks in what is left are handed on.

With slacks t_ij in [t-, t+] there,

    a_ij max(0, t-) <= f_ij <= a_ij t+,         mu_ij <= -t- where f_ij = 0.

The range is narrowed a few times, not until it closes: that would be `bisect` or `branch`, and the models are to prove
the rest themselves.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from prillm_or.limits import Deadline
from prillm_or.market.market import Array, Market
from prillm_or.models.window import Window, whole_window
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.monotone import Monotone, by_loads
from prillm_or.solvers.slacks import Slacks
from prillm_or.users.equilibrium import Equilibrium

_PARTS, _PASSES = 32, 3


def narrowed_window(market: Market, best: Incumbent, deadline: Deadline) -> Window:
    """The decisions that may earn more than the best so far; better ones met on the way are kept there.

    Parameters
    ----------
    best
        Of `market`, with decisions offered.
    """
    if len(market.decisions) > 1:
        return _trimmed_window(market, best, deadline)
    return _parted_window(market, best, deadline)


def _parted_window(market: Market, best: Incumbent, deadline: Deadline) -> Window:
    users, slacks = best.users, Slacks(market, best.users)
    between = by_loads(Monotone(market, users)) if market.plain else slacks.between
    low, high, parts = 0.0, float(market.price_cap[0]), []
    for _ in range(_PASSES):
        if low >= high or deadline.passed():
            break
        found: list[Equilibrium] = []
        for price in np.linspace(low, high, _PARTS + 1):
            found.append(best.offer(np.array([price]), found[-1] if found else None))
        best.polish()
        assert best.prices is not None
        at = float(best.prices[0])
        parts = list(pairwise(found))
        kept = [
            k
            for k, (first, last) in enumerate(parts)
            if between(first, last) >= best.profit or first.prices[0] <= at <= last.prices[0]
        ]
        parts = parts[kept[0] : kept[-1] + 1]
        low, high = float(parts[0][0].prices[0]), float(parts[-1][1].prices[0])
    if not parts:
        return whole_window(market)
    least, most = zip(*(slacks.pairs(*part) for part in parts), strict=True)
    return _window(best, np.array([low]), np.array([high]), np.min(least, axis=0), np.max(most, axis=0))


def _trimmed_window(market: Market, best: Incumbent, deadline: Deadline) -> Window:
    from prillm_or.solvers.branch import trimmed

    box = trimmed(market, best, deadline)
    return _window(best, box.low, box.high, box.slack_low, box.slack_high)


def _window(best: Incumbent, low: Array, high: Array, slack_low: Array, slack_high: Array) -> Window:
    market, users = best.market, best.users
    width, demand = np.broadcast_to(users.width, users.base.shape), market.demand[:, None]
    return Window(
        low,
        high,
        np.clip(width * slack_low, 0.0, demand),
        np.minimum(width * slack_high, demand),
        np.maximum(-slack_low, 0.0) * (users.scale / market.price_weight)[:, None],
    )
