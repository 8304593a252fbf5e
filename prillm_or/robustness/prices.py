"""The nouns: prices over draws, what each earns in them, and what it costs if the market itself is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from prillm_or import __version__
from prillm_or.result import Certificate

ROBUST_FORMAT = "prillm-or/robust@1"


@dataclass(frozen=True)
class RobustPrice:
    """One price, and what it earns.

    Parameters
    ----------
    price
        Currency per volume unit.
    mean_profit, worst_profit
        Over the draws, currency per period; each profit at an equilibrium solved and certified afresh.
    worst_draw
        The first draw in which it earns the least, counted from 1.
    central_profit
        Profit in the market itself: what it earns if the central estimate is right.
    central_share
        `central_profit` over the best profit of the market itself; None where that is not positive.
    """

    price: float
    mean_profit: float
    worst_profit: float
    worst_draw: int
    central_profit: float
    central_share: float | None


@dataclass(frozen=True)
class RobustPrices:
    """Three prices over draws of a market.

    Parameters
    ----------
    provider
        The leader's provider.
    draws
        How many there are.
    central
        The best price of the market itself.
    best_mean, best_worst
        The price with the highest mean profit over the draws, and the one with the highest smallest profit.
    pieces
        Intervals of prices that no breakpoint of any draw divides.
    certificate
        The largest figures over all draws, the market itself, and the three prices.
    time_s
        Wall-clock seconds.
    """

    instance: str
    provider: str
    draws: int
    central: RobustPrice
    best_mean: RobustPrice
    best_worst: RobustPrice
    pieces: int
    certificate: Certificate
    time_s: float

    @property
    def by_name(self) -> Mapping[str, RobustPrice]:
        """The three prices by the names they have in the file format."""
        return {"central": self.central, "best_mean": self.best_mean, "best_worst": self.best_worst}


def robust_to_json(found: RobustPrices, sha256: str | None = None) -> dict[str, Any]:
    """Give robust prices the fields of the file format, in its order."""
    return {
        "format": ROBUST_FORMAT,
        "instance": found.instance,
        "instance_sha256": sha256,
        "provider": found.provider,
        "draws": found.draws,
        "prices": {name: asdict(price) for name, price in found.by_name.items()},
        "pieces": found.pieces,
        "certificate": asdict(found.certificate),
        "time_s": found.time_s,
        "version": __version__,
    }
