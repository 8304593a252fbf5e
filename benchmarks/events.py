"""Price changes predicted: providers within a model, each event by a response estimated without its model.

Needs raw tables of the marketplace, `--tables DIR`; they are not shipped. Events are those that `backtest` finds in the
folders of `import-openrouter --part events`, of 5 % and more: list prices by the hour, up to six sweeps and at least
three at one price on each side, and prices at midnights that a log of changes confirms. `calibrated` is the share of
the days before, halved in weight every two days, moved by the elasticity of the fit, which was given that of the other
models' events. Shrinkage 0. All figures are of changes of log share, with a floor of 1e-4.

Beside these, how much log shares of providers change from one window of three days to the next, whatever prices do,
over the models and providers that were there on all days of the daily tables: what `experiment` plans at where a fit
does not tell.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import Table, Target, target_table
from prillm_or.backtesting.implied import Clustered
from prillm_or.backtesting.procedure import backtest
from prillm_or.backtesting.result import Backtest
from prillm_or.calibration.calibration import OURS
from prillm_or.calibration.noise import WINDOW
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.openrouter.folders import import_openrouter
from prillm_or.calibration.price_events import LEAST_SHARE

_HALF_LIFE = 2.0
_RANGE = (-4.0, -0.3)
_HOUR = "T"


@dataclass(frozen=True)
class Row:
    """Scores of a method over some events."""

    events: str
    method: str
    number: int
    sign_right: float | None
    correlation: float | None
    rmse: float | None
    rmse_below_25_percent: float | None


@dataclass(frozen=True)
class ElasticityRow:
    """Own-price elasticities: what the events imply, and what the fits say before each."""

    events: str
    models: int
    implied: float
    interval_90: str
    fits_10_percent: float
    fits_median: float
    fits_90_percent: float


@dataclass(frozen=True)
class NoiseRow:
    """Changes of mean log shares from window to window: their standard deviation, and correlation with the next."""

    shares: str
    providers: int
    deviation: float
    again: float


def measure(quick: bool, tables: Path) -> Iterator[Table]:
    """Scores by source and together, elasticities, noise of shares, then the targets."""
    imported = import_openrouter(tables, ("hourly", "logged"))
    observed = [one.observations for one in imported]
    if quick:
        sizes = Counter({one.name: one.m for one in observed})
        observed = [one for one in observed if sizes[one.name] <= 6]
    found = backtest(observed, shrinkage=0.0, capacity_of_load=True, half_life=_HALF_LIFE, jobs=os.cpu_count() or 1)
    parts = [("all", found), ("by the hour", _part(found, hours=True)), ("at midnights", _part(found, hours=False))]
    yield Table("events", [row for name, part in parts for row in _rows(name, part)], found.verdict)
    yield Table("own-price elasticities", [_elasticities(name, part) for name, part in parts], found.response)
    daily = [one.observations for one in import_openrouter(tables, ("providers",))]
    yield Table("noise of shares", list(_noise(daily)), f"windows of {WINDOW} days")
    yield target_table(_targets(found))


def _noise(daily: Sequence[Observations]) -> Iterator[NoiseRow]:
    logs, means = [], []
    for one in daily:
        share = one.load / one.load.sum(axis=1, keepdims=True)
        there = one.offered.all(axis=0)
        windows = np.log(np.maximum(share[len(share) % WINDOW :, there], LEAST_SHARE))
        logs.append(windows.reshape(-1, WINDOW, windows.shape[1]).mean(axis=1))
        means.append(share[:, there].mean(axis=0))
    most = max(len(one) for one in logs)
    whole = [number for number, one in enumerate(logs) if len(one) == most]
    log, mean = np.hstack([logs[number] for number in whole]), np.concatenate([means[number] for number in whole])
    for name, least in (("all", 0.0), ("above 20 %", 0.2)):
        change = np.diff(log[:, mean > least], axis=0)
        again = float(np.corrcoef(change[:-1].ravel(), change[1:].ravel())[0, 1])
        yield NoiseRow(name, change.shape[1], float(change.std()), again)


def _part(found: Backtest, *, hours: bool) -> Backtest:
    chosen = [one for one in found.predictions if (_HOUR in one.event.day) == hours]
    return Backtest(markets=found.markets, least=found.least, predictions=chosen)


def _rows(name: str, part: Backtest) -> Sequence[Row]:
    return [
        Row(name, method, one.events, one.sign, one.correlation, one.rmse, one.rmse_small)
        for method, one in part.scores.items()
    ]


def _elasticities(name: str, part: Backtest) -> ElasticityRow:
    implied, fits = part.elasticity, _fits(part)
    assert implied is not None
    low, middle, high = np.nanquantile(fits, [0.1, 0.5, 0.9]).tolist()
    return ElasticityRow(name, implied.clusters, implied.estimate, _interval(implied), low, middle, high)


def _fits(part: Backtest) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([prediction.elasticity for prediction in part.predictions])


def _interval(found: Clustered) -> str:
    return "-" if found.low is None or found.high is None else f"{found.low:.2f} to {found.high:.2f}"


def _targets(found: Backtest) -> list[Target]:
    ours, advantage, fits = found.scores[OURS], found.advantage, _fits(found)
    assert advantage is not None
    within = float(((fits >= _RANGE[0]) & (fits <= _RANGE[1])).mean())
    small = "RMSE of moves below 25 %"
    return [
        Target("RMSE of log share", ours.rmse or np.inf, 1.17, False),
        Target(small, ours.rmse_small or np.inf, 0.82, False),
        Target("RMSE with persistence", ours.rmse or np.inf, 1.08, False),
        Target(
            "gain in squared error over no change, low end", advantage.low or -np.inf, 0.0, True, _interval(advantage)
        ),
        Target("sign right", ours.sign or 0.0, 0.70, True),
        Target(f"part of the elasticities in {_RANGE[0]:g} to {_RANGE[1]:g}", within, 0.8, True),
    ]
