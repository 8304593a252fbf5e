"""Explorer: a page that computes flows, loads and profit as decisions and the market move, with the best explained."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from prillm_or import __version__
from prillm_or.errors import CombinationError, ConvergenceError
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
from prillm_or.files.markets import AnyMarket, opened
from prillm_or.market.changes import Change, apply
from prillm_or.market.decisions import FACTOR, Decision, in_words
from prillm_or.market.fit_note import Range
from prillm_or.market.market import Market, by_decision
from prillm_or.market.outside import OUTSIDE, without_delay
from prillm_or.output.advice import SAME, UNIDENTIFIED, left_open
from prillm_or.output.numbers import apart, figure, gap_figure, rounded_percent
from prillm_or.output.tables import Table
from prillm_or.report.explorer_data import check_size, document
from prillm_or.report.templates import fill
from prillm_or.result import Result, Status
from prillm_or.solving.recheck import decided_in
from prillm_or.solving.run import solve
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium_at

if TYPE_CHECKING:
    from prillm_or.calibration.fit_files import FitFile

_SCRIPTS = ("equilibrium.js", "explorer_pictures.js", "explorer.js")
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
    source
        What a command line calls the market: the name of a shipped one, or the path of a file.
    fit
        What the calibration that wrote the market says of it, or None.
    changes
        What makes the market of that of the source, each a change as a line of `watch`.
    """

    market: Market
    result: Result
    explanation: Explanation | PricesExplanation
    outside: float | None = None
    source: str = ""
    fit: FitFile | None = None
    changes: tuple[str, ...] = ()

    @property
    def ranges(self) -> Mapping[str, Range]:
        """Best decisions that the data leave open, by name."""
        found = None if self.market.fit is None else self.market.fit.best_price_range
        if self.fit is not None:
            found = given if isinstance(given := self.fit.best_price_range, dict) else _of_the_one(self.market, given)
        return found or {}


def _of_the_one(market: Market, ends: Range | None) -> Mapping[str, Range] | None:
    return ends and {market.decisions[0].name: ends}


def explore(market: AnyMarket, outside: float | None = None, source: str = "", fit: FitFile | None = None) -> Explored:
    """Price a market and explain the price.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    outside, source, fit
        As in `Explored`; without a source, the market's file or name.

    Raises
    ------
    CombinationError
        When the market is too large for a page, or is none of the fit.
    ConvergenceError
        When no price could be proven.
    KeyboardInterrupt
        When it comes.
    """
    known = source or (os.fspath(market) if isinstance(market, (str, os.PathLike)) else "")
    market, file = opened(market)
    check_size(market)
    if fit is not None:
        _check_fit(market, fit)
    result = solve(market)
    if result.interrupted:
        raise KeyboardInterrupt
    if result.status is Status.ERROR:
        raise ConvergenceError(f"{market.name}: no price could be proven: {'; '.join(result.notes)}")
    known = known or (f"{market.name}.json" if file is None else str(file.path))
    return Explored(market, result, explain(market, result), outside, known, fit)


def scenario(base: Explored, name: str, change: Change) -> Explored:
    """Price and explain a market as a change makes it of one that was explored.

    Raises
    ------
    MarketError
        When the change breaks a rule.
    ConvergenceError, KeyboardInterrupt
        As of `explore`.
    """
    change = change if base.outside is None else without_delay(change, base.market)
    market = replace(apply(base.market, change), name=f"{base.market.name}: {name}")
    return replace(explore(market, base.outside, base.source), changes=(*base.changes, json.dumps(change)))


def _check_fit(market: Market, fit: FitFile) -> None:
    """Refuse a fit without a profile, or of others than this market's."""
    if fit.profile is None:
        raise CombinationError(f"{market.name}: the fit has no profile: it was made for no leader; calibrate with one")
    strangers = {*market.provider_ids} - {*fit.values, OUTSIDE} | ({*market.user_ids} - {*fit.users})
    names = {decision.name for decision in market.decisions}
    best = fit.profile.best_price
    if strangers or (set(best) != names if isinstance(best, dict) else len(names) > 1):
        raise CombinationError(
            f"{market.name}: the fit is of other users, providers or decisions; give the fit.json of the calibrate "
            "that wrote the market"
        )


@dataclass(frozen=True)
class Beside:
    """What stands above markets that are to be compared: a heading, lines, and tables."""

    title: str
    parts: Sequence[str | Table]


def explorer_page(explored: Sequence[Explored], beside: Beside | None = None) -> str:
    """Fill `explorer.html.jinja`: one part for each market, each with all that moves and the explanation.

    Parameters
    ----------
    beside
        What stands above all; if nothing is given, those that changes make of the first one beside it in a table.
    """
    scenarios = [one for one in explored if one.changes]
    if beside is None and scenarios:
        beside = Beside("Scenarios side by side", [_side_by_side(explored[0], scenarios)])
    folder = files("prillm_or.report")
    script = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return fill(
        "explorer.html.jinja",
        parts=[_part(one) for one in explored],
        beside=beside,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
    )


def _side_by_side(base: Explored, scenarios: Sequence[Explored]) -> Table:
    """A column for each scenario: its best decisions, what they bring, and what those of the present bring there."""
    shown = [base, *scenarios]
    best = [decided_in(one.market, one.result).tolist() for one in shown]
    kept = [profit_of(one.market, best[0], equilibrium_at(one.market, best[0]).billed) for one in shown]
    units, titles = base.market.units, [in_words(base.market, decision) for decision in base.market.decisions]
    whats = f"{base.explanation.what}{'s' * (len(titles) > 1)}"
    today = [None if one.result.today is None else one.result.today.profit for one in shown]
    figures: dict[str, Sequence[float | None]] = {
        **{f"best {title}": values for title, values in zip(titles, zip(*best, strict=True), strict=True)},
        f"best profit, {units.of_money}": [one.result.profit for one in shown],
        f"profit at the present's best {whats}": kept,
        f"profit at today's {whats}": today,
        f"load at the best, {units.of_volume}": [sum(one.result.loads.values()) for one in shown],
    }
    names = [one.market.name.removeprefix(f"{base.market.name}: ") for one in scenarios]
    columns = ("", "present", *names)
    rows = [[title, *(figure(value, 5) for value in values)] for title, values in figures.items()]
    return Table("", columns, rows, columns[1:])


def _part(explored: Explored) -> dict[str, object]:
    market, explanation = explored.market, explored.explanation
    shown = _of_several(explanation) if isinstance(explanation, PricesExplanation) else _of_one(explanation)
    best = decided_in(market, explored.result)
    maxima = [] if isinstance(explanation, PricesExplanation) else [one.price for one in explanation.local_maxima]
    data = document(market, best, maxima, explored.ranges) | {
        "source": explored.source,
        "outside": explored.outside,
        "before": explored.changes,
    }
    return {
        "name": market.name,
        "headline": _headline(explored),
        "warnings": list(_warnings(explored)),
        "what": explanation.what,
        "sliders": [_slider(market, decision) for decision in market.decisions],
        "map": len(market.decisions) == 2,
        "profile": _profile(explored),
        "about": _about(explored),
        "description": market.description,
        "notes": list(_notes(explored, data)),
        "units": market.units,
        "data": _script_safe(data),
        **shown,
    }


def _profile(explored: Explored) -> list[dict[str, object]]:
    """Pictures of what a fit leaves open."""
    if explored.fit is None:
        return []
    from prillm_or.report.profile_pictures import line_of_fit, profile_pictures

    line = line_of_fit(explored.fit, explored.market)
    return [] if line is None else profile_pictures(line, explored.market.units.of_prices)


def _headline(explored: Explored) -> str:
    """Today -> best: each decision and the profit."""
    market, result = explored.market, explored.result
    today = None if result.today is None else result.today.profit
    before = by_decision(market, market.current)
    moves = [
        (in_words(market, one), None if result.today is None else before[one.name], value)
        for one, value in zip(market.decisions, decided_in(market, result).tolist(), strict=True)
    ]
    told = "; ".join(_move(*one) for one in [*moves, ("profit", today, result.profit)])
    moved = today is not None and today > 0 and not _same(today, result.profit)
    gained = f" ({rounded_percent(result.profit / today - 1, sign=True)})" if today and moved else ""
    return f"{'Best' if result.today is None else 'Today → best'}: {told} {market.units.of_money}{gained}."


def _move(what: str, before: float | None, after: float) -> str:
    if before is None:
        return f"{what} {figure(after, 4)}"
    return (
        f"{what} stays at {figure(after, 4)}" if _same(before, after) else f"{what} {' → '.join(apart(before, after))}"
    )


def _same(before: float, after: float) -> bool:
    """Whether nobody acts on a difference."""
    return abs(after - before) <= SAME * abs(before)


def _warnings(explored: Explored) -> Iterator[str]:
    """What to think of before acting on the price; first what the data leave open."""
    if unknown := left_open(explored.result):
        yield f"Try prices, do not settle on one: {'; '.join(unknown)}."
    yield from (str(warning) for warning in explored.result.warnings if warning.code != UNIDENTIFIED)


def _slider(market: Market, decision: Decision) -> dict[str, str]:
    """What a slider sets, and in what unit."""
    what = in_words(market, decision)
    return {"set": f"{what[0].upper()}{what[1:]}", "unit": "" if market.decides == FACTOR else market.units.of_prices}


def _of_one(explanation: Explanation) -> dict[str, object]:
    """What is said of a market with one decision."""
    lists = [_prices(explanation)] if explanation.components else []
    return {
        "why": f"Why {figure(explanation.price, 4)} is best",
        "leader": f"{explanation.provider}, the leader",
        "sentences": sentences(explanation),
        "tables": [*lists, _users(explanation), _rivals(explanation), _maxima(explanation), *_flips(explanation)],
    }


def _of_several(explanation: PricesExplanation) -> dict[str, object]:
    """What is said of a market with several."""
    return {
        "why": f"Why these {explanation.what}s are best",
        "leader": f"the leader's: {', '.join(explanation.loads)}",
        "sentences": sentences_of_prices(explanation),
        "tables": list(_tables_of_several(explanation)),
    }


def _script_safe(data: Mapping[str, object]) -> str:
    """JSON that ends no script: a name may hold any text."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _about(explored: Explored) -> str:
    market, result, what = explored.market, explored.result, explored.explanation.what
    proven = "no gap proven" if result.gap is None else f"proven gap {gap_figure(result.gap)}"
    many = len(market.decisions) > 1
    set_by = f"{what}s set: {len(market.decisions)}" if many else f"{what} cap: {figure(market.price_cap.item(), 5)}"
    return (
        f"Users: {market.n}; providers: {market.m}; leader: {', '.join(market.leader_ids)}; {set_by}; "
        f"best {what}{'s' * many} found by {result.method.solver}, {proven}, certified to "
        f"{figure(result.certificate.worst, 1)}."
    )


def _notes(explored: Explored, data: Mapping[str, Any]) -> Iterator[str]:
    """What was added, and what is left out and why."""
    market, what = explored.market, explored.explanation.what
    if explored.outside is not None:
        value = figure(explored.outside, 5)
        yield f"Users may leave: {OUTSIDE} is a rival of value {value}, price 0 and no congestion."
    for slider in data["sliders"]:
        if slider["high"] < slider["cap"]:
            yield (
                f"The slider of {slider['name']} ends at {figure(slider['high'], 5)}: little happens from there up to "
                f"the cap of {figure(slider['cap'], 5)}, which the field beside it takes."
            )
    if market.today is not None and data["today"] is None:
        beyond = ", ".join(figure(value, 5) for value in market.today.tolist())
        yield f"Today's {what}, {beyond}, is above the cap: the sliders do not go there."
    named = data["named"]
    if users := market.n - len(named["users"]):
        yield f"Shown as one: {users} users, of least demand, first of those that do not use the leader at the best."
    if rivals := market.m - len(named["providers"]):
        yield f"Shown as one: the {rivals} rivals with the least load at the best {what}."


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
