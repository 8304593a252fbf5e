r"""anchored: a merged rival that answers like those it stands for, exactly at one price, to first order around it.

At anchor decisions y0 the full equilibrium is solved once. In the scaled money of `users/equilibrium.py`, with F_ia the
flow of user i to the merged rivals, X_a their sum over users, and q_j = x_j / alpha_j, the merged rival of capacity
alpha_a and widths a_ia gets the offsets

    g_ia = lambda_i - X_a / alpha_a - F_ia / a_ia        where F_ia > 0,
    g_ia = min_j (g_ij + q_j) - X_a / alpha_a            elsewhere, the minimum over merged rivals j,

so that the small market has the same flows and multipliers at y0, whatever its size: used pairs cost lambda_i at the
margin, unused ones no less. Its size is t times that of the merged rivals `pooled`, which makes alpha_a and all a_ia t
times as large. t is then what makes the leader's load answer the same too, or, where decisions are not just prices of
providers, what it earns (for several decisions: when all of them rise together): the root of a function of one
variable. With common weights that of the load falls as t grows (`docs/mathematics.md`, 12); else it need not, and there
may be several roots: the one nearest to 1 is taken, in the logarithm. Where there is none within a factor e^7 of it,
or nobody uses the leader, t is 1. The two profit curves touch to first order at y0.
Unused rivals of ample size, such as an outside option nobody takes, do not count in the pool.

The rivals whose load grows most with the leader's decisions are kept.

Cost: one full equilibrium, and ten to twenty systems in K + 1 unknowns.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from prillm_or.abstraction.anchors import capacity_anchor
from prillm_or.abstraction.small_market import (
    Abstraction,
    MergedRival,
    Size,
    ample,
    compose,
    foremost,
    least_offset,
    mean_price,
    new_name,
    pooled,
    unreduced,
    weights_of,
)
from prillm_or.abstraction.substitution import Substitution, substitution
from prillm_or.market.decisions import all_prices, per_unit
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.slopes import price_pull

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
        The leader's decisions, shape (k,); `capacity_anchor` without it.
    start
        An equilibrium at other decisions to start from.
    """
    if len(market.rivals) <= keep:
        return unreduced(market)
    users = user_problem(market)
    anchor = capacity_anchor(market) if anchor is None else anchor
    _log.info("anchored: equilibrium at the anchor")
    found = solve_users(users, anchor, start)
    answer = substitution(users, found.laplacian)
    kept = foremost(market, answer.load[list(market.rivals)], keep - 1)
    stay, merged = [*market.leader, *kept], [j for j in market.rivals if j not in kept]
    level = found.multiplier / users.scale - users.shift
    flow = found.flow @ np.isin(np.arange(market.m), merged).astype(float)
    total = float(flow.sum())
    # A flow that is zero but for rounding counts as none: that user gets the offset that keeps it away.
    used = flow > _USED * users.demand
    size = _matching(market, users, found, answer, stay, used, _whole(market, found, merged))

    congestion = total / size.capacity if market.congested else 0.0
    least = least_offset(users, merged, found.load[merged] / users.capacity[merged])
    offset = np.where(used, level - congestion - flow / size.width(market).T[0], least - congestion)
    weights = weights_of(market, merged, found.load[merged])
    price = mean_price(market, merged, np.array(list(weights.values())))
    name = new_name(market, f"{len(merged)} others")
    rival = MergedRival(name, price, size, (offset + users.shift) * users.scale, weights)
    return compose(market, kept, [rival], "anchored", found)


def _whole(market: Market, found: Equilibrium, merged: list[int]) -> Size:
    """Of the merged rivals, but for those of ample size that nobody uses, unless all are such."""
    idle = ample(market) & (found.load == 0)
    return pooled(market, [j for j in merged if not idle[j]] or merged)[1]


def _matching(
    market: Market,
    users: UserProblem,
    found: Equilibrium,
    answer: Substitution,
    stay: list[int],
    used: Mask,
    whole: Size,
) -> Size:
    """Size of the rival that stands for those `used` beside those that `stay`, with which the leader fares alike."""
    support = np.column_stack([found.support[:, stay], used])
    decided = tuple(stay.index(j) for j in users.decided)
    few = replace(users, leader=tuple(range(len(users.leader))), decided=decided)
    capacity, width, column = users.capacity[stay], users.width[..., stay], whole.width(market)
    counted = _counted(market, found.prices)

    def miss(log_factor: float) -> float:
        factor = np.exp(log_factor)
        tried = replace(
            few,
            capacity=np.append(capacity, factor * whole.capacity),
            width=np.concatenate([width, factor * column], axis=-1),
        )
        return float((substitution(tried, tried.laplacian(support)).own * counted).sum()) - target

    target = float((answer.own * counted).sum())
    pull, _ = price_pull(users, found.laplacian, range(len(users.decided)))
    # Nobody uses the leader, or nobody would leave it, so that any size answers alike.
    if abs(target) <= _DIGITS * float(pull.sum()) * float(np.abs(counted).max()):
        return whole
    # Outward on both sides in steps of a factor e: the first change of sign is the nearest to 1, within a step.
    last = {side: miss(0.0) for side in (-1, 1)}
    for step in range(_RANGE):
        for side in (-1, 1):
            near, far = side * step, side * (step + 1)
            before, last[side] = last[side], miss(far)
            if before * last[side] <= 0:
                return whole.times(float(np.exp(brentq(miss, near, far, xtol=_DIGITS))))
    return whole


def _counted(market: Market, decisions: Array) -> Array:
    """What a unit of flow to the leader's providers counts: what it earns, of plain prices 1; broadcasts to (n, .)."""
    own = list(market.leader)
    if market.plain:
        return np.ones(len(own))
    return per_unit(market, (all_prices(market, decisions) - market.unit_cost)[own])
