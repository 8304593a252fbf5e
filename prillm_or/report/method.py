"""Method: who computes, on which model, written `SOLVER[/PROFILE][:MODEL][:ABSTRACTION[@K][+refine]]`."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from prillm_or.errors import CombinationError, PrillmError, UnavailableError
from prillm_or.profiles import model_profile, solver_profile
from prillm_or.registry import MODELS, SOLVERS

ABSTRACTION_NAMES = ("none", "capacity", "anchored", "learned", "learned-paper", "min", "avg")
"""What tells an abstraction from a model in the second place of a method."""

_ABSTRACTION = re.compile(rf"({'|'.join(ABSTRACTION_NAMES)})(@\d+)?(\+refine)?")
_FORM = "SOLVER[/PROFILE][:MODEL], as in path or highs:kkt-bigm"


@dataclass(frozen=True)
class MethodSpec:
    """A method as asked for; `str` prints it as `parse_method` reads it.

    Parameters
    ----------
    solver
        Name, name/profile or path of a profile, or `auto`.
    model
        Name or path of a model profile, or None for the solver's own choice.
    abstraction
        None: methods with an abstraction come with a later version.
    """

    solver: str
    model: str | None = None
    abstraction: None = None

    def __str__(self) -> str:
        return ":".join(filter(None, (self.solver, self.model)))


def parse_method(text: str) -> MethodSpec:
    """Read a method and check that its solver and model exist.

    Raises
    ------
    CombinationError
        When the text is no method, asks for an abstraction, or names a faulty profile.
    UnknownNameError
        When no solver or model has the name.

    Examples
    --------
    >>> parse_method("highs/stock:kkt-bigm")
    MethodSpec(solver='highs/stock', model='kkt-bigm', abstraction=None)
    """
    solver, *rest = (part.strip() for part in text.split(":"))
    if not solver or len(rest) > 2 or not all(rest):
        raise CombinationError(f"--method {text}: expected {_FORM}")
    if rest and (match := _ABSTRACTION.fullmatch(rest[-1])):
        if match[0] != "none":
            raise CombinationError(
                f"--method {text}: abstraction {rest[-1]} comes with a later version; for now methods are {_FORM}"
            )
        rest.pop()
    if len(rest) > 1:
        raise CombinationError(f"--method {text}: unknown abstraction {rest[1]}; expected {_FORM}")
    method = MethodSpec(solver, rest[0] if rest else None)
    # What is missing here becomes a row of the report, beside those of the other methods.
    with suppress(UnavailableError):
        if method.solver != "auto":
            solver_profile(method.solver)
        if method.model is not None:
            model_profile(method.model)
    return method


def about(method: MethodSpec) -> str:
    """What the solver and the model are, in the registry's words."""
    parts = []
    with suppress(PrillmError):
        if method.solver == "auto":
            parts.append("the fastest that proves the gap")
        else:
            parts.append(SOLVERS[solver_profile(method.solver).solver].about)
        if method.model is not None:
            parts.append(MODELS[model_profile(method.model).formulation].about)
    return "; ".join(parts)
