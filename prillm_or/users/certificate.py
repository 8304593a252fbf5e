"""Independent checks: the one definition each of profit, KKT residual, regret and gap.

Nothing here shares code with the solvers: everything is recomputed from the market, the leader's decisions and the
flows, in each user's own money. With beta_ij = w_q,i / alpha_j, m_ij = c_ij + beta_ij (x_j + f_ij / count_i) +
s_ij f_ij / D_i, lambda_i = min_j m_ij and S_i = max_j |c_ij| + max_j beta_ij x_j + max_j s_ij,

* the KKT residual is the largest of |sum_j f_ij - D_i| / D_i, -f_ij / D_i and sum_j f_ij (m_ij - lambda_i) / (D_i S_i);
* the largest regret is the largest saving of one user deviating alone, over sum_j f_ij (|c_ij| + beta_ij x_j + s_ij).

One of the count_i users of a row has the demand D_i / count_i. Let h_ij be what all of them would take if each did as
this one. Its best reply to the loads y_j = x_j - f_ij / count_i of all others minimises
sum_j h_ij (c_ij + beta_ij (y_j + h_ij / count_i) + s_ij h_ij / (2 D_i)) with sum_j h_ij = D_i: it fills providers from
c_ij + beta_ij y_j up to a common marginal cost. There its marginal cost is m_ij + (2 beta_ij / count_i + s_ij / D_i)
(h_ij - f_ij), so that what it saves follows from m_ij - lambda_i and h_ij - f_ij, which are small where flows are near.
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

_BLOCK = 8_192

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
    if len(checked) == 1:
        return checked[0]
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
    weight, dispersion, demand = market.congestion_weight[block], market.dispersion[block], market.demand[block]
    crowding = load / market.capacity
    congestion = weight[:, None] * crowding[:, None]
    own = (weight / market.count[block])[:, None] / market.capacity
    steepness = own
    marginal = market.price_weight[block, None] * spent + market.delay_weight[block, None] * market.delay[block]
    marginal -= worth
    size = np.abs(marginal)
    money = _largest(size, axis=2) + weight * _largest(crowding, axis=1)[:, None]
    size += congestion
    if np.count_nonzero(dispersion):
        taste = dispersion[:, None] * market.provider_dispersion
        steepness = own + taste / demand[:, None]
        money += _largest(taste, axis=1)
        size += taste
    marginal += congestion
    marginal += steepness * flow
    excess = marginal - _least(marginal, axis=2, keepdims=True)
    found = np.empty((3, *money.shape))
    np.abs(_total(flow, axis=2) - demand, found[0])
    np.negative(_least(flow, axis=2), found[1])
    np.divide(_total(flow * excess, axis=2), money, found[2])
    found /= demand
    size *= flow
    regret = _saving(excess, own + steepness, flow, demand) / _total(size, axis=2)
    return Certificate(_largest(found, axis=None).item(), _worst(0.0, _largest(regret, axis=None).item()))


def _saving(excess: Array, slope: Array, flow: Array, demand: Array) -> Array:
    """What the best reply saves; marginal costs `excess` + `slope` (h - `flow`), shapes (D, rows, m), of a reply h.

    It fills providers up to a common marginal cost. Costs common to all of a user's providers save nothing.
    """
    filled = slope * flow
    first, width = excess - filled, 1 / slope
    # At an equilibrium, where excess is 0 wherever flow is not, these are the providers that stay empty; and the one of
    # no excess never is among them.
    empty = excess > np.abs(filled)
    nested = False
    while True:
        share = np.where(empty, 0.0, width)
        level = ((demand + _total(share * first, axis=2)) / _total(share, axis=2))[..., None]
        # Whichever are filled first, the level is no lower than the right one, and only falls as those above it empty.
        more = first >= level
        if nested:
            more |= empty
        if not np.count_nonzero(more != empty):
            break
        empty, nested = more, True
    moved = np.where(empty, flow, (excess - level) * width)
    return np.asarray(_total(moved * (excess - slope / 2 * moved), axis=2))
