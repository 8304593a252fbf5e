"""Choice: which abstraction, with how many rivals left, as a user asks for it; and making it."""

from __future__ import annotations

from dataclasses import dataclass

from prillm_or.abstraction.base import Abstraction
from prillm_or.equilibrium import Equilibrium
from prillm_or.errors import CombinationError, UnknownNameError
from prillm_or.market import Array, Market
from prillm_or.registry import ABSTRACTIONS, load_abstraction


@dataclass(frozen=True)
class AbstractionChoice:
    """An abstraction as asked for.

    Parameters
    ----------
    name
        As in the registry.
    keep
        Number of rivals to leave, at least 1.
    refine
        Whether to anchor again at the price found until it stands still.
    weights
        Name or file of other trained weights than those shipped.

    Raises
    ------
    UnknownNameError
        When there is no abstraction of that name.
    CombinationError
        When it does not go with the rest; the message names those that do.
    """

    name: str
    keep: int = 2
    refine: bool = False
    weights: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ABSTRACTIONS:
            raise UnknownNameError(f"abstraction {self.name!r}: expected one of none, {', '.join(ABSTRACTIONS)}")
        if self.keep < 1:
            raise CombinationError(f"abstraction {self.name}: expected to keep at least 1 rival, got {self.keep}")
        entry = ABSTRACTIONS[self.name]
        if self.refine and not entry.anchored:
            able = [name for name, other in ABSTRACTIONS.items() if other.anchored]
            raise CombinationError(
                f"abstraction {self.name}: it has no anchor to refine; {' and '.join(able)} have one"
            )
        if self.weights is not None and not entry.weights:
            able = [name for name, other in ABSTRACTIONS.items() if other.weights]
            raise CombinationError(f"abstraction {self.name}: it takes no weights; {' and '.join(able)} do")

    @property
    def label(self) -> str:
        """Name, and whether it is refined: what tells rows of a report apart besides `keep`."""
        return f"{self.name}+refine" if self.refine else self.name

    def __str__(self) -> str:
        return f"{self.name}@{self.keep}" + ("+refine" if self.refine else "")

    def abstract(self, market: Market, anchor: Array | None = None, start: Equilibrium | None = None) -> Abstraction:
        """Make the small market; `anchor` and `start` are for those that can be refined.

        Raises
        ------
        PrillmError
            When a package or the weights are missing.
        """
        options: dict[str, object] = {}
        if ABSTRACTIONS[self.name].weights:
            options["weights"] = self.weights
        if ABSTRACTIONS[self.name].anchored:
            options |= {"anchor": anchor, "start": start}
        return load_abstraction(self.name)(market, self.keep, **options)
