r"""absence: a proof that at no prices all owners of one price each are content, by a cover of all prices.

Let owner h ask p, all others y. With users of common weights its load x_h(p, y) never falls as others get dearer
(docs/mathematics.md, L4), and so does its profit at every p that covers its cost; hence the profit V_h(y) of its best
response. On a box of prices, with low <= y <= high those of the others,

    profit_h(p, y) <= profit_h(p, high)    and    V_h(y) >= V_h(low).

So where profit_h(p, high) < (1 - s) V_h(low), owner h gains by moving, whatever the others ask in the box: more than
the share s of what its best response earns. At a margin below 0 it earns nothing, and V_h(low) > 0 says the same.

`none_within` begins with the box of all prices up to the caps. Of each box, owner by owner, only those of its own
prices are kept at which it may be content: by the trace of its profit at `high`, a parabola on each piece, so that
these are stretches between roots. What is left is cut in two at its longest side, unless it shrank. Once nothing is
left, some owner gains more than s at all prices: there is no equilibrium. Where there is one, or one that nobody gains
more than s by leaving, boxes about it never vanish, and the search gives up: then nothing is known.

Cost: for each box and owner a trace over the box, and a best response at `low`, kept for other boxes. A box of side d
is cut down to a strip of width O(sqrt(d)) about the best responses, so that of two owners O(1 / sqrt(d)) boxes of side
d are looked at, down to the d at which no two strips meet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prillm_or.competition.best_response import best_response
from prillm_or.competition.setting import Setting
from prillm_or.curves.trace import Piece, trace
from prillm_or.limits import Deadline
from prillm_or.market.market import Array
from prillm_or.users.problem import user_problem

_log = logging.getLogger(__name__)

_MOST_BOXES = 20_000
_SHRUNK = 0.5
"""Of a side: a box that lost so much of one is looked at again before it is cut."""
_ROUNDING = 1e-9
"""Of profits and caps: what traces may be off by counts for an owner that is content."""
_TOLD = 500

Stretch = tuple[float, float]
"""Prices from and to."""


@dataclass(frozen=True)
class Absence:
    """A proof that there is no equilibrium.

    Parameters
    ----------
    share
        At all prices up to the caps some owner gains more than this share of what its best response earns.
    boxes
        How many boxes of prices it took.
    """

    share: float
    boxes: int


def may_be_none(setting: Setting) -> bool:
    """Whether the proof may be tried: two owners of one price each, loads that never fall as the other gets dearer.

    Of more owners it would hold as well, but boxes are too many.
    """
    market = setting.market
    return market.plain and market.common_weights and len(setting.owners) == 2 and not setting.several


def none_within(setting: Setting, share: float, deadline: Deadline) -> Absence | None:
    """Prove that at all prices some owner gains more than a share of what its best response earns.

    Parameters
    ----------
    setting
        One that `may_be_none`.
    share
        s, in [0, 1).
    deadline
        When no box is begun.

    Returns
    -------
    Absence | None
        None where boxes are left: then nothing is known.
    """
    cover, own = _Cover(setting, share), list(setting.priced)
    cap = setting.cap[own]
    boxes, count = [(np.zeros(len(own)), cap)], 0
    while boxes:
        if count == _MOST_BOXES or deadline.passed():
            return None
        low, high = boxes.pop()
        count += 1
        if count % _TOLD == 0:
            _log.info("no equilibrium? %d boxes of prices looked at, %d left", count, len(boxes) + 1)
        for left in cover.left(low, high):
            boxes += [left] if _has_shrunk(left, (low, high)) else _halves(left, cap)
    return Absence(share, count)


def _has_shrunk(box: tuple[Array, Array], before: tuple[Array, Array]) -> bool:
    return bool(((box[1] - box[0]) <= _SHRUNK * (before[1] - before[0])).any())


def _halves(box: tuple[Array, Array], cap: Array) -> list[tuple[Array, Array]]:
    """The box cut at its longest side, in shares of the caps."""
    low, high = box
    side = int(((high - low) / np.where(cap > 0, cap, 1.0)).argmax())
    below, above = high.copy(), low.copy()
    below[side] = above[side] = (low[side] + high[side]) / 2
    return [(low, below), (above, high)]


class _Cover:
    """What is known of owners' best profits, and which prices of a box they leave."""

    def __init__(self, setting: Setting, share: float) -> None:
        self._setting, self._share = setting, share
        self._own = list(setting.priced)
        self._owner = [next(h for h, moves in enumerate(setting.moves) if k in moves) for k in self._own]
        self._best: dict[tuple[int, bytes], float] = {}

    def left(self, low: Array, high: Array) -> list[tuple[Array, Array]]:
        """Boxes that hold all prices of a box at which no owner is known to gain."""
        boxes = [(low, high)]
        for place in range(len(self._own)):
            boxes = [kept for box in boxes for kept in self._content(place, *box)]
        return boxes

    def _content(self, place: int, low: Array, high: Array) -> Iterator[tuple[Array, Array]]:
        """The box at those prices of one owner at which it may be content."""
        level = (1 - self._share) * (1 - _ROUNDING) * self._best_profit(place, low)
        if level <= 0:  # it may earn nothing whatever it asks, and is content with that
            yield low, high
            return
        for begin, end in self._earning(place, low, high, level):
            below, above = low.copy(), high.copy()
            below[place], above[place] = begin, end
            yield below, above

    def _best_profit(self, place: int, others: Array) -> float:
        """Profit of an owner's best response to the others' prices, in those of its seat."""
        at = others.copy()
        at[place] = 0.0
        key = (place, at.tobytes())
        if key not in self._best:
            decisions = self._decisions(at)
            seat = self._setting.seat(self._owner[place], decisions)
            self._best[key] = best_response(seat, now=decisions[[self._own[place]]]).profit
        return self._best[key]

    def _earning(self, place: int, low: Array, high: Array, level: float) -> list[Stretch]:
        """Stretches of an owner's prices in a box outside which it earns less than a level, all others at `high`."""
        seat = self._setting.seat(self._owner[place], self._decisions(high))
        begin, cost = float(low[place]), float(seat.unit_cost[seat.leader[0]])
        found: list[Stretch] = []
        slack = _ROUNDING * float(self._setting.cap[self._own[place]])
        for piece in trace(user_problem(seat), np.array([begin]), 0, float(high[place])):
            for start, end in reaching(piece, cost, level):
                if found and start <= found[-1][1] + 2 * slack:
                    found[-1] = (found[-1][0], end)
                else:
                    found.append((start, end))
        return [(max(start - slack, begin), min(end + slack, float(high[place]))) for start, end in found]

    def _decisions(self, prices: Array) -> Array:
        decisions = self._setting.start()
        decisions[self._own] = prices
        return decisions


def reaching(piece: Piece, cost: float, level: float) -> Iterator[Stretch]:
    """Where on a piece (margin + h) (load + slope h) >= level, h from its start: one stretch of prices, or none."""
    margin, length = piece.start - cost, piece.end - piece.start
    load, slope = float(piece.load[0]), float(piece.slope[0])
    # slope h^2 + linear h + (margin load - level) >= 0, slope <= 0
    linear, constant = load + margin * slope, margin * load - level
    if slope >= 0:
        roots = [-constant / linear] if linear > 0 else [0.0 if constant >= 0 else np.inf]
        first, last = roots[0], np.inf
    else:
        inside = linear**2 - 4 * slope * constant
        if inside < 0:
            return
        # The root of larger size without cancellation, the other by their product.
        large = linear + np.copysign(np.sqrt(inside), linear)
        ends = sorted([-large / (2 * slope), -2 * constant / large if large else 0.0])
        first, last = ends
    first, last = max(first, 0.0), min(last, length)
    if first <= last:
        yield piece.start + first, piece.start + last
