"""Baselines that fit less than we do: no values, or no congestion. Fitted as ours are, and nothing is shrunk.

Both are comparisons of the paper: "npm" explains flows by objective factors alone (price, congestion, delay), b = 0;
"no-congestion" sets w_q = 0.
"""

from __future__ import annotations

from prillm_or.calibration.baselines.given import Given
from prillm_or.calibration.fit import Fit, fit_days
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.specification import Specification
from prillm_or.market.market import Array


def npm(given: Given) -> Array:
    """Flows at the best weights, all providers worth the same."""
    return _flows(given, Specification(values=False))


def no_congestion(given: Given) -> Array:
    """Flows at the best values and weight of delay; congestion only splits what costs the same."""
    return _flows(given, Specification(congestion=False))


def restricted_fit(given: Given, specification: Specification) -> Fit:
    """Fit a specification to the flows seen, without shrinkage."""
    parameters = parameters_of(specification, given.days, given.user_ids, given.provider_ids, "baseline")
    return fit_days(given.days, parameters, weight=given.weight)


def _flows(given: Given, specification: Specification) -> Array:
    return predicted_flows(restricted_fit(given, specification).preferences, given.days)
