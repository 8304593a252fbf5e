"""Scores of predicted flows, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from prillm_or.calibration.scores import Scores, scores
from prillm_or.market.market import Array

# Two days, two users, two providers; u1 demands 4 and 6, u2 2 and 0.
OBSERVED = np.array([[[4.0, 0.0], [1.0, 1.0]], [[3.0, 3.0], [0.0, 0.0]]])
PREDICTED = np.array([[[3.0, 1.0], [1.5, 0.5]], [[5.0, 1.0], [0.0, 0.0]]])
DEMAND = OBSERVED.sum(axis=2)
CELLS = np.broadcast_to((DEMAND > 0)[:, :, None], OBSERVED.shape).copy()


def test_scores_by_hand() -> None:
    found = scores(OBSERVED, PREDICTED, DEMAND, CELLS)
    # Flows 4, 0, 1, 1, 3, 3, mean 2: variation 4 + 4 + 1 + 1 + 1 + 1 = 12. Errors 1, 1, .5, .5, 2, 2: squares 10.5.
    assert found.r2 == pytest.approx(1 - 10.5 / 12)
    # Their sizes add up to 7, over 6 cells.
    assert found.mae == pytest.approx(7 / 6)
    # Shares 1, 0, 1/2, 1/2, 1/2, 1/2, mean 1/2: variation 1/2. Errors 1/4, 1/4, 1/4, 1/4, 1/3, 1/3: 1/4 + 2/9 = 17/36.
    assert found.r2_shares == pytest.approx(1 - 2 * 17 / 36)
    assert found.cells == 6


def test_without_the_largest_user_the_others_count() -> None:
    # u1 demands 10 in all, u2 2, and without u1 a single flow value is left: nothing varies.
    assert scores(OBSERVED, PREDICTED, DEMAND, CELLS).r2_without_largest is None
    observed = OBSERVED.copy()
    observed[0, 1] = [2.0, 0.0]
    # Flows 2 and 0, mean 1, variation 2; errors 1/2 and 1/2.
    assert scores(observed, PREDICTED, DEMAND, CELLS).r2_without_largest == pytest.approx(1 - 0.5 / 2)


def test_the_largest_user_is_the_one_of_all_days_scored_or_not() -> None:
    # u2 has the larger demand on day 1, u1 over both days; only day 1 is scored, and u2 is what is left of it.
    observed = np.array([[[1.0, 0.0], [2.0, 0.0]], [[5.0, 0.0], [0.0, 0.0]]])
    predicted = np.array([[[9.0, 9.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    cells = np.array([[[True] * 2] * 2, [[False] * 2] * 2])
    found = scores(observed, predicted, observed.sum(axis=2), cells)
    assert found.r2_without_largest == pytest.approx(1 - 2 / 2)  # flows 2, 0: variation 2; errors 1, 1


def test_cells_that_are_not_asked_for_do_not_count() -> None:
    cells = CELLS.copy()
    cells[1] = False
    changed = np.where(cells, PREDICTED, 1e9)
    found = scores(OBSERVED, changed, DEMAND, cells)
    assert found == scores(OBSERVED, PREDICTED, DEMAND, cells)
    # Flows 4, 0, 1, 1, mean 1.5: variation 6.25 + 2.25 + .25 + .25 = 9; errors 1, 1, .5, .5.
    assert found.r2 == pytest.approx(1 - 2.5 / 9)
    assert found.mae == pytest.approx(3 / 4)
    assert found.cells == 4


def test_a_perfect_prediction_scores_one_and_the_mean_zero() -> None:
    perfect = scores(OBSERVED, OBSERVED, DEMAND, CELLS)
    assert (perfect.r2, perfect.r2_shares, perfect.mae) == (1, 1, 0)
    mean = scores(OBSERVED, np.full(OBSERVED.shape, 2.0), DEMAND, CELLS)
    assert mean.r2 == pytest.approx(0)


def test_units_change_the_mean_error_alone() -> None:
    base, found = (scores(c * OBSERVED, c * PREDICTED, c * DEMAND, CELLS) for c in (1.0, 1e-7))
    assert found.mae == pytest.approx(1e-7 * (base.mae or 0))
    assert found.r2 == pytest.approx(base.r2)
    assert found.r2_shares == pytest.approx(base.r2_shares)


def test_without_cells_there_are_no_scores() -> None:
    assert scores(OBSERVED, PREDICTED, DEMAND, np.zeros_like(CELLS)) == Scores(None, None, None, None, 0)


def test_a_single_cell_has_an_error_and_nothing_to_compare_with() -> None:
    cells = np.zeros_like(CELLS)
    cells[0, 0, 0] = True
    found = scores(OBSERVED, PREDICTED, DEMAND, cells)
    assert (found.r2, found.r2_without_largest, found.r2_shares, found.mae, found.cells) == (None, None, None, 1, 1)


def test_users_who_are_absent_have_no_shares_and_raise_no_warning() -> None:
    assert DEMAND[1, 1] == 0
    everywhere = scores(OBSERVED, PREDICTED, DEMAND, np.ones_like(CELLS))
    assert everywhere.r2_shares is not None
    assert np.isfinite(everywhere.r2_shares)


def constant(size: float) -> Array:
    return np.full((1, 1, 3), size)


def test_where_flows_do_not_vary_there_is_nothing_to_compare_with() -> None:
    flow = constant(1.0)
    assert scores(flow, flow + 0.5, flow.sum(axis=2), np.ones(flow.shape, dtype=bool)).r2 is None


# The mean of three times 0.1 is not 0.1, and their variation 1e-33 rather than 0.
def test_where_flows_do_not_vary_but_for_rounding_there_is_nothing_to_compare_with() -> None:
    flow = constant(0.1)
    assert scores(flow, flow + 0.05, flow.sum(axis=2), np.ones(flow.shape, dtype=bool)).r2 is None
