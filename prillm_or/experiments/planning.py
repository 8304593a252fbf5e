"""experiment: from a fit to the trial that narrows its range of best prices, or to the word to stop."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.curves.profit_curve import curve
from prillm_or.errors import ArgumentError, CombinationError, argument, check_number, checked_path
from prillm_or.experiments.experiment import Experiment, Open
from prillm_or.experiments.points import Points, points_of
from prillm_or.experiments.trial import best_trial
from prillm_or.files.markets import read_market
from prillm_or.market.market import Array, Market

if TYPE_CHECKING:
    from prillm_or.calibration.draws import Draws

_log = logging.getLogger(__name__)

NOISE = 0.62
"""Measured on a marketplace, without a change of price; see `docs/limits.md`."""


def experiment(
    fit: str | os.PathLike[str], *, width: float = 0.25, power: float = 0.8, noise: float | None = None
) -> Experiment:
    """Choose the price to try next, so that what a fit leaves open of the best price narrows to a wished width.

    What may be true are the markets of the draws and of the profile beside the fit, each half of the weight where there
    are both. Of several decisions each is looked at alone, the others as today. Cost: a trace for each of them, and
    some hundred posteriors.

    Parameters
    ----------
    fit
        The fit.json of a calibration, or its folder; its draws.json and the fitted market, of the last day if there are
        several, lie beside it.
    width
        Of the range of best prices that is narrow enough, as a share of the best guess.
    power
        How likely the trial is to reach it.
    noise
        Standard deviation of the change of log load between neighbouring windows of three days at one price; None for
        that of the days fitted, beyond what the fit explains, or of a marketplace where these are fewer than twelve.

    Raises
    ------
    ArgumentError
        When a number is out of its range.
    PrillmError
        When a file is missing or wrong, or the market is not that of the fit.
    CombinationError
        When a decision has to be held as today, and has no value today.
    """
    for what, number in (("width", width), ("power", power), ("noise", NOISE if noise is None else noise)):
        check_number(what, number)
        if number <= 0 or (what == "power" and number >= 1):
            wanted = "between 0 and 1" if what == "power" else "above 0"
            raise ArgumentError(f"{argument(what, number)}: expected a number {wanted}")
    from prillm_or.calibration.fit_files import fit_path, read_fit, read_fit_draws

    place = checked_path("fit", fit)
    draws = read_fit_draws(place)
    market = _fitted_market(fit_path(place), draws.name)
    markets, weight = _what_may_be(draws, market)
    noise = noise or read_fit(fit_path(place)).noise or NOISE
    return planned(market, markets, weight, width=width, power=power, noise=noise)


def planned(
    market: Market, markets: Sequence[Market], weight: Array, *, width: float, power: float, noise: float
) -> Experiment:
    """The same over K markets, of which each is as likely as its weight, shape (K,), says."""
    decisions = {}
    for decision in market.decisions:
        curves = [curve(one, decision.name) for one in markets]
        _log.info("%s: %d curves traced", decision.name, len(curves))
        decisions[decision.name] = _open(points_of(curves, weight), width, power, noise)
    return Experiment(market.name, len(markets), decisions, width, power, noise, market.units)


def _open(points: Points, width: float, power: float, noise: float) -> Open:
    wished = width * points.guess
    found = Open(points.range, points.guess, points.doubt, wished, None)
    if found.narrow:
        return found
    return Open(found.range, found.guess, found.doubt, wished, best_trial(points, noise, wished, power))


def _what_may_be(draws: Draws, market: Market) -> tuple[tuple[Market, ...], Array]:
    """Markets, and how likely each is: the draws and the fit together as likely as the profile, where there is one."""
    from prillm_or.calibration.draws import markets_wanting

    drawn = (*markets_wanting(draws, market, draws.drawn), market)
    profile = markets_wanting(draws, market, draws.profile)
    weight = [np.full(len(part), 1 / len(part)) for part in (drawn, profile) if part]
    return (*drawn, *profile), np.concatenate(weight) / len(weight)


def _fitted_market(fit: Path, name: str) -> Market:
    """The market of the last day beside a fit."""
    files = sorted(path for path in fit.parent.glob("*.json") if path.name.startswith(f"{name}-"))
    if not files:
        raise CombinationError(
            f"{fit}: no market {name}-DAY.json beside it; name the leader in folder.json of the observations and "
            f"calibrate again, with --market last"
        )
    return read_market(files[-1]).market
