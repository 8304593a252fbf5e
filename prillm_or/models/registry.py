"""The formulations by name, their options and their profiles; a module is imported when it is asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from prillm_or.errors import CombinationError, need_packages
from prillm_or.files.names import find, name_of, names
from prillm_or.files.profiles import read_profile
from prillm_or.market.faults import shown
from prillm_or.models.capabilities import Capability

if TYPE_CHECKING:
    from prillm_or.market.market import Market
    from prillm_or.models.formulation import Formulation
    from prillm_or.models.window import Window


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

    def build(self, market: Market, window: Window) -> Formulation:
        """The formulation of a market, for the decisions of a window."""
        made: Formulation = import_module(MODELS[self.formulation].module).build(market, self.options, window)
        return made


def model_profile(name: str) -> ModelProfile:
    """Profile called `name`, or in the file of that path; a formulation's own name gives its defaults.

    Raises
    ------
    UnknownNameError
        When there is no such profile.
    CombinationError
        When the file names an unknown formulation or option.
    """
    if name in MODELS:
        return ModelProfile(name, name, model_options(name)())
    path = find("models", name, also=MODELS)
    content = read_profile(path, {"formulation": str, "options": dict})
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
    for key, value in wanted.items():
        if isinstance(value, bool) or not isinstance(value, int if known[key].type == "int" else (int, float)):
            word = "a whole number" if known[key].type == "int" else "a number"
            raise CombinationError(f"{path}: options.{key}: expected {word}, got {shown(value)}")
    try:
        return ModelProfile(name_of("models", name), formulation, kind(**wanted))
    except ValueError as error:
        raise CombinationError(f"{path}: options: {error}") from None


def model_profile_names() -> list[str]:
    """Sorted names of the profiles there are: the formulations' own, and those of files."""
    return sorted({*MODELS, *names("models")})


def model_options(name: str) -> Any:
    """The options dataclass of a formulation."""
    need_packages(f"model {name}", "pyomo")
    entry = MODELS[name]
    return getattr(import_module(entry.module), entry.options)


def model_needs(name: str) -> frozenset[Capability]:
    """What a solver must be able to take to be given a formulation as it is.

    Raises
    ------
    UnavailableError
        When Pyomo is missing.
    """
    need_packages(f"model {name}", "pyomo")
    needs: frozenset[Capability] = import_module(MODELS[name].module).NEEDS
    return needs
