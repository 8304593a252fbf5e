"""Frames: the fields of a market from pandas frames, aligned by label and never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import MarketError
from prillm_or.market.checks import leader_and_caps, meant

if TYPE_CHECKING:
    from pandas import DataFrame

_USERS = {"demand": True, "price_weight": False, "congestion_weight": False, "delay_weight": False}
_PROVIDERS = {"price": True, "capacity": True, "value": False, "unit_cost": False}
"""Columns, and whether they are required."""


def market_from_frames(
    users: DataFrame,
    providers: DataFrame,
    delays: DataFrame,
    leader: str | Sequence[str],
    price_cap: float | Mapping[str, float],
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
    _check_columns("users", users, _USERS, problems)
    _check_columns("providers", providers, _PROVIDERS, problems)
    _check_labels("delays: rows", _ids("delays", delays, "index", problems), "user", user_ids, problems)
    _check_labels("delays: columns", _ids("delays", delays, "columns", problems), "provider", provider_ids, problems)
    leader_ids, caps = leader_and_caps(leader, price_cap, problems)
    problems += [
        f"leader: no provider has the id {each!r}{meant(str(each), list(provider_ids))}"
        for each in leader_ids
        if provider_ids and each not in provider_ids
    ]
    if problems:
        raise MarketError(str(name), problems)
    sides = (("users", users, _USERS), ("providers", providers, _PROVIDERS))
    fields = {
        column: _numbers(what, frame, column, problems)
        for what, frame, columns in sides
        for column in columns
        if column in frame
    }
    aligned = delays.loc[list(user_ids), list(provider_ids)]
    columns = [_numbers("delays", aligned, column, problems) for column in provider_ids]
    if problems:
        raise MarketError(name, problems)
    return {
        **fields,
        "user_ids": user_ids,
        "provider_ids": provider_ids,
        "delay": np.column_stack(columns),
        "leader": leader_ids,
        "price_cap": caps,
    }


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


def _check_columns(what: str, frame: DataFrame, columns: Mapping[str, bool], problems: list[str]) -> None:
    found = list(map(str, getattr(frame, "columns", ())))
    missing = [name for name, needed in columns.items() if needed and name not in found]
    problems += [f"{what}: column {name} is missing" for name in missing]
    problems += [
        f"{what}: unknown column {name!r}{meant(name, list(columns))}" for name in found if name not in columns
    ]


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
    for label, cell in frame[column].items():
        try:
            numbers.append(float(cell))
        except (TypeError, ValueError):
            problems.append(f"{what}: {column} of {label!r}: expected a number, got {cell!r}")
    return numbers
