"""prillm-or calibrate: fit what users want to what they did; write the fit, markets and a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prillm_or.cli.common import Json, Verbose, check_files, finish, progress
from prillm_or.cli.streams import report
from prillm_or.errors import PrillmError
from prillm_or.output.checking import check_folder, check_ours
from prillm_or.output.saving import replace_file

if TYPE_CHECKING:
    from prillm_or.calibration.observations import Observations

_PAGE = "report.html"


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Observed flows: flows, providers and delays.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; files of the same name are replaced.")],
    page: Annotated[bool, typer.Option("--report", help="Write report.html, too.")] = False,
    holdout: Annotated[
        str, typer.Option(metavar="WHAT", help="Judge by what is not fitted: days:7, users:ID,ID or cells:0.2.")
    ] = "",
    own: Annotated[
        list[str] | None,
        typer.Option(
            metavar="congestion|price|values|none", help="What each user has of its own; chosen if not given."
        ),
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="NAME=ID,ID", help="Users with values of their own; once for each.")
    ] = None,
    dispersion: Annotated[
        str | None,
        typer.Option(metavar="common|user|provider", help="Fit tastes for variety: one, or factors of their own."),
    ] = None,
    congestion: Annotated[
        bool, typer.Option("--congestion/--no-congestion", help="Whether load makes a provider dearer.")
    ] = True,
    shrinkage: Annotated[
        str, typer.Option(metavar="auto|K", help="Pull towards demand x market share; auto: by cross-validation.")
    ] = "auto",
    capacity_of_load: Annotated[
        bool,
        typer.Option("--capacity-of-load", help="Capacities are multiples of observed loads: hide what is held out."),
    ] = False,
    loss: Annotated[
        str, typer.Option(metavar="shares|flows", help="Least squares of shares weighted by demand, or of raw flows.")
    ] = "shares",
    half_life: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0.01, help="A day this much older counts half.")
    ] = None,
    robust: Annotated[bool, typer.Option("--robust", help="Days unlike the others count less.")] = False,
    elasticity: Annotated[
        str | None,
        typer.Option(
            metavar="E[:SE]",
            help="Own-price elasticity known from elsewhere, and its standard error (30 %).",
        ),
    ] = None,
    pool: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", help="Other markets, or a folder of them, with one response to price; repeatable."
        ),
    ] = None,
    warm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Start from an earlier fit.json and keep its shrinkage.")
    ] = None,
    backtest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The --json of a backtest: say its verdict in the report.")
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="What to compare with; the cheap ones if not given.")
    ] = None,
    draws: Annotated[int, typer.Option(min=0, help="Bootstrap draws for intervals; 0 for none.")] = 200,
    market: Annotated[
        list[str] | None, typer.Option(metavar="DAY", help="Write the market of that day: a date, last, all or none.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of draws, folds and baselines.")] = 0,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Fit weights and values so that the users' equilibria come close to observed flows, and say how far to trust them.

    Writes fit.json, draws.json, over which `robust` prices, the fitted market of the last day (or of each
    --market), which `solve` takes, and with --report a page. Needs pip install 'prillm-or[calibrate]'.

    \b
    Examples:
      prillm-or calibrate observed/apps/coding-13 --out fitted --own congestion --capacity-of-load --report
      prillm-or calibrate observed/providers/z-ai-glm-5.2 --out fitted --holdout days:7
      prillm-or calibrate observed/ --out fitted --elasticity -1.1:0.3
      prillm-or solve fitted/coding-13-2026-07-07.json
    """
    from prillm_or.calibration.calibration import FIT_FORMAT
    from prillm_or.calibration.draw_files import DRAWS_FORMAT, DRAWS_NAME
    from prillm_or.calibration.observation_files import read_observations
    from prillm_or.calibration.procedure import calibrate
    from prillm_or.market.market import MARKET_FORMAT
    from prillm_or.output.canvas import need_pictures

    if page:
        need_pictures("--report")
    check_folder(out)
    marks = {out / "fit.json": FIT_FORMAT, out / DRAWS_NAME: DRAWS_FORMAT}
    if page:
        marks[out / _PAGE] = "<title>Calibration of "
    check_files(json, *(marks if out.exists() else ()), reads=[folder, warm, backtest, *(pool or [])])
    observations = read_observations(folder)
    days = _days(observations, market)
    check_ours(marks | {out / f"{observations.name}-{day}.json": MARKET_FORMAT for day in days})
    with progress(f"calibrating {observations.name}", verbose=verbose):
        found = calibrate(
            observations,
            own=own or None,
            groups=_groups(group or []),
            dispersion=dispersion,
            congestion=congestion,
            shrinkage=shrinkage,
            capacity_of_load=capacity_of_load,
            loss=loss,
            half_life=half_life,
            robust=robust,
            elasticity=elasticity,
            pool=pool or [],
            holdout=holdout,
            baselines=baseline,
            draws=draws,
            seed=seed,
            warm=warm,
            backtest=backtest,
        )

    def write() -> list[Path]:
        with progress("writing", verbose=verbose):
            return [out / name for name in found.write(out, days)]

    def write_page() -> list[Path]:
        from prillm_or.report.calibration_page import calibration_page

        with progress("page", verbose=verbose):
            replace_file(out / _PAGE, calibration_page(found).encode())
        return [out / _PAGE]

    finish(found.parts(), found.to_dict(), json, write, write_page if page else None)
    if found.interrupted:
        report("interrupted: baselines or draws are missing, or the search for the fit was not finished")
        return 130
    return 0


def _days(observations: Observations, wanted: list[str] | None) -> list[str]:
    """Days whose markets are to be written, checked before any work is done."""
    from prillm_or.calibration.observations import market_days

    if wanted is None and observations.leader is None:
        report("no market is written: folder.json names no leader")
        return []
    return market_days(observations, wanted or ["last"])


def _groups(texts: list[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for text in texts:
        name, sign, users = text.partition("=")
        if not (name and sign and all(users.split(","))) or name in groups:
            raise PrillmError(f"--group {text}: expected NAME=ID,ID with a name of its own")
        groups[name] = users.split(",")
    return groups
