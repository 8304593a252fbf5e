"""Verdict: what to do about the price, how sure that is, and why; what a reader of a fit has to know first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prillm_or.calibration.price_events import EVENT, price_events
from prillm_or.calibration.profile import Profile, decided
from prillm_or.market.fit_note import FITTED, MEASURES, judged_by, r2_of
from prillm_or.output.advice import sentences
from prillm_or.output.numbers import figure
from prillm_or.solving.caveats import OPEN

if TYPE_CHECKING:
    from prillm_or.calibration.calibration import Calibration
    from prillm_or.calibration.observations import Observations
    from prillm_or.result import Result

_END = 1e-3


def verdict(calibration: Calibration) -> tuple[str, ...]:
    """Sentences; none of a fit whose profile was not reached."""
    if calibration.profile is None:
        return (*_free(calibration), *_baseline(calibration)) if calibration.observations.free else ()
    return (
        *_price(calibration, calibration.profile),
        _response(calibration, calibration.profile),
        f"Price events: {calibration.tested}" if calibration.tested else events_in_words(calibration.observations),
        *_baseline(calibration),
    )


def _free(calibration: Calibration) -> Iterator[str]:
    """What is to be said where nothing was paid to those who are priced."""
    leader, best = calibration.observations.leader, calibration.best
    if best is not None:
        own = ", ".join(f"{figure(value, 4)} for {name}" for name, value in decided(best).items())
        yield (
            f"Try prices, do not settle on one: the fit's own best, {own} "
            f"({calibration.observations.units.of_prices}), rests on the model alone."
        )
    who = "anybody" if leader is None else ", ".join(leader.providers)
    yield f"No price was paid to {who} on any day: how users answer one is not seen in these flows."


def _price(calibration: Calibration, profile: Profile) -> Iterator[str]:
    best, ranges = calibration.best, profile.best_price_range
    if best is None:
        return
    advice, units = next(sentences(best)), calibration.observations.units.of_prices
    if not ranges:
        own = ", ".join(f"{figure(value, 4)} for {name}{_today(best, name)}" for name, value in decided(best).items())
        yield (
            f"The fit's own best price: {own} ({units}). How far the data leave it open was not asked, or not proven; "
            "the elasticities say it of the response."
        )
        return
    for name, (low, high) in ranges.items():
        if high > OPEN * low:
            yield (
                f"Try prices, do not settle on one: the best price of {name} may be any from {figure(low, 4)} to "
                f"{figure(high, 4)}; the fit's own is {figure(decided(best)[name], 4)}{_today(best, name)} ({units})."
            )
        else:
            yield f"{advice} By the data the best lies between {figure(low, 4)} and {figure(high, 4)}."
        low, high = (profile.model_price_range or ranges)[name]
        if (low, high) != ranges[name]:
            yield (
                f"With demand of the model's form that is {figure(low, 4)} to {figure(high, 4)}; beyond stand the best "
                "prices were each user a logit of the same share and slope, which prices seen hardly tell."
            )


def _today(best: Result, name: str) -> str:
    (today,) = (one.today for one in best.decided if one.name == name)
    return "" if today is None else f", today's {figure(today, 4)}"


def _response(calibration: Calibration, profile: Profile) -> str:
    low, high = (
        f"{figure(end, 3)} (the {what} tried)" if abs(end - limit) <= -_END * limit else figure(end, 3)
        for end, limit, what in zip(profile.elasticity_range, profile.limits, ("strongest", "weakest"), strict=True)
    )
    known = calibration.fit.anchor
    given = "" if known is None else f", {figure(known.elasticity, 3)} +- {figure(known.error, 2)} is known beside them"
    return (
        f"Own-price elasticity: {figure(profile.own.elasticity, 3)} by the fit, which the data do not tell from "
        f"{low} to {high}: {profile.resampled_in_words}{given}."
    )


def events_in_words(observations: Observations) -> str:
    """How often a price moved, and what looks for what that did to shares."""
    count = price_events(observations)
    if not count:
        return (
            f"No price event was seen: no price moved by {EVENT:.0%} or more. The command prillm-or backtest looks for "
            "some in folders of days on which prices moved."
        )
    times = f"{count} price events" if count > 1 else "One price event"
    return (
        f"{times} seen, moves by {EVENT:.0%} or more; whether the fit predicts what they did to shares, the command "
        "prillm-or backtest tells."
    )


def _baseline(calibration: Calibration) -> Iterator[str]:
    scores = calibration.noted_scores
    part = judged_by(scores)
    where = "held out" if part == "holdout" else "in sample"
    told = []
    for measure, what in MEASURES.items():
        r2 = r2_of(scores, part, measure)
        ours = r2.pop(FITTED, None)
        if ours is not None and r2:
            name, theirs = next(iter(r2.items()))
            told.append(f"{what} {name}, R^2 {theirs:.3f} against the fit's {ours:.3f}")
    if told:
        yield f"Best baseline, {where}: of {'; of '.join(told)}."
