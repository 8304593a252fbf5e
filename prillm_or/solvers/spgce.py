r"""spgce: a reconstruction of the baseline in which all users are one crowd.

Reconstructed, not the published code: Harks and Schedel, "Stackelberg pricing games with congestion effects", Math.
Programming (2024) 763-799, doi 10.1007/s10107-021-01672-9, of which we could read the abstract and the first page,
prove equilibria of several leaders to exist and contain no solver for this market. What fits the name is their user
side: a continuum of identical users, none of whom counts for congestion.

Here the users become one crowd of volume sum D_i whose offset at provider j is the demand-weighted mean of the users'
offsets, and it settles where offset plus congestion x_j / alpha_j is the same wherever the crowd is (Wardrop), with no
weight on a user's own flow. Users' own weights are handled in the scaled form of `users/equilibrium.py`: means are
taken of g_ij = c_ij / w_q,i and of rho_i = w_p,i / w_q,i, so that all users have the slopes 1 / alpha_j. Counts change
nothing, for no user counts. Dispersion adds s_ij f_ij / D_i at the margin, which a crowd of one level answers by the
flow sum_i w_q,i D_i / s_ij per slack, without congestion sum_i D_i / s_ij: the slopes are 1 / alpha_j, 0 without
congestion, and one over that sum. The inverse
demand is concave and decreasing, so the profit (unit cost included) is concave in the load and has one maximum, in
closed form on each of at most m pieces of `demand_curve.py`. Cost: n m for the means, then m log m.

Mind that the model equals our own with one user, mean offsets and capacities twice as large. No bound is proven.
"""

from __future__ import annotations

import logging

import numpy as np

from prillm_or import __version__
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.demand_curve import Knots, best_price, knots
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.users.problem import UserProblem, user_problem

_log = logging.getLogger(__name__)


class Spgce:
    """Best price if all users were one crowd without weight; a reconstruction."""

    name = "spgce"
    capabilities = frozenset({Capability.ONE_PRICE})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price of the crowd model; one pass over the market, which no time limit cuts short."""
        return propose(market, user_problem(market))


def propose(market: Market, users: UserProblem) -> Proposal:
    """See `Spgce.solve`; `users` are the market's, by `user_problem`."""
    try:
        crowd = _crowd(market, users)
        price, expected = best_price(crowd, float(market.price_cap[0]), float(market.unit_cost[market.leader[0]]))
    except KeyboardInterrupt:
        return Proposal(None, None, Ended.INTERRUPTED)
    _log.info("%d knots, price %.6g", crowd.price.size, price)
    notes = ("spgce is a reconstruction: all users are one crowd", f"its model expects the profit {expected:.9g}")
    stats = {"knots": crowd.price.size, "expected_profit": expected}
    return Proposal(np.array([price]), None, Ended.FINISHED, notes, stats=stats)


def _crowd(market: Market, users: UserProblem) -> Knots:
    """Knots of the crowd's demand curve."""
    width = users.capacity
    if market.dispersion.any():
        with np.errstate(divide="ignore"):  # users without a taste follow any slack, however small
            by_taste = ((users.scale * users.demand)[:, None] / market.pair_dispersion).sum(axis=0)
        width = 1 / (1 / users.capacity + 1 / by_taste)
    total = users.demand.sum()
    share = users.demand / total
    offsets = share @ users.base  # each user's shift is the same at all providers: it moves no flow
    return knots(offsets[None, :], users.leader[0], share @ users.sensitivity, width, total[None])
