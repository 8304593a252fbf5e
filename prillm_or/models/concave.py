r"""The leader's profit as a concave quadratic: no product of a decision and a volume is left.

Notation as in `bounds.py`: money divided by the user's price weight, beta_ij and gamma_ij the slopes by load and by the
user's own flow, e_ij = (w_d,i d_ij - b_ij) / w_p,i. Multiply user i's stationarity by f_ij and sum over all pairs;
complementarity removes mu, and what remains of the revenue is

    sum_{j in L} sum_i f_ij (a_i . p_j) = sum_i lambda_i D_i - sum_{j not in L} sum_i f_ij (a_i . p_j)
                                          - sum_ij e_ij f_ij - sum_j Q_j,
    Q_j = sum_i f_ij (beta_ij x_j + gamma_ij f_ij),

whatever parts of the price lists are decided. Profit also subtracts the costs sum_{j in L} sum_i f_ij (a_i . k_j).
Where beta_ij is the same for all users, Q_j = beta_j x_j^2 + sum_i gamma_ij f_ij^2. In general, at one provider, with
s^4 = (sum_i beta_i^2 / gamma_i) / (sum_i 1 / gamma_i) and v_i = beta_i / s - s,

    Q = y^2 / 4 + (1 - kappa) sum_i gamma_i f_i^2 + W(f),
    y = sum_i (beta_i / s + s) f_i,
    W(f) = kappa sum_i gamma_i f_i^2 - (sum_i v_i f_i)^2 / 4,
    kappa = (sqrt((sum_i beta_i^2 / gamma_i) (sum_i 1 / gamma_i)) - sum_i beta_i / gamma_i) / 2.

W >= 0 by Cauchy's inequality, since sum_i v_i^2 / gamma_i = 4 kappa; so everything is convex when kappa <= 1 at every
provider. (Without counts and dispersion gamma = beta = r / alpha, and kappa <= 1 is (sum r_i)(sum 1/r_i) <= (n + 2)^2;
counts raise kappa, N for all N times, dispersion lowers it.) Without congestion beta, y and W are 0. Each of
the convex terms y^2, f^2 and W gets a variable that is bounded below by tangents (outer approximation), so that every
relaxation overestimates profit; or they stand as they are (convex MIQP).

Follower's ties: none, the equilibrium is unique.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo

from prillm_or.errors import CombinationError, argument
from prillm_or.market.decisions import per_unit
from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import own_costs, slopes
from prillm_or.models.curvature import curvatures

_TOUCHED = 1e-14
"""Of a square: points nearer to one another are one."""


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
        When the users' weights differ so much that a Q_j is not convex.
    """

    def __init__(self, model: pyo.ConcreteModel, market: Market) -> None:
        self._model = model
        kappa = curvatures(market)
        if (most := float(kappa.max())) > 1:
            raise CombinationError(f"{not_concave(market, most)}; use {argument('model', 'kkt-bilinear')}")
        by_load, own = slopes(market)
        # Each provider's terms are measured by its mean slope: where money is small beside congestion, slopes and their
        # squares would be numbers that a solver has no digits for.
        self._unit = (by_load if market.congested else own).mean(axis=0)
        by_load, self._own = by_load / self._unit, own / self._unit
        self._kappa = kappa
        self._s = np.sqrt(_ratio_of_means(by_load, self._own))
        congested = model.providers if market.congested else []
        even = self._s if market.congested else 1.0
        self._spread = np.where(kappa > 0, by_load / even - self._s, 0.0)
        self._weight = by_load / even + self._s
        # What the squares of bounds say costs no solution, and gives each column a range to be measured by.
        model.load_square = pyo.Var(congested, bounds=lambda _, j: self._pull_squares(j))
        model.flow_square = pyo.Var(model.pairs, bounds=lambda m, i, j: (m.flow[i, j].lb ** 2, m.flow[i, j].ub ** 2))
        # With one slope by load for all users W is 0, and needs no variable.
        uneven = [j for j in model.providers if kappa[j] > 0]
        model.rest = pyo.Var(uneven, bounds=lambda _, j: (0.0, self._most_rest(j)))
        model.tangents = pyo.ConstraintList()
        # Where they touch, by variable.
        self._touched: dict[int, list[Any]] = {}
        self._flow_price = self._unit * (1 - kappa) * self._own
        self._linear = self._linear_part(market)
        model.objective = pyo.Objective(expr=self._linear - self._epigraph_part(), sense=pyo.maximize)

    def start(self) -> None:
        """Give the variables that stand for convex terms, where there are any, the values of these."""
        model = self._model
        if model.component("load_square") is None:
            return
        for j in model.load_square:
            model.load_square[j].set_value(self._pull(j) ** 2, skip_validation=True)
        for j in model.rest:
            model.rest[j].set_value(max(0.0, self._rest(j)), skip_validation=True)
        for pair in model.pairs:
            model.flow_square[pair].set_value(model.flow[pair].value ** 2, skip_validation=True)

    def add_tangents(self, miss: float) -> int:
        """Add tangents at the model's present flows, of the terms that those there are miss; return how many.

        Parameters
        ----------
        miss
            So much of the objective, in the model's units, may be missed there by all terms together.
        """
        model, before = self._model, len(self._model.tangents)
        miss /= len(model.load_square) + len(model.rest) + len(model.pairs)
        for j, square in model.load_square.items():
            if self._missed(square, self._pull(j), miss / self._load_price(j)):
                self._touch(square, self._pull(j), self._pull_expression(j))
        for j in model.rest:
            if self._missed_rest(j, miss / float(self._unit[j])):
                self._touch_rest(j)
        for pair, square in model.flow_square.items():
            flow = model.flow[pair]
            if self._missed(square, flow.value, miss / max(self._flow_price[pair], _TOUCHED)):
                self._touch(square, flow.value, flow)
        return len(model.tangents) - before

    def _missed(self, square: pyo.Var, here: float, miss: float) -> bool:
        """Whether a square is more than what its bound and its tangents, the nearest of which counts, say of it."""
        nearest = min((here - there) ** 2 for there in self._touched.get(id(square), [np.inf]))
        return bool(min(nearest, here**2 - square.lb) > max(miss, _TOUCHED))

    def _missed_rest(self, j: int, miss: float) -> bool:
        """The same of W, a quadratic form: between a tangent and W lies W of the way from where it touches."""
        flow = self._flow_to(j)
        nearest = min(
            self._rest_of(j, flow - there) for there in (0.0, *self._touched.get(id(self._model.rest[j]), ()))
        )
        return bool(nearest > max(miss, _TOUCHED))

    def use_squares(self, *, in_rows: bool = False) -> None:
        """Let the convex terms themselves take the tangents' place, for solvers of convex quadratics.

        Either in the objective, or, `in_rows`, each in a small row of its own that bounds its variable from below.
        """
        model = self._model
        model.del_component(model.tangents)
        if in_rows:
            self._add_square_rows()
            return
        convex = sum(self._convex_expression(j) for j in model.providers)
        for component in (model.load_square, model.flow_square, model.rest, model.objective):
            model.del_component(component)
        model.objective = pyo.Objective(expr=self._linear - convex, sense=pyo.maximize)

    def _add_square_rows(self) -> None:
        model = self._model
        model.nonlinear = pyo.ConstraintList()
        for j in model.load_square:
            model.nonlinear.add(self._pull_expression(j) ** 2 - model.load_square[j] <= 0)
        for j in model.rest:
            model.nonlinear.add(self._rest_expression(j) - model.rest[j] <= 0)
        for pair in model.pairs:
            model.nonlinear.add(model.flow[pair] ** 2 - model.flow_square[pair] <= 0)

    def _linear_part(self, market: Market) -> pyo.Expression:
        model, leader, own = self._model, list(market.leader), own_costs(market)
        # The identity takes what rivals are paid off the revenue, the profit takes off the leader's unit costs.
        table = market.price.copy()
        table[leader] = market.unit_cost[leader]
        paid, loads = per_unit(market, table), 0.0
        if paid.ndim == 1:
            loads = sum(float(paid[j]) * model.provider_load[j] for j in model.providers)
        else:
            own = own + paid
        return (
            sum(float(market.demand[i]) * model.level[i] for i in model.users)
            - loads
            - sum(float(own[i, j]) * model.flow[i, j] for i, j in model.pairs)
        )

    def _epigraph_part(self) -> pyo.Expression:
        model = self._model
        flows = sum(float(self._flow_price[i, j]) * model.flow_square[i, j] for i, j in model.pairs)
        loads = sum(self._load_price(j) * square for j, square in model.load_square.items())
        return loads + flows + sum(float(self._unit[j]) * rest for j, rest in model.rest.items())

    def _convex_expression(self, j: int) -> pyo.Expression:
        # The three terms of the identity added up: kappa cancels, and the whole is convex although -spread^2 is not.
        pull = self._pull_expression(j) if j in self._model.load_square else 0.0
        convex = pull**2 / 4 - self._spread_expression(j) ** 2 / 4 + self._squares(j)
        return float(self._unit[j]) * convex

    def _rest_expression(self, j: int) -> pyo.Expression:
        return float(self._kappa[j]) * self._squares(j) - self._spread_expression(j) ** 2 / 4

    def _squares(self, j: int) -> pyo.Expression:
        flow = self._model.flow
        return sum(float(self._own[i, j]) * flow[i, j] ** 2 for i in self._model.users_of[j])

    def _spread_expression(self, j: int) -> pyo.Expression:
        return sum(float(self._spread[i, j]) * self._model.flow[i, j] for i in self._model.users_of[j])

    def _pull_expression(self, j: int) -> pyo.Expression:
        """The sum y of provider j; with one slope by load simply 2 s x_j, one variable in place of many."""
        model = self._model
        if self._kappa[j] == 0:
            return float(2 * self._s[j]) * model.provider_load[j]
        return sum(float(self._weight[i, j]) * model.flow[i, j] for i in model.users_of[j])

    def _pull_squares(self, j: int) -> tuple[float, float]:
        """Bounds of the square of the sum y of provider j."""
        load, flow = self._model.provider_load[j], self._model.flow
        if self._kappa[j] == 0:
            low, high = (float(2 * self._s[j]) * end for end in load.bounds)
        else:
            ends = [flow[i, j].bounds for i in self._model.users_of[j]]
            low, high = self._weights(j) @ np.array(ends).reshape(-1, 2)
        return float(low) ** 2, float(high) ** 2

    def _most_rest(self, j: int) -> float:
        users, flow = self._model.users_of[j], self._model.flow
        squares = np.array([flow[i, j].ub for i in users], dtype=np.float64) ** 2
        return float(self._kappa[j] * (self._own[users, j] @ squares))

    def _pull(self, j: int) -> float:
        """Value of y at the model's present flows."""
        return float(self._weights(j) @ self._flow_to(j))

    def _rest(self, j: int) -> float:
        """Value of W there."""
        return self._rest_of(j, self._flow_to(j))

    def _rest_of(self, j: int, flow: Array) -> float:
        users = self._model.users_of[j]
        return float(self._kappa[j] * (self._own[users, j] @ flow**2) - (self._spread[users, j] @ flow) ** 2 / 4)

    def _weights(self, j: int) -> Array:
        return np.asarray(self._weight[self._model.users_of[j], j])

    def _flow_to(self, j: int) -> Array:
        return np.array([self._model.flow[i, j].value for i in self._model.users_of[j]], dtype=np.float64)

    def _touch(self, square: pyo.Var, here: float, what: pyo.Expression) -> None:
        self._touched.setdefault(id(square), []).append(here)
        self._model.tangents.add(square >= 2 * here * what - here**2)

    def _touch_rest(self, j: int) -> None:
        # W is a quadratic form, so its tangent at f0 is grad W(f0) f - W(f0).
        model, users, flow = self._model, self._model.users_of[j], self._flow_to(j)
        self._touched.setdefault(id(model.rest[j]), []).append(flow)
        own, spread = self._own[users, j], self._spread[users, j]
        gradient = 2 * self._kappa[j] * own * flow - spread * (spread @ flow) / 2
        tangent = sum(g * model.flow[i, j] for i, g in zip(users, gradient.tolist(), strict=True))
        model.tangents.add(model.rest[j] >= tangent - self._rest(j))

    def _load_price(self, j: int) -> float:
        """What the objective pays for y^2 of provider j."""
        return float(self._unit[j] / 4)


def not_concave(market: Market, kappa: float) -> str:
    """What to say of a market whose profit is not concave."""
    return (
        f"{market.name}: the users' weights differ too much for a concave profit (kappa = {kappa:.3g} > 1, see "
        "docs/mathematics.md)"
    )


def _ratio_of_means(by_load: Array, own: Array) -> Array:
    """s^2 of each provider, shape (m,)."""
    return np.asarray(np.sqrt((by_load**2 / own).sum(axis=0) / (1 / own).sum(axis=0)))
