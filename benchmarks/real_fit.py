"""Preferences fitted to what is observed: one value per model and one congestion weight per app.

The transport problem. At an equilibrium with loads X, user i's marginal cost of model j is
c_ij + (w_i / alpha_j) (X_j + f_ij) with c_ij = p_j + w_d d_ij - b_j, the price weight being 1. For given X these are
the optimality conditions of

    min sum_ij f_ij (p_j + w_d d_ij + w_i X_j / alpha_j) + w_i f_ij^2 / (2 alpha_j)
    where row i of f sums to D_i, column j to X_j, and f >= 0;

b_j is the multiplier of column j. Everything is deterministic: the random starts come from one fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares

from benchmarks.real_tables import Observed
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.problem import user_problem
from prillm_or.users.slopes import load_slopes

# USD per second waited; the data do not identify it. 3.6 USD per hour: programs wait, seldom people.
DELAY_WEIGHT = 0.001
# Measured across providers of one model: -1.0 to -1.3. Across models it is not measured: a choice.
ELASTICITY = -1.1
# A user's misfit is divided by its demand to this power: at 0 the largest user (27 to 56 % of the volume) decides
# nearly alone, at 1/2 small users cost premium-4 0.08 of its R^2.
DEMAND_POWER = 0.25
# Shrinkage: an app's weight e times the common one must pay for itself with this much of (weighted) R^2.
SHRINKAGE = 0.02
# Price of missing the elasticity during the search, in R^2 per squared log; a last shift of all weights removes the
# rest.
ELASTICITY_PULL = 1.0
# The fit has local minima; 40 starts take under 10 s a market.
STARTS = 40
SEED = 20261123


@dataclass(frozen=True, eq=False)
class Fit:
    """Preferences with which the loads come out as observed.

    Parameters
    ----------
    weight
        Shape (n,): congestion weights.
    value
        Shape (m,), least one 0.
    flow
        Shape (n, m): fitted flows.
    """

    weight: Array
    value: Array
    flow: Array


def transport(observed: Observed, weight: Array) -> tuple[Array, Array]:
    """Find flows and multipliers (users, then models) for given weights, by Newton steps on the transport dual."""
    demand, load, capacity = observed.demand, observed.load, observed.capacity
    n = len(demand)
    cost = observed.price + DELAY_WEIGHT * observed.delay + weight[:, None] * load / capacity
    rate = capacity / weight[:, None]
    sums = np.concatenate([demand, load])

    def flows(dual: Array) -> Array:
        return np.asarray(rate * np.maximum(dual[:n, None] + dual[n:] - cost, 0.0))

    def height(dual: Array) -> float:
        return float(sums @ dual - 0.5 * (flows(dual) ** 2 / rate).sum())

    dual = np.concatenate([cost.max(axis=1), np.zeros_like(load)])
    for _ in range(500):
        flow = flows(dual)
        residual = sums - np.concatenate([flow.sum(axis=1), flow.sum(axis=0)])
        if np.abs(residual).max() <= 1e-12 * sums.max():
            break
        step = _laplacian_solve(rate, flow > 0, residual)
        length, here, rise = 1.0, height(dual), float(residual @ step)
        while length > 1e-10 and height(dual + length * step) < here + 1e-4 * length * rise - 1e-13 * abs(here):
            length /= 2
        dual = dual + length * step
    return flows(dual), dual


def _laplacian_solve(rate: Array, support: Mask, right: Array) -> Array:
    """Solve for a change of the multipliers on a support; the ridge picks one where a shift changes nothing."""
    edge = np.where(support, rate, 0.0)
    n = len(edge)
    matrix = np.zeros((len(right), len(right)))
    matrix[:n, n:] = edge
    matrix += matrix.T
    matrix += np.diag(matrix.sum(axis=1) + 1e-10 * rate.max())
    return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)


def sensitivity(observed: Observed, weight: Array, flow: Array) -> Array:
    """Differentiate the transport flows by the log of each weight, shape (n, m, n), on the current support."""
    n, support = len(weight), flow > 0
    rate = observed.capacity / weight[:, None]
    direct = np.where(support, -flow - observed.load, 0.0)
    change = np.zeros((*flow.shape, n))
    for i in range(n):
        right = np.zeros(sum(flow.shape))
        right[i], right[n:] = -direct[i].sum(), -direct[i]
        dual = _laplacian_solve(rate, support, right)
        change[:, :, i] = np.where(support, rate * (dual[:n, None] + dual[n:]), 0.0)
        change[i, :, i] += direct[i]
    return change


def elasticity(observed: Observed, weight: Array, support: Mask) -> float:
    """Own-price elasticity of the models' loads, averaged by revenue: sum p_j^2 dx_j/dp_j / sum p_j x_j."""
    slopes = _slopes(observed, weight, support)
    return float(observed.price**2 @ slopes / (observed.price @ observed.load))


def _slopes(observed: Observed, weight: Array, support: Mask) -> Array:
    """Differentiate each load by its own price, shape (m,), on a support: values and delays do not enter."""
    n, m = observed.flow.shape
    market = Market(
        name="slopes",
        user_ids=tuple(observed.users),
        provider_ids=tuple(observed.providers),
        demand=observed.demand,
        price=observed.price,
        capacity=observed.capacity,
        value=np.zeros(m),
        unit_cost=np.zeros(m),
        delay=np.zeros((n, m)),
        price_weight=np.ones(n),
        congestion_weight=weight,
        delay_weight=np.zeros(n),
        leader=(0,),
        price_cap=observed.list_price[:1],
    )
    everyone = replace(user_problem(market), leader=tuple(range(m)))
    return np.diag(load_slopes(everyone, Laplacian(support, observed.capacity)))


def fit(observed: Observed) -> Fit:
    """Search the weights from many starts and keep the best."""
    residual, jacobian = _least_squares(observed)
    n, random = len(observed.users), np.random.default_rng(SEED)
    best, cost = np.zeros(n), np.inf
    for k in range(STARTS):
        start = 0.4 + (0.0 if k == 0 else 0.5) * random.standard_normal(n)
        found = least_squares(residual, start, jacobian, x_scale=1.0, max_nfev=100)
        if found.cost < cost:
            best, cost = found.x, found.cost
    weight = np.exp(best + _shift(observed, best))
    flow, dual = transport(observed, weight)
    value = dual[len(weight) :]
    return Fit(weight, value - value.min(), flow)


def _least_squares(observed: Observed) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Residuals and their derivative by the log weights: flows in units of R^2, shrinkage, elasticity."""
    unit = observed.demand[:, None] ** DEMAND_POWER
    unit = unit * np.sqrt((((observed.flow - observed.flow.mean()) / unit) ** 2).sum())
    centre = np.sqrt(SHRINKAGE) * (np.eye(len(observed.users)) - 1 / len(observed.users))
    pull = np.sqrt(ELASTICITY_PULL)

    def residual(log_weight: Array) -> Array:
        flow, _ = transport(observed, np.exp(log_weight))
        miss = np.log(elasticity(observed, np.exp(log_weight), flow > 0) / ELASTICITY)
        return np.concatenate([((flow - observed.flow) / unit).ravel(), centre @ log_weight, [pull * miss]])

    def jacobian(log_weight: Array) -> Array:
        flow, _ = transport(observed, np.exp(log_weight))
        change = sensitivity(observed, np.exp(log_weight), flow) / unit[:, :, None]
        return np.vstack(
            [change.reshape(flow.size, -1), centre, pull * _elasticity_slope(observed, log_weight, flow > 0)]
        )

    return residual, jacobian


def _elasticity_slope(observed: Observed, log_weight: Array, support: Mask, step: float = 1e-5) -> Array:
    def log_elasticity(at: Array) -> float:
        return float(np.log(-elasticity(observed, np.exp(at), support)))

    here = log_elasticity(log_weight)
    return np.array([(log_elasticity(log_weight + step * row) - here) / step for row in np.eye(len(log_weight))])


def _shift(observed: Observed, log_weight: Array) -> float:
    """Find the common factor (its logarithm) that brings the elasticity to `ELASTICITY`, by bisection."""

    def elastic(shift: float) -> bool:
        weight = np.exp(log_weight + shift)
        return elasticity(observed, weight, transport(observed, weight)[0] > 0) < ELASTICITY

    low, high = -1.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if elastic(middle) else (low, middle)
    return (low + high) / 2
