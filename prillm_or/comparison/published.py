"""Paper: its published figures beside ours, labelled as theirs; the figures are in `published.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prillm_or.comparison.summary import Line, Section
from prillm_or.output.numbers import percent, seconds

LABEL = "paper, on its own data"
HEADINGS = ("in the paper", "profit", "time", "here", "our profit", "our time")
NUMBERS = ("profit", "time", "our profit", "our time")


@dataclass(frozen=True)
class PaperTable:
    """Published figures of one of the paper's markets, with our methods that stand for them.

    Parameters
    ----------
    title
        The paper's market, and ours beside it.
    rows
        Cells in the order of `HEADINGS`; '-' where no method of ours that stands for theirs has run.
    """

    title: str
    rows: tuple[tuple[str, ...], ...]


def citation() -> str:
    """Where the figures were published."""
    text: str = _content()["citation"]
    return text


def paper_tables(preset: str | None, found: Sequence[Section]) -> list[PaperTable]:
    """The paper's figures for a preset: its markets whose counterpart here has run, and those that have none."""
    here = {section.name: {line.method: line for line in section.lines} for section in found}
    return [
        _table(table, here.get(table.get("instance"), {}))
        for table in _content()["tables"]
        if table["preset"] == preset and table.get("instance", "") in {"", *here}
    ]


def _table(table: Mapping[str, Any], ours: Mapping[str, Line]) -> PaperTable:
    title = f"{table['market']} ({LABEL})"
    if ours:
        title += f", beside our {table['instance']}"
    return PaperTable(title, tuple(_row(row, ours) for row in table["rows"]))


def _row(row: Mapping[str, Any], ours: Mapping[str, Line]) -> tuple[str, ...]:
    line = next((ours[method] for method in row.get("ours", ()) if method in ours), None)
    mine = ("-", "-", "-") if line is None else (line.method, percent(line.profit_share), seconds(line.time_s))
    return row["method"], percent(row["profit"], 1), seconds(row["time_s"]), *mine


def _content() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
