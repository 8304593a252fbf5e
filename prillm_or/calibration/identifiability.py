"""Identifiability: which preferences the flows seen cannot tell apart.

J holds the derivatives of the flows seen by theta (`parameters.py`, all entries of order 1), each flow in units of
the root mean square of all. A direction of theta in which J's singular value is below `_BLIND` of the largest changes
the flows next to nothing: what moves along it is not known from the data, however good the fit. What is a user's own is
then known only because it is shrunk.

A value may also be open on one side. Where a user is just not to leave or just not to come, J holds the derivative to
the side on which flows change; a step to the other changes none. Such a value is known as a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.calibration.fit import Fit
from prillm_or.calibration.misfit import Misfit
from prillm_or.market.market import Array

_BLIND = 1e-6
_PART = 0.2
_STEP = 0.01
"""Of the unit of money: what a value is moved by, to see whether it is open on one side."""


@dataclass(frozen=True, eq=False)
class Identifiability:
    """What the data can tell.

    Parameters
    ----------
    singular_values
        Of J, largest first.
    undetermined
        For each direction that the data cannot see, the entries that move along it, with their parts, largest first.
    at_most, at_least
        Providers whose values the data bound from above only, from below only, against that of the reference.
    """

    singular_values: Array
    undetermined: tuple[dict[str, float], ...]
    at_most: tuple[str, ...] = ()
    at_least: tuple[str, ...] = ()

    @property
    def condition(self) -> float | None:
        """Largest over smallest singular value; None where the smallest is 0."""
        least = float(self.singular_values[-1])
        return float(self.singular_values[0]) / least if least > 0 else None


def identifiability(fit: Fit) -> Identifiability:
    """Singular values of the flows' derivatives at the fit, and the directions the data cannot see."""
    days = fit.days
    misfit = Misfit(fit.parameters, days, fit.weight)
    changes = misfit.flow_changes(fit.theta)[days.train]
    unit = float(np.sqrt((days.flow[days.train] ** 2).sum())) or 1.0
    weight = np.sqrt(np.broadcast_to(fit.weight[:, :, None], days.flow.shape)[days.train])
    # The triangle has the same singular values, and no more rows than there are parameters.
    triangle = np.linalg.qr(changes * weight[:, None] / unit, mode="r")
    _, values, directions = np.linalg.svd(triangle, full_matrices=True)
    values = np.concatenate([values, np.zeros(fit.parameters.size - len(values))])
    names = list(fit.parameters.names())
    blind = directions[values <= _BLIND * values[0]]
    least = _BLIND * values[0] * unit

    def idle(place: int, step: float) -> bool:
        """Whether a step of one entry changes the flows seen next to nothing."""
        moved = fit.theta.copy()
        moved[place] += step
        missed = (misfit.flow(moved)[days.train] - flow) * weight
        return bool(np.sqrt(missed @ missed) <= least * _STEP)

    flow = misfit.flow(fit.theta)[days.train]
    place = fit.parameters.places["b"]
    others = [name for j, name in enumerate(fit.parameters.provider_ids) if j != fit.parameters.reference]
    sides = {
        name: (idle(k, -_STEP), idle(k, _STEP)) for k, name in zip(range(place.start, place.stop), others, strict=False)
    }
    return Identifiability(
        values,
        tuple(_parts(direction, names) for direction in blind),
        at_most=tuple(name for name, (down, up) in sides.items() if down and not up),
        at_least=tuple(name for name, (down, up) in sides.items() if up and not down),
    )


def _parts(direction: Array, names: list[str]) -> dict[str, float]:
    order = np.argsort(-np.abs(direction), kind="stable")
    return {names[k]: float(direction[k]) for k in order if abs(direction[k]) >= _PART * np.abs(direction).max()}
