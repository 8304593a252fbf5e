"""Draws: bootstrapped preferences of a calibration, and the markets in which users want what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prillm_or.calibration.preferences import Preferences
from prillm_or.errors import CombinationError, MarketError, argument
from prillm_or.market.market import Array, Market

_SAME = 1e-9
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws around the preferences that were fitted, all of the same users, providers and groups.

    Parameters
    ----------
    name
        Of the observations.
    centre
        The fitted preferences.
    drawn
        What the bootstrap drew, in its order.
    profile
        Points of the profile set: preferences along what the data leave open, none of which they tell from the best.
    """

    name: str
    centre: Preferences
    drawn: tuple[Preferences, ...]
    profile: tuple[Preferences, ...] = ()


def drawn_markets(draws: Draws, market: Market, count: int) -> tuple[Market, ...]:
    """Give the market of each of the first draws: users want what it says, all else is as in `market`.

    Parameters
    ----------
    market
        As of `markets_wanting`.

    Raises
    ------
    MarketError, CombinationError
        As of `markets_wanting`, and when there are too few draws.
    """
    if count > len(draws.drawn):
        raise CombinationError(
            f"{market.name}: {count} draws wanted, the fit of {draws.name} has {len(draws.drawn)}; take so many, or "
            f"calibrate with more {argument('draws')}"
        )
    return markets_wanting(draws, market, draws.drawn[:count])


def open_markets(draws: Draws, market: Market) -> tuple[Market, ...]:
    """Give all markets among which the fit does not tell: of the draws, of the points of the profile, and `market`.

    Raises
    ------
    MarketError, CombinationError
        As of `markets_wanting`.
    """
    return (*markets_wanting(draws, market, (*draws.drawn, *draws.profile)), market)


def markets_wanting(draws: Draws, market: Market, chosen: Sequence[Preferences]) -> tuple[Market, ...]:
    """Give for each of some draws or points of the profile the market whose users want what it says.

    Parameters
    ----------
    market
        A market that the same calibration wrote, in which users want what `draws.centre` says. Prices, capacities,
        demands, unit costs and caps may have been changed since; users and providers may have been left out.

    Raises
    ------
    MarketError
        When the market is of other users or providers, or they want something else than the fit says.
    CombinationError
        When the market does not tell the delays that a draw needs.
    """
    places = _places(draws, market)
    central = _Wants(draws.centre, *places)
    _check_centre(draws, market, central)
    grouped = any(preferences.group_value.any() for preferences in (draws.centre, *chosen))
    if draws.centre.user_value.any() or not grouped:
        return tuple(_market(market, _Wants(preferences, *places), market.delay) for preferences in chosen)
    waiting = np.maximum(market.delay_weight[:, None] * market.delay - central.lacking, 0.0)
    if draws.centre.delay == 0 and any(preferences.delay > 0 for preferences in chosen):
        raise CombinationError(
            f"{market.name}: the fit of {draws.name} has groups and a weight of delay of 0, so that the market does "
            f"not tell the delays that its draws weigh; calibrate without {argument('groups')}"
        )
    per_weight = waiting / draws.centre.delay if draws.centre.delay else waiting
    return tuple(_grouped(market, _Wants(preferences, *places), per_weight) for preferences in chosen)


class _Wants:
    """Preferences as a market of some of their users and providers has them.

    `lacking`, shape (n, m), is what a user's group holds a provider to be worth less than the group that likes it best
    (`market_with`): currency per volume unit.
    """

    def __init__(self, preferences: Preferences, i: NDArray[np.intp], j: NDArray[np.intp]) -> None:
        by_user = preferences.value_by_user
        highest = by_user.max(axis=0)
        self.value = highest[j] - highest[j].min()
        self.lacking = (highest - by_user)[np.ix_(i, j)]
        self.user_values = np.empty((0, 0))
        if preferences.user_value.any():
            self.value = preferences.value[j] - preferences.value[j].min()
            self.user_values = by_user[np.ix_(i, j)]
        self.price_weight = preferences.price_factor[i]
        self.congestion_weight = preferences.congestion_weight[i]
        self.delay_weight = preferences.delay
        self.dispersion = preferences.user_dispersion[i]
        self.provider_dispersion = preferences.provider_dispersion[j]


def _market(market: Market, wants: _Wants, delay: Array) -> Market:
    return replace(
        market,
        value=wants.value,
        user_values=wants.user_values,
        price_weight=wants.price_weight,
        congestion_weight=wants.congestion_weight,
        delay_weight=np.full(market.n, wants.delay_weight),
        dispersion=wants.dispersion,
        provider_dispersion=wants.provider_dispersion,
        delay=delay,
        fit=None,
    )


def _grouped(market: Market, wants: _Wants, delay: Array) -> Market:
    drawn = _market(market, wants, wants.delay_weight * delay + wants.lacking)
    return replace(drawn, delay_weight=np.ones(market.n))


def _places(draws: Draws, market: Market) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions of the market's users and providers among those of the draws."""
    centre = draws.centre
    strangers = [
        f"{what}: {_listed(unknown)}: not among those of {draws.name}, whose draws these are"
        for what, names, known in (
            ("users", market.user_ids, set(centre.user_ids)),
            ("providers", market.provider_ids, set(centre.provider_ids)),
        )
        if (unknown := [name for name in names if name not in known])
    ]
    if strangers:
        raise MarketError(market.name, strangers)
    return _positions(market.user_ids, centre.user_ids), _positions(market.provider_ids, centre.provider_ids)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _positions(names: Sequence[str], known: Sequence[str]) -> NDArray[np.intp]:
    place = {name: position for position, name in enumerate(known)}
    return np.array([place[name] for name in names], dtype=np.intp)


def _check_centre(draws: Draws, market: Market, central: _Wants) -> None:
    """Draws about something else than the market are no draws of it."""
    problems = list(_differences(draws, market, central))
    if problems:
        raise MarketError(
            market.name,
            [
                *problems,
                f"these are draws of another fit of {draws.name}; give {argument('draws')} those written with the "
                "market",
            ],
        )


def _differences(draws: Draws, market: Market, central: _Wants) -> Iterator[str]:
    centre = draws.centre
    weighs_delays = 1.0 if centre.group_value.any() and not centre.user_value.any() else central.delay_weight
    size = max(float(central.value.max()), float(market.price_cap.max()))
    value = market.value - market.value.min()
    for what, names, has, fitted, digits in (
        ("value", market.provider_ids, value, central.value, _SAME * size),
        ("weight of price", market.user_ids, market.price_weight, central.price_weight, 0.0),
        ("weight of congestion", market.user_ids, market.congestion_weight, central.congestion_weight, 0.0),
        ("weight of delay", market.user_ids, market.delay_weight, np.full(market.n, weighs_delays), 0.0),
        ("own value", market.user_ids, market.user_values, central.user_values, _SAME * size),
        ("dispersion", market.user_ids, market.dispersion, central.dispersion, 0.0),
        ("dispersion", market.provider_ids, market.provider_dispersion, central.provider_dispersion, 0.0),
    ):
        if has.shape != fitted.shape:
            yield f"{what}: the market has them of {has.size // market.m} users, the fit of {fitted.size // market.m}"
            continue
        wrong = np.abs(has - fitted) > np.maximum(_SAME * np.abs(fitted), digits)
        if wrong.any():
            k = np.unravel_index(int(wrong.argmax()), wrong.shape)
            yield f"{what} of {names[k[0]]}: {has[k]:.10g}, the fit has {fitted[k]:.10g}"
