"""Price events: what counts as a change of a price, and as a share."""

from __future__ import annotations

import numpy as np

from prillm_or.calibration.observations import Observations

EVENT = 0.05
"""A price that moves by less has not moved: most often it is the mix of what was bought that did."""
LEAST_SHARE = 1e-4
"""Shares count as no less in a logarithm: below, they are noise."""


def price_events(observations: Observations) -> int:
    """How often a provider's price, or one of its components', moved by an event or more from a day to the next."""
    price = observations.price
    moved = np.abs(price[1:] - price[:-1]) >= EVENT * price[:-1]  # never where one is not a number
    return int(
        (moved & (price[:-1] > 0)).reshape(len(moved), observations.m, observations.price[0, 0].size).any(axis=2).sum()
    )
