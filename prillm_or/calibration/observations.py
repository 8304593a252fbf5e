"""Observations: flows of several days, with the prices, capacities and delays users met on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from prillm_or.calibration.observation_rules import (
    leader_decisions,
    leader_problems,
    name_problems,
    shape_problems,
    value_problems,
)
from prillm_or.errors import ObservationsError
from prillm_or.market.checks import checked_array, checked_ids, checked_kinds, leader_and_caps
from prillm_or.market.decisions import COMPONENTS
from prillm_or.market.market import Array, Market, Mask, Units

if TYPE_CHECKING:
    from pandas import DataFrame

_RESIDUE = 1e-13


@dataclass(frozen=True)
class Leader:
    """Who sets prices in the markets made of observations.

    Parameters
    ----------
    providers
        Names of the leader's providers.
    price_cap
        Highest value of each decision (`Market.decisions`), currency per volume unit of prices, >= 0.
    decides
        What it sets, as in `Market`.
    """

    providers: tuple[str, ...]
    price_cap: tuple[float, ...]
    decides: str | tuple[str, ...] = COMPONENTS


@dataclass(frozen=True, eq=False, kw_only=True)
class Observations:
    """What n users did with m providers on T days.

    Not everyone is there every day. A provider is *offered* on a day exactly if it has a price that day; where it is
    not, price and capacity are NaN and it has no flow. A user without flow on a day has demand 0: it is not there that
    day. Both happen in part of the days only, or, after `select`, on all of them: names and positions stay the same in
    what is fitted and what is held out (`without_absent` drops them).

    Arrays are copied, converted to float64 and made read-only.

    Parameters
    ----------
    name
        Name of the observations.
    days
        ISO dates, or hours of them such as 2026-07-21T15, ascending, T of them.
    user_ids, provider_ids
        Distinct names, n and m of them, none empty.
    flow
        Shape (T, n, m), volume units per period, >= 0; some on every day.
    price
        Shape (T, m), or (T, m, C) with components, currency per volume unit, >= 0; NaN where not offered; some on
        every day.
    capacity
        Shape (T, m), volume units per congestion unit, > 0; NaN where not offered.
    delay
        Shape (T, n, m), in the delay unit, >= 0; NaN where not known, which is allowed only where the user is not
        there or the provider is not offered.
    components, mix
        Names of what is billed apart, as in `Market`, and shape (T, n, C), >= 0: units of each component in one unit of
        a user's volume, some > 0 where it is there. Left out, a unit of volume has one price.
    families
        Shape (m,): the name of each provider's family, such as who makes the models that it serves; left out, none is
        known.
    units
        Labels, as in `Market`.
    leader
        Who sets prices; only needed to make markets.
    description
        What was observed, and where the figures come from; markets made of it say so, too.

    Raises
    ------
    ObservationsError
        When any rule above is broken; it lists every fault.
    """

    name: str
    days: tuple[str, ...]
    user_ids: tuple[str, ...]
    provider_ids: tuple[str, ...]
    flow: Array
    price: Array
    capacity: Array
    delay: Array
    components: tuple[str, ...] = ()
    mix: Array = field(default_factory=lambda: np.empty(0))
    families: tuple[str, ...] = ()
    units: Units = field(default_factory=Units)
    leader: Leader | None = None
    description: str = ""

    def __post_init__(self) -> None:
        problems: list[str] = []
        kinds = {"name": str, "description": str, "units": Units} | ({} if self.leader is None else {"leader": Leader})
        checked_kinds(self, kinds, problems)
        for name in ("flow", "price", "capacity", "delay"):
            object.__setattr__(self, name, checked_array(name, getattr(self, name), problems))
        for name in ("days", "user_ids", "provider_ids", "components", "families"):
            object.__setattr__(self, name, checked_ids(name, getattr(self, name), problems))
        mix = self.mix if self.components or np.size(self.mix) else np.empty((self.T, self.n, 0))
        object.__setattr__(self, "mix", checked_array("mix", mix, problems))
        problems = problems or name_problems(self) + shape_problems(self)
        problems = problems or [*value_problems(self), *leader_problems(self)]
        if problems:
            raise ObservationsError(str(self.name), problems)

    @classmethod
    def from_frames(
        cls,
        flows: DataFrame,
        providers: DataFrame,
        delays: DataFrame,
        mixes: DataFrame | None = None,
        *,
        name: str = "observations",
        units: Units | None = None,
        leader: str | Sequence[str] = (),
        price_cap: float | Mapping[str, float] | None = None,
        decides: str | Sequence[str] = COMPONENTS,
    ) -> Observations:
        """Make observations of pandas frames with the columns of an observation folder's tables.

        Parameters
        ----------
        flows
            Columns day, user, provider, flow; a (day, user, provider) without a row is zero flow.
        providers
            Columns day, provider, capacity, and price or one price_COMPONENT for each component: a row for each day on
            which a provider is offered.
        delays
            Columns user, provider, delay, and day where they differ from day to day.
        mixes
            Where there are components, columns user, component, share, and day where they differ from day to day.
        name, units
            As in `Observations`.
        leader
            Id of the leader's provider, or ids of several; needed to make markets alone.
        price_cap
            Highest value of what is decided, currency per volume unit of prices: one for all of the leader's providers,
            or one for each id; needed with a leader.
        decides
            What the leader sets, as in `Market`.

        Raises
        ------
        ObservationsError
            When a frame breaks a rule; it lists every fault with frame, row and value.
        """
        from prillm_or.calibration.observation_tables import fields_of_frames

        problems: list[str] = []
        leads, caps = leader_and_caps(leader, price_cap, problems)
        if problems:
            raise ObservationsError(str(name), problems)
        fields = fields_of_frames(flows, providers, delays, mixes, str(name))
        sets = decides if isinstance(decides, str) else tuple(decides)
        each = leader_decisions(leads, sets, fields["components"])
        who = Leader(leads, tuple(caps[d.provider] for d in each), sets) if leads else None
        return cls(name=name, units=Units() if units is None else units, leader=who, **fields)

    @property
    def T(self) -> int:
        """Number of days."""
        return len(self.days)

    @property
    def n(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def m(self) -> int:
        """Number of providers."""
        return len(self.provider_ids)

    @property
    def demand(self) -> Array:
        """What each user routed in all, shape (T, n), volume units per period; 0 where it is not there."""
        return np.asarray(self.flow.sum(axis=2))

    @property
    def load(self) -> Array:
        """What each provider received, shape (T, m), volume units per period."""
        return np.asarray(self.flow.sum(axis=1))

    @property
    def offered(self) -> Mask:
        """Which provider has a price on which day, shape (T, m)."""
        there = ~np.isnan(self.price)
        return np.asarray(there.any(axis=2)) if self.components else there

    @property
    def paid(self) -> Array:
        """What a volume unit costs: shape (T, m) for all users or, with components, (T, n, m) by their mix."""
        return np.einsum("tic,tjc->tij", self.mix, self.price) if self.components else self.price

    @property
    def free(self) -> bool:
        """Whether nothing is paid on any day to the leader's providers, to any where there is no leader."""
        own = [self.leader is None or name in self.leader.providers for name in self.provider_ids]
        return not np.nan_to_num(self.price[:, own]).any()

    @property
    def present(self) -> Mask:
        """Which user has flow on which day, shape (T, n)."""
        return self.demand > 0

    @property
    def cells(self) -> Mask:
        """Which flows could have been: user there and provider offered, shape (T, n, m)."""
        return np.asarray(self.present[:, :, None] & self.offered[:, None, :])


def select(
    observations: Observations, *, days: Sequence[str] | None = None, users: Sequence[str] | None = None
) -> Observations:
    """Keep some days, some users, or some of both, in the order they have; providers stay.

    Raises
    ------
    ObservationsError
        When a day or a user is not there, or nothing is left of a day.
    """
    t = _kept(observations, "day", observations.days, days)
    i = _kept(observations, "user", observations.user_ids, users)
    return replace(
        observations,
        days=tuple(observations.days[k] for k in t),
        user_ids=tuple(observations.user_ids[k] for k in i),
        flow=observations.flow[np.ix_(t, i)],
        price=observations.price[t],
        capacity=observations.capacity[t],
        delay=observations.delay[np.ix_(t, i)],
        mix=observations.mix[np.ix_(t, i)],
    )


def without_residues(observations: Observations) -> Observations:
    """Take flows for zero that are so small beside the largest that they are what rounding left of differences.

    Users who have no others go.

    Raises
    ------
    ObservationsError
        When nothing is left of a day.
    """
    flow = observations.flow
    residues = (flow > 0) & (flow <= _RESIDUE * flow.max())
    if not residues.any():
        return observations
    left = replace(observations, flow=np.where(residues, 0.0, flow))
    stay = np.flatnonzero(left.present.any(axis=0) | ~observations.present.any(axis=0))
    return select(left, users=[left.user_ids[i] for i in stay])


def without_absent(observations: Observations) -> Observations:
    """Drop the users without flow and the providers not offered on any day.

    Raises
    ------
    ObservationsError
        When a provider of the leader would go.
    """
    i = np.flatnonzero(observations.present.any(axis=0))
    j = np.flatnonzero(observations.offered.any(axis=0))
    return replace(
        observations,
        user_ids=tuple(observations.user_ids[k] for k in i),
        provider_ids=tuple(observations.provider_ids[k] for k in j),
        families=tuple(observations.families[k] for k in j) if observations.families else (),
        flow=observations.flow[:, i][:, :, j],
        price=observations.price[:, j],
        capacity=observations.capacity[:, j],
        delay=observations.delay[:, i][:, :, j],
        mix=observations.mix[:, i],
    )


def market_of(
    observations: Observations,
    day: str,
    *,
    value: ArrayLike = 0.0,
    user_values: Array | None = None,
    price_weight: ArrayLike = 1.0,
    congestion_weight: ArrayLike = 1.0,
    delay_weight: ArrayLike = 1.0,
    dispersion: ArrayLike = 0.0,
    provider_dispersion: ArrayLike = 1.0,
    description: str = "",
) -> Market:
    """Compose the market of one day: the users there, the providers offered.

    Parameters
    ----------
    day
        One of `observations.days`.
    value
        Shape (m,) or one number, currency per volume unit: what users hold each provider to be worth.
    user_values
        Shape (n, m): the same of each user's own, in place of it; None where it has none.
    price_weight, congestion_weight, delay_weight
        Shape (n,) or one number each: users' weights.
    dispersion, provider_dispersion
        Shapes (n,) and (m,), or one number each, as in `Market`. All of these are in the order of the observations,
        whoever is there on the day.
    description
        Free text.

    Raises
    ------
    ObservationsError
        When there is no such day, no leader, or the leader is not offered that day or has no rival.
    MarketError
        When a value or a weight breaks a rule of `Market`.
    """
    (t,) = _kept(observations, "day", observations.days, [day])
    i, j = np.flatnonzero(observations.present[t]), np.flatnonzero(observations.offered[t])
    providers = tuple(observations.provider_ids[k] for k in j)
    leader = _leader_of(observations, day, providers)
    of_users = (price_weight, congestion_weight, delay_weight, dispersion)
    wp, wq, wd, tastes = (np.broadcast_to(weight, observations.n)[i] for weight in of_users)
    return Market(
        name=f"{observations.name}-{day}",
        user_ids=tuple(observations.user_ids[k] for k in i),
        provider_ids=providers,
        demand=observations.demand[t, i],
        price=observations.price[t, j],
        capacity=observations.capacity[t, j],
        value=np.broadcast_to(value, observations.m)[j],
        user_values=np.empty((0, 0)) if user_values is None else user_values[np.ix_(i, j)],
        delay=observations.delay[t][np.ix_(i, j)],
        price_weight=wp,
        congestion_weight=wq,
        delay_weight=wd,
        dispersion=tastes,
        provider_dispersion=np.broadcast_to(provider_dispersion, observations.m)[j],
        components=observations.components,
        mix=observations.mix[t, i],
        leader=tuple(providers.index(name) for name in leader.providers),
        decides=leader.decides,
        price_cap=np.array(leader.price_cap),
        units=observations.units,
        description=description,
    )


def market_days(observations: Observations, wanted: Sequence[str]) -> list[str]:
    """The days that are meant by dates, `last`, `all` and `none`; each has a market.

    Raises
    ------
    ObservationsError
        When one has none.
    """
    named = {"last": observations.days[-1:], "all": observations.days, "none": ()}
    days = list(dict.fromkeys(day for name in wanted for day in named.get(name, (name,))))
    for day in days:
        market_of(observations, day)
    return days


def _kept(observations: Observations, what: str, names: Sequence[str], wanted: Sequence[str] | None) -> list[int]:
    if wanted is None:
        return list(range(len(names)))
    problems = [f"{what}s: no {what} is called {name!r}; {_span(names)}" for name in wanted if name not in names]
    if problems:
        raise ObservationsError(observations.name, problems)
    return [k for k, name in enumerate(names) if name in set(wanted)]


def _span(names: Sequence[str]) -> str:
    if len(names) <= 10:
        return f"there are: {', '.join(names)}"
    return f"there are {len(names)}: {names[0]} to {names[-1]}"


def _leader_of(observations: Observations, day: str, providers: Sequence[str]) -> Leader:
    leader = observations.leader
    if leader is None:
        way_out = 'name one in folder.json: {"leader": {"providers": ["ID"], "price_cap": NUMBER}}'
        raise ObservationsError(observations.name, [f"leader: none, and a market needs one; {way_out}"])
    absent = [name for name in leader.providers if name not in providers]
    if absent:
        j = [observations.provider_ids.index(name) for name in leader.providers]
        others = [other for t, other in enumerate(observations.days) if observations.offered[t, j].all()]
        where = f"it is on {', '.join(others[:10])}" if others else "nor are all of the leader's on any other day"
        raise ObservationsError(observations.name, [f"leader: {', '.join(absent)} is not offered on {day}; {where}"])
    if set(providers) <= set(leader.providers):
        raise ObservationsError(observations.name, [f"leader: no rival is offered on {day}; take another day"])
    return leader
