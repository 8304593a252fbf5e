"""Plan: which markets by which methods, how often and within which limits; a unit is one run of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from prillm_or.comparison.method import MethodSpec
from prillm_or.files.markets import MarketFile
from prillm_or.limits import Limits

Row = dict[str, Any]
"""A result as JSON holds it, with what a report adds."""


@dataclass(frozen=True)
class Unit:
    """One run: a market, a method, a repeat (the first is 1); `outside` as in `Plan`."""

    file: MarketFile
    method: MethodSpec
    repeat: int
    limits: Limits
    outside: float | None = None

    @property
    def key(self) -> tuple[str, str, int, float, float | None, int, int]:
        """What makes two runs the same: the market, the method as asked, the repeat and the limits."""
        limits = self.limits
        market = self.file.sha256 if self.outside is None else f"{self.file.sha256}+outside={self.outside!r}"
        return (
            market,
            str(self.method),
            self.repeat,
            limits.gap,
            limits.time_limit,
            limits.threads,
            limits.seed,
        )

    def __str__(self) -> str:
        return f"{self.file.market.name}, {self.method}, repeat {self.repeat}"


@dataclass(frozen=True)
class Record:
    """A finished unit.

    Parameters
    ----------
    row
        The result as JSON holds it; a failed run has status `error` and its `message`.
    failure
        `refused` where market and method do not go together, something is missing or no equilibrium was found,
        `crashed` where the run broke, None where it gave a result.
    beside_twin
        Whether `time_share` is of the same solver and model without abstraction; else it is of the first method.
    """

    unit: Unit
    row: Row
    failure: str | None = None
    beside_twin: bool = False


@dataclass(frozen=True)
class Plan:
    """What to run. What is named twice runs once.

    Parameters
    ----------
    preset
        Name of the preset it came from, or None.
    outside
        Value of the outside option that the markets were given and their files do not have, or None.
    """

    files: tuple[MarketFile, ...]
    methods: tuple[MethodSpec, ...]
    limits: Limits = field(default_factory=Limits)
    repeats: int = 1
    preset: str | None = None
    outside: float | None = None

    def __post_init__(self) -> None:
        if not self.files or not self.methods or self.repeats < 1:
            raise ValueError("Expected a market, a method and a repeat at least.")
        distinct: dict[str, MarketFile] = {}
        for file in self.files:
            distinct.setdefault(file.sha256, file)
        object.__setattr__(self, "files", tuple(distinct.values()))
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))

    def units(self) -> Iterator[Unit]:
        """All runs, in turns: the first repeat of every method on every instance, then the second."""
        for repeat in range(1, self.repeats + 1):
            for file in self.files:
                for method in self.methods:
                    yield Unit(file, method, repeat, self.limits, self.outside)
