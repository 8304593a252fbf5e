"""Explorer: a page on which the leader's decisions move flows, loads and profit, with the best ones explained."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from prillm_or import __version__
from prillm_or.errors import ConvergenceError
from prillm_or.explanation.derive import explain
from prillm_or.explanation.explanation import Explanation
from prillm_or.explanation.prices_explanation import PricesExplanation
from prillm_or.explanation.prices_tables import (
    decisions_table,
    elasticities_table,
    turns_table,
    users_of_prices_table,
)
from prillm_or.explanation.prices_words import sentences_of_prices
from prillm_or.explanation.tables import (
    maxima_table,
    prices_table,
    rivals_of_prices_table,
    rivals_table,
    users_table,
)
from prillm_or.explanation.words import sentences
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.market.decisions import FACTOR, Decision, in_words
from prillm_or.market.market import Market
from prillm_or.market.outside import OUTSIDE
from prillm_or.output.numbers import figure, rounded_percent
from prillm_or.output.tables import Table
from prillm_or.report.explorer_data import Movement, document, movement
from prillm_or.report.explorer_slices import Slice, decision_slices
from prillm_or.report.templates import fill
from prillm_or.result import Result, Status
from prillm_or.solving.recheck import decided_in
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
    """A market, the result found for it, and the explanation of that result's decisions.

    Parameters
    ----------
    outside
        Value of the outside option that the market was given and its file does not have, or None.
    """

    market: Market
    result: Result
    explanation: Explanation | PricesExplanation
    outside: float | None = None


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
    return Explored(market, result, explain(market, result), outside)


def explorer_page(explored: Sequence[Explored]) -> str:
    """Fill `explorer.html.jinja`: one part for each market, each with all that moves and the explanation.

    All markets together take no more room than one page should.

    Raises
    ------
    CombinationError
        When a market has too many pieces for a page.
    """
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
    if isinstance(explanation, PricesExplanation):
        shown = _of_several(explored, explanation, room)
    else:
        shown = _of_one(explored, explanation, room)
    return {
        "name": market.name,
        "what": explanation.what,
        "sliders": [_slider(market, decision) for decision in market.decisions],
        "description": market.description,
        "units": market.units,
        **shown,
    }


def _slider(market: Market, decision: Decision) -> dict[str, str]:
    """What a slider sets, and in what unit."""
    what = in_words(market, decision)
    return {"set": f"{what[0].upper()}{what[1:]}", "unit": "" if market.decides == FACTOR else market.units.of_prices}


def _of_one(explored: Explored, explanation: Explanation, room: int) -> dict[str, object]:
    """What is shown of a market with one decision."""
    market, moved = explored.market, movement(explored.market, explanation, room)
    lists = [_prices(explanation)] if explanation.components else []
    return {
        "why": f"Why {figure(explanation.price, 4)} is best",
        "leader": f"{explanation.provider}, the leader",
        "about": _about(explored, f"{explanation.what} cap: {figure(explanation.cap, 5)}", [moved]),
        "sentences": sentences(explanation),
        "notes": list(_notes(explored, moved)),
        "tables": [*lists, _users(explanation), _rivals(explanation), _maxima(explanation), *_flips(explanation)],
        "data": _script_safe(document(market, explanation, moved)),
    }


def _of_several(explored: Explored, explanation: PricesExplanation, room: int) -> dict[str, object]:
    """What is shown of a market with several: a curve along each, the others at the best, and as today."""
    market, what = explored.market, explanation.what
    loads = [rival.load for rival in explanation.rivals]
    slices = decision_slices(market, decided_in(market, explored.result), loads, room)
    return {
        "why": f"Why these {what}s are best",
        "leader": f"the leader's: {', '.join(market.leader_ids)}",
        "about": _about(explored, f"{what}s set: {len(market.decisions)}", [one.moved for one in slices]),
        "sentences": sentences_of_prices(explanation),
        "notes": list(_notes_of_several(explored, slices)),
        "tables": list(_tables_of_several(explanation)),
        "data": _script_safe({"slices": [one.document(market) for one in slices]}),
    }


def _script_safe(data: Mapping[str, object]) -> str:
    """JSON that ends no script: a name may hold any text."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _about(explored: Explored, set_by: str, moved: Sequence[Movement]) -> str:
    market, result, what = explored.market, explored.result, explored.explanation.what
    proven = "no gap proven" if result.gap is None else f"proven gap {figure(max(result.gap, 0.0), 2)}"
    several = "s" if len(market.decisions) > 1 else ""
    return (
        f"Users: {market.n}; providers: {market.m}; leader: {', '.join(market.leader_ids)}; {set_by}; "
        f"best {what}{several} found by {result.method.solver}, {proven}; "
        f"users' equilibria solved: {sum(len(one.price) for one in moved)}, "
        f"largest KKT residual {figure(max(one.kkt_residual for one in moved), 2)}."
    )


def _notes(explored: Explored, moved: Movement) -> Iterator[str]:
    """What was added, and what is left out and why, where one decision moves."""
    market, what = explored.market, explored.explanation.what
    yield from _added(explored)
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
    yield from _left_out(moved)


def _notes_of_several(explored: Explored, slices: Sequence[Slice]) -> Iterator[str]:
    """The same where several do, and how they move."""
    market, what = explored.market, explored.explanation.what
    yield from _added(explored)
    then = ", or, after “Today”, as today" if slices[-1].base == "today" else ""
    yield (
        f"A slider moves one {what} alone, exactly, with all others held at the best{then}; another slider puts it "
        f"back there. At the dear end {what}s at which little happens are left out."
    )
    if parts := [one.name(market) for one in slices if one.moved.cap_profit is None]:
        yield f"Curves of very many pieces, of which a part was traced: {', '.join(dict.fromkeys(parts))}."
    yield from _left_out(slices[0].moved)


def _added(explored: Explored) -> Iterator[str]:
    if explored.outside is not None:
        value = figure(explored.outside, 5)
        yield f"Users may leave: {OUTSIDE} is a rival of value {value}, price 0 and no congestion."


def _left_out(moved: Movement) -> Iterator[str]:
    if users := len(moved.users.others):
        yield f"Shown as one: {users} users, of least demand, first of those that never use the leader."
    if rivals := len(moved.providers.others):
        yield f"Shown as one: the {rivals} rivals with the least load at the best price."


def _tables_of_several(explanation: PricesExplanation) -> Iterator[dict[str, object]]:
    what = explanation.what
    yield _table(
        f"The best {what}s", "Last two: the profit with 1 % more or less of each alone.", decisions_table(explanation)
    )
    yield _table(
        "Elasticities",
        f"Change of the {explanation.sold} of each row with 1 % more of the {what} of each column, in %; of two "
        "figures at a kink the first is for a lower one.",
        elasticities_table(explanation),
    )
    yield _table("Who comes and goes", f"The nearest along each {what}, all others held.", turns_table(explanation))
    yield _table(
        f"Users at the best {what}s",
        f"Captive: uses the leader alone. Shared: uses rivals too. Away: does not use it. Last: what 1 % more of the "
        f"user's demand does to the best profit and {what}s.",
        users_of_prices_table(explanation),
    )
    yield _table(
        f"Rivals at the best {what}s",
        f"Tied by: the users, and rivals between, through which it feels the leader's {what}s. Then what 1 % more of "
        f"its price or capacity does to the best profit and {what}s.",
        rivals_of_prices_table(explanation),
    )


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
