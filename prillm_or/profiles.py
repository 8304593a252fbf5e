"""Profiles: the options of a model or of a solver, by name or path, from `models/*.toml` and `solvers/*/*.toml`."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prillm_or.errors import CombinationError
from prillm_or.registry import MODELS, SOLVERS, model_options
from prillm_or.shipped import find


@dataclass(frozen=True)
class ModelProfile:
    """A formulation and its options.

    Parameters
    ----------
    name
        As the user wrote it.
    options
        The formulation's own options dataclass.
    """

    name: str
    formulation: str
    options: Any


@dataclass(frozen=True)
class SolverProfile:
    """A solver and its native options."""

    name: str
    solver: str
    options: Mapping[str, object] = field(default_factory=dict)


def model_profile(name: str) -> ModelProfile:
    """Profile called `name`, or in the file of that path; a formulation's own name is its default profile.

    Raises
    ------
    UnknownNameError
        When there is no such profile.
    CombinationError
        When the file names an unknown formulation or option.
    """
    path = find("models", name)
    content = _read(path, {"formulation": str, "options": dict})
    formulation = content.get("formulation")
    if formulation not in MODELS:
        raise CombinationError(f"{path}: formulation: expected one of {', '.join(MODELS)}, got {formulation!r}")
    kind = model_options(formulation)
    wanted = content.get("options", {})
    known = {f.name: f for f in dataclasses.fields(kind)}
    if strangers := [key for key in wanted if key not in known]:
        raise CombinationError(
            f"{path}: options: {formulation} has no option {', '.join(strangers)}; it has {', '.join(known)}"
        )
    try:
        return ModelProfile(name, formulation, kind(**wanted))
    except (TypeError, ValueError) as error:
        raise CombinationError(f"{path}: options: {error}") from None


def solver_profile(name: str) -> SolverProfile:
    """Profile `SOLVER`, `SOLVER/PROFILE` or a path; native solvers have no profiles.

    Raises
    ------
    UnknownNameError
        When there is no such profile.
    CombinationError
        When the file names an unknown solver.
    """
    path = _solver_file(name)
    if path is None:
        return SolverProfile(name, name)
    content = _read(path, {"solver": str, "options": dict})
    solver = content.get("solver")
    if solver not in SOLVERS:
        raise CombinationError(f"{path}: solver: expected one of {', '.join(SOLVERS)}, got {solver!r}")
    return SolverProfile(name, solver, content.get("options", {}))


def profile_files(solver: str, model: str | None) -> list[Path]:
    """Files of the profiles that a solver and a model name; of all that may be taken where `auto` or None is to choose.

    Raises
    ------
    UnknownNameError
        When there is no such profile.
    """
    found = [_solver_file(name) for name in (SOLVERS if solver == "auto" else [solver])]
    files = [path for path in found if path is not None]
    models = [model] if model is not None else MODELS if files else []
    return files + [find("models", name) for name in models]


def _solver_file(name: str) -> Path | None:
    """None for native solvers, which have no profiles."""
    if name not in SOLVERS:
        return find("solvers", name)
    return find("solvers", f"{name}/default") if SOLVERS[name].algebraic else None


def _read(path: Path, fields: Mapping[str, type]) -> dict[str, Any]:
    """The file's content, with nothing but the given fields."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CombinationError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CombinationError(f"{path}: not a TOML file: {error}") from None
    for key, value in content.items():
        if key not in fields:
            raise CombinationError(f"{path}: unknown field {key!r}; there are {', '.join(fields)}")
        if not isinstance(value, fields[key]):
            raise CombinationError(f"{path}: {key}: expected a {fields[key].__name__}, got {value!r}")
    return content
