"""prillm-or page: one self-contained interactive page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prillm_or.cli.common import Instances, Outside, Verbose, check_files, progress, read_instance, tell
from prillm_or.output.checking import checked_output
from prillm_or.output.saving import replace_file


def command(
    instances: Instances,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the page: .html.")],
    outside: Outside = None,
    verbose: Verbose = False,
) -> int:
    """Write a page on which sliders for all that the leader decides move flows, loads and profit, with the explanation.

    On request it has sliders for each rival's price, capacity and value and each user's demand, too: it solves the
    users' equilibrium itself. The page is one file that needs no network and no server; with several instances it
    switches between them.

    \b
    Example:
      prillm-or page coding-13 premium-4 --out prices.html
    """
    checked_output(out, (".html",))
    from prillm_or.report.explorer import explore, explorer_page

    files = [read_instance(name, outside) for name in instances]
    check_files(out, reads=[file.path for file in files])
    explored = []
    for name, file in zip(instances, files, strict=True):
        with progress(file.market.name, verbose=verbose):
            explored.append(explore(file, outside, name))
    with progress("page", verbose=verbose):
        page = explorer_page(explored)
    replace_file(out, page.encode())
    tell(f"written: {out}")
    return 0
