"""Market: who wants what, who offers what, who leads (immutable arrays and names)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prillm_or.errors import MarketError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Units:
    """Labels of the units a market is written in; nothing is ever converted."""

    currency: str = "1000 USD"
    volume: str = "1e9 tokens"
    delay: str = "s"
    period: str = "day"


@dataclass(frozen=True, eq=False, kw_only=True)
class Market:
    """One instance: n users, m providers, and the leader who prices some of the providers.

    Arrays are copied, converted to float64 and made read-only; `dataclasses.replace` gives a changed market, checked
    like a new one, that shares the arrays that stay.

    Parameters
    ----------
    name
        Name of the instance.
    user_ids, provider_ids
        Distinct names, n and m of them.
    demand
        Shape (n,), volume units per period, > 0.
    price
        Shape (m,), currency per volume unit, >= 0: prices today. NaN marks an absent price, for the leader's
        providers alone. Today's price of a leader's provider may exceed its cap.
    capacity
        Shape (m,), volume units per congestion unit, > 0.
    value
        Shape (m,), currency per volume unit, of any sign: what users hold a provider to be worth.
    unit_cost
        Shape (m,), currency per volume unit, >= 0.
    delay
        Shape (n, m), in the delay unit, >= 0.
    price_weight, congestion_weight, delay_weight
        Shape (n,): each user's weights; the first two > 0, the last >= 0.
    leader
        Positions of the leader's providers in `provider_ids`: at least one, and at least one rival is left.
    price_cap
        Shape (len(leader),), currency per volume unit, >= 0: the highest price of each of the leader's providers.
    units, description
        Labels and free text.

    Raises
    ------
    MarketError
        When any rule above is broken; it lists every fault.
    """

    name: str
    user_ids: tuple[str, ...]
    provider_ids: tuple[str, ...]
    demand: Array
    price: Array
    capacity: Array
    value: Array
    unit_cost: Array
    delay: Array
    price_weight: Array
    congestion_weight: Array
    delay_weight: Array
    leader: tuple[int, ...]
    price_cap: Array
    units: Units = field(default_factory=Units)
    description: str = ""

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            object.__setattr__(self, name, _frozen(getattr(self, name)))
        for name in ("user_ids", "provider_ids", "leader"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        problems = _shape_problems(self) or _value_problems(self)
        if problems:
            raise MarketError(self.name, problems)

    @property
    def n(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def m(self) -> int:
        """Number of providers."""
        return len(self.provider_ids)

    @cached_property
    def rivals(self) -> tuple[int, ...]:
        """Positions of the providers the leader does not own."""
        return tuple(j for j in range(self.m) if j not in self.leader)

    @cached_property
    def leader_ids(self) -> tuple[str, ...]:
        """Names of the leader's providers, in the leader's order."""
        return tuple(self.provider_ids[j] for j in self.leader)

    @cached_property
    def today(self) -> Array | None:
        """The leader's prices today, shape (len(leader),), or None where one is absent."""
        prices = self.price[list(self.leader)]
        prices.flags.writeable = False
        return None if np.isnan(prices).any() else prices

    @property
    def common_weights(self) -> bool:
        """Whether all users weigh price, congestion and delay alike."""
        weights = (self.price_weight, self.congestion_weight, self.delay_weight)
        return all(bool((w == w[0]).all()) for w in weights)


def all_prices(market: Market, leader_prices: ArrayLike) -> Array:
    """Prices of all providers, shape (m,), when the leader asks `leader_prices`, shape (len(leader),)."""
    prices = market.price.copy()
    prices[list(market.leader)] = leader_prices
    return prices


def by_provider(market: Market, values: ArrayLike) -> dict[str, float]:
    """Values of all providers, shape (m,), by their ids."""
    return dict(zip(market.provider_ids, np.asarray(values).tolist(), strict=True))


def by_leader(market: Market, values: ArrayLike) -> dict[str, float]:
    """Values of the leader's providers, shape (len(leader),), by their ids."""
    return dict(zip(market.leader_ids, np.asarray(values).tolist(), strict=True))


_USER_ARRAYS = ("demand", "price_weight", "congestion_weight", "delay_weight")
_PROVIDER_ARRAYS = ("price", "capacity", "value", "unit_cost")
_ARRAYS = (*_USER_ARRAYS, *_PROVIDER_ARRAYS, "delay", "price_cap")
_POSITIVE = ("demand", "capacity", "price_weight", "congestion_weight")
_MOST_FAULTS = 20
_NON_NEGATIVE = ("price", "unit_cost", "delay", "delay_weight", "price_cap")


def _frozen(values: ArrayLike) -> Array:
    if (
        isinstance(values, np.ndarray)
        and values.dtype == np.float64
        and values.base is None
        and not values.flags.writeable
    ):
        return values  # of another market: nobody changes it
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def _shape_problems(market: Market) -> list[str]:
    n, m = market.n, market.m
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(_USER_ARRAYS, (n,))
    expected |= dict.fromkeys(_PROVIDER_ARRAYS, (m,))
    expected |= {"delay": (n, m), "price_cap": (len(market.leader),)}
    problems = [f"{what}: expected at least one" for what, size in (("users", n), ("providers", m)) if size == 0]
    problems += [
        f"{name}: expected shape {shape}, got {getattr(market, name).shape}"
        for name, shape in expected.items()
        if getattr(market, name).shape != shape
    ]
    problems += _repeated("users", market.user_ids) + _repeated("providers", market.provider_ids)
    problems += _repeated("leader.providers", market.leader)
    if not market.leader:
        problems.append("leader.providers: expected at least one provider")
    problems += [f"leader.providers: no provider number {j}" for j in market.leader if not 0 <= j < m]
    if not problems and not market.rivals:
        problems.append("leader.providers: the leader owns every provider; at least one rival is needed")
    return problems


def _repeated(what: str, names: Sequence[Hashable]) -> list[str]:
    if len(set(names)) == len(names):
        return []
    return [f"{what}: {name!r} appears more than once" for name, times in Counter(names).items() if times > 1]


def _has_good_values(market: Market) -> bool:
    """Whether all numbers are as they should be, prices that are absent apart: a quick look, most often enough."""
    positive = np.concatenate([getattr(market, name) for name in _POSITIVE])
    rest = np.concatenate([getattr(market, name) for name in _NON_NEGATIVE if name != "delay"])
    extremes = [(values.min(), values.max()) for values in (positive, rest, market.delay, market.value)]
    (low, _), (least, _), (shortest, _), (worst, _) = extremes
    signs = low > 0 and least >= 0 and shortest >= 0 and worst > -np.inf
    return bool(signs and all(high < np.inf for _, high in extremes))


def _value_problems(market: Market) -> list[str]:
    if _has_good_values(market):
        return []
    problems: list[str] = []
    for name in _ARRAYS:
        values = getattr(market, name)
        allowed = np.isfinite(values)
        rule = "a finite number"
        if name == "price":
            allowed[list(market.leader)] |= np.isnan(values[list(market.leader)])
        if name in _POSITIVE:
            allowed, rule = allowed & (values > 0), "a finite number > 0"
        elif name in _NON_NEGATIVE:
            allowed, rule = allowed & ~(values < 0), "a finite number >= 0"
        faults = np.argwhere(~allowed).tolist()
        problems += [
            f"{name}[{', '.join(map(str, where))}]: expected {rule}, got {values[tuple(where)]}"
            for where in faults[:_MOST_FAULTS]
        ]
        if len(faults) > _MOST_FAULTS:  # a list of a million helps nobody
            problems.append(f"{name}: ... and {len(faults) - _MOST_FAULTS} more")
    return problems
