"""prillm-or curve: the whole profit curve of one of the leader's prices, exact pieces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    check_files,
    finish,
    outside_field,
    outside_note,
    progress,
    read_instance,
)
from prillm_or.errors import CombinationError

if TYPE_CHECKING:
    from prillm_or.curves.profit_curve import ProfitCurve


def command(
    instance: OneInstance,
    provider: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The leader's provider whose price or factor moves; ID.COMPONENT of a list."),
    ] = None,
    plot: Plot = None,
    of: Annotated[
        Literal["profit", "support"] | None,
        typer.Option(help="What --plot draws: the profit, or whom each user uses; the profit if left out."),
    ] = None,
    outside: Outside = None,
    json: Json = None,
) -> int:
    """Trace the load and profit of a leader's provider over all of its prices.

    A leader with several providers names one of them, with a price list one of its components, as in ID.COMPONENT; its
    other prices stay as today. Of a component the load is the volume billed.

    \b
    Example:
      prillm-or curve coding-13 --json curve.json
      prillm-or curve coding-13 --plot support.svg --of support
    """
    from prillm_or.curves.profit_curve import curve

    if of is not None and plot is None:
        raise CombinationError(f"--of {of}: it says what --plot draws; give --plot FILE")
    file = read_instance(instance, outside)
    check_files(json, plot=plot, reads=[file.path])
    with progress(instance, verbose=False):
        found = curve(file.market, provider)
    draw = None if plot is None else partial(_draw, plot, of, found)
    finish(found.parts(outside_note(outside)), found.to_dict() | outside_field(outside), json, draw)
    return 0


def _draw(path: Path, of: str | None, found: ProfitCurve) -> None:
    from prillm_or.curves.support_plot import support_height
    from prillm_or.output.plots import save_plot

    if of == "support":
        save_plot(path, found.plot_support, support_height(found))
    else:
        save_plot(path, found.plot)
