"""Finite differences: the misfit of our common preferences, searched by who cannot differentiate an equilibrium.

Everything goes through `Misfit.residuals`: L-BFGS-B takes its derivatives from forward differences, P + 1 equilibria a
day for each, with P parameters. As in a fit, a few steps from each starting point decide who goes on, for at their
start all explain the flows alike. Nothing is shrunk.

Reference: Byrd, Lu, Nocedal, Zhu, "A limited memory algorithm for bound constrained optimization", SIAM Journal on
Scientific Computing 16 (1995) 1190-1208, doi 10.1137/0916069.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, OptimizeResult, minimize

from prillm_or.calibration.baselines.given import Given
from prillm_or.calibration.fit import starting_points
from prillm_or.calibration.misfit import Misfit
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array

_ROUGH, _MOST = 10, 200


def finite_differences(given: Given) -> Array:
    """Flows at the preferences found."""
    days = given.days
    parameters = parameters_of(Specification(), days, given.user_ids, given.provider_ids, "finite-differences")
    misfit = Misfit(parameters, days, given.weight)

    def squares(theta: Array) -> float:
        residuals = misfit.residuals(theta)
        return float(residuals @ residuals)

    bounds = Bounds(*parameters.bounds())

    def descend(theta: Array, most: int) -> OptimizeResult:
        return minimize(squares, theta, method="L-BFGS-B", jac="2-point", bounds=bounds, options={"maxiter": most})

    rough = [descend(theta, _ROUGH) for theta in starting_points(days, parameters)]
    found = descend(min(rough, key=lambda end: float(end.fun)).x, _MOST)
    return predicted_flows(parameters.unpack(np.asarray(found.x)), days)
