"""Tables and lines, on a terminal, as plain text, and as HTML for a notebook."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_PIPE_WIDTH = 200
"""Columns of a line that no terminal is as wide as: into a pipe, tables lose no column."""


@dataclass(frozen=True)
class Table:
    """A plain table.

    Parameters
    ----------
    title
        Above it; "" for none.
    columns
        Headings, all different.
    rows
        Cells, in the order of the columns.
    numbers
        Headings of the columns that hold numbers, which are set to the right.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()


Part = str | Table
"""What an answer is shown by: a line or a table."""


def console(*, stderr: bool = False) -> Console:
    """The terminal to print on."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=_width(stream.isatty()), highlight=False, markup=False, emoji=False)


def show(parts: Iterable[Part]) -> None:
    """Print lines and tables on standard output."""
    screen = console()
    for part in parts:
        screen.print(part if isinstance(part, str) else _drawn(part))


def as_text(parts: Iterable[Part]) -> str:
    """What `show` prints, as plain text."""
    from rich.console import Console

    stream = io.StringIO()
    plain = Console(
        file=stream,
        width=_width(sys.stdout.isatty()),
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None,
        force_jupyter=False,  # in a notebook rich would show the text by itself and leave the stream empty
    )
    for part in parts:
        plain.print(part if isinstance(part, str) else _drawn(part))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def as_html(parts: Iterable[Part]) -> str:
    """The same for a notebook; all text is escaped."""
    return "\n".join(f"<p>{escape(part)}</p>" if isinstance(part, str) else _html(part) for part in parts)


def _width(terminal: bool) -> int | None:
    """None for the terminal's own."""
    return None if terminal else _PIPE_WIDTH


def _drawn(table: Table) -> RichTable:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        drawn.add_column(column, justify="right" if column in table.numbers else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    return drawn


def _html(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        style = (' style="text-align: right"' if name in table.numbers else "" for name in table.columns)
        return "".join(f"<{tag}{how}>{escape(cell)}</{tag}>" for cell, how in zip(cells, style, strict=True))

    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in table.rows)
    return f"<table>{caption}<thead><tr>{row(table.columns, 'th')}</tr></thead><tbody>{body}</tbody></table>"
