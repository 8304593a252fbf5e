r"""Effects: what 1 % more of a rival's price, capacity or value, or of a user's demand, does to the best price.

Each is the difference of two proven optima: that of the changed market, solved anew from where the market's own was
found, and that of the market as it is. So kinks, and jumps to another local maximum, are in it.

In a large market only those that move the profit most are worked out, as the derivatives on the support say: with
(a, b) = K^-1 (0, e_s) of `users/laplacian.py`, by symmetry of K,

    dq_s/dD_i = a_i,    dq_s/dp_j = sum_i w_ij rho_i (a_i - b_j),    dq_s/d alpha_j = -sum_i a_i f_ij / alpha_j,

w_ij = alpha_j on the support, and for a value the same as for a price with -1/w_q,i in place of rho_i. The best profit
changes by (p - k) alpha_s dq_s: the price's own move has no effect of first order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from prillm_or.market.changes import Change
from prillm_or.market.market import Array, Market
from prillm_or.solving.pricer import Pricer
from prillm_or.users.equilibrium import Equilibrium

_log = logging.getLogger(__name__)

STEP = 0.01
"""The relative change."""

_ROUNDING = 1e-9
_LARGE = 50_000
_MOST_IN_LARGE = 10

RIVAL_KEYS = ("price", "capacity", "value")


@dataclass(frozen=True)
class Effects:
    """Changes of the best price and of its profit, by what was raised."""

    price: Mapping[str, float]
    profit: Mapping[str, float]


def is_large(market: Market) -> bool:
    """Whether a market has so many pairs that not every effect is worked out."""
    return market.n * market.m > _LARGE


def effects(market: Market, pricer: Pricer, found: Equilibrium) -> tuple[dict[int, Effects], dict[int, Effects], bool]:
    """Of users and of rivals, by position, and whether Ctrl-C left some out; in a large market those that matter most.

    Parameters
    ----------
    pricer
        Of the same market.
    found
        The equilibrium at the price explained.
    """
    price = float(found.prices[0])
    users, rivals = _chosen(market, found)
    total = len(users) + len(RIVAL_KEYS) * len(rivals)
    _log.info("effects: %d changes of 1 %% to solve", total)
    of_users: dict[int, Effects] = {}
    of_rivals: dict[int, Effects] = {}
    try:
        for i in users:
            of_users[i] = _effects(pricer, {"demand": _more_demand(market, i)})
        for j in rivals:
            of_rivals[j] = _effects(pricer, {key: _more(market, j, key, price) for key in RIVAL_KEYS})
    except KeyboardInterrupt:
        return of_users, of_rivals, True
    return of_users, of_rivals, False


def _more_demand(market: Market, i: int) -> Change:
    return {"users": {market.user_ids[i]: {"demand": (1 + STEP) * float(market.demand[i])}}}


def _more(market: Market, j: int, key: str, price: float) -> Change:
    now = float(getattr(market, key)[j])
    return {"providers": {market.provider_ids[j]: {key: now + STEP * (price if key == "value" else now)}}}


def _effects(pricer: Pricer, changes: Mapping[str, Change]) -> Effects:
    price, profit = {}, {}
    now, earned = pricer.result.price, pricer.result.profit
    for key, change in changes.items():
        after = pricer.what_if(change)
        price[key] = _above_rounding(after.price - now, now)
        profit[key] = _above_rounding(after.profit - earned, earned)
    _log.info("effects of %s", change)
    return Effects(price, profit)


def _above_rounding(change: float, of: float) -> float:
    return change if abs(change) > _ROUNDING * abs(of) else 0.0


def _chosen(market: Market, found: Equilibrium) -> tuple[list[int], list[int]]:
    if not is_large(market):
        return list(range(market.n)), list(market.rivals)
    demand, by_provider = load_gradient(market, found)
    of_user = np.abs(demand * market.demand)
    of_rival = np.abs(by_provider["price"] * market.price) + np.abs(by_provider["capacity"] * market.capacity)
    of_rival += np.abs(by_provider["value"] * found.prices[0])
    of_rival[list(market.leader)] = -1.0
    return _largest(of_user), [j for j in _largest(of_rival) if j not in market.leader]


def _largest(values: Array) -> list[int]:
    return sorted(np.argsort(-values)[:_MOST_IN_LARGE].tolist())


def load_gradient(market: Market, found: Equilibrium) -> tuple[Array, dict[str, Array]]:
    """Derivatives of the leader's load on the support of an equilibrium.

    Returns
    -------
    demand
        Shape (n,): by each user's demand.
    providers
        Shape (m,) each: by each provider's `price`, `capacity` and `value`. By its own capacity, the leader's load
        changes by q_s more.
    """
    s, laplacian = market.leader[0], found.laplacian
    unit = np.zeros(market.m)
    unit[s] = market.capacity[s]
    a, b = laplacian.solve(np.zeros(market.n), unit)
    pairs, weight = laplacian.pairs, laplacian.weight
    pull = weight * (pairs.of_users(a) - pairs.of_providers(b))

    def summed(rate: Array) -> Array:
        return pairs.sums(pull * pairs.of_users(rate))[1]

    rho = found.users.sensitivity[:, 0]
    flow_of = pairs.sums(pairs.take(found.flow) * pairs.of_users(a))[1]
    return a, {
        "price": summed(rho),
        "value": -summed(1 / market.congestion_weight),
        "capacity": -flow_of / market.capacity,
    }
