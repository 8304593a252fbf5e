"""Shrinkage: how far flows are pulled towards independence, chosen on the cells seen alone by cross-validation.

So is, where nobody says, what users may differ in: nothing, their values of providers, or these and their weights of
congestion; and what keeps them spread: congestion, in its place a dispersion, or dispersions of their own. Each goes on
from the one before it only if that leaves a twentieth less unexplained of what is hidden, and where it takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from prillm_or.calibration.days import days_of
from prillm_or.calibration.fit import ENOUGH, SHRINKAGES, fit_path
from prillm_or.calibration.holdout import folds
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import Preferences, predicted_flows
from prillm_or.calibration.scores import variation_of
from prillm_or.calibration.specification import Dispersion, Specification
from prillm_or.market.market import Array, Mask

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ShrinkageChoice:
    """The shrinkage that predicts held-out parts of the cells seen best.

    Parameters
    ----------
    tried
        Each shrinkage with R^2 of the flows that were held out to judge it, weighted as in the fit.
    specification
        What users may differ in, and what keeps them spread.
    alike
        The best R^2 of preferences that all share, with congestion, where these were beaten.
    """

    shrinkage: float
    tried: dict[float, float]
    specification: Specification = field(default_factory=Specification)
    alike: float | None = None


_RICHER = (Specification(own_values=True), Specification(own_values=True, own_congestion=True))
_IN_PLACE: tuple[Dispersion, ...] = ("common", "user")
_LESS_LEFT = 0.95
_MOST_WORK = 200_000
"""Cells times parameters, up to which what is users' own is tried."""


def choose_shrinkage(
    observations: Observations,
    specification: Specification | None,
    train: Mask | None = None,
    *,
    capacity_of_load: bool = False,
    weight: Array | None = None,
    seed: int = 0,
) -> ShrinkageChoice:
    """Fit each shrinkage of the path to all but one part of the cells seen, in turns, and judge it by that part.

    Without a specification, that of the module docstring. Cost: a path of fits for each part.
    """

    def judged(specification: Specification, alike: list[Preferences]) -> ShrinkageChoice:
        return _judged(observations, specification, train, capacity_of_load, weight, seed, alike)

    congested: list[Preferences] = []  # of each part, for all that goes on from them
    if specification is not None:
        return judged(specification, congested)
    best, (n, m) = judged(Specification(), congested), (observations.n, observations.m)
    if n == 1 or observations.cells.sum() * (n * (m + 1) + m) > _MOST_WORK:
        return best
    plain = max(best.tried.values())

    def furthest(best: ShrinkageChoice, richer: Iterable[Specification], alike: list[Preferences]) -> ShrinkageChoice:
        for specification in richer:
            found = judged(specification, alike)
            if 1.0 - max(found.tried.values()) > _LESS_LEFT * (1.0 - max(best.tried.values())):
                break
            best = replace(found, alike=plain)
        return best

    best = furthest(best, (replace(richer, families=observations.families) for richer in _RICHER), congested)
    spread = replace(best.specification, own_congestion=False, congestion=False)
    return furthest(best, (replace(spread, dispersion=dispersion) for dispersion in _IN_PLACE), [])


def _judged(
    observations: Observations,
    specification: Specification,
    train: Mask | None,
    capacity_of_load: bool,
    weight: Array | None,
    seed: int,
    alike: list[Preferences],
) -> ShrinkageChoice:
    train = observations.cells if train is None else train
    wrong = dict.fromkeys(SHRINKAGES, 0.0)
    each = np.ones(observations.demand.shape) if weight is None else weight
    by_cell = np.broadcast_to(each[:, :, None], observations.flow.shape)
    # Each cell seen is held out once. Errors are added up over all parts before they are compared, so that a part of
    # small flows counts as little as it does in R^2.
    for number, part in enumerate(folds(train, seed)):
        days = days_of(observations, train & ~part, capacity_of_load=capacity_of_load)
        parameters = parameters_of(
            specification, days, observations.user_ids, observations.provider_ids, observations.name
        )
        # One path serves all shrinkages, each fit starting where the stronger one before it ended.
        known = alike[number] if specification.own and alike else None
        path = fit_path(days, parameters, SHRINKAGES, weight, alike=known, precision=ENOUGH)
        if not specification.own:
            alike.extend(fit.preferences for fit in path[:1])
        for fit in path:
            missed = predicted_flows(fit.preferences, days)[part] - observations.flow[part]
            wrong[fit.shrinkage] += float(by_cell[part] @ missed**2)
        _log.info("shrinkage: part %d judged", number + 1)
    variation = variation_of(observations.flow[train], by_cell[train]) or 1.0
    best = min(wrong, key=lambda shrinkage: wrong[shrinkage])
    tried = {shrinkage: 1 - error / variation for shrinkage, error in wrong.items()}
    return ShrinkageChoice(best, tried, specification)
