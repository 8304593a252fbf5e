"""Pairs: matrices of users by providers, kept whole where they are small, on listed pairs alone where they are large.

In a large market a user uses few of the providers. What is zero or not asked for elsewhere is then kept as one number
for each listed pair, its *values*, shape (len,); in a small market values are the whole matrix, shape (n, m), which
costs less than any list. Both classes answer the same questions, so that an algorithm over pairs is written once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np

from prillm_or.market.market import Array, Mask
from prillm_or.users.threads import over_blocks

T = TypeVar("T")
AnyArray = TypeVar("AnyArray", Array, Mask)

_LISTED = 100_000

_DENSE = 6
"""Where more than one pair in so many is listed, products of whole matrices are faster than of lists."""


class Pairs(Protocol):
    """What can be done with values on pairs; a and b have shapes (n,) and (m,)."""

    def of_users(self, a: Array) -> Array:
        """Values a_i, or what broadcasts to them."""

    def of_providers(self, b: Array) -> Array:
        """Values b_j, or what broadcasts to them."""

    def take(self, matrix: AnyArray) -> AnyArray:
        """Values of a whole matrix, shape (n, m)."""

    def spread(self, values: Array) -> Array:
        """Values of what is the same for all users, shape (m,), or not, (n, m), or what broadcasts to them."""

    def sums(self, values: Array) -> tuple[Array, Array]:
        """Sums over each user's pairs and over each provider's, shapes (n,) and (m,)."""

    def times(self, values: Array, b: Array) -> Array:
        """Sums of values_ij b_j over each user's pairs, shape (n,)."""

    def times_users(self, a: Array, values: Array) -> Array:
        """Sums of a_i values_ij over each provider's pairs, shape (m,)."""

    def gram(self, values: Array, weight: Array) -> Array:
        """Products of columns: sum_i weight_i values_ij values_il, shape (m, m)."""

    def gram_users(self, values: Array, weight: Array) -> Array:
        """Products of rows: sum_j weight_j values_ij values_lj, shape (n, n)."""

    def row(self, values: Array, i: int) -> Array:
        """Values of user i, shape (m,), zero elsewhere."""

    def column(self, values: Array, j: int) -> Array:
        """Values of provider j, shape (n,), zero elsewhere."""

    def lower(self, values: Array, j: int, a: Array) -> None:
        """Subtract a_i from the values of provider j, in place."""

    def position(self, pair: int) -> tuple[int, int]:
        """User and provider of a pair, counted as in `values.flat`."""

    def matrix(self, values: Array) -> Array:
        """The whole matrix, shape (n, m), zero elsewhere."""

    def mask(self, values: Array) -> Mask:
        """Where values are not zero, shape (n, m)."""


class AllPairs:
    """All n m pairs: values are matrices."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._users, self._providers = _ones(shape[0]), _ones(shape[1])

    def of_users(self, a: Array) -> Array:
        """See `Pairs`."""
        return a[:, None]

    def of_providers(self, b: Array) -> Array:
        """See `Pairs`."""
        return b

    def take(self, matrix: AnyArray) -> AnyArray:
        """See `Pairs`."""
        return matrix

    def spread(self, values: Array) -> Array:
        """See `Pairs`."""
        return values

    def sums(self, values: Array) -> tuple[Array, Array]:
        """See `Pairs`; on small matrices products beat np.sum twofold."""
        return values @ self._providers, self._users @ values

    def times(self, values: Array, b: Array) -> Array:
        """See `Pairs`."""
        return values @ b

    def times_users(self, a: Array, values: Array) -> Array:
        """See `Pairs`."""
        return a @ values

    def gram(self, values: Array, weight: Array) -> Array:
        """See `Pairs`."""
        return np.asarray(values.T @ (values * weight[:, None]))

    def gram_users(self, values: Array, weight: Array) -> Array:
        """See `Pairs`."""
        return np.asarray(values @ (values.T * weight[:, None]))

    def row(self, values: Array, i: int) -> Array:
        """See `Pairs`."""
        return np.array(values[i])

    def column(self, values: Array, j: int) -> Array:
        """See `Pairs`."""
        return np.array(values[:, j])

    def lower(self, values: Array, j: int, a: Array) -> None:
        """See `Pairs`."""
        values[:, j] -= a

    def position(self, pair: int) -> tuple[int, int]:
        """See `Pairs`."""
        return divmod(pair, len(self._providers))

    def matrix(self, values: Array) -> Array:
        """See `Pairs`."""
        return values

    def mask(self, values: Array) -> Mask:
        """See `Pairs`."""
        return np.not_equal(values, 0.0)


class ListedPairs:
    """The pairs of a mask, row by row: values are lists. Every user has one at least.

    Parameters
    ----------
    mask
        Shape (n, m).
    """

    def __init__(self, mask: Mask) -> None:
        self._shape = mask.shape
        self._rows, self._columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
        self._starts = np.searchsorted(self._rows, np.arange(mask.shape[0] + 1))  # of each user's slice, and the end

    def of_users(self, a: Array) -> Array:
        """See `Pairs`."""
        return a[self._rows]

    def of_providers(self, b: Array) -> Array:
        """See `Pairs`."""
        return b[self._columns]

    def take(self, matrix: AnyArray) -> AnyArray:
        """See `Pairs`."""
        return matrix[self._rows, self._columns]

    def spread(self, values: Array) -> Array:
        """See `Pairs`."""
        return self.of_providers(values) if values.ndim == 1 else self.take(values)

    def sums(self, values: Array) -> tuple[Array, Array]:
        """See `Pairs`."""
        return self._by_user(values), self._by_provider(values)

    def times(self, values: Array, b: Array) -> Array:
        """See `Pairs`."""
        return self._by_user(values * b[self._columns])

    def times_users(self, a: Array, values: Array) -> Array:
        """See `Pairs`."""
        return self._by_provider(values * a[self._rows])

    def gram(self, values: Array, weight: Array) -> Array:
        """See `Pairs`."""
        if _DENSE * len(values) > self._shape[0] * self._shape[1]:
            return AllPairs(self._shape).gram(self.matrix(values), weight)
        matrix = self._sparse(values)
        return np.asarray((matrix.T @ self._sparse(values * weight[self._rows])).toarray())

    def gram_users(self, values: Array, weight: Array) -> Array:
        """See `Pairs`."""
        if _DENSE * len(values) > self._shape[0] * self._shape[1]:
            return AllPairs(self._shape).gram_users(self.matrix(values), weight)
        matrix = self._sparse(values)
        return np.asarray((matrix @ self._sparse(values * weight[self._columns]).T).toarray())

    def row(self, values: Array, i: int) -> Array:
        """See `Pairs`."""
        mine = slice(self._starts[i], self._starts[i + 1])
        row = np.zeros(self._shape[1])
        row[self._columns[mine]] = values[mine]
        return row

    def column(self, values: Array, j: int) -> Array:
        """See `Pairs`."""
        # Pairs lie user by user, so those of a provider must be picked out of all.
        mine = self._columns == j
        column = np.zeros(self._shape[0])
        column[self._rows[mine]] = values[mine]
        return column

    def lower(self, values: Array, j: int, a: Array) -> None:
        """See `Pairs`."""
        mine = self._columns == j
        values[mine] -= a[self._rows[mine]]

    def position(self, pair: int) -> tuple[int, int]:
        """See `Pairs`."""
        return int(self._rows[pair]), int(self._columns[pair])

    def matrix(self, values: Array) -> Array:
        """See `Pairs`."""
        matrix = np.zeros(self._shape)
        matrix[self._rows, self._columns] = values
        return matrix

    def mask(self, values: Array) -> Mask:
        """See `Pairs`."""
        mask = np.zeros(self._shape, dtype=np.bool_)
        mask[self._rows, self._columns] = values != 0
        return mask

    def _by_user(self, values: Array) -> Array:
        # For a user without pairs reduceat would give the next user's first value, not 0: hence one pair at least.
        return np.asarray(np.add.reduceat(values, self._starts[:-1]))

    def _by_provider(self, values: Array) -> Array:
        return np.asarray(np.bincount(self._columns, values, minlength=self._shape[1]), dtype=np.float64)

    def _sparse(self, values: Array):  # type: ignore[no-untyped-def]
        """The matrix in scipy's form, which is imported for large markets only."""
        from scipy.sparse import csr_array

        return csr_array((values, self._columns, self._starts), shape=self._shape)


def are_listed(shape: tuple[int, int]) -> bool:
    """Whether a market of n users and m providers is so large that lists of its pairs pay."""
    return shape[0] * shape[1] > _LISTED


def pairs_of(mask: Mask) -> Pairs:
    """The pairs of a mask in a large market, all pairs in a small one."""
    return ListedPairs(mask) if are_listed(mask.shape) else all_pairs(mask.shape)


@lru_cache(maxsize=64)
def all_pairs(shape: tuple[int, int]) -> AllPairs:
    """All pairs of n users and m providers, made once a shape."""
    return AllPairs(shape)


def below(matrix: Array, columns: Array, rows: Array) -> Mask:
    """Where matrix_ij + columns_j < rows_i, shape (n, m), for any number of pairs: in blocks, on all threads."""
    if not are_listed(matrix.shape):
        return np.less(matrix + columns, rows[:, None])
    found = np.empty(matrix.shape, dtype=np.bool_)

    # Block by block, so that no second matrix of n m numbers is ever held.
    def compare(block: slice) -> None:
        np.less(matrix[block] + columns, rows[block, None], out=found[block])

    for _ in over_blocks(compare, matrix.shape):
        pass
    return found


@lru_cache(maxsize=64)
def _ones(count: int) -> Array:
    """A vector of ones, kept: making it anew would cost as much as the product."""
    ones = np.ones(count)
    ones.flags.writeable = False
    return ones
