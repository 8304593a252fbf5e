"""Outcome of a training run: the network, how its losses fell, and scores on the third set of scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

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
    """A trained network, its losses by epoch, the schedule it had, and its scores."""

    network: nn.Module
    history: Sequence[Epoch]
    schedule: Schedule
    scores: Sequence[Score]

    def to_dict(self) -> dict[str, Any]:
        """Scores, and how the losses fell; the weights are in the file that was written."""
        return {"scores": [asdict(one) for one in self.scores], "history": [asdict(epoch) for epoch in self.history]}

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
