"""The nouns: prices over draws, what they earn in them, and what they cost if the market itself is right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from prillm_or import __version__
from prillm_or.errors import need_packages
from prillm_or.market.market import Units
from prillm_or.output.advice import move
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure, percent, rounded_percent
from prillm_or.output.tables import Part, Table
from prillm_or.result import Certificate, Decided

if TYPE_CHECKING:
    from pandas import DataFrame

ROBUST_FORMAT = "prillm-or/robust@1"

_ROWS = {
    "central": "of the market itself",
    "best_mean": "best mean",
    "best_worst": "best worst case",
    "least_regret": "least regret",
}
_OPEN = 0.05
"""Of the best profit: a price that may cost more is open."""


@dataclass(frozen=True)
class RobustPrice:
    """One price, or one value of each of several decisions, and what it earns.

    Parameters
    ----------
    decisions
        By name: currency per volume unit, or factors.
    mean_profit, worst_profit
        Over the draws, currency per period; each profit at an equilibrium solved and certified afresh.
    worst_draw
        The first draw in which it earns the least, counted from 1.
    worst_regret
        The most by which it falls short of the best profit of any draw; of several decisions, of the bound proven on
        it, so that no regret is larger.
    worst_regret_share
        The most by which it falls short, as a share of the best profit of the same draw; None where none earns any.
    central_profit
        Profit in the market itself: what it earns if the central estimate is right.
    central_share
        `central_profit` over the best profit of the market itself; None where that is not positive.
    """

    decisions: Mapping[str, float]
    mean_profit: float
    worst_profit: float
    worst_draw: int
    worst_regret: float
    worst_regret_share: float | None
    central_profit: float
    central_share: float | None

    @property
    def price(self) -> float:
        """The price, or factor, of a leader that decides one.

        Raises
        ------
        ValueError
            When it decides several: they are in `decisions`.
        """
        if len(self.decisions) > 1:
            raise ValueError(f"the leader decides {len(self.decisions)} numbers: see `decisions`")
        return next(iter(self.decisions.values()))

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format: `price`, or of several decisions `prices` by name, and the figures."""
        figures = asdict(self)
        decided = figures.pop("decisions")
        return ({"price": self.price} if len(decided) == 1 else {"prices": decided}) | figures


@dataclass(frozen=True, repr=False)
class RobustPrices(Answer):
    """Four prices, or sets of prices, over draws of a market.

    Of one decision `best_mean`, `best_worst` and `least_regret` are exact. Of several they are the best that was found,
    and not proven best; the bounds are proven.

    Parameters
    ----------
    instance, instance_sha256
        Name of the market, and of its file, as in a result.
    providers, decisions
        The leader's providers, and the names of what is decided: prices, those of components, or factors.
    draws
        How many there are.
    central
        The best prices of the market itself.
    best_mean, best_worst, least_regret
        The prices with the highest mean profit over the draws, with the highest smallest profit, and with the smallest
        largest shortfall of what is best in a draw.
    today
        Today's prices, None where the market has none.
    best_range
        By decision: the lowest and the highest of the best prices of the draws.
    in_words, units
        What the decisions are called, and the units of the market.
    mean_bound, worst_bound
        Proven: no prices have a higher mean profit, or a higher smallest one. Of one decision what is attained.
    pieces
        Intervals of prices that no breakpoint of any draw divides; None of several decisions.
    certificate
        The largest figures over all draws, the market itself, and the prices.
    time_s
        Wall-clock seconds.
    """

    instance: str
    instance_sha256: str | None
    providers: tuple[str, ...]
    decisions: tuple[str, ...]
    draws: int
    central: RobustPrice
    best_mean: RobustPrice
    best_worst: RobustPrice
    least_regret: RobustPrice
    today: RobustPrice | None
    best_range: Mapping[str, tuple[float, float]]
    in_words: tuple[str, ...]
    units: Units
    mean_bound: float
    worst_bound: float
    pieces: int | None
    certificate: Certificate
    time_s: float

    @property
    def by_name(self) -> Mapping[str, RobustPrice]:
        """The four by the names they have in the file format."""
        return {name: getattr(self, name) for name in _ROWS}

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order."""
        one, ranges = len(self.decisions) == 1, self.best_range
        decided = {"provider": self.providers[0], "decision": self.decisions[0]}
        return {
            "format": ROBUST_FORMAT,
            "instance": self.instance,
            "instance_sha256": self.instance_sha256,
            **(decided if one else {"providers": list(self.providers), "decisions": list(self.decisions)}),
            "draws": self.draws,
            "best_price_range": list(*ranges.values()) if one else {name: list(ends) for name, ends in ranges.items()},
            "prices": {name: price.to_dict() for name, price in self.by_name.items()},
            "today": None if self.today is None else self.today.to_dict(),
            "bounds": {"mean_profit": self.mean_bound, "worst_profit": self.worst_bound},
            "pieces": self.pieces,
            "certificate": asdict(self.certificate),
            "time_s": self.time_s,
            "version": __version__,
        }

    def to_frame(self) -> DataFrame:
        """A row for each of the four."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        rows = {name: dict(price.decisions) | price.to_dict() for name, price in self.by_name.items()}
        return pd.DataFrame.from_dict(rows, orient="index").drop(columns="prices", errors="ignore")

    def parts(self, note: str = "") -> Iterable[Part]:
        """What to do and how sure that is, a table of the prices, and of several decisions what is proven of them."""
        yield " ".join(self._sentences())
        figures = (
            "mean profit",
            "worst profit",
            "in draw",
            "worst regret",
            "of best",
            "profit if it is right",
            "costs then",
        )
        columns = ("price" if len(self.decisions) == 1 else "prices", *self.decisions, *figures)
        rows = [_row(_ROWS[name], price) for name, price in self.by_name.items()]
        rows += [] if self.today is None else [_row("as today", self.today)]
        ranks = (columns[0], *self.decisions, *(figures[k] for k in (0, 3, 4, 1, 6)))
        yield Table(f"{self.instance}{note}: prices over {self._draws}", columns, rows, columns[1:], ranks)
        if len(self.decisions) > 1:
            mean, worst = self.best_mean.mean_profit, self.best_worst.worst_profit
            yield (
                "Best mean, best worst case and least regret are the best that were found, not proven best. Proven: no "
                f"prices have a mean profit above {_bound(self.mean_bound, mean)}, nor a worst profit above "
                f"{_bound(self.worst_bound, worst)}; no regret is larger than told."
            )

    @property
    def _draws(self) -> str:
        return f"{self.draws} {'draw' if self.draws == 1 else 'draws'}"

    def _sentences(self) -> Iterator[str]:
        """What to do, what it costs at most, and how far apart the best prices are."""
        advised, today = self.least_regret, self.today
        told = []
        for name, what in zip(self.decisions, self.in_words, strict=True):
            before = None if today is None else today.decisions[name]
            verb, how = move(Decided(name, what, None, advised.decisions[name], before))
            told.append(f"{verb} the {what} {how}")
        text = "; ".join(told)
        ranges = [f"{figure(low, 4)} to {figure(high, 4)}" for low, high in self.best_range.values()]
        where = ranges[0] if len(ranges) == 1 else ", ".join(map(" ".join, zip(self.decisions, ranges, strict=True)))
        best = f"the best of each of {self._draws} runs from {where} ({self.units.of_prices})"
        if (advised.worst_regret_share or 0.0) > _OPEN:
            yield f"Try prices, do not settle on one: {best}."
            yield f"Least regret: {text}; that still costs {self._cost(advised)}."
        else:
            yield f"{text[0].upper()}{text[1:]}: that costs {self._cost(advised)}, whichever draw is right."
            yield f"{best[0].upper()}{best[1:]}."
        if today is not None:
            yield f"To stay as today costs {self._cost(today)}."

    def _cost(self, price: RobustPrice) -> str:
        """What a price costs at most, in money and as a share of what is best."""
        share = price.worst_regret_share
        most = f"at most {figure(price.worst_regret, 3)} {self.units.of_money}"
        return most + ("" if share is None else f", and at most {rounded_percent(share)} of the best profit")


def _bound(bound: float, found: float) -> str:
    """A bound, and by how much it exceeds what was found."""
    more = f" ({max(bound / found - 1, 0.0):.2%} more than found)" if found > 0 else ""
    return f"{figure(bound)}{more}"


def _row(name: str, price: RobustPrice) -> tuple[str, ...]:
    share = price.central_share
    return (
        name,
        *map(figure, price.decisions.values()),
        figure(price.mean_profit),
        figure(price.worst_profit),
        str(price.worst_draw),
        figure(price.worst_regret),
        percent(price.worst_regret_share),
        figure(price.central_profit),
        percent(None if share is None else max(1 - share, 0.0)),
    )
