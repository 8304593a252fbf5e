r"""strong-duality: complementarity replaced by one row, equality of the follower's primal and dual objectives.

    max   the profit as in kkt-bilinear
    s.t.  the followers' KKT system without complementarity (`kkt.py`): primal and dual feasibility
          sum_i lambda_i D_i  >=  sum_k y_k B_k + sum_ij c_ij f_ij + sum_ij f_ij (beta_ij x_j + gamma_ij f_ij)

with c_ij the cost where all decisions are 0 and nothing congests. The right side less the left one is
sum_ij f_ij mu_ij, the gap between the follower's objective and Dorn's dual of it (each user's part divided by its price
weight); it is never negative, so the row makes it zero and with it every product f_ij mu_ij.

What is exact: the feasible points are the equilibria. The row is not convex: decisions times volumes stand in it.
Relaxations of it are weak (`benchmarks/`), which is why this formulation is here to compare with.

Reference: Dorn, Quarterly of Applied Mathematics 18 (1960) 155-162, doi 10.1090/qam/112751.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo

from prillm_or.market.market import Market
from prillm_or.models.bounds import costs, slopes
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import kkt_core
from prillm_or.models.kkt_bilinear import add_profit
from prillm_or.models.prepared import formulate, prepare
from prillm_or.models.window import Window

NEEDS = frozenset({Capability.NONCONVEX})


@dataclass(frozen=True)
class StrongDualityOptions:
    """Options of a profile `models/*.toml`: none."""


def build(market: Market, options: StrongDualityOptions, window: Window) -> Formulation:
    """Build the model; parameters as in `kkt_bigm.build`."""
    prepared = prepare(market, window)
    model = kkt_core(prepared.market, prepared.bounds)
    earned = add_profit(model, prepared.market)
    model.nonlinear = pyo.Constraint(expr=_duality_gap(model, prepared.market, earned) <= 0)
    return formulate("strong-duality", prepared, model, NEEDS, profit=None)


def _duality_gap(model: pyo.ConcreteModel, market: Market, earned: pyo.Expression) -> pyo.Expression:
    """The sum of f_ij mu_ij, written as primal less dual objective; `earned` is the sum of y_k B_k."""
    cost, (by_load, own) = costs(market, np.zeros(len(market.decisions))), slopes(market)
    spent = sum(
        (float(cost[i, j]) + float(by_load[i, j]) * model.provider_load[j] + float(own[i, j]) * model.flow[i, j])
        * model.flow[i, j]
        for i, j in model.pairs
    )
    return earned + spent - sum(float(market.demand[i]) * model.level[i] for i in model.users)
