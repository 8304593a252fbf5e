"""prillm-or compete: prices at which no owner gains by moving, and what a change of the market would do to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Verbose,
    by_name,
    check_files,
    finish,
    finite,
    outside_field,
    outside_note,
    progress,
    read_instance,
)
from prillm_or.errors import CombinationError
from prillm_or.market.outside import OUTSIDE
from prillm_or.output.checking import checked_output
from prillm_or.output.saving import replace_file

if TYPE_CHECKING:
    from prillm_or.market.market import Market


def command(
    instance: OneInstance,
    leaders: Annotated[
        list[str] | None,
        typer.Option(metavar="ID,...", help="Providers whose prices are set; all if not given. Others keep theirs."),
    ] = None,
    owner: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=ID,...", help="One owner of several providers, who sets their prices jointly."),
    ] = None,
    cap: Annotated[
        float | None,
        typer.Option(
            min=0.0, help="Highest price of all but the leader; the largest cap or price today there is if not given."
        ),
    ] = None,
    merge: Annotated[
        list[str] | None, typer.Option(metavar="NAME=ID,...", help="What if these providers had one owner?")
    ] = None,
    entry: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="What if this provider came? A JSON object, as in a change's add.providers."),
    ] = None,
    leave: Annotated[
        list[str] | None, typer.Option("--exit", metavar="ID,...", help="What if these providers left?")
    ] = None,
    price_cap: Annotated[
        float | None, typer.Option(min=0.0, callback=finite, help="What if no owner could ask more than this?")
    ] = None,
    cost_shock: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=CHANGE", help="What if a unit cost changed, as by +10% or -0.05? Or `all=`."),
    ] = None,
    demand_shock: Annotated[
        list[str] | None, typer.Option(metavar="USER=CHANGE", help="What if a demand changed? Or `all=`.")
    ] = None,
    platform_fee: Annotated[
        float | None, typer.Option(min=0.0, help="What if the routing platform took this share of revenue?")
    ] = None,
    outside: Outside = None,
    starts: Annotated[int, typer.Option(min=1, help="Prices to start from: today's, costs, caps, random ones.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Of the random starts.")] = 0,
    tolerance: Annotated[
        float,
        typer.Option(min=0.0, callback=finite, help="Largest relative gain by moving of an owner at an equilibrium."),
    ] = 1e-8,
    time_limit: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds of rounds, for each market; certificates come after.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write both markets side by side as a page with sliders: .html.")
    ] = None,
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Find prices at which no owner gains by moving, and compare them with those after a change.

    Owners answer one another with better prices, from several starts; what is claimed is checked afresh and proven,
    owner by owner. Where nothing settles the command says so, and how near an equilibrium comes, shows the cycle and
    ends with 1. Flags that begin with "What if" may be combined: together they make one other market, shown side by
    side with the present one.

    \b
    Example:
      prillm-or compete economy-8
      prillm-or compete economy-8 --merge mimo=mimo-v2.5,mimo-v2.5-pro --platform-fee 0.05 --page what-if.html
    """
    from prillm_or.competition.game import compete

    if page is not None:
        checked_output(page, (".html",))
    file = read_instance(instance, outside)
    check_files(json, page, reads=[file.path, *(entry or [])])
    if outside is not None:
        _refuse_outside(leaders, owner, merge, cost_shock)
    with progress(instance, verbose=verbose):
        game = compete(
            file,
            leaders=_leaders(file.market, leaders or [], outside),
            owners=_owners("--owner", owner or []),
            cap=cap,
            merge=_owners("--merge", merge or []),
            entry=entry,
            exit=_names(leave or []),
            price_cap=price_cap,
            cost_shock=_shifts(cost_shock or []),
            demand_shock=_shifts(demand_shock or []),
            platform_fee=platform_fee,
            starts=starts,
            seed=seed,
            tolerance=tolerance,
            time_limit=time_limit,
        )

    def write_page() -> None:
        from prillm_or.report.competition_page import competition_page

        assert page is not None
        with progress("page", verbose=verbose):
            replace_file(page, competition_page(game, outside_note(outside)).encode())

    document = game.to_dict() | outside_field(outside)
    finish(game.parts(outside_note(outside)), document, json, None if page is None else write_page)
    return 0 if game.found else 1


def _refuse_outside(*given: Sequence[str] | None) -> None:
    """Leaving the market has no owner, and costs nobody anything."""
    for text in (text for texts in given for text in texts or []):
        if OUTSIDE in re.split("[=,]", text):
            raise CombinationError(f"{text}: with --outside nobody sets the price or cost of `{OUTSIDE}`; leave it out")


def _names(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for text in given for name in text.split(","))


def _leaders(market: Market, given: Sequence[str], outside: float | None) -> tuple[str, ...]:
    """Who sets prices; leaving the market is free in any case."""
    if given or outside is None:
        return _names(given)
    return tuple(name for name in market.provider_ids if name != OUTSIDE)


def _owners(flag: str, given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(ids.split(",")) for name, ids in by_name(flag, given, "ID,ID").items()}


def _shifts(given: Sequence[str]) -> dict[str, str]:
    return {name: change for text in given for name, _, change in [text.rpartition("=")]}
