"""prillm-or explain: why the best price is the best one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    Verbose,
    check_files,
    finish,
    outside_field,
    outside_note,
    progress,
    read_instance,
)
from prillm_or.cli.streams import report

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import Explanation
    from prillm_or.explanation.prices_explanation import PricesExplanation


def command(
    instance: OneInstance,
    plot: Plot = None,
    outside: Outside = None,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Explain the best price: what it earns and from whom, who would come or go, which rivals matter and by how much.

    Effects are exact: the market is solved anew with each user's demand and each rival's price, capacity and value 1 %
    higher; --plot draws the largest. Of several prices each is moved alone, too: which substitute and which complement
    one another; there effects are those of following the best uphill.

    \b
    Example:
      prillm-or explain coding-13 --json why.json --plot effects.svg
    """
    from prillm_or.explanation.derive import explain

    file = read_instance(instance, outside)
    check_files(json, plot=plot, reads=[file.path])
    with progress(instance, verbose=verbose):
        found = explain(file.market)
    draw = None if plot is None else partial(_draw, plot, found)
    finish(found.parts(outside_note(outside)), found.to_dict() | outside_field(outside), json, draw)
    if found.interrupted:
        report("interrupted: the price is the best one; effects that are missing were not worked out")
        return 130
    return 0


def _draw(path: Path, found: Explanation | PricesExplanation) -> None:
    from prillm_or.explanation.effects_plot import effects_height
    from prillm_or.output.plots import save_plot

    save_plot(path, found.plot, effects_height(found))
