r"""Proven bounds on everything in a KKT model, and with them its big-M values.

All money is divided by the user's price weight: c_ij = p_j + (w_d,i d_ij - b_j) / w_p,i, r_i = w_q,i / w_p,i, and
lambda_i likewise, so that stationarity reads c_ij + (r_i / alpha_j) (x_j + f_ij) - lambda_i = mu_ij >= 0 with mu_ij
f_ij = 0.

Let the leader's prices lie in the box [low, high].

**Common weights.** Every multiplier lambda_i, and the load of every provider whose own price stands still, rises
with each price of the leader; the load of a provider falls with its own price (`docs/mathematics.md`, L2 to L4). Hence
lambda_i(low) <= lambda_i <= lambda_i(high), and x_j lies between its values at the two corners of the box that are
worst for it: two equilibria, and two for each provider of the leader.

**User-specific weights.** Multipliers need not be monotone there. Two maps still are: user i's multiplier, given the
loads, rises with every load and price (it fills providers up to its demand); provider j's load, given the
multipliers, is the root of x = sum_i max(0, (alpha_j / r_i)(lambda_i - c_ij) - x), which rises with every multiplier
and falls with p_j. Applied in turn from 0 <= x_j <= sum_i D_i they give bounds that are valid at every step and close
in on each other. With one price, x_s(high) <= x_s <= x_s(low) besides (L2).

**From bounds to M.** With lambda in [lambda-, lambda+], x in [x-, x+] and c in [c-, c+]:

    flow_high_ij    = min(D_i, (alpha_j / r_i)(lambda+_i - c-_ij) - x-_j)        f_ij <= flow_high_ij u_ij
    flow_low_ij     = max(0,   (alpha_j / r_i)(lambda-_i - c+_ij) - x+_j)
    reduced_high_ij = c+_ij + (r_i / alpha_j) x+_j - lambda-_i                   mu_ij <= reduced_high_ij (1 - u_ij)

since f_ij = max(0, (alpha_j / r_i)(lambda_i - c_ij) - x_j), and mu_ij = c_ij + (r_i / alpha_j) x_j - lambda_i where
f_ij = 0. Pairs with flow_high <= 0 are never used and pairs with flow_low > 0 always: neither needs a binary. For one
price and common weights f_is(high) <= f_is <= f_is(low) besides (L3). Levels are widened by
`_MARGIN` of their range and the largest price, loads by that share of the whole demand, the leader's flows by that
share of the user's, so that rounding in the equilibria never cuts off the optimum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Array, Market, Mask
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
        Shape (len(leader),).
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


def derive_bounds(market: Market, price_low: Array, price_high: Array) -> Bounds:
    """Bounds that hold at every price vector of the box, shape (len(leader),) each, as the module docstring derives."""
    find = _monotone if market.common_weights else _propagated
    level_low, level_high, load_low, load_high = find(market, price_low, price_high)
    spread = _MARGIN * (level_high - level_low + price_high.max()) + _ROUNDING * np.abs(level_high)
    level_low, level_high = level_low - spread, level_high + spread
    margin = _MARGIN * market.demand.sum()
    load_low, load_high = np.maximum(load_low - margin, 0.0), load_high + margin
    cost_low, cost_high, ratio = costs(market, price_low), costs(market, price_high), weight_ratio(market)
    slope = ratio[:, None] / market.capacity
    flow_high = np.minimum(market.demand[:, None], (level_high[:, None] - cost_low) / slope - load_low)
    flow_low = np.maximum(0.0, (level_low[:, None] - cost_high) / slope - load_high)
    if market.common_weights and len(market.leader) == 1:
        own, margin = market.leader[0], _MARGIN * market.demand
        cheap, dear = equilibrium_at(market, price_low).flow[:, own], equilibrium_at(market, price_high).flow[:, own]
        flow_high[:, own] = np.minimum(flow_high[:, own], cheap + margin)
        flow_low[:, own] = np.maximum(flow_low[:, own], dear - margin)
    reduced_high = np.maximum(cost_high + slope * load_high - level_low[:, None], 0.0)
    return Bounds(price_low, price_high, level_low, level_high, load_low, load_high, flow_low, flow_high, reduced_high)


def loose_bounds(market: Market, big_m: float) -> Bounds:
    """What a modeller writes who derives nothing: one M for every reduced cost, demands for flows.

    Multipliers need no bound of their own here: c_ij >= 0 after normalisation, so 0 <= lambda_i <= M.
    """
    n, m = market.n, market.m
    return Bounds(
        np.zeros(len(market.leader)),
        market.price_cap,
        np.zeros(n),
        np.full(n, big_m),
        np.zeros(m),
        np.full(m, market.demand.sum()),
        np.zeros((n, m)),
        np.repeat(market.demand[:, None], m, axis=1),
        np.full((n, m), big_m),
    )


def costs(market: Market, leader_prices: Array) -> Array:
    """Costs c_ij without congestion, divided by the user's price weight; shape (n, m)."""
    return own_costs(market) + all_prices(market, leader_prices)


def own_costs(market: Market) -> Array:
    """Costs e_ij = (w_d,i d_ij - b_j) / w_p,i, without price and congestion; shape (n, m)."""
    return (market.delay_weight[:, None] * market.delay - market.value) / market.price_weight[:, None]


def weight_ratio(market: Market) -> Array:
    """Ratios r_i = w_q,i / w_p,i, shape (n,)."""
    return market.congestion_weight / market.price_weight


def mean_ratio(ratio: Array) -> float:
    """The mean sqrt(sum_i r_i / sum_i 1/r_i) of the users' ratios, the s^2 of `concave.py`; r where all are equal."""
    return float(np.sqrt(ratio.sum() / (1 / ratio).sum()))


def _monotone(market: Market, price_low: Array, price_high: Array) -> tuple[Array, Array, Array, Array]:
    cheap, dear = equilibrium_at(market, price_low), equilibrium_at(market, price_high)
    load_low, load_high = cheap.load.copy(), dear.load.copy()
    # A provider of the leader has least load where it is dear and the leader's others are cheap, most where it is the
    # other way round (L2, L4): each has two corners of its own.
    for a, j in enumerate(market.leader):
        least, most = price_low.copy(), price_high.copy()
        least[a], most[a] = price_high[a], price_low[a]
        load_low[j] = equilibrium_at(market, least, dear).load[j]
        load_high[j] = equilibrium_at(market, most, cheap).load[j]
    return cheap.multiplier / market.price_weight, dear.multiplier / market.price_weight, load_low, load_high


def _propagated(market: Market, price_low: Array, price_high: Array) -> tuple[Array, Array, Array, Array]:
    cost_low, cost_high = costs(market, price_low), costs(market, price_high)
    width = market.capacity / weight_ratio(market)[:, None]
    load_low, load_high = np.zeros(market.m), np.full(market.m, market.demand.sum())
    if len(market.leader) == 1:
        own = market.leader[0]
        load_low[own] = equilibrium_at(market, price_high).load[own]
        load_high[own] = equilibrium_at(market, price_low).load[own]
    # Loads and levels bound each other in turn. Bounds only ever tighten, and are valid whenever this stops.
    for _ in range(_ROUNDS):
        level_low = _levels(cost_low, width, load_low, market.demand)
        level_high = _levels(cost_high, width, load_high, market.demand)
        least = np.maximum(load_low, _loads(cost_high, width, level_low))
        most = np.minimum(load_high, _loads(cost_low, width, level_high))
        change = max((least - load_low).max(), (load_high - most).max())
        load_low, load_high = least, most
        if change <= _SETTLED * market.demand.sum():
            break
    return level_low, level_high, load_low, load_high


def _levels(cost: Array, width: Array, load: Array, demand: Array) -> Array:
    """Multiplier of each user, given the loads: sum_j max(0, width_ij (l - c_ij) - x_j) = D_i; shape (n,)."""
    floor = cost + load / width
    order = np.argsort(floor, axis=1)
    floor, width = np.take_along_axis(floor, order, axis=1), np.take_along_axis(width, order, axis=1)
    level = (demand[:, None] + np.cumsum(width * floor, axis=1)) / np.cumsum(width, axis=1)
    # Entry k counts the k + 1 lowest floors. Its own floor lies below it for the first few entries, then never again;
    # the last of these counts all floors below it and no other.
    last = (floor <= level).sum(axis=1) - 1
    found: Array = level[np.arange(len(level)), last]
    return found


def _loads(cost: Array, width: Array, level: Array) -> Array:
    """Load of each provider, given the multipliers: x = sum_i max(0, width_ij (l_i - c_ij) - x); shape (m,)."""
    wish = np.sort(width * (level[:, None] - cost), axis=0)[::-1]
    # If the k largest wishes exceed x, x = sum of them - k x, so that x is their sum over k + 1.
    load = np.cumsum(wish, axis=0) / (np.arange(1, len(wish) + 1)[:, None] + 1)
    count = (wish > load).sum(axis=0)
    return np.where(count > 0, load[np.maximum(count - 1, 0), np.arange(load.shape[1])], 0.0)
