r"""The best mean and the best worst case of N profit curves, exact; proofs: `docs/mathematics.md`, 16.

Between two breakpoints of the union every curve is a parabola (`parabolas.py`). So is their mean, whose top is its
vertex or an end. Where all are concave, as they nearly always are, their minimum is, too, but now one is lowest and now
another. Three things spare us from looking everywhere:

* the mean, or the least, of max_h profit_i(h) bounds the mean, or the least, on an interval, and on a stretch of many
  intervals: stretches whose bound is no better than what some breakpoint earns are left out (`candidates`);
* so are, for the worst case, intervals whose bound is no better;
* on an interval that is left, two of the parabolas bracket the top: one that is lowest at `low` and rises there, one
  that is lowest at `high` and falls. The top of the minimum of these two is the top of all, or a third parabola is
  lower there and takes the place of one of them, and the bracket shrinks; finitely often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.market.market import Array
from prillm_or.robustness.parabolas import Parabolas, along, breakpoints, parabolas

_SAME = 1e-13
"""Profits that differ by less, relative, are equal; of equals the cheapest price counts."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What N curves earn on stretches of the breakpoints of their union.

    Parameters
    ----------
    points
        The breakpoints, ascending, and the cap.
    edges
        Shape (E,): where stretches begin and end, some of the points.
    at, most
        Shapes (N, E) and (N, E - 1): profits there, and the most on each stretch.
    """

    points: Array
    edges: Array
    at: Array
    most: Array


def survey(curves: Sequence[ProfitCurve], cap: float) -> Survey:
    """Look along curves from 0 to the cap."""
    points = breakpoints(curves, cap)
    edges = points[np.unique(np.append(np.arange(0, len(points), 1 + int(np.sqrt(len(points)))), len(points) - 1))]
    at, most = (np.array(amounts) for amounts in zip(*(along(one, edges) for one in curves), strict=True))
    return Survey(points, edges, at, most)


def best_mean(curves: Sequence[ProfitCurve], seen: Survey) -> tuple[float, float]:
    """Price from 0 to the cap with the highest mean profit, and that mean; `seen` is the survey of the curves."""
    prices, profits = [], []
    for points in candidates(seen, _mean):
        block = parabolas(curves, points[:-1], np.diff(points))
        mean = Parabolas(block.start, block.length, *(map(_row, map(_mean, (block.value, block.first, block.second)))))
        for h in (np.zeros_like(block.length), mean.tops()[0], block.length):
            prices.append(block.start + h)
            profits.append(mean.at(h)[0])
    return _cheapest_best(np.concatenate(prices), np.concatenate(profits))


def best_worst(curves: Sequence[ProfitCurve], seen: Survey, less: Array | None = None) -> tuple[float, float]:
    """Price from 0 to the cap with the highest smallest profit, and that profit.

    With `less`, shape (N,), it is the highest smallest amount by which profits exceed that.
    """
    bounds, starts, lengths, prices, profits = [], [], [], [], []
    for points in candidates(seen, lambda amounts: _least(amounts, less)):
        block = parabolas(curves, points[:-1], np.diff(points), less)
        bounds.append(_least(block.at(block.tops())))
        starts.append(block.start)
        lengths.append(block.length)
        for h in (np.zeros_like(block.length), block.length):
            prices.append(block.start + h)
            profits.append(_least(block.at(h)))
    price, profit = _cheapest_best(np.concatenate(prices), np.concatenate(profits))
    bound, start, length = map(np.concatenate, (bounds, starts, lengths))
    for k in np.argsort(-bound, kind="stable").tolist():
        if not is_better(float(bound[k]), profit):
            break
        inside, top = top_of_lowest(parabolas(curves, start[k : k + 1], length[k : k + 1], less))
        if is_better(top, profit):
            price, profit = float(start[k]) + inside, top
    return price, profit


def candidates(seen: Survey, over: Callable[[Array], Array]) -> Iterator[Array]:
    """Stretches that may hold the highest, and of equals the cheapest, of what `over` makes of N profits.

    Parameters
    ----------
    over
        From profits, shape (N, B), to shape (B,); no profit that rises lowers it.

    Yields
    ------
    Array
        The breakpoints of the union on a stretch, its ends among them, from cheap to dear.
    """
    points, edges, at, most = seen.points, seen.edges, over(seen.at), over(seen.most)
    price, highest = _cheapest_best(edges, at)
    same = _SAME * abs(highest)
    for k in np.flatnonzero((most > highest + same) | ((most >= highest - same) & (edges[:-1] < price))):
        low, high = np.searchsorted(points, edges[k : k + 2])
        yield points[low : high + 1]
    yield np.array([price, price])


def _mean(amounts: Array) -> Array:
    return np.asarray(amounts.mean(axis=0))


def _least(amounts: Array, less: Array | None = None) -> Array:
    return np.asarray((amounts if less is None else amounts - less[:, None]).min(axis=0))


def _row(amounts: Array) -> Array:
    return amounts[None]


def top_of_lowest(block: Parabolas) -> tuple[float, float]:
    """Where on one interval the lowest of N parabolas is highest, and how high."""
    first, second = block.first[:, 0], block.second[:, 0]
    if (second > 0).any():
        return _top_of_all_places(block)
    low, high = 0.0, float(block.length[0])

    def at(h: float) -> Array:
        return block.at(np.array([h]))[:, 0]

    rising, falling = int(at(low).argmin()), int(at(high).argmin())
    if first[rising] <= 0:
        return low, float(at(low)[rising])
    if first[falling] + 2 * second[falling] * high >= 0:
        return high, float(at(high)[falling])
    while True:
        h = _top_of_two(block, rising, falling, low, high)
        profits = at(h)
        lowest = int(profits.argmin())
        slope = first[lowest] + 2 * second[lowest] * h
        if slope == 0 or not is_better(float(min(profits[rising], profits[falling])), float(profits[lowest])):
            return h, float(profits[lowest])
        if slope > 0:
            low, rising = h, lowest
        else:
            high, falling = h, lowest


def _top_of_two(block: Parabolas, a: int, b: int, low: float, high: float) -> float:
    """Where between low and high the lower of two concave parabolas is highest: an end, a vertex or a crossing."""
    places = np.array([low, high, *block.tops()[[a, b], 0], *_crossings(block, a, b)])
    places = places[(places >= low) & (places <= high)]
    lower = (block.value[[a, b]] + places * (block.first[[a, b]] + block.second[[a, b]] * places)).min(axis=0)
    return float(places[lower.argmax()])


def _top_of_all_places(block: Parabolas) -> tuple[float, float]:
    """The same where some are convex, of which neither bracket would hold: by all ends, vertices and crossings."""
    places = {0.0, float(block.length[0]), *block.tops()[:, 0].tolist()}
    for a, b in combinations(range(len(block.first)), 2):
        places.update(h for h in _crossings(block, a, b) if 0 < h < block.length[0])
    at = np.array(sorted(places))
    lowest = block.at(at).min(axis=0)
    return float(at[lowest.argmax()]), float(lowest.max())


def _crossings(block: Parabolas, a: int, b: int) -> Iterator[float]:
    """Roots of the difference of two parabolas, without cancellation."""
    value, first, second = (float(part[a, 0] - part[b, 0]) for part in (block.value, block.first, block.second))
    discriminant = first * first - 4 * second * value
    if discriminant < 0:
        return
    q = -(first + np.copysign(np.sqrt(discriminant), first)) / 2
    if second != 0:
        yield q / second
    if q != 0:
        yield value / q


def is_better(profit: float, than: float) -> bool:
    """Whether a profit is higher by more than rounding."""
    return profit - than > _SAME * abs(than)


def _cheapest_best(prices: Array, profits: Array) -> tuple[float, float]:
    """The highest profit, at the cheapest of the prices that earn it."""
    highest = profits.max()
    equal = np.flatnonzero(profits >= highest - _SAME * abs(highest))
    chosen = equal[prices[equal].argmin()]
    return float(prices[chosen]), float(profits[chosen])
