"""What a market file may not hold: every refusal that its fields and their links call for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prillm_or.files.faults import Faults, Where, shown
from prillm_or.files.schema import (
    FORMAT,
    NUMBER,
    OBJECT,
    DelaysFile,
    Leader,
    MarketFile,
    Provider,
    UnitLabels,
    User,
    Weights,
)

_PARTS: Mapping[str, type[BaseModel]] = {
    "leader": Leader,
    "users": User,
    "providers": Provider,
    "units": UnitLabels,
    "weights": Weights,
    "delays": DelaysFile,
}

_EXPECTED = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number > 0",
    "greater_than_equal": "a number >= 0",
    "string_type": "a string",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "too_short": "at least one",
    "literal_error": shown(FORMAT),
}


Parsed = TypeVar("Parsed", bound=BaseModel)


def check_fields(part: type[Parsed], data: object, faults: Faults, at: Where = ()) -> Parsed | None:
    """Check types, ranges and names of fields; None where any is wrong, and then `faults` holds them all."""
    try:
        return part.model_validate(data)
    except ValidationError as refusal:
        for error in refusal.errors(include_url=False):
            where = (*at, *(key for key in error["loc"] if key not in (NUMBER, OBJECT)))
            faults.add(where, _what(where, error), str(where[0]) if where else "", error["type"])
    return None


def check_links(document: object, faults: Faults) -> None:
    """Check what ties fields together: distinct ids, the leader's ids, its rivals, its caps, and rivals' prices.

    Works on whatever the file holds, so that these faults show beside those of single fields.
    """
    users, providers, leader = (_member(document, key) for key in ("users", "providers", "leader"))
    for name, items in (("users", users), ("providers", providers)):
        faults.add_all((((name, i, "id"), what) for i, what in _repeated(_ids(items), name)), name, "repeated")
    known = list(_ids(providers).values())
    leads = {i: name for i, name in enumerate(_items(_member(leader, "providers"))) if isinstance(name, str)}
    twice = ((("leader", "providers", i), what) for i, what in _repeated(leads, "leader.providers"))
    faults.add_all(twice, "leader", "repeated")
    faults.add_all(_strangers(leads, known), "leader", "stranger")
    if known and set(known) <= set(leads.values()):
        faults.add(("leader", "providers"), "the leader owns every provider; leave at least one rival out")
    faults.add_all(_caps(_member(leader, "price_cap"), list(leads.values())), "leader", "cap")
    faults.add_all(_unpriced(providers, set(leads.values())), "providers", "unpriced")


def _what(where: Where, error: ErrorDetails) -> str:
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        return f"unknown field{_meant(str(where[-1]), _known_fields(where))}"
    if kind == "value_error":
        return f"{error['ctx']['error']}, got {shown(value)}"
    expected = _EXPECTED.get(kind, error["msg"])
    if kind == "float_type" and type(value) is int:
        expected = "a number within the range of double precision"
    return f"expected {expected}, got {shown(value)}{_remedy(where, kind, value)}"


def _remedy(where: Where, kind: str, value: object) -> str:
    if kind != "float_type":
        return ""
    if isinstance(value, str) and _reads_as_number(value):
        return "; write it without quotes"
    if value is None and where[-1] == "price":
        return "; leave the field out where the leader's price today is unknown"
    return ""


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _known_fields(where: Where) -> list[str]:
    part: type[BaseModel] = MarketFile
    for key in where[:-1]:
        part = _PARTS.get(str(key), part)
    return list(part.model_fields)


def _meant(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {shown(near[0])}?" if near else ""


def _member(data: object, key: str) -> object:
    return data.get(key) if isinstance(data, dict) else None


def _items(data: object) -> list[object]:
    return data if isinstance(data, list) else []


def _ids(items: object) -> dict[int, str]:
    ids = ((i, _member(item, "id")) for i, item in enumerate(_items(items)))
    return {i: name for i, name in ids if isinstance(name, str)}


def _repeated(names: Mapping[int, str], among: str) -> Iterator[tuple[int, str]]:
    first: dict[str, int] = {}
    for i, name in names.items():
        if first.setdefault(name, i) != i:
            yield i, f"{shown(name)} names {among}[{first[name]}] already"


def _strangers(leads: Mapping[int, str], known: list[str]) -> Iterator[tuple[Where, str]]:
    for i, name in leads.items():
        if known and name not in known:
            yield ("leader", "providers", i), f"no provider has the id {shown(name)}{_meant(name, known)}"


def _caps(caps: object, leads: list[str]) -> Iterator[tuple[Where, str]]:
    if not isinstance(caps, dict):
        return
    for name in dict.fromkeys(leads):
        if name not in caps:
            yield ("leader", "price_cap", name), "missing; an object needs a cap for each of the leader's providers"
    for name in caps:
        if name not in leads:
            yield ("leader", "price_cap", name), f"not one of the leader's providers{_meant(name, leads)}"


def _unpriced(providers: object, leads: set[str]) -> Iterator[tuple[Where, str]]:
    for i, provider in enumerate(_items(providers)):
        if isinstance(provider, dict) and "price" not in provider and provider.get("id") not in leads:
            yield ("providers", i, "price"), "missing; only the leader's providers may leave it out"
