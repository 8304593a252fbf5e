"""Formulation: a Pyomo model of a market, with what is needed to start it, read it and tighten it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyomo.environ as pyo

from prillm_or.market.decisions import FACTOR, all_prices, per_unit, sizes
from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds, costs, slopes, weight_ratio
from prillm_or.models.capabilities import Capability
from prillm_or.models.concave import ConcaveProfit
from prillm_or.models.window import Window
from prillm_or.users.equilibrium import Equilibrium

_LEAST = 1e-9


@dataclass(frozen=True, eq=False)
class Formulation:
    """A model of the leader's problem, written in units in which its numbers are near 1.

    Parameters
    ----------
    name
        Name of the formulation.
    market
        The market in the model's units; `money`, `volume` and `decision` lead back to the user's.
    money, volume, decision
        One unit of the model is so much of the user's; of the decisions, shape (k,).
    model
        The Pyomo model: `decision[number]`, `level[user]`, `provider_load[provider]`, `flow[user, provider]`, and on
        free pairs, by formulation, `use[user, provider]` or `slack[user, provider]`.
    bounds
        What is proven of its variables.
    needs
        What a solver must be able to take to be given the model as it is.
    profit
        Its concave objective, which solvers without convex quadratics can approximate by tangents; None where the
        revenue is kept as a product.
    seeds
        Number of prices whose equilibria give the first tangents.
    upper_bound
        A bound on the profit known before any solver is asked.
    notes
        Lines for people.
    """

    name: str
    market: Market
    money: float
    volume: float
    decision: Array
    model: pyo.ConcreteModel
    bounds: Bounds
    needs: frozenset[Capability]
    profit: ConcaveProfit | None
    seeds: int = 0
    upper_bound: float = np.inf
    notes: tuple[str, ...] = ()

    @property
    def quadratic_size(self) -> int:
        """Number of variables of the model with its squares in the objective, without tangents."""
        names = ("decision", "billed", "level", "provider_load", "flow", "use", "unuse", "slack")
        return sum(len(part) for part in map(self.model.component, names) if part is not None)

    def proven(self, bound: float) -> float | None:
        """A bound of the model in the user's money, None where it is infinite."""
        return bound * self.money * self.volume if np.isfinite(bound) else None

    def decisions(self) -> Array:
        """The leader's decisions in the model's values, in the model's units, shape (k,)."""
        return np.array([decision.value for decision in self.model.decision.values()], dtype=np.float64)

    def start_from(self, equilibrium: Equilibrium) -> None:
        """Write an equilibrium of `market` into the model's variables: binaries, flows and all."""
        model = self.model
        for k in model.decision:
            model.decision[k].set_value(float(equilibrium.prices[k]), skip_validation=True)
            if model.component("billed") is not None:
                model.billed[k].set_value(float(equilibrium.by_decision[k]), skip_validation=True)
        for i in model.users:
            level = float(equilibrium.multiplier[i] / self.market.price_weight[i])
            model.level[i].set_value(level, skip_validation=True)
        for j in model.providers:
            model.provider_load[j].set_value(float(equilibrium.load[j]), skip_validation=True)
        for i, j in model.pairs:
            model.flow[i, j].set_value(float(equilibrium.flow[i, j]), skip_validation=True)
        for i, j in model.free:
            if model.component("use") is not None:
                model.use[i, j].set_value(int(equilibrium.flow[i, j] > 0), skip_validation=True)
            if model.component("unuse") is not None:
                model.unuse[i, j].set_value(int(equilibrium.flow[i, j] <= 0), skip_validation=True)
            if model.component("slack") is not None:
                reduced = max(0.0, pyo.value(model.reduced[i, j])) if equilibrium.flow[i, j] <= 0 else 0.0
                model.slack[i, j].set_value(reduced, skip_validation=True)
        if self.profit is not None:
            self.profit.start()

    def binding(self, equilibrium: Equilibrium) -> tuple[str, ...]:
        """Which bounds behind the big-M values hold with equality at an equilibrium of `market`: lines for people.

        Those of pairs whose flow or reduced cost reaches its bound, within 1e-6 of it.
        """
        market, bounds = self.market, self.bounds
        by_load, own = slopes(market)
        marginal = costs(market, equilibrium.prices) + by_load * equilibrium.load + own * equilibrium.flow
        reduced = marginal - (equilibrium.multiplier / market.price_weight)[:, None]
        free = bounds.possible & ~bounds.certain
        used = equilibrium.flow > 0
        at_flow = free & used & (equilibrium.flow >= (1 - 1e-6) * bounds.flow_high)
        at_reduced = free & ~used & (reduced >= (1 - 1e-6) * bounds.reduced_high)
        names = [
            f"{market.user_ids[i]}/{market.provider_ids[j]} ({quantity})"
            for quantity, reached in (("flow", at_flow), ("reduced cost", at_reduced))
            for i, j in zip(*reached.nonzero(), strict=True)
        ]
        return (f"bounds of flows and reduced costs that bind at the answer: {', '.join(names) or 'none'}",)


Build = Callable[[Market, Window], Formulation]
"""Builds a formulation, given the market and the decisions considered."""


def scaled_market(market: Market, highest: Array | None = None) -> tuple[Market, float, float, Array]:
    """The market in units that are its own: the same numbers, whatever units of money, volume and the rest it is in.

    Money is measured by the most that a unit of volume is charged by the `highest` decisions, shape (k,), without them
    by the caps, but by no less than a billionth of what congestion, dispersion and the leader's units cost, beside
    which smaller prices have no digits; volume by the mean demand; each component by the most of it in a unit of some
    user's volume; a factor so that the list it multiplies charges some user 1; congestion by the users' mean ratio of
    its weight to that of price. (Capacities and weights of congestion may be multiplied by one number: no flow changes,
    but a solver's absolute tolerances would meet other numbers.) Values are shifted so that the largest is 0, which
    changes no flow and makes every cost non-negative.

    Returns
    -------
    market, money, volume, decision
        `decision`, shape (k,), is what a unit of each decision is in the user's.
    """
    congestion = mean_ratio(weight_ratio(market)) if market.congested else 1.0
    volume = float(market.demand.mean())
    own = list(market.leader)
    dearest = all_prices(market, market.price_cap if highest is None else highest)
    money = float(per_unit(market, dearest[own]).max())
    tastes = market.pair_dispersion / market.price_weight[:, None]
    other = float(per_unit(market, market.unit_cost[own]).max() + tastes.max())
    if market.congested:
        other += float(congestion * market.demand.sum() / market.capacity.sum())
    money = max(money, _LEAST * other)
    decision, component = money / sizes(market), np.ones(1)
    if market.components:
        component = np.where(market.mix.any(axis=0), market.mix.max(axis=0), 1.0)
    price, best = market.price * component / money, market.worth.max()
    if market.decides == FACTOR:
        price[own] *= decision.reshape(-1, *[1] * (price.ndim - 1))
    scaled = replace(
        market,
        demand=market.demand / volume,
        capacity=market.capacity / volume / (congestion / money),
        price=price,
        mix=market.mix / component,
        value=(market.value - best) / money,
        user_values=(market.user_values - best) / money,
        unit_cost=market.unit_cost * component / money,
        price_cap=market.price_cap / decision,
        congestion_weight=market.congestion_weight / congestion,
        delay_weight=market.delay_weight / money,
        dispersion=market.dispersion / money,
    )
    return scaled, money, volume, decision


def mean_ratio(ratio: Array) -> float:
    """The mean sqrt(sum_i r_i / sum_i 1/r_i) of the users' ratios w_q,i / w_p,i."""
    return float(np.sqrt(ratio.sum() / (1 / ratio).sum()))
