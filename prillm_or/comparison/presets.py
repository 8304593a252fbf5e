"""Presets: the paper's tables on our instances, with every method of theirs that is registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from prillm_or.abstraction.registry import ABSTRACTIONS
from prillm_or.errors import unknown_name
from prillm_or.models.registry import MODELS
from prillm_or.solvers.registry import SOLVERS


@dataclass(frozen=True)
class Preset:
    """Names of instances, and what lists the methods that exist when it is called."""

    instances: tuple[str, ...]
    methods: Callable[[], list[str]]


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises
    ------
    UnknownNameError
        When there is none.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


def _table_1() -> list[str]:
    twins = [f"{solver}:kkt-bigm{learned}" for solver in ("highs", "scip", "gurobi") for learned in ("", ":learned@2")]
    wanted = ["path", "bisect", *twins, "path:learned@2", "ipopt:mpec", "ipopt:smooth", "spgce", "odca"]
    return [method for method in wanted if _registered(method)]


def _registered(method: str) -> bool:
    solver, *rest = method.split(":")
    known = {*MODELS, *ABSTRACTIONS}
    return solver in SOLVERS and all(part.partition("@")[0] in known for part in rest)


def _table_3() -> list[str]:
    """The exact solvers, and each abstraction with 1 to 4 rivals left."""
    return ["path", "bisect", *(f"path:{name}@{keep}" for name in ABSTRACTIONS for keep in range(1, 5))]


PRESETS = {
    "table-1": Preset(("premium-4", "economy-8", "coding-13", "roleplay-10"), _table_1),
    "table-3": Preset(("economy-8", "coding-13"), _table_3),
}
