"""Elasticities: by how many percent loads change when a price rises by 1 %, at the fitted preferences."""

from __future__ import annotations

import numpy as np
import torch

from prillm_or.calibration.days import Days
from prillm_or.calibration.preferences import Preferences, equilibria
from prillm_or.market.market import Array


def own_price_elasticities(preferences: Preferences, days: Days) -> Array:
    """Each provider's own-price elasticity, shape (m,), mean over the days weighted by revenue; NaN without revenue.

    Where components have prices of their own, all of the provider's rise alike.

    The derivative of a load by a price is that on the support at hand: where users are about to leave or to come, it
    holds for small changes only.
    """
    settled = equilibria(preferences, days)
    load = settled.flow.numpy().sum(axis=1)
    sensitivity = torch.from_numpy(preferences.price_factor / preferences.scale)
    paid = np.broadcast_to(days.paid, settled.flow.shape)
    revenue = (settled.flow.numpy() * paid).sum(axis=1) * days.offered
    found = np.full(len(preferences.provider_ids), np.nan)
    for j in np.flatnonzero(revenue.sum(axis=0) > 0):
        rise = torch.zeros((*settled.flow.shape, 1), dtype=torch.float64)
        rise[:, :, j, 0] = sensitivity * torch.from_numpy(paid[:, :, j].copy())
        slope = settled.changes(rise)[:, :, j, 0].numpy().sum(axis=1)
        used = revenue[:, j] > 0
        elasticity = slope[used] / load[used, j]
        found[j] = np.average(elasticity, weights=revenue[used, j])
    return found
