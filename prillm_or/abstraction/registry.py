"""The abstractions by name, and one as it is asked for; a module is imported when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from prillm_or.abstraction.small_market import Abstraction
from prillm_or.errors import CombinationError, need_packages, unknown_name
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import Equilibrium


@dataclass(frozen=True)
class AbstractionEntry:
    """Where an abstraction lives and what it takes.

    Parameters
    ----------
    module
        It has `abstract`.
    about
        One line for people.
    anchored
        Whether it starts from an equilibrium of the full market, so that refining can give it another one.
    weights
        Whether it has trained weights.
    packages
        What it needs besides this one's packages, as they are imported.
    """

    module: str
    about: str
    anchored: bool = False
    weights: bool = False
    packages: tuple[str, ...] = ()


ABSTRACTIONS = {
    "min": AbstractionEntry("prillm_or.abstraction.minimum", "baseline: the cheapest rivals stay"),
    "avg": AbstractionEntry("prillm_or.abstraction.average", "baseline: identical average rivals"),
    "capacity": AbstractionEntry(
        "prillm_or.abstraction.capacity", "merged with capacities as weights; no equilibrium solved"
    ),
    "anchored": AbstractionEntry(
        "prillm_or.abstraction.anchored",
        "merged to answer alike around the equilibrium at one price",
        anchored=True,
    ),
    "learned": AbstractionEntry(
        "prillm_or.abstraction.learned",
        "as anchored, at the price a network says",
        anchored=True,
        weights=True,
        packages=("torch", "safetensors"),
    ),
    "learned-paper": AbstractionEntry(
        "prillm_or.abstraction.learned_paper",
        "the paper's network: two scores keep and merge",
        weights=True,
        packages=("torch", "safetensors"),
    ),
}


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
            raise unknown_name("abstraction", self.name, ("none", *ABSTRACTIONS))
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


def need_abstraction(name: str) -> None:
    """Check that what an abstraction needs is installed, without importing it.

    Raises
    ------
    UnavailableError
        When its package is missing; the message holds the install command.
    """
    need_packages(f"abstraction {name}", *ABSTRACTIONS[name].packages, extra="learn")


def load_abstraction(name: str) -> Callable[..., Abstraction]:
    """The function `abstract(market, keep, ...)` of an abstraction.

    Raises
    ------
    UnavailableError
        When its package is missing.
    """
    need_abstraction(name)
    found: Callable[..., Abstraction] = import_module(ABSTRACTIONS[name].module).abstract
    return found


def parse_abstraction(text: str) -> AbstractionChoice | None:
    """Read `NAME[@K][+refine]`, as in `learned@2+refine`; None for `none`. Two rivals are left where no K is given.

    Raises
    ------
    UnknownNameError
        When there is no abstraction of that name.
    CombinationError
        When the text is of another form, or what it asks for does not go together.
    """
    parts = re.fullmatch(r"([\w-]+)(?:@(\d+))?(\+refine)?", text)
    if parts is None:
        raise CombinationError(f"abstraction {text!r}: expected NAME[@K][+refine], as in anchored@2+refine")
    name, keep, refined = parts.groups()
    if name != "none":
        return AbstractionChoice(name, int(keep or 2), refined is not None)
    if keep or refined:
        raise CombinationError(f"abstraction {text!r}: none keeps all rivals; leave @K and +refine out")
    return None
