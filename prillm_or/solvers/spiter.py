r"""spiter: coordinate ascent over the leader's prices, each one exact by `path` while the others stand still.

A reading of SPITER (segmentation-based pricing with iterative optimization; Jin, Guo, Bai, Wu, Liu, Wu, Computer
Networks 246 (2024) 110405), of which we could read the abstract only: it promises a local maximum of a leader with
several prices. Segments: the pieces of one price, on each of which the profit of all of the leader's providers is a
parabola. Iteration: one price after the other, until a whole round improves nothing.

One price needs one round and no start: that is `path`, exact, with its bound. Several prices end at a *coordinate-wise
maximum*, which no change of a single price improves; changing two at a time may, for profit has ridges where pieces
meet, so no bound is proven. The ascent is run from several starts (`starts.py`), and the best end counts.
"""

from __future__ import annotations

import logging

import numpy as np

from prillm_or import __version__
from prillm_or.curves.trace import best_on_piece, trace
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.starts import starts
from prillm_or.users.certificate import profit_of

_log = logging.getLogger(__name__)
_BETTER = 1e-11
_MOST_ROUNDS = 1_000  # on a ridge, gains can stay above rounding for ever smaller steps


class Spiter:
    """Coordinate ascent by exact traces."""

    name = "spiter"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.SEVERAL_PRICES})

    def version(self) -> str:
        """Version of this package."""
        return __version__

    def solve(self, market: Market, limits: Limits) -> Proposal:
        """Find the best price, or a coordinate-wise maximum of several."""
        if len(market.leader) == 1:
            return Path().solve(market, limits)
        ascent = _Ascent(market, Deadline(limits.time_limit))
        ended = Ended.FINISHED
        try:
            begun = 0
            for prices in starts(market):
                ascent.climb(prices)
                begun += 1
                if ascent.deadline.passed():
                    ended = Ended.TIME_LIMIT
                    break
        except KeyboardInterrupt:
            ended = Ended.INTERRUPTED
        arrived = ended is Ended.FINISHED and ascent.finished
        what = "coordinate-wise maximum" if arrived else "stopped before a coordinate-wise maximum"
        note = f"{what}; {begun} starts, {ascent.traces} traces"
        stats = {"starts": begun, "traces": ascent.traces}
        return Proposal(ascent.best.prices, None, ended, (note,), stats=stats)


class _Ascent:
    """Ascents from several starts, with the best prices seen."""

    def __init__(self, market: Market, deadline: Deadline) -> None:
        self.best = Incumbent(market)
        self.deadline = deadline
        self.traces = 0
        self.finished = True
        self._market = market
        self._unit_cost = market.unit_cost[list(market.leader)]

    def climb(self, prices: Array) -> None:
        """Improve one price after the other, from `prices`, shape (len(leader),), until none improves."""
        found = self.best.offer(prices)
        profit = profit_of(self._market, found.prices, found.load)
        unimproved = which = 0
        most = self.traces + _MOST_ROUNDS * len(prices)
        while unimproved < len(prices) and not self.deadline.passed():
            if self.traces == most:
                self.finished = False
                return
            price, reached = self._best_along(found.prices, which)
            unimproved += 1
            if reached > profit + _BETTER * abs(profit):
                better = found.prices.copy()
                better[which] = price
                found = self.best.offer(better, found)
                profit = profit_of(self._market, found.prices, found.load)
                unimproved = 1  # this price is the best given the others: only they are still to be tried
                _log.info("prices %s, profit %.6g", found.prices, profit)
            which = (which + 1) % len(prices)

    def _best_along(self, prices: Array, which: int) -> tuple[float, float]:
        """Best value of one price and its profit, the others held; of the part seen when the time runs out."""
        self.traces += 1
        start = prices.copy()
        start[which] = 0.0
        best = (0.0, -np.inf)
        pieces = trace(self.best.users, start, which, float(self._market.price_cap[which]))
        for piece in pieces:
            price, profit = best_on_piece(piece, which, prices - self._unit_cost, float(self._unit_cost[which]))
            if profit > best[1] + _BETTER * abs(best[1]) or best[1] == -np.inf:
                best = (price, profit)
            if self.deadline.passed():
                break
        return best
