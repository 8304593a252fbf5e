"""How what is sold answers the leader's decisions on a support: derivatives of volumes and of what they earn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prillm_or.market.market import Array
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.problem import UserProblem


def load_slopes(users: UserProblem, laplacian: Laplacian) -> Array:
    """Derivatives by the decisions, on a support, of the volumes that they are the prices of, shape (k, k).

    Entry (a, b) is the change of the volume of decision a per unit of decision b, of one price a provider the load of
    provider a by the price of b: one of the one-sided derivatives at a kink, the derivative elsewhere.
    """
    return earning_slopes(users, laplacian)[0]


def earning_slopes(users: UserProblem, laplacian: Laplacian) -> tuple[Array, Array]:
    """Those of `load_slopes`, and of what the leader earns besides by each decision, shape (k,)."""
    if users.kernel is not None:
        k = len(users.decided)
        small = np.empty((k, k + 1))
        if users.kernel.slopes(np.ascontiguousarray(laplacian.support), small):
            return small[:, :k].T, small[:, k]
    billed, tariff = billed_slopes(users, laplacian), users.tariff
    if tariff is None:
        return np.array([slope[list(users.decided)] for slope in billed]).T, np.zeros(len(billed))
    volumes = np.array([tariff.of_decisions(slope) for slope in billed]).T
    return volumes, np.array([tariff.beside(slope) for slope in billed])


def billed_slopes(users: UserProblem, laplacian: Laplacian) -> list[Array]:
    """Derivatives of the billed volumes, as of `UserProblem.billed`, by each decision."""
    return [
        billed_slope(users, laplacian, k, laplacian.solve(*price_pull(users, laplacian, [k])))
        for k in range(len(users.decided))
    ]


def billed_slope(users: UserProblem, laplacian: Laplacian, k: int, rates: tuple[Array, Array]) -> Array:
    """Derivatives of the billed volumes by decision k, given those of levels and congestion."""
    d_level, d_congestion = rates
    if users.tariff is None and users.congested:
        return users.capacity * d_congestion
    pairs, weight = laplacian.pairs, laplacian.weight
    rate = weight * (pairs.of_users(d_level) - pairs.of_providers(d_congestion))
    j = users.decided[k]
    pairs.lower(rate, j, pairs.column(weight, j) * users.sensitivity[:, k])
    return users.billed(pairs, rate)


def price_pull(users: UserProblem, laplacian: Laplacian, decisions: Sequence[int]) -> tuple[Array, Array]:
    """Right-hand side of K whose solution is how levels and congestion answer some decisions rising together.

    Shapes (n,) and (m,): each user of such a provider is pulled by a_ij rho_i, the provider the other way.
    """
    user, provider = np.zeros_like(users.demand), np.zeros_like(users.capacity)
    for k in decisions:
        j = users.decided[k]
        pull = laplacian.pairs.column(laplacian.weight, j) * users.sensitivity[:, k]
        user += pull
        provider[j] -= pull.sum()
    return user, provider
