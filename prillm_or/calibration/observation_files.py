"""Observation folders: flows, providers and delays as tidy tables, read with every refusal at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from prillm_or.calibration.observations import Leader, Observations
from prillm_or.errors import ObservationsError
from prillm_or.files.documents import parse_json
from prillm_or.files.tables import Column, Kind, Table, csv_text, find_table, frame_table, parquet_bytes, read_table
from prillm_or.market import schema
from prillm_or.market.checks import check_links
from prillm_or.market.faults import Faults, shown
from prillm_or.market.fields import check_fields
from prillm_or.market.market import Array, Mask, Units
from prillm_or.output.saving import new_folder

if TYPE_CHECKING:
    from pandas import DataFrame

Form = Literal["csv", "parquet"]

_DAY, _USER, _PROVIDER = Column("day", Kind.DAY), Column("user", Kind.TEXT), Column("provider", Kind.TEXT)
_COLUMNS = {
    "flows": (_DAY, _USER, _PROVIDER, Column("flow", Kind.NON_NEGATIVE)),
    "providers": (_DAY, _PROVIDER, Column("price", Kind.NON_NEGATIVE), Column("capacity", Kind.POSITIVE)),
    "delays": (Column("day", Kind.DAY, optional=True), _USER, _PROVIDER, Column("delay", Kind.NON_NEGATIVE)),
}
_KEYS = ("day", "user", "provider")
_BESIDE = "folder.json"


class FolderFile(schema.Part):
    """What an observation folder's `folder.json` may hold."""

    units: schema.UnitLabels = schema.UnitLabels()
    leader: schema.Leader | None = None


@dataclass(frozen=True, eq=False)
class _Axes:
    """Positions of days, users and providers in the arrays."""

    days: Mapping[str, int]
    users: Mapping[str, int]
    providers: Mapping[str, int]


def read_observations(folder: str | os.PathLike[str]) -> Observations:
    """Read the tables `flows`, `providers` and `delays`, each .csv or .parquet, and `folder.json` where there is one.

    Users come in the order in which they first appear in `flows`, providers as in `providers`, days ascending. A
    provider without a row on a day is not offered that day. `delays` may leave the day out and then holds for every
    day; pairs that can have no flow need no delay.

    Raises
    ------
    ObservationsError
        When a table cannot be read or breaks a rule; it lists every fault with file, row and value.
    UnavailableError
        When a table is Parquet and pyarrow is not installed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ObservationsError(str(folder), ["not a folder; expected one that holds flows, providers and delays"])
    faults = Faults()
    tables = {stem: _table(folder, stem, faults) for stem in _COLUMNS}
    units, leader = _beside(folder, tables["providers"], faults)
    fields = _fields(tables, str(folder), faults)
    return Observations(name=folder.resolve().name, units=units, leader=leader, **fields)


def fields_of_frames(flows: DataFrame, providers: DataFrame, delays: DataFrame, name: str) -> dict[str, Any]:
    """Give the fields of `Observations` that frames with the columns of the three tables hold.

    Raises
    ------
    ObservationsError
        When one breaks a rule; it lists every fault with frame, row and value.
    """
    faults = Faults()
    frames = {"flows": flows, "providers": providers, "delays": delays}
    tables = {stem: frame_table(frame, stem, _COLUMNS[stem], _KEYS, faults) for stem, frame in frames.items()}
    return _fields(tables, name, faults)


def _fields(tables: Mapping[str, Table | None], source: str, faults: Faults) -> dict[str, Any]:
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


def write_observations(
    observations: Observations, folder: str | os.PathLike[str], form: Form = "csv", readme: str = ""
) -> None:
    """Write an observation folder, whole or not at all; it is read back the same, but for its name.

    Parameters
    ----------
    form
        Of the tables.
    readme
        Text of a README.md beside them; none is written where it is empty.

    Raises
    ------
    ObservationsError
        When a user has no flow or a provider is not offered on any day, for which the tables have no place.
    PrillmError
        When the folder holds something already or cannot be written.
    UnavailableError
        When Parquet is asked for and pyarrow is not installed.
    """
    _refuse_absent(observations)
    tables = {stem: _rows(observations, stem) for stem in _COLUMNS}
    with new_folder(Path(folder)) as place:
        for stem, columns in tables.items():
            content = csv_text(columns).encode() if form == "csv" else parquet_bytes(columns)
            (place / f"{stem}.{form}").write_bytes(content)
        (place / _BESIDE).write_text(json.dumps(_beside_document(observations), indent=2) + "\n", encoding="utf-8")
        if readme:
            (place / "README.md").write_text(readme, encoding="utf-8")


def _table(folder: Path, stem: str, faults: Faults) -> Table | None:
    path = find_table(folder, stem, faults)
    return None if path is None else read_table(path, _COLUMNS[stem], _KEYS, faults)


def _beside(folder: Path, providers: Table | None, faults: Faults) -> tuple[Units, Leader | None]:
    """Units and leader of `folder.json`; what is wrong with them goes to `faults`."""
    path = folder / _BESIDE
    if not path.exists():
        return Units(), None
    own = Faults()
    parsed = None
    try:
        document = parse_json(path.read_bytes(), own)
    except (OSError, ValueError) as refusal:
        own.add((), f"cannot be read: {refusal.strerror}" if isinstance(refusal, OSError) else str(refusal))
    else:
        parsed = check_fields(FolderFile, document, own)
        if isinstance(document, dict) and providers is not None and providers.complete:
            ids = [{"id": name, "price": 0} for name in dict.fromkeys(providers.texts["provider"])]
            check_links({"leader": document.get("leader"), "providers": ids}, own)
    for line in own.lines():
        faults.add((), f"{_BESIDE}: {line}")
    if parsed is None or own.lines():
        return Units(), None
    units, leader = Units(**parsed.units.model_dump()), parsed.leader
    if leader is None:
        return units, None
    caps = leader.price_cap
    return units, Leader(
        tuple(leader.providers),
        tuple(caps[name] if isinstance(caps, dict) else caps for name in leader.providers),
    )


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


def _refuse_absent(observations: Observations) -> None:
    idle = ~observations.present.any(axis=0)
    closed = ~observations.offered.any(axis=0)
    remedy = "drop it by without_absent"
    problems = [f"user {observations.user_ids[i]!r} has no flow on any day; {remedy}" for i in np.flatnonzero(idle)]
    problems += [
        f"provider {observations.provider_ids[j]!r} is not offered on any day; {remedy}" for j in np.flatnonzero(closed)
    ]
    if problems:
        raise ObservationsError(observations.name, problems)


def _rows(observations: Observations, stem: str) -> dict[str, list[Any]]:
    """Columns of a table. Users and providers are written one after the other: rows are read in that order again."""
    days, users, providers = observations.days, observations.user_ids, observations.provider_ids
    if stem == "providers":
        j, t = np.nonzero(observations.offered.T)
        columns = {"day": [days[k] for k in t], "provider": [providers[k] for k in j]}
        return columns | {key: getattr(observations, key)[t, j].tolist() for key in ("price", "capacity")}
    if stem == "flows":
        i, t, j = np.nonzero(observations.flow.transpose(1, 0, 2))
        values = observations.flow[t, i, j].tolist()
    else:
        delay = observations.delay
        t, i, j = np.nonzero(~np.isnan(delay))
        if np.array_equal(delay, np.broadcast_to(delay[0], delay.shape), equal_nan=True):
            first = t == 0
            pairs = {"user": [users[k] for k in i[first]], "provider": [providers[k] for k in j[first]]}
            return pairs | {"delay": delay[0, i[first], j[first]].tolist()}
        values = delay[t, i, j].tolist()
    named = {"day": [days[k] for k in t], "user": [users[k] for k in i], "provider": [providers[k] for k in j]}
    return named | {stem.removesuffix("s"): values}


def _beside_document(observations: Observations) -> dict[str, Any]:
    document: dict[str, Any] = {"units": asdict(observations.units)}
    leader = observations.leader
    if leader is not None:
        caps = dict(zip(leader.providers, leader.price_cap, strict=True))
        same = len(set(caps.values())) == 1
        document["leader"] = {
            "providers": list(leader.providers),
            "price_cap": leader.price_cap[0] if same else caps,
        }
    return document
