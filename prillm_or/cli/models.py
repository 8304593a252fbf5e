"""prillm-or models: the formulations there are, and their profiles."""

from __future__ import annotations

from prillm_or.cli.common import Json, console, save, table
from prillm_or.profiles import model_profile
from prillm_or.registry import MODELS
from prillm_or.shipped import names


def command(json: Json = None) -> int:
    """List the formulations an algebraic solver can be given (--model), with their profiles.

    \b
    Example:
      prillm-or models
    """
    profiles = [model_profile(name) for name in names("models")]
    if json != "-":
        rows = [(p.name, p.formulation, MODELS[p.formulation].about, _options(p.options)) for p in profiles]
        console().print(table("models", ("name", "formulation", "what it is", "options"), rows))
    save([{"name": p.name, "formulation": p.formulation, "options": vars(p.options)} for p in profiles], json)
    return 0


def _options(options: object) -> str:
    return ", ".join(f"{name} = {value}" for name, value in vars(options).items() if value is not None)
