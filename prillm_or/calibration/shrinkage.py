"""Shrinkage: how far flows are pulled towards independence, chosen on the cells seen alone by cross-validation."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from prillm_or.calibration.days import days_of
from prillm_or.calibration.fit import SHRINKAGES, fit_path
from prillm_or.calibration.holdout import folds
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.scores import variation_of
from prillm_or.calibration.specification import Specification, parameters_of
from prillm_or.market.market import Array, Mask

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ShrinkageChoice:
    """The shrinkage that predicts held-out parts of the cells seen best.

    Parameters
    ----------
    tried
        Each shrinkage with R^2 of the flows that were held out to judge it.
    """

    shrinkage: float
    tried: dict[float, float]


def choose_shrinkage(
    observations: Observations,
    specification: Specification,
    train: Mask | None = None,
    *,
    capacity_of_load: bool = False,
    weight: Array | None = None,
    seed: int = 0,
) -> ShrinkageChoice:
    """Fit each shrinkage of the path to all but one part of the cells seen, in turns, and judge it by that part.

    Cost: a path of fits for each part.
    """
    train = observations.cells if train is None else train
    wrong = dict.fromkeys(SHRINKAGES, 0.0)
    # Each cell seen is held out once. Errors are added up over all parts before they are compared, so that a part of
    # small flows counts as little as it does in R^2.
    for number, part in enumerate(folds(train, seed)):
        days = days_of(observations, train & ~part, capacity_of_load=capacity_of_load)
        parameters = parameters_of(
            specification, days, observations.user_ids, observations.provider_ids, observations.name
        )
        # One path serves all shrinkages, each fit starting where the stronger one before it ended.
        for fit in fit_path(days, parameters, SHRINKAGES, weight):
            missed = predicted_flows(fit.preferences, days)[part] - observations.flow[part]
            wrong[fit.shrinkage] += float(missed @ missed)
        _log.info("shrinkage: part %d judged", number + 1)
    variation = variation_of(observations.flow[train]) or 1.0
    best = min(wrong, key=lambda shrinkage: wrong[shrinkage])
    return ShrinkageChoice(best, {shrinkage: 1 - error / variation for shrinkage, error in wrong.items()})
