"""What a search for prices at which nobody gains by moving is shown by, before and after a change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.market.decisions import in_words
from prillm_or.output.numbers import figure
from prillm_or.output.tables import Part, Table

if TYPE_CHECKING:
    from prillm_or.competition.competition import Competition, Gain, Standing
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
    yield from _verdict("" if after is None else "present: ", before)
    if after is not None:
        yield from _verdict("what if: ", after)
    columns = {"today": before.today, "equilibrium": before.first}
    if before.nearest is not None and after is None:
        columns = {"today": before.today, "nearest": before.nearest.standing}
    if after is not None:
        columns = {"today": before.today, "present": before.first, "what if": after.first}
    numbers = (*columns, "change")
    what = "prices at which no owner gains by moving" if "nearest" not in columns else "prices nearest to that"
    market = before.setting.market
    yield Table(
        f"{market.name}{note}: {what}, in {market.units.of_prices}; loads in "
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


def _verdict(begin: str, found: Competition) -> Iterator[str]:
    """What is claimed, first of all, where it is less than an equilibrium."""
    near = found.nearest
    if near is not None:
        yield (
            f"{begin}{_none(found)}. At the nearest prices found no owner gains more than {100 * near.epsilon:.2g} % "
            f"of its profit by moving ({near.owner}: {figure(near.certificate[near.owner].bound, 2)} "
            f"{found.setting.market.units.of_money})"
        )


def _none(found: Competition) -> str:
    if found.absence is None:
        return "no equilibrium found; it is not proven that there is none"
    return (
        "no equilibrium: proven that, whatever they ask up to their caps, one of the two owners gains more than "
        f"{100 * found.absence.share:.2g} % of what its best answer earns by moving"
    )


def _gains(certificate: Mapping[str, Gain]) -> Table:
    """What each owner gains by moving alone, and how far that is proven."""
    rows = [
        (name, figure(gain.gain, 2), figure(gain.relative_gain, 2), figure(gain.relative_bound, 2), gain.note)
        for name, gain in certificate.items()
    ]
    headings = ("owner", "largest gain by moving", "relative gain", "proven bound", "how")
    return Table("", headings, rows, headings[1:4], headings[4:], ("relative gain", "proven bound"))


def _proof(begin: str, found: Competition) -> Iterator[Part]:
    setting = found.setting
    for place, one in enumerate(found.equilibria):
        name = "equilibrium" if len(found.equilibria) == 1 else f"equilibrium {place + 1} of {len(found.equilibria)}"
        yield f"{begin}{name}, from start {', '.join(one.starts)}; {one.rounds} rounds for the first"
        if len(found.equilibria) > 1:
            yield f"  {_prices(found, one.standing)}; users' cost {figure(one.standing.users_cost, 6)}"
        yield _gains(one.certificate)
    if found.nearest is not None:
        yield f"{begin}nearest: {_prices(found, found.nearest.standing)}"
        yield _gains(found.nearest.certificate)
    for failure in found.failures:
        yield f"{begin}start {failure.start} {_END[failure.end]}"
    if not found.equilibria and found.cycle:
        ids = [decision.name for decision in setting.decisions]
        rows = [(str(k + 1), *(figure(price, 6) for price in prices)) for k, prices in enumerate(found.cycle)]
        yield Table(f"{begin}the cycle, prices after each round", ("round", *ids), rows, ids)
        ranges = found.cycle_range
        titles = [*ranges["decisions"], *(f"profit of {name}" for name in ranges["profits"])]
        figures = [*ranges["decisions"].values(), *ranges["profits"].values()]
        rows = [
            (title, *(figure(value, 6) for value in (one.low, one.mean, one.high)))
            for title, one in zip(titles, figures, strict=True)
        ]
        headings = ("", "lowest", "mean", "highest")
        yield Table(f"{begin}over the cycle", headings, rows, headings[1:])


def _prices(found: Competition, standing: Standing) -> str:
    decisions, values = found.setting.decisions, standing.decisions
    return ", ".join(f"{decisions[k].name}={figure(float(values[k]), 6)}" for k in found.setting.priced)
