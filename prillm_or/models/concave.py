r"""The leader's profit as a concave quadratic: no product of a price and a load is left.

Notation as in `bounds.py`: money divided by the user's price weight, r_i = w_q,i / w_p,i, e_ij = (w_d,i d_ij - b_j) /
w_p,i. Multiply user i's stationarity by f_ij and sum over all pairs; complementarity removes mu, and what remains of
the revenue is

    sum_{j in L} p_j x_j = sum_i lambda_i D_i - sum_{j not in L} p_j x_j - sum_ij e_ij f_ij
                           - sum_j (1 / alpha_j) sum_i r_i f_ij (x_j + f_ij).

Profit also subtracts sum_{j in L} k_j x_j. With common weights the last sum is r (x_j^2 + sum_i f_ij^2). In general,
with s^2 = sqrt(sum_i r_i / sum_i 1/r_i) and v_i = r_i / s - s,

    sum_i r_i f_i (x + f_i) = y^2 / 4 + (1 - kappa) sum_i r_i f_i^2 + W(f),
    y = sum_i (r_i / s + s) f_i,
    W(f) = kappa sum_i r_i f_i^2 - (sum_i v_i f_i)^2 / 4,
    kappa = (sqrt((sum_i r_i) (sum_i 1/r_i)) - n) / 2.

W >= 0 by Cauchy's inequality, since sum_i v_i^2 / r_i = 4 kappa; so everything is convex when kappa <= 1, that is, if
and only if (sum r_i)(sum 1/r_i) <= (n + 2)^2. Each of the convex terms y^2, f^2 and W gets a variable that is bounded
below by tangents (outer approximation), so that every relaxation overestimates profit; or they stand as they are
(convex MIQP).

Follower's ties: none, the equilibrium is unique.
"""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo

from prillm_or.errors import CombinationError, argument
from prillm_or.market.market import Market
from prillm_or.models.bounds import mean_ratio, own_costs, weight_ratio

_TOUCHED = 1e-10


class ConcaveProfit:
    """The objective of a KKT model, `model.objective`, either with tangents or with its squares.

    Parameters
    ----------
    model
        From `kkt_core`.
    market
        In the model's units.

    Raises
    ------
    CombinationError
        When the users' weights differ so much that the profit is not concave.
    """

    def __init__(self, model: pyo.ConcreteModel, market: Market) -> None:
        self._model = model
        self._capacity = market.capacity
        self._ratio = weight_ratio(market)
        self._kappa = concavity(market)
        if self._kappa > 1:
            raise CombinationError(f"{not_concave(market, self._kappa)}; use {argument('model', 'kkt-bilinear')}")
        self._s = math.sqrt(mean_ratio(self._ratio))
        self._spread = self._ratio / self._s - self._s
        # What the squares of bounds say costs no solution, and gives each column a range to be measured by.
        model.load_square = pyo.Var(model.providers, bounds=lambda _, j: self._pull_squares(j))
        model.flow_square = pyo.Var(model.pairs, bounds=lambda m, i, j: (m.flow[i, j].lb ** 2, m.flow[i, j].ub ** 2))
        # With one ratio for all users W is 0, and needs no variable.
        model.rest = pyo.Var(model.providers if self._kappa > 0 else [], bounds=lambda _, j: (0.0, self._most_rest(j)))
        model.tangents = pyo.ConstraintList()
        self._linear = self._linear_part(market)
        model.objective = pyo.Objective(expr=self._linear - self._epigraph_part(), sense=pyo.maximize)

    def start(self) -> None:
        """Give the variables that stand for convex terms, where there are any, the values of these."""
        model = self._model
        if model.component("load_square") is None:
            return
        for j in model.providers:
            flow = self._flow_to(j)
            model.load_square[j].set_value(self._pull(flow) ** 2, skip_validation=True)
            if self._kappa > 0:
                model.rest[j].set_value(max(0.0, self._rest(flow)), skip_validation=True)
        for pair in model.pairs:
            model.flow_square[pair].set_value(model.flow[pair].value ** 2, skip_validation=True)

    def add_tangents(self, *, violated_only: bool) -> int:
        """Add tangents at the model's present flows, all or those not met by the present values; return how many."""
        before = len(self._model.tangents)
        for j in self._model.providers:
            flow = self._flow_to(j)
            if self._wanted(self._model.load_square[j], self._pull(flow) ** 2, violated_only):
                self._touch_load(j, flow)
            if self._kappa > 0 and self._wanted(self._model.rest[j], self._rest(flow), violated_only):
                self._touch_rest(j, flow)
        for pair in self._model.pairs:
            if self._wanted(self._model.flow_square[pair], self._model.flow[pair].value ** 2, violated_only):
                self._touch_flow(pair)
        return len(self._model.tangents) - before

    @staticmethod
    def _wanted(stands_for: pyo.Var, convex: float, violated_only: bool) -> bool:
        # At 0 a tangent says no more than the variable's own bound.
        present = stands_for.value if violated_only else 0.0
        return convex > present + _TOUCHED

    def use_squares(self, *, in_rows: bool = False) -> None:
        """Let the convex terms themselves take the tangents' place, for solvers of convex quadratics.

        Either in the objective, or, `in_rows`, each in a small row of its own that bounds its variable from below.
        """
        model = self._model
        model.del_component(model.tangents)
        if in_rows:
            self._add_square_rows()
            return
        for component in (model.load_square, model.flow_square, model.rest, model.objective):
            model.del_component(component)
        convex = sum(self._convex_expression(j) / float(self._capacity[j]) for j in model.providers)
        model.objective = pyo.Objective(expr=self._linear - convex, sense=pyo.maximize)

    def _add_square_rows(self) -> None:
        model = self._model
        model.nonlinear = pyo.ConstraintList()
        for j in model.providers:
            model.nonlinear.add(self._pull_expression(j) ** 2 - model.load_square[j] <= 0)
            if self._kappa > 0:
                model.nonlinear.add(self._rest_expression(j) - model.rest[j] <= 0)
        for pair in model.pairs:
            model.nonlinear.add(model.flow[pair] ** 2 - model.flow_square[pair] <= 0)

    def _linear_part(self, market: Market) -> pyo.Expression:
        model, leader = self._model, set(market.leader)
        own = own_costs(market)
        # The identity takes what rivals are paid off the revenue, the profit takes off the leader's unit costs.
        paid = [market.unit_cost[j] if j in leader else market.price[j] for j in range(market.m)]
        return (
            sum(float(market.demand[i]) * model.level[i] for i in model.users)
            - sum(float(paid[j]) * model.provider_load[j] for j in model.providers)
            - sum(float(own[i, j]) * model.flow[i, j] for i, j in model.pairs)
        )

    def _epigraph_part(self) -> pyo.Expression:
        model = self._model
        loads = sum(model.load_square[j] / float(4 * self._capacity[j]) for j in model.providers)
        shares = (1 - self._kappa) * self._ratio
        flows = sum(float(shares[i] / self._capacity[j]) * model.flow_square[i, j] for i, j in model.pairs)
        rests = sum(model.rest[j] / float(self._capacity[j]) for j in model.rest)
        return loads + flows + rests

    def _convex_expression(self, j: int) -> pyo.Expression:
        # The three terms of the identity added up: kappa cancels, and the whole is convex although -spread^2 is not.
        flow, ratio, users = self._model.flow, self._ratio, self._model.users_of[j]
        spread = sum(float(self._spread[i]) * flow[i, j] for i in users)
        return self._pull_expression(j) ** 2 / 4 - spread**2 / 4 + sum(float(ratio[i]) * flow[i, j] ** 2 for i in users)

    def _rest_expression(self, j: int) -> pyo.Expression:
        flow, users = self._model.flow, self._model.users_of[j]
        spread = sum(float(self._spread[i]) * flow[i, j] for i in users)
        return self._kappa * sum(float(self._ratio[i]) * flow[i, j] ** 2 for i in users) - spread**2 / 4

    def _flow_to(self, j: int) -> dict[int, float]:
        return {i: self._model.flow[i, j].value for i in self._model.users_of[j]}

    def _pull_expression(self, j: int) -> pyo.Expression:
        """The sum y of provider j; with common weights simply 2 s x_j, one variable in place of many."""
        model = self._model
        if self._kappa == 0:
            return 2 * self._s * model.provider_load[j]
        return sum(float(self._ratio[i] / self._s + self._s) * model.flow[i, j] for i in model.users_of[j])

    def _pull_squares(self, j: int) -> tuple[float, float]:
        """Bounds of the square of the sum y of provider j."""
        load, flow = self._model.provider_load[j], self._model.flow
        if self._kappa == 0:
            return (2 * self._s * load.lb) ** 2, (2 * self._s * load.ub) ** 2
        users = self._model.users_of[j]
        return self._pull({i: flow[i, j].lb for i in users}) ** 2, self._pull({i: flow[i, j].ub for i in users}) ** 2

    def _most_rest(self, j: int) -> float:
        flow = self._model.flow
        return float(self._kappa * sum(self._ratio[i] * flow[i, j].ub ** 2 for i in self._model.users_of[j]))

    def _pull(self, flow: dict[int, float]) -> float:
        return sum((float(self._ratio[i]) / self._s + self._s) * f for i, f in flow.items())

    def _rest(self, flow: dict[int, float]) -> float:
        spread = sum(float(self._spread[i]) * f for i, f in flow.items())
        return self._kappa * sum(float(self._ratio[i]) * f * f for i, f in flow.items()) - spread**2 / 4

    def _touch_load(self, j: int, flow: dict[int, float]) -> None:
        model, here = self._model, self._pull(flow)
        model.tangents.add(model.load_square[j] >= 2 * here * self._pull_expression(j) - here**2)

    def _touch_rest(self, j: int, flow: dict[int, float]) -> None:
        # W is a quadratic form, so its tangent at f0 is grad W(f0) f - W(f0).
        model = self._model
        spread = sum(float(self._spread[i]) * f for i, f in flow.items())
        gradient = {i: 2 * self._kappa * self._ratio[i] * f - self._spread[i] * spread / 2 for i, f in flow.items()}
        tangent = sum(float(g) * model.flow[i, j] for i, g in gradient.items())
        model.tangents.add(model.rest[j] >= tangent - self._rest(flow))

    def _touch_flow(self, pair: tuple[int, int]) -> None:
        model, here = self._model, self._model.flow[pair].value
        model.tangents.add(model.flow_square[pair] >= 2 * here * model.flow[pair] - here**2)


def not_concave(market: Market, kappa: float) -> str:
    """What to say of a market whose profit is not concave."""
    return (
        f"{market.name}: the users' weights differ too much for a concave profit (kappa = {kappa:.3g} > 1, see "
        "docs/mathematics.md)"
    )


def concavity(market: Market) -> float:
    """The number kappa of the module docstring: the profit is concave if and only if it is at most 1; 0 for one r."""
    ratio = weight_ratio(market)
    if (ratio == ratio[0]).all():
        return 0.0
    return max(0.0, float((np.sqrt(ratio.sum() * (1 / ratio).sum()) - market.n) / 2))
