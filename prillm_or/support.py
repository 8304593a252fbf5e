r"""Linear algebra on a fixed support: the grounded Laplacian that turns residuals into multipliers and congestion.

In scaled money (each user's costs divided by its congestion weight) an equilibrium on the support S satisfies, with
g_ij the offset, q_j = x_j / alpha_j the congestion and f_ij = alpha_j (lambda_i - g_ij - q_j) on S,

    sum_j f_ij = D_i                 for every user i,
    sum_i f_ij = alpha_j q_j         for every provider j.

Differentiating, a change (d lambda, d q) meets residuals (u, v) when K (d lambda, d q) = (u, v) with

    K = [ diag(s)      -A            ]     A_ij = alpha_j on S, else 0;   s_i = sum_j A_ij,
        [ -A^T    diag(alpha (1+k))  ]     k_j = number of users of provider j.

K is the Laplacian of the support graph with edge weights alpha_j, grounded at each provider by alpha_j: symmetric,
diagonally dominant, positive definite as soon as every user has a provider. Eliminating the longer side leaves a system
in min(n, m) unknowns, and moving one pair (i, j) in or out of S changes K by the rank-one term
+-alpha_j (e_i - e_j)(e_i - e_j)^T, so its inverse follows by Sherman and Morrison's formula.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prillm_or.market import Array

Mask = NDArray[np.bool_]


_SMALL = 64


class Laplacian:
    """K on one support, solved as often as one likes.

    Up to `_SMALL` unknowns the inverse is kept: it costs no more than one solution, and a next equilibrium on the same
    support is then a matter of products.

    Parameters
    ----------
    support
        Shape (n, m): the pairs in use; every user has one at least.
    capacity
        Shape (m,).
    """

    def __init__(self, support: Mask, capacity: Array) -> None:
        self.support = support
        self.weight: Array = support * capacity
        self._user, provider = sums(self.weight)
        self._provider = capacity + provider
        self._by_provider = len(capacity) <= len(support)
        self._inverse: Array | None = None

    def solve(self, user: Array, provider: Array) -> tuple[Array, Array]:
        """Solve K (a, b) = (user, provider), shapes (n,) and (m,), eliminating the longer side.

        Cost: n m min(n, m) + min(n, m)^3 / 3 for large ones; n m + min(n, m)^2 where the inverse is kept.
        """
        weight, by_user, by_provider = self.weight, self._user, self._provider
        if self._by_provider:
            b = self._short(provider + (user / by_user) @ weight)
            return (user + weight @ b) / by_user, b
        a = self._short(user + weight @ (provider / by_provider))
        return a, (provider + a @ weight) / by_provider

    def _short(self, right: Array) -> Array:
        if self._inverse is not None:
            return self._inverse @ right
        if self._by_provider:
            schur = _schur(self.weight, self._user, self._provider)
        else:
            schur = _schur(self.weight.T, self._provider, self._user)
        if len(right) <= _SMALL:
            inverse = np.asarray(np.linalg.inv(schur), dtype=np.float64)
            self._inverse = inverse
            return inverse @ right
        return np.asarray(np.linalg.solve(schur, right), dtype=np.float64)


def sums(matrix: Array) -> tuple[Array, Array]:
    """Sums over each row and over each column, shapes (n,) and (m,); on small matrices products beat np.sum twofold."""
    n, m = matrix.shape
    return matrix @ _ones(m), _ones(n) @ matrix


@lru_cache(maxsize=64)
def _ones(count: int) -> Array:
    """A vector of ones, kept: making it anew would cost as much as the product."""
    ones = np.ones(count)
    ones.flags.writeable = False
    return ones


class SupportInverse:
    """K's inverse on the shorter side, kept up to date while pairs enter and leave the support.

    Parameters
    ----------
    support
        Shape (n, m), copied; `flip` changes the copy.
    capacity
        Shape (m,).
    """

    def __init__(self, support: Mask, capacity: Array) -> None:
        self.support = support.copy()
        self.weight = np.where(support, capacity, 0.0)
        self._capacity = capacity
        self._by_provider = len(capacity) <= len(support)
        self._user, provider = sums(self.weight)
        self._provider = capacity + provider
        if self._by_provider:
            self._inverse = np.linalg.inv(_schur(self.weight, self._user, self._provider))
        else:
            self._inverse = np.linalg.inv(_schur(self.weight.T, self._provider, self._user))

    def solve(self, user: Array, provider: Array) -> tuple[Array, Array]:
        """Solve K (a, b) = (user, provider), shapes (n,) and (m,). Cost n m + min(n, m)^2."""
        if self._by_provider:
            b = self._inverse @ (provider + (user / self._user) @ self.weight)
            return (user + self.weight @ b) / self._user, b
        a = self._inverse @ (user + self.weight @ (provider / self._provider))
        return a, (provider + a @ self.weight) / self._provider

    def offset_sums(self, offsets: Array) -> tuple[Array, Array]:
        """Sums of A_ij g_ij over each user's providers and over each provider's users, shapes (n,) and (m,)."""
        return sums(self.weight * offsets)

    def edge(self, i: int, j: int) -> tuple[Array, Array]:
        """Solve K (a, b) = e_i - e_j: how multipliers and congestion answer a pull along the pair (i, j)."""
        if self._by_provider:
            row = self.weight[i] / self._user[i]
            row[j] -= 1.0
            b = self._inverse @ row
            a = self.weight @ b
            a[i] += 1.0
            return a / self._user, b
        column = self.weight[:, j] / -self._provider[j]
        column[i] += 1.0
        a = self._inverse @ column
        b = a @ self.weight
        b[j] -= 1.0
        return a, b / self._provider

    def flip(self, i: int, j: int, edge: tuple[Array, Array]) -> float:
        """Move the pair (i, j) in or out of the support; `edge` is what `edge(i, j)` answered before.

        Returns
        -------
        kappa
            Of the update K'^-1 = K^-1 - kappa edge edge^T, negative when the pair leaves.
        """
        a, b = edge
        step = -self._capacity[j] if self.support[i, j] else self._capacity[j]
        kappa = float(step / (1.0 + step * (a[i] - b[j])))
        short = b if self._by_provider else a
        self._inverse -= np.multiply.outer(kappa * short, short)
        self.support[i, j] = step > 0
        self.weight[i, j] = max(step, 0.0)
        self._user[i] += step
        self._provider[j] += step
        return kappa


def _schur(weight: Array, long: Array, short: Array) -> Array:
    """diag(short) - weight^T diag(1 / long) weight, the long side of K eliminated."""
    matrix: Array = weight.T @ (weight / -long[:, None])
    matrix.ravel()[:: len(short) + 1] += short
    return matrix
