"""What solvers share: the proposal they return, and the two protocols, native and algebraic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import TYPE_CHECKING, Protocol

from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability

if TYPE_CHECKING:
    from prillm_or.models.formulation import Formulation


class Ended(StrEnum):
    """Why a solver stopped."""

    FINISHED = auto()
    """It did what it set out to do."""
    TIME_LIMIT = auto()
    INTERRUPTED = auto()
    """Ctrl-C."""
    INFEASIBLE = auto()
    UNKNOWN = auto()
    """Any other ending, among them every native status our table does not know."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a solver found: prices to be judged in the full market, and what it proved.

    Parameters
    ----------
    prices
        Shape (k,), or None where it found none.
    upper_bound
        On the full market's best profit, or None.
    notes
        Lines for people who ask for more.
    build_s
        Seconds spent building a model, part of the whole.
    stats
        Figures of the search by name (nodes, pieces, equilibria, rounds, ...); counts are whole numbers.
    cause
        What the solver said of an ending that is `INFEASIBLE` or `UNKNOWN`.
    """

    prices: Array | None
    upper_bound: float | None
    ended: Ended
    notes: tuple[str, ...] = ()
    build_s: float = 0.0
    stats: Mapping[str, float] = field(default_factory=dict)
    cause: str = ""


class NativeSolver(Protocol):
    """A solver of our own: takes the market itself."""

    name: str
    capabilities: frozenset[Capability]

    def version(self) -> str:
        """Version of what computes."""

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the leader's best prices."""


@dataclass(frozen=True)
class Answer:
    """What an algebraic solver says of one programme; values are left in the Pyomo model where there is an incumbent.

    Parameters
    ----------
    bound
        Proven upper bound on the programme's objective (all are maximised), or None.
    has_values
        Whether a feasible point was loaded into the model.
    stats
        The solver's counts of its own work: `nodes`, `iterations`.
    cause
        As of `Proposal`.
    """

    ended: Ended
    bound: float | None
    has_values: bool
    stats: Mapping[str, int] = field(default_factory=dict, compare=False)
    cause: str = field(default="", compare=False)


class AlgebraicSolver(Protocol):
    """A back end for Pyomo models. One object serves one model, solved again and again as it grows."""

    name: str
    capabilities: frozenset[Capability]

    def version(self) -> str:
        """Version of the back end."""

    def licence(self) -> str:
        """State of the licence, for people."""

    def limit(self) -> int | None:
        """Most variables, and most rows, that the licence here allows in any model; None for no limit."""

    def refuses(self, formulation: Formulation) -> str | None:
        """Why this back end cannot take the model as it is (a licence limit), or None."""

    def squares_in_rows(self, formulation: Formulation) -> bool:
        """Whether it prefers a concave profit's squares in rows of their own to the objective."""

    def run(self, formulation: Formulation, limits: Limits, options: Mapping[str, object]) -> Answer:
        """Solve the formulation's model, starting from the values in it."""
