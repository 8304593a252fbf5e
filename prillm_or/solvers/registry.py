"""The solvers by name, what they can take, and their profiles; a module is imported when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prillm_or.errors import CombinationError, UnavailableError, need_packages
from prillm_or.files.names import find, name_of, names
from prillm_or.files.profiles import read_profile
from prillm_or.models.capabilities import Capability
from prillm_or.models.registry import model_needs

if TYPE_CHECKING:
    from prillm_or.solvers.protocols import AlgebraicSolver, NativeSolver


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
    extra
        The extra of this package that brings it; None where this package depends on it.
    algebraic
        Whether it takes a model.
    same_as
        The solver that this is another name of: no message recommends it. Its results say which name was asked for.
    options
        Native options of the solver by its bare name; those of a profile take their place.
    """

    home: tuple[str, str]
    about: str
    package: str | None = None
    extra: str | None = None
    algebraic: bool = False
    same_as: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)


SOLVERS = {
    "path": SolverEntry(("prillm_or.solvers.path", "Path"), "exact: traces the pieces of one price"),
    "bisect": SolverEntry(
        ("prillm_or.solvers.bisect", "Bisect"), "certified: branch and bound over one price, any size"
    ),
    "enumerate": SolverEntry(
        ("prillm_or.solvers.enumeration", "Enumerate"), "exact: brute force over KKT patterns, small ones", "highspy"
    ),
    "branch": SolverEntry(
        ("prillm_or.solvers.branch", "Branch"), "exact: branch and bound over several prices, boxes and pairs", "piqp"
    ),
    "ascent": SolverEntry(
        ("prillm_or.solvers.ascent", "Ascent"), "local: uphill over several prices, ridges too; one price as path"
    ),
    "spiter": SolverEntry(
        ("prillm_or.solvers.ascent", "Ascent"),
        "another name of ascent, which contains our reading of it",
        same_as="ascent",
    ),
    "grid": SolverEntry(
        ("prillm_or.solvers.grid", "Grid"), "baseline: grid of one or two prices, a QP each", "highspy"
    ),
    "odca": SolverEntry(("prillm_or.solvers.odca", "Odca"), "baseline, reconstructed: users ignore each other"),
    "spgce": SolverEntry(("prillm_or.solvers.spgce", "Spgce"), "baseline, reconstructed: all users are one crowd"),
    "highs": SolverEntry(
        ("prillm_or.solvers.highs", "Highs"),
        "HiGHS: outer approximation",
        "highspy",
        algebraic=True,
        # The start is already an equilibrium: HiGHS need not look for solutions of its own.
        options={
            "mip_heuristic_effort": 0.0,
            "mip_heuristic_run_rins": False,
            "mip_heuristic_run_rens": False,
            "mip_detect_symmetry": False,
        },
    ),
    "gurobi": SolverEntry(
        ("prillm_or.solvers.gurobi", "Gurobi"),
        "Gurobi: convex MIQP, outer approximation beyond its licence",
        "gurobipy",
        algebraic=True,
    ),
    "scip": SolverEntry(
        ("prillm_or.solvers.scip", "Scip"),
        "SCIP: every exact formulation, any size",
        "pyscipopt",
        "scip",
        algebraic=True,
    ),
    "ipopt": SolverEntry(
        ("prillm_or.solvers.ipopt", "Ipopt"),
        "Ipopt: local maxima of mpec and smooth",
        "ipyopt",
        "ipopt",
        algebraic=True,
    ),
}


_DEFAULT = "/default"

_WRITING = {
    "highs": r".*file.*|log_.*|output_flag",
    "gurobi": r".*file.*|.*[^a-z0-9].*|.*dir|log.*|outputflag|record|tuneoutput|tuneresults|wls.*|cs.*|cloud.*"
    r"|computeserver|tokenserver|serverpassword|worker.*",
    "scip": r".*file.*|.*optfile|visual/.*|write/.*",
    "ipopt": r".*file.*|print_.*|sb",
}
"""Options by which a solver writes to files or standard output, or goes to other machines; Gurobi's take wildcards."""


@dataclass(frozen=True)
class SolverProfile:
    """A solver and its native options, and the file they are from, if any."""

    name: str
    solver: str
    options: Mapping[str, object] = field(default_factory=dict)
    path: Path | None = None


def solver_profile(name: str) -> SolverProfile:
    """Profile `SOLVER`, `SOLVER/PROFILE` or a path; native solvers have no profiles.

    `SOLVER` and `SOLVER/default` are one: the solver with the options of its entry.

    Raises
    ------
    UnknownNameError
        When there is no such profile.
    CombinationError
        When the file names an unknown solver, or an option that is no number, text or truth, or that writes to a file
        or to standard output.
    """
    if name in SOLVERS or name in default_names():
        bare = name.removesuffix(_DEFAULT)
        return SolverProfile(name, bare, SOLVERS[bare].options)
    path = find("solvers", name, also=solver_names())
    content = read_profile(path, {"solver": str, "options": dict})
    solver = content.get("solver")
    if solver not in SOLVERS:
        raise CombinationError(f"{path}: solver: expected one of {', '.join(SOLVERS)}, got {solver!r}")
    options = content.get("options", {})
    if options and not SOLVERS[solver].algebraic:
        raise CombinationError(f"{path}: options: {solver} has none; leave them out")
    if writing := [option for option in options if re.fullmatch(_WRITING[solver], option.lower())]:
        raise CombinationError(
            "\n".join(
                f"{path}: options.{option}: a profile writes no file and prints nothing; leave it out (on the command "
                "line --json FILE keeps the result, --write-model FILE the model, and --verbose tells more)"
                for option in writing
            )
        )
    return SolverProfile(name_of("solvers", name), solver, options, path)


def solver_profile_names() -> list[str]:
    """Sorted names of the profiles there are: `SOLVER/default` of each algebraic solver, and those of files."""
    return sorted({*default_names(), *names("solvers")})


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


def solvers_with(wanted: AbstractSet[Capability]) -> list[str]:
    """Names of the solvers, of those installed here, that can take all of some things."""
    return [name for name in SOLVERS if SOLVERS[name].same_as is None and wanted <= _capabilities_here(name)]


def solvers_for(model: str) -> list[str]:
    """Names of the solvers, of those installed here, that can be given a formulation, if need be by tangents."""
    needs = model_needs(model) - {Capability.CONVEX_MIQP}
    return [name for name, entry in SOLVERS.items() if entry.algebraic and needs <= _capabilities_here(name)]


def _capabilities_here(name: str) -> frozenset[Capability]:
    """Those of a solver; none where it cannot be used here."""
    try:
        return capabilities(name)
    except UnavailableError:
        return frozenset()


def default_names() -> list[str]:
    """Names of the profiles that need no file: `SOLVER/default` of each algebraic solver."""
    return [name + _DEFAULT for name, entry in SOLVERS.items() if entry.algebraic]


def solver_names() -> list[str]:
    """What may stand for a solver without a file: `auto`, the solvers, and the profiles of their defaults."""
    return ["auto", *SOLVERS, *default_names()]


def _class(name: str) -> Any:
    entry = SOLVERS[name]
    if entry.algebraic:
        need_packages(f"solver {name}", "pyomo")
    if entry.package is not None:
        need_packages(f"solver {name}", entry.package, extra=entry.extra)
    module, kind = entry.home
    try:
        return getattr(import_module(module), kind)
    except (Exception, SystemExit) as error:  # a package may raise anything, and is no reason for another to fail
        if entry.package is None:
            raise
        raise UnavailableError(
            f"solver {name}: {entry.package} is installed but cannot be used ({type(error).__name__}: {error}); use "
            f"another solver, or mend it with: pip install --force-reinstall {entry.package}"
        ) from None
