"""Scores: how close predicted changes of log shares come to observed ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.market.market import Array

SMALL = 0.25
"""Moves of a price below this part of the lower one are scored on their own, too: that is the range one should try."""


@dataclass(frozen=True)
class EventScores:
    """Scores of one method; None where there is nothing to compare.

    Parameters
    ----------
    sign
        Part of the events whose share moves as predicted, up or down; None of a method that predicts no change.
    correlation
        Between predicted and observed changes.
    rmse, rmse_small
        Root of the mean squared error, of all moves and of those below `SMALL`.
    events
        How many it predicts.
    """

    sign: float | None
    correlation: float | None
    rmse: float | None
    rmse_small: float | None
    events: int


def event_scores(predicted: Array, observed: Array, step: Array) -> EventScores:
    """Score predicted changes, one for each event, shape (k,); `step` holds the changes of log prices."""
    missed = (predicted - observed) ** 2
    small = np.abs(step) < np.log(1.0 + SMALL)
    return EventScores(
        sign=float((np.sign(predicted) == np.sign(observed)).mean()) if predicted.any() else None,
        correlation=_correlation(predicted, observed),
        rmse=_root(missed),
        rmse_small=_root(missed[small]),
        events=len(missed),
    )


def _root(squares: Array) -> float | None:
    return float(np.sqrt(squares.mean())) if squares.size else None


def _correlation(one: Array, other: Array) -> float | None:
    if len(one) < 2 or not (np.ptp(one) and np.ptp(other)):
        return None
    return float(np.corrcoef(one, other)[0, 1])
