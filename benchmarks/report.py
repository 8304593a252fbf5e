"""Tables of figures: one form for the screen, for JSON and for the README."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as RichTable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Document = dict[str, Any]

_NOTE = "note"
_BEGIN, _END = "<!-- results: written by `python -m benchmarks --markdown` -->", "<!-- end of results -->"


@dataclass(frozen=True)
class Table:
    """Rows of one kind: the fields are the columns, and their names the headings.

    Parameters
    ----------
    note
        One line on what the rows show.
    """

    title: str
    rows: Sequence[DataclassInstance]
    note: str = ""


@dataclass(frozen=True)
class Target:
    """A figure and what it was meant to be.

    Parameters
    ----------
    at_least
        Whether a larger figure is better.
    range
        Smallest and largest over the markets or runs, where there are several.
    """

    figure: str
    measured: float
    target: float
    at_least: bool
    range: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side."""
        return self.measured >= self.target if self.at_least else self.measured <= self.target


@dataclass(frozen=True)
class TargetRow:
    """A target as a row."""

    figure: str
    measured: float
    range: str
    target: str
    met: bool


def target_table(targets: Sequence[Target]) -> Table:
    """Table that says which targets are met."""
    rows = [
        TargetRow(t.figure, t.measured, t.range, f"{'>=' if t.at_least else '<='} {t.target:g}", t.met) for t in targets
    ]
    return Table("targets", rows)


def span(values: Sequence[float]) -> str:
    """Smallest and largest value, for people."""
    return f"{_cell(min(values))} to {_cell(max(values))}"


def as_document(table: Table) -> Document:
    """The table as JSON holds it."""
    return {"title": table.title, "note": table.note, "rows": [dataclasses.asdict(row) for row in table.rows]}


def show(table: Document, console: Console) -> None:
    """Print a table."""
    rich = RichTable(title=table["title"], title_justify="left", caption=table["note"] or None, caption_justify="left")
    headings, rows = _grid(table)
    for heading in headings:
        rich.add_column(heading)
    for row in rows:
        rich.add_row(*row)
    console.print(rich)


def markdown(results: Mapping[str, Document]) -> str:
    """All results as Markdown, in the order they are stored."""
    parts: list[str] = []
    for name, result in results.items():
        parts += [f"### {name}", f"{result['about']} {result['environment']}"]
        for table in result["tables"]:
            parts.append(f"**{table['title']}.** {table['note']}".strip())
            parts.append(table_lines(table))
    return "\n\n".join(parts)


def table_lines(table: Document) -> str:
    """A table as Markdown; notes stand below it, numbered, and their numbers in the first column of names."""
    headings, rows = _grid(table)
    notes: dict[str, int] = {}
    if _NOTE in headings:
        at, named = headings.index(_NOTE), headings.index("method") if "method" in headings else 0
        for row in rows:
            if note := row.pop(at):
                row[named] += f" ({notes.setdefault(note, len(notes) + 1)})"
        headings = [heading for heading in headings if heading != _NOTE]
    lines = [headings, ["---"] * len(headings), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n\n".join([text, *(["; ".join(f"({k}) {note}" for note, k in notes.items()) + "."] if notes else [])])


def write_readme(results_file: Path, readme: Path) -> None:
    """Put the tables of a results file between the marks of a README."""
    results = json.loads(results_file.read_text(encoding="utf-8"))
    readme.write_text(between_marks(readme.read_text(encoding="utf-8"), markdown(results)), encoding="utf-8")


def between_marks(page: str, text: str) -> str:
    """The page with `text` in place of what stands between its marks."""
    before, rest = page.split(_BEGIN)
    after = rest.split(_END)[1]
    return f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}"


def _grid(table: Document) -> tuple[list[str], list[list[str]]]:
    rows = table["rows"]
    headings = list(rows[0]) if rows else []
    return [name.replace("_", " ") for name in headings], [[_cell(row[name]) for name in headings] for row in rows]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
    return str(value)
