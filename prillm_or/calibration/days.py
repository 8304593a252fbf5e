"""Days: observations as the arrays a fit works on, with what may be seen of the flows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.calibration.observations import Observations
from prillm_or.market.market import Array, Mask

if TYPE_CHECKING:
    from torch import Tensor

    from prillm_or.users.differentiable import Settled, Warm


_MOST_TURNS = 2_000
_SETTLED = 1e-12
_LEAST = 1e-12
_LITTLE = 1e-9


@dataclass(frozen=True, eq=False, kw_only=True)
class Days:
    """T days, n users, m providers, every number finite: what is not offered or not known has a 0, or a capacity of 1.

    Parameters
    ----------
    price
        What a volume unit costs: shape (T, m) for all users, or (T, n, m) by user, where they buy different mixes.
    capacity
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

    @property
    def paid(self) -> Array:
        """Price by user, shape (T, n, m), or (T, 1, m) where all pay the same."""
        return self.price if self.price.ndim == 3 else self.price[:, None]

    def tastes(self, dispersion: Array) -> Array:
        """s_ij / D_i, shape (T, n, m), of a dispersion (n, m); whatever it is of users who are absent."""
        return np.asarray(dispersion / np.where(self.demand > 0, self.demand, 1.0)[:, :, None])

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Capacity, demand and offered, as `settle` takes them."""
        import torch

        return torch.from_numpy(self.capacity), torch.from_numpy(self.demand), torch.from_numpy(self.offered)

    def settled(
        self, offsets: Array, dispersion: Array, *, congested: bool = True, warm: Warm | None = None
    ) -> Settled:
        """The users' equilibria at offsets (T, n, m) and a dispersion (n, m), both in scaled money."""
        # Imported here: days are read and priced without torch.
        import torch

        from prillm_or.users.differentiable import settle

        capacity, demand, offered = self.tensors()
        if not congested:
            capacity = torch.full_like(capacity, torch.inf)
        width = None
        if dispersion.any():
            width = 1.0 / (1.0 / capacity[:, None] + torch.from_numpy(self.tastes(dispersion)))
        return settle(torch.from_numpy(offsets), capacity, demand, offered, warm=warm, width=width)

    @cached_property
    def market_share(self) -> Array:
        """Shape (T, m), of `market_shares`, found once."""
        return market_shares(self)

    def completed_flow(self) -> Array:
        """Flows seen; for the others demand x market share, where both are of what is seen."""
        return np.where(self.train, self.flow, independent_flows(self))


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
        price=np.nan_to_num(observations.paid),
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
    expected = days.market_share * days.demand.sum(axis=1, keepdims=True)
    ratio = np.where(load > 0, expected / np.where(load > 0, load, 1.0), 1.0)
    return replace(days, capacity=np.where(days.offered, days.capacity * ratio, 1.0))


def independent_flows(days: Days) -> Array:
    """Demand x market share, shape (T, n, m), as far as the cells seen tell: no model of choice at all."""
    return np.asarray(days.demand[:, :, None] * days.market_share[:, None])


def mean_price(days: Days) -> Array:
    """What a volume unit cost at each provider, shape (m,): the mean over all flows, or over offers without any."""
    paid, flow = np.broadcast_to(days.paid, days.flow.shape), days.completed_flow() + _LITTLE * days.offered[:, None]
    return np.asarray((paid * flow).sum(axis=(0, 1)) / np.maximum(flow.sum(axis=(0, 1)), _LITTLE))


def market_shares(days: Days) -> Array:
    """Each provider's share of each day's volume, shape (T, m), rows summing to 1, as far as the seen cells tell.

    Provider j has strength s_j, and day t's volume is split by strength among the providers offered. The likeliest
    strengths, cells not seen filled in by what they say, are found by turns of filling in and

        s_j = sum_t x_tj / sum_t V_t / S_t,      S_t = sum of s over the offered,   on days that offer j,

    with x the loads thus completed and V_t the day's volume. With one set of offers all along and every cell seen, they
    are the shares of the loads. Reference: Hunter, "MM algorithms for generalized Bradley-Terry models", Annals of
    Statistics 32 (2004) 384-406, doi 10.1214/aos/1079120141.
    """
    some = days.train.any(axis=(1, 2))  # days of which nothing is seen say nothing
    offered, seen, demand = days.offered[some], days.train[some], days.demand[some]
    routed = np.where(seen, days.flow[some], 0.0).sum(axis=1)
    unseen = np.where(days.cells[some] & ~seen, demand[:, :, None], 0.0).sum(axis=1)
    volume = demand.sum(axis=1, keepdims=True)
    strength = np.full(days.offered.shape[1], 1.0 / days.offered.shape[1])
    for _ in range(_MOST_TURNS):
        total = (offered * strength).sum(axis=1, keepdims=True)
        load = routed + unseen * strength / total
        weight = (offered * volume / total).sum(axis=0)
        after = np.divide(load.sum(axis=0), weight, out=np.zeros_like(strength), where=weight > 0)
        after = after / after.sum()
        settled = np.abs(after - strength).max() <= _SETTLED
        # Where nothing is seen of a day's providers some strength must be left to split its volume.
        strength = np.maximum(after, _LEAST)
        if settled:
            break
    share = days.offered * strength
    return np.asarray(share / share.sum(axis=1, keepdims=True))
