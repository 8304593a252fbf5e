r"""Anchor: an own-price elasticity known from elsewhere, as one more observation.

The elasticity is that of a finite step. With a price p_tj moved alone to (1 + h) p_tj and to (1 - h) p_tj, h = 5 %, the
users' equilibria give the loads x+_tj and x-_tj, and with those at today's prices, x_tj,

    E(theta) = sum_tj p_tj (x+_tj - x-_tj) / (2 h)  /  sum_tj p_tj x_tj

over all days and the providers meant: elasticities weighted by revenue. The derivative of a load by its price holds on
the support at hand and jumps where a user comes or goes; over a step E is continuous, and 5 % is the smallest change
that is called a price event. Prices paid differ by user where users buy different mixes; then x p is what they pay.

To a misfit (`misfit.py`) an anchor at E_0 with the standard error SE adds

    noise ((E(theta) - E_0) / SE)^2.

**Unit.** Were the flows seen independent with one variance sigma^2, the misfit times V / sigma^2 would be twice the
negative logarithm of their likelihood, to which an observation of E adds ((E - E_0) / SE)^2. So noise = sigma^2 / V,
and sigma^2 is estimated by the fit without the anchor: noise = (1 - R^2) / (cells seen - common parameters). Misses of
one cell last from a time to the next, so that many times say less than they would, were they independent. With the
correlation rho of a miss with the next, their mean has (1 + rho) / (1 - rho) times the variance, and so much larger is
the noise. Where the flows are exact it is 0, and an anchor says nothing; where they leave the elasticity open it
decides. With a noise of 1 and a small SE the elasticity is held.

Derivatives are exact where no step of a price ends at a kink: for each perturbed market one adjoint solve of
`users/differentiable.py`, times the derivatives of its offsets. Cost: 2 k + 1 times the equilibria of the days, for k
providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from prillm_or.calibration.days import Days
from prillm_or.calibration.equilibria import Equilibria
from prillm_or.calibration.parameters import Parameters
from prillm_or.calibration.preferences import Preferences, equilibria
from prillm_or.calibration.price_events import EVENT
from prillm_or.market.market import Array

STEP = EVENT
"""Of a price, up and down."""
RELATIVE_ERROR = 0.3
"""Standard error of an elasticity that is given without one, over the elasticity: what the price changes of models in
one marketplace leave open of theirs (`python -m benchmarks events`)."""
_NOTHING = 1e-6
"""Of what all demand would pay: revenue counts as no less, so that a provider without any has an elasticity."""


@dataclass(frozen=True)
class Anchor:
    """An own-price elasticity known from elsewhere.

    Parameters
    ----------
    providers
        Positions of those whose elasticity it is.
    elasticity, error
        E_0 < 0 and SE > 0 of the module docstring.
    noise
        What one squared standard error adds to the misfit.
    """

    providers: tuple[int, ...]
    elasticity: float
    error: float
    noise: float = 1.0


def response(preferences: Preferences, days: Days, providers: Sequence[int]) -> float:
    """E of the module docstring: the own-price elasticity of some providers together, at a step of a price."""
    steps = _steps(days, providers)
    return steps.elasticity(equilibria(preferences, steps.days).flow.numpy())


class Response:
    """E(theta) and its derivatives.

    Parameters
    ----------
    parameters, days
        What theta means, and the days.
    providers
        Positions of those whose elasticity it is.
    """

    def __init__(self, parameters: Parameters, days: Days, providers: Sequence[int]) -> None:
        self._steps = _steps(days, providers)
        self.equilibria = Equilibria(parameters, self._steps.days)
        """Of the days, and after them of the days with each price moved."""

    def at(self, theta: Array) -> float:
        """E."""
        return self._steps.elasticity(self.equilibria.flow(theta))

    def changes(self, theta: Array) -> Array:
        """Derivatives of E by theta, shape (P,)."""
        slope = torch.from_numpy(self._steps.slope(self.equilibria.flow(theta)))
        gradient, *_ = self.equilibria.at(theta).gradients(slope)
        return np.asarray(np.einsum("tij,tijk->k", gradient.numpy(), self.equilibria.offset_changes(theta)))


@dataclass(frozen=True, eq=False)
class _Steps:
    """The days at today's prices and with each price up and down, and what enters E of their flows f.

    E = sum step f / sum revenue f, all of shape (T (2 k + 1), n, m).
    """

    days: Days
    step: Array
    revenue: Array
    least: float

    def elasticity(self, flow: Array) -> float:
        # No load rises with its price, so that what is above 0 is rounding.
        return min(float((self.step * flow).sum()), 0.0) / max(float((self.revenue * flow).sum()), self.least)

    def slope(self, flow: Array) -> Array:
        """Derivative of E by the flows."""
        revenue = float((self.revenue * flow).sum())
        if revenue <= self.least:
            return self.step / self.least
        return np.asarray((self.step - self.elasticity(flow) * self.revenue) / revenue)


def _steps(days: Days, providers: Sequence[int]) -> _Steps:
    chosen: NDArray[np.intp] = np.array(providers, dtype=np.intp)
    sets = 2 * len(chosen) + 1
    count = len(days.flow)
    paid = np.broadcast_to(days.paid, days.flow.shape)
    price = np.repeat(days.price[None], sets, axis=0)
    step = np.zeros((sets, *days.flow.shape))
    revenue = np.zeros_like(step)
    revenue[0][..., chosen] = paid[..., chosen]
    for place, j in enumerate(chosen):
        for number, sign in ((2 * place + 1, 1.0), (2 * place + 2, -1.0)):
            price[number][..., j] *= 1.0 + sign * STEP
            step[number][..., j] = sign * paid[..., j] / (2.0 * STEP)

    everyday = np.tile(np.arange(count), sets)
    stacked = Days(
        price=price.reshape(sets * count, *days.price.shape[1:]),
        capacity=days.capacity[everyday],
        delay=days.delay[everyday],
        demand=days.demand[everyday],
        offered=days.offered[everyday],
        flow=days.flow[everyday],
        train=days.train[everyday],
    )
    shape = stacked.flow.shape
    least = _NOTHING * float((paid * days.demand[:, :, None]).sum()) or 1.0
    return _Steps(stacked, step.reshape(shape), revenue.reshape(shape), least)
