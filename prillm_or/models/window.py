r"""Window: the decisions that can still be optimal, and what is proven of flows and reduced costs there.

An exact formulation is written for a window. Whoever drives it finds one from the best profit so far
(`solvers/windows.py`), so that the bounds of `bounds.py`, and those of big-M values, are those of a small box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.market.market import Array, Market


@dataclass(frozen=True, eq=False)
class Window:
    """Decisions low <= y <= high, and bounds at all equilibria there, in the market's units.

    Parameters
    ----------
    low, high
        Shape (k,).
    flow_low, flow_high
        Shape (n, m).
    reduced_high
        Shape (n, m): on the reduced costs of pairs without flow, currency per volume unit over the price weight.
    """

    low: Array
    high: Array
    flow_low: Array
    flow_high: Array
    reduced_high: Array

    def in_units(self, money: float, volume: float, decision: Array) -> Window:
        """The window where a unit of money, of volume and of each decision, shape (k,), is so much of this one's."""
        flows = self.flow_low / volume, self.flow_high / volume
        return Window(self.low / decision, self.high / decision, *flows, self.reduced_high / money)


def plain_window(market: Market, low: Array, high: Array) -> Window:
    """A range of decisions of which no more is known."""
    shape = (market.n, market.m)
    return Window(low, high, np.zeros(shape), np.full(shape, np.inf), np.full(shape, np.inf))


def whole_window(market: Market) -> Window:
    """All decisions."""
    return plain_window(market, np.zeros(len(market.decisions)), market.price_cap)
