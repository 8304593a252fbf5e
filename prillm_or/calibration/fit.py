"""Fit: the preferences whose equilibria come closest to the flows seen.

Least squares (`misfit.py`) by scipy's trust-region method with bounds, on exact derivatives. The misfit has local
minima, so the search for the common preferences starts from several weights of congestion, a factor of three apart
around the one at which congestion counts as much as prices; at each the values come from the linear programme of
`initial.py`. What is a user's own is added last, along a path of shrinkages from strong to the one asked for: each step
starts where the last ended, so that weights part only as far as the flows pull them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from prillm_or.calibration.days import Days
from prillm_or.calibration.initial import initial_values
from prillm_or.calibration.misfit import Misfit
from prillm_or.calibration.preferences import Preferences
from prillm_or.calibration.specification import Parameters, Specification, parameters_of
from prillm_or.market import Array

_log = logging.getLogger(__name__)

STARTS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Weights of congestion to start from, in units of `Parameters.scale`."""
SHRINKAGES = (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""The path, from strong to weak. At the first, users are as good as alike."""
_START_DAYS = 8
_ROUGH, _MOST = 20, 300
_PRECISION = 1e-12


@dataclass(frozen=True, eq=False)
class Fit:
    """Fitted preferences and how they were found.

    Parameters
    ----------
    shrinkage
        The one used, or None where nothing is a user's own.
    day_weight
        Shape (T,).
    misfit
        What was minimised, at its end; 1 - R^2 of the flows seen, where nothing is shrunk.
    theta
        The vector that `parameters` unpack.
    """

    preferences: Preferences
    parameters: Parameters
    days: Days
    shrinkage: float | None
    day_weight: Array
    misfit: float
    theta: Array
    steps: int


def fit_days(
    days: Days,
    parameters: Parameters,
    shrinkage: float | None = None,
    day_weight: Array | None = None,
    start: Array | None = None,
) -> Fit:
    """Find the preferences with the least misfit.

    Parameters
    ----------
    shrinkage
        s of `misfit.py`, for what is a user's own; not read where nothing is.
    day_weight
        Shape (T,), None counts all days alike.
    start
        Theta to start from, such as that of a fit of the days before: no other start is tried then.
    """
    weight = np.ones(len(days.flow)) if day_weight is None else day_weight
    if start is not None:
        return _descend(days, parameters, shrinkage, weight, start, _MOST)
    *_, last = fit_path(days, parameters, (shrinkage,), weight)
    return last


def fit_path(
    days: Days, parameters: Parameters, shrinkages: Sequence[float | None], day_weight: Array | None = None
) -> list[Fit]:
    """Fits for several shrinkages, strong to weak, each started from the one before it; one fit where nothing is own."""
    weight = np.ones(len(days.flow)) if day_weight is None else day_weight
    common = replace(parameters.specification, own_congestion=False, own_price=False, groups={})
    alike = parameters_of(common, days, parameters.user_ids, parameters.provider_ids, "common")
    best = _best_start(days, alike, weight)
    if not parameters.specification.own:
        return [best]
    fits = []
    theta = parameters.pack(best.preferences)
    last = min(float(s) for s in shrinkages if s is not None)
    path = sorted({*(s for s in SHRINKAGES if s > last), *(float(s) for s in shrinkages if s is not None)}, reverse=True)
    for shrinkage in path:
        found = _descend(days, parameters, shrinkage, weight, theta, _MOST)
        theta = found.theta
        if shrinkage in shrinkages:
            fits.append(found)
    return fits


def _best_start(days: Days, parameters: Parameters, weight: Array) -> Fit:
    """The best fit of common preferences over all starts; the best few steps of each decide who goes on."""
    rough = [
        _descend(days, parameters, None, weight, theta, _ROUGH) for theta in starting_points(days, parameters)
    ]
    best = min(rough, key=lambda fit: fit.misfit)
    return _descend(days, parameters, None, weight, best.theta, _MOST)


def starting_points(days: Days, parameters: Parameters) -> list[Array]:
    """Theta at several weights of congestion, values by the linear programme, nothing a user's own."""
    if not parameters.specification.congestion:
        return [_start(days, parameters, 0.0)]
    if not parameters.specification.values:
        plain = np.zeros(parameters.size)
        return [plain + _only(parameters, "q", np.log(factor * parameters.scale)) for factor in STARTS]
    return [_start(days, parameters, factor * parameters.scale) for factor in STARTS]


def _start(days: Days, parameters: Parameters, congestion: float) -> Array:
    """Values that explain the flows best at a given weight of congestion, delays counting for nothing at first."""
    chosen = np.unique(np.linspace(0, len(days.flow) - 1, _START_DAYS).round().astype(int))
    n, flow = days.flow.shape[1], days.completed_flow()[chosen]
    found = initial_values(
        days.price[chosen],
        days.delay[chosen],
        days.capacity[chosen],
        flow,
        days.offered[chosen],
        np.ones(n),
        np.full(n, congestion),
        np.zeros(n),
    )
    theta = np.zeros(parameters.size)
    value = found.value / parameters.money
    theta[parameters.places["b"]] = np.delete(value - value[parameters.reference], parameters.reference)
    return theta + _only(parameters, "q", np.log(congestion)) if parameters.specification.congestion else theta


def _only(parameters: Parameters, kind: str, entry: float) -> Array:
    theta = np.zeros(parameters.size)
    theta[parameters.places[kind]] = entry
    return theta


def _descend(
    days: Days, parameters: Parameters, shrinkage: float | None, weight: Array, theta: Array, most: int
) -> Fit:
    """Least squares from one point."""
    misfit = Misfit(parameters, days, shrinkage or 0.0, weight)
    low, high = parameters.bounds()
    found = least_squares(
        misfit.residuals,
        np.clip(theta, low, high),
        misfit.jacobian,
        bounds=(low, high),
        ftol=_PRECISION,
        xtol=_PRECISION,
        gtol=_PRECISION,
        max_nfev=most,
    )
    _log.info("misfit %.6g after %d steps", 2 * found.cost, found.nfev)
    return Fit(
        preferences=parameters.unpack(found.x),
        parameters=parameters,
        days=days,
        shrinkage=shrinkage,
        day_weight=weight,
        misfit=float(2 * found.cost),
        theta=np.asarray(found.x, dtype=np.float64),
        steps=int(found.nfev),
    )
