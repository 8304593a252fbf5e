"""Values on pairs: lists of some pairs say what whole matrices say, by hand and at random; blocks change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prillm_or.users.pairs import AllPairs, ListedPairs, are_listed, below, pairs_of
from prillm_or.users.threads import over_blocks

MASK = np.array([[True, False, True], [False, True, False]])
MATRIX = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize("dense", [0, 6])
def test_lists_by_hand(dense: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prillm_or.users.pairs._DENSE", dense)  # products of lists, then of whole matrices
    # In use: (0, 0), (0, 2) and (1, 1), with values 1, 3 and 5.
    pairs = ListedPairs(MASK)
    values = pairs.take(MATRIX)
    assert values.tolist() == [1, 3, 5]
    assert [total.tolist() for total in pairs.sums(values)] == [[4, 5], [1, 5, 3]]
    assert pairs.times(values, np.array([10.0, 100.0, 1000.0])).tolist() == [3010, 500]
    assert pairs.times_users(np.array([10.0, 100.0]), values).tolist() == [10, 500, 30]
    # Columns are (1, 0), (0, 5), (3, 0): with user weights 2 and 10 their products are 2 * 1, 2 * 3, 10 * 25, 2 * 9.
    assert pairs.gram(values, np.array([2.0, 10.0])).tolist() == [[2, 0, 6], [0, 250, 0], [6, 0, 18]]
    # Rows are (1, 0, 3) and (0, 5, 0): 1 * 1 + 4 * 9 and 2 * 25, nothing in common.
    assert pairs.gram_users(values, np.array([1.0, 2.0, 4.0])).tolist() == [[37, 0], [0, 50]]
    assert (pairs.of_users(np.array([7.0, 8.0])) - pairs.of_providers(np.array([1.0, 2.0, 3.0]))).tolist() == [6, 4, 6]
    assert [pairs.position(pair) for pair in range(3)] == [(0, 0), (0, 2), (1, 1)]
    assert pairs.row(values, 0).tolist() == [1, 0, 3]
    assert pairs.column(values, 1).tolist() == [0, 5]
    assert pairs.matrix(values).tolist() == [[1, 0, 3], [0, 5, 0]]
    pairs.lower(values, 2, np.array([2.0, 100.0]))
    assert values.tolist() == [1, 1, 5]


@given(n=st.integers(1, 6), m=st.integers(1, 6), seed=st.integers(0, 10**6))
def test_lists_agree_with_whole_matrices(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((n, m)) < 0.5
    mask[np.arange(n), rng.integers(m, size=n)] = True
    everything, listed = AllPairs((n, m)), ListedPairs(mask)
    whole = np.where(mask, rng.normal(size=(n, m)), 0.0)
    some = listed.take(whole)
    a, b = rng.normal(size=n), rng.normal(size=m)
    for one, other in zip(everything.sums(whole), listed.sums(some), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)
    for dense in (0, 6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("prillm_or.users.pairs._DENSE", dense)
            for name, given_ in (("times", b), ("gram", a), ("gram_users", b), ("row", n - 1), ("column", m - 1)):
                one, other = getattr(everything, name)(whole, given_), getattr(listed, name)(some, given_)
                np.testing.assert_allclose(one, other, atol=1e-14)
    np.testing.assert_allclose(everything.times_users(a, whole), listed.times_users(a, some), atol=1e-14)
    spread = listed.matrix(listed.of_users(a) - listed.of_providers(b))
    np.testing.assert_allclose(spread, mask * (everything.of_users(a) - everything.of_providers(b)))
    everything.lower(whole, 0, a)
    listed.lower(some, 0, a)
    np.testing.assert_allclose(mask * whole, listed.matrix(some))


def test_large_markets_are_listed() -> None:
    assert not are_listed((100, 1000))
    assert are_listed((101, 1000))
    assert isinstance(pairs_of(np.ones((10, 10), dtype=bool)), AllPairs)
    assert isinstance(pairs_of(np.ones((400, 400), dtype=bool)), ListedPairs)


@pytest.mark.parametrize("n", [3, 400, 1000])
def test_blocks_are_put_together_in_order(n: int) -> None:
    rng = np.random.default_rng(n)
    matrix, columns, rows = rng.normal(size=(n, 500)), rng.normal(size=500), rng.normal(size=n)
    np.testing.assert_array_equal(below(matrix, columns, rows), matrix + columns < rows[:, None])
    blocks = list(over_blocks(lambda block: matrix[block], matrix.shape))
    np.testing.assert_array_equal(np.concatenate(blocks), matrix)
    assert (len(blocks) > 1) == (n > 262)  # 2^17 numbers a block
