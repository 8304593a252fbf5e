r"""mpec: the leader's problem as a programme with complementarity conditions, handed to Pyomo's own transformation.

    max   the profit as in kkt-bilinear
    s.t.  the followers' KKT system (`kkt.py`): demand, balance, used
          f_ij >= 0  _|_  mu_ij >= 0                  on free pairs           complementary

Sets, data and variables are those of `kkt.py`; bounds those of `bounds.py` for all decisions in [0, cap].
Pyomo's transformation `mpec.simple_nonlinear` turns each condition into

    mu_ij >= 0,   v_ij = f_ij,   v_ij >= 0,   v_ij mu_ij <= epsilon                   complementary[i, j].c, .ve, .ccon

Variables          name                      unit              shape
  v_ij             complementary[i, j].v     volume            free pairs
Data               name                      unit              shape
  epsilon          epsilon (a parameter)     model's money     -       1e-7, in units in which the most that caps charge
                                                                       and the mean demand are 1

It is solved once, from the middle of all bounds. This is the "pMPEC" of Guo, Bai, Jin (AAAI 2026, doi
10.1609/aaai.v40i20.38748) as we read it: "generic solvers via Pyomo" are, in Pyomo, `mpec_nlp` with Ipopt, one solve
with epsilon = 1e-7 from a default start. The paper's settings and its bounds are not known.

What is exact: with epsilon = 0 the feasible points are the equilibria, one for each set of decisions, for any users'
weights. What is local: the answer, a point that no feasible direction improves to first order at best (no constraint
qualification holds at epsilon = 0, so not even that is certain), and with it the dependence on the start. Its price
alone counts, judged at the true equilibrium; there is no bound. Complementarity conditions that no transformation has
turned into rows are ignored without a word by several interfaces of Pyomo: the builder makes sure that none is left.

Reference: Luo, Pang, Ralph, Mathematical Programs with Equilibrium Constraints, Cambridge University Press 1996, doi
10.1017/CBO9780511983658 (?; known, not re-read).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyomo.environ as pyo
from pyomo.mpec import Complementarity, complements
from pyomo.mpec.complementarity import ComplementarityData

from prillm_or.market.market import Market
from prillm_or.models.formulation import scaled_market
from prillm_or.models.relaxed import NEEDS, Relaxed, relaxed_core
from prillm_or.models.window import Window


@dataclass(frozen=True)
class MpecOptions:
    """Options of a profile `models/*.toml`.

    Parameters
    ----------
    epsilon
        What a product of a flow and a reduced cost may be, in the model's units; > 0.
    """

    epsilon: float = 1e-7

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise ValueError(f"epsilon: expected > 0, got {self.epsilon}")


def build(market: Market, options: MpecOptions, window: Window) -> Relaxed:
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
    _add_complementarity(model)
    pyo.TransformationFactory("mpec.simple_nonlinear").apply_to(model, mpec_bound=options.epsilon)
    assert_transformed(model)
    model.nonlinear = pyo.Reference(model.complementary[...].ccon, ctype=pyo.Constraint)
    return Relaxed(
        name="mpec",
        market=scaled,
        money=money,
        volume=volume,
        decision=decision,
        model=model,
        bounds=bounds,
        needs=NEEDS,
        profit=None,
        epsilon=model.mpec_bound,
        schedule=(options.epsilon,),
    )


def _add_complementarity(model: pyo.ConcreteModel) -> None:
    @model.Complementarity(model.free)
    def complementary(m: pyo.ConcreteModel, i: int, j: int) -> object:
        return complements(m.flow[i, j] >= 0, m.reduced[i, j] >= 0)


def assert_transformed(model: pyo.ConcreteModel) -> None:
    """Make sure that every complementarity condition has become a row.

    Raises
    ------
    RuntimeError
        When one has not: a fault of ours. The message names it.
    """
    left = [part.name for part in model.component_objects(Complementarity, descend_into=pyo.Block)]
    left += [
        block.name  # of another transformation, or passed over
        for block in model.block_data_objects()
        if isinstance(block, ComplementarityData) and block.component("ccon") is None
    ]
    if left:
        raise RuntimeError(f"complementarity conditions without a row: {', '.join(left)}")
