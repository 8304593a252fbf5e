"""Baselines: what a fit is compared with, by name, imported only when asked for.

All are given the same: prices, delays, capacities, offers and demands of all days, flows of the cells that may be
seen. What a predicted flow of a held-out cell is worth is said by `scores.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

import numpy as np

from prillm_or.calibration.baselines.given import Baseline, Given, NotApplicableError
from prillm_or.calibration.days import Days
from prillm_or.errors import need_packages, unknown_name
from prillm_or.market.market import Array

__all__ = ["BASELINES", "Baseline", "NotApplicableError", "baseline_flows", "require"]

_HERE = "prillm_or.calibration.baselines"

BASELINES: Mapping[str, Baseline] = {
    "independence": Baseline((f"{_HERE}.shares", "independence"), "demand x market share", cheap=True),
    "last-day": Baseline((f"{_HERE}.shares", "last_day"), "each user's shares of the last day seen before", cheap=True),
    "inverse-square": Baseline(
        (f"{_HERE}.shares", "inverse_square"), "demand split by 1 / price^2, a marketplace's default", cheap=True
    ),
    "npm": Baseline(
        (f"{_HERE}.restricted", "npm"), "the paper's: fitted without values, by objective factors alone", cheap=True
    ),
    "no-congestion": Baseline(
        (f"{_HERE}.restricted", "no_congestion"), "the paper's: fitted without congestion, w_q = 0", cheap=True
    ),
    "finite-differences": Baseline(
        (f"{_HERE}.finite_differences", "finite_differences"),
        "the paper's: our common preferences, searched for by BFGS on differences for derivatives",
    ),
    "xgboost": Baseline(
        (f"{_HERE}.trees", "boosted_trees"),
        "the paper's: boosted trees predict each flow; they need not add up to demands",
        package="xgboost",
    ),
    "a2c": Baseline(
        (f"{_HERE}.actor_critic", "actor_critic"),
        "the paper's: our common preferences, searched for by an advantage actor-critic",
        package="stable_baselines3",
    ),
}


def baseline_flows(
    name: str,
    days: Days,
    user_ids: Sequence[str],
    provider_ids: Sequence[str],
    *,
    weight: Array | None = None,
    seed: int = 0,
) -> Array:
    """Predict the flows of all cells by a baseline.

    Parameters
    ----------
    name
        One of `BASELINES`.
    days
        What is known; flows count only where `days.train` says so.
    user_ids, provider_ids
        Names, n and m of them.
    weight
        Shape (T, n), how much each user's day counts to what is fitted or trained; None counts all alike.
    seed
        Of `xgboost` and `a2c`; the others draw nothing.

    Returns
    -------
    flow
        Shape (T, n, m), volume units, >= 0, and 0 where no flow could be. Rows sum to the demand, but for `xgboost`.

    Raises
    ------
    UnknownNameError
        When there is no such baseline.
    UnavailableError
        When its package is missing; the message holds the install command.
    NotApplicableError
        When it has nothing to go by: `last-day` needs two days or more.
    """
    require(name)
    weight = np.ones(days.demand.shape) if weight is None else weight
    return _load(name)(Given(days, user_ids, provider_ids, weight, seed))


def require(name: str) -> None:
    """Check that a baseline is known and has its package, before any work is done.

    Raises
    ------
    UnknownNameError, UnavailableError
        As `baseline_flows`.
    """
    if name not in BASELINES:
        raise unknown_name("baseline", name, BASELINES)
    package = BASELINES[name].package
    if package is not None:
        need_packages(f"baseline {name}", package, extra="baselines")


def _load(name: str) -> Callable[[Given], Array]:
    module, function = BASELINES[name].home
    found: Callable[[Given], Array] = getattr(import_module(module), function)
    return found
