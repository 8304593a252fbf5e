"""prillm-or curve: the whole profit curve of one of the leader's prices, exact pieces; the map of two."""

from __future__ import annotations

from collections.abc import Sequence
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
from prillm_or.cli.streams import report
from prillm_or.errors import CombinationError
from prillm_or.market.market import Market

if TYPE_CHECKING:
    from prillm_or.curves.profit_curve import ProfitCurve
    from prillm_or.landscape.envelope import Envelope
    from prillm_or.landscape.profit_map import ProfitMap


def command(
    instance: OneInstance,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="The leader's provider whose price or factor moves; ID.COMPONENT of a list. Twice: a map of two.",
        ),
    ] = None,
    best_others: Annotated[
        bool, typer.Option("--best-others", help="Decide all others anew at each of 41 values of the one that moves.")
    ] = False,
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
    other prices stay as today, or with --best-others are the best ones at each price. Of a component the load is the
    volume billed. Two of them give the profit over both, and --plot its map.

    \b
    Examples:
      prillm-or curve coding-13 --json curve.json
      prillm-or curve coding-13 --plot support.svg --of support
      prillm-or curve premium-4-two-prices --provider claude-opus-4.8 --best-others
    """
    names = provider or []
    _check(names, best_others, of, plot)
    file = read_instance(instance, outside)
    check_files(json, plot=plot, reads=[file.path])
    with progress(instance, verbose=False):
        found = _found(file.market, names, best_others)
    draw = None if plot is None else partial(_draw, plot, of, found)
    finish(found.parts(outside_note(outside)), found.to_dict() | outside_field(outside), json, draw)
    return _code(found)


def _code(found: ProfitCurve | Envelope | ProfitMap) -> int:
    """1 where a gap stayed open, 130 after Ctrl-C."""
    from prillm_or.curves.profit_curve import ProfitCurve

    if isinstance(found, ProfitCurve):
        return 0
    from prillm_or.landscape.envelope import Envelope

    if not isinstance(found, Envelope):
        return 0
    if found.interrupted:
        report("interrupted: the best of all is known, and the points so far")
        return 130
    return 0 if found.proven else 1


def _check(names: Sequence[str], best_others: bool, of: str | None, plot: Path | None) -> None:
    """Refuse flags that do not go together."""
    if of is not None and plot is None:
        raise CombinationError(f"--of {of}: it says what --plot draws; give --plot FILE")
    if len(names) > 2:
        raise CombinationError(f"--provider: one moves, or two for a map, got {len(names)}")
    for flag, given in ((f"--of {of}", of is not None), ("--best-others", best_others)):
        if given and len(names) == 2:
            raise CombinationError(f"{flag}: of one price; leave it out, or give --provider once")
    if best_others and of == "support":
        raise CombinationError("--of support: whom users use is drawn with the other prices as today; no --best-others")


def _found(market: Market, names: Sequence[str], best_others: bool) -> ProfitCurve | Envelope | ProfitMap:
    """What was asked for."""
    if len(names) == 2:
        from prillm_or.landscape.profit_map import profit_map

        return profit_map(market, names[0], names[1])
    name = names[0] if names else None
    if best_others:
        from prillm_or.landscape.envelope import envelope

        return envelope(market, name)
    from prillm_or.curves.profit_curve import curve

    return curve(market, name)


def _draw(path: Path, of: str | None, found: ProfitCurve | Envelope | ProfitMap) -> None:
    from prillm_or.curves.profit_curve import ProfitCurve
    from prillm_or.output.plots import save_plot

    if isinstance(found, ProfitCurve):
        from prillm_or.curves.support_plot import support_height

        if of == "support":
            save_plot(path, found.plot_support, support_height(found))
        else:
            save_plot(path, found.plot)
        return
    from prillm_or.landscape.map_plot import HEIGHT
    from prillm_or.landscape.profit_map import ProfitMap

    if isinstance(found, ProfitMap):
        save_plot(path, found.plot, HEIGHT)
    else:
        save_plot(path, found.plot)
