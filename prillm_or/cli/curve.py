"""prillm-or curve: the whole profit curve of one of the leader's prices, exact pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import typer

from prillm_or.cli.common import Json, OneInstance, console, number, progress, read_instance, save, table
from prillm_or.equilibrium import user_problem
from prillm_or.errors import CombinationError
from prillm_or.market import Array, Market
from prillm_or.solvers.trace import Piece, best_on_piece, trace


def command(
    instance: OneInstance,
    provider: Annotated[str | None, typer.Option(help="The leader's provider whose price moves.")] = None,
    json: Json = None,
) -> int:
    """Trace the load and profit of a leader's provider over all of its prices.

    A leader with several providers names one of them; its other prices stay as today.

    \b
    Example:
      prillm-or curve coding-13 --json curve.json
    """
    market = read_instance(instance).market
    which = _which(market, provider)
    prices = _other_prices(market, which)
    with progress(instance, verbose=False):
        pieces = list(trace(user_problem(market), prices, which, float(market.price_cap[which])))
    best = _best(market, prices, which, pieces)
    if json != "-":
        _show(market, which, pieces, best)
    save(_to_json(market, which, pieces, best), json)
    return 0


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


def _best(market: Market, prices: Array, which: int, pieces: Sequence[Piece]) -> tuple[float, float]:
    unit_costs = market.unit_cost[list(market.leader)]
    points = [best_on_piece(piece, which, prices - unit_costs, float(unit_costs[which])) for piece in pieces]
    return max(points, key=lambda point: point[1])


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


def _show(market: Market, which: int, pieces: Sequence[Piece], best: tuple[float, float]) -> None:
    screen = console()
    rows = [
        (number(piece.start), number(piece.end), number(float(piece.load[which])), number(float(piece.slope[which])))
        for piece in pieces
    ]
    columns = ("from", "to", "load", "slope")
    screen.print(table(f"{market.name}: {market.leader_ids[which]}", columns, rows, right=columns))
    screen.print(f"best price {number(best[0], 10)}, profit {number(best[1], 10)}")
