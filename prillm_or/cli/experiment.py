"""prillm-or experiment: which prices to try next, for how long, and whether it is time to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prillm_or.cli.common import Json, Verbose, check_files, finish, progress


def command(
    fit: Annotated[Path, typer.Argument(metavar="FIT", help="The fit.json of a calibration, or its folder.")],
    width: Annotated[
        float,
        typer.Option(metavar="PERCENT", min=0.01, help="A range so wide is narrow enough: per cent of the best guess."),
    ] = 25.0,
    power: Annotated[
        float, typer.Option(metavar="P", min=0.01, max=0.99, help="How likely the trial has to reach that width.")
    ] = 0.8,
    noise: Annotated[
        float | None,
        typer.Option(metavar="SD", min=1e-6, help="S.d. of the change of log load between 3-day windows at one price."),
    ] = None,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Find two prices to ask next, and for how long, so that the range of best prices narrows.

    Ask them in turn, three days each. Then calibrate again with these days (--warm) and run this on the new fit:
    it says whether to stop. Exit code 1: no trial is likely enough to narrow the range to the wished width.

    \b
    Examples:
      prillm-or experiment fitted
      prillm-or experiment fitted/fit.json --width 20 --noise 0.3 --json -
    """
    from prillm_or.experiments.planning import experiment

    check_files(json, reads=[fit])
    with progress(str(fit), verbose=verbose):
        found = experiment(fit, width=width / 100, power=power, noise=noise)
    finish(found.parts(), found.to_dict(), json)
    return 0 if found.reached else 1
