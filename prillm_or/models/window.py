"""Prices that can still be optimal, for models of one price.

Let best be the profit of an equilibrium already found. Since x_s never rises with p (`docs/mathematics.md`, L2), p in
(k, p-) earns at most (p - k) x_s(k) < best for p- = k + best / x_s(k), and p > p+ earns at most (cap - k) x_s(p+) <
best for any p+ with x_s(p+) < best / (cap - k): we halve the range a few times for such a p+. Every optimum lies in
[p-, p+], where the bounds of `bounds.py` are tighter. The range is narrowed once at each end, not until it closes:
that would be `bisect`, and the models are to be a second, independent proof.
"""

from __future__ import annotations

import numpy as np

from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

_HALVINGS = 10


def price_window(market: Market, best: float) -> tuple[Array, Array]:
    """Lowest and highest price that may earn `best` or more, shape (1,) each, all in the market's units."""
    users, own = user_problem(market), market.leader[0]
    unit_cost, cap = float(market.unit_cost[own]), float(market.price_cap[0])
    if best <= 0 or cap <= unit_cost:
        return np.zeros(1), market.price_cap
    low = min(unit_cost + best / float(solve_users(users, [unit_cost]).load[own]), cap)
    safe, high = low, cap  # at `high` and above, profit is below `best`; `safe` may be an optimum
    for _ in range(_HALVINGS):
        middle = (safe + high) / 2
        if (cap - unit_cost) * float(solve_users(users, [middle]).load[own]) < best:
            high = middle
        else:
            safe = middle
    return np.array([low * (1 - 1e-9)]), np.array([high])
