"""Explorer: a page on which the leader's price moves flows, loads and profit, with the best price explained."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from prillm_or import __version__
from prillm_or.errors import CombinationError, ConvergenceError
from prillm_or.explanation.derive import explain_price
from prillm_or.explanation.explanation import Explanation
from prillm_or.explanation.tables import maxima_table, prices_table, rivals_table, users_table
from prillm_or.explanation.words import sentences
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.market.decisions import FACTOR, in_words
from prillm_or.market.market import Market
from prillm_or.market.outside import OUTSIDE
from prillm_or.output.numbers import figure, rounded_percent
from prillm_or.output.tables import Table
from prillm_or.report.explorer_data import Movement, document, movement
from prillm_or.report.templates import fill
from prillm_or.result import Result, Status
from prillm_or.solving.run import solve

_ROOM = 250_000
_MOST_ROWS = 100
_FLIPS = {
    "demand": "demand of all users",
    "price": "price of all rivals",
    "unit_cost": "the leader's unit cost, by a share of its price",
    "value": "the leader's value, by a share of its price",
}


@dataclass(frozen=True, eq=False)
class Explored:
    """A market, the result found for it, and the explanation of that result's price.

    Parameters
    ----------
    outside
        Value of the outside option that the market was given and its file does not have, or None.
    """

    market: Market
    result: Result
    explanation: Explanation
    outside: float | None = None


def check_one_price(market: Market) -> None:
    """Refuse a leader whose prices one slider cannot set.

    Raises
    ------
    CombinationError
        When the leader decides several.
    """
    if (several := len(market.decisions)) > 1:
        raise CombinationError(
            f"{market.name}: the leader sets {several} prices, a page moves one; `equilibrium` shows who "
            "uses whom at given prices"
        )


def explore(market: AnyMarket, outside: float | None = None) -> Explored:
    """Price a market and explain the price.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    outside
        As in `Explored`.

    Raises
    ------
    ConvergenceError
        When no price could be proven.
    KeyboardInterrupt
        When it comes.
    """
    market = as_market(market)
    result = solve(market)
    if result.interrupted:
        raise KeyboardInterrupt
    if result.status is Status.ERROR:
        raise ConvergenceError(f"{market.name}: no price could be proven: {'; '.join(result.notes)}")
    return Explored(market, result, explain_price(market, result), outside)


def explorer_page(explored: Sequence[Explored]) -> str:
    """Fill `explorer.html.jinja`: one part for each market, each with all that moves and the explanation.

    All markets together take no more room than one page should.

    Raises
    ------
    CombinationError
        When a leader decides several prices, or a market has too many pieces for a page.
    """
    for one in explored:
        check_one_price(one.market)
    script = files("prillm_or.report").joinpath("explorer.js").read_text(encoding="utf-8")
    return fill(
        "explorer.html.jinja",
        parts=[_part(one, _ROOM // len(explored)) for one in explored],
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )


def _part(explored: Explored, room: int) -> dict[str, object]:
    market, explanation = explored.market, explored.explanation
    moved = movement(market, explanation, room)
    units, what = market.units, in_words(market, market.decisions[0])
    lists = [_prices(explanation)] if explanation.components else []
    return {
        "name": market.name,
        "provider": explanation.provider,
        "what": explanation.what,
        "set": f"{what[0].upper()}{what[1:]}",
        "unit": "" if market.decides == FACTOR else units.of_prices,
        "price": figure(explanation.price, 4),
        "about": _about(explored, moved),
        "description": market.description,
        "units": units,
        "sentences": sentences(explanation),
        "notes": list(_notes(explored, moved)),
        "tables": [*lists, _users(explanation), _rivals(explanation), _maxima(explanation), *_flips(explanation)],
        "data": _script_safe(document(market, explanation, moved)),
    }


def _script_safe(data: Mapping[str, object]) -> str:
    """JSON that ends no script: a name may hold any text."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _about(explored: Explored, moved: Movement) -> str:
    market, result = explored.market, explored.result
    what = explored.explanation.what
    proven = "no gap proven" if result.gap is None else f"proven gap {figure(max(result.gap, 0.0), 2)}"
    return (
        f"Users: {market.n}; providers: {market.m}; leader: {explored.explanation.provider}; {what} cap: "
        f"{figure(explored.explanation.cap, 5)}; best {what} found by {result.method.solver}, {proven}; "
        f"users' equilibria solved: {len(moved.price)}, largest KKT residual {figure(moved.kkt_residual, 2)}."
    )


def _notes(explored: Explored, moved: Movement) -> Iterator[str]:
    """What was added, and what is left out and why."""
    market, what = explored.market, explored.explanation.what
    if explored.outside is not None:
        value = figure(explored.outside, 5)
        yield f"Users may leave: {OUTSIDE} is a rival of value {value}, price 0 and no congestion."
    low, high = (figure(float(moved.price[end]), 5) for end in (0, -1))
    cap = float(market.price_cap[0])
    if moved.cap_profit is None:
        yield f"The curve has very many pieces: only {what}s from {low} to {high} were traced."
    elif moved.price[-1] < cap:
        yield (
            f"{what.title()}s from {high} up to the cap of {figure(cap, 5)} are not shown: little happens there. At "
            f"the cap the profit is {figure(moved.cap_profit, 4)}."
        )
    if market.today is not None and not moved.price[0] <= market.today[0] <= moved.price[-1]:
        yield f"Today's {what}, {figure(market.today.item(), 5)}, is not among the {what}s shown."
    if users := len(moved.users.others):
        yield f"Shown as one: {users} users, of least demand, first of those that never use the leader."
    if rivals := len(moved.providers.others):
        yield f"Shown as one: the {rivals} rivals with the least load at the best price."


def _prices(explanation: Explanation) -> dict[str, object]:
    return _table(
        f"Prices at the best {explanation.what}",
        "What each price of the list bills and earns, and what 1 % more or less of it alone would change.",
        prices_table(explanation),
    )


def _users(explanation: Explanation) -> dict[str, object]:
    what = explanation.what
    return _table(
        f"Users at the best {what}",
        f"Captive: uses the leader alone. Shared: uses rivals too. Leaving: would not use it at a {what} 1 % higher. "
        "Joining: would at one 1 % lower. Away: does not use it. Last two: what 1 % more of the user's demand does to "
        f"the best {what} and to the best profit.",
        users_table(explanation),
    )


def _rivals(explanation: Explanation) -> dict[str, object]:
    what, prices = explanation.what, "prices" if explanation.components else "price"
    return _table(
        f"Rivals at the best {what}",
        f"Tied by: the users, and rivals between, through which it feels the leader's {prices}. Then what 1 % more of "
        f"its {prices}, of its capacity, or a value higher by 1 % of the leader's price, does to the best {what} and "
        "to the best profit; each found by pricing the market anew.",
        rivals_table(explanation),
    )


def _maxima(explanation: Explanation) -> dict[str, object]:
    return _table(
        "Local maxima", f"{explanation.what.title()}s that earn more than those around them.", maxima_table(explanation)
    )


def _flips(explanation: Explanation) -> Iterator[dict[str, object]]:
    if explanation.flips:
        then = f"best {explanation.what} then"
        rows = [
            [
                _FLIPS[flip.what],
                "none up to 100 %" if flip.change is None else rounded_percent(flip.change, sign=True),
                figure(flip.price, 5),
            ]
            for flip in explanation.flips
        ]
        yield _table(
            "What would flip it",
            f"The least change found that makes the best {explanation.what} jump towards the next-best local maximum.",
            Table("", ("what changes", "by", then), rows, ("by", then)),
        )


def _table(title: str, note: str, table: Table) -> dict[str, object]:
    more = len(table.rows) - _MOST_ROWS
    return {
        "title": title,
        "note": note if more <= 0 else f"{note} The first {_MOST_ROWS}; {more} more are in `prillm-or explain`.",
        "headings": table.columns,
        "rows": table.rows[:_MOST_ROWS],
        "texts": [k for k, name in enumerate(table.columns) if k > 0 and name not in table.numbers],
    }
