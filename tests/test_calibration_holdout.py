"""Holding out: which cells a fit may not see, and the parts that cross-validation takes in turns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import ArrayLike

from helpers.calibration import observations_of
from prillm_or.calibration.holdout import FOLDS, folds, hold_out_cells, hold_out_days, hold_out_users
from prillm_or.calibration.observations import Observations, select
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Mask

# u1 is there on days 1 and 2, u2 on days 1 and 3; p3 is not offered on day 2. Cells: 3 + 3, 2, 3, in all 11.
FLOW = [[[3, 1, 0], [0, 0, 2]], [[1, 1, 0], [0, 0, 0]], [[0, 0, 0], [1, 1, 1]]]
PRICE: list[list[float]] = [[1, 1, 1], [1, 1, np.nan], [1, 1, 1]]


def observed(flow: ArrayLike = FLOW, price: ArrayLike = PRICE) -> Observations:
    return observations_of(flow, price=price)


def everything(days: int, n: int, m: int, seed: int = 0) -> Mask:
    """Cells of days on which some are missing."""
    return np.asarray(np.random.default_rng(seed).random((days, n, m)) < 0.8)


def test_the_last_days_are_held_out_as_far_as_flows_could_be() -> None:
    seen = observed()
    nobody, both = np.zeros((2, 3), dtype=bool), np.ones((2, 3), dtype=bool)
    second = [[True, True, False], [False] * 3]
    third = [[False] * 3, [True] * 3]
    np.testing.assert_array_equal(hold_out_days(seen, 1), [nobody, nobody, third])
    np.testing.assert_array_equal(hold_out_days(seen, 2), [nobody, second, third])
    np.testing.assert_array_equal(seen.cells & ~hold_out_days(seen, 2), [both, nobody, nobody])


def test_users_are_held_out_as_far_as_flows_could_be() -> None:
    seen = observed()
    held = hold_out_users(seen, ["u2"])
    assert not held[:, 0].any()
    np.testing.assert_array_equal(held[:, 1], [[True] * 3, [False] * 3, [True] * 3])
    np.testing.assert_array_equal(hold_out_users(seen, ["u2", "u2"]), held)


def test_a_share_of_the_cells_is_held_out_at_random() -> None:
    seen = observed()
    for share, count in ((0.1, 1), (0.3, 3), (0.9, 10)):  # of 11
        held = hold_out_cells(seen, share)
        assert held.sum() == count
        assert not held[~seen.cells].any()
    np.testing.assert_array_equal(hold_out_cells(seen, 0.3, 5), hold_out_cells(seen, 0.3, 5))
    drawn = [hold_out_cells(seen, 0.3, seed) for seed in range(200)]
    # Each cell comes 3/11 of the time, 200 x 3/11 = 55, give or take 5 standard deviations of 6.3.
    often = np.sum(drawn, axis=0)[seen.cells]
    assert often.min() > 55 - 32
    assert often.max() < 55 + 32


@pytest.mark.parametrize("last", [0, 3, 4, -1])
def test_days_that_cannot_be_held_out_are_refused_with_those_that_can(last: int) -> None:
    with pytest.raises(ObservationsError, match=rf"^seen: days: cannot hold out {last} of 3; possible: 1 to 2$"):
        hold_out_days(observed(), last)


def test_the_only_day_cannot_be_held_out() -> None:
    with pytest.raises(ObservationsError, match="cannot hold out 1 of 1; possible: none"):
        hold_out_days(observed(FLOW[:1], PRICE[:1]), 1)


def test_users_who_are_not_there_are_refused_with_those_who_are() -> None:
    with pytest.raises(ObservationsError) as error:
        hold_out_users(observed(), ["x", "u1", "y", "x"])
    assert error.value.problems == (
        "users: no user is called 'x'; there are: u1, u2",
        "users: no user is called 'y'; there are: u1, u2",
    )


def test_of_many_users_the_refusal_names_ten() -> None:
    with pytest.raises(ObservationsError, match=r"there are: u1, .*, u10, \.\.\.$"):
        hold_out_users(observed(np.ones((1, 11, 2)), np.ones((1, 2))), ["x"])
    with pytest.raises(ObservationsError, match=r"there are: u1, .*, u10$"):
        hold_out_users(observed(np.ones((1, 10, 2)), np.ones((1, 2))), ["x"])


def test_all_users_cannot_be_held_out() -> None:
    with pytest.raises(ObservationsError, match="cannot hold out all of them; leave one to learn from"):
        hold_out_users(observed(), ["u2", "u1"])


def test_users_cannot_be_held_out_when_the_others_are_never_there() -> None:
    # u2 is not there on day 2; without u1 nothing is left of it.
    second = select(observed(), days=["2026-07-02"])
    with pytest.raises(ObservationsError, match="leave one to learn from"):
        hold_out_users(second, ["u1"])


@pytest.mark.parametrize("share", [0.0, 1e-9, 1.0, 1.5, -0.5])
def test_no_cells_and_all_cells_cannot_be_held_out(share: float) -> None:
    with pytest.raises(ObservationsError, match=r"^seen: cells: cannot hold out -?\d+ of 11"):
        hold_out_cells(observed(), share)


def test_the_refusal_of_cells_says_how_many_can_be_held_out() -> None:
    with pytest.raises(ObservationsError, match=r"cannot hold out 0 of 11; possible: 1 to 10"):
        hold_out_cells(observed(), 0.0)


@pytest.mark.parametrize("days", [1, 3, 9, 10, 11, 25])
@pytest.mark.parametrize("seed", range(3))
def test_every_cell_seen_is_in_exactly_one_part(days: int, seed: int) -> None:
    train = everything(days, 3, 4, seed)
    parts = list(folds(train, seed))
    assert len(parts) == FOLDS
    np.testing.assert_array_equal(np.sum(parts, axis=0), train)


@pytest.mark.parametrize("days", [10, 11, 25])
def test_with_ten_days_parts_are_whole_days(days: int) -> None:
    train = everything(days, 3, 4)
    for part in folds(train):
        held = part.any(axis=(1, 2))
        np.testing.assert_array_equal(part[held], train[held])
        assert held.sum() in (days // FOLDS, -(-days // FOLDS))


def test_with_fewer_days_parts_are_cells_of_many_days() -> None:
    train = everything(9, 4, 5)
    parts = list(folds(train))
    sizes = [int(part.sum()) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    # Of 9 days, each with about 16 cells, a part of a fifth of all cells meets nearly all.
    assert min(int(part.any(axis=(1, 2)).sum()) for part in parts) >= 7


def test_days_of_which_nothing_is_seen_do_not_count() -> None:
    train = everything(12, 3, 4)
    train[[1, 5, 7]] = False  # 9 are left
    parts = list(folds(train))
    np.testing.assert_array_equal(np.sum(parts, axis=0), train)
    assert any((part.any(axis=(1, 2)) & (train & ~part).any(axis=(1, 2))).any() for part in parts)
    train = everything(12, 3, 4)
    train[[1, 5]] = False  # 10 are left, two to each part
    assert [int(part.any(axis=(1, 2)).sum()) for part in folds(train)] == [2] * FOLDS


def test_there_are_no_more_parts_than_cells() -> None:
    train = np.zeros((2, 2, 2), dtype=bool)
    train[0, 0] = train[1, 1, 0] = True
    parts = list(folds(train))
    assert [int(part.sum()) for part in parts] == [1, 1, 1]
    np.testing.assert_array_equal(np.sum(parts, axis=0), train)


@pytest.mark.parametrize("days", [4, 20])
def test_the_seed_chooses_the_parts(days: int) -> None:
    train = everything(days, 3, 4)

    def same(one: int, other: int) -> bool:
        pairs = zip(folds(train, one), folds(train, other), strict=True)
        return all(bool((first == second).all()) for first, second in pairs)

    assert same(3, 3)
    assert not same(3, 4)


def test_the_number_of_parts_can_be_asked_for() -> None:
    for days in (4, 20):
        train = everything(days, 3, 4)
        parts = list(folds(train, count=3))
        assert len(parts) == 3
        np.testing.assert_array_equal(np.sum(parts, axis=0), train)


@pytest.mark.parametrize(
    "hold_out",
    [
        lambda seen: hold_out_days(seen, 1),
        lambda seen: hold_out_users(seen, ["u1"]),
        lambda seen: hold_out_cells(seen, 0.5),
    ],
    ids=["days", "users", "cells"],
)
def test_what_is_held_out_leaves_something_to_see_and_can_be_written_to(
    hold_out: Callable[[Observations], Mask],
) -> None:
    seen = observed()
    held = hold_out(seen)
    assert held.any()
    assert (seen.cells & ~held).any()
    held[:] = False
    assert hold_out(seen).any()
