"""Method: who computes, on which model, written `SOLVER[/PROFILE][:MODEL][:ABSTRACTION[@K][+refine]]`."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from prillm_or.abstraction.registry import ABSTRACTIONS, AbstractionChoice, parse_abstraction
from prillm_or.errors import CombinationError, PrillmError, UnavailableError, argument
from prillm_or.files.names import name_of
from prillm_or.models.registry import MODELS, model_profile
from prillm_or.solvers.registry import SOLVERS, solver_profile

ABSTRACTION_NAMES = ("none", *ABSTRACTIONS)
"""What tells an abstraction from a model in the second place of a method."""

_ABSTRACTION = re.compile(rf"({'|'.join(ABSTRACTION_NAMES)})(@\d+)?(\+refine)?")
_FORM = "SOLVER[/PROFILE][:MODEL][:ABSTRACTION[@K][+refine]], as in path, highs:kkt-bigm or highs:kkt-bigm:anchored@2"


@dataclass(frozen=True)
class MethodSpec:
    """A method as asked for; `str` prints it as the command line reads it.

    Parameters
    ----------
    solver
        Name, name/profile or path of a profile, or `auto`.
    model
        Name or path of a model profile, or None for the solver's own choice.
    abstraction
        Which rivals to leave out or merge first, or None.
    """

    solver: str
    model: str | None = None
    abstraction: AbstractionChoice | None = None

    def __str__(self) -> str:
        abstraction = None if self.abstraction is None else str(self.abstraction)
        solver, model = name_of("solvers", self.solver), self.model and name_of("models", self.model)
        return ":".join(filter(None, (solver, model, abstraction)))


def parse_method(text: str) -> MethodSpec:
    """Read a method and check that its solver, model and abstraction exist. Two rivals are left where no K is given.

    Raises
    ------
    CombinationError
        When the text is no method, or names a faulty profile.
    UnknownNameError
        When no solver or model has the name.

    Examples
    --------
    >>> parse_method("highs/stock:kkt-bigm")
    MethodSpec(solver='highs/stock', model='kkt-bigm', abstraction=None)
    >>> str(parse_method("path:anchored+refine"))
    'path:anchored@2+refine'
    """
    solver, *rest = (part.strip() for part in text.split(":"))
    if not solver or len(rest) > 2 or not all(rest):
        raise CombinationError(f"{argument('method', text)}: expected {_FORM}")
    abstraction = None
    if rest and is_abstraction(rest[-1]):
        abstraction = _abstraction(text, rest.pop())
    if len(rest) > 1:
        raise CombinationError(
            f"{argument('method', text)}: no abstraction {rest[1]}; there are {', '.join(ABSTRACTION_NAMES)}; "
            f"expected {_FORM}"
        )
    method = MethodSpec(solver, rest[0] if rest else None, abstraction)
    # What is missing here becomes a row of the report, beside those of the other methods.
    with suppress(UnavailableError):
        if method.solver != "auto":
            solver_profile(method.solver)
        if method.model is not None:
            model_profile(method.model)
    return method


def _abstraction(text: str, part: str) -> AbstractionChoice | None:
    try:
        return parse_abstraction(part)
    except CombinationError as error:
        raise CombinationError(f"{argument('method', text)}: {error.message}") from None


def is_abstraction(part: str) -> bool:
    """Whether a part of a method names an abstraction, not a model."""
    return _ABSTRACTION.fullmatch(part) is not None


def about(method: MethodSpec) -> str:
    """What the solver, the model and the abstraction are, in the registry's words."""
    parts = []
    with suppress(PrillmError):
        if method.solver == "auto":
            parts.append("the fastest that proves the gap")
        else:
            parts.append(SOLVERS[solver_profile(method.solver).solver].about)
        if method.model is not None:
            parts.append(MODELS[model_profile(method.model).formulation].about)
        if method.abstraction is not None:
            parts.append(f"rivals {ABSTRACTIONS[method.abstraction.name].about}")
    return "; ".join(parts)
