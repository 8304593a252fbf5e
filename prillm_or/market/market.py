"""Market: who wants what, who offers what, who leads (immutable arrays and names)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prillm_or.errors import MarketError
from prillm_or.market.checks import checked_array, checked_ids, checked_kinds, meant
from prillm_or.market.decisions import COMPONENTS, FACTOR, Decision, decisions_of
from prillm_or.market.fit_note import FitNote
from prillm_or.market.rules import (
    ARRAYS,
    BY_COMPONENT,
    DEFAULTS,
    PAIR_ARRAYS,
    USER_ARRAYS,
    are_good,
    decides_problems,
    shape_problems,
    value_problems,
)

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
        Shape (m,), currency per volume unit, >= 0: prices today; where there are components shape (m, C), or (m,) for
        the same price of all. NaN marks an absent price, of what the leader decides alone (not of a list that its
        factor multiplies). Today's price of a leader's provider may exceed its cap.
    capacity
        Shape (m,), volume units per congestion unit, > 0. Without meaning where no weight of congestion is above 0; 1
        if left out there.
    value
        Shape (m,), currency per volume unit, of any sign: what users hold a provider to be worth; 0 if left out.
    user_values
        Shape (n, m): what each user holds each provider to be worth in place of `value`, which NaN leaves; left out,
        no user has a value of its own.
    unit_cost
        Shape as that of `price`, currency per volume unit, >= 0; 0 if left out.
    delay
        Shape (n, m), in the delay unit, >= 0.
    price_weight, congestion_weight, delay_weight
        Shape (n,): each user's weights; the first > 0, the others >= 0; 1 if left out. Those of congestion are all
        > 0, or all 0 where every pair has dispersion.
    count
        Shape (n,), whole, >= 1: how many equal users a row stands for, who share its demand evenly; 1 if left out.
    dispersion, provider_dispersion
        Shapes (n,) and (m,), >= 0: their products s_ij, currency per volume unit, are how much dearer provider j
        becomes to user i from its first to its last unit of demand, beside congestion; 0 and 1 if left out.
    components, mix
        Names of what is billed apart, without a dot, and shape (n, C), >= 0, some > 0 in each row: units of each
        component in one unit of a user's volume. Left out, a unit of volume has one price.
    leader
        Positions of the leader's providers in `provider_ids`, or their ids: at least one, and at least one rival is
        left.
    decides
        What the leader sets: `components`, all prices of its providers; some components' names; or `factor`, a number
        for each of its providers that multiplies its price list.
    price_cap
        Shape (k,), >= 0: the highest value of each of `decisions`, currency per volume unit of prices.
    units, description
        Labels and free text.
    held
        Names of decisions that the leader does not take, whose prices stay as they are while their profit counts: see
        `hold`. Not part of the file format.
    fit
        What is known of the fit that the market comes from; None of others.

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
    capacity: Array = field(default_factory=_left_out)
    value: Array = field(default_factory=_left_out)
    user_values: Array = field(default_factory=_left_out)
    unit_cost: Array = field(default_factory=_left_out)
    delay: Array
    price_weight: Array = field(default_factory=_left_out)
    congestion_weight: Array = field(default_factory=_left_out)
    delay_weight: Array = field(default_factory=_left_out)
    count: Array = field(default_factory=_left_out)
    dispersion: Array = field(default_factory=_left_out)
    provider_dispersion: Array = field(default_factory=_left_out)
    components: tuple[str, ...] = ()
    mix: Array = field(default_factory=_left_out)
    leader: tuple[int, ...]
    decides: str | tuple[str, ...] = COMPONENTS
    price_cap: Array
    units: Units = field(default_factory=Units)
    description: str = ""
    held: tuple[str, ...] = ()
    fit: FitNote | None = None

    def __post_init__(self) -> None:
        problems: list[str] = []
        for name in ("user_ids", "provider_ids", "components"):
            object.__setattr__(self, name, checked_ids(name, getattr(self, name), problems))
        object.__setattr__(self, "leader", _positions(self.leader, self.provider_ids, problems))
        if not isinstance(self.decides, str):
            object.__setattr__(self, "decides", checked_ids("decides", self.decides, problems))
        checked_kinds(self, {"name": str, "units": Units, "description": str}, problems)
        if not isinstance(self.fit, FitNote | None):
            problems.append(f"fit: expected a FitNote or None, got {self.fit!r}")
        problems += decides_problems(self.decides, self.components)
        for name in ARRAYS:
            object.__setattr__(self, name, _frozen(name, self, problems))
        problems = problems or shape_problems(self) or value_problems(self)
        if problems:
            raise MarketError(str(self.name), problems)

    @classmethod
    def from_frames(
        cls,
        users: DataFrame,
        providers: DataFrame,
        delays: DataFrame,
        values: DataFrame | None = None,
        *,
        leader: str | Sequence[str],
        decides: str | Sequence[str] = COMPONENTS,
        price_cap: float | Mapping[str, float | Mapping[str, float]],
        name: str = "market",
        units: Units | None = None,
        description: str = "",
    ) -> Market:
        """Make a market of pandas frames, read by their labels alone.

        Parameters
        ----------
        users
            A row for each user, indexed by id: `demand`, and if wanted `price_weight`, `congestion_weight`,
            `delay_weight` and `count`, which are 1 otherwise, `dispersion`, 0 otherwise, and `mix_COMPONENT` of each
            component, whose columns name the components.
        providers
            A row for each provider, indexed by id: `price` and `capacity`, and if wanted `value` and `unit_cost`, which
            are 0 otherwise, and `dispersion`, 1 otherwise. Where there are components, `price` and `unit_cost` are of
            all of them, or there are `price_COMPONENT` and `unit_cost_COMPONENT`. An empty price that the leader
            decides is a price today that is not known. `capacity` may be left out where no user weighs congestion.
        delays
            Users by providers, in the delay unit; rows and columns may be in any order.
        values
            Users by providers: what a provider is worth to a user; where empty, the provider's `value`.
        leader
            Id of the leader's provider, or ids of several.
        price_cap
            Highest price, currency per volume unit, or factor: one for all of the leader's providers, or one for each
            id; or for an id, one for each component that is decided.
        decides
            As in `Market`.
        name, units, description
            As in `Market`.

        Raises
        ------
        MarketError
            When a column is missing or unknown, labels are not those of the other frames, or a number breaks a rule of
            `Market`; it lists every fault.
        """
        from prillm_or.market.frames import market_from_frames

        fields = market_from_frames(users, providers, delays, values, leader, decides, price_cap, name)
        return cls(name=name, units=Units() if units is None else units, description=description, **fields)

    def with_arrays(self, **arrays: Any) -> Market:
        """The market with some other arrays, as `dataclasses.replace` gives it, which takes longer.

        What stays was checked when this market was made; of what is new a look at its size and extremes mostly says
        that no rule is broken.

        Raises
        ------
        MarketError
            When a rule is broken.
        """
        problems: list[str] = []
        new = {name: checked_array(name, values, problems) for name, values in arrays.items()}
        if problems or not all(are_good(name, values, getattr(self, name).shape) for name, values in new.items()):
            return replace(self, **arrays)
        market = object.__new__(type(self))
        vars(market).update(vars(self), **new)
        for name in _OF_ARRAYS:
            vars(market).pop(name, None)
        return market

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
    def decisions(self) -> tuple[Decision, ...]:
        """The numbers that the leader sets, k of them, in the order of their arrays."""
        every = decisions_of(self.leader, self.provider_ids, self.components, self.decides)
        return tuple(decision for decision in every if decision.name not in self.held)

    @property
    def plain(self) -> bool:
        """Whether each decision is the one price of a provider, for all users, and none is held."""
        return not self.components and self.decides != FACTOR and not self.held

    @cached_property
    def current(self) -> Array:
        """The leader's decisions today, shape (k,): 1 of factors, NaN of a price that is absent."""
        if self.decides == FACTOR:
            values = np.ones(len(self.decisions))
        elif self.components:
            values = np.array([self.price[decision.provider, decision.component] for decision in self.decisions])
        else:
            values = self.price[[decision.provider for decision in self.decisions]]
        values.flags.writeable = False
        return values

    @property
    def today(self) -> Array | None:
        """The leader's decisions today, shape (k,), or None where one is absent."""
        return None if np.isnan(self.current).any() else self.current

    @property
    def congested(self) -> bool:
        """Whether load makes a provider dearer: all users weigh congestion, or none does."""
        return bool(self.congestion_weight[0] > 0)

    @cached_property
    def pair_dispersion(self) -> Array:
        """s_ij, currency per volume unit, shape (n, m)."""
        return np.multiply.outer(self.dispersion, self.provider_dispersion)

    @cached_property
    def worth(self) -> Array:
        """What a provider is worth to users, currency per volume unit: shape (m,), or (n, m) where some differ."""
        if not self.user_values.size:
            return self.value
        return np.where(np.isnan(self.user_values), self.value, self.user_values)

    @property
    def common_weights(self) -> bool:
        """Whether all users weigh price, congestion and delay alike, and buy the same mix."""
        own = (self.price_weight, self.congestion_weight, self.delay_weight, *self.mix.T)
        return all(bool((w == w[0]).all()) for w in own)


def own_weights(market: Market) -> dict[str, Array]:
    """Users' weights by the key that files have for them."""
    return {"price": market.price_weight, "congestion": market.congestion_weight, "delay": market.delay_weight}


def by_provider(market: Market, values: ArrayLike) -> dict[str, float]:
    """Values of all providers, shape (m,), by their ids."""
    return dict(zip(market.provider_ids, np.asarray(values).tolist(), strict=True))


def by_component(market: Market, table: Array, providers: Sequence[int] | None = None) -> dict[str, Any]:
    """Prices or volumes of all providers, or of some, by their ids: a number each, or one for each component.

    `table` has shape (m,), or (m, C) where there are components.
    """
    rows = table.tolist()
    if table.ndim > 1:
        rows = [dict(zip(market.components, row, strict=True)) for row in rows]
    places = range(market.m) if providers is None else providers
    return {market.provider_ids[j]: rows[j] for j in places}


def by_leader(market: Market, values: ArrayLike) -> dict[str, float]:
    """Values of the leader's providers, shape (len(leader),), by their ids."""
    return dict(zip(market.leader_ids, np.asarray(values).tolist(), strict=True))


def by_decision(market: Market, values: ArrayLike) -> dict[str, float]:
    """Values of the leader's decisions, shape (k,), by their names."""
    names = (decision.name for decision in market.decisions)
    return dict(zip(names, np.asarray(values).tolist(), strict=True))


_OF_ARRAYS = ("current", "pair_dispersion", "worth")
"""What is worked out from a market's figures and kept."""

_LEFT_OUT = np.empty(0)
"""Stands for an argument that was not given, and for none that is of this shape."""


def _positions(leader: Any, provider_ids: Sequence[str], problems: list[str]) -> tuple[int, ...]:
    """Positions of the leader's providers, which may be given by id."""
    if type(leader) is tuple and set(map(type, leader)) == {int}:
        return leader
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
        values = _default(name, market)
    elif hasattr(values, "reindex"):
        values = _by_label(name, market, values, problems)
    array = checked_array(name, values, problems)
    if name in BY_COMPONENT and market.components and array.ndim == 1:
        array = checked_array(name, np.tile(array[:, None], len(market.components)), problems)
    return array


def _default(name: str, market: Market) -> Array:
    """What an array is that was not given."""
    if name in DEFAULTS:
        return np.full(market.n if name in USER_ARRAYS else market.m, DEFAULTS[name])
    return np.empty((market.n, 0) if name == "mix" else (0, 0))


def _by_label(name: str, market: Market, values: Any, problems: list[str]) -> Any:
    """A pandas Series or frame in the market's order: a position in it means nothing."""
    providers = market.provider_ids
    if name == "price_cap":
        providers = tuple(decision.name for decision in market.decisions if 0 <= decision.provider < market.m)
    labels = {"index": market.user_ids if name in (*USER_ARRAYS, *PAIR_ARRAYS, "mix") else providers}
    if name in PAIR_ARRAYS:
        labels["columns"] = providers
    elif name == "mix" or (name in BY_COMPONENT and hasattr(values, "columns")):
        labels["columns"] = market.components
    for axis, ids in labels.items():
        found = list(getattr(values, axis, ()))
        if sorted(map(repr, found)) != sorted(map(repr, ids)):
            problems.append(f"{name}: expected the ids as its labels, {_some(ids)}, got {_some(found)}")
            return np.empty(0)
    return values.reindex(**{axis: list(ids) for axis, ids in labels.items()})


def _some(labels: Sequence[object]) -> str:
    return ", ".join(map(repr, labels[:3])) + (", ..." if len(labels) > 3 else "") if labels else "none"
