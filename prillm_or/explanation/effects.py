r"""Effects: what 1 % more of a rival's prices, capacity or value, or of a user's demand, does to the best price.

Each is the difference of two optima: that of the changed market, solved anew from where the market's own was found, and
that of the market as it is. Of one decision both are proven, so that kinks, and jumps to another local maximum, are in
it; of several, the best is followed uphill, and a jump is not seen.

In a large market only those that move the profit most are worked out, as its derivatives on the support say; the
decision's own move has no effect of first order. With m_i what a unit of user i's volume earns at the leader's s, 0
elsewhere, w_ij the width a_ij on the support, (y, z) = K^-1 ((w o m) 1, -(w o m)^T 1) of `users/laplacian.py` and
t_ij = y_i - z_j - m_ij, a change of offsets, widths, demands and capacities changes the profit by

    sum_ij w_ij t_ij dg_ij + sum_ij t_ij f_ij a_ij d(1 / a_ij) + sum_i y_i dD_i - sum_j z_j q_j d alpha_j

(K is symmetric; `users/differentiable.py` has the case of widths alpha_j). Widths move with demands and capacities:
1 / a_ij = 1 / (alpha_j count_i) + s_ij / (w_q,i D_i).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from prillm_or.market.decisions import all_prices, per_unit
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import Equilibrium

_log = logging.getLogger(__name__)

STEP = 0.01
"""The relative change."""

_ROUNDING = 1e-9
_LARGE, _LARGE_OF_SEVERAL = 50_000, 5_000
_MOST_IN_LARGE = 10

RIVAL_KEYS = ("price", "capacity", "value")


@dataclass(frozen=True)
class Best:
    """The best decisions of a market, shape (k,), and their profit."""

    decisions: Array
    profit: float


@dataclass(frozen=True)
class Effects:
    """Changes of the best decisions, shape (k,), and of their profit, by what was raised."""

    price: Mapping[str, Array]
    profit: Mapping[str, float]


def is_large(market: Market) -> bool:
    """Whether a market has so many pairs that not every effect is worked out."""
    return market.n * market.m > (_LARGE if len(market.decisions) == 1 else _LARGE_OF_SEVERAL)


def effects(
    market: Market, best: Best, solved: Callable[[Market], Best], found: Equilibrium
) -> tuple[dict[int, Effects], dict[int, Effects], bool]:
    """Of users and of rivals, by position, and whether Ctrl-C left some out; in a large market those that matter most.

    Parameters
    ----------
    best, solved
        The best of the market, and what finds that of a market much like it.
    found
        The equilibrium at the price explained.
    """
    unit = unit_price(market, found)
    users, rivals = _chosen(market, found)
    total = len(users) + len(RIVAL_KEYS) * len(rivals)
    _log.info("effects: %d changes of 1 %% to solve", total)
    of_users: dict[int, Effects] = {}
    of_rivals: dict[int, Effects] = {}
    try:
        for i in users:
            of_users[i] = _effects(best, solved, {"demand": _more_demand(market, i)})
        for j in rivals:
            of_rivals[j] = _effects(best, solved, {key: _more(market, j, key, unit) for key in RIVAL_KEYS})
    except KeyboardInterrupt:
        return of_users, of_rivals, True
    return of_users, of_rivals, False


def unit_price(market: Market, found: Equilibrium) -> float:
    """What a unit of volume comes to at the leader's providers, currency: by who uses them, or by all."""
    own = list(market.leader)
    price, served = per_unit(market, all_prices(market, found.prices))[..., own], found.flow[:, own]
    if price.shape == (1,):
        return price.item()
    if not served.any():
        served = np.broadcast_to(market.demand[:, None], served.shape)
    return float(np.average(np.broadcast_to(price, served.shape), weights=served))


def _more_demand(market: Market, i: int) -> Market:
    demand = market.demand.copy()
    demand[i] *= 1 + STEP
    return market.with_arrays(demand=demand)


def _more(market: Market, j: int, key: str, unit: float) -> Market:
    if key == "value":
        return worth_more(market, j, STEP * unit)
    values = getattr(market, key).copy()
    values[j] *= 1 + STEP
    return market.with_arrays(**{key: values})


def worth_more(market: Market, j: int, by: float) -> Market:
    """The market with a provider worth more to all users, also to those with a value of their own."""
    arrays = {"value": market.value.copy()}
    if market.user_values.size:
        arrays["user_values"] = market.user_values.copy()
    for worth in arrays.values():
        worth[..., j] += by
    return market.with_arrays(**arrays)


def _effects(best: Best, solved: Callable[[Market], Best], changed: Mapping[str, Market]) -> Effects:
    price, profit = {}, {}
    for key, market in changed.items():
        after = best if key == "capacity" and not market.congested else solved(market)
        change = after.decisions - best.decisions
        price[key] = np.where(np.abs(change) > _ROUNDING * np.abs(best.decisions), change, 0.0)
        more = after.profit - best.profit
        profit[key] = more if abs(more) > _ROUNDING * abs(best.profit) else 0.0
        _log.info("effect of %s", key)
    return Effects(price, profit)


def _chosen(market: Market, found: Equilibrium) -> tuple[list[int], list[int]]:
    if not is_large(market):
        return list(range(market.n)), list(market.rivals)
    demand, providers = profit_gradient(market, found)
    of_user = np.abs(demand * market.demand)
    of_rival = np.abs(providers["price"]) + np.abs(providers["capacity"] * market.capacity)
    of_rival += np.abs(providers["value"] * unit_price(market, found))
    of_rival[list(market.leader)] = -1.0
    return _largest(of_user), [j for j in _largest(of_rival) if j not in market.leader]


def _largest(values: Array) -> list[int]:
    return sorted(np.argsort(-values)[:_MOST_IN_LARGE].tolist())


def profit_gradient(market: Market, found: Equilibrium) -> tuple[Array, dict[str, Array]]:
    """Derivatives of the leader's profit on the support of an equilibrium, its decisions held.

    Returns
    -------
    demand
        Shape (n,): by each user's demand.
    providers
        Shape (m,) each: by each rival's `price`, all prices of its list by a share of them, and by each provider's
        `capacity` and `value`; those by the leader's own prices are 0.
    """
    users, pairs, weight = found.users, found.laplacian.pairs, found.laplacian.weight
    margin = np.broadcast_to(per_unit(market, all_prices(market, found.prices) - market.unit_cost), users.base.shape)
    earned = np.zeros_like(weight)
    for j in market.leader:
        pairs.lower(earned, j, -margin[:, j])
    by_user, by_provider = pairs.sums(weight * earned)
    user, provider = found.laplacian.solve(by_user, -by_provider)
    pull = pairs.of_users(user) - pairs.of_providers(provider) - earned
    offsets, widths = weight * pull, pull * pairs.take(found.flow) * pairs.spread(users.width)
    prices = market.price.copy()
    prices[list(market.leader)] = 0.0
    paid = pairs.of_users(market.price_weight / users.scale) * pairs.spread(per_unit(market, prices))
    taste = pairs.of_users(market.dispersion / (users.scale * market.demand**2))
    demand = user - pairs.sums(widths * taste * pairs.of_providers(market.provider_dispersion))[0]
    crowded = pairs.sums(widths / pairs.of_users(market.count))[1]
    return demand, {
        "price": pairs.sums(offsets * paid)[1],
        "value": -pairs.sums(offsets / pairs.of_users(users.scale))[1],
        "capacity": -provider * found.congestion - crowded / users.capacity**2,
    }
