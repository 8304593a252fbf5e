r"""branch: the best of several decisions, proven, by branch and bound on boxes of decisions and on open pairs.

A node is a box of decisions with some pairs of a user and a provider fixed to be used, or not. Slacks at equilibria of
the box are bounded (below), which leaves pairs open that may be either; `box_relaxation.py` bounds the profit with
their complementarity relaxed, and proposes decisions, whose equilibrium is a candidate. The node of the largest bound
is opened first: at the pair that its bound gains most by, used or not, with the box left as it is, or, where the box
itself costs more or very many pairs share what is lost, by halving a side. The largest bound left may be read at any
time.

*Slacks over a box.* From any equilibrium of the box no slack moves by more than sum_k (2 R_k - r_k) |y_k - at_k|
(`docs/mathematics.md`, L6). Where all users weigh alike, or nothing congests, levels, and what a provider costs with
its congestion, rise with every decision (L4), so that the equilibria at the box's two corners bound them, too. A slack
is at most D_i / a_ij, and a child's slacks lie within its parent's.

*What is cut off.* Only decisions that earn more than the gap allows, T, are looked for. The first box, and each with
too many open pairs to be relaxed, is what is left when each price is asked for what it earns at most by itself
(`each_alone.py`); and each relaxation says how far from
its point decisions and slacks may be that earn T (`concave_bound.py`). Where that is much less than the box it is
narrowed, and bounded anew. So every proven gap is about the one asked for, and no closer.

*It ends* where pairs are fixed or boxes small: a box with no open pair is bounded exactly but for the term that makes
the profit concave, and that, like McCormick's planes, costs the square of its width at most.

Start: the best of today's decisions, the caps, half of them and unit costs, or given decisions, and Newton steps from
there; a climb of `ascent.py` once the search turns out long, and at its end, so that what is told is a local maximum
to the last digits, also where less was asked for. Cost of a node with p open pairs: 2 p^3 for the bound, 10 to 15
steps of an interior point method, each of p^3 or (n + m)^3, and one to three equilibria. The whole proof is in
`docs/mathematics.md`, 17.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, product

import numpy as np
from numpy.typing import NDArray

from prillm_or import __version__
from prillm_or.errors import ConvergenceError
from prillm_or.limits import Deadline, Limits
from prillm_or.market.decisions import all_prices, dearest
from prillm_or.market.market import Array, Market, Mask
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.ascent import Climb
from prillm_or.solvers.box_relaxation import Box, Relaxation, Relaxed
from prillm_or.solvers.each_alone import each_alone
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.nearest import nearest_to_today
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.starts import starts
from prillm_or.users.certificate import relative_gap
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import within_reach

_log = logging.getLogger(__name__)

_EASY = 30
"""So many nodes that a search with a good start does with; after these it is worth a climb."""
_MOST_OPEN = 1000
_DOUBT = 1e-12
_FINEST = 1e-9
"""The least gap that is worked for: an interior point method comes no nearer."""
_MUCH = 0.7
_ALMOST = 0.99
_SHARE = 0.05
"""Of what all pairs together cost a bound; where none costs so much, a smaller box, which helps all, is better."""
_LARGEST_SLICE, _LEAST_SLICE, _SHORTEST, _MOST_OPEN_IN_SLICES = 0.5, 0.1, 0.02, 200

USED, UNUSED = 1, -1
"""What a pair may be fixed to be; 0 leaves it open."""


class Branch:
    """Branch and bound on boxes of decisions and open pairs.

    Parameters
    ----------
    near
        Shape (k,): decisions near which the best ones are expected, such as those of a market much like the one to be
        solved. The search then starts from them alone; what is proven does not depend on them.
    """

    name = "branch"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.SEVERAL_PRICES, Capability.PRICE_LISTS})

    def __init__(self, near: Array | None = None) -> None:
        self._near = near

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best decisions and prove them within `limits.gap`."""
        deadline, ended = Deadline(limits.time_limit), Ended.FINISHED
        within = within_reach(market)
        search = _Search(within, limits.gap)
        try:
            search.begin(starts(within) if self._near is None else [self._near])
            while search.open:
                if deadline.passed():
                    ended = Ended.TIME_LIMIT
                    break
                search.step(deadline)
            search.climb(deadline)
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        stats = {"nodes": search.nodes, "nodes_left": len(search.queue)}
        note = f"{search.nodes} nodes, {len(search.queue)} left"
        return Proposal(nearest_to_today(market, search.best), search.bound, ended, (note,), stats=stats)


@dataclass(frozen=True, eq=False)
class _Node:
    """A box of decisions with some pairs fixed, shape (n, m), and an equilibrium in it, or near it."""

    box: Box
    fixed: NDArray[np.int8]
    near: Equilibrium


class _Search:
    """The queue of nodes, entries (-bound, number, node, its relaxation or None where too many pairs are open)."""

    def __init__(self, market: Market, gap: float) -> None:
        self._market, self._gap = market, max(gap, _FINEST)
        self._users = user_problem(market)
        self._relaxation = Relaxation(market, self._users)
        self._cornered = market.common_weights or not market.congested
        rho = self._users.sensitivity
        self._speed = 2 * rho.max(axis=0) - rho.min(axis=0)
        self._number = count()
        self.queue: list[tuple[float, int, _Node, Relaxed | None]] = []
        # The bound of all that is not in the queue: what was dropped, as it was within the gap of the best profit then;
        # before the first node is bounded, all demand at a margin that is never exceeded.
        margin = dearest(market, all_prices(market, market.price_cap) - market.unit_cost)
        self._rest = max(margin, 0.0) * float(market.demand.sum())
        self.best = Incumbent(market, self._users)
        self._climbed = False
        self.nodes = 0

    @property
    def bound(self) -> float:
        """Proven upper bound on the profit at any decisions."""
        return max(self.best.profit, self._rest, -self.queue[0][0] if self.queue else -np.inf)

    @property
    def open(self) -> bool:
        """Whether a node is left that may hold something better than the gap allows."""
        return bool(self.queue) and relative_gap(-self.queue[0][0], self.best.profit) > self._gap

    def begin(self, first: Iterable[Array]) -> None:
        """Look at some decisions, climb a little from the best of them, and bound the whole box."""
        for decisions in first:
            self.best.offer(decisions)
        self.best.polish()
        assert self.best.equilibrium is not None, "the first start was looked at"
        low, high = np.zeros_like(self._market.price_cap), self._market.price_cap
        low, high, highest = self._alone(low, high, self._rest)
        self._rest = self._enough
        if (low > high).any():
            return
        nothing, box = np.zeros(self._users.base.shape, dtype=np.int8), self._unbounded(low, high)
        try:
            self._push(_Node(self._narrowed(box, self.best.equilibrium), nothing, self.best.equilibrium), highest)
        except KeyboardInterrupt:
            self._rest = highest
            raise

    def trimmed(self, deadline: Deadline) -> Box:
        """The whole box without slices at its sides that earn less than the best, each side in its turn."""
        near, cap = self.best.equilibrium, self._market.price_cap
        assert near is not None, "there is a profit to beat"
        nothing = np.zeros(near.support.shape, dtype=np.int8)
        node = _Node(self._narrowed(self._unbounded(np.zeros_like(cap), cap), near), nothing, near)
        sides, shortest = np.arange(len(node.box.low)), _SHORTEST * node.box.length
        for side, upper in product(sides, (False, True)):
            share = _LARGEST_SLICE
            while share >= _LEAST_SLICE and node.box.length[side] > shortest[side] and not deadline.passed():
                cut = node.box.low + (1 - share if upper else share) * node.box.length
                below = replace(node.box, high=np.where(sides == side, cut, node.box.high))
                above = replace(node.box, low=np.where(sides == side, cut, node.box.low))
                slice_, rest = (above, below) if upper else (below, above)
                if self._earns_less(self._inside(node, slice_)):
                    node = self._inside(node, rest)
                else:
                    share /= 2
        return node.box

    def _earns_less(self, node: _Node) -> bool:
        """Whether one relaxation proves that a node, of which no pair is fixed, earns less than the best."""
        support = self._support(node)
        if support is None or np.count_nonzero(_open(node.box, support)) > _MOST_OPEN_IN_SLICES:
            return support is None
        relaxed = self._relaxation.bound(node.box, support, node.near.prices, node.fixed != 0, self.best.profit)
        if relaxed is not None:
            self._look(relaxed.decisions, node.near)
        return relaxed is None or relaxed.bound < self.best.profit

    def _inside(self, node: _Node, box: Box) -> _Node:
        """A node for a part of its box."""
        at = np.clip(node.near.prices, box.low, box.high)
        near = node.near if np.array_equal(at, node.near.prices) else solve_users(self._users, at, node.near)
        return replace(node, box=self._narrowed(box, near), near=near)

    def step(self, deadline: Deadline) -> None:
        """Open the node with the largest bound, which counts until all of its parts are bounded."""
        if self.nodes > _EASY and not self._climbed:
            self._climbed = True
            self.climb(deadline)
        negative, _, node, relaxed = self.queue[0]
        _log.info("%d nodes, best %.6g, bound %.6g", self.nodes, self.best.profit, self.bound)
        if relaxed is not None and _at_a_pair(relaxed):
            worst = int(relaxed.broken.argmax())
            for what in (USED, UNUSED):
                fixed = node.fixed.copy()
                fixed[relaxed.pairs[0][worst], relaxed.pairs[1][worst]] = what
                self._push(replace(node, fixed=fixed), -negative)
        else:
            self._halve(node, relaxed, -negative)
        heapq.heappop(self.queue)  # the node itself: no part of it has a larger bound, or came earlier

    def climb(self, deadline: Deadline) -> None:
        """Climb from the best decisions to a point that nothing around it improves on."""
        at = self.best.equilibrium
        assert at is not None, "the search has begun"
        climb = Climb(self._market, self._users, at.prices, at, deadline)
        try:
            climb.run()
        finally:
            if climb.best.equilibrium is not None and climb.best.profit > self.best.profit:
                self.best.keep(climb.best.equilibrium)

    def _halve(self, node: _Node, relaxed: Relaxed | None, bound: float) -> None:
        """Halve a side of the box: the one that the bound gains most by, or the longest."""
        low, high = node.box.low, node.box.high
        length = (high - low) / np.where(self._market.price_cap > 0, self._market.price_cap, 1.0)
        side = int((length if relaxed is None or not relaxed.bent.any() else relaxed.bent).argmax())
        middle = (low[side] + high[side]) / 2
        if not low[side] < middle < high[side]:
            self._rest = max(self._rest, bound)  # neighbouring numbers: there is nothing in between
            return
        for ends in ((low[side], middle), (middle, high[side])):
            corner, other = low.copy(), high.copy()
            corner[side], other[side] = ends
            self._push(self._inside(node, replace(node.box, low=corner, high=other)), bound)

    def _narrowed(self, box: Box, near: Equilibrium) -> Box:
        """A box with its slacks, within those that it had."""
        users, at = self._users, near.prices
        away = float(self._speed @ np.maximum(np.abs(box.low - at), np.abs(box.high - at)))
        slack = near.level[:, None] - users.offsets(at) - near.congestion
        doubt = _DOUBT * users.stiffness * float(np.abs(near.level).max() + np.abs(near.congestion).max())
        low = np.maximum(box.slack_low, slack - away - doubt)
        high = np.minimum(np.minimum(box.slack_high, slack + away + doubt), users.demand[:, None] / users.width + doubt)
        if self._cornered:
            first, last = (solve_users(users, corner, near) for corner in (box.low, box.high))
            cheap = users.offsets(box.low) + first.congestion
            dear = users.offsets(box.high) + last.congestion
            low = np.maximum(low, first.level[:, None] - dear - doubt)
            high = np.minimum(high, last.level[:, None] - cheap + doubt)
        return replace(box, slack_low=low, slack_high=high)

    def _push(self, node: _Node, inherited: float) -> None:
        """Bound a node and queue it, if it may hold something better."""
        bounded = self._bounded(node, inherited)
        self._rest = max(self._rest, self._enough)
        if bounded is None:
            return
        bound, node, relaxed = bounded
        if bound <= self._enough or (relaxed is not None and relaxed.bound - relaxed.doubt <= self._enough):
            self._rest = max(self._rest, bound)
        else:
            heapq.heappush(self.queue, (-bound, next(self._number), node, relaxed))

    def _bounded(self, node: _Node, bound: float) -> tuple[float, _Node, Relaxed | None] | None:
        """A node's bound, the node, and its relaxation if it has one; None where nothing is in it.

        What the relaxation cuts off narrows the next one: it is solved again as long as that is much.
        """
        while True:
            support = self._support(node)
            if support is None:
                return None
            box, fixed = node.box, node.fixed != 0
            if np.count_nonzero(_open(box, support) & ~fixed) > _MOST_OPEN:
                low, high, bound = self._alone(box.low, box.high, bound)
                if (low > high).any():
                    return self._enough, node, None
                if (high - low >= _MUCH * box.length).all():
                    return bound, self._unrelaxed(node, low, high), None
                node = self._inside(node, replace(box, low=low, high=high))
                continue
            relaxed = self._relaxation.bound(box, support, node.near.prices, fixed, self._enough)
            self.nodes += 1
            if relaxed is None:
                return None
            near, left = self._look(relaxed.decisions, node.near), relaxed.box
            bound = min(bound, relaxed.bound)
            node = replace(node, near=near, box=left)
            if bound <= self._enough or (left.low > left.high).any() or (left.slack_low > left.slack_high).any():
                return min(bound, self._enough), node, None
            if (left.length < _MUCH * box.length).any():
                node = replace(node, box=self._narrowed(left, near))
            elif np.count_nonzero(_open(left, support)[relaxed.pairs]) >= _MUCH * len(relaxed.broken):
                return bound, node, relaxed

    def _alone(self, low: Array, high: Array, bound: float) -> tuple[Array, Array, float]:
        """What is left of a box, and its bound, when each price is asked for what it earns by itself."""
        if self._cornered and self._market.plain:
            with suppress(ConvergenceError):  # then nothing is cut off
                low, high, most = each_alone(self._market, self._users, low, high, self._enough)
                return low, high, min(bound, most)
        return low, high, bound

    def _unrelaxed(self, node: _Node, low: Array, high: Array) -> _Node:
        """A node without all that is as large as the market: there may be very many of these, and each is halved."""
        assert self.best.equilibrium is not None, "the search has begun"
        return replace(node, box=self._unbounded(low, high), near=self.best.equilibrium)

    def _unbounded(self, low: Array, high: Array) -> Box:
        """A box with nothing known of its slacks."""
        least, most = (np.broadcast_to(end, self._users.base.shape) for end in (-np.inf, np.inf))
        return Box(low, high, least, most)

    def _look(self, decisions: Array, near: Equilibrium) -> Equilibrium:
        """The equilibrium at some decisions; where it is the best so far, climbed from."""
        before = self.best.profit
        found = self.best.offer(decisions, near)
        if self.best.profit > before:
            self.best.polish()
        return found

    @property
    def _enough(self) -> float:
        """The profit that what is looked for must exceed: nothing better than that is left out."""
        return self.best.profit + _ALMOST * self._gap * abs(self.best.profit)

    def _support(self, node: _Node) -> Mask | None:
        """A support for a node's relaxation; None where its pairs cannot be as they are fixed."""
        box, fixed = node.box, node.fixed
        if ((fixed == USED) & (box.slack_high < 0)).any() or ((fixed == UNUSED) & (box.slack_low > 0)).any():
            return None
        support = np.where(fixed != 0, fixed == USED, node.near.support)
        support = np.where(box.slack_low > 0, True, np.where(box.slack_high < 0, False, support))
        able = (fixed != UNUSED) & (box.slack_high >= 0)
        if not able.any(axis=1).all():
            return None
        for i in np.flatnonzero(~support.any(axis=1)):
            support[i, np.where(able[i], box.slack_high[i], -np.inf).argmax()] = True
        return support


def _at_a_pair(relaxed: Relaxed) -> bool:
    """Whether one pair costs a bound so much that it is worth more to part it than the box."""
    most = relaxed.broken.max(initial=0.0)
    return bool(most > relaxed.bent.max() and most >= _SHARE * relaxed.broken.sum())


def _open(box: Box, support: Mask) -> Mask:
    """Pairs that may be used where the support has them not, or unused where it has them."""
    return np.where(support, box.slack_low < 0, box.slack_high > 0)


def trimmed(market: Market, best: Incumbent, deadline: Deadline) -> Box:
    """The box of all decisions, with its slacks, without what is easily proven to earn less than the best so far.

    It is not narrowed until it closes: that leaves a search to do, by branch or by another method.

    Parameters
    ----------
    best
        The best decisions of `market` so far, one at least; better ones that are met on the way are kept there.
    """
    search = _Search(market, 0.0)
    search.best = best
    return search.trimmed(deadline)
