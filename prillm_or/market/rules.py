"""Rules: the arrays of a market, their shapes, and what their numbers may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.checks import meant
from prillm_or.market.decisions import COMPONENTS, FACTOR, decisions_of
from prillm_or.market.faults import MOST

if TYPE_CHECKING:
    from prillm_or.market.market import Market

USER_ARRAYS = ("demand", "price_weight", "congestion_weight", "delay_weight", "count", "dispersion")
BY_COMPONENT = ("price", "unit_cost")
PROVIDER_ARRAYS = ("price", "capacity", "value", "unit_cost", "provider_dispersion")
PAIR_ARRAYS = ("delay", "user_values")
ARRAYS = (*USER_ARRAYS, "mix", *PROVIDER_ARRAYS, *PAIR_ARRAYS, "price_cap")
_POSITIVE = ("demand", "capacity", "price_weight")
_NON_NEGATIVE = (
    *("price", "unit_cost", "delay", "congestion_weight", "delay_weight", "dispersion", "provider_dispersion", "mix"),
    "price_cap",
)
_TIED = ("congestion_weight", "count", "dispersion", "provider_dispersion", "mix", "user_values")
"""Arrays whose numbers are whole, may be absent, or have to suit others."""

DEFAULTS = {
    "price_weight": 1.0,
    "congestion_weight": 1.0,
    "delay_weight": 1.0,
    "count": 1.0,
    "dispersion": 0.0,
    "capacity": 1.0,
    "value": 0.0,
    "unit_cost": 0.0,
    "provider_dispersion": 1.0,
}


def shape_problems(market: Market) -> list[str]:
    """What is wrong with the sizes of a market's arrays, names that are repeated, and its leader."""
    n, m = market.n, market.m
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(USER_ARRAYS, (n,))
    expected |= dict.fromkeys(PROVIDER_ARRAYS, (m,))
    expected |= {"delay": (n, m), "mix": (n, len(market.components))}
    if market.components:
        expected |= dict.fromkeys(BY_COMPONENT, (m, len(market.components)))
    if market.user_values.size:
        expected["user_values"] = (n, m)
    problems = [f"{what}: expected at least one" for what, size in (("users", n), ("providers", m)) if size == 0]
    problems += [
        f"{name}: expected shape {shape}, got {getattr(market, name).shape}"
        for name, shape in expected.items()
        if getattr(market, name).shape != shape
    ]
    problems += _repeated("users", market.user_ids) + _repeated("providers", market.provider_ids)
    problems += _repeated("leader.providers", market.leader) + _repeated("components", market.components)
    problems += [
        f"components: {name!r} holds a dot, which parts a provider from its component in the name of a decision"
        for name in market.components
        if "." in name
    ]
    if not market.leader:
        problems.append("leader.providers: expected at least one provider")
    problems += [f"leader.providers: no provider number {j}" for j in market.leader if not 0 <= j < m]
    if not problems and not market.rivals:
        problems.append("leader.providers: the leader owns every provider; at least one rival is needed")
    if not problems:
        problems += held_problems(market)
    if not problems and market.price_cap.shape != (k := (len(market.decisions),)):
        problems.append(f"price_cap: expected shape {k}, got {market.price_cap.shape}")
    return problems


def decides_problems(given: str | Sequence[str], components: Sequence[str]) -> list[str]:
    """What is wrong with what the leader is to decide."""
    if isinstance(given, str):
        if given in (COMPONENTS, FACTOR):
            return []
        return [f"leader.decides: expected {COMPONENTS!r}, {FACTOR!r} or a list of components, got {given!r}"]
    problems = _repeated("leader.decides", given)
    if not given:
        problems.append("leader.decides: expected at least one component")
    unknown = [name for name in given if name not in components]
    problems += [f"leader.decides: no component is called {name!r}{meant(name, list(components))}" for name in unknown]
    return problems


def held_problems(market: Market) -> list[str]:
    """What is wrong with the decisions that are held."""
    names = [one.name for one in decisions_of(market.leader, market.provider_ids, market.components, market.decides)]
    unknown = [name for name in market.held if name not in names]
    problems = [f"held: the leader has no decision {name!r}{meant(name, names)}" for name in unknown]
    return problems if problems or market.decisions else ["held: all decisions are; at least one is needed"]


def _repeated(what: str, names: Sequence[Hashable]) -> list[str]:
    if len(set(names)) == len(names):
        return []
    return [f"{what}: {name!r} appears more than once" for name, times in Counter(names).items() if times > 1]


def _has_good_values(market: Market) -> bool:
    """Whether all numbers are as they should be, prices that are absent apart: a quick look, most often enough."""
    positive = np.concatenate([getattr(market, name) for name in _POSITIVE])
    rest = np.concatenate([getattr(market, name).ravel() for name in _NON_NEGATIVE if name != "delay"])
    every = (positive, rest, market.delay, market.value)
    extremes = [(np.minimum.reduce(each, axis=None), np.maximum.reduce(each, axis=None)) for each in every]
    (low, _), (least, _), (shortest, _), (worst, _) = extremes
    signs = low > 0 and least >= 0 and shortest >= 0 and worst > -np.inf
    return bool(signs and all(high < np.inf for _, high in extremes) and not market.user_values.size)


def are_good(name: str, values: NDArray[np.float64], shape: tuple[int, ...]) -> bool:
    """Whether one array of a market is surely as it should be, beside whatever others of shapes that are right."""
    if values.shape != shape or not values.size or name in _TIED:
        return False
    low, high = np.minimum.reduce(values, axis=None), np.maximum.reduce(values, axis=None)
    least = low > 0 if name in _POSITIVE else low >= 0 if name in _NON_NEGATIVE else low > -np.inf
    return bool(least and high < np.inf)


def value_problems(market: Market) -> list[str]:
    """What is wrong with the numbers of a market whose arrays have the right shapes."""
    problems = [] if _has_good_values(market) else _faulty_values(market)
    return problems or _faulty_crowds(market) + _faulty_slopes(market) + _faulty_mixes(market)


def _faulty_values(market: Market) -> list[str]:
    problems: list[str] = []
    for name in ARRAYS:
        values = getattr(market, name)
        allowed = np.isfinite(values)
        rule = "a finite number"
        if name == "price":
            allowed |= _may_be_absent(market)
        if name == "user_values":
            allowed |= np.isnan(values)
        if name in _POSITIVE:
            allowed, rule = allowed & (values > 0), "a finite number > 0"
        elif name in _NON_NEGATIVE:
            allowed, rule = allowed & ~(values < 0), "a finite number >= 0"
        faults = np.argwhere(~allowed).tolist()
        problems += [
            f"{name}[{_place(market, name, where)}]: expected {rule}, got {values[tuple(where)]}"
            for where in faults[:MOST]
        ]
        if len(faults) > MOST:  # a list of a million helps nobody
            problems.append(f"{name}: ... and {len(faults) - MOST} more")
    return problems


def _may_be_absent(market: Market) -> NDArray[np.bool_]:
    """Prices today that need not be known and are not: those that the leader decides, shape of `price`."""
    allowed = np.zeros(market.price.shape, dtype=np.bool_)
    if market.decides != FACTOR:
        for decision in market.decisions:
            allowed[decision.provider if decision.component is None else (decision.provider, decision.component)] = True
    return allowed & np.isnan(market.price)


def _faulty_crowds(market: Market) -> list[str]:
    """Counts that are no whole numbers >= 1."""
    if (market.count == 1).all():
        return []
    odd = np.flatnonzero(~((market.count >= 1) & (market.count == np.round(market.count)) & (market.count < np.inf)))
    return [f"count[{market.user_ids[i]}]: expected a whole number >= 1, got {market.count[i]}" for i in odd[:MOST]]


def _faulty_slopes(market: Market) -> list[str]:
    """Weights of congestion of which some are 0, or all without a dispersion in their place."""
    free = market.congestion_weight == 0
    if not free.any():
        return []
    if not free.all():
        some, other = market.user_ids[int(free.argmax())], market.user_ids[int(free.argmin())]
        return [
            f"congestion_weight[{some}]: 0, while that of {other!r} is not: expected 0 for all users or for none, "
            "since a user without it would burden others and not be burdened"
        ]
    return [
        f"{name}[{ids[int(of.argmin())]}]: expected > 0 where no weight of congestion is"
        for name, ids, of in (
            ("dispersion", market.user_ids, market.dispersion),
            ("provider_dispersion", market.provider_ids, market.provider_dispersion),
        )
        if not of.min() > 0
    ]


def _faulty_mixes(market: Market) -> list[str]:
    """Users who ask for no component at all."""
    if not market.components:
        return []
    empty = np.flatnonzero(~(market.mix > 0).any(axis=1))
    return [f"mix[{market.user_ids[i]}]: expected some component > 0" for i in empty[:MOST]]


def _place(market: Market, name: str, where: Sequence[int]) -> str:
    """Ids of an entry of an array."""
    if name in PAIR_ARRAYS:
        return f"{market.user_ids[where[0]]}, {market.provider_ids[where[1]]}"
    if name == "price_cap":
        return market.decisions[where[0]].name
    ids = market.user_ids if name in (*USER_ARRAYS, "mix") else market.provider_ids
    return ", ".join((ids[where[0]], *(market.components[c] for c in where[1:])))
