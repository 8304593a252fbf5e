"""Linear algebra on a support, against the full matrix K written out."""

from __future__ import annotations

import numpy as np
import pytest

from prillm_or.market.market import Array, Mask
from prillm_or.users.laplacian import Laplacian, SupportInverse
from prillm_or.users.pairs import AllPairs, ListedPairs, Pairs

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


def inverse_of(support: Mask, capacity: Array, listed: bool, most: int = 1) -> tuple[SupportInverse, Pairs]:
    pairs = ListedPairs(np.ones_like(support)) if listed else AllPairs(support.shape)
    return SupportInverse(Laplacian(support, capacity), capacity, pairs, most), pairs


@pytest.mark.parametrize("size", [*SIZES, (70, 90), (90, 70)], ids=str)
def test_solves_are_those_of_the_full_matrix(size: tuple[int, int], listed: bool) -> None:
    n, m = size
    for seed in range(20 if n < 20 else 1):
        support, capacity, rng = draw(n, m, seed)
        laplacian = Laplacian(support, capacity)
        for _ in range(2):  # the second time with the factorisation kept
            user, provider = rng.normal(size=n), rng.normal(size=m)
            expected = np.linalg.solve(dense(support, capacity), np.concatenate([user, provider]))
            answer = np.concatenate(laplacian.solve(user, provider))
            np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_edge_is_the_answer_to_a_pull_along_it(size: tuple[int, int], listed: bool) -> None:
    n, m = size
    support, capacity, _ = draw(n, m, 0)
    (inverse, pairs), K = inverse_of(support, capacity, listed), dense(support, capacity)
    for pair in range(n * m):
        i, j = pairs.position(pair)
        pull = np.zeros(n + m)
        pull[i], pull[n + j] = 1.0, -1.0
        np.testing.assert_allclose(np.concatenate(inverse.edge(pair)), np.linalg.solve(K, pull), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_flip_is_the_rank_one_update_it_says(size: tuple[int, int], listed: bool) -> None:
    n, m = size
    for seed in range(5):
        support, capacity, rng = draw(n, m, seed)
        pair = flippable(support, rng)
        inverse, _ = inverse_of(support, capacity, listed)
        before = np.linalg.inv(dense(support, capacity))
        edge = inverse.edge(pair)
        kappa = inverse.flip(pair, edge)
        assert kappa is not None
        assert (kappa < 0) == bool(support.flat[pair])  # negative when the pair leaves
        column = np.concatenate(edge)
        after = np.linalg.inv(dense(inverse.support, capacity))
        np.testing.assert_allclose(before - kappa * np.outer(column, column), after, rtol=1e-8, atol=1e-10)


def flippable(support: Mask, rng: np.random.Generator) -> int:
    """A random pair, counted row by row, whose user keeps a provider."""
    while True:
        pair = int(rng.integers(support.size))
        if not support.flat[pair] or support[pair // support.shape[1]].sum() > 1:
            return pair


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_many_flips_do_not_drift(size: tuple[int, int], listed: bool) -> None:
    n, m = size
    support, capacity, rng = draw(n, m, 1)
    inverse, pairs = inverse_of(support, capacity, listed, 64)
    mine = support.copy()
    while not inverse.full:
        pair = flippable(mine, rng)
        inverse.flip(pair, inverse.edge(pair))
        mine.flat[pair] = not mine.flat[pair]
    np.testing.assert_array_equal(inverse.support, mine)
    np.testing.assert_array_equal(pairs.matrix(inverse.weight), np.where(mine, capacity, 0.0))
    K = dense(mine, capacity)
    for pair in range(0, n * m, 3):
        pull = np.zeros(n + m)
        pull[pair // m], pull[n + pair % m] = 1.0, -1.0
        np.testing.assert_allclose(np.concatenate(inverse.edge(pair)), np.linalg.solve(K, pull), rtol=1e-8, atol=1e-9)


def test_the_given_support_is_left_alone(listed: bool) -> None:
    support, capacity, _ = draw(4, 4, 2)
    before = support.copy()
    inverse, _ = inverse_of(support, capacity, listed)
    pair = int(np.flatnonzero(~support)[0])
    inverse.flip(pair, inverse.edge(pair))
    np.testing.assert_array_equal(support, before)
    assert inverse.support.flat[pair]
    assert inverse.full
