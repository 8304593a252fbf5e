"""links: what ties the fields of a market file together, checked on whatever the file holds.

So these faults show beside those of single fields, and a part of the wrong type, which is one of these, is passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prillm_or.errors import is_number
from prillm_or.market.checks import entries, ids_of, meant, member, repeated
from prillm_or.market.decisions import FACTOR
from prillm_or.market.faults import Faults, Where, shown
from prillm_or.market.rules import BY_COMPONENT

Found = Iterator[tuple[Where, str]]

_LACKS = "there are no `components`"


def check_links(document: object, faults: Faults) -> None:
    """Check what ties fields together: names, what the leader sets and may leave out, mixes, and slopes."""
    users, providers, leader = (member(document, key) for key in ("users", "providers", "leader"))
    components = names_of(document)
    for name, items in (("users", users), ("providers", providers)):
        faults.add_all((((name, i, "id"), what) for i, what in repeated(ids_of(items), name)), name, "repeated")
    twice = repeated(dict(enumerate(components)), "components")
    faults.add_all(((("components", c), what) for c, what in twice), "components", "repeated")
    check_leader(leader, providers, components, faults)
    faults.add_all(list_faults(placed(providers, "providers"), components), "providers", "lists")
    faults.add_all(short_lists(placed(providers, "providers"), ["unit_cost"], components), "providers", "short")
    faults.add_all(_unpriced(leader, providers, components), "providers", "unpriced")
    faults.add_all(mix_faults(placed(users, "users"), components), "users", "mix")
    known = list(ids_of(providers).values())
    faults.add_all(_strangers(valued(placed(users, "users")), known), "users", "values")
    if isinstance(document, dict):
        faults.add_all(_slopes(document), "users", "slopes")


def check_leader(leader: object, providers: object, components: Sequence[str], faults: Faults) -> None:
    """Check who leads, what it sets, and its caps."""
    known = list(ids_of(providers).values())
    leads = {i: name for i, name in enumerate(entries(member(leader, "providers"))) if isinstance(name, str)}
    twice = ((("leader", "providers", i), what) for i, what in repeated(leads, "leader.providers"))
    faults.add_all(twice, "leader", "repeated")
    named = ((("leader", "providers", i), name) for i, name in leads.items())
    faults.add_all(_strangers(named, known), "leader", "stranger")
    if known and set(known) <= set(leads.values()):
        faults.add(("leader", "providers"), "the leader owns every provider; leave at least one rival out")
    faults.add_all(_decided(leader, components), "leader", "decides")
    faults.add_all(_caps(leader, list(leads.values()), components), "leader", "cap")


def names_of(document: object) -> list[str]:
    """Components that a file names."""
    return [name for name in entries(member(document, "components")) if isinstance(name, str)]


def placed(items: object, *at: str | int) -> Iterator[tuple[Where, object]]:
    """Entries of a list or an object, with their places."""
    pairs = items.items() if isinstance(items, dict) else enumerate(entries(items))
    for key, item in pairs:
        yield (*at, key), item


def keys(data: object, *at: str | int) -> Iterator[tuple[Where, str]]:
    """Names that an object has for keys, with their places."""
    yield from ((where, name) for where, _ in placed(data, *at) if isinstance(name := where[-1], str))


def valued(users: Iterable[tuple[Where, object]]) -> Iterator[tuple[Where, str]]:
    """Providers of whom users have values of their own."""
    own = ((at, values) for at, user in users if (values := member(user, "values")))
    return (found for at, values in own for found in keys(values, *at, "values"))


def unknown_component(name: str, components: Sequence[str]) -> str:
    """What is wrong with a name that is none of the components'."""
    return f"no component has the name {shown(name)}{meant(name, list(components))}" if components else _LACKS


def decided_of(leader: object, components: Sequence[str]) -> list[str]:
    """Components whose prices a leader sets; none where it sets factors or the only price of a provider."""
    decides = member(leader, "decides")
    if decides == FACTOR:
        return []
    return [name for name in components if not isinstance(decides, list) or name in decides]


def _strangers(named: Iterable[tuple[Where, object]], known: Sequence[str]) -> Found:
    there = set(known)
    for where, name in named:
        if there and isinstance(name, str) and name not in there:
            yield where, f"no provider has the id {shown(name)}{meant(name, list(known))}"


def _decided(leader: object, components: Sequence[str]) -> Found:
    names = {c: name for c, name in enumerate(entries(member(leader, "decides"))) if isinstance(name, str)}
    for c, what in repeated(names, "leader.decides"):
        yield ("leader", "decides", c), what
    for c, name in names.items():
        if name not in components:
            yield ("leader", "decides", c), unknown_component(name, components)


def _caps(leader: object, leads: Sequence[str], components: Sequence[str]) -> Found:
    caps, decided = member(leader, "price_cap"), decided_of(leader, components)
    if not isinstance(caps, dict):
        return
    for name in dict.fromkeys(leads):
        if name not in caps:
            yield ("leader", "price_cap", name), "missing; an object needs a cap for each of the leader's providers"
        elif isinstance(caps[name], dict):
            missing = (c for c in decided if c not in caps[name])
            why = "missing; an object needs a cap for each component that the leader decides"
            yield from ((("leader", "price_cap", name, c), why) for c in missing)
    yield from cap_faults(caps, ("leader", "price_cap"), leads, decided, components)


def cap_faults(
    caps: object, at: Where, leads: Sequence[str], decided: Sequence[str], components: Sequence[str]
) -> Found:
    """Caps of what the leader does not decide."""
    for where, cap in placed(caps, *at):
        if not isinstance(name := where[-1], str):
            continue
        if name not in leads:
            yield where, f"not one of the leader's providers{meant(name, list(leads))}"
        elif isinstance(cap, dict) and not decided:
            yield where, f"expected a number, got an object; {'a factor has no components' if components else _LACKS}"
        elif isinstance(cap, dict):
            yield from unknown_faults(cap, where, components)
            others = (place for place, c in keys(cap, *where) if c in components and c not in decided)
            yield from ((place, "the leader does not decide it") for place in others)


def list_faults(parts: Iterable[tuple[Where, object]], components: Sequence[str]) -> Found:
    """Prices and costs by component, where there are none or others."""
    for at, part in parts:
        for name in BY_COMPONENT:
            if isinstance(given := member(part, name), dict):
                if components:
                    yield from unknown_faults(given, (*at, name), components)
                else:
                    yield (*at, name), f"expected a number, got an object; {_LACKS}"


def short_lists(parts: Iterable[tuple[Where, object]], names: Sequence[str], components: Sequence[str]) -> Found:
    """Prices or costs by component that leave some out."""
    for at, part in parts:
        for name in names:
            if components and isinstance(given := member(part, name), dict):
                missing = (c for c in components if c not in given)
                yield from (((*at, name, c), "missing; give all components, or a number") for c in missing)


def unknown_faults(given: object, at: Where, components: Sequence[str]) -> Found:
    """Names in an object that are no components'."""
    yield from ((where, unknown_component(c, components)) for where, c in keys(given, *at) if c not in components)


def _unpriced(leader: object, providers: object, components: Sequence[str]) -> Found:
    """Prices that are missing, and not for the leader to decide."""
    leads, parts = entries(member(leader, "providers")), components or [""]
    decided, factor = decided_of(leader, parts), member(leader, "decides") == FACTOR
    for i, provider in enumerate(entries(providers)):
        if not isinstance(provider, dict):
            continue
        own, at = provider.get("id") in leads, ("providers", i, "price")
        needed = [c for c in parts if not own or c not in decided]
        why = "only what the leader decides may be left out" if own else "only the leader's providers may leave it out"
        why = f"missing; {'the factor of the leader multiplies it' if own and factor else why}"
        if "price" not in provider and needed:
            yield at, why
        elif components and isinstance(price := provider.get("price"), dict):
            yield from (((*at, c), why) for c in needed if c not in price)


def mix_faults(users: Iterable[tuple[Where, object]], components: Sequence[str]) -> Found:
    """What is wrong with what users ask for in a unit of their volume."""
    for at, user in users:
        if not isinstance(user, dict):
            continue
        if "mix" not in user:
            if components:
                yield (*at, "mix"), "missing; say how much of each component a unit of its volume holds"
        elif not components:
            yield (*at, "mix"), _LACKS
        elif isinstance(mix := user["mix"], dict):
            yield from unknown_faults(mix, (*at, "mix"), components)
            if all(is_number(amount) and amount == 0 for amount in mix.values()):
                yield (*at, "mix"), "expected some component > 0"


def _slopes(document: Mapping[str, object]) -> Found:
    """Weights of congestion of which some are 0, or all without a dispersion in their place; capacities left out."""
    users, providers = entries(document.get("users")), entries(document.get("providers"))
    common = member(document.get("weights"), "congestion")
    common = 1.0 if common is None else common
    own = {i: w for i, user in enumerate(users) if (w := member(member(user, "weights"), "congestion")) is not None}
    free = [own.get(i, common) == 0 for i in range(len(users))]
    if not any(free):
        for j, provider in enumerate(providers):
            if isinstance(provider, dict) and "capacity" not in provider:
                yield ("providers", j, "capacity"), "missing; it may be left out where no user weighs congestion"
    elif not all(free):
        for i, weight in own.items():
            if (weight == 0) != (common == 0):
                what = "0, but > 0 of other users" if weight == 0 else "> 0, but 0 of other users"
                yield ("users", i, "weights", "congestion"), f"{what}; expected 0 of all users or of none"
    else:
        at = ("weights", "congestion") if common == 0 else ("dispersion",)
        if document.get("dispersion", 0) == 0 and any(member(user, "dispersion") is None for user in users):
            yield at, "0 of all users, which needs a dispersion > 0 of each of them: give the market one"
        for name, items in (("users", users), ("providers", providers)):
            for k, item in enumerate(items):
                if member(item, "dispersion") == 0:
                    yield (name, k, "dispersion"), "expected > 0 where no user weighs congestion, got 0"
