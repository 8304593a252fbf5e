"""Formulation: a Pyomo model of a market, with what is needed to start it, read it and tighten it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyomo.environ as pyo

from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds, costs, mean_ratio, weight_ratio
from prillm_or.models.capabilities import Capability
from prillm_or.models.concave import ConcaveProfit
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
        The market in the model's units; `money` and `volume` lead back to the user's.
    money, volume
        One unit of the model is so much of the user's.
    model
        The Pyomo model: `price[leader]`, `level[user]`, `provider_load[provider]`, `flow[user, provider]`, and on free
        pairs, by formulation, `use[user, provider]` or `slack[user, provider]`.
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
        names = ("price", "level", "provider_load", "flow", "use", "unuse", "slack")
        return sum(len(part) for part in map(self.model.component, names) if part is not None)

    def proven(self, bound: float) -> float | None:
        """A bound of the model in the user's money, None where it is infinite."""
        return bound * self.money * self.volume if np.isfinite(bound) else None

    def prices(self) -> Array:
        """The leader's prices in the model's values, in the user's money, shape (len(leader),)."""
        return self.money * np.array([self.model.price[j].value for j in self.market.leader], dtype=np.float64)

    def start_from(self, equilibrium: Equilibrium) -> None:
        """Write an equilibrium of `market` into the model's variables: binaries, flows and all."""
        model = self.model
        for a, j in enumerate(self.market.leader):
            model.price[j].set_value(float(equilibrium.prices[a]), skip_validation=True)
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
        slope = weight_ratio(market)[:, None] / market.capacity
        marginal = costs(market, equilibrium.prices) + slope * (equilibrium.load + equilibrium.flow)
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


Build = Callable[[Market, float], Formulation]
"""Builds a formulation, given the market and the profit of an equilibrium already found."""


def scaled_market(market: Market, money: float = 0.0) -> tuple[Market, float, float]:
    """The market in units that are its own: the same numbers, whatever units of money, volume and congestion it is in.

    Money is measured by `money`, without it by the largest cap, but by no less than a billionth of what congestion and
    the leader's units cost, beside which smaller prices have no digits; volume by the mean demand; congestion by the
    users' mean ratio of its weight to that of price. (Capacities and weights of congestion may be multiplied by one
    number: no flow changes, but a solver's absolute tolerances would meet other numbers.) Values are shifted so that
    the largest is 0, which changes no flow and makes every cost non-negative.

    Returns
    -------
    market, money, volume
    """
    ratio = weight_ratio(market)
    congestion = mean_ratio(ratio)
    volume = float(market.demand.mean())
    other = congestion * market.demand.sum() / market.capacity.sum() + market.unit_cost[list(market.leader)].max()
    money = max(money or float(market.price_cap.max()), _LEAST * float(other))
    scaled = replace(
        market,
        demand=market.demand / volume,
        capacity=market.capacity / volume / (congestion / money),
        price=market.price / money,
        value=(market.value - market.value.max()) / money,
        unit_cost=market.unit_cost / money,
        price_cap=market.price_cap / money,
        congestion_weight=market.congestion_weight / congestion,
        delay_weight=market.delay_weight / money,
    )
    return scaled, money, volume
