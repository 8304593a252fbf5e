r"""Misfit: what a fit minimises, as residuals and their exact derivatives.

With weights omega_t of days, the cells C that may be seen, and V = sum_t omega_t sum_C (f - mean f)^2, the misfit is

    sum_t omega_t sum_(ij in C) (f*_ij(theta) - f_ij)^2 / V + s sum_k theta_k^2        k: what is a user's own,

so that without the last sum it is 1 - R^2 of the flows seen, and a user's own weight e times the common one has to pay
for itself with s of R^2. Derivatives of the flows are those of `equilibrium_layer.py`, exact on the support at hand: the
misfit is piecewise smooth, and where pieces meet we get the derivative of one of them.

Cost of residuals: an equilibrium a day; of their derivatives: T n m P, time and memory, for P parameters.
"""

from __future__ import annotations

import numpy as np
import torch

from prillm_or.calibration.days import Days
from prillm_or.calibration.equilibrium_layer import Settled, Warm, settle
from prillm_or.calibration.specification import Parameters
from prillm_or.market import Array


class Misfit:
    """Residuals of theta, and their derivatives; the equilibria of the last theta are kept for both.

    Parameters
    ----------
    parameters, days
        What theta means, and what was seen.
    shrinkage
        s of the module docstring.
    day_weight
        Shape (T,), omega; None counts all days alike.
    """

    def __init__(
        self, parameters: Parameters, days: Days, shrinkage: float = 0.0, day_weight: Array | None = None
    ) -> None:
        self._parameters, self._days = parameters, days
        self._seen = days.flow[days.train]
        weight = np.ones(len(days.flow)) if day_weight is None else day_weight
        by_cell = np.broadcast_to(weight[:, None, None], days.flow.shape)[days.train]
        mean = float(by_cell @ self._seen / by_cell.sum())
        variation = float(by_cell @ (self._seen - mean) ** 2) or float(by_cell @ self._seen**2)
        self._unit = np.sqrt(by_cell / variation)
        self._pull = np.zeros((len(parameters.shrunk), parameters.size))
        self._pull[np.arange(len(parameters.shrunk)), parameters.shrunk] = np.sqrt(shrinkage)
        self._tensors = days.tensors()
        self._warm = Warm()
        self._theta: Array | None = None

    def residuals(self, theta: Array) -> Array:
        """Their squares sum to the misfit; the flows of the cells seen, then what is shrunk."""
        settled = self._at(theta)
        missed = settled.flow.numpy()[self._days.train] - self._seen
        return np.concatenate([missed * self._unit, self._pull @ theta])

    def jacobian(self, theta: Array) -> Array:
        """Derivatives of the residuals by theta."""
        settled = self._at(theta)
        changes = self._parameters.offset_changes(theta, self._days, self._offsets)
        by_flow = settled.changes(torch.from_numpy(changes)).numpy()[self._days.train]
        return np.concatenate([by_flow * self._unit[:, None], self._pull])

    def flow(self, theta: Array) -> Array:
        """Flows at theta, shape (T, n, m)."""
        return np.asarray(self._at(theta).flow.numpy())

    def _at(self, theta: Array) -> Settled:
        if self._theta is None or not np.array_equal(theta, self._theta):
            self._offsets = self._parameters.offsets(theta, self._days)
            self._settled = settle(torch.from_numpy(self._offsets), *self._tensors, warm=self._warm)
            self._theta = theta.copy()
        return self._settled
