"""prillm-or import-openrouter: observation folders from tables of the marketplace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from prillm_or.cli.common import Verbose, progress, tell
from prillm_or.output.checking import check_folder
from prillm_or.output.tables import Table


def command(
    tables: Annotated[Path, typer.Argument(metavar="DIR", help="Raw tables, a subfolder for each source.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write: a folder that is new or empty.")],
    part: Annotated[
        Literal["providers", "apps", "all"],
        typer.Option(help="Providers competing within one model, apps choosing among models, or both."),
    ] = "all",
    form: Annotated[Literal["csv", "parquet"], typer.Option(help="Of the tables written.")] = "csv",
    components: Annotated[
        bool,
        typer.Option("--components", help="Keep the prices of input and of output, beside their blend."),
    ] = False,
    verbose: Verbose = False,
) -> int:
    """Make observation folders, for `calibrate`, of raw tables of the OpenRouter marketplace.

    Writes providers/NAME and apps/NAME below --out; a README.md in each says what is observed, derived, imputed and
    chosen. Prices are blended; with --components `providers` has columns price_input and price_output, too, and a table
    `mixes` says how much of a user's tokens is which. Needs pandas: pip install 'prillm-or[calibrate]'.

    \b
    Example:
      prillm-or import-openrouter tables/ --out observed/
    """
    from prillm_or.calibration.openrouter.folders import import_openrouter, write_imported

    check_folder(out)
    with progress("reading the tables", verbose=verbose):
        imported = import_openrouter(tables, ("providers", "apps") if part == "all" else (part,))
        write_imported(imported, out, form, components=components)
    columns = ("folder", "days", "users", "providers", "cells")
    rows = [
        (f"{one.kind}/{seen.name}", str(seen.T), str(seen.n), str(seen.m), str(int(seen.cells.sum())))
        for one in imported
        for seen in [one.observations]
    ]
    tell(f"{out}: {len(rows)} observation folders", Table("", columns, rows, columns[1:]))
    return 0
