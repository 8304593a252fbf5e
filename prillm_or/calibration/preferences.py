"""Preferences: what users want, as weights and values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prillm_or.calibration.days import Days
from prillm_or.calibration.observations import Observations, market_of
from prillm_or.market.market import Array, Market

if TYPE_CHECKING:
    from prillm_or.users.differentiable import Settled

EVERYONE = "everyone"
"""Name of the group of users whom no group names."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Preferences:
    """What n users want of m providers.

    Two normalisations, since no flow tells otherwise: the common weight of price is 1, and the least value is 0. Values
    are in currency per volume unit.

    Parameters
    ----------
    user_ids, provider_ids
        Names, n and m of them.
    congestion
        w_q, the common weight of congestion, >= 0; 0 only with dispersion.
    delay
        w_d, the weight of delay, >= 0.
    value
        Shape (m,): b, what users hold a provider to be worth.
    price_factor, congestion_factor
        Shape (n,): user i's own weights over the common ones; 1 where it has none of its own.
    group_ids, group
        Names of the groups of users, and shape (n,): each user's position among them.
    group_value
        Shape (groups, m): what a group holds a provider to be worth beyond `value`.
    dispersion
        The common dispersion, currency per volume unit, >= 0.
    dispersion_factor, provider_dispersion
        Shapes (n,) and (m,): factors of a user's own, and of a provider; their product times `dispersion` is s_ij of
        `Market`.
    user_value
        Shape (n, m): what a user of its own holds a provider to be worth beyond `value` and its group.
    """

    user_ids: tuple[str, ...]
    provider_ids: tuple[str, ...]
    congestion: float
    delay: float
    value: Array
    price_factor: Array
    congestion_factor: Array
    group_ids: tuple[str, ...]
    group: NDArray[np.intp]
    group_value: Array
    dispersion: float
    dispersion_factor: Array
    provider_dispersion: Array
    user_value: Array

    @property
    def value_by_user(self) -> Array:
        """Shape (n, m): what each user holds each provider to be worth."""
        return self.value + self.group_value[self.group] + self.user_value

    @property
    def congestion_weight(self) -> Array:
        """Shape (n,): w_q,i."""
        return self.congestion * self.congestion_factor

    @property
    def scale(self) -> Array:
        """Shape (n,): what users' money is divided by, w_q,i, or 1 without congestion."""
        return self.congestion_weight if self.congestion > 0 else np.ones(len(self.user_ids))

    @property
    def user_dispersion(self) -> Array:
        """Shape (n,): dispersion of users, currency per volume unit."""
        return self.dispersion * self.dispersion_factor

    @property
    def common(self) -> bool:
        """Whether all users want the same."""
        factors = (self.price_factor, self.congestion_factor, self.dispersion_factor)
        alike = all(bool((factor == 1.0).all()) for factor in factors)
        return alike and not self.group_value.any() and not self.user_value.any()


def equilibria(preferences: Preferences, days: Days) -> Settled:
    """The users' equilibria of days, given what the users want."""
    own = preferences.price_factor[:, None] * days.paid + preferences.delay * days.delay
    scale = preferences.scale[:, None]
    offsets = (own - preferences.value_by_user) / scale
    tastes = preferences.user_dispersion[:, None] * preferences.provider_dispersion / scale
    return days.settled(offsets, tastes, congested=preferences.congestion > 0)


def predicted_flows(preferences: Preferences, days: Days) -> Array:
    """Flows at the users' equilibria, shape (T, n, m), volume units."""
    return np.asarray(equilibria(preferences, days).flow.numpy())


def aligned(preferences: Preferences, user_ids: Sequence[str], provider_ids: Sequence[str]) -> Preferences:
    """The same preferences for other users and providers, by name.

    A user who is new is as all are; a provider that is new is worth what the others are on average.
    """
    i = {name: place for place, name in enumerate(preferences.user_ids)}
    j = {name: place for place, name in enumerate(preferences.provider_ids)}
    mean = float(preferences.value.mean())
    value = np.array([preferences.value[j[name]] if name in j else mean for name in provider_ids])
    beyond = np.zeros((len(preferences.group_ids), len(provider_ids)))
    for place, name in enumerate(provider_ids):
        if name in j:
            beyond[:, place] = preferences.group_value[:, j[name]]
    own = np.zeros((len(user_ids), len(provider_ids)))
    for row, user in enumerate(user_ids):
        if user in i:
            own[row] = [preferences.user_value[i[user], j[name]] if name in j else 0.0 for name in provider_ids]

    def factor(own: Array) -> Array:
        return np.array([own[i[name]] if name in i else 1.0 for name in user_ids])

    return replace(
        preferences,
        user_ids=tuple(user_ids),
        provider_ids=tuple(provider_ids),
        value=value - value.min(),
        price_factor=factor(preferences.price_factor),
        congestion_factor=factor(preferences.congestion_factor),
        dispersion_factor=factor(preferences.dispersion_factor),
        provider_dispersion=np.array(
            [preferences.provider_dispersion[j[name]] if name in j else 1.0 for name in provider_ids]
        ),
        group=np.array([preferences.group[i[name]] if name in i else len(beyond) - 1 for name in user_ids]),
        group_value=beyond,
        user_value=own,
    )


def market_with(preferences: Preferences, observations: Observations, day: str, description: str = "") -> Market:
    """Compose the market of one day in which users want what `preferences` say.

    Where groups have values of their own, that of the market is the largest of them, and what a group holds a provider
    to be worth less counts as delay: d'_ij = w_d d_ij + b_j - b_ij with a weight of 1. Values of users'
    own are those of the market.

    Raises
    ------
    ObservationsError, MarketError
        As `market_of`.
    """
    by_user = preferences.value_by_user
    value, delay_weight = preferences.value, preferences.delay
    user_values = by_user if preferences.user_value.any() else None
    if user_values is None and preferences.group_value.any():
        value = by_user.max(axis=0)
        money = f"{observations.units.currency} per {observations.units.volume}"
        observations = replace(
            observations,
            delay=preferences.delay * observations.delay + (value - by_user),
            units=replace(observations.units, delay=money),
        )
        delay_weight = 1.0
    return market_of(
        observations,
        day,
        value=value - value.min(),
        user_values=user_values,
        price_weight=preferences.price_factor,
        congestion_weight=preferences.congestion_weight,
        delay_weight=delay_weight,
        dispersion=preferences.user_dispersion,
        provider_dispersion=preferences.provider_dispersion,
        description=description,
    )
