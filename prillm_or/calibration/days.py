"""Days: observations as the arrays a fit works on, with what may be seen of the flows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.calibration.observations import Mask, Observations
from prillm_or.market import Array

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Days:
    """T days, n users, m providers, every number finite: what is not offered or not known has a 0, or a capacity of 1.

    Parameters
    ----------
    price, capacity
        Shape (T, m).
    delay
        Shape (T, n, m).
    demand
        Shape (T, n); 0 for users who are absent.
    offered
        Shape (T, m).
    flow
        Shape (T, n, m): as observed, held-out cells included.
    train
        Shape (T, n, m): the cells whose flows may be seen; always among those that could have been.
    """

    price: Array
    capacity: Array
    delay: Array
    demand: Array
    offered: Mask
    flow: Array
    train: Mask

    @property
    def cells(self) -> Mask:
        """Which flows could have been: user there and provider offered, shape (T, n, m)."""
        return np.asarray((self.demand > 0)[:, :, None] & self.offered[:, None])

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Capacity, demand and offered, as `settle` takes them."""
        import torch

        return torch.from_numpy(self.capacity), torch.from_numpy(self.demand), torch.from_numpy(self.offered)

    def completed_flow(self) -> Array:
        """Flows seen; for the others demand x market share, where both are of what is seen."""
        return np.where(self.train, self.flow, self.demand[:, :, None] * market_shares(self)[:, None])


def days_of(observations: Observations, train: Mask | None = None, *, capacity_of_load: bool = False) -> Days:
    """Arrays of the observations.

    Parameters
    ----------
    train
        Shape (T, n, m): the cells whose flows may be seen; None for all. Demands are always seen: the question is how
        they are split.
    capacity_of_load
        Whether capacities are multiples of the observed loads. They then hold the flows that are to be predicted, and
        are made anew for the loads that the seen cells lead to expect.
    """
    cells = observations.cells
    train = cells if train is None else train & cells
    days = Days(
        price=np.nan_to_num(observations.price),
        capacity=np.where(observations.offered, observations.capacity, 1.0),
        delay=np.where(cells, observations.delay, 0.0),
        demand=np.asarray(observations.demand),
        offered=observations.offered,
        flow=np.array(observations.flow),
        train=train,
    )
    if not capacity_of_load or bool((train == cells).all()):
        return days
    return _with_expected_loads(days, observations.load)


def _with_expected_loads(days: Days, load: Array) -> Days:
    expected = market_shares(days) * days.demand.sum(axis=1, keepdims=True)
    known = (load > 0) & (expected > 0)
    # A provider of which nothing is seen keeps the smallest of the capacities: it is no secret that it is small.
    ratio = np.where(known, expected / np.where(load > 0, load, 1.0), 0.0)
    capacity = days.capacity * ratio
    least = np.where(capacity > 0, capacity, np.inf).min(axis=1, keepdims=True)
    return replace(days, capacity=np.where(days.offered & (capacity > 0), capacity, np.where(days.offered, least, 1.0)))


def market_shares(days: Days) -> Array:
    """Each provider's share of each day's volume, shape (T, m), rows summing to 1, as far as the seen cells tell.

    A provider's share is what its seen cells hold of the demand of their users, over all days; those not offered get
    none that day.
    """
    seen = days.train
    routed = np.where(seen, days.flow, 0.0).sum(axis=(0, 1))
    wanted = np.where(seen, days.demand[:, :, None], 0.0).sum(axis=(0, 1))
    share = np.divide(routed, wanted, out=np.zeros_like(routed), where=wanted > 0)
    by_day = np.where(days.offered, share, 0.0)
    total = by_day.sum(axis=1, keepdims=True)
    even = days.offered / days.offered.sum(axis=1, keepdims=True)
    return np.where(total > 0, by_day / np.where(total > 0, total, 1.0), even)
