"""Linear algebra on a support, against the full matrix K written out."""

from __future__ import annotations

import numpy as np
import pytest

from prillm_or.market import Array
from prillm_or.support import Laplacian, Mask, SupportInverse, sums

SIZES = [(1, 2), (2, 5), (5, 2), (4, 4), (3, 9), (9, 3), (12, 7)]


def dense(support: Mask, capacity: Array) -> Array:
    """K, entry by entry, from its definition in the module's docstring."""
    n, m = support.shape
    K = np.zeros((n + m, n + m))
    K[n:, n:] = np.diag(capacity)
    for i, j in np.argwhere(support):
        edge = np.zeros(n + m)
        edge[i], edge[n + j] = 1.0, -1.0
        K += capacity[j] * np.outer(edge, edge)
    return K


def draw(n: int, m: int, seed: int) -> tuple[Mask, Array, np.random.Generator]:
    """A support on which every user has a provider, and capacities over two orders of magnitude."""
    rng = np.random.default_rng([n, m, seed])
    support = rng.random((n, m)) < rng.uniform(0.1, 0.9)
    support[np.arange(n), rng.integers(m, size=n)] = True
    return support, 10 ** rng.uniform(-1, 1, m), rng


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_one_solve_is_that_of_the_full_matrix(size: tuple[int, int]) -> None:
    n, m = size
    for seed in range(20):
        support, capacity, rng = draw(n, m, seed)
        user, provider = rng.normal(size=n), rng.normal(size=m)
        expected = np.linalg.solve(dense(support, capacity), np.concatenate([user, provider]))
        answers = (
            Laplacian(support, capacity).solve(user, provider),
            SupportInverse(support, capacity).solve(user, provider),
        )
        for a, b in answers:
            np.testing.assert_allclose(np.concatenate([a, b]), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_edge_is_the_answer_to_a_pull_along_it(size: tuple[int, int]) -> None:
    n, m = size
    support, capacity, _ = draw(n, m, 0)
    inverse, K = SupportInverse(support, capacity), dense(support, capacity)
    for i in range(n):
        for j in range(m):
            pull = np.zeros(n + m)
            pull[i], pull[n + j] = 1.0, -1.0
            np.testing.assert_allclose(
                np.concatenate(inverse.edge(i, j)), np.linalg.solve(K, pull), rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_flip_is_the_rank_one_update_it_says(size: tuple[int, int]) -> None:
    n, m = size
    for seed in range(5):
        support, capacity, rng = draw(n, m, seed)
        i, j = flippable(support, rng)
        inverse = SupportInverse(support, capacity)
        before = np.linalg.inv(dense(support, capacity))
        edge = inverse.edge(i, j)
        kappa = inverse.flip(i, j, edge)
        assert (kappa < 0) == bool(support[i, j])  # negative when the pair leaves
        column = np.concatenate(edge)
        after = np.linalg.inv(dense(inverse.support, capacity))
        np.testing.assert_allclose(before - kappa * np.outer(column, column), after, rtol=1e-8, atol=1e-10)


def flippable(support: Mask, rng: np.random.Generator) -> tuple[int, int]:
    """A random pair whose user keeps a provider."""
    while True:
        i, j = int(rng.integers(support.shape[0])), int(rng.integers(support.shape[1]))
        if not support[i, j] or support[i].sum() > 1:
            return i, j


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_many_flips_do_not_drift(size: tuple[int, int]) -> None:
    n, m = size
    support, capacity, rng = draw(n, m, 1)
    inverse = SupportInverse(support, capacity)
    mine = support.copy()
    for _ in range(300):
        i, j = flippable(mine, rng)
        inverse.flip(i, j, inverse.edge(i, j))
        mine[i, j] = not mine[i, j]
    np.testing.assert_array_equal(inverse.support, mine)
    np.testing.assert_array_equal(inverse.weight, np.where(mine, capacity, 0.0))
    user, provider = rng.normal(size=n), rng.normal(size=m)
    expected = np.linalg.solve(dense(mine, capacity), np.concatenate([user, provider]))
    np.testing.assert_allclose(np.concatenate(inverse.solve(user, provider)), expected, rtol=1e-8, atol=1e-9)


def test_the_given_support_is_left_alone() -> None:
    support, capacity, _ = draw(4, 4, 2)
    before = support.copy()
    inverse = SupportInverse(support, capacity)
    i, j = np.argwhere(~support)[0].tolist()
    inverse.flip(i, j, inverse.edge(i, j))
    np.testing.assert_array_equal(support, before)
    assert inverse.support[i, j]


def test_sums_and_offset_sums_by_hand() -> None:
    # Rows 1 + 2 and 3 + 4, columns 1 + 3 and 2 + 4; capacities 10 and 100 weigh the offsets of the pairs in use.
    matrix = np.array([[1.0, 2.0], [3.0, 4.0]])
    rows, columns = sums(matrix)
    assert (rows.tolist(), columns.tolist()) == ([3, 7], [4, 6])
    inverse = SupportInverse(np.array([[True, False], [True, True]]), np.array([10.0, 100.0]))
    user, provider = inverse.offset_sums(matrix)
    assert user.tolist() == [10 * 1, 10 * 3 + 100 * 4]
    assert provider.tolist() == [10 * 1 + 10 * 3, 100 * 4]
