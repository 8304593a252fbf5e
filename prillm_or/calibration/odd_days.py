"""Odd days: flows, prices, capacities or delays that are many times those of the other days, as in another unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prillm_or.calibration.observations import Observations
from prillm_or.market.market import Array, Mask

_LEAST_DAYS = 3
_TIMES = 8.0
_BEYOND_SPREAD = 10.0


@dataclass(frozen=True)
class OddDay:
    """A day that is out of line.

    Parameters
    ----------
    what
        `flows`, `prices`, `capacities` or `delays`.
    factor
        By how much the middle one of that day's is more than on the days in between, > 0.
    """

    day: str
    what: str
    factor: float

    def __str__(self) -> str:
        times = f"{self.factor:.3g} times" if self.factor > 1 else f"one {1 / self.factor:.3g}th of"
        return (
            f"On {self.day} {self.what} are about {times} those of the other days. If they are in another unit, mend "
            "them or leave the day out: such a day decides the fit."
        )


def odd_days(observations: Observations) -> Iterator[OddDay]:
    """Days on which a quantity is at least 8 times, or one eighth, of what it is on the days between.

    Of each user's demand, and each price, capacity and delay, the ratio to its own median over the days is taken, and
    of the ratios of a day the median. Where days differ much anyway, only ten times their usual spread is odd.
    """
    if observations.T < _LEAST_DAYS:
        return
    quantities = {
        "flows": observations.demand,
        "prices": observations.price.reshape(observations.T, -1),
        "capacities": observations.capacity,
        "delays": observations.delay.reshape(observations.T, -1),
    }
    for what, values in quantities.items():
        usable = np.nan_to_num(values) > 0
        logs = np.log(np.where(usable, values, 1.0))
        usual = _medians(logs.T, usable.T)
        off = _medians(logs - usual, usable)
        spread = float(np.median(np.abs(off - np.median(off))))
        for t in np.flatnonzero(np.abs(off) >= max(np.log(_TIMES), _BEYOND_SPREAD * spread)):
            yield OddDay(observations.days[t], what, float(np.exp(off[t])))


def _medians(rows: Array, usable: Mask) -> Array:
    """The median of each row's usable entries, 0 where there are none."""
    return np.array([np.median(row[mask]) if mask.any() else 0.0 for row, mask in zip(rows, usable, strict=True)])
