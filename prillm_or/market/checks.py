"""What fields of a market and its file have to be, what ties them together; free of pydantic, which loads slowly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.errors import is_number, nearest
from prillm_or.market.faults import Faults, Where, shown

_KINDS: dict[type, str] = {str: "text"}


def check_links(document: object, faults: Faults) -> None:
    """Check what ties fields together: distinct ids, the leader's ids, its rivals, its caps, and rivals' prices.

    Works on whatever the file holds, so that these faults show beside those of single fields.
    """
    users, providers, leader = (member(document, key) for key in ("users", "providers", "leader"))
    for name, items in (("users", users), ("providers", providers)):
        faults.add_all((((name, i, "id"), what) for i, what in repeated(ids_of(items), name)), name, "repeated")
    known = list(ids_of(providers).values())
    leads = {i: name for i, name in enumerate(entries(member(leader, "providers"))) if isinstance(name, str)}
    twice = ((("leader", "providers", i), what) for i, what in repeated(leads, "leader.providers"))
    faults.add_all(twice, "leader", "repeated")
    faults.add_all(_strangers(leads, known), "leader", "stranger")
    if known and set(known) <= set(leads.values()):
        faults.add(("leader", "providers"), "the leader owns every provider; leave at least one rival out")
    faults.add_all(_caps(member(leader, "price_cap"), list(leads.values())), "leader", "cap")
    faults.add_all(_unpriced(providers, set(leads.values())), "providers", "unpriced")


def checked_ids(name: str, given: Any, problems: list[str]) -> tuple[str, ...]:
    """Ids as a tuple; a text alone would become one of letters."""
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        problems.append(f"{name}: expected a sequence of texts, got {given!r}")
        return ()
    ids = tuple(given)
    if not all(isinstance(each, str) for each in ids):
        problems.append(f"{name}: expected a sequence of texts, got {given!r}")
        return ()
    return ids if isinstance(given, tuple) else tuple(map(str, ids))  # numpy has texts of its own


def checked_array(name: str, given: Any, problems: list[str]) -> NDArray[np.float64]:
    """A read-only copy as an array of numbers."""
    try:
        array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        problems.append(f"{name}: expected an array of numbers, got {type(given).__name__}")
        array = np.empty(0)
    array.flags.writeable = False
    return array


def checked_kinds(owner: object, kinds: Mapping[str, type], problems: list[str]) -> None:
    """Check the types of some fields."""
    for name, kind in kinds.items():
        if not isinstance(value := getattr(owner, name), kind):
            problems.append(f"{name}: expected a {_KINDS.get(kind, kind.__name__)}, got {value!r}")


def leader_and_caps(leader: Any, price_cap: Any, problems: list[str]) -> tuple[tuple[str, ...], list[float]]:
    """Ids of the leader's providers, and the highest price of each: one for all of them, or one for each id."""
    ids = checked_ids("leader", (leader,) if isinstance(leader, str) else leader, problems)
    given = price_cap if isinstance(price_cap, Mapping) else dict.fromkeys(ids, price_cap)
    problems += [f"price_cap: leader's provider {each!r} is missing" for each in ids if each not in given]
    problems += [
        f"price_cap: no leader's provider has the id {each!r}{meant(str(each), list(ids))}"
        for each in given
        if each not in ids
    ]
    problems += [
        f"price_cap: expected a number, or numbers by id, got {cap!r}"
        for cap in ([price_cap] if given is not price_cap else given.values())
        if ids and not is_number(cap)
    ]
    return ids, [] if problems else [float(given[each]) for each in ids]


def meant(name: str, known: list[str]) -> str:
    """The way out for a name that is nearly one of those known, or nothing."""
    near = nearest(name, known)
    return f"; did you mean {shown(near[0])}?" if near else ""


def member(data: object, key: str) -> object:
    """What an object holds under `key`; None for whatever is no object."""
    return data.get(key) if isinstance(data, dict) else None


def entries(data: object) -> list[object]:
    """What a list holds; nothing for whatever is no list."""
    return data if isinstance(data, list) else []


def ids_of(items: object) -> dict[int, str]:
    """Ids of a list of objects, by position."""
    ids = ((i, member(item, "id")) for i, item in enumerate(entries(items)))
    return {i: name for i, name in ids if isinstance(name, str)}


def repeated(names: Mapping[int, str], among: str) -> Iterator[tuple[int, str]]:
    """Positions of names that came before, and what is wrong with them."""
    first: dict[str, int] = {}
    for i, name in names.items():
        if first.setdefault(name, i) != i:
            yield i, f"{shown(name)} names {among}[{first[name]}] already"


def _strangers(leads: Mapping[int, str], known: list[str]) -> Iterator[tuple[Where, str]]:
    for i, name in leads.items():
        if known and name not in known:
            yield ("leader", "providers", i), f"no provider has the id {shown(name)}{meant(name, known)}"


def _caps(caps: object, leads: list[str]) -> Iterator[tuple[Where, str]]:
    if not isinstance(caps, dict):
        return
    for name in dict.fromkeys(leads):
        if name not in caps:
            yield ("leader", "price_cap", name), "missing; an object needs a cap for each of the leader's providers"
    for name in caps:
        if name not in leads:
            yield ("leader", "price_cap", name), f"not one of the leader's providers{meant(name, leads)}"


def _unpriced(providers: object, leads: set[str]) -> Iterator[tuple[Where, str]]:
    ids = ids_of(providers)
    for i, provider in enumerate(entries(providers)):
        if isinstance(provider, dict) and "price" not in provider and ids.get(i) not in leads:
            yield ("providers", i, "price"), "missing; only the leader's providers may leave it out"
