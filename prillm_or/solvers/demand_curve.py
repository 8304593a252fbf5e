r"""Demand curve of buyers who see nothing but their own load: knots in closed form, sums, and the best price on them.

A buyer with volume D spreads it over providers so that offset g_j + load z_j / width_j is the same level l on all it
uses and no less elsewhere. Provider s asks p, so that g_s = own + rho p. Given l, the rivals take

    V(l) = sum_{j != s} width_j max(0, l - g_j),

convex, piecewise linear and increasing, and what is left, D - V(l), goes to s. So instead of the load at a price, we
take the price at a level,

    p(l) = (l - own - (D - V(l)) / width_s) / rho,

increasing in l: the knots of the demand curve are the levels l = g_j at which a rival comes into use, and the level
V(l) = D at which s is left. Between them, with W the widths of the rivals in use, dz_s/dp = -rho W / (1 + W / width_s).

Cost: n m log m for n buyers, then n m log(n m) to add up their curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.market import Array

_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Knots:
    """Where curves of n buyers bend; before its first knot a buyer is with s alone, after its last it has left.

    Parameters
    ----------
    price
        Shape (n, m), non-decreasing along rows; entries past the last knot repeat it.
    slope
        Shape (n, m-1), <= 0: change of the load per unit of price between neighbouring knots.
    demand
        Shape (n,).
    """

    price: Array
    slope: Array
    demand: Array


def knots(offsets: Array, which: int, sensitivity: Array, width: Array, demand: Array) -> Knots:
    """Knots of each buyer's demand at provider `which`, from its closed form.

    Parameters
    ----------
    offsets
        Shape (n, m): g, with the price of `which` at 0.
    which
        The provider whose price moves.
    sensitivity
        Shape (n,): rho, the rise of g_s per unit of price, > 0.
    width
        Shape (m,): load per unit of level, > 0.
    demand
        Shape (n,): D, > 0.
    """
    rivals = np.delete(offsets, which, axis=1)
    order = np.argsort(rivals, axis=1)
    level = np.take_along_axis(rivals, order, axis=1)
    open_width = np.cumsum(np.delete(width, which)[order], axis=1)
    taken = np.zeros_like(level)
    np.cumsum(open_width[:, :-1] * np.diff(level, axis=1), axis=1, out=taken[:, 1:])
    last = (taken < demand[:, None]).sum(axis=1) - 1  # at the lowest level rivals take nothing: last >= 0
    rows = np.arange(len(demand))
    gone = level[rows, last] + (demand - taken[rows, last]) / open_width[rows, last]
    level = np.column_stack([np.minimum(level, gone[:, None]), gone])
    left = np.column_stack([np.maximum(demand[:, None] - taken, 0.0), np.zeros(len(demand))])
    price = (level - offsets[:, [which]] - left / width[which]) / sensitivity[:, None]
    slope = -sensitivity[:, None] * open_width / (1 + open_width / width[which])
    return Knots(np.maximum.accumulate(price, axis=1), slope, demand)


def best_price(curves: Knots, cap: float, unit_cost: float) -> tuple[float, float]:
    """Price in [0, cap] with the most profit on the sum of the curves, and that profit; ties go to the smallest.

    On each piece the profit is a parabola: the best of its ends and its top counts.
    """
    start, load, slope = _total(curves, cap)
    length = np.diff(start)
    load, slope = load[:-1], slope[:-1]
    margin = start[:-1] - unit_cost
    top = np.divide(-(load + margin * slope), 2 * slope, out=np.zeros_like(load), where=slope < 0)
    step = np.column_stack([np.zeros_like(length), np.clip(top, 0.0, length), length]).ravel()
    piece = np.repeat(np.arange(len(length)), 3)
    profit = (margin[piece] + step) * (load[piece] + slope[piece] * step)
    scale = (cap + unit_cost) * float(curves.demand.sum())
    chosen = int((profit >= profit.max() - _ROUNDING * scale).argmax())
    return float(start[piece[chosen]] + step[chosen]), float(profit[chosen])


def _total(curves: Knots, cap: float) -> tuple[Array, Array, Array]:
    """Prices from 0 to the cap at which the summed curve bends, its load there, and its slope beyond."""
    bend = np.diff(curves.slope, axis=1, prepend=0.0, append=0.0).ravel()
    order = np.argsort(curves.price, axis=None, kind="stable")
    price, slope = curves.price.ravel()[order], np.cumsum(bend[order])
    total = float(curves.demand.sum())
    load = total + np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(price))])
    slope[-1] = 0.0
    load[load < _ROUNDING * total] = 0.0
    inside = (price > 0) & (price < cap)
    before = int((price <= 0).sum()) - 1
    first_slope = slope[before] if before >= 0 else 0.0
    first = load[before] - first_slope * price[before] if before >= 0 else total
    return (
        np.concatenate([[0.0], price[inside], [cap]]),
        np.concatenate([[first], load[inside], [0.0]]),
        np.concatenate([[first_slope], slope[inside], [0.0]]),
    )
