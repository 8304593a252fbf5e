r"""strong-duality: complementarity replaced by one row, equality of the follower's primal and dual objectives.

    max   sum_{j in L} (p_j - k_j) x_j
    s.t.  the followers' KKT system without complementarity (`kkt.py`): primal and dual feasibility
          sum_i lambda_i D_i  >=  sum_{j in L} p_j x_j + sum_{j not in L} p_j x_j + sum_ij e_ij f_ij
                                  + sum_j (1 / alpha_j) sum_i r_i f_ij (x_j + f_ij)

with e_ij = (w_d,i d_ij - b_j) / w_p,i. The right side less the left one is sum_ij f_ij mu_ij, the gap between the
follower's objective and Dorn's dual of it (each user's part divided by its price weight); it is never negative, so the
row makes it zero and with it every product f_ij mu_ij.

What is exact: the feasible points are the equilibria. The row is not convex: the users' prices times the loads stand in
it. Relaxations of it are weak (`benchmarks/`), which is why this formulation is here to compare with.

Reference: Dorn, Quarterly of Applied Mathematics 18 (1960) 155-162, doi 10.1090/qam/112751.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo

from prillm_or.market.market import Market
from prillm_or.models.bounds import own_costs, weight_ratio
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import kkt_core
from prillm_or.models.kkt_bilinear import bilinear_profit
from prillm_or.models.prepared import formulate, prepare

NEEDS = frozenset({Capability.NONCONVEX})


@dataclass(frozen=True)
class StrongDualityOptions:
    """Options of a profile `models/*.toml`: none."""


def build(market: Market, options: StrongDualityOptions, best_profit: float) -> Formulation:
    """Build the model; parameters as in `kkt_bigm.build`."""
    prepared = prepare(market, best_profit)
    model = kkt_core(prepared.market, prepared.bounds)
    model.nonlinear = pyo.Constraint(expr=_duality_gap(model, prepared.market) <= 0)
    model.objective = pyo.Objective(expr=bilinear_profit(model, prepared.market), sense=pyo.maximize)
    return formulate("strong-duality", prepared, model, NEEDS, profit=None)


def _duality_gap(model: pyo.ConcreteModel, market: Market) -> pyo.Expression:
    """The sum of f_ij mu_ij, written as primal less dual objective."""
    own = own_costs(market)
    ratio = weight_ratio(market)
    paid = sum(
        (model.price[j] if j in model.leader else float(market.price[j])) * model.provider_load[j]
        for j in model.providers
    )
    waited = sum(float(own[i, j]) * model.flow[i, j] for i, j in model.pairs)
    crowded = sum(
        float(ratio[i] / market.capacity[j]) * model.flow[i, j] * (model.provider_load[j] + model.flow[i, j])
        for i, j in model.pairs
    )
    return paid + waited + crowded - sum(float(market.demand[i]) * model.level[i] for i in model.users)
