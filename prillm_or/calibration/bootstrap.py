"""Bootstrap: intervals of fitted preferences, by fits to reweighted days.

Each draw gives every day (with few days: every user of every day) a random weight, exponential with mean 1, and fits
again from where the fit stands (the Bayesian bootstrap): no day is left out altogether, so that what the days together
can tell, each draw can tell. Days are drawn as wholes since all flows of a day share its noise through the loads. An
elasticity known from elsewhere (`anchor.py`) is drawn from its normal distribution.
Deviations from the fit are widened by sqrt((T + 1) / (T - 1)) t / z: of a mean of T days the draws have the variance
sum (x - mean)^2 / (T (T + 1)) where T (T - 1) is unbiased, and a spread known from T days only calls for Student's
quantiles. Only differences of values mean anything: in all draws the reference, the provider most used, is held at its
fitted value, and has no interval of its own. With a shrinkage the intervals are those of the shrunk preferences: they
do not hold its bias.

The draws themselves are kept, widened by the same factor, so that they are spread as the intervals say: positive
weights on a logarithmic scale, all else as it is, and a weight of delay that would fall below 0 at 0.

Reference: Rubin, "The Bayesian bootstrap", Annals of Statistics 9 (1981) 130-134, doi 10.1214/aos/1176345338.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri, stdtrit

from prillm_or.calibration.fit import ENOUGH, Fit, fit_days
from prillm_or.calibration.preferences import Preferences
from prillm_or.market.market import Array

_log = logging.getLogger(__name__)
LEVEL = 0.9
_LOGS = ("congestion", "dispersion")
DAYS_ENOUGH = 5


@dataclass(frozen=True, eq=False)
class Intervals:
    """Lower and upper ends, at `LEVEL`.

    Parameters
    ----------
    sample
        The preferences of each draw, widened.
    drawn
        What was given random weights: "days", or "users of days".
    weights
        Ends for the common weights, "congestion" and "delay", and for "dispersion".
    values
        Shape (m, 2), currency per volume unit.
    reference
        Position of the provider whose value is held.
    """

    sample: tuple[Preferences, ...]
    drawn: str
    weights: Mapping[str, tuple[float, float]]
    values: Array
    reference: int

    @property
    def draws(self) -> int:
        """How many fits they rest on."""
        return len(self.sample)


def bootstrap(fit: Fit, draws: int = 200, seed: int = 0) -> Intervals:
    """Intervals of the common weights and the values; cost: a warm fit for each draw."""
    random = np.random.default_rng(seed)
    shape = fit.days.demand.shape
    seen = np.asarray(fit.days.train.any(axis=2), dtype=bool)
    days_seen = int(np.count_nonzero(seen.any(axis=1)))
    # All flows of a day share its noise through the loads, so that days are drawn as wholes, unless there are too few
    # of them to show any spread.
    by_day = days_seen >= DAYS_ENOUGH
    reference = fit.parameters.reference
    held = float(fit.preferences.value[reference])
    drawn: list[Preferences] = []
    for number in range(draws):
        weight = random.exponential(size=(shape[0], 1) if by_day else shape) * fit.weight
        anchor = fit.anchor and replace(fit.anchor, elasticity=random.normal(fit.anchor.elasticity, fit.anchor.error))
        again = fit_days(fit.days, fit.parameters, fit.shrinkage, weight, fit.theta, anchor, ENOUGH)
        drawn.append(again.preferences)
        _log.info("bootstrap: draw %d of %d", number + 1, draws)
    wider = _widening(days_seen if by_day else int(np.count_nonzero(seen)))
    centre = _numbers(fit.preferences, reference, held)
    numbers = np.array([_numbers(preferences, reference, held) for preferences in drawn])
    # Quantiles of the deviations, for widening is meant to stretch the draws and not to move the fit they belong to.
    ends = centre + wider * np.quantile(numbers - centre, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="weibull")
    logs, m = _logs(fit.preferences), len(fit.preferences.value)
    weights = {name: _pair(np.exp(own)) for name, own in zip(logs, ends.T, strict=False)}
    return Intervals(
        sample=tuple(_widened(preferences, fit.preferences, wider) for preferences in drawn),
        drawn="days" if by_day else "users of days",
        weights={"congestion": (0.0, 0.0)} | weights | {"delay": _pair(np.maximum(ends[:, -m - 1], 0.0))},
        values=np.asarray(ends[:, -m:].T),
        reference=reference,
    )


def _logs(preferences: Preferences) -> list[str]:
    """What of congestion and dispersion is fitted."""
    return [name for name in _LOGS if getattr(preferences, name) > 0]


def _numbers(preferences: Preferences, reference: int, held: float) -> Array:
    # Only differences of values mean anything; congestion and dispersion are positive, hence their logarithms.
    value = preferences.value - preferences.value[reference] + held
    logs = [np.log(getattr(preferences, name)) for name in _logs(preferences)]
    return np.concatenate([logs, [preferences.delay], value])


def _widened(drawn: Preferences, centre: Preferences, wider: float) -> Preferences:
    """Preferences `wider` times as far from the centre; what value the least is given, changes no flow."""

    def factor(own: Array, common: Array) -> Array:
        return np.asarray(common * (own / common) ** wider)

    def weight(name: str) -> float:
        own, common = getattr(drawn, name), getattr(centre, name)
        return float(common * (own / common) ** wider) if common > 0 else 0.0

    # Positive weights are widened on a logarithmic scale, where they cannot become negative.
    value = centre.value + wider * (drawn.value - centre.value)
    return replace(
        drawn,
        congestion=weight("congestion"),
        dispersion=weight("dispersion"),
        delay=max(centre.delay + wider * (drawn.delay - centre.delay), 0.0),
        value=value - value.min(),
        price_factor=factor(drawn.price_factor, centre.price_factor),
        congestion_factor=factor(drawn.congestion_factor, centre.congestion_factor),
        dispersion_factor=factor(drawn.dispersion_factor, centre.dispersion_factor),
        provider_dispersion=factor(drawn.provider_dispersion, centre.provider_dispersion),
        group_value=centre.group_value + wider * (drawn.group_value - centre.group_value),
        user_value=centre.user_value + wider * (drawn.user_value - centre.user_value),
    )


def _widening(count: int) -> float:
    if count < 2:
        return 1.0
    high = (1 + LEVEL) / 2
    return float(np.sqrt((count + 1) / (count - 1)) * stdtrit(count - 1, high) / ndtri(high))


def _pair(ends: Array) -> tuple[float, float]:
    return float(ends[0]), float(ends[1])
