"""Known preferences recovered from flows of the model itself: errors without and with noise, coverage of intervals.

Twenty days of a generated market, 8 users x 13 providers: prices and delays within a fifth of the market's, demands
within a half, weights drawn; each flow times 1 + noise, so that demands are noisy, too. Errors are of the values of
providers in use, after both are shifted to least 0, over max b - min b. Coverage: replications of the noise on one
market; a draw of the bootstrap is a warm fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from joblib import Parallel, delayed

from benchmarks.report import Table, Target, target_table
from prillm_or.calibration.bootstrap import LEVEL, bootstrap
from prillm_or.calibration.days import Days
from prillm_or.calibration.fit import Fit, fit_days
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import Preferences, predicted_flows
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array
from prillm_or.market.synthetic import Shape, generate

_USERS, _PROVIDERS, _DAYS = 8, 13, 20
_SHAPES: tuple[Shape, ...] = ("uniform", "heavy", "market")
_NOISES = (0.0, 0.01, 0.05)


@dataclass(frozen=True)
class Row:
    """Errors over markets: of values as a share of their range, of weights relative."""

    noise: float
    shape: str
    markets: int
    value_error_median: float
    value_error_worst: float
    congestion_error_worst: float
    delay_error_worst: float
    seconds_median: float


@dataclass(frozen=True)
class CoverageRow:
    """How often intervals hold the truth: over all parameters, and of the worst and the best of them."""

    noise: float
    replications: int
    draws: int
    parameters: int
    coverage: float
    least: float
    most: float
    seconds_median: float


def measure(quick: bool) -> Iterator[Table]:
    """Errors, coverage, then the targets."""
    markets = 3 if quick else 20
    rows = [_row(noise, shape, markets) for noise in _NOISES for shape in _SHAPES]
    yield Table("recovery", rows, f"{_USERS}x{_PROVIDERS}, {_DAYS} days")
    coverage = _coverage(0.01, *((4, 20) if quick else (200, 200)))
    yield Table("coverage", [coverage], f"of {LEVEL:.0%} intervals")
    exact = max(row.value_error_worst for row in rows if row.noise == 0)
    yield target_table(
        [
            Target("value error without noise, worst", exact, 1e-4, at_least=False),
            Target("coverage at 1 % noise, at least", coverage.coverage, 0.85, at_least=True),
            Target("coverage at 1 % noise, at most", coverage.coverage, 0.95, at_least=False),
        ]
    )


def _row(noise: float, shape: Shape, markets: int) -> Row:
    found = Parallel(n_jobs=-1)(delayed(_errors)(noise, shape, seed) for seed in range(1, markets + 1))
    values, congestion, delay, seconds = np.array(found).T
    return Row(
        noise,
        shape,
        markets,
        float(np.median(values)),
        float(values.max()),
        float(congestion.max()),
        float(delay.max()),
        float(np.median(seconds)),
    )


def _errors(noise: float, shape: Shape, seed: int) -> tuple[float, float, float, float]:
    torch.set_num_threads(1)
    true, days = _generate(shape, seed)
    days = _noisy(days, noise, seed)
    began = time.process_time()
    fit = _fit(true, days)
    seconds = time.process_time() - began
    used = days.flow.sum(axis=(0, 1)) > 0
    truth, found = (_shifted(preferences.value[used]) for preferences in (true, fit.preferences))
    return (
        float(np.abs(found - truth).max() / np.ptp(true.value)),
        abs(fit.preferences.congestion / true.congestion - 1),
        abs(fit.preferences.delay / true.delay - 1),
        seconds,
    )


def _shifted(value: Array) -> Array:
    return np.asarray(value - value.min())


def _fit(true: Preferences, days: Days, start: bool = False) -> Fit:
    parameters = parameters_of(Specification(), days, true.user_ids, true.provider_ids, "generated")
    return fit_days(days, parameters, start=parameters.pack(true) if start else None)


def _coverage(noise: float, replications: int, draws: int) -> CoverageRow:
    found = Parallel(n_jobs=-1)(delayed(_held)(noise, seed, draws) for seed in range(replications))
    held = np.array([hits for hits, _ in found])
    by_parameter = held.mean(axis=0)
    seconds = float(np.median([spent for _, spent in found]))
    return CoverageRow(
        noise,
        replications,
        draws,
        held.shape[1],
        float(held.mean()),
        float(by_parameter.min()),
        float(by_parameter.max()),
        seconds,
    )


def _held(noise: float, seed: int, draws: int) -> tuple[list[bool], float]:
    """Whether each interval holds the truth: weights, then values against the provider of least value."""
    torch.set_num_threads(1)
    true, days = _generate("uniform", 1)
    fit = _fit(true, _noisy(days, noise, 10_000 + seed), start=True)
    began = time.process_time()
    intervals = bootstrap(fit, draws, seed)
    seconds = time.process_time() - began
    reference = intervals.reference
    value = true.value - true.value[reference] + fit.preferences.value[reference]
    pairs = [(intervals.weights["congestion"], true.congestion), (intervals.weights["delay"], true.delay)]
    pairs += [
        ((float(low), float(high)), float(value[j])) for j, (low, high) in enumerate(intervals.values) if j != reference
    ]
    return [low <= truth <= high for (low, high), truth in pairs], seconds


def _generate(shape: Shape, seed: int) -> tuple[Preferences, Days]:
    rng, market = np.random.default_rng(seed), generate(_USERS, _PROVIDERS, shape, seed)
    sizes = (_DAYS, _USERS, _PROVIDERS)
    true = Preferences(
        user_ids=market.user_ids,
        provider_ids=market.provider_ids,
        congestion=float(market.congestion_weight.mean() * np.exp(rng.uniform(-0.7, 0.7))),
        delay=float(market.delay_weight.mean() * rng.uniform(0.3, 1.5)),
        value=market.value - market.value.min(),
        price_factor=np.ones(_USERS),
        congestion_factor=np.ones(_USERS),
        group_ids=("everyone",),
        group=np.zeros(_USERS, dtype=np.intp),
        group_value=np.zeros((1, _PROVIDERS)),
        user_value=np.zeros((_USERS, _PROVIDERS)),
        dispersion=0.0,
        dispersion_factor=np.ones(_USERS),
        provider_dispersion=np.ones(_PROVIDERS),
    )
    days = Days(
        price=market.price * rng.uniform(0.8, 1.25, (_DAYS, _PROVIDERS)),
        capacity=np.tile(market.capacity, (_DAYS, 1)),
        delay=market.delay * rng.uniform(0.8, 1.25, sizes),
        demand=market.demand * rng.uniform(0.5, 1.5, (_DAYS, _USERS)),
        offered=np.ones((_DAYS, _PROVIDERS), dtype=bool),
        flow=np.zeros(sizes),
        train=np.ones(sizes, dtype=bool),
    )
    return true, replace(days, flow=predicted_flows(true, days))


def _noisy(days: Days, noise: float, seed: int) -> Days:
    factor = 1 + noise * np.random.default_rng(seed).standard_normal(days.flow.shape)
    flow = days.flow * factor
    return replace(days, flow=flow, demand=flow.sum(axis=2))
