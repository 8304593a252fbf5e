"""Baselines that split demands by shares: of the market, of the day before, of prices. Nothing is fitted."""

from __future__ import annotations

import numpy as np

from prillm_or.calibration.baselines.given import Given, NotApplicableError
from prillm_or.calibration.days import Days, independent_flows, market_shares
from prillm_or.market.market import Array


def independence(given: Given) -> Array:
    """Demand x market share."""
    return independent_flows(given.days)


def last_day(given: Given) -> Array:
    """Each user does as on the last day before on which some flow of it was seen.

    Providers no longer offered drop out, and what is left is scaled to the demand. Where there is no such day, or
    nothing is left, market shares take its place. A day that is itself seen is predicted from the days before all the
    same.

    Raises
    ------
    NotApplicableError
        When there is one day only.
    """
    days = given.days
    if len(days.flow) < 2:
        raise NotApplicableError("last-day needs a day before, and these are flows of one day")
    market = market_shares(days)
    split, known = _split(days, market), np.where(days.train, days.flow, 0.0).sum(axis=2) > 0
    latest, flow = np.zeros(days.flow.shape[1:]), np.zeros(days.flow.shape)
    for t, offered in enumerate(days.offered):
        left = np.where(offered, latest, 0.0)
        total = left.sum(axis=1, keepdims=True)
        share = np.where(total > 0, left / np.where(total > 0, total, 1.0), market[t])
        flow[t] = days.demand[t][:, None] * share
        latest = np.where(known[t][:, None], split[t], latest)
    return flow


def _split(days: Days, market: Array) -> Array:
    """Flows seen, shape (T, n, m), and in cells not seen what these leave of the demand, by market share.

    Cells not seen may not count as empty: a user seen in part would be taken for one who shuns the rest.
    """
    seen = np.where(days.train, days.flow, 0.0)
    rest = np.maximum(days.demand - seen.sum(axis=2), 0.0)
    strength = np.where(days.cells & ~days.train, market[:, None], 0.0)
    total = strength.sum(axis=2)
    return np.asarray(seen + strength * (rest / np.where(total > 0, total, 1.0))[:, :, None])


def inverse_square(given: Given) -> Array:
    """Demand split in proportion to 1 / price^2; among providers that cost nothing, evenly, where there are any.

    OpenRouter documented it as its default among providers of one model (other documents of 2026 name speed and
    reliability, too); we apply it among all providers offered.

    Reference: OpenRouter, "Provider routing", https://openrouter.ai/docs/features/provider-routing.
    """
    days = given.days
    price = np.where(days.offered[:, None], days.paid, np.inf)
    least = price.min(axis=2, keepdims=True)
    # Ratios to the least price, since the square of a price may be no double.
    ratio = np.divide(least, price, out=(price == 0).astype(np.float64), where=least > 0)
    share = ratio**2 / (ratio**2).sum(axis=2, keepdims=True)
    return np.asarray(days.demand[:, :, None] * share)
