"""Equilibria: the users' flows at theta on some days, and how they change with it."""

from __future__ import annotations

import numpy as np
import torch

from prillm_or.calibration.days import Days
from prillm_or.calibration.parameters import Parameters
from prillm_or.market.market import Array
from prillm_or.users.differentiable import Settled, Warm


class Equilibria:
    """The equilibria of the last theta asked for, kept; each search starts from the supports of the one before.

    Parameters
    ----------
    parameters, days
        What theta means, and the days.
    """

    def __init__(self, parameters: Parameters, days: Days) -> None:
        self._parameters, self._days, self._warm = parameters, days, Warm()
        self._theta: Array | None = None
        self._changes: Array | None = None

    def at(self, theta: Array) -> Settled:
        """Those at theta."""
        # Least squares asks for the residuals and then, where it accepts the step, for the Jacobian at the same theta.
        if self._theta is None or not np.array_equal(theta, self._theta):
            self._changes = None
            self._offsets = self._parameters.offsets(theta, self._days)
            tastes, congested = self._parameters.tastes(theta), self._parameters.specification.congested
            self._settled = self._days.settled(self._offsets, tastes, congested=congested, warm=self._warm)
            self._theta = theta.copy()
        return self._settled

    def flow(self, theta: Array) -> Array:
        """Flows, shape (T, n, m)."""
        return np.asarray(self.at(theta).flow.numpy())

    def offset_changes(self, theta: Array) -> Array:
        """Derivatives of the offsets by theta, shape (T, n, m, P); what changes widths counts as what it does to flows.

        Kept until another theta is asked for.
        """
        settled = self.at(theta)
        if self._changes is None:
            self._changes = self._parameters.offset_changes(theta, self._days, self._offsets)
            if self._parameters.specification.dispersion is not None:
                taste_changes = self._parameters.taste_changes(theta, self._days)
                self._changes += settled.flow.numpy()[..., None] * taste_changes
        return self._changes

    def flow_changes(self, theta: Array, count: int) -> Array:
        """Derivatives of the flows of the first days, so many of them, by theta, shape (count, n, m, P)."""
        changes = torch.from_numpy(self.offset_changes(theta)[:count])
        return np.asarray(self.at(theta).first(count).changes(changes).numpy())
