"""prillm-or page: one self-contained interactive page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prillm_or.cli.common import Instances, Outside, Verbose, by_name, check_files, progress, read_instance, tell
from prillm_or.errors import CombinationError, MarketError
from prillm_or.output.checking import checked_output
from prillm_or.output.saving import replace_file

if TYPE_CHECKING:
    from prillm_or.calibration.fit_files import FitFile
    from prillm_or.report.explorer import Explored


def command(
    instances: Instances,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the page: .html.")],
    fit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR", help="fit.json of the calibration that wrote the market: what it leaves open."
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="What if the market changed so? A JSON object, as a line of `watch`; side by side.",
        ),
    ] = None,
    outside: Outside = None,
    verbose: Verbose = False,
) -> int:
    """Write a page on which sliders for all that the leader decides move flows, loads and profit, with the explanation.

    On request it has sliders for each rival's price, capacity and value and each user's demand, too: it solves the
    users' equilibrium itself. The page is one file that needs no network and no server; with several instances it
    switches between them.

    \b
    Examples:
      prillm-or page coding-13 premium-4 --out prices.html
      prillm-or page fitted/coding-13-2026-07-07.json --fit fitted --out prices.html
      prillm-or page premium-4 --scenario cheap=rival-10-percent-off.json --out prices.html
    """
    checked_output(out, (".html",))
    from prillm_or.report.explorer import explore, explorer_page

    for flag in ([] if fit is None else [f"--fit {fit}"]) + [f"--scenario {text}" for text in scenario or []]:
        if len(instances) > 1:
            raise CombinationError(f"{flag}: it is of one market; give one instance, not {len(instances)}")
    files = [read_instance(name, outside) for name in instances]
    changes = by_name("--scenario", scenario or [], "FILE")
    check_files(out, reads=[*(file.path for file in files), fit, *changes.values()])
    of_fit = None if fit is None else _fit(fit)
    explored = []
    for name, file in zip(instances, files, strict=True):
        with progress(file.market.name, verbose=verbose):
            explored.append(explore(file, outside, name, of_fit))
    for name, path in changes.items():
        with progress(name, verbose=verbose):
            explored.append(_scenario(explored[0], name, Path(path)))
    with progress("page", verbose=verbose):
        page = explorer_page(explored)
    replace_file(out, page.encode())
    tell(f"written: {out}")
    return 0


def _scenario(base: Explored, name: str, path: Path) -> Explored:
    from prillm_or.files.changes import read_change_file
    from prillm_or.report.explorer import scenario

    change = read_change_file(path)
    try:
        return scenario(base, name, change)
    except MarketError as refusal:
        raise MarketError(str(path), refusal.problems) from None


def _fit(place: Path) -> FitFile:
    from prillm_or.calibration.fit_files import fit_path, read_fit
    from prillm_or.output.canvas import need_pictures

    need_pictures(f"--fit {place}")
    return read_fit(fit_path(place))
