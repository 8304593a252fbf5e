r"""Linear algebra on a fixed support: the grounded Laplacian that turns residuals into multipliers and congestion.

In scaled money (each user's costs divided by its congestion weight) an equilibrium on the support S satisfies, with
g_ij the offset, q_j = x_j / alpha_j the congestion, a_ij the width of a pair, which is alpha_j where users are one each
and have no dispersion, and f_ij = a_ij (lambda_i - g_ij - q_j) on S,

    sum_j f_ij = D_i                 for every user i,
    sum_i f_ij = alpha_j q_j         for every provider j.

Differentiating, a change (d lambda, d q) meets residuals (u, v) when K (d lambda, d q) = (u, v) with

    K = [ diag(s)      -A            ]     A_ij = a_ij on S, else 0;   s_i = sum_j A_ij,
        [ -A^T    diag(alpha + k)    ]     k_j = sum_i A_ij.

K is the Laplacian of the support graph with edge weights a_ij, grounded at each provider by alpha_j: symmetric,
diagonally dominant, positive definite as soon as every user has a provider. Eliminating the longer side leaves a system
in min(n, m) unknowns, and moving one pair (i, j) in or out of S changes K by the rank-one term
+-a_ij (e_i - e_j)(e_i - e_j)^T, so its inverse follows by Sherman and Morrison's formula.

Without congestion alpha is infinite: every provider is tied to the ground by a rigid link, q = 0 whatever the
right-hand side, and what is left of K is diag(s).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from math import isinf

import numpy as np

from prillm_or.errors import ConvergenceError
from prillm_or.market.market import Array, Mask
from prillm_or.users.pairs import Pairs, pairs_of

_SMALL = 64
_LEAST_RATIO = 1e-6

Solver = Callable[[Array], Array]


class Laplacian:
    """K on one support, solved as often as one likes; worked out when it is first asked for.

    Parameters
    ----------
    support
        Shape (n, m): the pairs in use; every user has one at least.
    capacity
        Shape (m,): alpha; all infinite without congestion.
    width
        Shape (m,) or (n, m): a; the capacity if left out.
    """

    def __init__(self, support: Mask, capacity: Array, width: Array | None = None) -> None:
        self.support = support
        self._capacity, self._width = capacity, capacity if width is None else width

    @property
    def _grounded(self) -> bool:
        return isinf(self._capacity.item(0))

    @property
    def by_provider(self) -> bool:
        """Whether what is left of K is of providers, not of users."""
        return self._grounded or len(self._capacity) <= len(self.support)

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs in use, or all of a small market."""
        return pairs_of(self.support)

    @cached_property
    def weight(self) -> Array:
        """Values of A on `pairs`."""
        return np.asarray(self.pairs.take(self.support) * self.pairs.spread(self._width))

    @cached_property
    def _sums(self) -> tuple[Array, Array]:
        return self.pairs.sums(self.weight)

    @property
    def user(self) -> Array:
        """The diagonal of K at users, shape (n,)."""
        return self._sums[0]

    @cached_property
    def provider(self) -> Array:
        """The diagonal of K at providers, shape (m,)."""
        return self._capacity + self._sums[1]

    def count(self, j: int) -> int:
        """Number of provider j's users."""
        return int(np.count_nonzero(self.pairs.column(self.weight, j)))

    @cached_property
    def short(self) -> Solver:
        """The system that is left of K with the longer side eliminated, as a function of its right-hand side."""
        if self._grounded:
            return np.zeros_like
        if self.by_provider:
            schur, diagonal = self.pairs.gram(self.weight, -1.0 / self.user), self.provider
        else:
            schur, diagonal = self.pairs.gram_users(self.weight, -1.0 / self.provider), self.user
        np.einsum("ii->i", schur)[:] += diagonal
        return _solver(schur)

    def solve(self, user: Array, provider: Array) -> tuple[Array, Array]:
        """Solve K (a, b) = (user, provider), shapes (n,) and (m,), eliminating the longer side.

        Cost of the first with k pairs a user: n k min(k, m) + m^3 / 3, providers being the shorter side; of others
        n k + m^2.
        """
        weight, pairs, short = self.weight, self.pairs, self.short
        if self.by_provider:
            b = short(provider + pairs.times_users(user / self.user, weight))
            return (user + pairs.times(weight, b)) / self.user, b
        a = short(user + pairs.times(weight, provider / self.provider))
        return a, (provider + pairs.times_users(a, weight)) / self.provider

    def solve_all(self, user: Array, provider: Array) -> tuple[Array, Array]:
        """As `solve`, for many right-hand sides, shapes (n, r) and (m, r), with a matrix of all pairs."""
        weight, short = self.pairs.matrix(self.weight), self.short
        if self.by_provider:
            b = short(provider + weight.T @ (user / self.user[:, None]))
            return (user + weight @ b) / self.user[:, None], b
        a = short(user + weight @ (provider / self.provider[:, None]))
        return a, (provider + weight.T @ a) / self.provider[:, None]


class SupportInverse:
    """K's inverse, kept up to date while pairs enter and leave the support.

    On the shorter side it is H - V^T diag(kappa) V, with H the inverse at the start and one row of V for each move.

    Parameters
    ----------
    laplacian
        K at the start.
    width
        Shape (m,) or (n, m): a.
    pairs
        The pairs in use and those that may come to be.
    most
        How many moves there may be.
    """

    def __init__(self, laplacian: Laplacian, width: Array, pairs: Pairs, most: int) -> None:
        self.pairs = pairs
        self.support = laplacian.support.copy()
        self.weight: Array = pairs.take(self.support) * pairs.spread(width)
        self._width = width
        self._user, self._provider = laplacian.user.copy(), laplacian.provider.copy()
        self._by_provider, self._start = laplacian.by_provider, laplacian.short
        self._moves = np.empty((most, self.support.shape[1 if self._by_provider else 0]))
        self._kappa = np.empty(most)
        self._count = 0

    @property
    def full(self) -> bool:
        """Whether no move is left."""
        return self._count == len(self._kappa)

    def edge(self, pair: int) -> tuple[Array, Array]:
        """Solve K (a, b) = e_i - e_j for the pair (i, j): how multipliers and congestion answer a pull along it."""
        i, j = self.pairs.position(pair)
        # The rows of the longer side are diagonal in its own unknowns. They are eliminated with the present weights, so
        # that the moves since the start need to be known on the shorter side alone.
        if self._by_provider:
            row = self.pairs.row(self.weight, i) / self._user[i]
            row[j] -= 1.0
            b = self._short(row)
            a = self.pairs.times(self.weight, b)
            a[i] += 1.0
            return a / self._user, b
        column = self.pairs.column(self.weight, j) / -self._provider[j]
        column[i] += 1.0
        a = self._short(column)
        b = self.pairs.times_users(a, self.weight)
        b[j] -= 1.0
        return a, b / self._provider

    def flip(self, pair: int, edge: tuple[Array, Array]) -> float | None:
        """Move a pair in or out of the support; `edge` is what `edge(pair)` answered before.

        Returns
        -------
        kappa
            Of the update K'^-1 = K^-1 - kappa edge edge^T, negative when the pair leaves; None, and nothing is moved,
            where it would have too few digits.
        """
        i, j = self.pairs.position(pair)
        a, b = edge
        width = self._width[j] if self._width.ndim == 1 else self._width[i, j]
        step = -width if self.support[i, j] else width
        # With w = e_i - e_j, K' = K + step w w^T and w^T K^-1 w = a_i - b_j. So the denominator is det K' / det K,
        # positive as long as the user of a pair that leaves has another.
        ratio = float(1.0 + step * (a[i] - b[j]))
        if ratio < _LEAST_RATIO:
            return None
        kappa = float(step) / ratio
        self._moves[self._count], self._kappa[self._count] = b if self._by_provider else a, kappa
        self._count += 1
        self.support[i, j] = step > 0
        self.weight.flat[pair] = max(step, 0.0)
        self._user[i] += step
        self._provider[j] += step
        return kappa

    def _short(self, right: Array) -> Array:
        # K's inverse between nodes of the shorter side is the inverse of what elimination leaves of K, and a move takes
        # kappa times the product of the edge's entries off it: only these entries are kept.
        moves = self._moves[: self._count]
        return self._start(right) - (self._kappa[: self._count] * (moves @ right)) @ moves


def _solver(matrix: Array) -> Solver:
    """Solution of a positive definite system: small, by its inverse, which costs no more than one solution."""
    try:
        if len(matrix) <= _SMALL:
            inverse = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
            return lambda right: inverse @ right
        from scipy.linalg import cho_factor, cho_solve

        factor = cho_factor(matrix, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        raise ConvergenceError("a support's linear system is singular: scales too far apart") from None
    return lambda right: np.asarray(cho_solve(factor, right, check_finite=False))
