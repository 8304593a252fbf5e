"""Profile: misfit, best price and profit along the own-price elasticity, which the flows often leave open.

How much money a unit of congestion or of dispersion is worth hardly shows in flows at prices that stand still, and it
is all that a price is about. So the fit is repeated with the own-price elasticity held (`anchor.py`) at values a
constant factor apart, from the fit's own to stronger and to weaker ones. Each starts where the last ended, with all but
money scaled until the response is about the one wanted (`Parameters.rescaled`), which changes no flow at mean prices,
and from everywhere before a point counts as missed. The leader's best price at each is found exactly. Beside it stands,
since the flows seen do not tell how demand bends on the way to it, the one for users of another form (`curvature.py`).

A point of the profile is told from the fit where it misses the flows seen by more in every one of a thousand
resamplings: each gives random weights, as those of `bootstrap.py`, to spells of days on which prices stand still, while
preferences stay as they are, so that a resampling costs nothing. Days of a spell show one answer to one set of prices;
resampled one by one, many days would seem to tell much of a price that moved once. With fewer than five spells users of
spells are resampled. Where an elasticity is known from elsewhere, points beyond its interval are told as well. What is
not told is the profile set; its ends are looked for by bisection, and are the first points found that are told.

What shrinks (`misfit.py`) takes part in each fit, but not in what tells points apart: that is for the data. That every
resampling has to agree is far more than 90 % asks for where the model is true; the room is for users who are of no
model. See docs/mathematics.md.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from prillm_or.calibration.anchor import Anchor, response
from prillm_or.calibration.bootstrap import DAYS_ENOUGH, LEVEL
from prillm_or.calibration.curvature import logit_price
from prillm_or.calibration.days import Days
from prillm_or.calibration.fit import NO_RESPONSE, Fit, held_fit, rescaled_start
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.preferences import Preferences, market_with
from prillm_or.calibration.price_events import EVENT
from prillm_or.errors import ObservationsError
from prillm_or.market.fit_note import Range
from prillm_or.market.market import Array, Market
from prillm_or.result import Result, Status
from prillm_or.solving.run import solve

_log = logging.getLogger(__name__)
STRONGEST, WEAKEST = -20.0, -0.1
"""Elasticities between which the profile runs."""
_AROUND, _FAINT = (3.0, 1.5, 1 / 1.5, 1 / 3.0), -1e-3
"""Of the fit's own elasticity, where that is beyond; and from where on a still weaker one makes no difference."""
_POINTS = 12
_HOLD, _HELD = 0.01, 0.05
"""Of an elasticity that is held: its standard error, in a misfit of order 1, and how near it has to come."""
_RESAMPLINGS = 1000
_ALIKE = 1e-6
"""Of R^2: what a search does not resolve."""
_TRIES, _BISECTIONS = 3, 4
_BEYOND = float(ndtri((1 + LEVEL) / 2))
_SLACK = 0.05
"""Standard errors of an anchor to the ends of its interval, and how near these are held."""
_SECONDS = 10.0
"""For the best price of a point by one method, where several prices make it take longer than a moment."""


@dataclass(frozen=True, eq=False)
class Point:
    """A point of a profile.

    Parameters
    ----------
    fit
        With the elasticity held.
    elasticity
        Own elasticity of the leader's providers together, of all where there is no leader, as `anchor.py` has it.
    misfit
        1 - R^2 of the flows seen.
    told
        Whether the data, or an elasticity known from elsewhere, tell it from the fit.
    best
        The leader's best price in the market of the last day, proven; None without a leader, without a proof, or where
        none was asked for.
    logit_price
        The best price if each user were a logit of the same share and slope (`curvature.py`); None without `best`, and
        where the leader sets more than one price.
    """

    fit: Fit
    elasticity: float
    misfit: float
    told: bool
    best: Result | None
    logit_price: float | None = None

    @property
    def preferences(self) -> Preferences:
        """What users want there."""
        return self.fit.preferences


@dataclass(frozen=True, eq=False)
class Profile:
    """Points from the strongest response to the weakest, at least one of which, the fit itself, is not told from it.

    Parameters
    ----------
    own
        The fit's own.
    spells
        How many spells of unchanged prices were seen.
    """

    points: tuple[Point, ...]
    own: Point
    spells: int

    @property
    def resampled_in_words(self) -> str:
        """What was given random weights."""
        if self.spells >= DAYS_ENOUGH:
            return f"{self.spells} spells of unchanged prices resampled"
        return f"users resampled, prices {'never moved' if self.spells == 1 else f'stood at {self.spells} levels'}"

    @property
    def open(self) -> tuple[Point, ...]:
        """The profile set."""
        return tuple(point for point in self.points if not point.told)

    @property
    def limits(self) -> tuple[float, float]:
        """The strongest and the weakest elasticity that were to be tried."""
        own = self.own.elasticity
        return (
            (STRONGEST, WEAKEST)
            if _within(own)
            else (min(STRONGEST, _AROUND[0] * own), max(WEAKEST, _AROUND[-1] * own))
        )

    @property
    def elasticity_range(self) -> Range:
        """Its strongest and its weakest elasticity."""
        return self.open[0].elasticity, self.open[-1].elasticity

    @property
    def best_price_range(self) -> dict[str, Range] | None:
        """Its lowest and highest best price, by decision, of the model and of logits; None where one is not known."""
        others = [point.logit_price for point in self.open if point.logit_price is not None]
        ranges = self.model_price_range
        return ranges and {name: (min([low, *others]), max([high, *others])) for name, (low, high) in ranges.items()}

    @property
    def model_price_range(self) -> dict[str, Range] | None:
        """The same of the model alone."""
        best = [point.best for point in self.open]
        found = [decided(result) for result in best if result is not None]
        if len(found) < len(best):
            return None
        return {name: (min(one[name] for one in found), max(one[name] for one in found)) for name in found[0]}


def decided(result: Result) -> dict[str, float]:
    """The leader's decisions in a result, by name."""
    return {one.name: one.value for one in result.decided}


def profile(
    fit: Fit, observations: Observations, providers: Sequence[int], *, best: Result | None = None, seed: int = 0
) -> Profile:
    """Refit with the elasticity held at one value after the other, and tell the points from the fit.

    Parameters
    ----------
    providers
        Positions of those whose elasticity it is.
    best
        The best price at the fit; None leaves out those of the other points.
    seed
        Of the resamplings.
    """
    found = _Profiling(fit, observations, tuple(providers), best, seed)
    own = found.point(fit, best)
    points = [own, *found.outwards(own, -np.inf), *found.outwards(own, 0.0)]
    return Profile(tuple(sorted(points, key=lambda point: point.elasticity)), own, found.spells)


def market_of_last_day(preferences: Preferences, observations: Observations) -> Market:
    """The market of the last day, in which users want what `preferences` say.

    Raises
    ------
    ObservationsError
        When there is no such market.
    """
    return market_with(preferences, observations, observations.days[-1])


def best_price(preferences: Preferences, observations: Observations, seconds: float = 60.0) -> Result | None:
    """The leader's best price in the market of the last day, in so many seconds.

    None where there is no such market, or no price at which anything is earned: then any price is as good.
    """
    try:
        market = market_of_last_day(preferences, observations)
    except ObservationsError:
        return None
    found = solve(market, time_limit=seconds)
    if found.status is not Status.OPTIMAL and len(market.decisions) == 1:
        # Users of a fit stand at kinks, where following the price may take very many steps; bisection does not mind.
        found = solve(market, solver="bisect", time_limit=seconds)
    return None if found.profit is not None and found.profit <= 0 else found


class _Profiling:
    """Points about a fit, each told from it or not."""

    def __init__(
        self, fit: Fit, observations: Observations, providers: tuple[int, ...], best: Result | None, seed: int
    ) -> None:
        self._fit, self._observations, self._providers, self._best = fit, observations, providers, best
        spell = _spells(fit.days)
        self.spells = len(np.unique(spell[fit.days.train.any(axis=(1, 2))]))
        shape = (_RESAMPLINGS, spell[-1] + 1, 1 if self.spells >= DAYS_ENOUGH else fit.days.demand.shape[1])
        self._weights = np.random.default_rng(seed).exponential(size=shape)[:, spell]
        self._misses = fit.misses

    def outwards(self, own: Point, end: float) -> list[Point]:
        """Points from the fit to one end, as far as anything is to be found."""
        points = [own]
        for target in self._targets(own.elasticity, end):
            point = self._towards(points[-1], target)
            if point is None or self._is_missed(point.fit.misses):
                point = self._better(point, self._afresh(target))
            if point is None:
                break
            points.append(point)
            if self._is_missed(point.fit.misses):
                break
        last = max(place for place, point in enumerate(points) if not point.told)
        inside, beyond = points[last], points[last + 1 :]
        if beyond and self._is_missed(beyond[0].fit.misses):  # not only told by what is known
            beyond[:1] = self._bisected(inside, beyond[0])
        return [*points[1 : last + 1], *beyond]

    def _bisected(self, inside: Point, outside: Point) -> Iterator[Point]:
        """Points between one that is open and one that is told; of the nearest two the told one is the set's end."""
        for _ in range(_BISECTIONS):
            middle = self._held(inside, _midway(inside.elasticity, outside.elasticity))
            if middle is None:
                break
            if middle.told:
                yield outside
                outside = middle
            else:
                yield middle
                inside = middle
        yield replace(outside, told=False)

    def _targets(self, own: float, end: float) -> list[float]:
        wanted = [float(target) for target in -np.geomspace(-STRONGEST, -WEAKEST, _POINTS)]
        if own < _FAINT and not _within(own):
            wanted += [own * factor for factor in _AROUND if not _within(own * factor)]
        if (anchor := self._fit.anchor) is not None:
            ends = (anchor.elasticity - _BEYOND * anchor.error, anchor.elasticity + _BEYOND * anchor.error)
            wanted += [target for target in ends if STRONGEST < target < WEAKEST]
        beyond = [target for target in wanted if (target - own) * (end - own) > 0]
        return sorted(beyond, key=lambda target: abs(target - own))

    def _towards(self, start: Point, target: float) -> Point | None:
        """The point of an elasticity, or of one on the way to it, where the search from `start` ends elsewhere."""
        for _ in range(_TRIES):
            point = self._held(start, target)
            if point is not None:
                return point
            target = _midway(start.elasticity, target)
        return None

    def _held(self, start: Point, target: float) -> Point | None:
        """The point of an elasticity, from another point; None where the search ends at another one."""
        _log.info("profile: elasticity %.3g", target)
        theta = rescaled_start(start.fit, start.elasticity, target)
        return self._reached(held_fit(self._fit, theta, self._holding(target)), target)

    def _afresh(self, target: float) -> Point | None:
        """The same from everywhere: a point that is missed may be so because the search from its neighbour is stuck."""
        _log.info("profile: elasticity %.3g, from everywhere", target)
        return self._reached(held_fit(self._fit, None, self._holding(target)), target)

    def _holding(self, target: float) -> Anchor:
        return Anchor(self._providers, target, -_HOLD * target)

    def _reached(self, held: Fit, target: float) -> Point | None:
        fit = self._fit
        if abs(response(held.preferences, fit.days, self._providers) / target - 1.0) > _HELD:
            return None
        return self.point(held, self._best and best_price(held.preferences, self._observations, _SECONDS))

    @staticmethod
    def _better(*points: Point | None) -> Point | None:
        found = [point for point in points if point is not None]
        return min(found, key=lambda point: point.fit.misfit) if found else None

    def point(self, fit: Fit, best: Result | None) -> Point:
        """The point of a fit."""
        elasticity, misses = response(fit.preferences, fit.days, self._providers), fit.misses
        told = fit is not self._fit and (self._is_missed(misses) or self._is_known(elasticity))
        best = best if best is not None and best.status is Status.OPTIMAL else None
        return Point(
            fit=fit,
            elasticity=elasticity,
            misfit=float(misses.sum()),
            told=told,
            best=best,
            logit_price=None if best is None else logit_price(market_of_last_day(fit.preferences, self._observations)),
        )

    def _is_missed(self, misses: Array) -> bool:
        """Whether every resampling misses more than at the fit."""
        more = (self._weights * (misses - self._misses)).sum(axis=(1, 2))
        return bool((more > _ALIKE).all())

    def _is_known(self, elasticity: float) -> bool:
        """Whether it lies beyond the interval of what is known from elsewhere."""
        anchor = self._fit.anchor
        return anchor is not None and abs(elasticity - anchor.elasticity) > (_BEYOND + _SLACK) * anchor.error


def _midway(one: float, other: float) -> float:
    return -float(np.sqrt(min(one, -NO_RESPONSE) * min(other, -NO_RESPONSE)))


def _within(elasticity: float) -> bool:
    return STRONGEST <= elasticity <= WEAKEST


def _spells(days: Days) -> NDArray[np.intp]:
    """Which spell each day is of, shape (T,): a new one begins with the day on which some price is another."""
    paid: Array = np.asarray(days.paid)
    moved = np.abs(paid[1:] - paid[:-1]) > EVENT * np.abs(paid[:-1])
    stayed = np.broadcast_to((days.offered[1:] & days.offered[:-1])[:, None], moved.shape)
    begins = np.flatnonzero((moved & stayed).sum(axis=(1, 2))) + 1
    return np.asarray(np.searchsorted(begins, np.arange(len(paid)), side="right"), dtype=np.intp)
