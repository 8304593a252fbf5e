"""Findings: what a reader of a fit has to know, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from prillm_or.calibration.bootstrap import LEVEL, Intervals
from prillm_or.calibration.calibration import OURS, MethodScores, noted
from prillm_or.calibration.fit import Fit
from prillm_or.calibration.identifiability import Identifiability
from prillm_or.calibration.left_open import bounded, left_open
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.odd_days import odd_days
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.profile import Point
from prillm_or.calibration.shrinkage import ShrinkageChoice
from prillm_or.market.fit_note import MEASURES, better_baselines, better_in_words, r2_of
from prillm_or.market.market import Array
from prillm_or.output.numbers import rounded_percent, signed
from prillm_or.result import Result
from prillm_or.solving.caveats import HYPERELASTIC, INELASTIC

_HARDLY = 0.1
_ROUNDING = 1e-9
_STRONG = 0.3
_EXACT = 1e-9
"""Of 1 - R^2: below it, the flows hold no noise."""
_FEW_POINTS = 30
_ALARMS = ("cap-binds", "nobody-served", "loss", "inelastic", "hyperelastic")


def findings(
    observations: Observations,
    fit: Fit,
    scored: Mapping[str, MethodScores],
    intervals: Intervals | None,
    identified: Identifiability,
    unpriced: Fit | None = None,
    own: Point | None = None,
    best: Result | None = None,
    choice: ShrinkageChoice | None = None,
) -> tuple[str, ...]:
    """Sentences on how far the fit can be trusted, the most important first.

    Parameters
    ----------
    unpriced
        The fit as it goes on `without_price`, where there is one.
    own
        The fit's own point of its profile; None where there is none.
    best
        The best price in the fitted market of the last day, None where there is none.
    choice
        How the shrinkage, and what users differ in, were chosen.
    """
    return (
        *_days(observations),
        *_of_the_market(best),
        *_odd_response(observations, own, best),
        *_against_baselines(scored),
        *_chosen(choice),
        *_known_elasticity(fit, own),
        *(_congestion(observations, fit, intervals) if fit.preferences.congestion else ()),
        *(_dispersion(observations, fit, intervals) if fit.preferences.dispersion else ()),
        *_delay(fit),
        *_shrinkage(fit),
        *(() if unpriced is None else _price_of_own(fit, unpriced)),
        *_open(observations, identified),
    )


def _days(observations: Observations) -> Iterator[str]:
    yield from map(str, odd_days(observations))
    if observations.T == 1:
        yield (
            "One day was seen, so that no price moved: how users answer a price is told by who chose what among unlike "
            "prices, and by the shape of the model."
        )


def _of_the_market(best: Result | None) -> Iterator[str]:
    """What `solve` warns of at the best price of the fitted market, as far as the fit is to blame."""
    for warning in () if best is None else best.warnings:
        if warning.code in _ALARMS:
            yield f"In the fitted market of the last day, {str(warning).removeprefix('Warning: ')}"


def _chosen(choice: ShrinkageChoice | None) -> Iterator[str]:
    if choice is None or choice.alike is None:
        return
    specification = choice.specification
    own = ["each user has its own values of providers" + " and weight of congestion" * specification.own_congestion]
    place = ["dispersion, which keeps users spread whatever the loads, stands in place of congestion"]
    chosen = " and ".join(own * specification.own_values + place * (not specification.congestion))
    yield (
        f"{chosen[0].upper()}{chosen[1:]}: of flows hidden in turns, that predicts R^2 "
        f"{max(choice.tried.values()):.3f}, preferences that all share"
        f"{'' if specification.congestion else ', with congestion,'} {choice.alike:.3f}."
    )


def _known_elasticity(fit: Fit, own: Point | None) -> Iterator[str]:
    if fit.anchor is not None and own is not None:
        yield (
            f"An own-price elasticity of {fit.anchor.elasticity:.3g} with a standard error of {fit.anchor.error:.2g} "
            f"counted as one more observation; that of the fit is {own.elasticity:.3g}."
        )


def _odd_response(observations: Observations, own: Point | None, best: Result | None) -> Iterator[str]:
    """An elasticity over all days that no market like these has, unless it was said of the last day's market."""
    if own is None or HYPERELASTIC <= own.elasticity <= INELASTIC:
        return
    code, said = ("inelastic", "so little") if own.elasticity > INELASTIC else ("hyperelastic", "so much")
    if best is None or code not in {warning.code for warning in best.warnings}:
        whose = "all providers" if observations.leader is None else ", ".join(observations.leader.providers)
        yield (
            f"On all days together 1 % more price costs {whose} {rounded_percent(-own.elasticity / 100)} of the load: "
            f"no market like these has been seen to answer {said}."
        )


def _against_baselines(scored: Mapping[str, MethodScores]) -> Iterator[str]:
    scores, held_out = noted(scored), scored[OURS].held_out is not None
    others = [name for name in scores if name != OURS]
    for part, where in (("holdout", "Held out"), ("in_sample", "In sample")) if others else ():
        if better := list(better_baselines(scores, part)):
            said = better_in_words(better)
            yield f"{said[0].upper()}{said[1:]}."
        elif beaten := list(_best_baselines(scores, part)):
            count = f"none of {len(others)} baselines predicts" if len(others) > 1 else f"{others[0]} does not predict"
            yield f"{where}, {count} better than the fit: {'; '.join(beaten)}."
    if "independence" in others:
        yield "The baseline independence is demand times market share, which uses no preference at all."
    if not held_out:
        yield "Nothing was held out: these scores say nothing about prediction."


def _best_baselines(scores: Mapping[str, Mapping[str, Any]], part: str) -> Iterator[str]:
    for measure, what in MEASURES.items():
        r2 = r2_of(scores, part, measure)
        ours = r2.pop(OURS, None)
        if ours is not None and r2:
            best = next(iter(r2))
            yield f"{what}, R^2 {ours:.3f} against {r2[best]:.3f} of {best}"


def _congestion(observations: Observations, fit: Fit, intervals: Intervals | None) -> Iterator[str]:
    weight = fit.preferences.congestion
    said = f"The weight of congestion came out as {weight:.4g}"
    if intervals is not None:
        low, high = intervals.weights["congestion"]
        said += f" ({LEVEL:.0%} interval {low:.4g} to {high:.4g})"
    yield f"{said}; at it, congestion is {_share_of_congestion(fit):.0%} of congestion and price that users face."
    reaction, points = delay_reaction(observations)
    reaction = 0.0 if reaction is not None and abs(reaction) < _ROUNDING else reaction
    if observations.T > 1 and not _delays_move(observations):
        yield "Whether delays react to load cannot be told: those observed are the same on all days."
    elif reaction is None:
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


def _delays_move(observations: Observations) -> bool:
    """Whether the delay of any pair of a user and a provider differs between two of its days."""
    cells, delay = observations.cells, observations.delay
    first = np.take_along_axis(delay, cells.argmax(axis=0)[None], axis=0)
    return bool((np.abs(delay - first) > _ROUNDING * np.abs(first))[cells].any())


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
