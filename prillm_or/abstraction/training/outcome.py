"""Outcome of a training run: the networks, how the losses fell, and scores on the third set of scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from prillm_or.abstraction.training.fit import Epoch, Schedule
from prillm_or.errors import need_packages
from prillm_or.output.answer import Answer
from prillm_or.output.tables import Part, Table

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Score:
    """Profit shares of what was chosen on `count` scenarios."""

    what: str
    count: int
    mean: float
    worst: float


@dataclass(frozen=True, eq=False, repr=False)
class Trained(Answer):
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

    def to_dict(self) -> dict[str, Any]:
        """Scores, and how the losses fell; the weights are in the file that was written."""
        history = {name: [asdict(epoch) for epoch in epochs] for name, epochs in self.history.items()}
        return {"roles": self.roles, "scores": [asdict(each) for each in self.scores], "history": history}

    def to_frame(self) -> DataFrame:
        """A row for each score."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.scores])

    def parts(self, note: str = "") -> Iterator[Part]:
        """The scores."""
        rows = [(s.what, str(s.count), f"{100 * s.mean:.3f}", f"{100 * s.worst:.2f}") for s in self.scores]
        columns = ("third set", "scenarios", "mean %", "worst %")
        yield Table(f"profit shares{note}", columns, rows, columns[1:])


def score(what: str, shares: Sequence[float]) -> Score:
    """Mean and worst of some profit shares."""
    return Score(what, len(shares), float(np.mean(shares)), float(np.min(shares)))
