r"""Demand curve of buyers who see nothing but their own load: knots in closed form, sums, and the best price on them.

A buyer with volume D spreads it over providers so that offset g_j + load z_j / width_j is the same level l on all it
uses and no less elsewhere. Provider s asks p, so that g_s = own + rho p. Given l, the rivals take

    V(l) = sum_{j != s} width_j max(0, l - g_j),

convex, piecewise linear and increasing, and what is left, D - V(l), goes to s. So instead of the load at a price, we
take the price at a level,

    p(l) = (l - own - (D - V(l)) / width_s) / rho,

increasing in l: the knots of the demand curve are the levels l = g_j at which a rival comes into use, and the level
V(l) = D at which s is left. Between them, with W the widths of the rivals in use, dz_s/dp = -rho W / (1 + W / width_s).

A buyer who uses few rivals before it has left s needs no more of them in order: as many of the cheapest are sorted as
it takes. Cost: n m for n buyers, K log K for the K knots there are, at most n m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.curves.parabola import tops
from prillm_or.market.market import Array

_ROUNDING = 1e-12
_FIRST, _MORE = 16, 4


@dataclass(frozen=True, eq=False)
class Knots:
    """Where curves of n buyers bend; before its first knot a buyer is with s alone, after its last it has left.

    Parameters
    ----------
    price
        Shape (K,): of all buyers' knots, those of a buyer in order.
    bend
        Shape (K,): by how much the slope, the change of the load per unit of price, is larger after a knot than before.
    demand
        Shape (n,).
    """

    price: Array
    bend: Array
    demand: Array


def knots(offsets: Array, moving: int, sensitivity: Array, width: Array, demand: Array) -> Knots:
    """Knots of each buyer's demand at the provider `moving`, from its closed form.

    Parameters
    ----------
    offsets
        Shape (n, m): g, with the price of `moving` at 0.
    moving
        The provider whose price moves.
    sensitivity
        Shape (n,): rho, the rise of g_s per unit of price, > 0.
    width
        Shape (m,), or (n, m) where buyers differ: load per unit of level, > 0.
    demand
        Shape (n,): D, > 0.
    """
    level, open_width, taken = _in_order(np.delete(offsets, moving, axis=1), np.delete(width, moving, axis=-1), demand)
    # The rival opened last before the demand is gone; from its level on, the open width takes what is left of it.
    last = (taken < demand[:, None]).sum(axis=1) - 1  # at the lowest level rivals take nothing: last >= 0
    rows, place = np.arange(len(demand)), np.arange(level.shape[1] + 1)
    left_at = level[rows, last] + (demand - taken[rows, last]) / open_width[rows, last]
    level = np.column_stack([np.minimum(level, left_at[:, None]), left_at])
    remaining = np.column_stack([np.maximum(demand[:, None] - taken, 0.0), np.zeros(len(demand))])
    own = width[..., [moving]]
    offset = level - offsets[:, [moving]] - remaining / own
    # p(l) never falls in exact arithmetic; the running maximum keeps rounding from undoing that.
    price = np.maximum.accumulate(offset / sensitivity[:, None], axis=1)
    slope = -sensitivity[:, None] * open_width / (1 + open_width / own)
    # Once a buyer has left, dearer prices change nothing: only the knots up to that price count.
    slope = np.where(place[:-1] <= last[:, None], slope, 0.0)
    bends = place <= last[:, None] + 1
    return Knots(price[bends], np.diff(slope, axis=1, prepend=0.0, append=0.0)[bends], demand)


def _in_order(offsets: Array, width: Array, demand: Array) -> tuple[Array, Array, Array]:
    """Offsets of the cheapest rivals in order, widths in use from there on, and V there; shapes (n, k).

    k is such that each buyer's whole demand is taken at the last, or the number of rivals.
    """
    count, most = 0, offsets.shape[1]
    while True:
        count = min(_MORE * count + _FIRST, most)
        order = np.argpartition(offsets, count - 1, axis=1)[:, :count]
        level = np.take_along_axis(offsets, order, axis=1)
        inner = np.argsort(level, axis=1)
        level, order = np.take_along_axis(level, inner, axis=1), np.take_along_axis(order, inner, axis=1)
        opened = width[order] if width.ndim == 1 else np.take_along_axis(width, order, axis=1)
        open_width = np.cumsum(opened, axis=1)
        taken = np.zeros_like(level)
        np.cumsum(open_width[:, :-1] * np.diff(level, axis=1), axis=1, out=taken[:, 1:])
        if count == most or (taken[:, -1] >= demand).all():
            return level, open_width, taken


def best_price(curves: Knots, cap: float, unit_cost: float) -> tuple[float, float]:
    """Price in [0, cap] with the most profit on the sum of the curves, and that profit; ties go to the smallest.

    On each piece the profit is a parabola: the best of its ends and its top counts.
    """
    start, load, slope = _total(curves, cap)
    length = np.diff(start)
    load, slope = load[:-1], slope[:-1]
    margin = start[:-1] - unit_cost
    top = tops(load + margin * slope, slope, length)
    step = np.column_stack([np.zeros_like(length), top, length]).ravel()
    piece = np.repeat(np.arange(len(length)), 3)
    profit = (margin[piece] + step) * (load[piece] + slope[piece] * step)
    # Equal but for rounding counts as equal, so that the smallest of the best prices is the answer.
    scale = (cap + unit_cost) * float(curves.demand.sum())
    chosen = int((profit >= profit.max() - _ROUNDING * scale).argmax())
    return float(start[piece[chosen]] + step[chosen]), float(profit[chosen])


def _total(curves: Knots, cap: float) -> tuple[Array, Array, Array]:
    """Prices from 0 to the cap at which the summed curve bends, its load there, and its slope beyond."""
    order = np.argsort(curves.price, kind="stable")
    price, slope = curves.price[order], np.cumsum(curves.bend[order])
    total = float(curves.demand.sum())
    load = total + np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(price))])
    slope[-1] = 0.0  # all buyers have left: what the sums leave here and below is rounding
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
