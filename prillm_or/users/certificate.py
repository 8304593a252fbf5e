"""Independent checks: the one definition each of profit, KKT residual, regret and gap.

Nothing here shares code with the solvers: everything is recomputed from the market, the leader's decisions and the
flows, in each user's own money. With beta_ij = w_q,i / alpha_j, m_ij = c_ij + beta_ij (x_j + f_ij / count_i) +
s_ij f_ij / D_i, lambda_i = min_j m_ij and S_i = max_j |c_ij| + max_j beta_ij x_j + max_j s_ij,

* the KKT residual is the largest of |sum_j f_ij - D_i| / D_i, -f_ij / D_i and sum_j f_ij (m_ij - lambda_i) / (D_i S_i);
* the largest regret is the largest saving of one user deviating alone, over sum_j f_ij (|c_ij| + beta_ij x_j + s_ij).

One of the count_i users of a row has the demand D_i / count_i. Let h_ij be what all of them would take if each did as
this one. Its best reply to the loads y_j = x_j - f_ij / count_i of all others minimises
sum_j h_ij (c_ij + beta_ij (y_j + h_ij / count_i) + s_ij h_ij / (2 D_i)) with sum_j h_ij = D_i: it fills providers in
the order of c_ij + beta_ij y_j up to a common marginal cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import numpy as np
from numpy.typing import ArrayLike

from prillm_or.errors import ConvergenceError
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Array, Market
from prillm_or.result import Certificate

CERTIFIED = 1e-6
"""Largest KKT residual, and largest regret, of flows that count as the users' equilibrium."""

_BLOCK = 16_384

# Half the time of `max`, `min` and `sum` of few numbers.
_largest, _least, _total = np.maximum.reduce, np.minimum.reduce, np.add.reduce


def profit_of(market: Market, decisions: ArrayLike, billed: Array) -> float:
    """Sum over what the leader bills of (price - unit cost) times volume, in currency per period.

    `billed` is the loads, shape (m,), of a `plain` market, else the billed volumes, shape (m, C), C being 1 without
    components.
    """
    own = list(market.leader)
    margin = all_prices(market, decisions)[own] - market.unit_cost[own]
    return float(margin.ravel() @ billed[own].ravel()) + 0.0  # never -0


def relative_gap(upper_bound: float, profit: float) -> float:
    """Gap (upper_bound - profit) / max(|profit|, 1e-9)."""
    return (upper_bound - profit) / max(abs(profit), 1e-9)


def certify(market: Market, decisions: ArrayLike, flow: Array, load: Array | None = None) -> Certificate:
    """Check that `flow`, shape (n, m), is the users' equilibrium at the leader's decisions, shape (k,).

    Loads are what the flows come to, or `load`, shape (m,), where these are some users beside others.


    Both figures are 0 at the exact equilibrium and free of units. Flows at several decisions, shapes (D, n, m) and
    (D, k), are checked at once: the worst of each figure. Cost: n m log m for each, in blocks of bounded memory.
    """
    flows = flow.reshape(-1, *flow.shape[-2:])
    each = np.asarray(decisions).reshape(len(flows), -1)
    prices = np.array([all_prices(market, values) for values in each])
    loads = _total(flows, axis=1) if load is None else np.broadcast_to(load, (len(flows), market.m))
    rows = max(1, _BLOCK // (market.m * len(flows)))
    blocks = [slice(first, first + rows) for first in range(0, market.n, rows)]
    return worst([_certify_users(market, block, prices, loads, flows[:, block]) for block in blocks])


def worst(checked: Sequence[Certificate]) -> Certificate:
    """The worst of each figure."""
    return Certificate(_worst(*(c.kkt_residual for c in checked)), _worst(*(c.max_regret for c in checked)))


def _worst(*values: float) -> float:
    """The largest; what is no number stays none, which `max` would lose."""
    return sum(values) if any(map(isnan, values)) else max(values)


def is_certified(certificate: Certificate) -> bool:
    """Whether the flows count as the users' equilibrium, by both figures."""
    return certificate.kkt_residual <= CERTIFIED and certificate.max_regret <= CERTIFIED


def certified(market: Market, decisions: ArrayLike, flow: Array) -> Certificate:
    """The certificate of flows that have to be the users' equilibrium, at one or several decisions; see `certify`.

    Raises
    ------
    ConvergenceError
        When they are not.
    """
    found = certify(market, decisions, flow)
    if not is_certified(found):
        raise ConvergenceError(
            f"{market.name}: what was found is not the users' equilibrium: KKT residual {found.kkt_residual:.1e}, "
            f"regret {found.max_regret:.1e}"
        )
    return found


def _certify_users(market: Market, block: slice, prices: Array, load: Array, flow: Array) -> Certificate:
    spent = prices[:, None] if prices.ndim == 2 else market.mix[block] @ prices.transpose(0, 2, 1)
    worth = market.worth if market.worth.ndim == 1 else market.worth[block]
    cost = market.price_weight[block, None] * spent + market.delay_weight[block, None] * market.delay[block] - worth
    slope = market.congestion_weight[block, None] / market.capacity
    taste = market.dispersion[block, None] * market.provider_dispersion
    demand, count = market.demand[block], market.count[block, None]
    own, halved = slope / count, taste / demand[:, None]
    steepness = 2 * own + halved
    congestion = slope * load[:, None]
    dear = cost + congestion
    marginal = dear + (own + halved) * flow
    size = np.abs(cost)
    money = _largest(size, axis=2) + _largest(congestion, axis=2) + _largest(taste, axis=1)
    excess = marginal - _least(marginal, axis=2, keepdims=True)
    residual = _worst(
        _largest(np.abs(_total(flow, axis=2) - demand) / demand, axis=None).item(),
        _largest(-_least(flow, axis=2) / demand, axis=None).item(),
        _largest(_total(flow * excess, axis=2) / (demand * money), axis=None).item(),
    )
    first = dear - own * flow
    first -= _least(first, axis=2, keepdims=True)  # both flows sum to the demand: a common cost saves nothing
    reply = _best_reply(first, steepness, demand)
    saving = _total((flow - reply) * (first + steepness / 2 * (flow + reply)), axis=2)
    regret = saving / _total(flow * (size + congestion + taste), axis=2)
    return Certificate(residual, _worst(0.0, _largest(regret, axis=None).item()))


def _best_reply(first: Array, slope: Array, demand: Array) -> Array:
    """Fill providers, marginal cost `first` + `slope` h, up to a common marginal cost; shapes (D, rows, m)."""
    shape = first.shape
    first, slope, demand = first.reshape(-1, shape[2]), *(np.concatenate([of] * shape[0]) for of in (slope, demand))
    rows = np.arange(0, first.size, shape[2])  # where each begins, of all in a row
    order = first.argsort(axis=1) + rows[:, None]
    start, width = first.take(order), (1 / slope).take(order)
    level = (demand[:, None] + (width * start).cumsum(axis=1)) / width.cumsum(axis=1)
    last = _total(start <= level, axis=1) - 1  # start < level holds for the first few providers, then never again
    water = level.take(rows + last)
    reply: Array = np.maximum(0.0, (water[:, None] - first) / slope)
    reply *= (demand / _total(reply, axis=1))[:, None]
    return reply.reshape(shape)
