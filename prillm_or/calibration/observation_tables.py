"""Observations as tidy tables, flows, providers, delays, mixes, of files or frames: checked, tied, made arrays of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.errors import ObservationsError
from prillm_or.files.tables import Column, Columns, Kind, Table, frame_table
from prillm_or.market.faults import Faults, shown
from prillm_or.market.market import Array, Mask

if TYPE_CHECKING:
    from pandas import DataFrame

_DAY, _USER, _PROVIDER = Column("day", Kind.TIME), Column("user", Kind.TEXT), Column("provider", Kind.TEXT)
_ANY_DAY = Column("day", Kind.TIME, optional=True)
PRICE = "price_"
"""What the name of a column begins with that holds the prices of a component."""


def components_of(names: Iterable[str]) -> tuple[str, ...]:
    """Components whose prices are in columns of these names."""
    return tuple(name.removeprefix(PRICE) for name in names if name.startswith(PRICE) and name != PRICE)


def _provider_columns(names: Iterable[str]) -> Sequence[Column]:
    # Where components are priced, one price may stand beside them for who reads no more.
    components = components_of(names)
    prices = (Column(PRICE + component, Kind.NON_NEGATIVE) for component in components)
    single = Column("price", Kind.NON_NEGATIVE, optional=bool(components))
    family = Column("family", Kind.TEXT, optional=True)
    return (_DAY, _PROVIDER, single, Column("capacity", Kind.POSITIVE), *prices, family)


COLUMNS: Mapping[str, Columns] = {
    "flows": (_DAY, _USER, _PROVIDER, Column("flow", Kind.NON_NEGATIVE)),
    "providers": _provider_columns,
    "delays": (_ANY_DAY, _USER, _PROVIDER, Column("delay", Kind.NON_NEGATIVE)),
    "mixes": (_ANY_DAY, _USER, Column("component", Kind.TEXT), Column("share", Kind.NON_NEGATIVE)),
}
KEYS = ("day", "user", "provider", "component")


@dataclass(frozen=True, eq=False)
class _Axes:
    """Positions of days, users, providers and components in the arrays."""

    days: Mapping[str, int]
    users: Mapping[str, int]
    providers: Mapping[str, int]
    components: Mapping[str, int]


def fields_of_frames(
    flows: DataFrame, providers: DataFrame, delays: DataFrame, mixes: DataFrame | None, name: str
) -> dict[str, Any]:
    """Give the fields of `Observations` that frames with the columns of the tables hold; `mixes` may be None.

    Raises
    ------
    ObservationsError
        When one breaks a rule; it lists every fault with frame, row and value.
    """
    faults = Faults()
    frames = {"flows": flows, "providers": providers, "delays": delays}
    if mixes is not None:
        frames["mixes"] = mixes
    tables = {stem: frame_table(frame, stem, COLUMNS[stem], KEYS, faults) for stem, frame in frames.items()}
    return fields_of_tables(tables, name, faults)


def fields_of_tables(tables: Mapping[str, Table | None], source: str, faults: Faults) -> dict[str, Any]:
    """Names and arrays of observations from their tables, with every refusal at once; that of mixes may be absent."""
    flows, providers, delays = (tables[stem] for stem in ("flows", "providers", "delays"))
    mixes = tables.get("mixes")
    _check_links(flows, providers, delays, faults)
    if providers is not None:
        _check_families(providers, faults)
        _check_mixes(flows, providers, mixes, "mixes" in tables, faults)
    if flows is None or providers is None or delays is None or faults.lines():
        raise ObservationsError(source, faults.lines())
    axes = _axes(flows, providers)
    arrays = _arrays(flows, providers, delays, axes)
    if mixes is not None:
        arrays["mix"] = _mix(mixes, axes)
        _check_shares(arrays, axes, mixes, faults)
    _check_delays(arrays, axes, delays, faults)
    if faults.lines():
        raise ObservationsError(source, faults.lines())
    names = {"days": axes.days, "user_ids": axes.users, "provider_ids": axes.providers, "components": axes.components}
    families = _families(providers)
    return {field: tuple(axis) for field, axis in names.items()} | {"families": tuple(families.values())} | arrays


def _check_links(flows: Table | None, providers: Table | None, delays: Table | None, faults: Faults) -> None:
    """Check what ties the tables together, each link only where the table it points to has every row."""
    if flows is not None and providers is not None and providers.complete:
        _check_prices(flows, providers, faults)
    if flows is not None and flows.complete:
        _check_flows(flows, providers, faults)
    if delays is None:
        return
    for table, column in ((flows, "user"), (providers, "provider"), (flows, "day")):
        _check_known(delays, table, column, faults)


def _families(providers: Table) -> dict[str, str]:
    """The family that the first row of each provider names; nothing where none is named."""
    found: dict[str, str] = {}
    for name, family in zip(providers.texts["provider"], providers.texts.get("family", ()), strict=False):
        found.setdefault(name, family)
    return found


def _check_families(providers: Table, faults: Faults) -> None:
    """Check that a provider is of one family on all days."""
    first, names, own = _families(providers), providers.texts["provider"], providers.texts.get("family", ())
    moved = [k for k, family in enumerate(own) if family != first[names[k]]]
    providers.note(
        faults,
        moved,
        "family",
        lambda k: f"{shown(own[k])}, and {shown(first[names[k]])} in a row before; a provider is of one family",
    )


def _check_known(table: Table, other: Table | None, column: str, faults: Faults) -> None:
    """Check that another table, where it has every row, knows each name of a column that this one has."""
    if column in table.texts and other is not None and other.complete:
        known, names = set(other.texts[column]), table.texts[column]
        strangers = [k for k, name in enumerate(names) if name not in known]
        table.note(faults, strangers, column, _unknown(names, column, other.name))


def _check_mixes(flows: Table | None, providers: Table, mixes: Table | None, there: bool, faults: Faults) -> None:
    """Check that shares of components and their prices come together, and speak of the same."""
    components = components_of(providers.numbers)
    if components and not there:
        shown_columns = ", ".join(PRICE + component for component in components)
        faults.add((), f"{providers.name}: has {shown_columns}; add a table mixes (user, component, share)")
    if mixes is None:
        return
    if not components:
        faults.add(
            (), f"{mixes.name}: {providers.name} has no prices by component; add {PRICE}COMPONENT, or take it away"
        )
        return
    for column in ("user", "day"):
        _check_known(mixes, flows, column, faults)
    names = mixes.texts["component"]
    strangers = [k for k, name in enumerate(names) if name not in components]
    expected = f"{providers.name} has prices of {', '.join(components)}"
    mixes.note(faults, strangers, "component", lambda k: f"unknown component {shown(names[k])}; {expected}")


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
    named = (days, flows.texts["user"], providers.texts["provider"], components_of(providers.numbers))
    return _Axes(*({name: k for k, name in enumerate(dict.fromkeys(names))} for names in named))


def _codes(names: Sequence[str], positions: Mapping[str, int]) -> NDArray[np.intp]:
    return np.fromiter((positions[name] for name in names), dtype=np.intp, count=len(names))


def _arrays(flows: Table, providers: Table, delays: Table, axes: _Axes) -> dict[str, Array]:
    sizes = len(axes.days), len(axes.users), len(axes.providers)
    flow, delay = np.zeros(sizes), np.full(sizes, np.nan)
    capacity = np.full((sizes[0], sizes[2]), np.nan)
    price = np.full((*capacity.shape, len(axes.components)) if axes.components else capacity.shape, np.nan)
    at = _positions(flows, axes)
    flow[at["day"], at["user"], at["provider"]] = flows.numbers["flow"]
    at = _positions(providers, axes)
    listed = [providers.numbers[PRICE + component] for component in axes.components]
    price[at["day"], at["provider"]] = np.column_stack(listed) if listed else providers.numbers["price"]
    capacity[at["day"], at["provider"]] = providers.numbers["capacity"]
    at = _positions(delays, axes)
    delay[at.get("day", slice(None)), at["user"], at["provider"]] = delays.numbers["delay"]
    return {"flow": flow, "price": price, "capacity": capacity, "delay": delay}


def _positions(table: Table, axes: _Axes) -> dict[str, NDArray[np.intp]]:
    named = {"day": axes.days, "user": axes.users, "provider": axes.providers, "component": axes.components}
    return {key: _codes(table.texts[key], at) for key, at in named.items() if key in table.texts}


def _mix(mixes: Table, axes: _Axes) -> Array:
    """Shares, shape (T, n, C); 0 without a row."""
    mix = np.zeros((len(axes.days), len(axes.users), len(axes.components)))
    at = _positions(mixes, axes)
    mix[at.get("day", slice(None)), at["user"], at["component"]] = mixes.numbers["share"]
    return mix


def _check_shares(arrays: Mapping[str, Array], axes: _Axes, mixes: Table, faults: Faults) -> None:
    """Check that each user asks for something on every day on which it is there."""
    lacking: Mask = (arrays["flow"].sum(axis=2) > 0) & ~(arrays["mix"] > 0).any(axis=2)
    dated = "day" in mixes.texts
    days, users = list(axes.days), list(axes.users)
    places = np.argwhere(lacking) if dated else np.argwhere(lacking.any(axis=0))

    def describe(place: Sequence[int]) -> str:
        when = f"{days[place[0]]}, " if dated else ""
        return f"{mixes.name}: no share > 0 of {when}{shown(users[place[-1]])}; every user needs one of some component"

    faults.add_all((((), place) for place in places.tolist()), mixes.name, "lacking", describe=describe)


def _check_delays(arrays: Mapping[str, Array], axes: _Axes, delays: Table, faults: Faults) -> None:
    """Check that there is a delay wherever a user could have gone."""
    there = arrays["flow"].sum(axis=2) > 0
    needed: Mask = there[:, :, None] & ~np.isnan(arrays["capacity"])[:, None, :]
    missing = needed & np.isnan(arrays["delay"])
    dated = "day" in delays.texts
    days, users, providers = (list(names) for names in (axes.days, axes.users, axes.providers))
    places = np.argwhere(missing) if dated else np.argwhere(missing.any(axis=0))

    def describe(place: Sequence[int]) -> str:
        when = f"{days[place[0]]}, " if dated else ""
        pair = f"{when}{shown(users[place[-2]])}, {shown(providers[place[-1]])}"
        return f"{delays.name}: no delay of {pair}; every user needs one to every provider with a price"

    faults.add_all((((), place) for place in places.tolist()), delays.name, "missing", describe=describe)
