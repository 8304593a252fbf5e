"""Paper: its published figures beside ours, labelled as theirs; the figures are in `published.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prillm_or.comparison.summary import Line, Section
from prillm_or.output.numbers import percent, seconds
from prillm_or.output.tables import Table

LABEL = "paper, on its own data"
_HEADINGS = ("in the paper", "profit", "time", "here", "our profit", "our time")
_RANKS = ("profit", "our profit", "time", "our time")
_NUMBERS = ("profit", "time", "our profit", "our time")


def citation() -> str:
    """Where the figures were published."""
    text: str = _content()["citation"]
    return text


def paper_tables(preset: str | None, found: Sequence[Section]) -> list[Table]:
    """The paper's figures for a preset: its markets whose counterpart here has run, and those that have none.

    A table for each, our methods that stand for theirs beside them; '-' where none has run.
    """
    here = {section.name: {line.method: line for line in section.lines} for section in found}
    return [
        _table(table, here.get(table.get("instance"), {}))
        for table in _content()["tables"]
        if table["preset"] == preset and table.get("instance", "") in {"", *here}
    ]


def _table(table: Mapping[str, Any], ours: Mapping[str, Line]) -> Table:
    title = f"{table['market']} ({LABEL})"
    if ours:
        title += f", beside our {table['instance']}"
    return Table(title, _HEADINGS, [_row(row, ours) for row in table["rows"]], _NUMBERS, ranks=_RANKS)


def _row(row: Mapping[str, Any], ours: Mapping[str, Line]) -> tuple[str, ...]:
    line = next((ours[method] for method in row.get("ours", ()) if method in ours), None)
    mine = ("-", "-", "-") if line is None else (line.method, percent(line.profit_share), seconds(line.time_s))
    return row["method"], percent(row["profit"], 1), seconds(row["time_s"]), *mine


def _content() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
