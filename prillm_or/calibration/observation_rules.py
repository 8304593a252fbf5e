"""Observation rules: what the names, arrays and leader of observed days may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.files.tables import Kind, is_time
from prillm_or.market.decisions import Decision, decisions_of
from prillm_or.market.faults import MOST
from prillm_or.market.market import Mask
from prillm_or.market.rules import decides_problems

if TYPE_CHECKING:
    from prillm_or.calibration.observations import Observations


def leader_decisions(
    leads: Sequence[str], decides: str | Sequence[str], components: Sequence[str]
) -> tuple[Decision, ...]:
    """What a leader sets, in the order of its caps; a provider's position is that among the leader's own."""
    return decisions_of(range(len(leads)), leads, components, decides)


def name_problems(observations: Observations) -> list[str]:
    """What is wrong with the names of days, users, providers and components."""
    named = {"days": observations.days, "user_ids": observations.user_ids, "provider_ids": observations.provider_ids}
    problems = [f"{what}: expected at least one" for what, names in named.items() if not names]
    named |= {"components": observations.components}
    for what, names in named.items():
        problems += [f"{what}: {name!r} appears more than once" for name, k in Counter(names).items() if k > 1]
        problems += [
            f"{what}[{k}]: expected a name, got {name!r}" for k, name in enumerate(names) if not _is_name(name)
        ]
    odd = [day for day in observations.days if not is_time(day)]
    problems += [f"days: expected {Kind.TIME.value}, got {day!r}" for day in odd]
    if not odd and list(observations.days) != sorted(observations.days):
        problems.append("days: expected ascending dates; sort them, and the arrays with them")
    return problems


def _is_name(text: str) -> bool:
    """Whether a file can hold it: not empty, and no half of a surrogate pair."""
    return text != "" and not any("\ud800" <= character <= "\udfff" for character in text)


def shape_problems(observations: Observations) -> list[str]:
    """What is wrong with the sizes of the arrays."""
    t, n, m = observations.T, observations.n, observations.m
    components = observations.components
    expected = {
        "flow": (t, n, m),
        "price": (t, m),
        "capacity": (t, m),
        "delay": (t, n, m),
        "mix": (t, n, len(components)),
    }
    if components:
        expected["price"] = (t, m, len(components))
    if observations.families and len(observations.families) != m:
        return [f"families: expected {m} names, one for each provider, got {len(observations.families)}"]
    found = {name: getattr(observations, name).shape for name in expected}
    return [
        f"{name}: expected shape {shape}, got {found[name]}" for name, shape in expected.items() if found[name] != shape
    ]


def value_problems(observations: Observations) -> Iterator[str]:
    """What is wrong with the numbers of arrays of the right sizes."""
    flow, price, capacity = observations.flow, observations.price, observations.capacity
    delay, mix = observations.delay, observations.mix
    offered, cells = observations.offered, observations.cells
    partly = np.isnan(price) & offered[:, :, None] if observations.components else np.zeros_like(price, dtype=bool)
    rules = {
        "flow": (np.isfinite(flow) & (flow >= 0), "expected a finite number >= 0"),
        "price": (~(price < 0) & ~np.isinf(price) & ~partly, "expected a finite number >= 0, or NaN where not offered"),
        "capacity": (
            np.where(offered, np.isfinite(capacity) & (capacity > 0), np.isnan(capacity)),
            "expected a finite number > 0 where there is a price, and NaN where there is none",
        ),
        "delay": (
            ~(delay < 0) & ~np.isinf(delay) & ~(np.isnan(delay) & cells),
            "expected a finite number >= 0 where the user is there and the provider is offered",
        ),
        "mix": (np.isfinite(mix) & (mix >= 0), "expected a finite number >= 0"),
    }
    for name, (allowed, rule) in rules.items():
        yield from _places(observations, name, ~allowed, rule)
    nowhere = (flow > 0) & ~offered[:, None, :]
    yield from _places(observations, "flow", nowhere, "flow to a provider without a price that day")
    if observations.components:
        nothing = observations.present & ~(mix > 0).any(axis=2)
        for t, i in np.argwhere(nothing)[:MOST].tolist():
            yield f"mix[{observations.days[t]}, {observations.user_ids[i]}]: expected some component > 0, got none"
    for t, day in enumerate(observations.days):
        if not offered[t].any():
            yield f"days: {day} has no prices; leave the day out"
        if not (flow[t] > 0).any():
            yield f"days: {day} has no flow; leave the day out"


def _places(observations: Observations, name: str, faulty: Mask, rule: str) -> Iterator[str]:
    values = getattr(observations, name)
    days, users, providers = observations.days, observations.user_ids, observations.provider_ids
    named = {"mix": [days, users, observations.components], "price": [days, providers, observations.components]}
    axes = named.get(name, [days, users, providers] if values.ndim == 3 else [days, providers])[: values.ndim]
    where = np.argwhere(faulty)
    for place in where[:MOST].tolist():
        names = ", ".join(axis[k] for axis, k in zip(axes, place, strict=True))
        yield f"{name}[{names}]: {rule}, got {values[tuple(place)]}"
    if len(where) > MOST:  # a list of a million helps nobody
        yield f"{name}: ... and {len(where) - MOST} more"


def leader_problems(observations: Observations) -> list[str]:
    """What is wrong with the leader, if there is one."""
    leader = observations.leader
    if leader is None:
        return []
    known, components = set(observations.provider_ids), observations.components
    problems = decides_problems(leader.decides, components)
    problems += [f"leader.providers: no provider is called {name!r}" for name in leader.providers if name not in known]
    twice = [name for name, k in Counter(leader.providers).items() if k > 1]
    problems += [f"leader.providers: {name!r} appears more than once" for name in twice]
    if not leader.providers:
        problems.append("leader.providers: expected at least one provider")
    if known <= set(leader.providers):
        problems.append("leader.providers: the leader owns every provider; at least one rival is needed")
    if len(leader.price_cap) != (k := len(leader_decisions(leader.providers, leader.decides, components))):
        problems.append(f"leader.price_cap: expected {k} caps, got {len(leader.price_cap)}")
    bad = [cap for cap in leader.price_cap if not 0 <= cap < np.inf]
    return problems + [f"leader.price_cap: expected a finite number >= 0, got {cap}" for cap in bad]
