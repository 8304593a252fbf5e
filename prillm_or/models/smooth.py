r"""smooth: the leader's problem with complementarity relaxed by a shrinking epsilon (Scholtes), from several starts.

    max   the profit as in kkt-bilinear
    s.t.  the followers' KKT system (`kkt.py`): demand, balance, used
          mu_ij = the reduced cost of (i, j)          on free pairs           slack_is_reduced_cost
          f_ij mu_ij <= epsilon                       on free pairs           nonlinear

Sets, data and the other variables are those of `kkt.py`; bounds those of `bounds.py` for all decisions in
[0, cap].

Variables          name        unit              shape
  mu_ij            slack       money/volume      free pairs, 0 <= mu_ij <= reduced_high_ij
Data               name        unit              shape
  epsilon          epsilon     model's money     -            1, 0.1, ... 1e-8, in units in which the most that caps
                                                              charge and the mean demand are 1

The first start is the users' equilibrium at a decision; each epsilon starts from the solution of the one before it. The
starts are spread evenly, at the middles of equal parts of [0, cap], all of the leader's prices at the same share of
their caps. The larger the first epsilon, the less the start matters: at 1 the rows hardly bind, and all starts soon
meet in one point; the smaller it is, the more the method is a local search from the start.

This stands for the "Smooth" of Guo, Bai, Jin (AAAI 2026, doi 10.1609/aaai.v40i20.38748), of which we know no more than
one sentence (complementarity relaxed to smooth inequalities, then a standard solver); the relaxation, its schedule and
its starts are our choice.

What is exact: for epsilon = 0 the feasible points are the equilibria, for any users' weights; for epsilon > 0 they
contain them, so that the *global* optimum of each relaxation would be a bound. What is local: the solver finds a local
one, which is none. Limits of stationary points as epsilon falls are C-stationary under a constraint qualification: a
weak property, that does not even exclude directions of ascent. The answer's price alone counts, judged at the true
equilibrium.

Reference: Scholtes, SIAM Journal on Optimization 11 (2001) 918-936, doi 10.1137/S1052623499361233 (known, not re-read;
the DOI and the convergence to C-stationary points were seen in other sources).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo

from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds
from prillm_or.models.formulation import scaled_market
from prillm_or.models.kkt import add_slack
from prillm_or.models.relaxed import NEEDS, Relaxed, relaxed_core
from prillm_or.models.window import Window


@dataclass(frozen=True)
class SmoothOptions:
    """Options of a profile `models/*.toml`.

    Parameters
    ----------
    starts
        Number of prices to start from, at least 1.
    epsilon_first, epsilon_last
        Where the schedule begins and ends, in the model's units; the first at least the last, both > 0.
    factor
        Of one epsilon to the one before it, between 0 and 1.
    """

    starts: int = 3
    epsilon_first: float = 1.0
    epsilon_last: float = 1e-8
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.starts < 1:
            raise ValueError(f"starts: expected at least 1, got {self.starts}")
        if not self.epsilon_first >= self.epsilon_last > 0:
            raise ValueError(
                f"expected epsilon_first >= epsilon_last > 0, got {self.epsilon_first} and {self.epsilon_last}"
            )
        if not 0 < self.factor < 1:
            raise ValueError(f"factor: expected a number between 0 and 1, got {self.factor}")

    @property
    def schedule(self) -> tuple[float, ...]:
        """All epsilons, falling by the factor, the last one exactly as given."""
        steps = math.ceil(math.log(self.epsilon_last / self.epsilon_first) / math.log(self.factor) - 1e-9)
        return (*(self.epsilon_first * self.factor**k for k in range(steps)), self.epsilon_last)


def build(market: Market, options: SmoothOptions, window: Window) -> Relaxed:
    """Build the model.

    Parameters
    ----------
    market
        In the user's units.
    options
        From a profile.
    window
        Ignored: a local method looks everywhere.
    """
    scaled, money, volume, decision = scaled_market(market)
    model, bounds = relaxed_core(scaled)
    _add_relaxed_complementarity(model, bounds, options.epsilon_first)
    return Relaxed(
        name="smooth",
        market=scaled,
        money=money,
        volume=volume,
        decision=decision,
        model=model,
        bounds=bounds,
        needs=NEEDS,
        profit=None,
        epsilon=model.epsilon,
        schedule=options.schedule,
        starts=_spread(scaled.price_cap, options.starts),
    )


def _add_relaxed_complementarity(model: pyo.ConcreteModel, bounds: Bounds, first: float) -> None:
    add_slack(model, bounds)
    model.epsilon = pyo.Param(mutable=True, initialize=first)

    @model.Constraint(model.free)
    def nonlinear(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.flow[i, j] * m.slack[i, j] <= m.epsilon


def _spread(cap: Array, count: int) -> tuple[Array, ...]:
    shares = (np.arange(count) + 0.5) / count
    return tuple(share * cap for share in shares)
