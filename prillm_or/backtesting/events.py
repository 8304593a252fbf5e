"""Events: prices that changed between two observed times, and the shares before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prillm_or.calibration.observations import Observations
from prillm_or.calibration.price_events import EVENT, LEAST_SHARE
from prillm_or.market.market import Array

_SAME = 1e-9
_DAY = len("2026-07-21")
_MOST_HOURS, _FEWEST_HOURS = 6, 3
"""How many observed hours there are on each side of an event at most and at least; of days, one."""


@dataclass(frozen=True)
class Event:
    """A price of a provider that changed.

    Parameters
    ----------
    market, provider
        Name of the observations, and id.
    before, after
        Observed times, ascending, on which the provider had the old price and then the new one.
    old_price, new_price
        Currency per volume unit; where components are priced, at the market's mean mix.
    share_before, share_after
        Of all demand of those times.
    """

    market: str
    provider: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    old_price: float
    new_price: float
    share_before: float
    share_after: float

    @property
    def day(self) -> str:
        """The first observed time at the new price."""
        return self.after[0]

    @property
    def step(self) -> float:
        """Change of the log price."""
        return float(np.log(self.new_price / self.old_price))

    @property
    def observed(self) -> float:
        """Change of the log share."""
        return self.change_to(self.share_after)

    def change_to(self, share: float) -> float:
        """Change of the log share from the observed one before to `share`."""
        return float(np.log(max(share, LEAST_SHARE) / max(self.share_before, LEAST_SHARE)))


def events_of(observations: Observations, least: float = EVENT) -> list[Event]:
    """Find the changes of a price by a part `least` or more of the lower one, in order of time.

    Of days, an event is two consecutive ones of those that offer the provider. Of hours, whose shares are noisier, up
    to six on each side at one price are taken together, and three at least: a price that held for less is no event.
    Shares are totals over totals.
    """
    price = listed_prices(observations)
    found = [
        event for j in range(observations.m) for event in _events(observations, j, np.asarray(price[:, j]), 1.0 + least)
    ]
    return sorted(found, key=lambda event: event.day)


def listed_prices(observations: Observations) -> Array:
    """Prices, shape (T, m), NaN where not offered; of components, at the market's mean mix over all days."""
    if not observations.components:
        return observations.price
    bought = np.einsum("ti,tic->c", observations.demand, observations.mix)
    return np.asarray(observations.price @ (bought / observations.demand.sum()))


def share_of(flow: Array, j: int, times: list[int]) -> float:
    """Provider j's share of all flow of some times, flows of shape (T, n, m)."""
    chosen = flow[times]
    return float(chosen[:, :, j].sum() / chosen.sum())


def _events(observations: Observations, j: int, price: Array, ratio: float) -> Iterator[Event]:
    times = np.flatnonzero(price > 0)
    own, days = price[times], observations.days
    same = np.abs(own[1:] / own[:-1] - 1.0) <= _SAME
    moved = np.maximum(own[1:] / own[:-1], own[:-1] / own[1:]) >= ratio * (1.0 - _SAME)
    for k in (np.flatnonzero(moved) + 1).tolist():
        hours = len(days[times[k]]) > _DAY
        most, fewest = (_MOST_HOURS, _FEWEST_HOURS) if hours else (1, 1)
        first, end = k - 1, k + 1
        while first > 0 and k - first < most and same[first - 1]:
            first -= 1
        while end < len(own) and end - k < most and same[end - 1]:
            end += 1
        if min(k - first, end - k) < fewest:
            continue
        before, after = times[first:k].tolist(), times[k:end].tolist()
        yield Event(
            market=observations.name,
            provider=observations.provider_ids[j],
            before=tuple(days[t] for t in before),
            after=tuple(days[t] for t in after),
            old_price=float(own[k - 1]),
            new_price=float(own[k]),
            share_before=share_of(observations.flow, j, before),
            share_after=share_of(observations.flow, j, after),
        )
