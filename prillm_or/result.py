"""Result: the price a method found, what it earns in the full market, and how far that is proven."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a run ended."""

    OPTIMAL = "optimal"
    """The gap is within the one asked for."""
    FEASIBLE = "feasible"
    """A price and a bound, gap open."""
    HEURISTIC = "heuristic"
    """A price, no bound."""
    TIME_LIMIT = "time_limit"
    """The time limit came first."""
    INFEASIBLE = "infeasible"
    """No price is possible."""
    ERROR = "error"
    """The method failed, or contradicted its own bound."""


@dataclass(frozen=True)
class Method:
    """Who computed: solver, model (algebraic solvers only) and abstraction."""

    solver: str
    solver_version: str
    model: str | None = None
    abstraction: str | None = None
    keep: int | None = None


@dataclass(frozen=True)
class Certificate:
    """Independent check of an equilibrium, free of units, 0 at an exact one; defined in `users/certificate.py`."""

    kkt_residual: float
    max_regret: float


@dataclass(frozen=True)
class Today:
    """The leader's prices in the file and their profit."""

    prices: Mapping[str, float]
    profit: float


@dataclass(frozen=True)
class Times:
    """Wall-clock seconds of each phase."""

    total: float = 0.0
    read: float = 0.0
    build: float = 0.0
    abstract: float = 0.0
    solve: float = 0.0
    verify: float = 0.0


@dataclass(frozen=True)
class Result:
    """What a run answers.

    Parameters
    ----------
    prices, loads
        By provider id: the leader's prices found, and the loads of its providers there.
    profit
        Profit of `prices` in the full market, at an equilibrium solved and certified afresh.
    upper_bound
        Proven bound on the full market's best profit, or None where the method proves none.
    gap
        (upper_bound - profit) / max(|profit|, 1e-9), or None.
    certificate
        Of the equilibrium at `prices`.
    interrupted
        Whether Ctrl-C ended the run. Not part of the file format.
    notes
        Lines for people. Not part of the file format.
    """

    instance: str
    instance_sha256: str | None
    today: Today | None
    method: Method
    status: Status
    prices: Mapping[str, float]
    profit: float
    upper_bound: float | None
    gap: float | None
    loads: Mapping[str, float]
    certificate: Certificate
    time_s: Times
    seed: int
    threads: int
    version: str
    interrupted: bool = False
    notes: tuple[str, ...] = ()
