"""The fields of a change of a market, what it may not hold, and the JSON Schema that is shipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar

from pydantic import ConfigDict, Field, model_validator

from prillm_or.market.checks import entries, ids_of, meant, member, repeated
from prillm_or.market.faults import Faults, Where, shown
from prillm_or.market.fields import check_fields
from prillm_or.market.links import cap_faults, keys, list_faults, mix_faults, placed, short_lists, valued
from prillm_or.market.market import Array, Market, own_weights
from prillm_or.market.rules import BY_COMPONENT
from prillm_or.market.schema import Caps, Count, NonNegative, OneOrEach, Part, Positive, Text

SomePart = TypeVar("SomePart", bound="Some")


class Some(Part):
    """A part of a change: every field may be left out, but not all of them."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"expected at least one of {', '.join(type(self).model_fields)}")
        return self


def _left_out() -> float:
    return math.nan


def _empty(part: type[SomePart]) -> Callable[[], SomePart]:
    """Default of a part that is left out: one without fields, made once as that takes pydantic long."""
    made = part.model_construct()
    return lambda: made


class WeightFields(Some):
    """A user's own weights."""

    price: Positive = Field(default_factory=_left_out)
    congestion: NonNegative = Field(default_factory=_left_out)
    delay: NonNegative = Field(default_factory=_left_out)


class UserFields(Some):
    """What is new of a user."""

    demand: Positive = Field(default_factory=_left_out, description="Volume units per period.")
    weights: WeightFields = Field(default_factory=_empty(WeightFields))
    mix: dict[str, NonNegative] = Field(
        default_factory=dict, min_length=1, description="Units in one unit of volume, by component; others stay."
    )
    count: Count = Field(default_factory=_left_out, description="How many equal users share the demand evenly.")
    dispersion: NonNegative = Field(default_factory=_left_out, description="Currency per volume unit.")
    values: dict[str, float] = Field(
        default_factory=dict,
        min_length=1,
        description="Of its own, by provider; others stay.",
    )


class ProviderFields(Some):
    """What is new of a provider; `price` of one of the leader's is its price today."""

    price: OneOrEach = Field(
        default_factory=_left_out,
        description="Currency per volume unit: of all components, or by component; others stay.",
    )
    capacity: Positive = Field(default_factory=_left_out, description="Volume units per congestion unit.")
    value: float = Field(default_factory=_left_out, description="Worth to users, currency per volume unit, any sign.")
    unit_cost: OneOrEach = Field(
        default_factory=_left_out, description="Cost of serving, currency per volume unit; given as a price."
    )
    dispersion: NonNegative = Field(default_factory=_left_out, description="Multiplies that of its users.")


class NewUser(Part):
    """A user who comes."""

    id: Text
    demand: Positive = Field(description="Volume units per period.")
    weights: WeightFields = Field(
        default_factory=_empty(WeightFields),
        description="One left out is the one that all users had before; needed where theirs differ.",
    )
    mix: dict[str, NonNegative] = Field(
        default_factory=dict, description="Units of each component in one unit of volume; one left out is 0."
    )
    count: Count = Field(default=1.0, description="How many equal users share the demand evenly.")
    dispersion: NonNegative = Field(
        default_factory=_left_out, description="Left out, that of all users before; needed where theirs differ."
    )
    values: dict[str, float] = Field(default_factory=dict, description="Of its own, in place of the providers'.")
    delays: OneOrEach = Field(description="One number, or one for each provider there is after the change.")


class NewProvider(Part):
    """A rival that comes."""

    id: Text
    price: OneOrEach = Field(description="Currency per volume unit: of all components, or of each.")
    capacity: Positive = Field(
        default_factory=lambda: 1.0,
        description="Volume units per congestion unit; only where no user weighs congestion it may be left out.",
    )
    value: float = Field(default=0.0, description="Worth to users, currency per volume unit, of any sign.")
    unit_cost: OneOrEach = Field(default=0.0, description="Cost of serving, currency per volume unit, as `price`.")
    dispersion: NonNegative = Field(default=1.0, description="Multiplies that of its users.")
    delays: OneOrEach = Field(description="One number, or one for each user who stays; new users bring their own.")


class Additions(Some):
    """Who comes."""

    users: list[NewUser] = Field(default_factory=list, min_length=1)
    providers: list[NewProvider] = Field(default_factory=list, min_length=1)


class Removals(Some):
    """Who leaves, by id."""

    users: list[Text] = Field(default_factory=list, min_length=1)
    providers: list[Text] = Field(default_factory=list, min_length=1)


class ChangeFields(Some):
    """What is new in a market; all of it happens together, or nothing does."""

    users: dict[str, UserFields] = Field(default_factory=dict, min_length=1, description="By id.")
    providers: dict[str, ProviderFields] = Field(default_factory=dict, min_length=1, description="By id.")
    delays: dict[str, Annotated[dict[str, NonNegative], Field(min_length=1)]] = Field(
        default_factory=dict, min_length=1, description="delays[user][provider], in the delay unit."
    )
    price_cap: Caps = Field(
        default_factory=dict,
        description="Highest price, currency per volume unit, or factor: for all that the leader decides, by id, or by "
        "id and component; others stay.",
    )
    add: Additions = Field(default_factory=_empty(Additions))
    remove: Removals = Field(default_factory=_empty(Removals))


def change_schema() -> dict[str, Any]:
    """JSON Schema of a change; what depends on the market (such as known ids) is left to `check_change`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **ChangeFields.model_json_schema()}


def check_change(change: object, market: Market, faults: Faults) -> ChangeFields | None:
    """Check a change of `market`; what is wrong goes to `faults`, and None is given where a field is faulty.

    Links to the market are checked on whatever the change holds, so that their faults show beside those of fields.
    """
    parsed = check_fields(ChangeFields, change, faults)
    users, providers = (_side(change, what, market) for what in ("user", "provider"))
    _check_keys(change, users, providers, faults)
    _check_lists(change, market, faults)
    if member(change, "remove") is not None:
        _check_leaving(change, users, providers, market.leader_ids, faults)
    if member(change, "add") is not None:
        _check_coming(change, users, providers, faults)
        _check_weights(change, market, faults)
    if (caps := member(change, "price_cap")) is not None:
        _check_caps(caps, market, faults)
    return parsed


def _check_caps(caps: object, market: Market, faults: Faults) -> None:
    if caps == {}:
        faults.add(("price_cap",), "expected at least one, got an empty object")
    decided = [market.components[d.component] for d in market.decisions if d.component is not None]
    found = cap_faults(caps, ("price_cap",), market.leader_ids, decided, market.components)
    faults.add_all(found, "price_cap")


@dataclass(frozen=True)
class _Side:
    """Users or providers: who is there before a change, who leaves, who comes; leavers and comers by position."""

    what: str
    known: frozenset[str]
    leaving: Mapping[int, str]
    coming: Mapping[int, str]
    left: frozenset[str]

    def why_not(self, name: str) -> str:
        """Why a change cannot speak of `name` as of one that is there and stays."""
        if name in self.known:
            return f"{self.what} {shown(name)} leaves by the same change; say one or the other"
        if name in self.coming.values():
            return f"{self.what} {shown(name)} comes by the same change; say it under add.{self.what}s"
        return f"no {self.what} has the id {shown(name)}{meant(name, sorted(self.known))}"


def _side(change: object, what: str, market: Market) -> _Side:
    known = frozenset(market.user_ids if what == "user" else market.provider_ids)
    if member(change, "add") is None and member(change, "remove") is None:
        return _Side(what, known, {}, {}, known)
    leaving = {i: name for i, name in enumerate(entries(_inside(change, "remove", what))) if isinstance(name, str)}
    return _Side(what, known, leaving, ids_of(_inside(change, "add", what)), known - set(leaving.values()))


def _check_lists(change: object, market: Market, faults: Faults) -> None:
    """Check what is said by component, of whoever is there and of those who come."""
    components, new = market.components, list(placed(_inside(change, "add", "provider"), "add", "providers"))
    if mixes := [*_mixed(change, market), *placed(_inside(change, "add", "user"), "add", "users")]:
        faults.add_all(mix_faults(mixes, components), "users", "mix")
    if parts := [*placed(member(change, "providers"), "providers"), *new]:
        faults.add_all(list_faults(parts, components), "providers", "lists")
    if new:
        faults.add_all(short_lists(new, BY_COMPONENT, components), "providers", "short")
    for at, part in new:
        if market.congested and isinstance(part, dict) and "capacity" not in part:
            faults.add((*at, "capacity"), "missing", "add", "capacity")


def _mixed(change: object, market: Market) -> Iterator[tuple[Where, object]]:
    """Users whose mix changes, with all of it as it is to be."""
    mixes = [(at, member(user, "mix")) for at, user in placed(member(change, "users"), "users")]
    given = [(at, mix) for at, mix in mixes if isinstance(mix, dict)]
    positions: dict[object, int] = {name: i for i, name in enumerate(market.user_ids)} if given else {}
    for at, mix in given:
        row = market.mix[positions[at[-1]]].tolist() if at[-1] in positions else ()
        yield at, {"mix": dict(zip(market.components, row, strict=False)) | mix}


def _inside(change: object, key: str, what: str) -> object:
    return member(member(change, key), f"{what}s")


def _check_keys(change: object, users: _Side, providers: _Side, faults: Faults) -> None:
    """Whoever is to change must be there, and stay."""
    of_users, of_providers, rows = (member(change, key) for key in ("users", "providers", "delays"))
    if of_users is not None:
        _refuse_others(keys(of_users, "users"), users, users.left, faults)
    if of_providers is not None:
        _refuse_others(keys(of_providers, "providers"), providers, providers.left, faults)
    if rows is not None:
        columns = (place for where, name in keys(rows) for place in keys(member(rows, name), "delays", *where))
        _refuse_others(keys(rows, "delays"), users, users.left, faults)
        _refuse_others(columns, providers, providers.left, faults)
    if of_users is not None:
        _refuse_others(valued(placed(of_users, "users")), providers, providers.left, faults)


def _refuse_others(places: Iterable[tuple[Where, str]], side: _Side, allowed: frozenset[str], faults: Faults) -> None:
    others = ((where, name) for where, name in places if name not in allowed)
    faults.add_all(others, f"{side.what}s", "others", describe=side.why_not)


def _check_leaving(change: object, users: _Side, providers: _Side, leader_ids: tuple[str, ...], faults: Faults) -> None:
    for side in (users, providers):
        at = ("remove", f"{side.what}s")
        _refuse_others((((*at, i), name) for i, name in side.leaving.items()), side, side.known, faults)
        twice = repeated(side.leaving, ".".join(at))
        faults.add_all((((*at, i), what) for i, what in twice), *at, "repeated")
    for i, name in providers.leaving.items():
        if name in leader_ids:
            faults.add(("remove", "providers", i), f"{shown(name)} is the leader's; only rivals can leave")
    for side, kept, what in ((users, users.left, "user"), (providers, providers.left - set(leader_ids), "rival")):
        if not kept and not entries(_inside(change, "add", side.what)):
            faults.add(("remove", f"{side.what}s"), f"no {what} would be left; keep one, or add one")


def _check_coming(change: object, users: _Side, providers: _Side, faults: Faults) -> None:
    others = {"user": providers.left | set(providers.coming.values()), "provider": users.left}
    for side, other in ((users, providers), (providers, users)):
        at = ("add", f"{side.what}s")
        twice = repeated(side.coming, ".".join(at))
        faults.add_all((((*at, i, "id"), what) for i, what in twice), *at, "repeated")
        taken = [(i, name) for i, name in side.coming.items() if name in side.known]
        faults.add_all((((*at, i, "id"), _taken(name, side)) for i, name in taken), *at, "taken")
        for i, item in enumerate(entries(_inside(change, "add", side.what))):
            _check_delays(member(item, "delays"), (*at, i, "delays"), other, others[side.what], faults)
    named = valued(placed(_inside(change, "add", "user"), "add", "users"))
    _refuse_others(named, providers, others["user"], faults)


def _check_delays(delays: object, at: Where, other: _Side, needed: frozenset[str], faults: Faults) -> None:
    """Delays of one who comes, by id: one for each on the other side who stays; a user's also for those who come."""
    if isinstance(delays, dict):
        _refuse_others((((*at, name), name) for name in delays if isinstance(name, str)), other, needed, faults)
        missing = (((*at, name), f"missing; give one for each {other.what}") for name in needed - set(delays))
        faults.add_all(sorted(missing), "delays", "missing")


def _taken(name: str, side: _Side) -> str:
    return f"a {side.what} has the id {shown(name)} already; change it under {side.what}s, or take another id"


def _check_weights(change: object, market: Market, faults: Faults) -> None:
    """A new user's weight and dispersion may be left out where all users have the same."""
    owned: list[tuple[Where, Array]] = [(("weights", key), weights) for key, weights in own_weights(market).items()]
    owned = [
        (at, values) for at, values in [*owned, (("dispersion",), market.dispersion)] if (values != values[0]).any()
    ]
    for i, user in enumerate(entries(_inside(change, "add", "user"))):
        for at, _ in owned:
            given = user
            for key in at:
                given = member(given, str(key))
            if isinstance(user, dict) and given is None:
                faults.add(("add", "users", i, *at), "missing; users differ in it, so there is none to take over")
