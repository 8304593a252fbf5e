r"""kkt-bigm: the leader's problem as a convex MIQP, complementarity by binaries and derived big-M values.

    max   profit (concave, `concave.py`)
    s.t.  the followers' KKT system (`kkt.py`)
          f_ij  <= flow_high_ij u_ij                  on free pairs
          mu_ij <= reduced_high_ij (1 - u_ij)         on free pairs
          u_ij in {0, 1}

Variables          name     unit    shape
  u_ij             use      -       free pairs

flow_high and reduced_high are proven in `bounds.py`, where their derivation stands. What is exact: u_ij = 1 forces
mu_ij = 0 and u_ij = 0 forces f_ij = 0, so the feasible points are exactly the equilibria, and at these the concave
profit is the true one; no bound cuts off an equilibrium of the prices considered.

**Prices considered.** For one price the range [0, cap] is first cut to a window. With best the profit of an
equilibrium found by `Incumbent`, and since x_s never rises with p (`docs/mathematics.md`, L2), p in (k, p-) earns at
most (p - k) x_s(k) < best for p- = k + best / x_s(k), and p > p+ earns at most (cap - k) x_s(p+) < best for any p+
with x_s(p+) < best / (cap - k): we halve the range a few times for such a p+. Every optimum lies in [p-, p+], where
the bounds are tighter. It is narrowed once at each end, not until it closes: that would be `bisect`, and this model
is to be a second, independent proof.

Reference: Fortuny-Amat, McCarl (1981), doi 10.1057/jors.1981.156.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyomo.environ as pyo

from prillm_or.equilibrium import solve_users, user_problem
from prillm_or.errors import CombinationError
from prillm_or.market import Array, Market
from prillm_or.models.bounds import Bounds, derive_bounds, loose_bounds
from prillm_or.models.concave import ConcaveProfit
from prillm_or.models.formulation import Formulation, scaled_market
from prillm_or.models.kkt import kkt_core

_HALVINGS = 10


@dataclass(frozen=True)
class KktBigmOptions:
    """Options of a profile `models/*.toml`.

    Parameters
    ----------
    big_m
        One M for every pair instead of the derived ones, in currency per volume unit, and no other bound: what to
        compare with. It must not be below the largest derived one.
    seeds
        Number of prices whose equilibria give the first tangents.
    """

    big_m: float | None = None
    seeds: int = 5


def build(market: Market, options: KktBigmOptions, best_profit: float) -> Formulation:
    """Build the model.

    Parameters
    ----------
    market
        In the user's units.
    options
        From a profile.
    best_profit
        Profit of an equilibrium already found, in the user's units: what prices must beat to be considered.

    Raises
    ------
    CombinationError
        When the profit is not concave (see `concave.py`), or a given M is not proven.
    """
    scaled, money, volume = scaled_market(market)
    low, high = np.zeros(len(scaled.leader)), scaled.price_cap
    if options.big_m is None:
        if len(scaled.leader) == 1:
            low, high = _window(scaled, best_profit / (money * volume))
        bounds = derive_bounds(scaled, low, high)
    else:
        bounds = _checked(loose_bounds(scaled, options.big_m / money), derive_bounds(scaled, low, high), money)
    model = kkt_core(scaled, bounds)
    profit = ConcaveProfit(model, scaled)
    _add_complementarity(model, bounds)
    return Formulation("kkt-bigm", scaled, money, volume, model, bounds, profit, options.seeds, _notes(bounds, money))


def _add_complementarity(model: pyo.ConcreteModel, bounds: Bounds) -> None:
    model.use = pyo.Var(model.free, domain=pyo.Binary)

    @model.Constraint(model.free)
    def unused(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.flow[i, j] <= float(bounds.flow_high[i, j]) * m.use[i, j]

    @model.Constraint(model.free)
    def tight(m: pyo.ConcreteModel, i: int, j: int) -> pyo.Expression:
        return m.reduced[i, j] <= float(bounds.reduced_high[i, j]) * (1 - m.use[i, j])


def _window(market: Market, best: float) -> tuple[Array, Array]:
    """Prices that may beat `best`, as the module docstring derives; one price, the model's units."""
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


def _checked(loose: Bounds, derived: Bounds, money: float) -> Bounds:
    """`loose`, unless its M is below a proven one."""
    least = max(float(derived.reduced_high.max()), float(derived.level_high.max()))
    if loose.reduced_high.max() < least:
        raise CombinationError(
            f"big_m = {float(loose.reduced_high.max()) * money:g} is not proven: the derived values reach "
            f"{least * money:g}, and a smaller one may cut off the best price; leave big_m out"
        )
    return loose


def _notes(bounds: Bounds, money: float) -> tuple[str, ...]:
    """What `--verbose` shows of the derivation."""
    free = bounds.possible & ~bounds.certain
    lines = [
        f"pairs: {bounds.possible.size}, never used {int((~bounds.possible).sum())}, always used "
        f"{int(bounds.certain.sum())}, free (a binary each) {int(free.sum())}",
        f"prices considered: {_range(bounds.price_low * money)} to {_range(bounds.price_high * money)}",
    ]
    if free.any():
        values = bounds.reduced_high[free] * money
        lines.append(
            f"M of reduced costs, in currency per volume unit: smallest {values.min():.4g}, "
            f"median {np.median(values):.4g}, largest {values.max():.4g}"
        )
    return tuple(lines)


def _range(prices: Array) -> str:
    return ", ".join(f"{price:.6g}" for price in prices)
