"""Weighting: how much days and users count: by their demand, less where long past or unlike all others."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import numpy as np

from prillm_or.calibration.days import Days
from prillm_or.calibration.fit import Fit
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array

Loss = Literal["shares", "flows"]
LOSSES: tuple[Loss, ...] = ("shares", "flows")
FEWEST_DAYS = 3
"""Below, no day stands out."""
_OUTLIER = 2.0
_DAY_S = 86_400.0


def by_share(days: Days) -> Array:
    """Weight of each user's day, shape (T, n): 1 over its demand, in units of the mean demand.

    Squares of flows so weighted are those of shares weighted by demand: with raw flows a few of the largest rule all.
    """
    there = days.demand > 0
    return np.where(there, days.demand.sum() / there.sum() / np.where(there, days.demand, 1.0), 1.0)


def decayed(observations: Observations, days: Days, half_life: float) -> Array:
    """Weight of each user's day, shape (T, n): half for every `half_life` days before the last day seen."""
    first = datetime.fromisoformat(observations.days[0])
    passed = [(datetime.fromisoformat(day) - first).total_seconds() / _DAY_S for day in observations.days]
    age = np.array(passed)[days.train.any(axis=(1, 2))].max() - np.array(passed)
    weight = 0.5 ** (np.maximum(age, 0.0) / half_life)
    return np.repeat(weight[:, None], observations.n, axis=1)


def trusted(fit: Fit, weight: Array) -> Array:
    """Weights, shape (T, n), with less for days that the fit misses far more than most.

    A day's miss is e = sqrt(sum (f* - f)^2 / sum f^2) over its cells seen; beyond twice the median over the days it
    counts (2 median / e) times as much, so that its pull on the fit stops growing (Huber's weights).

    Raises
    ------
    ObservationsError
        When there are fewer than `FEWEST_DAYS` days to compare.
    """
    days = fit.days
    missed = np.where(days.train, predicted_flows(fit.preferences, days) - days.flow, 0.0)
    size = np.where(days.train, days.flow, 0.0)
    seen = (size**2).sum(axis=(1, 2)) > 0
    if seen.sum() < FEWEST_DAYS:
        raise ObservationsError("robust", [f"days: {int(seen.sum())} seen; outliers show among {FEWEST_DAYS} or more"])
    miss = np.zeros(len(seen))
    miss[seen] = np.sqrt((missed[seen] ** 2).sum(axis=(1, 2)) / (size[seen] ** 2).sum(axis=(1, 2)))
    most = _OUTLIER * float(np.median(miss[seen]))
    trust = np.where(miss > most, most / np.where(miss > 0, miss, 1.0), 1.0)
    return np.asarray(weight * trust[:, None])
