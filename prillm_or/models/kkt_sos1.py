r"""kkt-sos1: the leader's problem as a convex QP with special ordered sets; complementarity by branching, no big-M.

    max   profit (concave, `concave.py`)
    s.t.  the followers' KKT system (`kkt.py`)
          mu_ij = the reduced cost of (i, j)          on free pairs
          at most one of f_ij, mu_ij is not zero      on free pairs

Variables          name     unit            shape
  mu_ij            slack    money/volume    free pairs, 0 <= mu_ij <= reduced_high_ij

The prices considered are those of a window (`window.py`), the bounds those of `bounds.py`; they help the solver's own
presolve, and nothing rests on a big-M value. What is exact: as in kkt-bigm, the feasible points are the equilibria.

Reference: Siddiqui, Gabriel, Networks and Spatial Economics 13 (2013) 205-227, doi 10.1007/s11067-012-9178-y.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo

from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.concave import ConcaveProfit
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import add_slack, kkt_core
from prillm_or.models.prepared import formulate, prepare
from prillm_or.models.window import Window

NEEDS = frozenset({Capability.SOS1, Capability.CONVEX_MIQP})


@dataclass(frozen=True)
class KktSos1Options:
    """Options of a profile `models/*.toml`.

    Parameters
    ----------
    seeds
        Number of prices whose equilibria give the first tangents, for solvers that need tangents.
    """

    seeds: int = 5


def build(market: Market, options: KktSos1Options, window: Window) -> Formulation:
    """Build the model; parameters and errors as in `kkt_bigm.build`."""
    prepared = prepare(market, window)
    model = kkt_core(prepared.market, prepared.bounds)
    profit = ConcaveProfit(model, prepared.market)
    add_slack(model, prepared.bounds)
    _add_sets(model)
    return formulate("kkt-sos1", prepared, model, NEEDS, profit, options.seeds)


def _add_sets(model: pyo.ConcreteModel) -> None:
    @model.SOSConstraint(model.free, sos=1)
    def complementary(m: pyo.ConcreteModel, i: int, j: int) -> list[pyo.Var]:
        return [m.flow[i, j], m.slack[i, j]]
