"""Observations as three tidy tables, flows, providers and delays, of files or frames: checked, tied, made arrays of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.errors import ObservationsError
from prillm_or.files.tables import Column, Kind, Table, frame_table
from prillm_or.market.faults import Faults, shown
from prillm_or.market.market import Array, Mask

if TYPE_CHECKING:
    from pandas import DataFrame

_DAY, _USER, _PROVIDER = Column("day", Kind.DAY), Column("user", Kind.TEXT), Column("provider", Kind.TEXT)
COLUMNS = {
    "flows": (_DAY, _USER, _PROVIDER, Column("flow", Kind.NON_NEGATIVE)),
    "providers": (_DAY, _PROVIDER, Column("price", Kind.NON_NEGATIVE), Column("capacity", Kind.POSITIVE)),
    "delays": (Column("day", Kind.DAY, optional=True), _USER, _PROVIDER, Column("delay", Kind.NON_NEGATIVE)),
}
KEYS = ("day", "user", "provider")


@dataclass(frozen=True, eq=False)
class _Axes:
    """Positions of days, users and providers in the arrays."""

    days: Mapping[str, int]
    users: Mapping[str, int]
    providers: Mapping[str, int]


def fields_of_frames(flows: DataFrame, providers: DataFrame, delays: DataFrame, name: str) -> dict[str, Any]:
    """Give the fields of `Observations` that frames with the columns of the three tables hold.

    Raises
    ------
    ObservationsError
        When one breaks a rule; it lists every fault with frame, row and value.
    """
    faults = Faults()
    frames = {"flows": flows, "providers": providers, "delays": delays}
    tables = {stem: frame_table(frame, stem, COLUMNS[stem], KEYS, faults) for stem, frame in frames.items()}
    return fields_of_tables(tables, name, faults)


def fields_of_tables(tables: Mapping[str, Table | None], source: str, faults: Faults) -> dict[str, Any]:
    """Names and arrays of observations from the three tables, with every refusal at once."""
    flows, providers, delays = (tables[stem] for stem in ("flows", "providers", "delays"))
    _check_links(flows, providers, delays, faults)
    if flows is None or providers is None or delays is None or faults.lines():
        raise ObservationsError(source, faults.lines())
    axes = _axes(flows, providers)
    arrays = _arrays(flows, providers, delays, axes)
    _check_delays(arrays, axes, delays, faults)
    if faults.lines():
        raise ObservationsError(source, faults.lines())
    names = {"days": tuple(axes.days), "user_ids": tuple(axes.users), "provider_ids": tuple(axes.providers)}
    return names | arrays


def _check_links(flows: Table | None, providers: Table | None, delays: Table | None, faults: Faults) -> None:
    """Check what ties the tables together, each link only where the table it points to has every row."""
    if flows is not None and providers is not None and providers.complete:
        _check_prices(flows, providers, faults)
    if flows is not None and flows.complete:
        _check_flows(flows, providers, faults)
    if delays is None:
        return
    for table, column in ((flows, "user"), (providers, "provider")):
        if table is not None and table.complete:
            known, names = set(table.texts[column]), delays.texts[column]
            strangers = [k for k, name in enumerate(names) if name not in known]
            delays.note(faults, strangers, column, _unknown(names, column, table.name))
    if "day" in delays.texts and flows is not None and flows.complete:
        known, names = set(flows.texts["day"]), delays.texts["day"]
        delays.note(
            faults, [k for k, name in enumerate(names) if name not in known], "day", _unknown(names, "day", flows.name)
        )


def _unknown(names: Sequence[str], what: str, table: str) -> Any:
    return lambda k: f"unknown {what} {shown(names[k])}; {table} has no row of it"


def _check_prices(flows: Table, providers: Table, faults: Faults) -> None:
    """Check that each flow goes to a provider with a price that day."""
    priced = set(zip(providers.texts["day"], providers.texts["provider"], strict=True))
    days, names = ({key: None for key in providers.texts[column]} for column in ("day", "provider"))
    flow = flows.numbers["flow"]
    places = list(zip(flows.texts["day"], flows.texts["provider"], strict=True))
    for day in sorted({day for day, _ in places} - set(days)):
        faults.add((), f"{flows.name}: {day} has flow rows, and {providers.name} no prices of that day", "days")
    strangers = [k for k, (_, name) in enumerate(places) if name not in names]
    flows.note(faults, strangers, "provider", _unknown(flows.texts["provider"], "provider", providers.name))
    unpriced = [
        k
        for k, place in enumerate(places)
        if place not in priced and place[0] in days and place[1] in names and flow[k] > 0
    ]
    flows.note(
        faults,
        unpriced,
        "flow",
        lambda k: f"{_said(flow[k])} to {shown(places[k][1])}, which has no price on {places[k][0]}",
    )


def _said(number: float) -> str:
    return f"{number:.6g}"


def _check_flows(flows: Table, providers: Table | None, faults: Faults) -> None:
    """Check that each user and each day has flow."""
    flow = flows.numbers["flow"]
    # A faulty flow is told by itself; whoever has one may well have flow.
    some = (flow > 0) | np.isnan(flow)
    for column in ("user", "day"):
        names = flows.texts[column]
        with_flow = {name for name, there in zip(names, some, strict=True) if there}
        idle = [name for name in dict.fromkeys(names) if name not in with_flow]
        faults.add_all((((), name) for name in idle), flows.name, f"idle {column}", describe=_idle(flows.name, column))
    if providers is not None:
        known, names = set(flows.texts["day"]), providers.texts["day"]
        without = [name for name in dict.fromkeys(names) if name not in known]
        describe = _idle(providers.name, "day")
        faults.add_all((((), name) for name in without), providers.name, "idle days", describe=describe)


def _idle(table: str, what: str) -> Any:
    return lambda name: f"{table}: {what} {shown(name)} has no flow; leave its rows out"


def _axes(flows: Table, providers: Table) -> _Axes:
    days = sorted(set(flows.texts["day"]))
    named = (days, flows.texts["user"], providers.texts["provider"])
    return _Axes(*({name: k for k, name in enumerate(dict.fromkeys(names))} for names in named))


def _codes(names: Sequence[str], positions: Mapping[str, int]) -> NDArray[np.intp]:
    return np.fromiter((positions[name] for name in names), dtype=np.intp, count=len(names))


def _arrays(flows: Table, providers: Table, delays: Table, axes: _Axes) -> dict[str, Array]:
    sizes = len(axes.days), len(axes.users), len(axes.providers)
    flow, delay = np.zeros(sizes), np.full(sizes, np.nan)
    price, capacity = np.full((2, sizes[0], sizes[2]), np.nan)

    def places(table: Table) -> dict[str, NDArray[np.intp]]:
        named = {"day": axes.days, "user": axes.users, "provider": axes.providers}
        return {key: _codes(table.texts[key], at) for key, at in named.items() if key in table.texts}

    at = places(flows)
    flow[at["day"], at["user"], at["provider"]] = flows.numbers["flow"]
    at = places(providers)
    price[at["day"], at["provider"]] = providers.numbers["price"]
    capacity[at["day"], at["provider"]] = providers.numbers["capacity"]
    at = places(delays)
    delay[at.get("day", slice(None)), at["user"], at["provider"]] = delays.numbers["delay"]
    return {"flow": flow, "price": price, "capacity": capacity, "delay": delay}


def _check_delays(arrays: Mapping[str, Array], axes: _Axes, delays: Table, faults: Faults) -> None:
    """Check that there is a delay wherever a user could have gone."""
    there = arrays["flow"].sum(axis=2) > 0
    needed: Mask = there[:, :, None] & ~np.isnan(arrays["price"])[:, None, :]
    missing = needed & np.isnan(arrays["delay"])
    dated = "day" in delays.texts
    days, users, providers = (list(names) for names in (axes.days, axes.users, axes.providers))
    places = np.argwhere(missing) if dated else np.argwhere(missing.any(axis=0))

    def describe(place: Sequence[int]) -> str:
        when = f"{days[place[0]]}, " if dated else ""
        pair = f"{when}{shown(users[place[-2]])}, {shown(providers[place[-1]])}"
        return f"{delays.name}: no delay of {pair}; every user needs one to every provider with a price"

    faults.add_all((((), place) for place in places.tolist()), delays.name, "missing", describe=describe)
