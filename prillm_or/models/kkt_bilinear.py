r"""kkt-bilinear: the leader's revenue as it is, products of decisions and volumes; complementarity as in kkt-bigm.

    max   sum_k y_k B_k + sum_{j in L} sum_i m_ij f_ij
    s.t.  the followers' KKT system (`kkt.py`)
          binaries u_ij and derived big-M values (`kkt_bigm.py`)

B_k is the volume that y_k is the price of, the load of a single price, and m_ij what a unit of user i earns at j where
all decisions are 0: what is not decided of its price, less its cost. What is exact: the feasible points are the
equilibria, for any users' weights and mixes, since no identity is used. A product is not concave, so the solver must
branch on it, too: this is what `concave.py` saves. The prices considered are those of a window.

Reference: McCormick, Mathematical Programming 10 (1976) 147-175, doi 10.1007/BF01580665 (the relaxation solvers use).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo

from prillm_or.market.decisions import all_prices, per_unit
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import kkt_core, revenue
from prillm_or.models.kkt_bigm import add_binaries
from prillm_or.models.prepared import formulate, prepare
from prillm_or.models.window import Window

NEEDS = frozenset({Capability.MIP, Capability.NONCONVEX})


@dataclass(frozen=True)
class KktBilinearOptions:
    """Options of a profile `models/*.toml`: none."""


def build(market: Market, options: KktBilinearOptions, window: Window) -> Formulation:
    """Build the model; parameters as in `kkt_bigm.build`."""
    prepared = prepare(market, window)
    model = kkt_core(prepared.market, prepared.bounds)
    add_binaries(model, prepared.bounds)
    add_profit(model, prepared.market)
    return formulate("kkt-bilinear", prepared, model, NEEDS, profit=None)


def add_profit(model: pyo.ConcreteModel, market: Market) -> pyo.Expression:
    """Add the objective above; return the first of its two sums."""
    earned, own = revenue(model, market), list(market.leader)
    margin = per_unit(market, all_prices(market, 0.0)[own] - market.unit_cost[own])
    if margin.ndim == 1:
        beside = sum(float(margin[a]) * model.provider_load[j] for a, j in enumerate(own))
    else:
        beside = sum(float(margin[i, a]) * model.flow[i, j] for a, j in enumerate(own) for i in model.users_of[j])
    model.objective = pyo.Objective(expr=earned + beside, sense=pyo.maximize)
    return earned
