"""prillm-or backtest: price events of observed folders, predicted from the days before each, and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prillm_or.cli.common import Jobs, Json, Verbose, check_files, finish, progress
from prillm_or.output.checking import checked_output
from prillm_or.output.saving import replace_file


def command(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Observed flows; folders of one name are one market.")
    ],
    least: Annotated[float, typer.Option(metavar="PART", help="The smallest change of a price that counts.")] = 0.05,
    elasticity: Annotated[
        str | None,
        typer.Option(metavar="E[:SE]", help="Own-price elasticity known from elsewhere; else that of other markets."),
    ] = None,
    shrinkage: Annotated[
        str, typer.Option(metavar="auto|K", help="As calibrate; auto: chosen at the first event of a market.")
    ] = "auto",
    capacity_of_load: Annotated[
        bool,
        typer.Option("--capacity-of-load", help="Capacities are multiples of observed loads: hide what is predicted."),
    ] = False,
    half_life: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0.01, help="A day this much older counts half.")
    ] = None,
    page: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the picture: .html.")] = None,
    jobs: Jobs = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds that choose a shrinkage.")] = 0,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Find prices that changed, predict each share from the days before it, and score that beside plain rules.

    Says whether the response to price that `calibrate` fits may be acted on, and which own-price elasticity the changes
    imply, for its --elasticity. Of several folders, each market is given that of the others. Ends with 1 where no
    change at all predicts better. Needs pip install 'prillm-or[calibrate]'.

    \b
    Examples:
      prillm-or backtest observed/
      prillm-or backtest observed/hourly/* --half-life 2 --jobs 4 --page backtest.html
    """
    from prillm_or.backtesting.procedure import backtest
    from prillm_or.output.canvas import need_pictures

    if page is not None:
        checked_output(page, (".html",))
        need_pictures(f"--page {page}")
    check_files(json, page, reads=folders)
    with progress("predicting price changes", verbose=verbose):
        found = backtest(
            folders,
            least=least,
            elasticity=elasticity,
            shrinkage=shrinkage,
            capacity_of_load=capacity_of_load,
            half_life=half_life,
            jobs=jobs,
            seed=seed,
        )

    def write_page() -> None:
        from prillm_or.report.backtest_page import backtest_page

        assert page is not None
        with progress("page", verbose=verbose):
            replace_file(page, backtest_page(found).encode())

    finish(found.parts(), found.to_dict(), json, None if page is None else write_page)
    return 0 if found.passed else 1
