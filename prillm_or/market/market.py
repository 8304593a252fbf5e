"""Market: who wants what, who offers what, who leads (immutable arrays and names)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prillm_or.errors import MarketError
from prillm_or.market.checks import checked_array, checked_ids, checked_kinds, meant
from prillm_or.market.faults import MOST

if TYPE_CHECKING:
    from pandas import DataFrame

MARKET_FORMAT = "prillm-or/market@1"

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Units:
    """Labels of the units a market is written in; nothing is ever converted. One that names none has none.

    Raises
    ------
    MarketError
        When one is no text.
    """

    currency: str = "currency"
    volume: str = "volume unit"
    delay: str = "delay unit"
    period: str = "period"

    def __post_init__(self) -> None:
        problems: list[str] = []
        checked_kinds(self, dict.fromkeys(("currency", "volume", "delay", "period"), str), problems)
        if problems:
            raise MarketError("units", problems)

    @property
    def of_prices(self) -> str:
        """What prices, costs and values are counted in."""
        return f"{self.currency} per {self.volume}"

    @property
    def of_money(self) -> str:
        """What profits are counted in."""
        return f"{self.currency} a {self.period}"

    @property
    def of_volume(self) -> str:
        """What demands, flows and loads are counted in."""
        return f"{self.volume} a {self.period}"


def _left_out() -> Array:
    return _LEFT_OUT


@dataclass(frozen=True, eq=False, kw_only=True)
class Market:
    """One instance: n users, m providers, and the leader who prices some of the providers.

    Arrays are copied, converted to float64 and made read-only; `dataclasses.replace` gives a changed market, checked
    like a new one, that shares the arrays that stay. A pandas Series or frame is read by its labels, whatever their
    order: they have to be the ids. From frames alone: `from_frames`.

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
        Shape (m,), currency per volume unit, of any sign: what users hold a provider to be worth; 0 if left out.
    unit_cost
        Shape (m,), currency per volume unit, >= 0; 0 if left out.
    delay
        Shape (n, m), in the delay unit, >= 0.
    price_weight, congestion_weight, delay_weight
        Shape (n,): each user's weights; the first two > 0, the last >= 0; 1 if left out.
    leader
        Positions of the leader's providers in `provider_ids`, or their ids: at least one, and at least one rival is
        left.
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
    value: Array = field(default_factory=_left_out)
    unit_cost: Array = field(default_factory=_left_out)
    delay: Array
    price_weight: Array = field(default_factory=_left_out)
    congestion_weight: Array = field(default_factory=_left_out)
    delay_weight: Array = field(default_factory=_left_out)
    leader: tuple[int, ...]
    price_cap: Array
    units: Units = field(default_factory=Units)
    description: str = ""

    def __post_init__(self) -> None:
        problems: list[str] = []
        for name in ("user_ids", "provider_ids"):
            object.__setattr__(self, name, checked_ids(name, getattr(self, name), problems))
        object.__setattr__(self, "leader", _positions(self.leader, self.provider_ids, problems))
        checked_kinds(self, {"name": str, "units": Units, "description": str}, problems)
        for name in _ARRAYS:
            object.__setattr__(self, name, _frozen(name, self, problems))
        problems = problems or _shape_problems(self) or _value_problems(self)
        if problems:
            raise MarketError(str(self.name), problems)

    @classmethod
    def from_frames(
        cls,
        users: DataFrame,
        providers: DataFrame,
        delays: DataFrame,
        *,
        leader: str | Sequence[str],
        price_cap: float | Mapping[str, float],
        name: str = "market",
        units: Units | None = None,
        description: str = "",
    ) -> Market:
        """Make a market of pandas frames, read by their labels alone.

        Parameters
        ----------
        users
            A row for each user, indexed by id: `demand`, and if wanted `price_weight`, `congestion_weight` and
            `delay_weight`, which are 1 otherwise.
        providers
            A row for each provider, indexed by id: `price` and `capacity`, and if wanted `value` and `unit_cost`, which
            are 0 otherwise. An empty price of one of the leader's is a price today that is not known.
        delays
            Users by providers, in the delay unit; rows and columns may be in any order.
        leader
            Id of the leader's provider, or ids of several.
        price_cap
            Highest price, currency per volume unit: one for all of the leader's providers, or one for each id.
        name, units, description
            As in `Market`.

        Raises
        ------
        MarketError
            When a column is missing or unknown, labels are not those of the other frames, or a number breaks a rule of
            `Market`; it lists every fault.
        """
        from prillm_or.market.frames import market_from_frames

        fields = market_from_frames(users, providers, delays, leader, price_cap, name)
        return cls(name=name, units=Units() if units is None else units, description=description, **fields)

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


def own_weights(market: Market) -> dict[str, Array]:
    """Users' weights by the key that files have for them."""
    return {"price": market.price_weight, "congestion": market.congestion_weight, "delay": market.delay_weight}


def by_provider(market: Market, values: ArrayLike) -> dict[str, float]:
    """Values of all providers, shape (m,), by their ids."""
    return dict(zip(market.provider_ids, np.asarray(values).tolist(), strict=True))


def by_leader(market: Market, values: ArrayLike) -> dict[str, float]:
    """Values of the leader's providers, shape (len(leader),), by their ids."""
    return dict(zip(market.leader_ids, np.asarray(values).tolist(), strict=True))


_USER_ARRAYS = ("demand", "price_weight", "congestion_weight", "delay_weight")
PROVIDER_ARRAYS = ("price", "capacity", "value", "unit_cost")
_ARRAYS = (*_USER_ARRAYS, *PROVIDER_ARRAYS, "delay", "price_cap")
_POSITIVE = ("demand", "capacity", "price_weight", "congestion_weight")
_NON_NEGATIVE = ("price", "unit_cost", "delay", "delay_weight", "price_cap")
_LEFT_OUT = np.empty(0)
"""Stands for an argument that was not given, and for none that is of this shape."""
_DEFAULTS = {"price_weight": 1.0, "congestion_weight": 1.0, "delay_weight": 1.0, "value": 0.0, "unit_cost": 0.0}


def _positions(leader: Any, provider_ids: Sequence[str], problems: list[str]) -> tuple[int, ...]:
    """Positions of the leader's providers, which may be given by id."""
    given = leader if isinstance(leader, Iterable) and not isinstance(leader, (str, Mapping)) else (leader,)
    positions = []
    for each in given:
        if isinstance(each, str):
            if each in provider_ids:
                positions.append(provider_ids.index(each))
            else:
                problems.append(f"leader.providers: no provider has the id {each!r}{meant(each, list(provider_ids))}")
        elif isinstance(each, Integral) and not isinstance(each, bool):
            positions.append(int(each))
        else:
            problems.append(f"leader.providers: expected ids or positions, got {each!r}")
    return tuple(positions)


def _frozen(name: str, market: Market, problems: list[str]) -> Array:
    """One of the market's arrays, read-only."""
    values: Any = getattr(market, name)
    if (
        isinstance(values, np.ndarray)
        and values.dtype == np.float64
        and values.base is None
        and not values.flags.writeable
    ):
        return values  # of another market: nobody changes it
    if values is _LEFT_OUT:
        values = np.full(market.n if name in _USER_ARRAYS else market.m, _DEFAULTS[name])
    elif hasattr(values, "reindex"):
        values = _by_label(name, market, values, problems)
    return checked_array(name, values, problems)


def _by_label(name: str, market: Market, values: Any, problems: list[str]) -> Any:
    """A pandas Series or frame in the market's order: a position in it means nothing."""
    providers = market.provider_ids
    if name == "price_cap":
        providers = tuple(providers[j] for j in market.leader if 0 <= j < market.m)
    labels = {"index": market.user_ids if name in (*_USER_ARRAYS, "delay") else providers}
    if name == "delay":
        labels["columns"] = providers
    for axis, ids in labels.items():
        found = list(getattr(values, axis, ()))
        if sorted(map(repr, found)) != sorted(map(repr, ids)):
            problems.append(f"{name}: expected the ids as its labels, {_some(ids)}, got {_some(found)}")
            return np.empty(0)
    return values.reindex(**{axis: list(ids) for axis, ids in labels.items()})


def _some(labels: Sequence[object]) -> str:
    return ", ".join(map(repr, labels[:3])) + (", ..." if len(labels) > 3 else "") if labels else "none"


def _shape_problems(market: Market) -> list[str]:
    n, m = market.n, market.m
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(_USER_ARRAYS, (n,))
    expected |= dict.fromkeys(PROVIDER_ARRAYS, (m,))
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
            f"{name}[{_place(market, name, where)}]: expected {rule}, got {values[tuple(where)]}"
            for where in faults[:MOST]
        ]
        if len(faults) > MOST:  # a list of a million helps nobody
            problems.append(f"{name}: ... and {len(faults) - MOST} more")
    return problems


def _place(market: Market, name: str, where: Sequence[int]) -> str:
    """Ids of an entry of an array."""
    if name == "delay":
        return f"{market.user_ids[where[0]]}, {market.provider_ids[where[1]]}"
    ids = market.user_ids if name in _USER_ARRAYS else market.provider_ids
    return (market.leader_ids if name == "price_cap" else ids)[where[0]]
