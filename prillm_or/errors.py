"""What can go wrong through no fault of ours: each error says the cause and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec


class PrillmError(Exception):
    """A mistake the user can mend; the command line prints it without a traceback and exits with 2."""


class FaultsError(PrillmError):
    """Something given breaks its rules.

    Remedy: each problem names the place and the rule it breaks; mend them all at once.

    Parameters
    ----------
    source
        Where it comes from: a file or folder, or its own name.
    problems
        One line for each fault, "place: what is wrong".
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}: {problem}" for problem in self.problems))


class MarketError(FaultsError):
    """A file or an array that does not describe a market."""


class ObservationsError(FaultsError):
    """A table or an array that does not describe who routed what, at which prices."""


class UnknownNameError(PrillmError):
    """A name that no file of the working directory or of the package has. Remedy: the message lists the nearest."""


class CombinationError(PrillmError):
    """A model, solver and market that do not go together. Remedy: the message names what would work."""


class UnavailableError(PrillmError):
    """A solver or its licence is missing. Remedy: the message holds the install command or another solver."""


class ConvergenceError(RuntimeError):
    """An equilibrium could not be certified: a fault of ours, or numbers beyond double precision."""


def need_package(package: str, what: str, install: str | None = None) -> None:
    """Refuse what needs a package that is not installed.

    Raises
    ------
    UnavailableError
        When it is missing; the message holds the install command.
    """
    if find_spec(package) is None:
        raise UnavailableError(f"{what}: {package} is not installed; install it with: pip install {install or package}")
