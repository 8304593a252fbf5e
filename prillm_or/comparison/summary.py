"""Summary: one line for each market and method, over its repeats, in the words of every table of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from prillm_or.comparison.plan import Record, Row
from prillm_or.files.markets import MarketFile
from prillm_or.market.market import Market
from prillm_or.output.numbers import figure, gap_figure, percent, seconds
from prillm_or.result import Status

if TYPE_CHECKING:
    from prillm_or.comparison.comparison import Comparison

HEADINGS = ("method", "price", "profit", "% of proven optimum", "proven gap", "time, median", "time, %", "status")
NUMBERS = HEADINGS[1:-1]
"""Headings of columns that hold numbers."""

TEXTS = ("price", "status")
"""Headings of columns that may take several lines: a leader may have several prices."""

RANKS = ("price", "profit", "% of proven optimum", "time, median", "status", "proven gap")
"""Headings by importance."""

_TWIN = "*"
"""Marks a share of time that is not of the first method's."""


@dataclass(frozen=True)
class Line:
    """A method on a market.

    Parameters
    ----------
    prices, profit, profit_share, gap
        Of the repeat with the median profit, the lower one of two; profit and shares are 1 for all, None for none.
        Prices, of components too, and factors are by the names of the leader's decisions.
    time_s, time_share
        Medians over the repeats.
    status
        Of the same repeat, with the number of failed ones where some failed.
    beside_twin
        As in `Record`, of `time_share`.
    message
        Why a repeat failed, or None.
    """

    method: str
    prices: Mapping[str, float]
    profit: float | None
    profit_share: float | None
    gap: float | None
    time_s: float | None
    time_share: float | None
    status: str
    message: str | None = None
    beside_twin: bool = False


@dataclass(frozen=True)
class Section:
    """A market and its lines, in the order of the methods."""

    file: MarketFile
    lines: tuple[Line, ...]

    @property
    def name(self) -> str:
        """Name of the market."""
        return self.file.market.name

    @property
    def messages(self) -> list[str]:
        """Why methods failed."""
        return [f"{line.method}: {line.message}" for line in self.lines if line.message]


def sections(comparison: Comparison) -> list[Section]:
    """Every market of a comparison with the methods that have a finished run on it."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in comparison.records:
        groups.setdefault((record.unit.file.sha256, str(record.unit.method)), []).append(record)
    plan = comparison.plan
    return [
        Section(
            file,
            tuple(
                _line(str(method), groups[key])
                for method in plan.methods
                if (key := (file.sha256, str(method))) in groups
            ),
        )
        for file in plan.files
    ]


def _line(method: str, records: Sequence[Record]) -> Line:
    message = next((record.row["message"] for record in records if record.row.get("message")), None)
    answers = sorted((record.row for record in records if record.failure is None), key=lambda row: row["profit"])
    if not answers:
        return Line(method, {}, None, None, None, None, None, Status.ERROR.value, message)
    row = answers[(len(answers) - 1) // 2]
    failures = len(records) - len(answers)
    return Line(
        method,
        _decided(row, records[0].unit.file.market),
        row["profit"],
        row["profit_share"],
        row["gap"],
        median(answer["time_s"]["total"] for answer in answers),
        _median([answer["time_share"] for answer in answers if answer["time_share"] is not None]),
        f"{row['status']}, {failures} of {len(records)} failed" if failures else row["status"],
        message,
        records[0].beside_twin,
    )


def _decided(row: Row, market: Market) -> dict[str, float]:
    """What the leader decides, by name."""
    told = flat(row.get("factors") or row["prices"])
    return {decision.name: told[decision.name] for decision in market.decisions}


def flat(values: Mapping[str, float | Mapping[str, float]]) -> dict[str, float]:
    """Numbers by id, and those of components by `ID.COMPONENT`."""
    return {
        name if component is None else f"{name}.{component}": number
        for name, value in values.items()
        for component, number in (value.items() if isinstance(value, Mapping) else [(None, value)])
    }


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def cells(line: Line) -> tuple[str, ...]:
    """The line as text, in the order of `HEADINGS`, which hold the units of shares."""
    return (
        line.method,
        _prices(line.prices),
        figure(line.profit, 6),
        percent(line.profit_share).removesuffix(" %"),
        gap_figure(line.gap),
        seconds(line.time_s),
        _time_share(line),
        line.status.replace("_", " "),
    )


def _time_share(line: Line) -> str:
    """Three digits of what may be a thousandth of a per cent or a million of them; marked where the base differs."""
    if line.time_share is None:
        return "-"
    share = 100 * line.time_share
    text = f"{share:,.0f}" if share >= 100 else f"{share:.3g}"
    return f"{text}{_TWIN}" if line.beside_twin else text


def time_note(comparison: Comparison) -> str:
    """Of what times are shares, and what they leave out."""
    first = f"time, %: of {comparison.plan.methods[0]}"
    if any(record.beside_twin for record in comparison.records):
        first += f", {_TWIN} of the same solver and model without abstraction"
    return f"{first}; times leave out reading files and first imports"


def _prices(prices: Mapping[str, float]) -> str:
    if len(prices) == 1:
        return figure(next(iter(prices.values())), 5)
    return " ".join(f"{provider}={figure(price, 5)}" for provider, price in prices.items()) or "-"
