"""Slices: curves along each of several decisions of a leader, the others held at the best, or as today."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from prillm_or.explanation.beside import curve_around
from prillm_or.market.market import Array, Market
from prillm_or.report.explorer_data import Movement, along, movements


@dataclass(frozen=True, eq=False)
class Slice:
    """A curve along one decision.

    Parameters
    ----------
    base
        Where the others are held.
    at
        Shape (k,): the decisions there.
    moved
        The market along the curve.
    """

    base: Literal["best", "today"]
    at: Array
    moved: Movement

    @property
    def decision(self) -> int:
        """Position of the decision that moves."""
        return self.moved.curve.decision

    def name(self, market: Market) -> str:
        """Name of the decision that moves."""
        return market.decisions[self.decision].name

    def document(self, market: Market) -> dict[str, Any]:
        """What a page's script shows of it."""
        maxima = [maximum.price for maximum in self.moved.curve.local_maxima if maximum.price <= self.moved.price[-1]]
        names = [decision.name for decision in market.decisions]
        return along(market, self.moved, float(self.at[self.decision]), maxima) | {
            "own": len(market.leader),
            "base": self.base,
            "decision": self.decision,
            "moves": self.name(market),
            "others": list(zip(names, self.at.tolist(), strict=True)),
        }


def decision_slices(market: Market, best: Array, rival_loads: Sequence[float], room: int) -> list[Slice]:
    """A slice along each decision through the best ones, and through today's, where these are within the caps.

    Parameters
    ----------
    best
        Shape (k,).
    rival_loads, room
        As of `movements`.
    """
    bases: list[tuple[Literal["best", "today"], Array]] = [("best", best)]
    if market.today is not None and (market.today <= market.price_cap).all():
        bases.append(("today", market.today))
    places = [(base, at, which) for base, at in bases for which in range(len(best))]
    curves = [curve_around(market, which, at) for _, at, which in places]
    marked = [(one, [float(at[which])]) for one, (_, at, which) in zip(curves, places, strict=True)]
    moved = movements(market, marked, rival_loads, room)
    return [Slice(base, np.asarray(at), one) for (base, at, _), one in zip(places, moved, strict=True)]
