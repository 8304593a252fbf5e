"""prillm-or compete: prices at which no owner gains by moving, and what a change of the market would do to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from prillm_or.cli.common import (
    Json,
    OneInstance,
    Outside,
    Verbose,
    console,
    finite,
    number,
    outside_field,
    outside_note,
    progress,
    read_instance,
    save,
    table,
)
from prillm_or.errors import CombinationError, MarketError, PrillmError
from prillm_or.market.outside import OUTSIDE

if TYPE_CHECKING:
    from prillm_or.competition.competition import Competition, PriceEquilibrium, Standing
    from prillm_or.competition.counterfactual import Shift
    from prillm_or.competition.setting import Owner
    from prillm_or.market.market import Market

_ROUNDING = 1e-9
_END = {
    "cycle": "came back to prices it had before",
    "rounds": "neither settled nor came back to prices it had before",
    "settled": "settled where an owner still gains, recomputed afresh",
    "time_limit": "had no time left",
}


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
    json: Json = None,
    verbose: Verbose = False,
) -> int:
    """Find prices at which no owner gains by moving, and compare them with those after a change.

    Owners answer one another with exact best prices, from several starts; what is claimed is checked afresh, owner by
    owner. Where nothing settles the command says so, shows the cycle and ends with 1. Flags that begin with "What if"
    may be combined: together they make one other market, shown side by side with the present one.

    \b
    Example:
      prillm-or compete economy-8
      prillm-or compete economy-8 --merge mimo=mimo-v2.5,mimo-v2.5-pro --platform-fee 0.05
    """
    from prillm_or.competition.competition import competition_to_json
    from prillm_or.competition.counterfactual import Counterfactual, apply_counterfactual, carried_over, parse_shift
    from prillm_or.competition.search import compete
    from prillm_or.competition.setting import setting_of

    what = Counterfactual(
        merge=_owners("--merge", merge or []),
        entry={str(path): _entrant(path) for path in entry or []},
        exit=_names(leave or []),
        price_cap=price_cap,
        cost=_shifts("--cost-shock", cost_shock or [], parse_shift),
        demand=_shifts("--demand-shock", demand_shock or [], parse_shift),
        platform_fee=platform_fee,
    )
    market = read_instance(instance, outside).market
    if outside is not None:
        _refuse_outside(leaders, owner, merge, cost_shock)
    setting = setting_of(market, _leaders(market, leaders or [], outside), _owners("--owner", owner or []), cap)
    other = None if what.empty else apply_counterfactual(setting, what)
    asked: dict[str, Any] = {"starts": starts, "seed": seed, "tolerance": tolerance, "time_limit": time_limit}
    after = None
    with progress(instance, verbose=verbose):
        found = compete(setting, **asked)
        if other is not None:
            at = found.equilibria[0].standing.prices if found.equilibria else setting.start()
            after = compete(other, first=carried_over(setting, at, other), **asked)
    if json != "-":
        _show(found, after, outside)
    given = {
        "merge": merge,
        "entry": None if entry is None else list(map(str, entry)),
        "exit": leave,
        "price_cap": price_cap,
        "cost_shock": cost_shock,
        "demand_shock": demand_shock,
        "platform_fee": platform_fee,
    }
    what_if = {flag: value for flag, value in given.items() if value is not None}
    document = competition_to_json(found) | outside_field(outside)
    other_document = None if after is None else {"what_if": what_if, **competition_to_json(after)}
    save(document | {"counterfactual": other_document}, json)
    return 0 if found.equilibria and (after is None or after.equilibria) else 1


def _refuse_outside(*given: Sequence[str] | None) -> None:
    """Leaving the market has no owner, and costs nobody anything."""
    for text in (text for texts in given for text in texts or []):
        if OUTSIDE in re.split("[=,]", text):
            raise CombinationError(f"{text}: with --outside nobody sets the price or cost of `{OUTSIDE}`; leave it out")


def _names(given: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for text in given for name in text.split(","))


def _leaders(market: Market, given: Sequence[str], outside: float | None) -> tuple[str, ...]:
    """Who sets prices; leaving the market is free in any case."""
    names = _names(given)
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise CombinationError(f"--leaders: {', '.join(repeated)} more than once")
    if given or outside is None:
        return names
    return tuple(name for name in market.provider_ids if name != OUTSIDE)


def _owners(flag: str, given: Sequence[str]) -> tuple[Owner, ...]:
    from prillm_or.competition.setting import Owner

    owners = []
    for text in given:
        name, sign, ids = text.partition("=")
        if not (name and sign and ids):
            raise CombinationError(f"{flag} {text}: expected NAME=ID,ID")
        owners.append(Owner(name, tuple(ids.split(","))))
    return tuple(owners)


def _shifts(flag: str, given: Sequence[str], parse: Callable[[str], Shift]) -> dict[str, Shift]:
    shifts = {}
    for text in given:
        name, _, change = text.rpartition("=")
        try:
            shifts[name] = parse(change)
        except ValueError:
            raise CombinationError(
                f"{flag} {text}: expected ID=CHANGE with a change such as +10%, -10%, +0.5 or -0.5"
            ) from None
    return shifts


def _entrant(path: Path) -> dict[str, Any]:
    from prillm_or.files.changes import read_change

    try:
        return read_change(path.read_bytes())
    except OSError as failure:
        raise PrillmError(f"{path}: cannot be read: {failure.strerror}") from None
    except MarketError as error:
        raise MarketError(str(path), error.problems) from None


def _show(found: Competition, after: Competition | None, outside: float | None) -> None:
    screen = console()
    columns = {"today": found.today, "equilibrium": _first(found)}
    if after is not None:
        columns = {"today": found.today, "present": _first(found), "what if": _first(after)}
    rows = list(_rows(found, after, list(columns.values())))
    right = (*columns, "change")
    headings = ("", *columns) if after is None else ("", *right)
    title = f"{found.setting.market.name}{outside_note(outside)}: prices at which no owner gains by moving"
    screen.print(table(title, headings, rows, right))
    for title, one in (("present" if after else "", found), ("what if", after)):
        if one is not None:
            _show_proof(title, one)


def _change(before: float, new: float) -> float:
    """A change; one that is but rounding is none."""
    return new - before if abs(new - before) > _ROUNDING * max(abs(before), abs(new)) else 0.0


def _first(found: Competition) -> Standing | None:
    return found.equilibria[0].standing if found.equilibria else None


def _rows(found: Competition, after: Competition | None, standings: Sequence[Standing | None]) -> Iterator[list[str]]:
    """Prices, loads and profits of everybody, and what users and the platform have."""
    last = found if after is None else after
    settings = [found.setting] * 2 + ([] if after is None else [after.setting])
    ids = list(dict.fromkeys(name for setting in settings for name in setting.market.provider_ids))

    def row(name: str, values: Sequence[float | None]) -> list[str]:
        change = []
        if after is not None:
            before, new = values[-2:]
            change = ["-" if before is None or new is None else f"{_change(before, new):+.4g}"]
        return [name, *(number(value, 6) for value in values), *change]

    def of(names: Sequence[str], which: str) -> list[float | None]:
        values: list[float | None] = []
        for setting, standing in zip(settings, standings, strict=True):
            places = [j for j, name in enumerate(setting.market.provider_ids) if name in names]
            known = standing is not None and places
            values.append(float(getattr(standing, which)[places].sum()) if known else None)
        return values

    for which, title in (("prices", "price"), ("load", "load"), ("profit", "profit")):
        for name in ids:
            yield row(f"{title} of {name}", of([name], which))
    for owner in last.setting.owners:
        if len(owner.providers) > 1:
            yield row(f"profit of owner {owner.name}", of(owner.providers, "profit"))
    costs = row("users' cost", [None if one is None else one.users_cost for one in standings])
    if after is not None and not np.array_equal(settings[-1].market.demand, settings[0].market.demand):
        costs[-1] = "-"  # of other demands it is no change of anything
    yield costs
    if last.setting.fee:
        yield row("platform's revenue", [None if one is None else one.platform for one in standings])


def _show_proof(title: str, found: Competition) -> None:
    """What is claimed and why, or the cycle."""
    screen, setting = console(), found.setting
    begin = f"{title}: " if title else ""
    for place, one in enumerate(found.equilibria):
        name = "equilibrium" if len(found.equilibria) == 1 else f"equilibrium {place + 1} of {len(found.equilibria)}"
        screen.print(f"{begin}{name}, from start {', '.join(one.starts)}; {one.rounds} rounds for the first")
        if len(found.equilibria) > 1:
            screen.print(f"  {_prices(found, one)}; users' cost {number(one.standing.users_cost, 6)}")
        gains = [
            (
                owner.name,
                f"{gain.gain:.1e}",
                f"{gain.relative_gain:.1e}",
                "-" if gain.relative_bound is None else f"{gain.relative_bound:.1e}",
                gain.note,
            )
            for owner in setting.owners
            for gain in [one.certificate[owner.name]]
        ]
        headings = ("owner", "largest gain by moving", "relative", "proven bound", "how")
        screen.print(table("", headings, gains, right=headings[1:4]))
        unproven = [owner.name for owner in setting.owners if not one.certificate[owner.name].proven]
        if unproven:
            screen.print(f"Not proven, only that nothing better was found: {', '.join(unproven)}")
    if not found.equilibria:
        screen.print(f"{begin}no equilibrium found; nothing is claimed, not that there is none either")
    for failure in found.failures:
        screen.print(f"{begin}start {failure.start} {_END[failure.end]}")
    if not found.equilibria and found.cycle:
        ids = setting.market.provider_ids
        rows = [(str(k + 1), *(number(price, 6) for price in prices)) for k, prices in enumerate(found.cycle)]
        screen.print(table(f"{begin}the cycle, prices after each round", ("round", *ids), rows, right=ids))


def _prices(found: Competition, one: PriceEquilibrium) -> str:
    ids, prices = found.setting.market.provider_ids, one.standing.prices
    return ", ".join(f"{ids[j]}={number(float(prices[j]), 6)}" for j in found.setting.priced)
