r"""Misfit: what a fit minimises, as residuals and their exact derivatives.

With weights omega_ti of days and users, the cells C that may be seen, and V = sum_C omega (f - mean f)^2, the misfit is

    sum_C omega (f*_tij(theta) - f_tij)^2 / V                   without more it is 1 - R^2 of the flows seen
    + kappa sum omega (f*_tij(theta) - D_ti s_tj)^2 / V         over all cells: s is the market share
    + OWN / T sum_k r_k(theta)^2 theta_k^2                      over what is a user's own, T days seen
    + OWN / T max(0, log y(theta) / 5)^2                        where there is anything of a user's own
    + noise ((E(theta) - E_0) / SE)^2                           where an elasticity is known, `anchor.py`
    + 1e-16 |theta - theta_0|^2.

The second sum pulls the flows towards independence, demand x market share, which no preference is needed for: kappa is
the shrinkage, the weight of made-up data that the simplest model would give ("catalytic prior"). Where the data say
enough it does nothing, and cross-validation chooses 0. By the third, a user's own weight e times the common one has to
pay for itself with OWN of R^2. Values and prices move flows by their size over what keeps users spread, congestion and
dispersion. So z, the mean price over these, is the factor r_k of own values; of own weights of price it is
sqrt((1 + z^2) / 2), of the others 1. At a price in money alone a fit could let w_q and own values shrink together, the
flows standing still, until they cost nothing. Nor may what is users' own make all of them buy by price alone: beyond
y = 5, with -y about the own-price elasticity weighted by revenue, each squared log unit costs OWN, too. With congestion
alone y is z. With dispersion alone it is z times the price slopes of all pairs in use over revenue, many times z where
users split their demands or prices differ much. The last is far below all that data say: where they say nothing, the
search stays where it began, theta_0, and does not drift.

Derivatives of the flows are those of `users/differentiable.py`, exact on the support at hand: the misfit is piecewise
smooth, and where pieces meet we get the derivative of one of them.

Cost of residuals: an equilibrium a day; of their derivatives: T n m P, time and memory, for P parameters.

Reference: Huang, Stein, Rubin, Kou, "Catalytic prior distributions with application to generalized linear models",
PNAS 117 (2020) 12004-12010, doi 10.1073/pnas.1920913117.
"""

from __future__ import annotations

import numpy as np

from prillm_or.calibration.anchor import Anchor, Response
from prillm_or.calibration.days import Days, independent_flows
from prillm_or.calibration.equilibria import Equilibria
from prillm_or.calibration.parameters import Parameters
from prillm_or.market.market import Array

OWN = 0.03
"""Of R^2 of a day per squared log unit; per squared unit of what keeps users spread for own values."""
_ELASTIC = np.log(5.0)
_STAY = 1e-16
_ROUNDING = 1e-24


class Misfit:
    """Residuals of theta, and their derivatives; both from the same equilibria.

    Parameters
    ----------
    parameters, days
        What theta means, and what was seen.
    shrinkage
        kappa of the module docstring.
    weight
        Shape (T, n), omega.
    start
        theta_0.
    own
        OWN, or another price of what is a user's own.
    anchor
        An elasticity known from elsewhere.
    """

    def __init__(
        self,
        parameters: Parameters,
        days: Days,
        weight: Array,
        shrinkage: float = 0.0,
        start: Array | None = None,
        own: float = OWN,
        anchor: Anchor | None = None,
    ) -> None:
        self._parameters, self._days = parameters, days
        self._seen = days.flow[days.train]
        by_cell = np.broadcast_to(weight[:, :, None], days.flow.shape)
        own_weight = by_cell[days.train]
        mean = float(own_weight @ self._seen / own_weight.sum())
        variation, size = float(own_weight @ (self._seen - mean) ** 2), float(own_weight @ self._seen**2)
        if variation <= _ROUNDING * size:  # all flows alike: there is nothing but their size to measure by
            variation = size
        # Residuals are the square roots of what the misfit adds up, hence their factors those of omega / V and so on.
        self._unit = np.sqrt(own_weight / variation)
        self._pulled = days.cells if shrinkage > 0 else np.zeros_like(days.cells)
        self._independent = independent_flows(days)[self._pulled]
        self._pull = np.sqrt(shrinkage * by_cell[self._pulled] / variation)
        self._anchor = anchor
        if anchor is None:
            self._equilibria = Equilibria(parameters, days)
        else:
            self._response = Response(parameters, days, anchor.providers)
            self._equilibria = self._response.equilibria
            self._anchoring = np.sqrt(anchor.noise) / anchor.error
        counting = days.train & (by_cell > 0)
        self._own = np.sqrt(own / np.count_nonzero(counting.any(axis=(1, 2))))
        self._stay = np.sqrt(_STAY) * np.eye(parameters.size)
        self._start = np.zeros(parameters.size) if start is None else start

    def residuals(self, theta: Array) -> Array:
        """Their squares sum to the misfit: cells seen, cells pulled, what is a user's own, the elasticity."""
        flow = self.flow(theta)
        missed = (flow[self._days.train] - self._seen) * self._unit
        pulled = (flow[self._pulled] - self._independent) * self._pull
        return np.concatenate(
            [missed, pulled, self._of_own(theta), self._stay @ (theta - self._start), self._off_anchor(theta)]
        )

    def jacobian(self, theta: Array) -> Array:
        """Derivatives of the residuals by theta."""
        changes = self.flow_changes(theta)
        seen, pulled = changes[self._days.train], changes[self._pulled]
        anchored = [self._anchoring * self._response.changes(theta)[None]] if self._anchor else []
        return np.concatenate(
            [seen * self._unit[:, None], pulled * self._pull[:, None], self._own_changes(theta), self._stay, *anchored]
        )

    def _of_own(self, theta: Array) -> Array:
        parameters = self._parameters
        factor, _ = parameters.prices_of_shrunk(theta)
        beyond = max(parameters.elasticity(theta)[0] - _ELASTIC, 0.0)
        own = np.append(factor * theta[parameters.shrunk], beyond if parameters.specification.own else 0.0)
        return np.asarray(self._own * own)

    def _own_changes(self, theta: Array) -> Array:
        parameters, shrunk = self._parameters, self._parameters.shrunk
        factor, by_theta = parameters.prices_of_shrunk(theta)
        changes = theta[shrunk][:, None] * by_theta
        changes[np.arange(len(shrunk)), shrunk] += factor
        log_e, by_log = parameters.elasticity(theta)
        beyond = by_log * (parameters.specification.own and log_e > _ELASTIC)
        return np.asarray(self._own * np.vstack([changes, beyond]))

    def _off_anchor(self, theta: Array) -> Array:
        if self._anchor is None:
            return np.empty(0)
        return np.array([self._anchoring * (self._response.at(theta) - self._anchor.elasticity)])

    def flow_changes(self, theta: Array) -> Array:
        """Derivatives of the flows by theta, shape (T, n, m, P)."""
        return self._equilibria.flow_changes(theta, len(self._days.flow))

    def flow(self, theta: Array) -> Array:
        """Flows at theta, shape (T, n, m)."""
        return self._equilibria.flow(theta)[: len(self._days.flow)]
