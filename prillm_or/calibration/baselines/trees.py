"""Boosted trees: flows predicted directly from what is known of a cell, as in the paper. There is no equilibrium.

What trees say of a cell stands as it is, but for less than nothing: rows are not scaled to the demands. The features of
cell (t, i, j) are price, delay, capacity, demand, price over the day's mean price, how many are offered, and which user
and which provider it is. `xgboost.train` stands for its `XGBRegressor`, which is the same but asks for scikit-learn.

Reference: Chen, Guestrin, "XGBoost: A scalable tree boosting system", KDD 2016, doi 10.1145/2939672.2939785.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost

from prillm_or.calibration.baselines.given import Given
from prillm_or.calibration.days import Days
from prillm_or.market.market import Array

_TREES = 300
_SETTINGS = {"objective": "reg:squarederror", "max_depth": 4, "learning_rate": 0.05, "subsample": 0.8}


def boosted_trees(given: Given) -> Array:
    """What the trees say of each cell, at least 0."""
    days = given.days
    cells, features = days.cells, _features(days)
    weight = np.broadcast_to(given.weight[:, :, None], cells.shape)[days.train]
    seen = xgboost.DMatrix(
        features[days.train[cells]],
        label=days.flow[days.train],
        # Trees stop splitting at leaves of little weight: its unit may not matter.
        weight=weight / weight.mean(),
        nthread=1,
    )
    settings: dict[str, Any] = {**_SETTINGS, "seed": given.seed, "nthread": 1, "verbosity": 0}
    trees = xgboost.train(settings, seen, num_boost_round=_TREES)
    flow = np.zeros(cells.shape)
    flow[cells] = np.maximum(trees.predict(xgboost.DMatrix(features, nthread=1)), 0.0)
    return flow


def _features(days: Days) -> Array:
    """Features of the cells in their order, shape (cells, 6 + n + m)."""
    t, i, j = np.nonzero(days.cells)
    n, m = days.flow.shape[1:]
    offers = days.offered.sum(axis=1)
    paid = np.broadcast_to(days.paid, days.flow.shape)
    price, mean = paid[t, i, j], (paid.sum(axis=2) / offers[:, None])[t, i]
    relative = np.divide(price, mean, out=np.ones_like(price), where=mean > 0)
    numbers = [price, days.delay[t, i, j], days.capacity[t, j], days.demand[t, i], relative, offers[t]]
    return np.hstack([np.column_stack(numbers), np.eye(n)[i], np.eye(m)[j]])
