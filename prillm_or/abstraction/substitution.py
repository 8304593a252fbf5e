"""Substitution: where users go when all of the leader's prices rise together, at an equilibrium."""

from __future__ import annotations

from dataclasses import dataclass

from prillm_or.market.market import Array
from prillm_or.users.equilibrium import Equilibrium, UserProblem, price_pull


@dataclass(frozen=True, eq=False)
class Substitution:
    """Derivatives by a common rise of the leader's prices; one of the one-sided ones at a kink.

    Parameters
    ----------
    load
        Shape (m,): of the loads; they add up to zero.
    level
        Shape (n,): of the users' scaled marginal costs.
    """

    load: Array
    level: Array


def substitution(users: UserProblem, found: Equilibrium) -> Substitution:
    """Solve the linear system on the equilibrium's support once; cost n m + min(n, m)^2 beyond its factorisation."""
    level, congestion = found.laplacian.solve(*price_pull(users, found.laplacian, range(len(users.decided))))
    return Substitution(users.capacity * congestion, level)
