r"""anchored: a merged rival that answers like those it stands for, exactly at one price, to first order around it.

At anchor prices p0 the full equilibrium is solved once. In the scaled money of `users/equilibrium.py`, with F_ia the
flow of user i to the merged rivals, X_a their sum over users, and q_j = x_j / alpha_j, the merged rival gets the
offsets

    g_ia = lambda_i - (X_a + F_ia) / alpha_a             where F_ia > 0,
    g_ia = min_j (g_ij + q_j) - X_a / alpha_a            elsewhere, the minimum over merged rivals j,

so that the small market has the same flows and multipliers at p0, whatever alpha_a: used pairs cost lambda_i at the
margin, unused ones no less. alpha_a is then what makes dx_s/dp the same too (for several prices: the change of the
leader's whole load when all of its prices rise together): the root of a function of one variable. With common weights
it falls as alpha_a grows (`docs/mathematics.md`, 12); with users' own weights it need not, and there may be several
roots: the one nearest to sum_j alpha_j is taken, in the logarithm. Where there is none within a factor e^7
of that sum, or nobody uses the leader, alpha_a is the sum. The two profit curves touch to first order at p0.
The sum leaves out unused rivals of ample capacity, such as an outside option nobody takes.

The rivals whose load grows most with the leader's price are kept.

Cost: one full equilibrium, and ten to twenty systems in K + 1 unknowns.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from prillm_or.abstraction.anchors import capacity_anchor
from prillm_or.abstraction.small_market import (
    Abstraction,
    MergedRival,
    ample,
    compose,
    foremost,
    least_offset,
    new_name,
    unreduced,
    weights_of,
)
from prillm_or.abstraction.substitution import Substitution, substitution
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.equilibrium import Equilibrium, UserProblem, solve_users, user_problem

_log = logging.getLogger(__name__)

_RANGE = 7
_USED = 1e-9
_DIGITS = 1e-12


def abstract(
    market: Market, keep: int, *, anchor: Array | None = None, start: Equilibrium | None = None
) -> Abstraction:
    """Leave `keep` rivals.

    Parameters
    ----------
    market, keep
        What to abstract, and to how many rivals.
    anchor
        The leader's prices, shape (len(leader),); `capacity_anchor` without it.
    start
        An equilibrium at other prices to start from.
    """
    if len(market.rivals) <= keep:
        return unreduced(market)
    users = user_problem(market)
    anchor = capacity_anchor(market) if anchor is None else anchor
    _log.info("anchored: equilibrium at the anchor")
    found = solve_users(users, anchor, start)
    answer = substitution(users, found)
    kept = np.isin(market.rivals, foremost(market, answer.load[list(market.rivals)], keep - 1))
    return merge_at(market, users, found, answer, kept, "anchored")


def merge_at(
    market: Market, users: UserProblem, found: Equilibrium, answer: Substitution, kept: NDArray[np.bool_], how: str
) -> Abstraction:
    """Merge all rivals but the kept ones at an equilibrium of the full market.

    Parameters
    ----------
    market, users
        The full market, and its users by `user_problem`.
    found, answer
        Its equilibrium at the anchor, and `substitution` there.
    kept
        Shape (rivals,): who stays; at least two rivals do not.
    how
        The abstraction's name, for the small market's.
    """
    rivals = np.array(market.rivals)
    stay, merged = [*market.leader, *rivals[kept].tolist()], rivals[~kept].tolist()
    level = found.multiplier / users.scale - users.shift
    flow = found.flow @ np.isin(np.arange(market.m), merged).astype(float)
    total = float(flow.sum())
    # A flow that is zero but for rounding counts as none: that user gets the offset that keeps it away.
    used = flow > _USED * users.demand
    support = np.column_stack([found.support[:, stay], used])
    capacity = _matching(users, support, stay, _total_capacity(market, found, merged), answer)

    least = least_offset(users, merged, found.load[merged] / users.capacity[merged])
    offset = np.where(used, level - (total + flow) / capacity, least - total / capacity)
    weights = weights_of(market, merged, found.load[merged])
    price = float(sum(weight * market.price[j] for j, weight in zip(merged, weights.values(), strict=True)))
    rival = MergedRival(
        new_name(market, f"{len(merged)} others"), price, capacity, (offset + users.shift) * users.scale, weights
    )
    return compose(market, rivals[kept].tolist(), [rival], how, found)


def _total_capacity(market: Market, found: Equilibrium, merged: list[int]) -> float:
    """Of the merged rivals, but for those of ample capacity that nobody uses, unless all are such."""
    idle = (ample(market) & (found.load == 0))[merged]
    capacity = market.capacity[merged]
    return float(capacity.sum() if idle.all() else capacity[~idle].sum())


def _matching(users: UserProblem, support: Mask, stay: list[int], total: float, answer: Substitution) -> float:
    """Capacity of the merged rival, the last column of `support`, with which the leader's load answers alike."""
    leader = list(range(len(users.leader)))
    target = float(answer.load[list(users.leader)].sum())

    def miss(log_capacity: float) -> float:
        capacity = np.append(users.capacity[stay], np.exp(log_capacity))
        return float(_answer(support, capacity, users.sensitivity[:, 0], leader)[leader].sum()) - target

    # Nobody uses the leader, so that any capacity answers alike.
    if target >= 0:
        return total
    middle = float(np.log(total))
    # Outward on both sides in steps of a factor e: the first change of sign is the nearest to the sum, within a step.
    last = {side: miss(middle) for side in (-1, 1)}
    for step in range(_RANGE):
        for side in (-1, 1):
            near, far = middle + side * step, middle + side * (step + 1)
            before, last[side] = last[side], miss(far)
            if before * last[side] <= 0:
                return float(np.exp(brentq(miss, near, far, xtol=_DIGITS)))
    return total


def _answer(support: Mask, capacity: Array, sensitivity: Array, leader: list[int]) -> Array:
    """Change of the loads, shape (k,), when the leader's prices rise together, on a support of k providers.

    lambda' and q' solve, with S the support, W = S alpha and A_i the sum of row i of W,

        lambda_i' = (sum_j W_ij q_j' + sum_{s in L} W_is rho_i) / A_i,
        q_j'      = sum_{i uses j} (lambda_i' - q_j' - rho_i [j in L]).
    """
    uses = support.astype(float)
    weight = uses * capacity
    share = weight / weight.sum(axis=1)[:, None]
    pull = share[:, leader].sum(axis=1) * sensitivity
    right = uses.T @ pull
    right[leader] -= uses[:, leader].T @ sensitivity
    left = np.diag(1.0 + uses.sum(axis=0)) - uses.T @ share
    return np.asarray(capacity * np.linalg.solve(left, right))
