r"""slacks: what the equilibria at two values of one decision prove of the profit in between, where it is not monotone.

Let the decision y move at the provider s from a to b, h = b - a. No slack moves faster than v = 2 R - r
(`docs/mathematics.md`, L6), so that in between, for each pair,

    (t_ij(a) + t_ij(b) - v h) / 2  <=  t_ij  <=  (t_ij(a) + t_ij(b) + v h) / 2,

and f_is = a_is max(0, t_is), at most D_i, lies between two flows. What user i earns the leader a unit of volume, m_i,
never falls with y. So the profit is at most the sum of m_i(b) times the larger flow where m_i(b) > 0, and the smaller
one elsewhere. It closes in on the profit as h goes to 0, whatever the users' weights and mixes.
"""

from __future__ import annotations

import numpy as np

from prillm_or.market.decisions import unit_margins
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import Equilibrium
from prillm_or.users.problem import UserProblem

_ALL = slice(None)


class Slacks:
    """The bounds of one market whose leader has one decision.

    Parameters
    ----------
    market, users
        The market, and its users by `user_problem`.
    """

    def __init__(self, market: Market, users: UserProblem) -> None:
        self._market, self._users = market, users
        self._own, rho = users.decided[0], users.sensitivity[:, 0]
        self._fastest = float(2 * rho.max() - rho.min())
        self._width = np.broadcast_to(users.width, users.base.shape)[:, self._own]

    def between(self, low: Equilibrium, high: Equilibrium) -> float:
        """Bound on the profit at decisions between those of two equilibria."""
        slacks = self.pairs(low, high, self._own)
        least, most = (np.minimum(self._width * np.maximum(slack, 0.0), self._users.demand) for slack in slacks)
        margin = unit_margins(self._market, high.prices).T[self._own]
        return float(np.sum(margin * np.where(margin > 0, most, least)))

    def pairs(self, low: Equilibrium, high: Equilibrium, provider: int | slice = _ALL) -> tuple[Array, Array]:
        """Least and largest slacks in between, of all pairs, shape (n, m), or those of a provider, shape (n,)."""
        half = self._fastest * float(high.prices[0] - low.prices[0]) / 2 + max(low.noise, high.noise)
        middle = (self._slack(low, provider) + self._slack(high, provider)) / 2
        return middle - half, middle + half

    def _slack(self, found: Equilibrium, provider: int | slice) -> Array:
        offset = self._users.offsets(found.prices)[:, provider] + found.congestion[provider]
        return np.asarray((found.level - offset.T).T)
