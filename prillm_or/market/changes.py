"""apply: a market with something new in it, such as a price, a demand, a rival or a user; checked like a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import MarketError
from prillm_or.market.decisions import Decision
from prillm_or.market.faults import Faults
from prillm_or.market.market import Array, Market, own_weights
from prillm_or.market.rules import BY_COMPONENT
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
        What an object leaves out stays, such as the price of a component. Units are those of the market.

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
    fields, problems = check_change(change, market, faults), faults.lines()
    if fields is None or problems:
        raise MarketError("change", problems)
    try:
        return _moved(_edited(market, fields), fields, market)
    except MarketError as refusal:  # of what the change makes together, such as weights of congestion of which one is 0
        raise MarketError("change", refusal.problems) from None


def _edited(market: Market, change: ChangeFields) -> Market:
    """The market with new figures of whoever is there."""
    users = _positions(market.user_ids) if change.users or change.delays else {}
    providers = _positions(market.provider_ids)
    arrays: dict[str, Any] = {}

    def put(name: str, where: int | tuple[int, int], value: float) -> None:
        if name not in arrays:
            arrays[name] = (_own_values(market) if name == "user_values" else getattr(market, name)).copy()
        arrays[name][where] = value

    for name, user in change.users.items():
        i = users[name]
        for key, value in user.model_dump(include={"demand", "count", "dispersion"}, exclude_unset=True).items():
            put(key, i, value)
        for key, weight in user.weights.model_dump(exclude_unset=True).items():
            put(f"{key}_weight", i, weight)
        for component, amount in user.mix.items():
            put("mix", (i, market.components.index(component)), amount)
        for other, value in user.values.items():
            put("user_values", (i, providers[other]), value)
    for name, provider in change.providers.items():
        for key, value in provider.model_dump(exclude_unset=True).items():
            field, j = ("provider_dispersion" if key == "dispersion" else key), providers[name]
            for component, part in value.items() if isinstance(value, dict) else ():
                put(field, (j, market.components.index(component)), part)
            if not isinstance(value, dict):
                put(field, j, value)
    for name, row in change.delays.items():
        for other, delay in row.items():
            put("delay", (users[name], providers[other]), delay)
    for k, decision in enumerate(market.decisions):
        cap = _new_cap(change.price_cap, market, decision)
        if cap is not None:
            put("price_cap", k, cap)
    changed = market.with_arrays(**arrays) if arrays else market
    return replace(changed, fit=market.fit.elsewhere()) if arrays and market.fit else changed


def _new_cap(caps: Any, market: Market, decision: Decision) -> float | None:
    """The cap that a change gives a decision, or its provider, or all; None where it stays."""
    own = caps.get(market.provider_ids[decision.provider]) if isinstance(caps, dict) else caps
    return own.get(market.components[decision.component or 0]) if isinstance(own, dict) else own


def _own_values(market: Market) -> Array:
    """Users' own values, shape (n, m), NaN where one has none."""
    return market.user_values if market.user_values.size else np.full((market.n, market.m), np.nan)


def _moved(market: Market, change: ChangeFields, before: Market) -> Market:
    """The market without those who leave and with those who come; users who come are as all were `before`."""
    if not change.model_fields_set & {"add", "remove"}:
        return market
    new_users, new_providers = change.add.users, change.add.providers
    i, j = _staying(market.user_ids, change.remove.users), _staying(market.provider_ids, change.remove.providers)
    left, stay = arrays_of(market, i, j), [market.user_ids[k] for k in i]
    providers = [*(market.provider_ids[k] for k in j), *(provider.id for provider in new_providers)]
    components = market.components
    new: dict[str, list[Any]] = {name: [getattr(user, name) for user in new_users] for name in ("demand", "count")}
    new["dispersion"] = [_or_common(user, "dispersion", before.dispersion) for user in new_users]
    for key, weights in own_weights(before).items():
        new[f"{key}_weight"] = [_or_common(user.weights, key, weights) for user in new_users]
    new["mix"] = [[user.mix.get(c, 0.0) for c in components] for user in new_users]
    new |= {name: [getattr(provider, name) for provider in new_providers] for name in ("capacity", "value")}
    new |= {name: [_listed(getattr(p, name), components) for p in new_providers] for name in BY_COMPONENT}
    new["provider_dispersion"] = [provider.dispersion for provider in new_providers]
    arrays: dict[str, Any] = {
        name: np.concatenate([left[name], np.reshape(rows, (len(rows), *left[name].shape[1:]))])
        for name, rows in new.items()
    }
    wide = np.column_stack([left["delay"], *(_for_each(new.delays, stay) for new in new_providers)])
    arrays["delay"] = np.vstack([wide, *(_for_each(user.delays, providers) for user in new_users)])
    if market.user_values.size or any(user.values for user in new_users):
        kept = _own_values(market)[np.ix_(i, j)]
        wide = np.column_stack([kept, np.full((len(i), len(new_providers)), np.nan)])
        own = [[user.values.get(name, np.nan) for name in providers] for user in new_users]
        arrays["user_values"] = np.vstack([wide, *own])
    leader = tuple(providers.index(name) for name in market.leader_ids)
    users = (*stay, *(user.id for user in new_users))
    return replace(
        market,
        user_ids=users,
        provider_ids=tuple(providers),
        leader=leader,
        fit=market.fit and market.fit.elsewhere(),
        **arrays,
    )


def _or_common(given: Any, name: str, before: Array) -> float:
    """What one who comes has, or what all users had."""
    return float(getattr(given, name)) if name in given.model_fields_set else before[0].item()


def _listed(prices: float | Mapping[str, float], components: Sequence[str]) -> Any:
    """Prices of one who comes: one, or one for each component."""
    if not components:
        return prices
    return [prices[c] for c in components] if isinstance(prices, Mapping) else [prices] * len(components)


def _positions(names: Sequence[str]) -> dict[str, int]:
    return {name: k for k, name in enumerate(names)}


def _staying(names: Sequence[str], leaving: Sequence[str]) -> list[int]:
    gone = set(leaving)
    return [k for k, name in enumerate(names) if name not in gone]


def _for_each(delays: float | Mapping[str, float], names: Sequence[str]) -> Array:
    """Delays of one who comes, in the order of `names`."""
    return np.array([delays[name] if isinstance(delays, Mapping) else delays for name in names], dtype=np.float64)
