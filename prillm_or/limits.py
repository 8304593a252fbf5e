"""Limits: when a method is to stop, and with what means."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from prillm_or.errors import check_count, check_number


@dataclass(frozen=True)
class Limits:
    """When to stop, and with what means.

    Parameters
    ----------
    gap
        Relative optimality gap to reach, >= 0.
    time_limit
        Seconds, >= 0, or None.
    threads, seed
        For algebraic solvers, which get what they can take of them; the native ones are deterministic and use numpy's
        threads. At least 1 and 0.

    Raises
    ------
    ArgumentError
        When one is out of its range or no number.
    """

    gap: float = 1e-4
    time_limit: float | None = None
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("gap", self.gap)
        if self.time_limit is not None:
            check_number("time_limit", self.time_limit)
        check_count("threads", self.threads, 1)
        check_count("seed", self.seed, 0)

    @property
    def usable_threads(self) -> int:
        """The threads, no more than the machine has cores: solvers fail or starve with thousands."""
        return min(self.threads, os.cpu_count() or 1)

    def seed_within(self, most: int) -> int:
        """The seed, as a remainder where it is beyond `most`, the largest that a solver takes."""
        return self.seed % (most + 1)


class Deadline:
    """A time limit that has begun."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.perf_counter() + seconds

    def left(self) -> float | None:
        """Seconds left, at least 0, or None without a limit."""
        return None if self._end is None else max(0.0, self._end - time.perf_counter())

    def passed(self) -> bool:
        """Whether the time is up."""
        return self.left() == 0.0
