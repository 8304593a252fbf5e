"""prillm-or validate: check market files and observation folders, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prillm_or.cli.common import read_instance, tell
from prillm_or.cli.streams import report
from prillm_or.errors import PrillmError
from prillm_or.market.decisions import FACTOR
from prillm_or.market.sanity import costless, implausible
from prillm_or.market.scale import beyond_precision
from prillm_or.output.numbers import figure


def command(
    instances: Annotated[
        list[str],
        typer.Argument(
            metavar="INSTANCE...",
            help="Market files, names of shipped ones, or folders of observations.",
            show_default=False,
        ),
    ],
) -> int:
    """Check market files and observation folders; every fault of each is listed.

    Figures that look like a slip of units, or a field left out, are named, too; they are allowed.

    \b
    Example:
      prillm-or validate instances/*.json
      prillm-or validate observed/apps/coding-13/
    """
    code = 0
    for name in instances:
        try:
            lines = _observations(Path(name)) if Path(name).is_dir() else _market(name)
        except PrillmError as error:
            report(error)
            code = 2
            continue
        tell(*lines)
    return code


def _market(name: str) -> list[str]:
    file = read_instance(name)
    market = file.market
    people, factor = market.count.sum(), "factors of " if market.decides == FACTOR else ""
    parts = [
        f"{market.n} users" + (f" ({figure(people)} people)" if people > market.n else ""),
        f"{market.m} providers",
        *([f"components {', '.join(market.components)}"] if market.components else []),
        f"leader {', '.join(market.leader_ids)}",
        *([] if market.plain else [f"who decides {factor}{', '.join(d.name for d in market.decisions)}"]),
    ]
    valid = f"{file.path}: valid, {', '.join(parts)}"
    if beyond := list(beyond_precision(market)):
        return [valid, *(f"* Warning: {what}: beyond double precision, nothing can be computed." for what in beyond)]
    return [valid, *(f"* {warning}" for warning in (*implausible(market), *costless(market)))]


def _observations(folder: Path) -> list[str]:
    from prillm_or.calibration.observation_files import read_observations
    from prillm_or.calibration.odd_days import odd_days

    seen = read_observations(folder)
    leader = f"leader {', '.join(seen.leader.providers)}" if seen.leader else "no leader"
    valid = f"{folder}: valid, {seen.T} days, {seen.n} users, {seen.m} providers, {leader}"
    return [valid, *(f"* {odd}" for odd in odd_days(seen))]
