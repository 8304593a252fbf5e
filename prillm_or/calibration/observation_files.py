"""Observation folders: flows, providers, delays and mixes as tidy tables, read with every refusal at once."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prillm_or.calibration.by_component import ByComponent, mix_rows
from prillm_or.calibration.observation_rules import leader_decisions
from prillm_or.calibration.observation_tables import COLUMNS, KEYS, PRICE, components_of, fields_of_tables
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.errors import ObservationsError
from prillm_or.files.cells import ENDINGS, csv_text, parquet_bytes
from prillm_or.files.documents import parse_json
from prillm_or.files.markets import cap_of, caps_document
from prillm_or.files.reading import read_content
from prillm_or.files.tables import Table, find_table, read_table
from prillm_or.market import schema
from prillm_or.market.decisions import COMPONENTS
from prillm_or.market.faults import Faults
from prillm_or.market.fields import check_fields
from prillm_or.market.links import check_leader
from prillm_or.market.market import Units
from prillm_or.output.saving import new_folder

Form = Literal["csv", "parquet"]

_BESIDE = "folder.json"


class FolderFile(schema.Part):
    """What an observation folder's `folder.json` may hold."""

    units: schema.UnitLabels = schema.UnitLabels()
    leader: schema.Leader | None = None
    description: str = ""


def read_observations(folder: str | os.PathLike[str]) -> Observations:
    """Read the tables of a folder, each .csv or .parquet, and `folder.json` where there is one.

    They are `flows`, `providers`, `delays` and, where `providers` has prices by component, `mixes`.

    Users come in the order in which they first appear in `flows`, providers as in `providers`, days ascending. A
    provider without a row on a day is not offered that day. `delays` and `mixes` may leave the day out and then hold
    for every day; pairs that can have no flow need no delay, and a component without a row has no share.

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
    stems = [stem for stem in COLUMNS if stem != "mixes" or _is_there(folder, stem)]
    tables = {stem: _table(folder, stem, faults) for stem in stems}
    beside = _beside(folder, tables["providers"], faults)
    fields = fields_of_tables(tables, str(folder), faults)
    return Observations(name=folder.resolve().name, **beside, **fields)


def read_pool(folders: Sequence[str | os.PathLike[str]]) -> list[Observations]:
    """Read observation folders, each given itself or as one of those in a folder given.

    Raises
    ------
    ObservationsError, UnavailableError
        As `read_observations`.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        inside = [] if _is_there(folder, "flows") or not folder.is_dir() else sorted(folder.iterdir())
        found += [one for one in inside if _is_there(one, "flows")] or [folder]
    return [read_observations(folder) for folder in found]


def write_observations(
    observations: Observations,
    folder: str | os.PathLike[str],
    form: Form = "csv",
    readme: str = "",
    by_component: ByComponent | None = None,
) -> None:
    """Write an observation folder, whole or not at all; it is read back the same, but for its name.

    Parameters
    ----------
    form
        Of the tables.
    readme
        Text of a README.md beside them; none is written where it is empty.
    by_component
        Of observations that hold one price, if wanted: prices that go into columns `price_COMPONENT` of `providers`,
        and mixes, into a table `mixes`.

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
    tables = {stem: _rows(observations, stem) for stem in COLUMNS if stem != "mixes"}
    if observations.components:
        price, share = (np.moveaxis(array, 2, 0) for array in (observations.price, observations.mix))
        by_component = ByComponent(
            *(dict(zip(observations.components, arrays, strict=True)) for arrays in (price, share))
        )
    if by_component is not None:
        j, t = np.nonzero(observations.offered.T)  # as the other columns
        tables["providers"] |= {PRICE + name: price[t, j].tolist() for name, price in by_component.price.items()}
        tables["mixes"] = mix_rows(observations, by_component.share)
    with new_folder(Path(folder)) as place:
        for stem, columns in tables.items():
            content = csv_text(columns).encode() if form == "csv" else parquet_bytes(columns)
            (place / f"{stem}.{form}").write_bytes(content)
        (place / _BESIDE).write_text(json.dumps(_beside_document(observations), indent=2) + "\n", encoding="utf-8")
        if readme:
            (place / "README.md").write_text(readme, encoding="utf-8")


def _is_there(folder: Path, stem: str) -> bool:
    return any((folder / f"{stem}{ending}").exists() for ending in ENDINGS)


def _table(folder: Path, stem: str, faults: Faults) -> Table | None:
    path = find_table(folder, stem, faults)
    return None if path is None else read_table(path, COLUMNS[stem], KEYS, faults)


def _beside(folder: Path, providers: Table | None, faults: Faults) -> dict[str, Any]:
    """Units, leader and description of `folder.json`; what is wrong with them goes to `faults`."""
    path = folder / _BESIDE
    if not path.exists():
        return {}
    own = Faults()
    parsed = None
    try:
        document = parse_json(read_content(path), own)
    except ValueError as refusal:
        own.add((), str(refusal))
    else:
        parsed = check_fields(FolderFile, document, own)
        if isinstance(document, dict) and providers is not None and providers.complete:
            ids = [{"id": name} for name in dict.fromkeys(providers.texts["provider"])]
            check_leader(document.get("leader"), ids, components_of(providers.numbers), own)
    for line in own.lines():
        faults.add((), f"{_BESIDE}: {line}")
    if parsed is None or providers is None or own.lines():
        return {}
    told: dict[str, Any] = {"units": Units(**parsed.units.model_dump()), "description": parsed.description}
    leader = parsed.leader
    if leader is None:
        return told
    leads, components = tuple(leader.providers), components_of(providers.numbers)
    decides = leader.decides if isinstance(leader.decides, str) else tuple(leader.decides)
    decisions = leader_decisions(leads, decides, components)
    caps = tuple(cap_of(leader.price_cap, leads, components, decision) for decision in decisions)
    return told | {"leader": Leader(leads, caps, decides)}


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
        told = ("capacity",) if observations.components else ("price", "capacity")
        columns |= {key: getattr(observations, key)[t, j].tolist() for key in told}
        return columns | ({"family": [observations.families[k] for k in j]} if observations.families else {})
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
    document: dict[str, Any] = {"description": observations.description} if observations.description else {}
    document["units"] = asdict(observations.units)
    leader = observations.leader
    if leader is not None:
        decisions = leader_decisions(leader.providers, leader.decides, observations.components)
        document["leader"] = {
            "providers": list(leader.providers),
            **({} if leader.decides == COMPONENTS else {"decides": leader.decides}),
            "price_cap": caps_document(decisions, leader.price_cap, leader.providers, observations.components),
        }
    return document
