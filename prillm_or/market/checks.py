"""What ties the fields of a market file together, and what refusals need; free of pydantic, which loads slowly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from prillm_or.market.faults import Faults, Where, shown


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


def meant(name: str, known: list[str]) -> str:
    """The way out for a name that is nearly one of those known, or nothing."""
    near = get_close_matches(name, known, n=1)
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
    for i, provider in enumerate(entries(providers)):
        if isinstance(provider, dict) and "price" not in provider and provider.get("id") not in leads:
            yield ("providers", i, "price"), "missing; only the leader's providers may leave it out"
