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

import numpy as np
from numpy.typing import NDArray

from prillm_or.market import Array

Mask = NDArray[np.bool_]


def solve_on_support(
    weight: Array, user_diagonal: Array, provider_diagonal: Array, user: Array, provider: Array
) -> tuple[Array, Array]:
    """Solve K (a, b) = (user, provider) once, eliminating the longer side.

    Parameters
    ----------
    weight
        Shape (n, m): A, the capacity of each pair in use and 0 elsewhere.
    user_diagonal, provider_diagonal
        K's diagonals, shapes (n,) and (m,), from `diagonals`.
    user, provider
        Right-hand sides, shapes (n,) and (m,).

    Returns
    -------
    a, b
        Shapes (n,) and (m,). Cost: n m min(n, m) + min(n, m)^3 / 3.
    """
    if len(provider) > len(user):
        return solve_on_support(weight.T, provider_diagonal, user_diagonal, provider, user)[::-1]
    schur = _schur(weight, user_diagonal, provider_diagonal)
    b = np.asarray(np.linalg.solve(schur, provider + (user / user_diagonal) @ weight), dtype=np.float64)
    return (user + weight @ b) / user_diagonal, b


def diagonals(weight: Array, capacity: Array) -> tuple[Array, Array]:
    """K's diagonals s and alpha (1 + k), shapes (n,) and (m,)."""
    user, provider = sums(weight)
    return user, capacity + provider


def sums(matrix: Array) -> tuple[Array, Array]:
    """Sums over each row and over each column, shapes (n,) and (m,); on small matrices products beat np.sum twofold."""
    n, m = matrix.shape
    return matrix @ np.ones(m), np.ones(n) @ matrix


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
        self._user, self._provider = diagonals(self.weight, capacity)
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
    matrix = -(weight.T @ (weight / long[:, None]))
    matrix.flat[:: len(short) + 1] += short
    return matrix
