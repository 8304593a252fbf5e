r"""kkt-indicator: the leader's problem as a convex MIQP, complementarity by indicator rows, no big-M.

    max   profit (concave, `concave.py`)
    s.t.  the followers' KKT system (`kkt.py`)
          u_ij = 0  implies  f_ij  <= 0               on free pairs
          v_ij = 0  implies  mu_ij <= 0               on free pairs
          u_ij + v_ij = 1,  u_ij, v_ij in {0, 1}      on free pairs

Variables          name      unit    shape
  u_ij             use       -       free pairs
  v_ij             unuse     -       free pairs

Pyomo has no component for indicators: the rows lie in `model.implied`, and `model.indicators` lists the (binary, row)
pairs, each row holding where its binary is 0; the back ends post them natively (`solvers/programme.py`). The prices
considered are those of a window (`window.py`). What is exact: as in kkt-bigm, the feasible points are the equilibria.

Reference: Belotti et al., Computational Optimization and Applications 65 (2016) 545-566, doi 10.1007/s10589-016-9847-8.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo

from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.concave import ConcaveProfit
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import kkt_core
from prillm_or.models.prepared import formulate, prepare
from prillm_or.models.window import Window

NEEDS = frozenset({Capability.MIP, Capability.INDICATOR, Capability.CONVEX_MIQP})


@dataclass(frozen=True)
class KktIndicatorOptions:
    """Options of a profile `models/*.toml`.

    Parameters
    ----------
    seeds
        Number of prices whose equilibria give the first tangents, for solvers that need tangents.
    """

    seeds: int = 5


def build(market: Market, options: KktIndicatorOptions, window: Window) -> Formulation:
    """Build the model; parameters and errors as in `kkt_bigm.build`."""
    prepared = prepare(market, window)
    model = kkt_core(prepared.market, prepared.bounds)
    profit = ConcaveProfit(model, prepared.market)
    _add_indicators(model)
    return formulate("kkt-indicator", prepared, model, NEEDS, profit, options.seeds)


def _add_indicators(model: pyo.ConcreteModel) -> None:
    model.use = pyo.Var(model.free, domain=pyo.Binary)
    model.unuse = pyo.Var(model.free, domain=pyo.Binary)
    model.implied = pyo.ConstraintList()
    model.indicators = []
    for pair in model.free:
        model.indicators.append((model.use[pair], model.implied.add(model.flow[pair] <= 0)))
        model.indicators.append((model.unuse[pair], model.implied.add(model.reduced[pair] <= 0)))

    @model.Constraint(model.free)
    def one_of_both(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.use[i, j] + m.unuse[i, j] == 1
