"""Registry: every model and solver by name, imported only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from prillm_or.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prillm_or.models.formulation import Formulation
    from prillm_or.solvers.base import AlgebraicSolver, Capability, NativeSolver


@dataclass(frozen=True)
class SolverEntry:
    """Where a solver lives and what it needs.

    Parameters
    ----------
    home
        Module and class.
    about
        One line for people.
    package
        The package it needs besides this one's, as pip knows it, or None.
    algebraic
        Whether it takes a model (`--model`).
    """

    home: tuple[str, str]
    about: str
    package: str | None = None
    algebraic: bool = False


SOLVERS = {
    "path": SolverEntry(("prillm_or.solvers.path", "Path"), "exact: traces the pieces of one price"),
    "bisect": SolverEntry(
        ("prillm_or.solvers.bisect", "Bisect"), "certified: branch and bound over one price, any size"
    ),
    "highs": SolverEntry(
        ("prillm_or.solvers.highs", "Highs"), "HiGHS: outer approximation", "highspy", algebraic=True
    ),
    "gurobi": SolverEntry(
        ("prillm_or.solvers.gurobi", "Gurobi"),
        "Gurobi: convex MIQP, outer approximation beyond its licence",
        "gurobipy",
        algebraic=True,
    ),
}


@dataclass(frozen=True)
class ModelEntry:
    """Where a formulation lives: its module has `build`, and a dataclass of options of that name."""

    module: str
    options: str
    about: str


MODELS = {
    "kkt-bigm": ModelEntry(
        "prillm_or.models.kkt_bigm", "KktBigmOptions", "KKT with binaries and derived big-M values; concave profit"
    ),
}


def load_native(name: str) -> NativeSolver:
    """Make the native solver of that name."""
    solver: NativeSolver = _class(name)()
    return solver


def load_algebraic(name: str) -> AlgebraicSolver:
    """Make the algebraic solver of that name.

    Raises
    ------
    UnavailableError
        When its package is missing; the message holds the install command.
    """
    solver: AlgebraicSolver = _class(name)()
    return solver


def capabilities(name: str) -> frozenset[Capability]:
    """What the solver of that name declares it can take.

    Raises
    ------
    UnavailableError
        When its package is missing.
    """
    declared: frozenset[Capability] = _class(name).capabilities
    return declared


def solvers_with(capability: Capability) -> list[str]:
    """Names of the solvers, of those installed here, that can take a thing."""
    ready = [name for name, entry in SOLVERS.items() if entry.package is None or find_spec(entry.package)]
    return [name for name in ready if capability in capabilities(name)]


def model_options(name: str) -> Any:
    """The options dataclass of a formulation."""
    _need("pyomo", f"model {name}")
    entry = MODELS[name]
    return getattr(import_module(entry.module), entry.options)


def load_build(name: str) -> Callable[..., Formulation]:
    """The function `build(market, options, best_profit)` of a formulation."""
    found: Callable[..., Formulation] = import_module(MODELS[name].module).build
    return found


def _class(name: str) -> Any:
    entry = SOLVERS[name]
    if entry.package is not None:
        _need(entry.package, f"solver {name}")
    module, kind = entry.home
    return getattr(import_module(module), kind)


def _need(package: str, what: str) -> None:
    if find_spec(package) is None:
        raise UnavailableError(f"{what}: {package} is not installed; install it with: pip install {package}")
