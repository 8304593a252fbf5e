"""What a search for prices at which nobody gains by moving is shown by, before and after a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.market.decisions import in_words
from prillm_or.output.numbers import figure
from prillm_or.output.tables import Part, Table

if TYPE_CHECKING:
    from prillm_or.competition.competition import Competition, PriceEquilibrium, Standing
    from prillm_or.competition.setting import Setting

_ROUNDING = 1e-9
_END = {
    "cycle": "came back to prices it had before",
    "rounds": "neither settled nor came back to prices it had before",
    "settled": "settled where an owner still gains, recomputed afresh",
    "time_limit": "had no time left",
}


def competition_parts(before: Competition, after: Competition | None, note: str) -> Iterator[Part]:
    """Who asks, has and earns what; then what is claimed of it and why, or the cycle."""
    columns = {"today": before.today, "equilibrium": before.first}
    if after is not None:
        columns = {"today": before.today, "present": before.first, "what if": after.first}
    numbers = (*columns, "change")
    market = before.setting.market
    yield Table(
        f"{market.name}{note}: prices at which no owner gains by moving, in {market.units.of_prices}; loads in "
        f"{market.units.of_volume}, money in {market.units.of_money}",
        ("", *columns) if after is None else ("", *numbers),
        list(_rows(before, after, list(columns.values()))),
        numbers,
    )
    yield from (f"* {warning}" for warning in before.warnings)
    yield from _proof("present: " if after else "", before)
    if after is not None:
        yield from _proof("what if: ", after)


def difference(before: float, new: float) -> float:
    """A change; one that is but rounding is none."""
    return new - before if abs(new - before) > _ROUNDING * max(abs(before), abs(new)) else 0.0


def same_demands(before: Competition, after: Competition) -> bool:
    """Whether users want as much, so that their costs can be compared."""
    return np.array_equal(after.setting.market.demand, before.setting.market.demand)


def _rows(
    before: Competition, after: Competition | None, standings: Sequence[Standing | None]
) -> Iterator[Sequence[str]]:
    """Prices, loads and profits of everybody, and what users and the platform have."""
    last = (after or before).setting
    settings = [before.setting] * 2 + ([] if after is None else [after.setting])
    ids = list(dict.fromkeys(name for setting in settings for name in setting.market.provider_ids))

    def row(name: str, values: Sequence[float | None]) -> list[str]:
        change = []
        if after is not None:
            old, new = values[-2:]
            change = ["-" if old is None or new is None else f"{difference(old, new):+.4g}"]
        return [name, *(figure(value, 6) for value in values), *change]

    def of(names: Sequence[str], which: str) -> list[float | None]:
        values: list[float | None] = []
        for setting, standing in zip(settings, standings, strict=True):
            places = [j for j, name in enumerate(setting.market.provider_ids) if name in names]
            known = standing is not None and places
            values.append(float(getattr(standing, which)[places].sum()) if known else None)
        return values

    told = [
        {} if standing is None else dict(zip(_titles(setting), standing.decisions.tolist(), strict=True))
        for setting, standing in zip(settings, standings, strict=True)
    ]
    for title in dict.fromkeys(title for setting in settings for title in _titles(setting)):
        yield row(title, [decided.get(title) for decided in told])
    for which in ("load", "profit"):
        for name in ids:
            yield row(f"{which} of {name}", of([name], which))
    for owner in last.owners:
        if len(owner.providers) > 1:
            yield row(f"profit of owner {owner.name}", of(owner.providers, "profit"))
    costs = row("users' cost", [None if one is None else one.users_cost for one in standings])
    if after is not None and not same_demands(before, after):
        costs[-1] = "-"  # of other demands it is no change of anything
    yield costs
    if last.fee:
        yield row("platform's revenue", [None if one is None else one.platform for one in standings])


def _titles(setting: Setting) -> list[str]:
    """What all providers decide, in words."""
    return [in_words(setting.market, decision) for decision in setting.decisions]


def _proof(begin: str, found: Competition) -> Iterator[Part]:
    setting = found.setting
    for place, one in enumerate(found.equilibria):
        name = "equilibrium" if len(found.equilibria) == 1 else f"equilibrium {place + 1} of {len(found.equilibria)}"
        yield f"{begin}{name}, from start {', '.join(one.starts)}; {one.rounds} rounds for the first"
        if len(found.equilibria) > 1:
            yield f"  {_prices(found, one)}; users' cost {figure(one.standing.users_cost, 6)}"
        gains = [
            (
                owner.name,
                figure(gain.gain, 2),
                figure(gain.relative_gain, 2),
                figure(gain.relative_bound, 2),
                gain.note,
            )
            for owner in setting.owners
            for gain in [one.certificate[owner.name]]
        ]
        headings = ("owner", "largest gain by moving", "relative gain", "proven bound", "how")
        yield Table("", headings, gains, headings[1:4], headings[4:], ("relative gain", "proven bound"))
        unproven = [owner.name for owner in setting.owners if not one.certificate[owner.name].proven]
        if unproven:
            yield f"Not proven, only that nothing better was found: {', '.join(unproven)}"
    if not found.equilibria:
        yield f"{begin}no equilibrium found; nothing is claimed, not that there is none either"
    for failure in found.failures:
        yield f"{begin}start {failure.start} {_END[failure.end]}"
    if not found.equilibria and found.cycle:
        ids = [decision.name for decision in setting.decisions]
        rows = [(str(k + 1), *(figure(price, 6) for price in prices)) for k, prices in enumerate(found.cycle)]
        yield Table(f"{begin}the cycle, prices after each round", ("round", *ids), rows, ids)


def _prices(found: Competition, one: PriceEquilibrium) -> str:
    decisions, values = found.setting.decisions, one.standing.decisions
    return ", ".join(f"{decisions[k].name}={figure(float(values[k]), 6)}" for k in found.setting.priced)
