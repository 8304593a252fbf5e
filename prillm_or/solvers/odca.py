r"""odca: a reconstruction of the baseline in which users ignore each other.

Reconstructed, not the published code: of ODCA (Chen, Li, Yang, Nai, Li, "A Stackelberg game approach to multiple
resources allocation and pricing in mobile edge computing", Future Generation Computer Systems 108 (2020) 273-287,
doi 10.1016/j.future.2020.02.045) we could read the abstract only. Its followers do not congest each other, which is how
Guo, Bai and Jin (AAAI 2026) use it.

Here user i believes that it is alone: it minimises sum_j f_ij (c_ij + beta_ij f_ij), a water-filling with marginal cost
c_ij + 2 beta_ij f_ij. The leader believes it too. Each of count_i users of a row is alone: 2 beta_ij f_ij / count_i;
dispersion adds s_ij f_ij / D_i. Users' own weights are handled in the scaled form of `users/equilibrium.py`: dividing
user i's cost by w_q,i leaves the offset g_ij + rho_i p [j = s], and for `demand_curve.py` the width of a pair

    1 / (2 / (alpha_j count_i) + s_ij / (w_q,i D_i)),      without congestion D_i / s_ij.

In place of gradient steps on the price, which stop at a local maximum, all knots of the sum of the users' curves, at
most n m, are visited: the best price of this model, exactly. Unit costs count.

The model is exact where n = 1. With more users it underestimates congestion everywhere; no bound is proven.
"""

from __future__ import annotations

import logging

import numpy as np

from prillm_or import __version__
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.demand_curve import Knots, best_price, knots
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.users.problem import UserProblem, user_problem, widths

_log = logging.getLogger(__name__)
_BLOCK = 100_000


class Odca:
    """Best price if users ignored each other; a reconstruction."""

    name = "odca"
    capabilities = frozenset({Capability.ONE_PRICE})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price of the model without interaction; none if time is too short."""
        return propose(market, user_problem(market), limits)


def propose(market: Market, users: UserProblem, limits: Limits) -> Proposal:
    """See `Odca.solve`; `users` are the market's, by `user_problem`."""
    try:
        # The load of a user alone is its flow, which counts twice at the margin: half the capacity.
        alone = widths(market, market.capacity / 2, market.provider_dispersion)
        curves = _curves(users, alone, Deadline(limits.time_limit))
        if curves is None:
            return Proposal(None, None, Ended.TIME_LIMIT, ("no time to build the users' curves",))
        price, expected = best_price(curves, float(market.price_cap[0]), float(market.unit_cost[market.leader[0]]))
    except KeyboardInterrupt:
        return Proposal(None, None, Ended.INTERRUPTED)
    notes = (
        "odca is a reconstruction: each user ignores the others",
        f"its model expects the profit {expected:.9g}",
    )
    stats = {"knots": curves.price.size, "expected_profit": expected}
    return Proposal(np.array([price]), None, Ended.FINISHED, notes, stats=stats)


def _curves(users: UserProblem, width: Array, deadline: Deadline) -> Knots | None:
    """Knots of all users, in blocks of bounded memory, or None when the time is up."""
    n, m = users.base.shape
    rows = max(1, _BLOCK // m)
    blocks = []
    for first in range(0, n, rows):
        if deadline.passed():
            return None
        part = slice(first, first + rows)
        mine = width if width.ndim == 1 else width[part]
        blocks.append(knots(users.base[part], users.leader[0], users.sensitivity[part, 0], mine, users.demand[part]))
        _log.info("curves of %d of %d users", min(first + rows, n), n)
    return Knots(
        np.concatenate([block.price for block in blocks]),
        np.concatenate([block.bend for block in blocks]),
        users.demand,
    )
