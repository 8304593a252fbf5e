"""Relaxed: a formulation whose complementarity is relaxed by epsilon, for local solvers of smooth programmes."""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo

from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds, derive_bounds
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt import kkt_core
from prillm_or.models.kkt_bilinear import add_profit
from prillm_or.models.window import whole_window

NEEDS = frozenset({Capability.NLP})


@dataclass(frozen=True, eq=False, kw_only=True)
class Relaxed(Formulation):
    """A formulation to be solved for each epsilon of a schedule in turn, from each of several starts.

    Parameters
    ----------
    epsilon
        The mutable Pyomo parameter in the rows that relax complementarity, money (all rows are in the model's units).
    schedule
        Its values, in the order in which to take them.
    starts
        Decisions, shape (k,) each, in the model's units, to start from with the users' equilibrium there; none: one
        start in the middle of all bounds.
    """

    epsilon: pyo.Param
    schedule: tuple[float, ...]
    starts: tuple[Array, ...] = ()

    def start_in_the_middle(self) -> None:
        """Set every variable to the middle of its bounds, or to its only bound."""
        for variable in self.model.component_data_objects(pyo.Var):
            ends = [end for end in variable.bounds if end is not None]
            variable.set_value(sum(ends) / max(1, len(ends)), skip_validation=True)


def relaxed_core(market: Market) -> tuple[pyo.ConcreteModel, Bounds]:
    """The followers' KKT system and the profit as it is, bounded by what is proven of all decisions in [0, cap].

    The rows mu_ij >= 0 on free pairs are left to the formulation, which states them with their complementarity.

    Parameters
    ----------
    market
        In the model's units.
    """
    bounds = derive_bounds(market, whole_window(market))
    model = kkt_core(market, bounds)
    model.del_component(model.stationary)
    add_profit(model, market)
    return model, bounds
