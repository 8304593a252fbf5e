"""Predictions: the share after each event of a market, from the days before it alone.

For each day of an event, preferences are fitted to all days before it, as `calibrate` does, starting from the fit of
the event before. Shares persist more than any preference explains, and go back to what they were. So our prediction is
the provider's mean share over the days before, days counting as in the fit, moved from their mean log price to the new
one by the fit's own-price elasticity: what is tested is the response to the price. Beside it stand the equilibria of
the fit at the prices and demands of the times after, and plain methods, which get the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from prillm_or.backtesting.events import Event, listed_prices, share_of
from prillm_or.calibration.anchor import response
from prillm_or.calibration.baselines import baseline_flows
from prillm_or.calibration.calibration import OURS
from prillm_or.calibration.days import days_of
from prillm_or.calibration.fit import Fit
from prillm_or.calibration.judged_fit import Earlier, Options, fit_and_judge, priced
from prillm_or.calibration.observations import Leader, Observations, select, without_absent
from prillm_or.calibration.preferences import predicted_flows

_log = logging.getLogger(__name__)

EQUILIBRIUM, NO_CHANGE, SQUARE, POWER = "equilibrium", "no-change", "price^-2", "price^-E"
_SHARES = ("independence", "last-day")
METHODS = (OURS, EQUILIBRIUM, NO_CHANGE, SQUARE, POWER, *_SHARES)
"""In the order of a table; those of `_SHARES` are baselines of a calibration."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What is predicted of an event.

    Parameters
    ----------
    changes
        Of the log share, by method; without `POWER` where no elasticity is known.
    elasticity
        Own-price elasticity by which `OURS` answers the price.
    """

    event: Event
    changes: Mapping[str, float]
    elasticity: float


@dataclass(frozen=True, eq=False)
class Work:
    """The events of one market, in order of time, and how to fit.

    Parameters
    ----------
    elasticity
        Own-price elasticity known from elsewhere, if any: `options` may hold it, too.
    """

    observations: Observations
    events: Sequence[Event]
    options: Options
    elasticity: float | None


def predictions(work: Work) -> list[Prediction]:
    """Predict the events of a market, in their order."""
    from threadpoolctl import threadpool_limits

    found: list[Prediction] = []
    earlier: Earlier | None = None
    # The matrices of a market are small: threads would wait for each other.
    with threadpool_limits(1):
        for day, same in groupby(work.events, key=lambda event: event.day):
            some, earlier = _predicted(work, day, list(same), earlier)
            found += some
            _log.info("%s: %s predicted", work.observations.name, day)
    return found


def _predicted(
    work: Work, day: str, events: Sequence[Event], earlier: Earlier | None
) -> tuple[list[Prediction], Earlier]:
    """The events of one day, by one fit; and that fit, for the next to start from."""
    seen = _known(work.observations, day, events)
    held = seen.cells
    held[: seen.days.index(day)] = False
    fitted = fit_and_judge(seen, work.options, held_out=held, earlier=earlier)
    fit = fitted.fit
    flows = {EQUILIBRIUM: fitted.flow} | {
        name: baseline_flows(name, fit.days, seen.user_ids, seen.provider_ids, weight=fit.weight) for name in _SHARES
    }
    found = []
    for event in events:
        j, after = seen.provider_ids.index(event.provider), [seen.days.index(one) for one in event.after]
        answer = _response(fit, seen, event, work.elasticity)
        shares = {name: share_of(flow, j, after) for name, flow in flows.items()}
        shares[OURS] = _moved(seen, fit, j, event, answer)
        changes = {name: event.change_to(share) for name, share in shares.items()}
        powers = {NO_CHANGE: 0.0, SQUARE: -2.0, POWER: work.elasticity}
        changes |= {name: power * event.step for name, power in powers.items() if power is not None}
        found.append(Prediction(event, changes, answer))
    return found, Earlier(fit.preferences, fit.shrinkage)


def _response(fit: Fit, seen: Observations, event: Event, known: float | None) -> float:
    """Own-price elasticity, by the fit at the times before, of all together whose prices moved that day.

    One of these alone, where the fit sends it next to nobody, would answer a price out of all proportion. A fit that
    sends nobody to any says nothing of the response: then what is known elsewhere holds.
    """
    before, moved = days_of(select(seen, days=event.before)), priced(seen)
    if not predicted_flows(fit.preferences, before)[:, :, moved].any():
        return known or 0.0
    return response(fit.preferences, before, moved)


def _moved(seen: Observations, fit: Fit, j: int, event: Event, elasticity: float) -> float:
    """Provider j's share by an own-price elasticity; days count where j was offered at a price > 0."""
    price = listed_prices(seen)[:, j]
    times = np.flatnonzero(np.logical_or.reduce(fit.days.train[:, :, j], axis=1) & (price > 0))
    weight, share = fit.weight.mean(axis=1)[times], seen.load[times, j] / seen.demand.sum(axis=1)[times]
    step = np.log(event.new_price) - np.average(np.log(price[times]), weights=weight)
    return min(float(np.average(share, weights=weight) * np.exp(elasticity * step)), 1.0)


def _known(observations: Observations, day: str, events: Sequence[Event]) -> Observations:
    """All times before `day`, and those after the events. Who moved a price leads: an elasticity known is theirs."""
    until = observations.days.index(day)
    later = {day for event in events for day in event.after}
    days = [*observations.days[:until], *(day for day in observations.days[until:] if day in later)]
    moved = tuple(dict.fromkeys(event.provider for event in events))
    caps = tuple(max(event.old_price, event.new_price) for event in events for _ in observations.components or "1")
    return without_absent(replace(select(observations, days=days), leader=Leader(moved, caps)))
