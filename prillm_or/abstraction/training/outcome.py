"""Outcome of a training run: the networks, how the losses fell, and scores on the third set of scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from prillm_or.abstraction.training.fit import Epoch, Schedule


@dataclass(frozen=True)
class Score:
    """Profit shares of what was chosen on `count` scenarios."""

    what: str
    count: int
    mean: float
    worst: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, the history of each of its parts with the schedule it had, and its scores.

    Parameters
    ----------
    roles
        For people: what each of the three sets of scenarios was for.
    """

    network: nn.Module
    history: Mapping[str, Sequence[Epoch]]
    schedules: Mapping[str, Schedule]
    scores: Sequence[Score]
    roles: str


def score(what: str, shares: Sequence[float]) -> Score:
    """Mean and worst of some profit shares."""
    return Score(what, len(shares), float(np.mean(shares)), float(np.min(shares)))
