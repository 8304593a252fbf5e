"""Frames: the fields of a market from pandas frames, aligned by label and never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import MarketError
from prillm_or.market.checks import checked_ids, leader_and_caps, meant
from prillm_or.market.decisions import COMPONENTS, FACTOR
from prillm_or.market.rules import BY_COMPONENT, PAIR_ARRAYS

if TYPE_CHECKING:
    from pandas import DataFrame

    from prillm_or.market.market import Array

_USERS = {name: name for name in ("demand", "price_weight", "congestion_weight", "delay_weight", "count", "dispersion")}
_PROVIDERS = {"capacity": "capacity", "value": "value", "dispersion": "provider_dispersion"}
"""Columns and the fields they give, beside mixes, prices and costs."""

_MIX = "mix_"


def market_from_frames(
    users: DataFrame,
    providers: DataFrame,
    delays: DataFrame,
    values: DataFrame | None,
    leader: str | Sequence[str],
    decides: str | Sequence[str],
    price_cap: float | Mapping[str, float | Mapping[str, float]],
    name: str,
) -> dict[str, Any]:
    """Give the fields of `Market` that the frames hold; see `Market.from_frames`.

    Raises
    ------
    MarketError
        When a column or a label is missing, unknown or repeated, or a cell is no number; it lists every fault.
    """
    problems: list[str] = []
    user_ids = _ids("users", users, "index", problems)
    provider_ids = _ids("providers", providers, "index", problems)
    components = [column.removeprefix(_MIX) for column in _columns(users) if column.startswith(_MIX)]
    tables = {table: _table_columns(table, providers, components) for table in BY_COMPONENT}
    pairs = {"delays": delays} | ({} if values is None else {"values": values})
    needed = [*tables["price"], *(["capacity"] if _weighs_congestion(users) else [])]
    mixes = [f"{_MIX}{c}" for c in components]
    _check_columns("users", users, ["demand"], [*_USERS, *mixes], problems)
    _check_columns("providers", providers, needed, [*_PROVIDERS, *tables["price"], *tables["unit_cost"]], problems)
    for what, frame in pairs.items():
        _check_labels(f"{what}: rows", _ids(what, frame, "index", problems), "user", user_ids, problems)
        _check_labels(f"{what}: columns", _ids(what, frame, "columns", problems), "provider", provider_ids, problems)
    decides = decides if isinstance(decides, str) else checked_ids("decides", decides, problems)
    decided = [] if decides == FACTOR else [c for c in components if decides == COMPONENTS or c in decides]
    leader_ids, caps = leader_and_caps(leader, price_cap, problems, decided)
    problems += [
        f"leader: no provider has the id {each!r}{meant(str(each), list(provider_ids))}"
        for each in leader_ids
        if provider_ids and each not in provider_ids
    ]
    if problems:
        raise MarketError(str(name), problems)
    arrays: dict[str, Any] = {
        field: _numbers(what, frame, column, problems)
        for what, frame, columns in (("users", users, _USERS), ("providers", providers, _PROVIDERS))
        for column, field in columns.items()
        if column in frame
    }
    for field, columns in tables.items():
        if set(columns) <= set(providers):
            found = _table("providers", providers, columns, problems)
            arrays[field] = found.ravel() if columns == [field] else found
    if components:
        arrays["mix"] = _table("users", users, mixes, problems)
    for (what, frame), field in zip(pairs.items(), PAIR_ARRAYS, strict=False):
        arrays[field] = _table(what, frame.loc[list(user_ids), list(provider_ids)], provider_ids, problems)
    if problems:
        raise MarketError(name, problems)
    return {
        **arrays,
        "user_ids": user_ids,
        "provider_ids": provider_ids,
        "components": tuple(components),
        "leader": leader_ids,
        "decides": decides,
        "price_cap": caps,
    }


def _columns(frame: DataFrame) -> list[str]:
    return list(map(str, getattr(frame, "columns", ())))


def _table_columns(name: str, providers: DataFrame, components: Sequence[str]) -> list[str]:
    """Columns of prices or costs: one for each component, or one for all."""
    return [name] if not components or name in _columns(providers) else [f"{name}_{c}" for c in components]


def _weighs_congestion(users: DataFrame) -> bool:
    return "congestion_weight" not in _columns(users) or bool((users["congestion_weight"] != 0).any())


def _ids(what: str, frame: DataFrame, axis: str, problems: list[str]) -> tuple[str, ...]:
    """Labels of an axis, which have to be different texts."""
    if not hasattr(frame, "columns"):
        problems.append(f"{what}: expected a pandas frame, got {type(frame).__name__}")
        return ()
    labels = list(getattr(frame, axis))
    if odd := [label for label in labels if not isinstance(label, str)]:
        way_out = "; make the ids its index, as by set_index" if axis == "index" else ""
        problems.append(f"{what}: expected ids as its {axis}, got {odd[0]!r}{way_out}")
        return ()
    if not labels:
        problems.append(f"{what}: expected at least one id in its {axis}")
    repeated = [label for label, times in Counter(labels).items() if times > 1]
    problems += [f"{what}: {label!r} appears more than once in its {axis}" for label in repeated]
    return tuple(labels)


def _check_columns(
    what: str, frame: DataFrame, needed: Sequence[str], known: Sequence[str], problems: list[str]
) -> None:
    found = _columns(frame)
    problems += [f"{what}: column {name} is missing" for name in needed if name not in found]
    problems += [f"{what}: unknown column {name!r}{meant(name, list(known))}" for name in found if name not in known]


def _check_labels(what: str, found: Sequence[str], noun: str, wanted: Sequence[str], problems: list[str]) -> None:
    """Check that labels are those wanted, where both are known."""
    if not wanted or not found:
        return
    there, known = set(found), set(wanted)
    problems += [f"{what}: {noun} {label!r} is missing" for label in wanted if label not in there]
    unknown = [label for label in found if label not in known]
    problems += [f"{what}: no {noun} has the id {label!r}{meant(str(label), list(wanted))}" for label in unknown]


def _numbers(what: str, frame: DataFrame, column: str, problems: list[str]) -> list[float]:
    """Cells of a column as numbers, an empty one as NaN: whether that may be is for the market to say."""
    numbers = []
    for (label, cell), empty in zip(frame[column].items(), frame[column].isna(), strict=True):
        try:
            numbers.append(float("nan") if empty else float(cell))
        except (TypeError, ValueError):
            problems.append(f"{what}: {column} of {label!r}: expected a number, got {cell!r}")
    return numbers


def _table(what: str, frame: DataFrame, columns: Sequence[str], problems: list[str]) -> Array:
    """Several columns as numbers, a row for each row of the frame."""
    cells = [_numbers(what, frame, column, problems) for column in columns]
    return np.empty((0, 0)) if problems else np.column_stack(cells)
