"""The nouns: prices over draws, what each earns in them, and what it costs if the market itself is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from prillm_or import __version__
from prillm_or.errors import need_packages
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.tables import Part, Table
from prillm_or.result import Certificate

if TYPE_CHECKING:
    from pandas import DataFrame

ROBUST_FORMAT = "prillm-or/robust@1"

_ROWS = {"central": "of the market itself", "best_mean": "best mean", "best_worst": "best worst case"}


@dataclass(frozen=True)
class RobustPrice:
    """One price, and what it earns.

    Parameters
    ----------
    price
        Currency per volume unit, or a factor.
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


@dataclass(frozen=True, repr=False)
class RobustPrices(Answer):
    """Three prices over draws of a market.

    Parameters
    ----------
    instance, instance_sha256
        Name of the market, and of its file, as in a result.
    provider, decision
        The leader's provider, and the name of what is decided: a price, that of a component, or a factor.
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
    instance_sha256: str | None
    provider: str
    decision: str
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

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order."""
        return {
            "format": ROBUST_FORMAT,
            "instance": self.instance,
            "instance_sha256": self.instance_sha256,
            "provider": self.provider,
            "decision": self.decision,
            "draws": self.draws,
            "prices": {name: asdict(price) for name, price in self.by_name.items()},
            "pieces": self.pieces,
            "certificate": asdict(self.certificate),
            "time_s": self.time_s,
            "version": __version__,
        }

    def to_frame(self) -> DataFrame:
        """A row for each of the three prices."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        return pd.DataFrame.from_dict({name: asdict(price) for name, price in self.by_name.items()}, orient="index")

    def parts(self, note: str = "") -> Iterable[Part]:
        """A table of the three prices."""
        figures = ("mean profit", "worst profit", "in draw", "profit if it is right", "costs then")
        columns = ("price", self.decision, *figures)
        rows = [_row(_ROWS[name], price) for name, price in self.by_name.items()]
        draws = f"{self.draws} {'draw' if self.draws == 1 else 'draws'}"
        yield Table(f"{self.instance}{note}: prices over {draws}", columns, rows, columns[1:], columns[:1])


def _row(name: str, price: RobustPrice) -> tuple[str, ...]:
    share = price.central_share
    return (
        name,
        figure(price.price),
        figure(price.mean_profit),
        figure(price.worst_profit),
        str(price.worst_draw),
        figure(price.central_profit),
        "-" if share is None else f"{max(1 - share, 0.0):.2%}",
    )
