"""prillm-or explain: why the best price is the best one."""

from __future__ import annotations

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    Verbose,
    check_plot,
    outside_field,
    outside_note,
    progress,
    read_instance,
    save,
)
from prillm_or.output.tables import show


def command(
    instance: OneInstance,
    plot: Plot = None,
    outside: Outside = None,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Explain the best price: what it earns and from whom, who would come or go, which rivals matter and by how much.

    Effects are exact: the market is solved anew with each user's demand and each rival's price, capacity and value 1 %
    higher; --plot draws the largest.

    \b
    Example:
      prillm-or explain coding-13 --json why.json --plot effects.svg
    """
    from prillm_or.explanation.derive import explain

    check_plot(plot)
    market = read_instance(instance, outside).market
    with progress(instance, verbose=verbose):
        found = explain(market)
    if json != "-":
        show(found.parts(outside_note(outside)))
    save(found.to_dict() | outside_field(outside), json)
    if plot is not None:
        from prillm_or.explanation.effects_plot import effects_height
        from prillm_or.output.plots import save_plot

        save_plot(plot, found.plot, effects_height(found))
    return 0
