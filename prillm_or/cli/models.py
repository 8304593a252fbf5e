"""prillm-or models: the formulations there are, their profiles, and the abstractions."""

from __future__ import annotations

from prillm_or.abstraction.registry import ABSTRACTIONS, need_abstraction
from prillm_or.cli.common import Json, finish, here, names_here
from prillm_or.errors import UnavailableError, with_flags
from prillm_or.models.registry import MODELS, model_profile, model_profile_names
from prillm_or.output.tables import Table


def command(json: Json = None) -> int:
    """List the formulations an algebraic solver can be given (--model), with their profiles, and the abstractions.

    The JSON holds the formulations.

    \b
    Example:
      prillm-or models
    """
    names = sorted({*model_profile_names(), *names_here("models")})
    profiles = [model_profile(here("models", name, also=MODELS)) for name in names]
    rows = [(p.name, p.formulation, MODELS[p.formulation].about, _options(p.options)) for p in profiles]
    heads = ("name", "formulation", "what it is", "options")
    models = Table("models", heads, rows, texts=("what it is", "options"))
    columns = ("name", "how rivals become fewer", "takes", "state")
    fewer = [_abstraction(name) for name in ABSTRACTIONS]
    abstractions = Table("abstractions", columns, fewer, texts=columns[1:], ranks=("state",))
    document = [{"name": p.name, "formulation": p.formulation, "options": vars(p.options)} for p in profiles]
    finish([models, abstractions], document, json)
    return 0


def _abstraction(name: str) -> tuple[str, ...]:
    entry, state = ABSTRACTIONS[name], "ready"
    try:
        need_abstraction(name)
    except UnavailableError as error:
        state = with_flags(error.message)
    flags = ["--keep", *["--refine"] * entry.anchored, *["--weights"] * entry.weights]
    return name, entry.about, " ".join(flags), state


def _options(options: object) -> str:
    return ", ".join(f"{name} = {value}" for name, value in vars(options).items() if value is not None)
