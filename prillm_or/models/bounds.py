r"""Proven bounds on everything in a KKT model, and with them its big-M values.

All money is divided by the user's price weight: c_ij = sum_c a_ic p_jc + (w_d,i d_ij - b_ij) / w_p,i, r_i = w_q,i /
w_p,i, and lambda_i likewise. With the slopes by load and by the user's own flow

    beta_ij = r_i / alpha_j,      gamma_ij = beta_ij / count_i + s_ij / (w_p,i D_i),

stationarity reads c_ij + beta_ij x_j + gamma_ij f_ij - lambda_i = mu_ij >= 0 with mu_ij f_ij = 0. Each c_ij is affine
in the leader's decisions y, and never falls in one of them.

Let these lie in the box [low, high].

**Common weights, or no congestion.** Where all users weigh alike and buy the same mix, every multiplier lambda_i, and
the load of every provider whose own decisions stand still, rises with each decision of the leader; the load of a
provider falls with its own (`docs/mathematics.md`, L2 to L4). So it is, whatever the weights and mixes, where nothing
congests: then each user is a market of its own. Hence lambda_i(low) <= lambda_i <= lambda_i(high), and x_j lies between
its values at the two corners of the box that are worst for it: two equilibria, and two for each provider of the leader.

**Users' own weights or mixes.** Multipliers need not be monotone there. Two maps still are: user i's multiplier, given
the loads, rises with every load and cost (it fills providers up to its demand); provider j's load, given the
multipliers, is the root of x = sum_i max(0, (lambda_i - c_ij - beta_ij x) / gamma_ij), which rises with every
multiplier and falls with every c_ij. Applied in turn from 0 <= x_j <= sum_i D_i they give bounds that are valid at
every step and close in on each other. With one provider, x_s(high) <= x_s <= x_s(low) besides (L2).

**From bounds to M.** With lambda in [lambda-, lambda+], x in [x-, x+] and c in [c-, c+]:

    flow_high_ij    = min(D_i, (lambda+_i - c-_ij - beta_ij x-_j) / gamma_ij)    f_ij <= flow_high_ij u_ij
    flow_low_ij     = max(0,   (lambda-_i - c+_ij - beta_ij x+_j) / gamma_ij)
    reduced_high_ij = c+_ij + beta_ij x+_j - lambda-_i                           mu_ij <= reduced_high_ij (1 - u_ij)

since f_ij = max(0, (lambda_i - c_ij - beta_ij x_j) / gamma_ij), and mu_ij = c_ij + beta_ij x_j - lambda_i where
f_ij = 0. Pairs with flow_high <= 0 are never used and pairs with flow_low > 0 always: neither needs a binary. For one
provider, where the corners serve, f_is(high) <= f_is <= f_is(low) besides (L3). Levels are widened by `_MARGIN` of
their range and of the most that a unit is charged, loads by that share of the whole demand, the leader's flows by that
share of the user's, so that rounding in the equilibria never cuts off the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.market.decisions import all_prices, per_unit, rises
from prillm_or.market.market import Array, Market, Mask
from prillm_or.models.window import Window
from prillm_or.users.equilibrium import equilibrium_at

_MARGIN = 1e-7
_ROUNDING = 1e-12
_ROUNDS = 2000
_SETTLED = 1e-6


@dataclass(frozen=True, eq=False)
class Bounds:
    """Bounds on a KKT model's variables; money divided by the user's price weight.

    Parameters
    ----------
    price_low, price_high
        Shape (k,).
    level_low, level_high
        Shape (n,): on lambda.
    load_low, load_high
        Shape (m,).
    flow_low, flow_high, reduced_high
        Shape (n, m): on f, and on mu where f is 0.
    """

    price_low: Array
    price_high: Array
    level_low: Array
    level_high: Array
    load_low: Array
    load_high: Array
    flow_low: Array
    flow_high: Array
    reduced_high: Array

    @property
    def possible(self) -> Mask:
        """Pairs that may be used, shape (n, m)."""
        return self.flow_high > 0

    @property
    def certain(self) -> Mask:
        """Pairs that are always used, shape (n, m)."""
        return self.flow_low > 0

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs there are, and of them are never, always, or not known to be either."""
        never, always = int((~self.possible).sum()), int(self.certain.sum())
        pairs = self.possible.size
        return {
            "pairs": pairs,
            "pairs_never_used": never,
            "pairs_always_used": always,
            "pairs_free": pairs - never - always,
        }


def derive_bounds(market: Market, window: Window) -> Bounds:
    """Bounds that hold at all decisions of a window, as the module docstring derives, and what is known there."""
    price_low, price_high = window.low, window.high
    cornered = market.common_weights or not market.congested
    find = _monotone if cornered else _propagated
    level_low, level_high, load_low, load_high = find(market, price_low, price_high)
    charged = float((rises(market) * price_high).max())
    spread = _MARGIN * (level_high - level_low + charged) + _ROUNDING * np.abs(level_high)
    level_low, level_high = level_low - spread, level_high + spread
    margin = _MARGIN * market.demand.sum()
    load_low, load_high = np.maximum(load_low - margin, 0.0), load_high + margin
    cost_low, cost_high, (by_load, own) = costs(market, price_low), costs(market, price_high), slopes(market)
    flow_high = np.minimum(market.demand[:, None], (level_high[:, None] - cost_low - by_load * load_low) / own)
    flow_low = np.maximum(0.0, (level_low[:, None] - cost_high - by_load * load_high) / own)
    if cornered and len(market.leader) == 1:
        s, margin = market.leader[0], _MARGIN * market.demand
        cheap, dear = equilibrium_at(market, price_low).flow[:, s], equilibrium_at(market, price_high).flow[:, s]
        flow_high[:, s] = np.minimum(flow_high[:, s], cheap + margin)
        flow_low[:, s] = np.maximum(flow_low[:, s], dear - margin)
    reduced_high = np.maximum(cost_high + by_load * load_high - level_low[:, None], 0.0)
    margin = _MARGIN * market.demand[:, None]
    flow_high = np.minimum(flow_high, window.flow_high + margin)
    flow_low = np.maximum(flow_low, window.flow_low - margin)
    reduced_high = np.minimum(reduced_high, window.reduced_high + _MARGIN * charged)
    return Bounds(price_low, price_high, level_low, level_high, load_low, load_high, flow_low, flow_high, reduced_high)


def loose_bounds(market: Market, big_m: float) -> Bounds:
    """What a modeller writes who derives nothing: one M for every reduced cost, demands for flows.

    Multipliers need no bound of their own here: c_ij >= 0 after normalisation, so 0 <= lambda_i <= M.
    """
    n, m = market.n, market.m
    return Bounds(
        np.zeros(len(market.decisions)),
        market.price_cap,
        np.zeros(n),
        np.full(n, big_m),
        np.zeros(m),
        np.full(m, market.demand.sum()),
        np.zeros((n, m)),
        np.repeat(market.demand[:, None], m, axis=1),
        np.full((n, m), big_m),
    )


def costs(market: Market, decisions: Array) -> Array:
    """Costs c_ij without congestion, divided by the user's price weight; shape (n, m)."""
    return own_costs(market) + per_unit(market, all_prices(market, decisions))


def own_costs(market: Market) -> Array:
    """Costs e_ij = (w_d,i d_ij - b_ij) / w_p,i, without price and congestion; shape (n, m)."""
    return (market.delay_weight[:, None] * market.delay - market.worth) / market.price_weight[:, None]


def weight_ratio(market: Market) -> Array:
    """Ratios r_i = w_q,i / w_p,i, shape (n,)."""
    return market.congestion_weight / market.price_weight


def slopes(market: Market) -> tuple[Array, Array]:
    """How much dearer a provider becomes to a user by its load and by the user's flow: beta, gamma; shape (n, m)."""
    by_load = weight_ratio(market)[:, None] / market.capacity
    by_taste = market.pair_dispersion / (market.price_weight * market.demand)[:, None]
    return by_load, by_load / market.count[:, None] + by_taste


def _monotone(market: Market, price_low: Array, price_high: Array) -> tuple[Array, Array, Array, Array]:
    cheap, dear = equilibrium_at(market, price_low), equilibrium_at(market, price_high)
    load_low, load_high = cheap.load.copy(), dear.load.copy()
    decided = np.array([decision.provider for decision in market.decisions])
    # A provider of the leader has least load where it is dear and the leader's others are cheap, most where it is the
    # other way round (L2, L4): each has two corners of its own.
    for j in market.leader:
        least, most = np.where(decided == j, (price_high, price_low), (price_low, price_high))
        load_low[j] = equilibrium_at(market, least, dear).load[j]
        load_high[j] = equilibrium_at(market, most, cheap).load[j]
    return cheap.multiplier / market.price_weight, dear.multiplier / market.price_weight, load_low, load_high


def _propagated(market: Market, price_low: Array, price_high: Array) -> tuple[Array, Array, Array, Array]:
    cost_low, cost_high, (by_load, own) = costs(market, price_low), costs(market, price_high), slopes(market)
    load_low, load_high = np.zeros(market.m), np.full(market.m, market.demand.sum())
    if len(market.leader) == 1:
        s = market.leader[0]
        load_low[s] = equilibrium_at(market, price_high).load[s]
        load_high[s] = equilibrium_at(market, price_low).load[s]
    # Loads and levels bound each other in turn. Bounds only ever tighten, and are valid whenever this stops.
    for _ in range(_ROUNDS):
        level_low = _levels(cost_low + by_load * load_low, own, market.demand)
        level_high = _levels(cost_high + by_load * load_high, own, market.demand)
        least = np.maximum(load_low, _loads(level_low[:, None] - cost_high, by_load, own))
        most = np.minimum(load_high, _loads(level_high[:, None] - cost_low, by_load, own))
        change = max((least - load_low).max(), (load_high - most).max())
        load_low, load_high = least, most
        if change <= _SETTLED * market.demand.sum():
            break
    return level_low, level_high, load_low, load_high


def _levels(floor: Array, own: Array, demand: Array) -> Array:
    """Multiplier of each user, given the costs of its first unit: sum_j max(0, l - floor_ij) / own_ij = D_i."""
    order = np.argsort(floor, axis=1)
    floor, width = np.take_along_axis(floor, order, axis=1), 1 / np.take_along_axis(own, order, axis=1)
    level = (demand[:, None] + np.cumsum(width * floor, axis=1)) / np.cumsum(width, axis=1)
    # Entry k counts the k + 1 lowest floors. Its own floor lies below it for the first few entries, then never again;
    # the last of these counts all floors below it and no other.
    last = (floor <= level).sum(axis=1) - 1
    found: Array = level[np.arange(len(level)), last]
    return found


def _loads(room: Array, by_load: Array, own: Array) -> Array:
    """Load of each provider, given users' levels less costs: x = sum_i max(0, room_ij - by_load_ij x) / own_ij."""
    # A user leaves where x reaches its room over its slope: the k that leave last use the provider if the root of
    # x = sum (room - by_load x) / own over them is below where the last of them leaves.
    leaves = room / by_load
    order = np.argsort(-leaves, axis=0)
    leaves, own = np.take_along_axis(leaves, order, axis=0), np.take_along_axis(own, order, axis=0)
    room, by_load = np.take_along_axis(room, order, axis=0), np.take_along_axis(by_load, order, axis=0)
    load = np.cumsum(room / own, axis=0) / (1 + np.cumsum(by_load / own, axis=0))
    count = (leaves > load).sum(axis=0)
    return np.where(count > 0, load[np.maximum(count - 1, 0), np.arange(load.shape[1])], 0.0)
