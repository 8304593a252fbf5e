"""What fields of a market have to be, and how to look into what a file holds; free of pydantic, which loads slowly."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.errors import is_number, nearest
from prillm_or.market.faults import shown

_KINDS: dict[type, str] = {str: "text"}


def checked_ids(name: str, given: Any, problems: list[str]) -> tuple[str, ...]:
    """Ids as a tuple; a text alone would become one of letters."""
    if type(given) is tuple and set(map(type, given)) <= {str}:
        return given
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


def leader_and_caps(
    leader: Any, price_cap: Any, problems: list[str], decided: Sequence[str] = ()
) -> tuple[tuple[str, ...], list[float]]:
    """Ids of the leader's providers, and the highest price of each: one for all of them, or one for each id.

    Where components are `decided`, the highest price of each of them, provider by provider; a provider's may be one for
    all of them or by component.
    """
    ids = checked_ids("leader", (leader,) if isinstance(leader, str) else leader, problems)
    given = price_cap if isinstance(price_cap, Mapping) else dict.fromkeys(ids, price_cap)
    problems += [f"price_cap: leader's provider {each!r} is missing" for each in ids if each not in given]
    problems += [
        f"price_cap: no leader's provider has the id {each!r}{meant(str(each), list(ids))}"
        for each in given
        if each not in ids
    ]
    lists = {each: cap for each, cap in given.items() if decided and given is price_cap and isinstance(cap, Mapping)}
    problems += [
        f"price_cap: expected a number, or numbers by id{' and component' if decided else ''}, got {cap!r}"
        for cap in ([price_cap] if given is not price_cap else [c for each, c in given.items() if each not in lists])
        if ids and not is_number(cap)
    ]
    for each, cap in lists.items():
        problems += [f"price_cap[{each}]: {name!r} is missing" for name in decided if name not in cap]
        problems += [
            f"price_cap[{each}]: {name!r} is not decided{meant(str(name), list(decided))}"
            for name in cap
            if name not in decided
        ]
        problems += [f"price_cap[{each}]: expected numbers, got {x!r}" for x in cap.values() if not is_number(x)]
    if problems:
        return ids, []
    parts = decided or [""]
    return ids, [float(lists[each][part] if each in lists else given[each]) for each in ids for part in parts]


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
