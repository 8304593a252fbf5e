"""Observed flows predicted: apps choosing among models, and providers within a model, against baselines.

Needs raw tables of the marketplace, `--tables DIR`; they are not shipped. Every method gets the same: demands,
prices, delays of all days, and the flows of the cells seen. Capacities of the apps' markets are multiples of observed
loads, so they are made anew from what is seen. `calibrated` is what `calibrate` does when nothing is said: shares
weighted by demand, what users differ in and the shrinkage by cross-validation on the cells seen alone; `calibrated,
flows` is the same of raw flows; `own congestion` lets each app have its own weight of congestion, `common` none, both
of raw flows; `paper` is common preferences by least squares of flows alone; `anchored` at the elasticity that price
events of these providers imply; of `recent` days count half for every two days before the last seen. Cells: each is
held out once, in five parts, and that for several seeds, scores averaged. Users: each is held out once, alone, so
that nothing is seen of it but its demand. "Given the rest": held-out predictions of a user scaled to what its demand
leaves, which every method may do, and which a fit does by itself. The panel's models have one user each; shares are
of the model's volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed

from benchmarks.report import Table, Target, target_table
from prillm_or.calibration.anchor import Anchor
from prillm_or.calibration.baselines import BASELINES, baseline_flows
from prillm_or.calibration.days import Days, days_of
from prillm_or.calibration.fit import anchored_fit, fit_days
from prillm_or.calibration.holdout import folds, hold_out_days
from prillm_or.calibration.judged_fit import scaled_to_rest
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.openrouter.folders import import_openrouter
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.scores import scores
from prillm_or.calibration.shrinkage import choose_shrinkage
from prillm_or.calibration.specification import Specification
from prillm_or.calibration.weighting import by_share, decayed
from prillm_or.market.market import Array, Mask

_SPECIFICATIONS = {
    "calibrated": None,
    "calibrated, flows": None,
    "own congestion": Specification(own_congestion=True),
    "common": Specification(),
    "paper": Specification(),
}
_APPS = (*_SPECIFICATIONS, "independence", "inverse-square", "npm", "no-congestion", "xgboost")
_ANCHORED, _RECENT = ", anchored", ", recent"
_HALF_LIFE = 2.0
_EVENTS = (-1.14, 0.35)
"""Elasticity that price events of these providers imply, and its standard error."""
_PANEL = (
    "calibrated",
    f"calibrated{_ANCHORED}",
    f"calibrated{_RECENT}",
    "common",
    "paper",
    "independence",
    "last-day",
    "inverse-square",
    "npm",
    "no-congestion",
    "xgboost",
)
_SLOW = ("finite-differences", "a2c")
_LAST_DAYS = 7


@dataclass(frozen=True)
class Row:
    """Scores of a method on a market; shares are users' shares of their demand."""

    market: str
    method: str
    r2: float | None
    r2_without_largest: float | None
    r2_shares: float | None
    mae: float | None
    r2_given_the_rest: float | None


@dataclass(frozen=True)
class PooledRow:
    """R^2 of flows over all markets together (errors over variations, both summed), and their mean."""

    held_out: str
    method: str
    pooled: float
    mean: float
    pooled_given_the_rest: float | None


@dataclass(frozen=True)
class PanelRow:
    """R^2 of shares over all models' held-out days together, median over models, mean error of a share."""

    method: str
    models: int
    r2_shares: float
    r2_shares_median: float
    mae_shares: float
    beats_independence_in: int


@dataclass(frozen=True, eq=False)
class Prediction:
    """Held-out predictions of a market: one array of flows a seed, and the same given the rest."""

    observations: Observations
    flows: Sequence[Array]
    rest: Sequence[Array]


def measure(quick: bool, tables: Path) -> Iterator[Table]:
    """In sample, cells, users, the panel, then the targets."""
    imported = import_openrouter(tables)
    apps = [one.observations for one in imported if one.kind == "apps"]
    panels = [one.observations for one in imported if one.kind == "providers"]
    inside = _all(apps, (*_APPS, *_SLOW), _whole, [0])
    yield Table("apps, in sample", _rows(inside), "every cell seen")
    cells = _all(apps, _APPS, _cells, [0] if quick else [0, 1, 2])
    yield Table("apps, cells held out", _rows(cells), "each cell in one of five parts")
    users = _all(apps, _APPS, _each_user, [0])
    yield Table("apps, whole users held out", _rows(users), "each user alone")
    pooled = [*_pooled("cells", cells), *_pooled("users", users)]
    yield Table("apps, all markets pooled", pooled, "")
    panel = _panel(panels[:4] if quick else panels)
    yield Table("providers within a model", panel, f"the last {_LAST_DAYS} of {panels[0].T} days held out")
    yield target_table(_targets(inside, cells, pooled, panel))


def predictions(
    observations: Observations, train: Mask, methods: Sequence[str], *, capacity_of_load: bool, seed: int
) -> dict[str, Array]:
    """Flows of all cells by each method, (T, n, m), from the cells seen."""
    torch.set_num_threads(1)
    days = days_of(observations, train, capacity_of_load=capacity_of_load)
    return {name: _predicted(name, observations, days, capacity_of_load, seed) for name in methods}


def _predicted(name: str, observations: Observations, days: Days, capacity_of_load: bool, seed: int) -> Array:
    users, providers = observations.user_ids, observations.provider_ids
    if name in BASELINES:
        return baseline_flows(name, days, users, providers, seed=seed)
    plain = name.removesuffix(_ANCHORED).removesuffix(_RECENT)
    specification, weight = _SPECIFICATIONS[plain], np.ones(days.demand.shape)
    if plain == "calibrated":
        weight = by_share(days)
    if name.endswith(_RECENT):
        weight = weight * decayed(observations, days, _HALF_LIFE)
    shrinkage = 0.0
    if name != "paper":
        choice = choose_shrinkage(
            observations, specification, days.train, capacity_of_load=capacity_of_load, weight=weight, seed=seed
        )
        specification, shrinkage = choice.specification, choice.shrinkage
    parameters = parameters_of(specification or Specification(), days, users, providers, observations.name)
    fit = fit_days(days, parameters, shrinkage, weight)
    if name.endswith(_ANCHORED):
        anchor = Anchor(tuple(range(observations.m)), *_EVENTS, fit.noise)
        fit = anchored_fit(fit, anchor)
    return predicted_flows(fit.preferences, days)


Splits = Callable[[Observations, int], Iterator[Mask]]


def _whole(observations: Observations, seed: int) -> Iterator[Mask]:
    yield np.zeros(observations.flow.shape, dtype=bool)


def _cells(observations: Observations, seed: int) -> Iterator[Mask]:
    yield from folds(observations.cells, seed)


def _each_user(observations: Observations, seed: int) -> Iterator[Mask]:
    for i in range(observations.n):
        held = np.zeros(observations.flow.shape, dtype=bool)
        held[:, i] = observations.cells[:, i]
        yield held


def _all(
    markets: Sequence[Observations], methods: Sequence[str], splits: Splits, seeds: Sequence[int]
) -> dict[tuple[str, str], Prediction]:
    """Held-out predictions by market and method; where a split holds out nothing, those in sample."""
    work = [(one, seed, held) for one in markets for seed in seeds for held in splits(one, seed)]
    found = Parallel(n_jobs=-1)(
        delayed(predictions)(one, one.cells & ~held, methods, capacity_of_load=True, seed=seed)
        for one, seed, held in work
    )
    made: dict[tuple[str, str], Prediction] = {}
    for one in markets:
        for name in methods:
            flows = [np.zeros(one.flow.shape) for _ in seeds]
            rest = [np.zeros(one.flow.shape) for _ in seeds]
            for (market, seed, held), predicted in zip(work, found, strict=True):
                if market is not one:
                    continue
                part = held if held.any() else one.cells
                flows[seeds.index(seed)][part] = predicted[name][part]
                rest[seeds.index(seed)][part] = scaled_to_rest(one.flow, predicted[name], one.demand, part)[part]
            made[one.name, name] = Prediction(one, flows, rest)
    return made


def _rows(made: Mapping[tuple[str, str], Prediction]) -> list[Row]:
    rows = []
    for (market, name), prediction in made.items():
        seen = prediction.observations
        found = [scores(seen.flow, flow, seen.demand, seen.cells) for flow in prediction.flows]
        rest = [scores(seen.flow, flow, seen.demand, seen.cells).r2 for flow in prediction.rest]
        rows.append(
            Row(
                market,
                name,
                r2=_mean([one.r2 for one in found]),
                r2_without_largest=_mean([one.r2_without_largest for one in found]),
                r2_shares=_mean([one.r2_shares for one in found]),
                mae=_mean([one.mae for one in found]),
                r2_given_the_rest=_mean(rest),
            )
        )
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _pooled(held_out: str, made: Mapping[tuple[str, str], Prediction]) -> Iterator[PooledRow]:
    for name in dict.fromkeys(name for _, name in made):
        parts = [prediction for (_, method), prediction in made.items() if method == name]
        each = [_r2_over([part], "flows") for part in parts]
        rest = _r2_over(parts, "rest") if held_out == "cells" else None
        yield PooledRow(held_out, name, _r2_over(parts, "flows"), float(np.mean(each)), rest)


def _r2_over(parts: Sequence[Prediction], which: str) -> float:
    """Errors over variations, both summed over markets and seeds; each market varies around its own mean."""
    error = variation = 0.0
    for part in parts:
        observed = part.observations.flow[part.observations.cells]
        for flow in getattr(part, which):
            error += float(((observed - flow[part.observations.cells]) ** 2).sum())
            variation += float(((observed - observed.mean()) ** 2).sum())
    return 1 - error / variation


def _panel(panels: Sequence[Observations]) -> list[PanelRow]:
    held = [hold_out_days(one, _LAST_DAYS) for one in panels]
    found = Parallel(n_jobs=-1)(
        delayed(predictions)(one, one.cells & ~part, _PANEL, capacity_of_load=False, seed=0)
        for one, part in zip(panels, held, strict=True)
    )
    shares = [(one.flow / one.demand[:, :, None])[part] for one, part in zip(panels, held, strict=True)]
    by_method = {
        name: [
            (predicted[name] / one.demand[:, :, None])[part]
            for one, part, predicted in zip(panels, held, found, strict=True)
        ]
        for name in _PANEL
    }
    wrong = {name: [_squares(a, b) for a, b in zip(shares, each, strict=True)] for name, each in by_method.items()}
    around = [_squares(share, np.full_like(share, share.mean())) for share in shares]
    return [
        PanelRow(
            name,
            len(panels),
            1 - sum(wrong[name]) / sum(around),
            float(np.median([1 - w / v for w, v in zip(wrong[name], around, strict=True)])),
            float(np.abs(np.concatenate(shares) - np.concatenate(by_method[name])).mean()),
            sum(a < b for a, b in zip(wrong[name], wrong["independence"], strict=True)),
        )
        for name in _PANEL
    ]


def _squares(observed: Array, predicted: Array) -> float:
    return float(((observed - predicted) ** 2).sum())


def _targets(
    inside: Mapping[tuple[str, str], Prediction],
    cells: Mapping[tuple[str, str], Prediction],
    pooled: Sequence[PooledRow],
    panel: Sequence[PanelRow],
) -> list[Target]:
    by_cells = {row.method: row.pooled for row in pooled if row.held_out == "cells"}
    best = max(figure for method, figure in by_cells.items() if method in BASELINES)
    by_panel = {row.method: row.r2_shares for row in panel}
    rows = {(row.market, row.method): row for row in _rows(cells)}
    targets = [
        Target("coding-13 in sample, R^2", _r2_over([inside["coding-13", "calibrated"]], "flows"), 0.8982, True),
        Target("cells held out, pooled R^2", by_cells["calibrated"], 0.68, True),
        Target("cells held out, pooled R^2, against the best baseline", by_cells["calibrated"], best, True),
        Target("panel days held out, R^2 of shares", by_panel["calibrated"], 0.76, True),
        Target("the same with the elasticity of the events", by_panel[f"calibrated{_ANCHORED}"], 0.76, True),
        Target("the same, days halved every two days", by_panel[f"calibrated{_RECENT}"], 0.76, True),
    ]
    for market in dict.fromkeys(market for market, _ in cells):
        ours, theirs = (_r2_over([cells[market, name]], "flows") for name in ("calibrated", "independence"))
        targets.append(Target(f"{market}, cells held out, R^2, against independence", ours, theirs, True))
        ours, theirs = (rows[market, name].r2_without_largest or 0.0 for name in ("calibrated", "independence"))
        targets.append(Target(f"{market}, the same without the largest user", ours, theirs, True))
    return targets
