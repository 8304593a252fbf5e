"""prillm-or curve: the whole profit curve of one of the leader's prices, exact pieces."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Plot,
    check_plot,
    console,
    number,
    outside_field,
    outside_note,
    progress,
    read_instance,
    save,
    table,
)
from prillm_or.curves.trace import Piece, trace
from prillm_or.errors import CombinationError
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import solve_users, user_problem

if TYPE_CHECKING:
    from prillm_or.explanation.pieces import Traced


def command(
    instance: OneInstance,
    provider: Annotated[str | None, typer.Option(help="The leader's provider whose price moves.")] = None,
    plot: Plot = None,
    of: Annotated[
        Literal["profit", "support"] | None,
        typer.Option(help="What --plot draws: the profit, or whom each user uses; the profit if left out."),
    ] = None,
    outside: Outside = None,
    json: Json = None,
) -> int:
    """Trace the load and profit of a leader's provider over all of its prices.

    A leader with several providers names one of them; its other prices stay as today.

    \b
    Example:
      prillm-or curve coding-13 --json curve.json
      prillm-or curve coding-13 --plot support.svg --of support
    """
    from prillm_or.explanation.pieces import Traced
    from prillm_or.report.curve import best_point

    if of is not None and plot is None:
        raise CombinationError(f"--of {of}: it says what --plot draws; give --plot FILE")
    check_plot(plot)
    market = read_instance(instance, outside).market
    which = _which(market, provider)
    prices = _other_prices(market, which)
    with progress(instance, verbose=False):
        users = user_problem(market)
        start = solve_users(users, prices)
        pieces = list(trace(users, prices, which, float(market.price_cap[which]), start))
    best = best_point(market, pieces, which)
    if json != "-":
        _show(market, which, pieces, best, outside)
    save(_to_json(market, which, pieces, best) | outside_field(outside), json)
    if plot is not None:
        _draw(plot, of, market, which, Traced(start, pieces))
    return 0


def _draw(path: Path, of: str | None, market: Market, which: int, traced: Traced) -> None:
    from prillm_or.curves.profit_plot import plot_profit
    from prillm_or.curves.support_plot import plot_support, support_height
    from prillm_or.output.plots import save_plot

    if of == "support":
        draw = partial(plot_support, market=market, traced=traced, which=which)
        save_plot(path, draw, support_height(market, traced))
    else:
        save_plot(path, partial(plot_profit, market=market, pieces=traced.pieces, which=which))


def _which(market: Market, provider: str | None) -> int:
    if provider is None and len(market.leader) == 1:
        return 0
    if provider not in market.leader_ids:
        ids = ", ".join(market.leader_ids)
        raise CombinationError(f"{market.name}: --provider: expected one of {ids} (the leader's), got {provider}")
    return market.leader_ids.index(provider)


def _other_prices(market: Market, which: int) -> Array:
    """The leader's prices today with the moving one at 0."""
    prices = market.price[list(market.leader)]
    prices[which] = 0.0
    if np.isnan(prices).any():
        absent = market.leader_ids[int(np.isnan(prices).argmax())]
        raise CombinationError(f"{market.name}: provider {absent} has no price today for the curve to hold it at")
    return prices


def _to_json(market: Market, which: int, pieces: Sequence[Piece], best: tuple[float, float]) -> dict[str, Any]:
    return {
        "format": "prillm-or/curve@1",
        "provider": market.leader_ids[which],
        "pieces": [
            {
                "from": piece.start,
                "to": piece.end,
                "load": float(piece.load[which]),
                "slope": float(piece.slope[which]),
            }
            for piece in pieces
        ],
        "best": {"price": best[0], "profit": best[1]},
    }


def _show(
    market: Market, which: int, pieces: Sequence[Piece], best: tuple[float, float], outside: float | None
) -> None:
    screen = console()
    rows = [
        (number(piece.start), number(piece.end), number(float(piece.load[which])), number(float(piece.slope[which])))
        for piece in pieces
    ]
    columns = ("from", "to", "load", "slope")
    title = f"{market.name}{outside_note(outside)}: {market.leader_ids[which]}"
    screen.print(table(title, columns, rows, right=columns))
    screen.print(f"best price {number(best[0], 10)}, profit {number(best[1], 10)}")
