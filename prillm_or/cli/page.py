"""prillm-or page: one self-contained interactive page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prillm_or.cli.common import Instances, Outside, Verbose, progress, read_instance, report
from prillm_or.output.saving import checked_output
from prillm_or.result import Status


def command(
    instances: Instances,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the page: .html.")],
    outside: Outside = None,
    verbose: Verbose = False,
) -> int:
    """Write a page on which a slider for the leader's price moves flows, loads and profit, with the explanation.

    It is one file that needs no network and no server; with several instances it switches between them.

    \b
    Example:
      prillm-or page coding-13 premium-4 --out prices.html
    """
    checked_output(out, (".html",))
    from prillm_or.explanation.derive import explain
    from prillm_or.output.saving import replace_file
    from prillm_or.report.explorer import Explored, check_one_price, explorer_page
    from prillm_or.solving.run import solve

    read = [read_instance(name, outside) for name in instances]
    for instance in read:
        check_one_price(instance.market)
    explored = []
    for instance in read:
        market = instance.market
        with progress(market.name, verbose=verbose):
            result = solve(market, sha256=instance.sha256)
            if result.interrupted:
                raise KeyboardInterrupt
            if result.status is Status.ERROR:
                report(f"{market.name}: no price could be proven: {'; '.join(result.notes)}")
                return 3
            explored.append(Explored(market, result, explain(market, result), outside))
    with progress("page", verbose=verbose):
        page = explorer_page(explored)
    replace_file(out, page.encode())
    print("written:", out)
    return 0
