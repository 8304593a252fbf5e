r"""Curvature: the best price if demand bends as a logit's does, which prices seen close together do not tell.

Flows tell what users buy at the prices seen, and by how much less where a price is a little higher. The best price is
often far from these, and there the form of the demand decides. In this model what a user buys of one provider falls
along straight lines, in a logit it bends; up to a few percent from today's price both may be alike, while the best
prices are not. So beside the model's own best price stands the one for users who buy the same today, answer a step of
the price by as much, and are a logit each. With x^-_i and x^+_i what user i buys of the leader at the prices
(1 - h) p_0 and (1 + h) p_0, h = 5 % as in `anchor.py`, and D_i its demand,

    s_i = (x^-_i + x^+_i) / (2 D_i),    b_i = (x^-_i - x^+_i) / (2 h p_0 s_i D_i),

    x_i(p) = D_i / (1 + exp(a_i (p - p_0) - ln(s_i / (1 - s_i)))),    a_i = b_i / (1 - s_i),

whose share at p_0 is s_i and whose slope there is -b_i s_i D_i. The price sought maximises (p - c) sum_i x_i(p) up to
the cap. The profit of many logits may have several peaks: it is looked at on a grid, which is made finer where it is
highest. Cost: two equilibria and some thousand times n.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from prillm_or.calibration.anchor import STEP
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import equilibrium_at

_GRID, _FINER = 1001, 2
"""Prices of a grid, and how often it is made finer."""


def logit_price(market: Market) -> float | None:
    """The price of the module docstring; None but for one price of one provider that sells today and can earn."""
    today = market.today
    if len(market.decisions) != 1 or market.components or today is None or today[0] <= 0.0:
        return None
    provider, price, demand = market.leader[0], float(today[0]), market.demand
    dearer, cheaper = (equilibrium_at(market, [factor * price]).flow[:, provider] for factor in (1 + STEP, 1 - STEP))
    share = np.clip((cheaper + dearer) / (2.0 * demand), 0.0, 1.0)
    moved = share * (1.0 - share) > 0.0
    slope = np.zeros_like(share)
    fall = np.maximum(cheaper - dearer, 0.0)
    slope[moved] = (fall / demand)[moved] / (2.0 * STEP * price * (share * (1.0 - share))[moved])
    constant = logit(share)

    def profit(prices: Array) -> Array:
        bought = demand[:, None] * expit(constant[:, None] - slope[:, None] * (prices - price))
        return np.asarray((prices - market.unit_cost[provider]) * bought.sum(axis=0))

    low, high = 0.0, float(market.price_cap[0])
    for _ in range(1 + _FINER):
        prices = np.linspace(low, high, _GRID)
        earned = profit(prices)
        top = int(earned.argmax())
        low, high = float(prices[max(top - 1, 0)]), float(prices[min(top + 1, _GRID - 1)])
    return float(prices[top]) if earned[top] > 0.0 else None
