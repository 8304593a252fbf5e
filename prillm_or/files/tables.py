"""Tables: rows of a CSV or Parquet file as checked columns, with every fault by its row."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prillm_or.errors import UnavailableError
from prillm_or.files.reading import MOST_BYTES, check_size, read_content, text_of, too_large
from prillm_or.market.faults import Faults, shown
from prillm_or.market.market import Array

PARQUET_ENDING = ".parquet"
_ENDINGS = (".csv", ".csv.gz", PARQUET_ENDING)

_CELL_BYTES = 8
"""What a cell of a Parquet file takes at least, once it is read."""

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_COMPUTED = re.compile(r"'*[=+\-@\t\r]")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")


class Kind(Enum):
    """What a cell of a column holds, in words."""

    TEXT = "a text"
    DAY = "an ISO date such as 2026-07-21"
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
        return self.kind not in (Kind.TEXT, Kind.DAY)


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


@dataclass(frozen=True, eq=False)
class _Raw:
    """Cells as the file has them: text in a CSV file, values of any type in a Parquet file."""

    rows: Sequence[int]
    columns: Mapping[str, Sequence[object]]
    complete: bool = True


def find_table(folder: Path, stem: str, faults: Faults) -> Path | None:
    """File that holds a table, or folder of Parquet files; None, and a fault, where there is none or more than one.

    `stem` may hold the wild card `*`.
    """
    found = sorted(path for ending in _ENDINGS for path in folder.glob(f"{stem}{ending}"))
    if len(found) == 1:
        return found[0]
    if found:
        faults.add((), f"{', '.join(path.name for path in found)}: more than one file for one table; keep one")
    else:
        faults.add((), f"{stem}: missing; expected {' or '.join(stem + ending for ending in _ENDINGS)}")
    return None


def files_of(path: Path) -> list[Path]:
    """The files that a table lies in: one, or in order those of a folder of Parquet files."""
    return sorted(path.glob(f"*{PARQUET_ENDING}")) if path.is_dir() else [path]


def read_table(
    path: Path, columns: Sequence[Column], keys: Sequence[str], faults: Faults, *, others: bool = False
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
        raw = _read_parquet(path) if path.name.endswith(PARQUET_ENDING) else _read_csv(path, faults)
    except ValueError as refusal:
        faults.add((), f"{path.name}: {refusal}")
        return None
    return _checked(path.name, raw, columns, keys, faults, others)


def frame_table(frame: Any, name: str, columns: Sequence[Column], keys: Sequence[str], faults: Faults) -> Table | None:
    """Check a pandas frame as `read_table` checks a file; its first row is row 1."""
    if not hasattr(frame, "columns"):
        faults.add((), f"{name}: expected a pandas frame, got {type(frame).__name__}")
        return None
    repeated = {column for column in frame.columns if list(frame.columns).count(column) > 1}
    if repeated:
        faults.add((), f"{name}: column {shown(str(min(repeated)))} appears twice; keep one")
        return None
    cells = {str(column): frame[column].tolist() for column in frame.columns}
    return _checked(name, _Raw(range(1, len(frame) + 1), cells), columns, keys, faults, others=False)


def _checked(
    name: str, raw: _Raw, columns: Sequence[Column], keys: Sequence[str], faults: Faults, others: bool
) -> Table | None:
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


def csv_text(columns: Mapping[str, Sequence[object]]) -> str:
    """Columns as the text of a CSV file; floats are written so that they are read back exactly."""
    lines: list[str] = []
    # Before Python 3.13 a carriage return in a cell is quoted only where lines end with one.
    line = SimpleNamespace(write=lambda text: lines.append(text.removesuffix("\r\n") + "\n"))
    writer = csv.writer(line, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(map(inert, row) for row in zip(*columns.values(), strict=True))
    return "".join(lines)


def inert(cell: object) -> object:
    """A cell that no spreadsheet computes: an apostrophe keeps a text a text. Read back, it is gone."""
    return f"'{cell}" if isinstance(cell, str) and _COMPUTED.match(cell) else cell


def _as_meant(cells: Sequence[str]) -> Sequence[str]:
    """Cells without the apostrophe of `inert`."""
    return [cell[1:] if cell[:1] == "'" and _COMPUTED.match(cell) else cell for cell in cells]


def parquet_bytes(columns: Mapping[str, Sequence[object]]) -> bytes:
    """Columns as the bytes of a Parquet file."""
    pyarrow, parquet = _pyarrow("writing Parquet")
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table({name: list(cells) for name, cells in columns.items()}), stream)
    return stream.getvalue()


def is_day(text: str) -> bool:
    """Whether a text is an ISO date written in full, such as 2026-07-21."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _pyarrow(what: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        way_out = "pip install 'prillm-or[calibrate]', or use CSV"
        raise UnavailableError(f"{what} needs pyarrow, which is missing; {way_out}") from None
    return pyarrow, parquet


def _read_parquet(path: Path) -> _Raw:
    pyarrow, parquet = _pyarrow(f"{path}: reading Parquet")
    try:
        for part in (parts := files_of(path)):
            check_size(part)
        tables = [_parquet_table(parquet, part) for part in parts]
        if not tables:
            raise ValueError(f"a folder without a file that ends in {PARQUET_ENDING}")
        if sum(table.nbytes for table in tables) > MOST_BYTES:
            raise too_large()
        table = pyarrow.concat_tables(tables).unify_dictionaries()
        names = table.column_names
        if repeated := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"column {shown(min(repeated))} appears twice; keep one")
        return _Raw(range(1, table.num_rows + 1), {name: _cells(pyarrow, table[name]) for name in names})
    except pyarrow.ArrowInvalid as failure:
        raise ValueError(f"not a whole Parquet file: {failure}") from None
    except OSError as failure:
        raise ValueError(f"cannot be read: {failure.strerror or failure}") from None
    except (ArithmeticError, NotImplementedError, KeyError) as failure:  # of Arrow's, and of values Python cannot hold
        raise ValueError(f"cannot be read: {failure}") from None


def _parquet_table(parquet: Any, path: Path) -> Any:
    """One file. Texts stay words and positions in them: written out, a small file could fill all of memory."""
    with parquet.ParquetFile(path) as file:
        found = file.metadata
        columns = [found.schema.column(c) for c in range(found.num_columns)]
        groups = [found.row_group(g) for g in range(found.num_row_groups)]
        packed = sum(group.total_byte_size for group in groups)
        if max(packed, found.num_rows * len(columns) * _CELL_BYTES) > MOST_BYTES:
            raise too_large()
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        return file.read(use_threads=False)


def _cells(pyarrow: Any, column: Any) -> Sequence[object]:
    """Cells of a Parquet file's column; equal ones are one object."""
    kind = column.type
    if column.null_count == 0 and (pyarrow.types.is_floating(kind) or pyarrow.types.is_integer(kind)):
        return cast("Sequence[object]", column.to_numpy())
    if not pyarrow.types.is_dictionary(kind):
        if pyarrow.types.is_nested(kind):
            return cast("list[object]", column.to_pylist())
        column = column.dictionary_encode()
    column = column.combine_chunks()
    words = [*column.dictionary.to_pylist(), None]
    return [words[place] for place in column.indices.fill_null(-1).to_pylist()]


def _read_csv(path: Path, faults: Faults) -> _Raw:
    text = text_of(read_content(path))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        records = list(reader)
    except csv.Error as failure:
        raise ValueError(f"not CSV: line {reader.line_num}: {failure}") from None
    if not any(records):
        raise ValueError("the file is empty")
    header = records[0]
    _refuse_other_separator(path.name, header)
    repeated = {name for name in header if header.count(name) > 1}
    if repeated:
        raise ValueError(f"column {shown(min(repeated))} appears twice; keep one")
    numbered = [(row, record) for row, record in enumerate(records[1:], start=2) if record]
    if len(numbered) > 1 and all(len(record) > len(header) for _, record in numbered):
        more = f"every row has more cells than the header's {len(header)}"
        raise ValueError(f"{more}; does a decimal comma make two of one?")
    whole = [(row, record) for row, record in numbered if len(record) == len(header)]
    odd = (((), place) for place in numbered if len(place[1]) != len(header))
    faults.add_all(
        odd,
        *(path.name, "cells"),
        describe=lambda place: f"{path.name}: row {place[0]}: expected {len(header)} cells, got {len(place[1])}",
    )
    cells = list(zip(*(record for _, record in whole), strict=True)) or [()] * len(header)
    columns = map(_as_meant, cells)
    return _Raw([row for row, _ in whole], dict(zip(header, columns, strict=True)), len(whole) == len(numbered))


def _refuse_other_separator(name: str, header: Sequence[str]) -> None:
    """Cells are not guessed at: a comma in a number may part decimals or thousands."""
    if len(header) > 1:
        return
    for mark, word in _SEPARATORS.items():
        if mark in header[0]:
            asked = f"pandas.read_csv({name!r}, sep={mark!r}, decimal=',').to_csv({name!r}, index=False)"
            raise ValueError(f"its cells are separated by {word}; expected commas, and points in numbers; try {asked}")


def _check_header(name: str, raw: _Raw, columns: Sequence[Column], faults: Faults, others: bool) -> bool:
    known = [column.name for column in columns]
    missing = [column.name for column in columns if not column.optional and column.name not in raw.columns]
    unknown = [] if others else [other for other in raw.columns if other not in known]
    heading = f"its columns are {', '.join(map(shown, raw.columns)) or 'none'}"
    for column in missing:
        faults.add((), f"{name}: column {column} is missing; {heading}")
    for column in unknown:
        faults.add((), f"{name}: unknown column {shown(column)}; expected {', '.join(known)}")
    return not missing


def _check_cells(name: str, raw: _Raw, columns: Sequence[Column], faults: Faults) -> Table:
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
    read = _day if column.kind is Kind.DAY else _text
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
