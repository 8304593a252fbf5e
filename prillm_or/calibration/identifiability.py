"""Identifiability: which preferences the flows seen cannot tell apart.

J holds the derivatives of the flows seen by theta (`specification.py`, all entries of order 1), each flow in units of
the root mean square of all. A direction of theta in which J's singular value is below `_BLIND` of the largest changes
the flows next to nothing: what moves along it is not known from the data, however good the fit. What is a user's own is
then known only because it is shrunk.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.calibration.fit import Fit
from prillm_or.calibration.misfit import Misfit
from prillm_or.market.market import Array

_BLIND = 1e-6
_PART = 0.2


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What the data can tell.

    Parameters
    ----------
    singular_values
        Of J, largest first.
    undetermined
        For each direction that the data cannot see, the entries that move along it, with their parts, largest first.
    """

    singular_values: Array
    undetermined: tuple[dict[str, float], ...]

    @property
    def condition(self) -> float | None:
        """Largest over smallest singular value; None where the smallest is 0."""
        least = float(self.singular_values[-1])
        return float(self.singular_values[0]) / least if least > 0 else None


def identifiability(fit: Fit) -> Identifiability:
    """Singular values of the flows' derivatives at the fit, and the directions the data cannot see."""
    days = fit.days
    changes = Misfit(fit.parameters, days, fit.weight).flow_changes(fit.theta)[days.train]
    unit = float(np.sqrt((days.flow[days.train] ** 2).sum())) or 1.0
    weight = np.sqrt(np.broadcast_to(fit.weight[:, :, None], days.flow.shape)[days.train])
    # The triangle has the same singular values, and no more rows than there are parameters.
    triangle = np.linalg.qr(changes * weight[:, None] / unit, mode="r")
    _, values, directions = np.linalg.svd(triangle, full_matrices=True)
    values = np.concatenate([values, np.zeros(fit.parameters.size - len(values))])
    names = list(fit.parameters.names())
    blind = directions[values <= _BLIND * values[0]]
    return Identifiability(values, tuple(_parts(direction, names) for direction in blind))


def _parts(direction: Array, names: list[str]) -> dict[str, float]:
    order = np.argsort(-np.abs(direction), kind="stable")
    return {names[k]: float(direction[k]) for k in order if abs(direction[k]) >= _PART * np.abs(direction).max()}
