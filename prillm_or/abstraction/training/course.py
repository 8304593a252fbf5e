"""Course: what is asked of a training run, and which scenarios it gets."""

from __future__ import annotations

import math
from dataclasses import dataclass

from prillm_or.abstraction.training.fit import Schedule
from prillm_or.workers.engine import Engine

_FIRST_SEED = 1_000_000
"""Seeds below are never trained on; the benchmark judges with them."""

_STOP_SHARE, _JUDGE_SHARE = 0.3, 0.06


@dataclass(frozen=True)
class Course:
    """What is asked of a training run.

    Parameters
    ----------
    scenarios
        Number that the network learns from; the other sets are in proportion.
    schedule
        Epochs, patience, batch, rate and seed.
    engine
        Where exact curves are computed.
    threads
        Of the network.
    """

    scenarios: int
    schedule: Schedule
    engine: Engine
    threads: int

    def seeds(self) -> tuple[range, range, range]:
        """Seeds of the three sets; another seed of the schedule gives other scenarios."""
        sizes = (self.scenarios, math.ceil(_STOP_SHARE * self.scenarios), math.ceil(_JUDGE_SHARE * self.scenarios))
        begin = _FIRST_SEED * (1 + self.schedule.seed)
        ends = [begin + sum(sizes[: t + 1]) for t in range(3)]
        return range(begin, ends[0]), range(ends[0], ends[1]), range(ends[1], ends[2])
