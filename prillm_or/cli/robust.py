"""prillm-or robust: prices over draws of the preferences, or over markets that are given; `solve --robust`, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Verbose,
    check_files,
    finish,
    is_given,
    outside_field,
    outside_note,
    progress,
    read_instance,
)
from prillm_or.cli.streams import report
from prillm_or.errors import CombinationError
from prillm_or.market.outside import with_outside

_WITH = ("instances", "robust", "draws", "outside", "json", "verbose")
_SOLVERS = ("auto", "path")


def command(
    instance: OneInstance,
    draws: Annotated[
        Path | None, typer.Option(metavar="FILE|DIR", help="draws.json of a calibration, or a folder of markets.")
    ] = None,
    fit: Annotated[
        Path | None,
        typer.Option(metavar="FILE|DIR", help="fit.json of a calibration: over all that it does not tell apart."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Take the first N of --draws; all if not given.")
    ] = None,
    outside: Outside = None,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Find the prices of best mean profit, best worst case and least regret over draws of what users want.

    With --fit over the draws of a calibration, the points of its profile, and the fit itself.

    One price, or factor: exact. Several: each draw's best profit is proven, and with it what no mean, no worst case and
    no regret exceeds; the prices are the best that were found.

    \b
    Examples:
      prillm-or robust fitted/coding-13-2026-07-07.json --fit fitted
      prillm-or robust fitted/coding-13-2026-07-07.json --draws fitted/draws.json --count 200
    """
    from prillm_or.calibration.draw_files import load_draws
    from prillm_or.calibration.draws import open_markets
    from prillm_or.calibration.fit_files import read_fit_draws
    from prillm_or.robustness.pricing import robust

    file = read_instance(instance)
    check_files(json, reads=[file.path, draws, fit])
    note = outside_note(outside)
    if draws is not None and fit is None:
        drawn = load_draws(draws, file.market, count)
    elif fit is not None and draws is None and count is None:
        of_fit = read_fit_draws(fit)
        drawn = open_markets(of_fit, file.market)
        note += f" (draws: {len(of_fit.drawn)} of the fit, {len(of_fit.profile)} of its profile, the fit itself)"
    else:
        raise CombinationError(_one_of_two(instance, draws, fit))
    if outside is not None:
        file = replace(file, market=with_outside(file.market, outside))
        drawn = tuple(with_outside(market, outside) for market in drawn)
    with progress(instance, verbose=verbose):
        found = robust(file, drawn)
    finish(found.parts(note), found.to_dict() | outside_field(outside), json)
    return 0


def _one_of_two(instance: str, draws: Path | None, fit: Path | None) -> str:
    """What to do about both or none of the places that markets come from, or about a count of a fit."""
    if fit is None:
        return f"{instance}: over what? Give --fit fit.json of the calibration that wrote it, or --draws with markets"
    if draws is None:
        return f"--fit {fit}: all that it does not tell apart is priced over; leave --count out, or give --draws"
    return f"--fit {fit} reads the draws beside it; leave --draws {draws} out, or --fit"


def solve_robust(
    context: typer.Context,
    instances: Sequence[str],
    count: int,
    draws: Path | None,
    outside: float | None,
    json: str | None,
    verbose: bool,
) -> int:
    """What `solve --robust` does; the exit code."""
    from prillm_or.calibration.draw_files import DRAWS_NAME

    _refuse_others(context)
    if len(instances) > 1:
        raise CombinationError("--robust takes one market at a time")
    if draws is None:
        file = read_instance(instances[0])
        draws = file.path.with_name(DRAWS_NAME)
        if not draws.is_file():
            raise CombinationError(
                f"{file.market.name}: no {DRAWS_NAME} beside {file.path}; give --draws the {DRAWS_NAME} of a "
                "calibration, or a folder of markets"
            )
    report(f"--robust: in its place, prillm-or robust {instances[0]} --draws {draws} --count {count}")
    return command(instances[0], draws, None, count, outside, json, verbose)


def _refuse_others(context: typer.Context) -> None:
    """Every draw is traced: what concerns another method does not go with it."""
    given = [name for name in context.params if name not in _WITH and is_given(context, name)]
    if context.params.get("solver") in _SOLVERS:
        given = [name for name in given if name != "solver"]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise CombinationError(
            f"--robust does not go with {flags}: it traces every draw from price 0 to the cap, as path does; leave "
            f"{'it' if len(given) == 1 else 'them'} out"
        )
