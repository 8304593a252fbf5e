"""Tables, blocks and lines, on a terminal, as plain text, and as HTML for a notebook.

No figure and no id is ever broken. A line wraps between words. A table whose columns do not all fit loses some by
their rank, and says which; where its first column leaves no room for another, each row becomes a block. A block is a
line for each label and its value.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import zip_longest
from typing import TYPE_CHECKING

from prillm_or.errors import argument, with_arguments, with_flags
from prillm_or.output.look import letters
from prillm_or.output.words import cut, inert, longest_word, wrapped

if TYPE_CHECKING:
    from rich.console import Console

_PIPE = 80
"""Columns where there is no terminal: who reads a pipe is a person; scripts have JSON."""

_NARROWEST, _GAP, _TEXT = 20, 2, 16
_HIDDEN = "hidden for want of width: {}; all is in " + argument("to_dict()", flag="--json")


@dataclass(frozen=True)
class Table:
    """A plain table.

    Parameters
    ----------
    title
        Above it; "" for none.
    columns
        Headings, all different. The first column names its rows, and always stays.
    rows
        Cells, in the order of the columns.
    numbers
        Headings of the columns that hold numbers, which are set to the right.
    texts
        Headings of the columns that hold texts, which may take several lines.
    ranks
        Headings, the most important first: each gets what room those before it leave. Those not named come after them,
        from left to right.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()
    texts: Sequence[str] = ()
    ranks: Sequence[str] = ()


@dataclass(frozen=True)
class Block:
    """A line for each label and its value.

    Parameters
    ----------
    title
        Above it; "" for none.
    fields
        Labels and values.
    """

    title: str
    fields: Sequence[tuple[str, str]]


Part = str | Table | Block
"""What an answer is shown by: a line, a table or a block."""


def console() -> Console:
    """The terminal to show progress on."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def show(parts: Iterable[Part]) -> None:
    """Print lines, tables and blocks on standard output."""
    text = "\n".join(_lines(parts, with_flags))
    print(_spelled(text, getattr(sys.stdout, "encoding", None)))


def as_text(parts: Iterable[Part]) -> str:
    """The same as text, with arguments as Python writes them."""
    return "\n".join(_lines(parts, with_arguments))


def as_html(parts: Iterable[Part]) -> str:
    """The same for a notebook; all text is escaped."""
    return "\n".join(f"<p>{_safe(part)}</p>" if isinstance(part, str) else _html(part) for part in parts)


def _spelled(text: str, encoding: str | None) -> str:
    """The text with our own two signs in letters that every encoding has, where this one lacks them."""
    try:
        "─…".encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return text.replace("─", "-").replace("…", "~")
    return text


def _lines(parts: Iterable[Part], wording: Callable[[str], str]) -> Iterator[str]:
    """All lines, with an empty one around each table and block."""
    width = max(shutil.get_terminal_size((_PIPE, 0)).columns, _NARROWEST)
    first, spaced = True, False
    for part in parts:
        apart = not isinstance(part, str)
        if not first and (apart or spaced):
            yield ""
        first, spaced = False, apart
        if isinstance(part, str):
            yield from wrapped(inert(wording(part)), width)
        else:
            yield from _titled(part, width)
            yield from _drawn(part, width, wording) if isinstance(part, Table) else _aligned(part.fields, width)


def _titled(part: Table | Block, width: int) -> Iterator[str]:
    if part.title:
        yield from wrapped(inert(part.title), width)


def _drawn(table: Table, width: int, wording: Callable[[str], str]) -> Iterator[str]:
    """The table's lines, with as many columns as there is room for."""
    cells = [[inert(cell) for cell in row] for row in table.rows]
    columns = _fitting(table, cells, width)
    if len(columns) == 1 < len(table.columns):
        yield from _stacked(table, cells, width)
        return
    spans = _spans(table, cells, columns, width)
    right = [table.columns[k] in table.numbers for k in columns]

    def laid(row: Sequence[str], *, heading: bool = False) -> list[str]:
        filled = [
            list(wrapped(row[k], span)) if heading or table.columns[k] in table.texts else [cut(row[k], span)]
            for k, span in zip(columns, spans, strict=True)
        ]
        depth = max(map(len, filled))
        if heading:
            filled = [[""] * (depth - len(lines)) + lines for lines in filled]
        return [
            (" " * _GAP).join(map(_padded, line, spans, right)).rstrip() for line in zip_longest(*filled, fillvalue="")
        ]

    yield from laid([inert(heading).strip() for heading in table.columns], heading=True)
    yield "─" * (sum(spans) + _GAP * (len(spans) - 1))
    for row in cells:
        yield from laid(row)
    hidden = [inert(name) for k, name in enumerate(table.columns) if k not in columns]
    if hidden:
        yield from wrapped(wording(_HIDDEN.format(", ".join(hidden))), width)


def _padded(text: str, span: int, right: bool) -> str:
    room = " " * (span - letters(text))
    return room + text if right else text + room


def _stacked(table: Table, cells: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """A block for each row."""
    for number, row in enumerate(cells):
        if number:
            yield ""
        yield from _aligned(list(zip(table.columns, row, strict=True)), width)


def _aligned(fields: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    """Labels, and values beside them that begin in one column; below them where there is no room beside."""
    fields = [(inert(label).strip(), inert(value)) for label, value in fields]
    start = min(max((letters(label) for label, _ in fields), default=0), width // 2) + _GAP
    for label, value in fields:
        beside = letters(label) + _GAP <= start and longest_word(value) <= width - start
        if beside:
            first, *rest = wrapped(value, width - start)
            yield f"{_padded(label, start, False)}{first}".rstrip()
            yield from (" " * start + line for line in rest)
        else:
            yield from wrapped(label, width)
            yield from ("  " + line for line in wrapped(value, width - 2))


def _fitting(table: Table, cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Positions of the columns that there is room for; the first always."""
    least = [_span(table, cells, k)[0] for k in range(len(table.columns))]
    ranked = sorted(range(1, len(least)), key=lambda k: _rank(table, k))
    kept = [0]
    for k in ranked:
        if sum(least[i] + _GAP for i in (*kept, k)) - _GAP <= width:
            kept.append(k)
    return sorted(kept)


def _rank(table: Table, k: int) -> int:
    name = table.columns[k]
    return list(table.ranks).index(name) if name in table.ranks else len(table.ranks) + k


def _span(table: Table, cells: Sequence[Sequence[str]], k: int) -> tuple[int, int]:
    """Least and best width of a column: texts may take several lines, if not too many, and so may headings."""
    heading = inert(table.columns[k]).strip()
    best = max((letters(row[k]) for row in cells), default=0)
    least = best
    if table.columns[k] in table.texts:
        least = max(min(best, _TEXT), *(longest_word(row[k]) for row in cells), 0)
    return max(longest_word(heading), least), max(letters(heading), best)


def _spans(table: Table, cells: Sequence[Sequence[str]], columns: Sequence[int], width: int) -> list[int]:
    """Widths of the columns that are shown: texts share what the others leave."""
    ranges = [_span(table, cells, k) for k in columns]
    least, wanted = [low for low, _ in ranges], [best - low for low, best in ranges]
    spare = max(width - sum(least) - _GAP * (len(columns) - 1), 0)
    share = min(spare / sum(wanted), 1.0) if sum(wanted) else 0.0
    return [min(low + int(share * more), width) for low, more in zip(least, wanted, strict=True)]


def _html(part: Table | Block) -> str:
    caption = f"<caption>{_safe(part.title)}</caption>" if part.title else ""
    if isinstance(part, Block):
        lines = "".join(f"<tr><th>{_safe(label)}</th><td>{_safe(value)}</td></tr>" for label, value in part.fields)
        return f"<table>{caption}<tbody>{lines}</tbody></table>"
    styles = [' style="text-align: right"' if name in part.numbers else "" for name in part.columns]

    def row(cells: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}{how}>{_safe(cell)}</{tag}>" for cell, how in zip(cells, styles, strict=True))

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in part.rows)
    return f"<table>{caption}<thead><tr>{row(part.columns, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def _safe(text: str) -> str:
    return escape(inert(with_arguments(text)))
