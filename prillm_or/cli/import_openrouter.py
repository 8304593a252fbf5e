"""prillm-or import-openrouter: observation folders from tables of the marketplace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prillm_or.cli.common import Verbose, progress, tell
from prillm_or.output.checking import check_folder
from prillm_or.output.tables import Table

if TYPE_CHECKING:
    from prillm_or.calibration.openrouter.imported import Part

_PARTS: dict[str, tuple[Part, ...]] = {
    "providers": ("providers",),
    "apps": ("apps",),
    "all": ("providers", "apps"),
    "events": ("hourly", "logged"),
}


def command(
    tables: Annotated[Path, typer.Argument(metavar="DIR", help="Raw tables, a subfolder for each source.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write: a folder that is new or empty.")],
    part: Annotated[
        Literal["providers", "apps", "all", "events"],
        typer.Option(help="Providers within one model, apps choosing among models, both, or prices that changed."),
    ] = "all",
    form: Annotated[Literal["csv", "parquet"], typer.Option(help="Of the tables written.")] = "csv",
    components: Annotated[
        bool,
        typer.Option("--components", help="Keep the prices of input and of output, beside their blend."),
    ] = False,
    verbose: Verbose = False,
) -> int:
    """Make observation folders, for `calibrate`, of raw tables of the OpenRouter marketplace.

    Writes providers/NAME and apps/NAME below --out; with --part events hourly/NAME and logged/NAME, for `backtest`:
    providers within a model in which a price changed, by the hour, and by midnights with prices as a log of changes has
    them. A README.md in each says what is observed, derived, imputed and chosen. Prices are blended; with --components
    `providers` has columns price_input and price_output, too, and a table `mixes` says how much of a user's tokens is
    which. Needs pandas: pip install 'prillm-or[calibrate]'.

    \b
    Example:
      prillm-or import-openrouter tables/ --out observed/
    """
    from prillm_or.calibration.openrouter.folders import import_openrouter, write_imported

    check_folder(out)
    with progress("reading the tables", verbose=verbose):
        imported = import_openrouter(tables, _PARTS[part])
        write_imported(imported, out, form, components=components)
    columns = ("folder", "days", "users", "providers", "cells")
    rows = [
        (f"{one.kind}/{seen.name}", str(seen.T), str(seen.n), str(seen.m), str(int(seen.cells.sum())))
        for one in imported
        for seen in [one.observations]
    ]
    tell(f"{out}: {len(rows)} observation folders", Table("", columns, rows, columns[1:]))
    return 0
