r"""kkt-bilinear: the leader's revenue as it is, a product of prices and loads; complementarity as in kkt-bigm.

    max   sum_{j in L} (p_j - k_j) x_j
    s.t.  the followers' KKT system (`kkt.py`)
          binaries u_ij and derived big-M values (`kkt_bigm.py`)

What is exact: the feasible points are the equilibria, for any users' weights, since no identity is used. The product is
not concave, so the solver must branch on it, too: this is what `concave.py` saves. The prices considered are those of
`window.py`.

Reference: McCormick, Mathematical Programming 10 (1976) 147-175, doi 10.1007/BF01580665 (the relaxation solvers use).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo

from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import kkt_core
from prillm_or.models.kkt_bigm import add_binaries
from prillm_or.models.prepared import formulate, prepare

NEEDS = frozenset({Capability.MIP, Capability.NONCONVEX})


@dataclass(frozen=True)
class KktBilinearOptions:
    """Options of a profile `models/*.toml`: none."""


def build(market: Market, options: KktBilinearOptions, best_profit: float) -> Formulation:
    """Build the model; parameters as in `kkt_bigm.build`."""
    prepared = prepare(market, best_profit)
    model = kkt_core(prepared.market, prepared.bounds)
    add_binaries(model, prepared.bounds)
    model.objective = pyo.Objective(expr=bilinear_profit(model, prepared.market), sense=pyo.maximize)
    return formulate("kkt-bilinear", prepared, model, NEEDS, profit=None)


def bilinear_profit(model: pyo.ConcreteModel, market: Market) -> pyo.Expression:
    """The sum of (p_j - k_j) x_j over the leader's providers."""
    return sum((model.price[j] - float(market.unit_cost[j])) * model.provider_load[j] for j in model.leader)
