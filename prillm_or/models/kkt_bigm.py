r"""kkt-bigm: the leader's problem as a convex MIQP, complementarity by binaries and derived big-M values.

    max   profit (concave, `concave.py`)
    s.t.  the followers' KKT system (`kkt.py`)
          f_ij  <= flow_high_ij u_ij                  on free pairs
          mu_ij <= reduced_high_ij (1 - u_ij)         on free pairs
          u_ij in {0, 1}

Variables          name     unit    shape
  u_ij             use      -       free pairs

flow_high and reduced_high are proven in `bounds.py`, where their derivation stands. What is exact: u_ij = 1 forces
mu_ij = 0 and u_ij = 0 forces f_ij = 0, so the feasible points are exactly the equilibria, and at these the concave
profit is the true one; no bound cuts off an equilibrium of the prices considered.

The prices considered are those of a window (`window.py`).

Reference: Fortuny-Amat, McCarl (1981), doi 10.1057/jors.1981.156.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo

from prillm_or.market.market import Market
from prillm_or.models.bounds import Bounds
from prillm_or.models.capabilities import Capability
from prillm_or.models.concave import ConcaveProfit
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import kkt_core
from prillm_or.models.prepared import formulate, prepare
from prillm_or.models.window import Window

NEEDS = frozenset({Capability.MIP, Capability.CONVEX_MIQP})


@dataclass(frozen=True)
class KktBigmOptions:
    """Options of a profile `models/*.toml`.

    Parameters
    ----------
    big_m
        One M for every pair instead of the derived ones, in currency per volume unit, and no other bound: what to
        compare with. It must not be below the largest derived one.
    seeds
        Number of prices whose equilibria give the first tangents.
    """

    big_m: float | None = None
    seeds: int = 5


def build(market: Market, options: KktBigmOptions, window: Window) -> Formulation:
    """Build the model.

    Parameters
    ----------
    market
        In the user's units.
    options
        From a profile.
    window
        The decisions considered, in the user's units.

    Raises
    ------
    CombinationError
        When the profit is not concave (see `concave.py`), or a given M is not proven.
    """
    prepared = prepare(market, window, options.big_m)
    model = kkt_core(prepared.market, prepared.bounds)
    profit = ConcaveProfit(model, prepared.market)
    add_binaries(model, prepared.bounds)
    return formulate("kkt-bigm", prepared, model, NEEDS, profit, options.seeds)


def add_binaries(model: pyo.ConcreteModel, bounds: Bounds) -> None:
    """Complementarity on free pairs: the variables u and the two families of rows above."""
    model.use = pyo.Var(model.free, domain=pyo.Binary)

    @model.Constraint(model.free)
    def unused(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.flow[i, j] <= float(bounds.flow_high[i, j]) * m.use[i, j]

    @model.Constraint(model.free)
    def tight(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.reduced[i, j] <= float(bounds.reduced_high[i, j]) * (1 - m.use[i, j])
