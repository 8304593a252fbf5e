"""Cells: those of a CSV or Parquet file as it has them, read and written; what they mean is for `tables`."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prillm_or.errors import UnavailableError
from prillm_or.files.reading import MOST_BYTES, check_size, read_content, text_of, too_large
from prillm_or.market.faults import Faults, shown

_PARQUET = ".parquet"
ENDINGS = (".csv", ".csv.gz", _PARQUET)
"""What the name of a table's file ends in; a folder may end in the last."""

_CELL_BYTES = 8
"""What a cell of a Parquet file takes at least, once it is read."""

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_COMPUTED = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True, eq=False)
class Raw:
    """Cells as the file has them: text in a CSV file, values of any type in a Parquet file."""

    rows: Sequence[int]
    columns: Mapping[str, Sequence[object]]
    complete: bool = True


def files_of(path: Path) -> list[Path]:
    """The files that a table lies in: one, or in order those of a folder of Parquet files."""
    return sorted(path.glob(f"*{_PARQUET}")) if path.is_dir() else [path]


def read_cells(path: Path, faults: Faults) -> Raw:
    """Cells of a file, or of a folder of Parquet files; a row with too many or too few is left out, and a fault.

    Raises
    ------
    ValueError
        When it is no such file, cannot be read, or is too large.
    UnavailableError
        When it is Parquet and pyarrow is not installed.
    """
    return _read_parquet(path) if path.name.endswith(_PARQUET) else _read_csv(path, faults)


def _read_csv(path: Path, faults: Faults) -> Raw:
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
    check_once(header)
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
    return Raw([row for row, _ in whole], dict(zip(header, columns, strict=True)), len(whole) == len(numbered))


def check_once(columns: Iterable[object]) -> None:
    """Refuse a column that appears twice.

    Raises
    ------
    ValueError
        When one does.
    """
    if repeated := [name for name, times in Counter(map(str, columns)).items() if times > 1]:
        raise ValueError(f"column {shown(min(repeated))} appears twice; keep one")


def _refuse_other_separator(name: str, header: Sequence[str]) -> None:
    """Cells are not guessed at: a comma in a number may part decimals or thousands."""
    if len(header) > 1:
        return
    for mark, word in _SEPARATORS.items():
        if mark in header[0]:
            asked = f"pandas.read_csv({name!r}, sep={mark!r}, decimal=',').to_csv({name!r}, index=False)"
            raise ValueError(f"its cells are separated by {word}; expected commas, and points in numbers; try {asked}")


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


def _read_parquet(path: Path) -> Raw:
    pyarrow, parquet = _pyarrow(f"{path}: reading Parquet")
    try:
        for part in (parts := files_of(path)):
            check_size(part)
        tables = [_parquet_table(parquet, part) for part in parts]
        if not tables:
            raise ValueError(f"a folder without a file that ends in {_PARQUET}")
        if sum(table.nbytes for table in tables) > MOST_BYTES:
            raise too_large()
        table = pyarrow.concat_tables(tables).unify_dictionaries()
        names = table.column_names
        check_once(names)
        return Raw(range(1, table.num_rows + 1), {name: _cells(pyarrow, table[name]) for name in names})
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


def parquet_bytes(columns: Mapping[str, Sequence[object]]) -> bytes:
    """Columns as the bytes of a Parquet file."""
    pyarrow, parquet = _pyarrow("writing Parquet")
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table({name: list(cells) for name, cells in columns.items()}), stream)
    return stream.getvalue()


def _pyarrow(what: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        way_out = "pip install 'prillm-or[calibrate]', or use CSV"
        raise UnavailableError(f"{what} needs pyarrow, which is missing; {way_out}") from None
    return pyarrow, parquet
