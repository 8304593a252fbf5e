"""prillm-or solvers: who can compute here, with versions, licences and limits."""

from __future__ import annotations

from typing import Any

from prillm_or.cli.common import Json, finish, names_here
from prillm_or.errors import UnavailableError, with_flags
from prillm_or.output.tables import Table
from prillm_or.solvers.registry import SOLVERS, load_algebraic, load_native, solver_profile_names


def command(json: Json = None) -> int:
    """List the solvers there are, whether they can be used here, and their profiles.

    \b
    Example:
      prillm-or solvers
    """
    rows = [_state(name) for name in SOLVERS]
    columns = ("name", "what it is", "version", "state", "profiles")
    lines = [
        (row["name"], row["about"], row["version"] or "-", row["state"], " ".join(row["profiles"])) for row in rows
    ]
    texts, ranks = ("what it is", "state", "profiles"), ("state", "what it is")
    finish([Table("solvers", columns, lines, texts=texts, ranks=ranks)], rows, json)
    return 0


def _state(name: str) -> dict[str, Any]:
    entry = SOLVERS[name]
    version, state, able = None, "ready", []
    try:
        if entry.algebraic:
            algebraic = load_algebraic(name)
            version, state, able = algebraic.version(), algebraic.licence(), sorted(algebraic.capabilities)
        else:
            native = load_native(name)
            version, able = native.version(), sorted(native.capabilities)
    except UnavailableError as error:
        state = with_flags(error.message)
    known = sorted({*solver_profile_names(), *names_here("solvers")})
    profiles = [profile for profile in known if profile.startswith(f"{name}/")]
    return {
        "name": name,
        "about": entry.about,
        "version": version,
        "state": state,
        "capabilities": able,
        "profiles": profiles,
    }
