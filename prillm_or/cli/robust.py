"""What `solve --robust` does: prices over draws of the preferences, or over markets that are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from prillm_or.cli.common import console, number, outside_field, outside_note, progress, read_instance, save, table
from prillm_or.errors import CombinationError
from prillm_or.files.markets import MarketFile, read_market
from prillm_or.market.market import Market
from prillm_or.market.outside import with_outside

if TYPE_CHECKING:
    from prillm_or.robustness.prices import RobustPrice, RobustPrices

_WITH = ("instances", "robust", "draws", "outside", "json", "verbose")
_SOLVERS = ("auto", "path")
_ROWS = {"central": "of the market itself", "best_mean": "best mean", "best_worst": "best worst case"}


def solve_robust(
    context: typer.Context,
    instances: Sequence[str],
    count: int,
    draws: Path | None,
    outside: float | None,
    json: str | None,
    verbose: bool,
) -> int:
    """Price one market over its draws; the exit code."""
    from prillm_or.robustness.prices import robust_to_json
    from prillm_or.robustness.pricing import robust_prices

    _refuse_others(context)
    if len(instances) > 1:
        raise CombinationError("--robust takes one market at a time")
    instance = read_instance(instances[0])
    markets = [instance.market, *_draws(instance, draws, count)]
    if outside is not None:
        markets = [with_outside(market, outside) for market in markets]
    with progress(instances[0], verbose=verbose):
        found = robust_prices(markets[0], markets[1:])
    if json != "-":
        _show(found, outside)
    save(robust_to_json(found, instance.sha256) | outside_field(outside), json)
    return 0


def _refuse_others(context: typer.Context) -> None:
    """Every draw is traced: what concerns another method does not go with it."""
    given = [name for name in context.params if name not in _WITH and _is_given(context, name)]
    if context.params.get("solver") in _SOLVERS:
        given = [name for name in given if name != "solver"]
    if given:
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise CombinationError(
            f"--robust does not go with {flags}: it traces every draw from price 0 to the cap, as path does; leave "
            f"{'it' if len(given) == 1 else 'them'} out"
        )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _draws(instance: MarketFile, place: Path | None, count: int) -> tuple[Market, ...]:
    """The first draws: of a calibration, by default that beside the market, or the markets of a folder."""
    from prillm_or.calibration.draw_files import DRAWS_NAME, read_draws
    from prillm_or.calibration.draws import drawn_markets

    if place is None:
        place = instance.path.with_name(DRAWS_NAME)
        if not place.is_file():
            raise CombinationError(
                f"{instance.market.name}: no {DRAWS_NAME} beside {instance.path}; give --draws the {DRAWS_NAME} of a "
                "calibration, or a folder of markets"
            )
    if not place.is_dir():
        return drawn_markets(read_draws(place), instance.market, count)
    if (place / DRAWS_NAME).is_file():
        raise CombinationError(f"--draws {place}: the folder of a calibration; give {place / DRAWS_NAME}")
    files = sorted(path for path in place.iterdir() if path.name.endswith((".json", ".json.gz")))
    if len(files) < count:
        raise CombinationError(f"--robust {count}: {place} holds {len(files)} markets; take so many")
    return tuple(read_market(path).market for path in files[:count])


def _show(found: RobustPrices, outside: float | None) -> None:
    screen = console()
    columns = ("price", found.provider, "mean profit", "worst profit", "in draw", "profit if it is right", "costs then")
    rows = [_row(_ROWS[name], price) for name, price in found.by_name.items()]
    draws = f"{found.draws} {'draw' if found.draws == 1 else 'draws'}"
    title = f"{found.instance}{outside_note(outside)}: prices over {draws}"
    screen.print(table(title, columns, rows, right=columns[1:]))


def _row(name: str, price: RobustPrice) -> tuple[str, ...]:
    share = price.central_share
    return (
        name,
        number(price.price),
        number(price.mean_profit),
        number(price.worst_profit),
        str(price.worst_draw),
        number(price.central_profit),
        "-" if share is None else f"{max(1 - share, 0.0):.2%}",
    )
