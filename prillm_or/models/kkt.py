r"""The followers' KKT system, without complementarity: what all KKT formulations share.

Sets      users i, providers j, decisions k, pairs (i, j) that may be used, free pairs of which it is not yet known.
Data      D_i demand; c_ij cost where nothing congests and all decisions are 0; rho_ik what one more of decision k adds
          to the cost of its provider j(k), 1 of a price; beta_ij and gamma_ij slopes by load and by the user's flow
          (money divided by the user's price weight, as in `bounds.py`).

Variables          name             unit              shape
  y_k              decision         money/volume      decisions
  lambda_i         level            money/volume      users
  x_j              provider_load    volume            providers
  f_ij             flow             volume            pairs
  B_k              billed           volume            decisions that are not the one price of a provider

Constraints
  sum_j f_ij = D_i                                                                    demand
  sum_i f_ij = x_j                                                                    balance
  sum_i rho_ik f_ij(k) = B_k                                                          billing
  mu_ij = c_ij + sum_k:j(k)=j rho_ik y_k + beta_ij x_j + gamma_ij f_ij - lambda_i     the expression `reduced`
  mu_ij = 0 where the pair is always used                                             used
  mu_ij >= 0 on free pairs                                                            stationary

Pairs that are never used, by the bounds, are left out, flows and rows. B_k is there only where a formulation asks for
products of decisions and volumes (`revenue`). What is exact: with mu_ij f_ij = 0 added, the points of this system are
the market's equilibria, one for all decisions (Phi is strictly convex).

Reference: Fortuny-Amat, McCarl, Journal of the Operational Research Society 32 (1981) 783-792,
doi 10.1057/jors.1981.156.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyomo.environ as pyo

from prillm_or.market.decisions import rises
from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds, costs, slopes


def kkt_core(market: Market, bounds: Bounds) -> pyo.ConcreteModel:
    """Build the system above for a market in the model's units."""
    model = pyo.ConcreteModel()
    _add_sets(model, market, bounds)
    _add_variables(model, market, bounds)
    _add_flow_rows(model, market)
    _add_stationarity(model, market)
    return model


def revenue(model: pyo.ConcreteModel, market: Market) -> pyo.Expression:
    """What decisions bring in, sum_k y_k B_k, a product for each; a load, or B_k with its row, which is added here."""
    if market.plain:
        return sum(model.decision[k] * model.provider_load[j] for k, j in enumerate(market.leader))
    rise = rises(market)

    def volume(k: int, flow: Callable[[pyo.Var], float | pyo.Var]) -> pyo.Expression:
        j = market.decisions[k].provider
        return sum(float(rise[i, k]) * flow(model.flow[i, j]) for i in model.users_of[j])

    def ends(_: pyo.ConcreteModel, k: int) -> tuple[float, float]:
        return volume(k, lambda flow: flow.lb), volume(k, lambda flow: flow.ub)

    model.billed = pyo.Var(model.decisions, bounds=ends)

    @model.Constraint(model.decisions)
    def billing(m: pyo.ConcreteModel, k: int) -> pyo.Expression:
        return volume(k, lambda flow: flow) == m.billed[k]

    return sum(model.decision[k] * model.billed[k] for k in model.decisions)


def add_slack(model: pyo.ConcreteModel, bounds: Bounds) -> None:
    """Add the reduced costs of free pairs as variables mu_ij, `slack`, and the rows that say so."""
    model.slack = pyo.Var(model.free, bounds=lambda _, i, j: (0.0, float(bounds.reduced_high[i, j])))

    @model.Constraint(model.free)
    def slack_is_reduced_cost(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.slack[i, j] == m.reduced[i, j]


def _add_sets(model: pyo.ConcreteModel, market: Market, bounds: Bounds) -> None:
    pairs = [(int(i), int(j)) for i, j in zip(*bounds.possible.nonzero(), strict=True)]
    model.users = pyo.Set(initialize=range(market.n))
    model.providers = pyo.Set(initialize=range(market.m))
    model.decisions = pyo.Set(initialize=range(len(market.decisions)))
    model.pairs = pyo.Set(initialize=pairs, dimen=2)
    model.free = pyo.Set(initialize=[pair for pair in pairs if not bounds.certain[pair]], dimen=2)
    model.certain = pyo.Set(initialize=[pair for pair in pairs if bounds.certain[pair]], dimen=2)
    model.users_of = {j: [i for i, k in pairs if k == j] for j in range(market.m)}
    model.providers_of = {i: [j for k, j in pairs if k == i] for i in range(market.n)}


def _add_variables(model: pyo.ConcreteModel, market: Market, bounds: Bounds) -> None:
    decisions = _ranges(bounds.price_low, bounds.price_high)
    levels, loads = _ranges(bounds.level_low, bounds.level_high), _ranges(bounds.load_low, bounds.load_high)
    model.decision = pyo.Var(model.decisions, bounds=lambda _, k: decisions[k])
    model.level = pyo.Var(model.users, bounds=lambda _, i: levels[i])
    model.provider_load = pyo.Var(model.providers, bounds=lambda _, j: loads[j])
    model.flow = pyo.Var(
        model.pairs, bounds=lambda _, i, j: (float(bounds.flow_low[i, j]), float(bounds.flow_high[i, j]))
    )


def _ranges(low: Array, high: Array) -> list[tuple[float, float]]:
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _add_flow_rows(model: pyo.ConcreteModel, market: Market) -> None:
    @model.Constraint(model.users)
    def demand(m: pyo.ConcreteModel, i: int) -> pyo.Expression:
        return sum(m.flow[i, j] for j in m.providers_of[i]) == float(market.demand[i])

    @model.Constraint(model.providers)
    def balance(m: pyo.ConcreteModel, j: int) -> pyo.Expression:
        return sum(m.flow[i, j] for i in m.users_of[j]) == m.provider_load[j]


def _add_stationarity(model: pyo.ConcreteModel, market: Market) -> None:
    cost, rise = costs(market, np.zeros(len(market.decisions))), rises(market)
    by_load, own = slopes(market)

    @model.Expression(model.pairs)
    def reduced(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        decided = sum(float(rise[i, k]) * m.decision[k] for k in m.decisions if market.decisions[k].provider == j)
        crowded = float(by_load[i, j]) * m.provider_load[j] + float(own[i, j]) * m.flow[i, j]
        return float(cost[i, j]) + decided + crowded - m.level[i]

    @model.Constraint(model.certain)
    def used(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.reduced[i, j] == 0

    @model.Constraint(model.free)
    def stationary(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.reduced[i, j] >= 0
