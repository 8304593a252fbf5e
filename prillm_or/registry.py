"""Registry: every model, solver and abstraction by name, imported only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from prillm_or.capability import Capability
from prillm_or.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from prillm_or.abstraction.base import Abstraction
    from prillm_or.models.formulation import Formulation
    from prillm_or.solvers.base import AlgebraicSolver, NativeSolver


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
    "enumerate": SolverEntry(
        ("prillm_or.solvers.enumeration", "Enumerate"), "exact: brute force over KKT patterns, small ones", "highspy"
    ),
    "spiter": SolverEntry(
        ("prillm_or.solvers.spiter", "Spiter"), "local: one price after the other, each exact; one price as path"
    ),
    "grid": SolverEntry(
        ("prillm_or.solvers.grid", "Grid"), "baseline: grid of one or two prices, a QP each", "highspy"
    ),
    "odca": SolverEntry(("prillm_or.solvers.odca", "Odca"), "baseline, reconstructed: users ignore each other"),
    "spgce": SolverEntry(("prillm_or.solvers.spgce", "Spgce"), "baseline, reconstructed: all users are one crowd"),
    "highs": SolverEntry(
        ("prillm_or.solvers.highs", "Highs"), "HiGHS: outer approximation", "highspy", algebraic=True
    ),
    "gurobi": SolverEntry(
        ("prillm_or.solvers.gurobi", "Gurobi"),
        "Gurobi: convex MIQP, outer approximation beyond its licence",
        "gurobipy",
        algebraic=True,
    ),
    "scip": SolverEntry(
        ("prillm_or.solvers.scip", "Scip"), "SCIP: every exact formulation, any size", "pyscipopt", algebraic=True
    ),
    "ipopt": SolverEntry(
        ("prillm_or.solvers.ipopt", "Ipopt"), "Ipopt: local maxima of mpec and smooth", "ipyopt", algebraic=True
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
    "kkt-sos1": ModelEntry(
        "prillm_or.models.kkt_sos1", "KktSos1Options", "KKT with special ordered sets; concave profit"
    ),
    "kkt-indicator": ModelEntry(
        "prillm_or.models.kkt_indicator", "KktIndicatorOptions", "KKT with indicator rows; concave profit"
    ),
    "kkt-bilinear": ModelEntry(
        "prillm_or.models.kkt_bilinear", "KktBilinearOptions", "KKT with binaries; revenue kept as a product"
    ),
    "strong-duality": ModelEntry(
        "prillm_or.models.strong_duality", "StrongDualityOptions", "the users' duality gap closed by one row; bilinear"
    ),
    "mpec": ModelEntry(
        "prillm_or.models.mpec", "MpecOptions", "local: complementarity conditions by Pyomo's transformation, one solve"
    ),
    "smooth": ModelEntry(
        "prillm_or.models.smooth", "SmoothOptions", "local: complementarity relaxed by a shrinking epsilon"
    ),
}


@dataclass(frozen=True)
class AbstractionEntry:
    """Where an abstraction lives and what it takes.

    Parameters
    ----------
    home
        Module and function.
    about
        One line for people.
    anchored
        Whether it starts from an equilibrium of the full market, so that `--refine` can give it another one.
    weights
        Whether it has trained weights (`--weights`).
    packages
        What it needs besides this one's packages, as they are imported.
    """

    home: tuple[str, str]
    about: str
    anchored: bool = False
    weights: bool = False
    packages: tuple[str, ...] = ()


ABSTRACTIONS = {
    "min": AbstractionEntry(("prillm_or.abstraction.minimum", "abstract"), "baseline: the cheapest rivals stay"),
    "avg": AbstractionEntry(("prillm_or.abstraction.average", "abstract"), "baseline: identical average rivals"),
    "capacity": AbstractionEntry(
        ("prillm_or.abstraction.capacity", "abstract"), "merged with capacities as weights; no equilibrium solved"
    ),
    "anchored": AbstractionEntry(
        ("prillm_or.abstraction.anchored", "abstract"),
        "merged to answer alike around the equilibrium at one price",
        anchored=True,
    ),
    "learned": AbstractionEntry(
        ("prillm_or.abstraction.learned", "abstract"),
        "as anchored; networks say where to anchor and whom to keep",
        anchored=True,
        weights=True,
        packages=("torch", "safetensors"),
    ),
    "learned-paper": AbstractionEntry(
        ("prillm_or.abstraction.paper", "abstract"),
        "the paper's network: two scores keep and merge",
        weights=True,
        packages=("torch", "safetensors"),
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


def model_needs(name: str) -> frozenset[Capability]:
    """What a solver must be able to take to be given a formulation as it is.

    Raises
    ------
    UnavailableError
        When Pyomo is missing.
    """
    _need("pyomo", f"model {name}")
    needs: frozenset[Capability] = import_module(MODELS[name].module).NEEDS
    return needs


def solvers_for(model: str) -> list[str]:
    """Names of the solvers, of those installed here, that can be given a formulation, if need be by tangents."""
    needs = model_needs(model) - {Capability.CONVEX_MIQP}
    ready = [name for name, entry in SOLVERS.items() if entry.algebraic and find_spec(entry.package or "pyomo")]
    return [name for name in ready if needs <= capabilities(name)]


def load_build(name: str) -> Callable[..., Formulation]:
    """The function `build(market, options, best_profit)` of a formulation."""
    found: Callable[..., Formulation] = import_module(MODELS[name].module).build
    return found


def need_abstraction(name: str) -> None:
    """Check that what an abstraction needs is installed, without importing it.

    Raises
    ------
    UnavailableError
        When its package is missing; the message holds the install command.
    """
    for package in ABSTRACTIONS[name].packages:
        _need(package, f"abstraction {name}", "'prillm-or[learn]'")


def load_abstraction(name: str) -> Callable[..., Abstraction]:
    """The function `abstract(market, keep, ...)` of an abstraction.

    Raises
    ------
    UnavailableError
        When its package is missing.
    """
    need_abstraction(name)
    module, function = ABSTRACTIONS[name].home
    found: Callable[..., Abstraction] = getattr(import_module(module), function)
    return found


def _class(name: str) -> Any:
    entry = SOLVERS[name]
    if entry.package is not None:
        _need(entry.package, f"solver {name}")
    module, kind = entry.home
    return getattr(import_module(module), kind)


def _need(package: str, what: str, install: str | None = None) -> None:
    if find_spec(package) is None:
        raise UnavailableError(f"{what}: {package} is not installed; install it with: pip install {install or package}")
