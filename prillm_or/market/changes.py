"""apply: a market with something new in it, such as a price, a demand, a rival or a user; checked like a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import MarketError
from prillm_or.market.faults import Faults
from prillm_or.market.market import Array, Market, own_weights
from prillm_or.market.rules import DEFAULTS, PROVIDER_ARRAYS
from prillm_or.market.selection import arrays_of

if TYPE_CHECKING:
    from prillm_or.market.change_fields import ChangeFields

Change = dict[str, Any]
"""What is new, with the fields of `prillm_or.market.change_fields.ChangeFields`: one form for Python and for JSON."""


def apply(market: Market, change: Change) -> Market:
    """Change a market; several things that are new come together, or not at all.

    Parameters
    ----------
    market
        The market as it is; it stays so.
    change
        Any of `users` and `providers`, new fields by id; `delays`, by user and provider; `price_cap`; `add`, lists of
        `users` and `providers` with their delays, where a provider that comes is a rival; `remove`, lists of ids.
        Units are those of the market.

    Raises
    ------
    MarketError
        When the change breaks a rule; it lists every fault with the path of its field.

    Examples
    --------
    >>> from prillm_or.market.synthetic import generate
    >>> change = {"users": {"u2": {"demand": 45.0}}, "remove": {"providers": ["p1"]}}
    >>> market = apply(generate(3, 3, "uniform", 0), change)
    >>> market.demand[1].item(), market.provider_ids
    (45.0, ('p2', 'p3'))
    """
    from prillm_or.market.change_fields import check_change  # and pydantic, which loads slowly

    faults = Faults()
    fields = check_change(change, market, faults)
    if fields is None or faults.lines():
        raise MarketError("change", faults.lines())
    return _moved(_edited(market, fields), fields, own_weights(market))


def _edited(market: Market, change: ChangeFields) -> Market:
    """The market with new figures of whoever is there."""
    users, providers = _positions(market.user_ids), _positions(market.provider_ids)
    arrays: dict[str, Any] = {}

    def put(name: str, where: int | tuple[int, int], value: float) -> None:
        if name not in arrays:
            arrays[name] = getattr(market, name).copy()
        arrays[name][where] = value

    for name, user in change.users.items():
        for key, value in user.model_dump(include={"demand"}, exclude_unset=True).items():
            put(key, users[name], value)
        for key, weight in user.weights.model_dump(exclude_unset=True).items():
            put(f"{key}_weight", users[name], weight)
    for name, provider in change.providers.items():
        for key, value in provider.model_dump(exclude_unset=True).items():
            put(key, providers[name], value)
    for name, row in change.delays.items():
        for other, delay in row.items():
            put("delay", (users[name], providers[other]), delay)
    for place, name in enumerate(market.leader_ids):
        cap = change.price_cap.get(name) if isinstance(change.price_cap, dict) else change.price_cap
        if cap is not None:
            put("price_cap", place, cap)
    return replace(market, **arrays) if arrays else market


def _moved(market: Market, change: ChangeFields, before: Mapping[str, Array]) -> Market:
    """The market without those who leave and with those who come; `before` are the weights that all users had."""
    if not change.model_fields_set & {"add", "remove"}:
        return market
    new_users, new_providers = change.add.users, change.add.providers
    i, j = _staying(market.user_ids, change.remove.users), _staying(market.provider_ids, change.remove.providers)
    left, stay = arrays_of(market, i, j), [market.user_ids[k] for k in i]
    providers = [*(market.provider_ids[k] for k in j), *(provider.id for provider in new_providers)]
    arrays: dict[str, Any] = {
        name: np.append(left[name], [getattr(new, name, DEFAULTS.get(name)) for new in new_providers])
        for name in PROVIDER_ARRAYS
    }
    for name in ("demand", "count", "dispersion"):
        arrays[name] = np.append(left[name], [getattr(new, name, DEFAULTS.get(name)) for new in new_users])
    arrays["mix"] = np.empty((len(i) + len(new_users), 0))
    for key in own_weights(market):
        own = [user.weights for user in new_users]
        new = [getattr(given, key) if key in given.model_fields_set else before[key][0] for given in own]
        arrays[f"{key}_weight"] = np.append(left[f"{key}_weight"], new)
    wide = np.column_stack([left["delay"], *(_for_each(new.delays, stay) for new in new_providers)])
    arrays["delay"] = np.vstack([wide, *(_for_each(user.delays, providers) for user in new_users)])
    leader = tuple(providers.index(name) for name in market.leader_ids)
    users = (*stay, *(user.id for user in new_users))
    return replace(market, user_ids=users, provider_ids=tuple(providers), leader=leader, **arrays)


def _positions(names: Sequence[str]) -> dict[str, int]:
    return {name: k for k, name in enumerate(names)}


def _staying(names: Sequence[str], leaving: Sequence[str]) -> list[int]:
    gone = set(leaving)
    return [k for k, name in enumerate(names) if name not in gone]


def _for_each(delays: float | Mapping[str, float], names: Sequence[str]) -> Array:
    """Delays of one who comes, in the order of `names`."""
    return np.array([delays[name] if isinstance(delays, Mapping) else delays for name in names], dtype=np.float64)
