"""Implied elasticity: what the events themselves say of the response to price, clustered by market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from prillm_or.backtesting.events import Event
from prillm_or.calibration.bootstrap import LEVEL
from prillm_or.market.market import Array


@dataclass(frozen=True)
class Clustered:
    """An estimate whose errors may go together within a market.

    Parameters
    ----------
    estimate
        The figure.
    error
        Its standard error; None where there are fewer than two markets.
    low, high
        Ends of the interval at `LEVEL`; None likewise.
    clusters
        Number of markets.
    """

    estimate: float
    error: float | None
    low: float | None
    high: float | None
    clusters: int


def implied_elasticity(events: Sequence[Event], *, apart: bool = False) -> Clustered | None:
    """Slope through the origin of changes of log shares on those of log prices; None without events.

    With `apart`, each event is a cluster of its own: all that one market alone can tell of the error.

    No change of the price, no change of the share is expected. Of G markets the variance is
    G / (G - 1) sum_g (sum of x e over the events of g)^2 / (sum x^2)^2, the interval Student's with G - 1 degrees of
    freedom: with few markets it is wide.
    """
    if not events:
        return None
    step, change = (np.array(values) for values in zip(*((e.step, e.observed) for e in events), strict=True))
    size = float(step @ step)
    slope = float(step @ change) / size
    names = [str(number) if apart else event.market for number, event in enumerate(events)]
    return _clustered(slope, step * (change - slope * step) / size, names)


def mean_over(values: Array, markets: Sequence[str]) -> Clustered:
    """Mean of a figure of each event, one or more of them."""
    mean = float(values.mean())
    return _clustered(mean, (values - mean) / len(values), markets)


def _clustered(estimate: float, influence: Array, markets: Sequence[str]) -> Clustered:
    """The estimate with the error that sums of influences by market give."""
    names = sorted(set(markets))
    count = len(names)
    if count < 2:
        return Clustered(estimate, None, None, None, count)
    sums = np.array([influence[[market == name for market in markets]].sum() for name in names])
    error = float(np.sqrt(count / (count - 1) * (sums**2).sum()))
    reach = error * float(stdtrit(count - 1, (1 + LEVEL) / 2))
    return Clustered(estimate, error, estimate - reach, estimate + reach, count)
