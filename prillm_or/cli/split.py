"""prillm-or solve --split users: the best price of one market whose users are spread over workers."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from prillm_or.cli.common import check_files, exit_code, finish, here, is_given, known_here, progress
from prillm_or.cli.streams import report
from prillm_or.errors import CombinationError
from prillm_or.files.names import find
from prillm_or.limits import Limits
from prillm_or.result import results_parts
from prillm_or.users.threads import cores
from prillm_or.workers.engine import Engine, engine_of

_WITH = ("instances", "split", "solver", "certify", "gap", "time_limit", "jobs", "engine", "address", "json", "verbose")
_SOLVERS = ("auto", "bisect")


def solve_split(
    context: typer.Context,
    instances: Sequence[str],
    engine: str,
    address: str | None,
    json: str | None,
    verbose: bool,
) -> int:
    """What `solve --split users` does; the exit code."""
    from prillm_or.solving.split import solve_split as solve

    _refuse_others(context)
    if len(instances) > 1:
        raise CombinationError("--split users takes one market at a time; --jobs and --engine alone spread several")
    name = known_here("instances", instances[0])
    check_files(json, reads=[here("instances", name)])
    over = _engine(context, engine, address)
    asked, time_limit = context.params["gap"], context.params["time_limit"]
    limits = Limits(1e-4 if asked is None else asked, time_limit)
    try:
        with progress(name, verbose=verbose):
            result = solve(find("instances", name), over, limits)
    except KeyboardInterrupt:
        report("interrupted: before any price was found")
        return 130
    if result.interrupted:
        report(f"interrupted: the best price so far of {name}")
    finish(results_parts([result], verbose=verbose), result.to_dict(), json)
    return 130 if result.interrupted else exit_code(result.status, asked is not None)


def _engine(context: typer.Context, name: str, address: str | None) -> Engine:
    """Where parts are held: without --jobs by a worker a core; on this machine without Dask by this process alone."""
    jobs: int = context.params["jobs"]
    if name == "local" and jobs > 1:
        raise CombinationError(f"--jobs {jobs}: parts of one market are spread over processes by --engine dask alone")
    if name == "dask" and address is None and not is_given(context, "jobs"):
        jobs = cores()
    return engine_of(name, jobs, address, own=True)


def _refuse_others(context: typer.Context) -> None:
    """Parts of a market answer equilibria and slopes: what concerns another method does not go with them."""
    given = [name for name in context.params if name not in _WITH and is_given(context, name)]
    if (solver := context.params["solver"]) not in _SOLVERS:
        raise CombinationError(
            f"--solver {solver}: needs all users in one place; with --split users leave it out, or use --solver bisect"
        )
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        them = "it" if len(given) == 1 else "them"
        raise CombinationError(
            f"--split users does not go with {flags}, which take all users in one place; leave {them} out, or --split"
        )
