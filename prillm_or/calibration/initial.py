r"""Starting values: the smallest values that make observed flows an equilibrium, by a linear programme.

Weights are held. On day t user i's marginal cost at provider j, in its own money and less the value, is

    c_ijt = w_p,i p_jt + w_d,i d_ijt + w_q,i (x_jt + f_ijt) / alpha_jt + s f_ijt / D_it,     x_jt = sum_i f_ijt,

marginal, not average: users are atomic, so each sees its own effect on the congestion. The flows are an equilibrium
when c_ijt - b_j equals the user's level lambda_it where f_ijt > 0 and is no less where f_ijt = 0. Real flows are not
quite one, so each offered pair of each user present (one with demand that day) has a slack e_ijt:

    min   sum_j b_j + M sum_ijt e_ijt
    s.t.  |c_ijt - b_j - lambda_it| <= e_ijt          where f_ijt > 0,
            c_ijt - b_j - lambda_it >= -e_ijt         where f_ijt = 0,
          b_j >= 0,   e_ijt >= 0,   lambda_it free.

In the programme below b + lambda - short + over = c with `short`, `over` >= 0: e = `short` + `over` of a pair in use,
and `short` of another, whose `over` costs nothing.

**M = 2 m.** Any M > m gives the same answer: the least sum of slacks first, and among those the least sum of values.
The programme is the dual of a network flow, with one node for each b_j and one for each -lambda_it, and such a
polyhedral function is minimal as soon as it does not fall when any set of nodes moves up or down together by one (it is
L-natural convex). At the answer just named the sum of slacks changes by an integer >= 0 per unit of such a move. Where
that is 0, the sum of values does not fall; else it falls by at most m, and M > m outweighs it.

**Scale.** Volumes cancel. From c we take each user's smallest of the day, which lambda absorbs, and divide by the
largest number left, so that all costs lie in [0, 1].

**What comes back.** Adding one constant to all b changes no flow, so min b = 0 (a least sum has no other minimum). On
flows that are an equilibrium all slacks are 0, and differences of values are right between providers that are linked:
j and k are linked when some user uses both on one day, and so are those linked to the same third. Of a provider that
nobody uses only an upper bound is known: it gets 0, and the others are raised as far as its rows ask. So shift the
providers in use to min 0 before you compare them with the truth. With slacks left, this is a fit by least absolute
deviations in which each pair counts alike, whatever its flow.

References: inverse equilibrium as a linear programme: Guo, Bai, Jin, AAAI 2026, doi 10.1609/aaai.v40i20.38748.
Optimality by moves of sets: Murota, "Discrete Convex Analysis", SIAM 2003, doi 10.1137/1.9780898718508.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from prillm_or.errors import ConvergenceError
from prillm_or.market.market import Array, Mask


@dataclass(frozen=True, eq=False)
class InitialValues:
    """What the programme found.

    Parameters
    ----------
    value
        Shape (m,), currency per volume unit, smallest 0.
    slack
        Shape (T, n, m), each user's own money per volume unit, >= 0: by how much a pair's marginal cost is off; 0 where
        a provider is not offered or a user not present.
    level
        Shape (T, n), lambda in each user's own money per volume unit; NaN for users without demand that day.
    """

    value: Array
    slack: Array
    level: Array


def initial_values(
    price: Array,
    delay: Array,
    capacity: Array,
    flow: Array,
    offered: Mask,
    price_weight: Array,
    congestion_weight: Array,
    delay_weight: Array,
    *,
    dispersion: float = 0.0,
) -> InitialValues:
    """Find the smallest values b >= 0 that make the flows of T days an equilibrium, or nearly so.

    Parameters
    ----------
    price
        Shape (T, m), or (T, n, m) by user, currency per volume unit; not read where not offered.
    capacity
        Shape (T, m), volume units per congestion unit; not read where not offered.
    delay
        Shape (T, n, m), in the delay unit; not read where not offered.
    flow
        Shape (T, n, m), volume units, >= 0.
    offered
        Shape (T, m): which providers could be used that day.
    price_weight, congestion_weight, delay_weight
        Shape (n,): each user's weights, held.
    dispersion
        s, of all users at all providers, currency per volume unit, held.

    Raises
    ------
    ValueError
        When a flow goes to a provider that is not offered, or a number that is read is not finite.
    ConvergenceError
        When HiGHS ends without an optimum.
    """
    if (flow[~np.broadcast_to(offered[:, None], flow.shape)] != 0).any():
        raise ValueError("flow: a provider has flow on a day on which it is not offered")
    present = flow.sum(axis=2) > 0
    pairs = present[:, :, None] & offered[:, None]
    marginal = _marginal(price, delay, capacity, flow, price_weight, congestion_weight, delay_weight)
    if dispersion:
        demand = flow.sum(axis=2, keepdims=True)
        marginal = marginal + dispersion * flow / np.where(demand > 0, demand, 1.0)
    cost = np.where(pairs, marginal, 0.0)
    if not np.isfinite(cost).all():
        raise ValueError("price, delay, capacity, flow, weights: expected finite numbers where a provider is offered")
    least = np.where(pairs, cost, np.inf).min(axis=2, initial=np.inf, keepdims=True)
    height = np.where(pairs, cost - np.where(np.isfinite(least), least, 0.0), 0.0)
    # A cost that all of a user's providers share moves its level alone. Without it costs have a scale.
    scale = float(height.max(initial=0.0)) or 1.0
    slack, level = np.zeros(flow.shape), np.full(present.shape, np.nan)
    value, level[pairs.any(axis=2)], slack[pairs] = _solved(height / scale, pairs, flow > 0)
    value, level, slack = scale * value, scale * level + least[..., 0], scale * slack
    # The least sum has a value of 0, but for the solver's tolerance; levels take up what the values lose.
    low = value.min(initial=np.inf) if value.size else 0.0
    return InitialValues(np.maximum(value - low, 0.0), np.maximum(slack, 0.0), level + low)


def _marginal(
    price: Array,
    delay: Array,
    capacity: Array,
    flow: Array,
    price_weight: Array,
    congestion_weight: Array,
    delay_weight: Array,
) -> Array:
    """Marginal costs c of the module docstring, shape (T, n, m); anything where the inputs are not numbers."""
    with np.errstate(all="ignore"):
        congestion = (flow.sum(axis=1, keepdims=True) + flow) / capacity[:, None]
    return np.asarray(
        price_weight[:, None] * (price if price.ndim == 3 else price[:, None])
        + delay_weight[:, None] * delay
        + congestion_weight[:, None] * congestion
    )


def _solved(cost: Array, pairs: Mask, used: Mask) -> tuple[Array, Array, Array]:
    """Values of providers, levels of users present, and slacks of pairs, the last two in the order of `nonzero`."""
    day, user, provider = pairs.nonzero()
    (count, m), (present, level) = (len(day), cost.shape[2]), np.unique((day, user), axis=1, return_inverse=True)
    users = present.shape[1]
    row = np.arange(count)
    short, over = m + users + row, m + users + count + row
    columns, entries = np.concatenate([provider, m + level, short, over]), np.repeat([1.0, 1.0, -1.0, 1.0], count)
    shape = (count, m + users + 2 * count)
    penalty = 2.0 * m
    # A used pair is to cost just the level, an unused one may cost more: `over` is free there.
    weight = np.concatenate([np.ones(m), np.zeros(users), np.full(count, penalty), penalty * used[pairs]])
    low = np.zeros(shape[1])
    low[m : m + users] = -np.inf
    found = linprog(  # type: ignore[call-overload]  # the stubs know no sparse matrices
        weight,
        A_eq=coo_array((entries, (np.tile(row, 4), columns)), shape=shape).tocsc(),
        b_eq=cost[pairs],
        bounds=np.column_stack([low, np.full_like(low, np.inf)]),
        method="highs",
    )
    if found.status != 0:
        raise ConvergenceError(f"HiGHS ended the programme of the values: {found.message}")
    return found.x[:m], found.x[m : m + users], found.x[short] + np.where(used[pairs], found.x[over], 0.0)
