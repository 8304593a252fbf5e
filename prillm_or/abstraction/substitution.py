"""Substitution: where users go when all of the leader's decisions rise together, at an equilibrium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.market.market import Array
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.problem import UserProblem
from prillm_or.users.slopes import price_pull


@dataclass(frozen=True, eq=False)
class Substitution:
    """Derivatives by a common rise of the leader's decisions; one of the one-sided ones at a kink.

    Parameters
    ----------
    load
        Shape (m,): of the loads; they add up to zero.
    level
        Shape (n,): of the users' scaled marginal costs.
    own
        Shape (n, len(leader)): of the flows to the leader's providers.
    """

    load: Array
    level: Array
    own: Array


def substitution(users: UserProblem, laplacian: Laplacian) -> Substitution:
    """Solve the linear system on a support once; cost n m + min(n, m)^2 beyond its factorisation."""
    level, congestion = laplacian.solve(*price_pull(users, laplacian, range(len(users.decided))))
    pairs, weight = laplacian.pairs, laplacian.weight
    rate = weight * (pairs.of_users(level) - pairs.of_providers(congestion))
    for j, rho in zip(users.decided, users.sensitivity.T, strict=True):
        pairs.lower(rate, j, pairs.column(weight, j) * rho)
    own = np.column_stack([pairs.column(rate, j) for j in users.leader])
    return Substitution(pairs.sums(rate)[1], level, own)
