"""prillm-or calibrate: fit what users want to what they did; write the fit, markets and a report."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prillm_or.cli.common import Json, Verbose, console, number, progress, report, save, table
from prillm_or.errors import PrillmError, UnavailableError
from prillm_or.workers.engine import without_ctrl_c

if TYPE_CHECKING:
    from prillm_or.calibration.calibration import Calibration
    from prillm_or.calibration.observations import Observations
    from prillm_or.calibration.procedure import Options
    from prillm_or.market.market import Mask

_OWN = ("congestion", "price")


def command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Observed flows: flows, providers and delays.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write; files of the same name are replaced.")],
    page: Annotated[bool, typer.Option("--report", help="Write report.html, too.")] = False,
    holdout: Annotated[
        str, typer.Option(metavar="WHAT", help="Judge by what is not fitted: days:7, users:ID,ID or cells:0.2.")
    ] = "",
    own: Annotated[
        list[str] | None,
        typer.Option(metavar="congestion|price", help="Each user has its own weight, shrunk towards the common one."),
    ] = None,
    group: Annotated[
        list[str] | None, typer.Option(metavar="NAME=ID,ID", help="Users with values of their own; once for each.")
    ] = None,
    shrinkage: Annotated[
        str, typer.Option(metavar="auto|K", help="Pull towards demand x market share; auto: by cross-validation.")
    ] = "auto",
    capacity_of_load: Annotated[
        bool,
        typer.Option("--capacity-of-load", help="Capacities are multiples of observed loads: hide what is held out."),
    ] = False,
    half_life: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0.01, help="A day this much older counts half.")
    ] = None,
    robust: Annotated[bool, typer.Option("--robust", help="Days unlike the others count less.")] = False,
    warm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Start from an earlier fit.json and keep its shrinkage.")
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

    Writes fit.json, draws.json, over which `solve --robust` prices, the fitted market of the last day (or of each
    --market), which `solve` takes, and with --report a page. Needs pip install 'prillm-or[calibrate]'.

    \b
    Examples:
      prillm-or calibrate observed/apps/coding-13 --out fitted --own congestion --capacity-of-load --report
      prillm-or calibrate observed/providers/z-ai-glm-5.2 --out fitted --holdout days:7
      prillm-or solve fitted/coding-13-2026-07-07.json
    """
    missing = [package for package in ("torch", "threadpoolctl") if find_spec(package) is None]
    if missing:
        raise UnavailableError(f"calibrate: {', '.join(missing)} missing; pip install 'prillm-or[calibrate]'")
    from threadpoolctl import threadpool_limits

    with without_ctrl_c():  # torch
        from prillm_or.calibration.procedure import calibrate
    from prillm_or.calibration.fit_files import fit_to_json, read_earlier
    from prillm_or.calibration.observation_files import read_observations
    from prillm_or.output.saving import write_json

    _check_out(out)
    earlier = None if warm is None else read_earlier(warm)
    options = _options(own or [], group or [], shrinkage, capacity_of_load, half_life, robust, baseline, draws, seed)
    observations = read_observations(folder)
    days = _market_days(observations, market)
    held = _held_out(observations, holdout, seed)
    # The matrices of a market are small: threads would wait for each other, tenfold where cores are busy.
    with progress(f"calibrating {observations.name}", verbose=verbose), threadpool_limits(1):
        found = calibrate(observations, options, held_out=held, holdout=holdout, earlier=earlier)
        out.mkdir(exist_ok=True)
        document = fit_to_json(found)
        write_json(document, out / "fit.json")
        written = ["fit.json", *_write_draws(found, out), *_write_markets(found, days, out)]
        if page:
            written.append(_write_page(found, out))
    save(document, json)
    if json != "-":
        _show(found)
        print("written:", *(out / name for name in written))
    if found.interrupted:
        report("interrupted: the fit is done; baselines or draws are missing")
        return 130
    return 0


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise PrillmError(f"{out}: a file, not a folder; give another name")
    if not out.absolute().parent.is_dir():
        raise PrillmError(f"{out}: the folder {out.absolute().parent} does not exist")


def _options(
    own: list[str],
    group: list[str],
    shrinkage: str,
    capacity_of_load: bool,
    half_life: float | None,
    robust: bool,
    baseline: list[str] | None,
    draws: int,
    seed: int,
) -> Options:
    from prillm_or.calibration.baselines import BASELINES, require
    from prillm_or.calibration.procedure import Options
    from prillm_or.calibration.specification import Specification

    names = [name for name, entry in BASELINES.items() if entry.cheap] if baseline is None else baseline
    for option, given, known in (("own", own, _OWN), ("baseline", names, BASELINES)):
        if strangers := [name for name in given if name not in known]:
            raise PrillmError(f"--{option} {', '.join(strangers)}: not known; there are {', '.join(known)}")
    for name in names:
        require(name)
    return Options(
        specification=Specification("congestion" in own, "price" in own, _groups(group)),
        shrinkage=_shrinkage(shrinkage),
        capacity_of_load=capacity_of_load,
        half_life=half_life,
        robust=robust,
        baselines=tuple(dict.fromkeys(names)),
        draws=draws,
        seed=seed,
    )


def _shrinkage(text: str) -> float | None:
    if text == "auto":
        return None
    kappa = _number(text)
    if kappa is None or not 0 <= kappa < float("inf"):
        raise PrillmError(f"--shrinkage {text}: expected auto or a number >= 0")
    return kappa


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _groups(texts: list[str]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, sign, users = text.partition("=")
        if not (name and sign and all(users.split(","))) or name in groups:
            raise PrillmError(f"--group {text}: expected NAME=ID,ID with a name of its own")
        groups[name] = tuple(users.split(","))
    return groups


def _market_days(observations: Observations, wanted: list[str] | None) -> list[str]:
    """Days whose markets are to be written, checked before any work is done."""
    from prillm_or.calibration.observations import market_of

    if wanted is None:
        if observations.leader is None:
            report("no market is written: folder.json names no leader")
            return []
        wanted = ["last"]
    named = {"last": observations.days[-1:], "all": observations.days, "none": ()}
    days = list(dict.fromkeys(day for name in wanted for day in named.get(name, (name,))))
    for day in days:
        market_of(observations, day)
    return days


def _held_out(observations: Observations, text: str, seed: int) -> Mask | None:
    from prillm_or.calibration.holdout import hold_out_cells, hold_out_days, hold_out_users

    if not text:
        return None
    kind, _, what = text.partition(":")
    share = _number(what)
    if kind == "days" and what.isdecimal():
        return hold_out_days(observations, int(what))
    if kind == "cells" and share is not None and 0 < share < 1:
        return hold_out_cells(observations, share, seed)
    if kind == "users" and what:
        return hold_out_users(observations, what.split(","))
    raise PrillmError(f"--holdout {text}: expected days:N, users:ID,ID or cells:SHARE with a share between 0 and 1")


def _write_draws(found: Calibration, out: Path) -> list[str]:
    from prillm_or.calibration.draw_files import DRAWS_NAME, write_draws
    from prillm_or.calibration.draws import Draws

    if found.intervals is None:
        return []
    write_draws(Draws(found.observations.name, found.fit.preferences, found.intervals.sample), out / DRAWS_NAME)
    return [DRAWS_NAME]


def _write_markets(found: Calibration, days: list[str], out: Path) -> list[str]:
    from prillm_or.calibration.preferences import market_with
    from prillm_or.files.markets import write_market

    seen = found.observations
    about = (
        f"Fitted by prillm-or calibrate to the flows of {seen.name}, {seen.days[0]} to {seen.days[-1]} "
        f"({seen.T} days, {int(found.fit.days.train.sum())} cells). From the observations: demand, price, capacity, "
        f"delay of the day. Fitted: weights and values. {' '.join(found.findings)}"
    )
    names = []
    for day in days:
        names.append(f"{seen.name}-{day}.json")
        write_market(market_with(found.fit.preferences, seen, day, about), out / names[-1])
    return names


def _write_page(found: Calibration, out: Path) -> str:
    from prillm_or.output.saving import replace_file
    from prillm_or.report.calibration_page import calibration_page

    replace_file(out / "report.html", calibration_page(found).encode())
    return "report.html"


def _show(found: Calibration) -> None:
    from prillm_or.calibration.bootstrap import LEVEL

    screen, preferences, ends = console(), found.fit.preferences, found.intervals
    columns = ("provider", "value", f"{LEVEL:.0%} interval", "own-price elasticity")
    rows = [
        (
            name,
            number(float(preferences.value[j]), 4),
            "-" if ends is None else f"{ends.values[j][0]:.4g} to {ends.values[j][1]:.4g}",
            "-" if found.elasticity[j] != found.elasticity[j] else f"{found.elasticity[j]:.3g}",
        )
        for j, name in enumerate(preferences.provider_ids)
    ]
    units = found.observations.units
    title = f"{found.observations.name}: values in {units.currency} per {units.volume}"
    screen.print(table(title, columns, rows, right=columns[1:]))
    screen.print(
        f"weights: price 1, congestion {preferences.congestion:.5g}, delay {preferences.delay:.5g}; "
        f"shrinkage {found.fit.shrinkage:g}"
    )
    heads = ("method", "R2 in sample", "held out", "R2 shares in sample", "held out ", "MAE in sample", "held out  ")
    lines = []
    for name, scored in found.scores.items():
        pairs = [(scored.in_sample, scored.held_out)] * 3
        figures = [
            number(None if part is None else getattr(part, key), 3)
            for key, pair in zip(("r2", "r2_shares", "mae"), pairs, strict=True)
            for part in pair
        ]
        lines.append((name, *figures))
    screen.print(table("scores", heads, lines, right=heads[1:]))
    for name, scored in found.scores.items():
        if scored.note:
            screen.print(f"{name}: {scored.note}")
    for sentence in found.findings:
        screen.print(f"* {sentence}")
