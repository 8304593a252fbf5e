r"""The followers' KKT system, without complementarity: what all KKT formulations share.

Sets      users i, providers j, leader L, pairs (i, j) that may be used, free pairs of which it is not yet known.
Data      D_i demand, alpha_j capacity, c_ij cost without congestion and without the leader's price, r_i = w_q,i / w_p,i
          (money divided by the user's price weight, as in `bounds.py`).

Variables          name          unit              shape
  p_j              price         money/volume      L
  lambda_i         level         money/volume      users
  x_j              load          volume            providers
  f_ij             flow          volume            pairs

Constraints
  sum_j f_ij = D_i                                                        demand
  sum_i f_ij = x_j                                                        balance
  mu_ij = c_ij + p_j [j in L] + (r_i / alpha_j)(x_j + f_ij) - lambda_i    the expression `reduced`
  mu_ij = 0 where the pair is always used                                 used
  mu_ij >= 0 on free pairs                                                stationary

Pairs that are never used, by the bounds, are left out, flows and rows. What is exact: with mu_ij f_ij = 0 added, the
points of this system are the market's equilibria, one for each price vector (Phi is strictly convex).

Reference: Fortuny-Amat, McCarl, Journal of the Operational Research Society 32 (1981) 783-792,
doi 10.1057/jors.1981.156.
"""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo

from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds, costs, weight_ratio


def kkt_core(market: Market, bounds: Bounds) -> pyo.ConcreteModel:
    """Build the system above for a market in the model's units."""
    model = pyo.ConcreteModel()
    _add_sets(model, market, bounds)
    _add_variables(model, market, bounds)
    _add_flow_rows(model, market)
    _add_stationarity(model, market)
    return model


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
    model.leader = pyo.Set(initialize=market.leader)
    model.pairs = pyo.Set(initialize=pairs, dimen=2)
    model.free = pyo.Set(initialize=[pair for pair in pairs if not bounds.certain[pair]], dimen=2)
    model.certain = pyo.Set(initialize=[pair for pair in pairs if bounds.certain[pair]], dimen=2)
    model.users_of = {j: [i for i, k in pairs if k == j] for j in range(market.m)}
    model.providers_of = {i: [j for k, j in pairs if k == i] for i in range(market.n)}


def _add_variables(model: pyo.ConcreteModel, market: Market, bounds: Bounds) -> None:
    own = {j: (float(bounds.price_low[a]), float(bounds.price_high[a])) for a, j in enumerate(market.leader)}
    model.price = pyo.Var(model.leader, bounds=lambda _, j: own[j])
    levels, loads = _ranges(bounds.level_low, bounds.level_high), _ranges(bounds.load_low, bounds.load_high)
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
    cost = costs(market, np.zeros(len(market.leader)))
    slope = weight_ratio(market)[:, None] / market.capacity

    @model.Expression(model.pairs)
    def reduced(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        price = m.price[j] if j in m.leader else 0.0
        return float(cost[i, j]) + price + float(slope[i, j]) * (m.provider_load[j] + m.flow[i, j]) - m.level[i]

    @model.Constraint(model.certain)
    def used(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.reduced[i, j] == 0

    @model.Constraint(model.free)
    def stationary(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.reduced[i, j] >= 0
