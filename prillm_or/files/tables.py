"""Tables: rows of a CSV or Parquet file, or of a frame, as checked columns, with every fault by its row."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.files.cells import ENDINGS, Raw, check_once, read_cells
from prillm_or.market.faults import Faults, shown
from prillm_or.market.market import Array

_HOUR = re.compile(r"T([01][0-9]|2[0-3])")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


class Kind(Enum):
    """What a cell of a column holds, in words."""

    TEXT = "a text"
    DAY = "an ISO date such as 2026-07-21"
    TIME = "an ISO date such as 2026-07-21, or an hour of it, 2026-07-21T15"
    NUMBER = "a finite number"
    NON_NEGATIVE = "a finite number >= 0"
    POSITIVE = "a finite number > 0"


@dataclass(frozen=True)
class Column:
    """A column a table must or may have.

    Parameters
    ----------
    empty
        Whether its cells may be empty: then they are "" or NaN.
    optional
        Whether the whole column may be left out.
    """

    name: str
    kind: Kind
    empty: bool = False
    optional: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.kind not in (Kind.TEXT, Kind.DAY, Kind.TIME)


Columns = Sequence[Column] | Callable[[Iterable[str]], Sequence[Column]]
"""Columns of a table, which may depend on the names that its columns have."""


@dataclass(frozen=True, eq=False)
class Table:
    """Checked columns.

    Parameters
    ----------
    name
        Of the file.
    rows
        Number of each row in the file: a CSV file's header is row 1, a Parquet file's first row is row 1.
    texts
        Texts and days by column.
    numbers
        Numbers by column; NaN where a cell is empty or faulty.
    complete
        Whether every row is there: those with a faulty text, day or number of cells are left out.
    """

    name: str
    rows: Sequence[int]
    texts: Mapping[str, Sequence[str]]
    numbers: Mapping[str, Array]
    complete: bool

    def note(self, faults: Faults, places: Iterable[int], column: str, describe: Callable[[int], str]) -> None:
        """Note a fault for each position in `places`, with the number of its row in the file."""
        faults.add_all(
            (((), k) for k in places),
            *(self.name, column),
            describe=lambda k: f"{self.name}: row {self.rows[k]}, {column}: {describe(k)}",
        )


def find_table(folder: Path, stem: str, faults: Faults) -> Path | None:
    """File that holds a table, or folder of Parquet files; None, and a fault, where there is none or more than one.

    `stem` may hold the wild card `*`.
    """
    found = sorted(path for ending in ENDINGS for path in folder.glob(f"{stem}{ending}"))
    if len(found) == 1:
        return found[0]
    if found:
        faults.add((), f"{', '.join(path.name for path in found)}: more than one file for one table; keep one")
    else:
        faults.add((), f"{stem}: missing; expected {' or '.join(stem + ending for ending in ENDINGS)}")
    return None


def read_table(
    path: Path, columns: Columns, keys: Sequence[str], faults: Faults, *, others: bool = False
) -> Table | None:
    """Read and check a table; None where nothing can be said about its rows.

    Parameters
    ----------
    keys
        Columns that no two rows may share; those that the table leaves out do not count.
    others
        Whether columns beyond those named are let through, and ignored.

    Raises
    ------
    UnavailableError
        When the file is Parquet and pyarrow is not installed.
    """
    try:
        raw = read_cells(path, faults)
    except ValueError as refusal:
        faults.add((), f"{path.name}: {refusal}")
        return None
    return _checked(path.name, raw, columns, keys, faults, others)


def frame_table(frame: Any, name: str, columns: Columns, keys: Sequence[str], faults: Faults) -> Table | None:
    """Check a pandas frame as `read_table` checks a file; its first row is row 1."""
    if not hasattr(frame, "columns"):
        faults.add((), f"{name}: expected a pandas frame, got {type(frame).__name__}")
        return None
    try:
        check_once(frame.columns)
    except ValueError as refusal:
        faults.add((), f"{name}: {refusal}")
        return None
    cells = {str(column): frame[column].tolist() for column in frame.columns}
    return _checked(name, Raw(range(1, len(frame) + 1), cells), columns, keys, faults, others=False)


def _checked(name: str, raw: Raw, columns: Columns, keys: Sequence[str], faults: Faults, others: bool) -> Table | None:
    columns = columns(raw.columns) if callable(columns) else columns
    if not _check_header(name, raw, columns, faults, others):
        return None
    there = [column for column in columns if column.name in raw.columns]
    if not raw.rows:
        if raw.complete:
            faults.add((), f"{name}: no rows; expected at least one")
        return None
    table = _check_cells(name, raw, there, faults)
    _check_repeats(table, [key for key in keys if key in table.texts], faults)
    return table


def is_day(text: str) -> bool:
    """Whether a text is an ISO date written in full, such as 2026-07-21."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def is_time(text: str) -> bool:
    """Whether a text is such a date, or an hour of it, such as 2026-07-21T15."""
    hour = text.removeprefix(text[:10])
    return is_day(text[:10]) and (hour == "" or bool(_HOUR.fullmatch(hour)))


def _check_header(name: str, raw: Raw, columns: Sequence[Column], faults: Faults, others: bool) -> bool:
    known = [column.name for column in columns]
    missing = [column.name for column in columns if not column.optional and column.name not in raw.columns]
    unknown = [] if others else [other for other in raw.columns if other not in known]
    heading = f"its columns are {', '.join(map(shown, raw.columns)) or 'none'}"
    for column in missing:
        faults.add((), f"{name}: column {column} is missing; {heading}")
    for column in unknown:
        faults.add((), f"{name}: unknown column {shown(column)}; expected {', '.join(known)}")
    return not missing


def _check_cells(name: str, raw: Raw, columns: Sequence[Column], faults: Faults) -> Table:
    size = len(raw.rows)
    unchecked = Table(name, raw.rows, {}, {}, raw.complete)
    texts: dict[str, Sequence[str]] = {}
    numbers: dict[str, Array] = {}
    keep = np.ones(size, dtype=bool)
    for column in columns:
        cells = raw.columns[column.name]
        if column.numeric:
            numbers[column.name], faulty = _numbers(cells, column)
        else:
            texts[column.name], faulty = _texts(cells, column)
            keep &= ~faulty
        places = np.flatnonzero(faulty).tolist()
        commas = [k for k in places if isinstance(text := cells[k], str) and _DECIMAL_COMMA.fullmatch(text)]
        if column.numeric and commas:
            first = f"the first in row {raw.rows[commas[0]]}: {cells[commas[0]]}"
            faults.add((), f"{name}: {column.name}: {len(commas)} numbers with a comma, {first}; write a point")
            places = sorted(set(places) - set(commas))
        unchecked.note(faults, places, column.name, _expectation(column, cells))
    if keep.all():
        return Table(name, raw.rows, texts, numbers, raw.complete)
    kept = np.flatnonzero(keep).tolist()
    return Table(
        name,
        [raw.rows[k] for k in kept],
        {key: [cells[k] for k in kept] for key, cells in texts.items()},
        {key: array[kept] for key, array in numbers.items()},
        False,
    )


def _expectation(column: Column, cells: Sequence[object]) -> Callable[[int], str]:
    return lambda k: f"expected {column.kind.value}, got {_cell(cells[k])}"


def _cell(cell: object) -> str:
    if cell is None or cell == "":
        return "an empty cell"
    if isinstance(cell, str):
        return cell if _number(cell) is not None else shown(cell)
    return shown(cell) if isinstance(cell, bool) else shown(str(cell))[1:-1]


def _numbers(cells: Sequence[object], column: Column) -> tuple[Array, NDArray[np.bool_]]:
    """Numbers, NaN where faulty or empty, and where they are faulty."""
    numbers = _quickly(cells)
    blank = np.zeros(len(cells), dtype=bool)
    if numbers is None:
        found = [_number(cell) for cell in cells]
        numbers = np.array([math.nan if number is None else number for number in found])
        blank = np.array([cell is None or cell == "" for cell in cells], dtype=bool)
    least = {Kind.NUMBER: -math.inf, Kind.NON_NEGATIVE: 0.0, Kind.POSITIVE: math.ulp(0.0)}[column.kind]
    allowed = np.isfinite(numbers) & (numbers >= least)
    faulty = ~(allowed | blank) if column.empty else ~allowed
    return np.where(allowed, numbers, math.nan), faulty


def _quickly(cells: Sequence[object]) -> Array | None:
    """Cells as an array at the speed of numpy, or None where one is no plain number."""
    if isinstance(cells, np.ndarray):
        return cells.astype(np.float64)
    types = set(map(type, cells))
    if types == {str} and any("_" in cell for cell in cells):  # type: ignore[operator]
        return None
    if not (types <= {int, float} or types == {str}):
        return None
    try:
        return np.array(cells, dtype=np.float64)
    except (OverflowError, ValueError):
        return None


def _number(cell: object) -> float | None:
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str, Decimal)):
        return None
    if isinstance(cell, str) and "_" in cell:  # Python reads 1_000 as a number; nobody else does
        return None
    try:
        return float(cell)
    except (OverflowError, ValueError):
        return None


def _texts(cells: Sequence[object], column: Column) -> tuple[list[str], NDArray[np.bool_]]:
    """Texts or days, "" where faulty or empty, and where they are faulty."""
    read = {Kind.DAY: _day, Kind.TIME: _time}.get(column.kind, _text)
    # Days and names recur in most rows: each is read once.
    known: dict[object, str] = {}
    texts = []
    for cell in cells:
        text = known.get(cell) if type(cell) is str else None
        if text is None:
            text = read(cell)
            if type(cell) is str:
                known[cell] = text
        texts.append(text)
    faulty = np.array([text == "" for text in texts], dtype=bool)
    if column.empty:
        faulty &= np.array([not (cell is None or cell == "") for cell in cells], dtype=bool)
    return texts, faulty


def _text(cell: object) -> str:
    return cell if isinstance(cell, str) else ""


def _day(cell: object) -> str:
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else ""
    if isinstance(cell, date):
        return cell.isoformat()
    return cell if isinstance(cell, str) and is_day(cell) else ""


def _check_repeats(table: Table, keys: Sequence[str], faults: Faults) -> None:
    places = list(zip(*(table.texts[key] for key in keys), strict=True))
    if len(set(places)) == len(places):
        return
    first: dict[tuple[str, ...], int] = {}
    again = [k for k, place in enumerate(places) if first.setdefault(place, k) != k]
    table.note(
        faults,
        again,
        ", ".join(keys),
        lambda k: f"{', '.join(map(shown, places[k]))} is in row {table.rows[first[places[k]]]} already; keep one",
    )


def _time(cell: object) -> str:
    return cell if isinstance(cell, str) and is_time(cell) else _day(cell)
