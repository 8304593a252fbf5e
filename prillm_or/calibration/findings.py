"""Findings: what a reader of a fit has to know, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from prillm_or.calibration.bootstrap import LEVEL, Intervals
from prillm_or.calibration.calibration import OURS, MethodScores
from prillm_or.calibration.fit import Fit
from prillm_or.calibration.identifiability import Identifiability
from prillm_or.calibration.left_open import bounded, left_open
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.odd_days import odd_days
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.market.market import Array
from prillm_or.output.numbers import signed

_HARDLY = 0.1
_ROUNDING = 1e-9
_STRONG = 0.3
_EXACT = 1e-9
"""Of 1 - R^2: below it, the flows hold no noise."""
_FEW_POINTS = 30


def findings(
    observations: Observations,
    fit: Fit,
    scored: Mapping[str, MethodScores],
    intervals: Intervals | None,
    identified: Identifiability,
    unpriced: Fit | None = None,
) -> tuple[str, ...]:
    """Sentences on how far the fit can be trusted, the most important first.

    Parameters
    ----------
    unpriced
        The fit as it goes on `without_price`, where there is one.
    """
    return (
        *map(str, odd_days(observations)),
        *_against_independence(scored),
        *(_congestion(observations, fit, intervals) if fit.preferences.congestion else ()),
        *(_dispersion(observations, fit, intervals) if fit.preferences.dispersion else ()),
        *_delay(fit),
        *_shrinkage(fit),
        *(() if unpriced is None else _price_of_own(fit, unpriced)),
        *_open(observations, identified),
    )


def _against_independence(scored: Mapping[str, MethodScores]) -> Iterator[str]:
    if "independence" not in scored:
        return
    ours, theirs = scored[OURS], scored["independence"]
    for where, one, other in (
        ("Held out", ours.held_out, theirs.held_out),
        ("In sample", ours.in_sample, theirs.in_sample),
    ):
        if one is None or other is None or one.r2 is None or other.r2 is None:
            continue
        verdict = "better than" if one.r2 > other.r2 else "no better than"
        yield (
            f"{where}, the fit predicts flows {verdict} demand times market share, which uses no preference at all: "
            f"R^2 {one.r2:.3f} against {other.r2:.3f}."
        )
    if ours.held_out is None:
        yield "Nothing was held out: these scores say nothing about prediction."


def _congestion(observations: Observations, fit: Fit, intervals: Intervals | None) -> Iterator[str]:
    weight = fit.preferences.congestion
    said = f"The weight of congestion came out as {weight:.4g}"
    if intervals is not None:
        low, high = intervals.weights["congestion"]
        said += f" ({LEVEL:.0%} interval {low:.4g} to {high:.4g})"
    yield f"{said}; at it, congestion is {_share_of_congestion(fit):.0%} of congestion and price that users face."
    reaction, points = delay_reaction(observations)
    reaction = 0.0 if reaction is not None and abs(reaction) < _ROUNDING else reaction
    if reaction is None:
        yield "Whether delays react to load cannot be told: too few loads vary over the days."
    elif abs(reaction) < _HARDLY:
        more = signed(round(reaction, 4), 1)
        yield (
            f"Delays hardly react to load (1 % more load goes with {more} % delay, {points} points): the data "
            "show almost no smooth congestion. What is fitted as congestion is whatever else keeps users spread."
        )
    else:
        yield f"Delays react to load: 1 % more load goes with {reaction:+.1g} % delay ({points} points)."


def _dispersion(observations: Observations, fit: Fit, intervals: Intervals | None) -> Iterator[str]:
    said = f"Dispersion came out as {fit.preferences.dispersion:.4g} {observations.units.of_prices}"
    if intervals is not None:
        low, high = intervals.weights["dispersion"]
        said += f" ({LEVEL:.0%} interval {low:.4g} to {high:.4g})"
    yield f"{said}: so much dearer a provider becomes to a user from the first to the last unit of its demand."


def _share_of_congestion(fit: Fit) -> float:
    """Of w_q,i q_j and w_p,i p_j together, averaged over the flows fitted."""
    preferences, days = fit.preferences, fit.days
    flow = predicted_flows(preferences, days)
    congestion = preferences.congestion_weight[:, None] * (flow.sum(axis=1) / days.capacity)[:, None]
    price = preferences.price_factor[:, None] * days.paid
    felt, paid = float((flow * congestion).sum()), float((flow * price).sum())
    return felt / (felt + paid)


def delay_reaction(observations: Observations) -> tuple[float | None, int]:
    """Slope of log delay by log load within pairs of a user and a provider, over the days; and on how many points.

    None where they are fewer than 30, less one for each pair, or no load varies.
    """
    load = np.broadcast_to(observations.load[:, None], observations.flow.shape)
    usable = observations.cells & (load > 0) & (np.nan_to_num(observations.delay) > 0)
    count = np.maximum(usable.sum(axis=0), 1)

    def within(amounts: Array) -> Array:
        logs = np.log(np.where(usable, amounts, 1.0))
        return np.where(usable, logs - logs.sum(axis=0) / count, 0.0)

    x, y = within(load), within(observations.delay)
    points, variation = int(usable.sum() - usable.any(axis=0).sum()), float((x**2).sum())
    return (float((x * y).sum()) / variation if points >= _FEW_POINTS and variation > 1e-12 else None), points


def _delay(fit: Fit) -> Iterator[str]:
    if fit.preferences.delay == 0:
        yield "Delay counts for nothing in the fit: its weight is 0."


def _shrinkage(fit: Fit) -> Iterator[str]:
    if fit.shrinkage >= _STRONG:
        yield (
            f"Flows are pulled towards independence strongly (shrinkage {fit.shrinkage:g}): the flows say little about "
            "preferences, and elasticities lean on the capacities."
        )


def _price_of_own(fit: Fit, free: Fit) -> Iterator[str]:
    """What the price of a user's own weights did where the data are exact, so that nothing else is between."""
    missed, freely = fit.missed, free.missed
    if freely > _EXACT or missed <= _EXACT:
        return
    pulled = max(abs(free.theta - fit.theta)[fit.parameters.shrunk])
    yield (
        f"What is users' own is shrunk, and that alone keeps the fit from the flows: 1 - R^2 is {missed:.1g}, without "
        f"shrinking {freely:.0e}. It pulled users' own numbers by up to {pulled:.2g} (0.1 of a weight is about 10 %), "
        "and values and elasticities with them."
    )


def _open(observations: Observations, identified: Identifiability) -> Iterator[str]:
    days = "one day" if observations.T == 1 else f"these {observations.T} days"
    one_sided = bounded(identified.at_most, identified.at_least)
    for sentence in (*left_open(identified.undetermined), *one_sided):
        yield f"The flows of {days} do not tell {sentence} Do not price on it."
