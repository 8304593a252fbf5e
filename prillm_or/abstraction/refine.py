"""Refine: anchor again at the price the small market proposes, until it stands still, and keep the best price seen.

At most `MOST_EQUILIBRIA` equilibria of the full market are solved in all: one for each anchor, which tells the exact
profit there, and one for the last price. Where a price stands still, the two markets share a stationary point (the
curves touch to first order), which may be a worse local maximum than another: hence the best price seen, and hence more
starts with the equilibria that are left. The second is `capacity_anchor`, where that was not the first; the third is
half of the best price so far, since a missed maximum is often below: at the price that keeps users whom a dearer one
gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from prillm_or.abstraction.anchors import capacity_anchor
from prillm_or.abstraction.registry import AbstractionChoice
from prillm_or.market.market import Array, Market
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, equilibrium_at

MOST_EQUILIBRIA = 6
_STILL = 1e-6
_BETTER = 1e-12


def refine(market: Market, choice: AbstractionChoice, solve_small: Callable[[Market], Proposal]) -> Proposal:
    """Find prices by a sequence of small markets.

    Parameters
    ----------
    choice
        An abstraction that can be anchored; the market has more rivals than it leaves.
    solve_small
        Proposes prices of a small market.

    Returns
    -------
    Proposal
        The best prices seen in the full market, without a bound; how the last small market's solver ended.
    """
    rounds = _Rounds(market, choice, solve_small)
    try:
        rounds.follow(None)
        rounds.follow(capacity_anchor(market))
        if rounds.best is not None:
            rounds.follow(rounds.best.prices / 2)
    except KeyboardInterrupt:
        rounds.ended = Ended.INTERRUPTED
    best = None if rounds.best is None else rounds.best.prices
    note = f"{len(rounds.anchors)} equilibria of the full market; of the last small market:"
    stats = {**rounds.stats, "full_equilibria": len(rounds.anchors), "small_markets": rounds.small_markets}
    return Proposal(best, None, rounds.ended, (note, *rounds.notes), rounds.build_s, stats)


class _Rounds:
    """Small markets one after the other, and what is known of the full one at their anchors."""

    def __init__(self, market: Market, choice: AbstractionChoice, solve_small: Callable[[Market], Proposal]) -> None:
        self._market = market
        self._choice = choice
        self._solve_small = solve_small
        self._last: Equilibrium | None = None
        self._profit = -np.inf
        self.best: Equilibrium | None = None
        self.anchors: list[Array] = []
        self.ended = Ended.FINISHED
        self.notes: tuple[str, ...] = ()
        self.stats: Mapping[str, float] = {}
        self.small_markets = 0
        self.build_s = 0.0

    def follow(self, anchor: Array | None) -> None:
        """Go from anchor to anchor until the price is that of an earlier one, or the equilibria are spent.

        Nothing is done once a small market's solver has stopped early.
        """
        if self.ended is not Ended.FINISHED:
            return
        while self.ended is Ended.FINISHED and len(self.anchors) < MOST_EQUILIBRIA - 1 and not self._known(anchor):
            small = self._choice.abstract(self._market, anchor, self._last)
            assert small.equilibrium is not None, f"{self._choice.name} gives no equilibrium"
            self._add(small.equilibrium)
            proposal = self._solve_small(small.market)
            self.small_markets += 1
            self.ended, self.build_s = proposal.ended, self.build_s + proposal.build_s
            self.notes = (*small.notes, *proposal.notes)
            self.stats = proposal.stats
            anchor = proposal.prices
            if anchor is None:
                return
        if anchor is not None and len(self.anchors) < MOST_EQUILIBRIA and not self._known(anchor):
            self._add(equilibrium_at(self._market, anchor, self._last))

    def _add(self, found: Equilibrium) -> None:
        """Count an equilibrium, and keep it if it earns more."""
        self.anchors.append(found.prices)
        self._last = found
        profit = profit_of(self._market, found.prices, found.billed)
        if self.best is None or profit > self._profit + _BETTER * abs(self._profit):
            self._profit, self.best = profit, found

    def _known(self, prices: Array | None) -> bool:
        """Whether prices are those of an equilibrium that was solved."""
        if prices is None:
            return False
        tolerance = _STILL * float(np.abs(prices).max())
        return any(bool(np.abs(prices - anchor).max() <= tolerance) for anchor in self.anchors)
