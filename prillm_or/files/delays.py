"""Delays of a market file: inline rows, an .npy file beside it, or a folder of such files, one after the other."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import cast

import numpy as np
from numpy.typing import NDArray

from prillm_or.files.delay_files import DelayFiles, Shape, opened, stored
from prillm_or.market.faults import Faults, Where, shown
from prillm_or.market.fields import check_fields
from prillm_or.market.market import Array
from prillm_or.market.schema import DelaysFile

_EXPECTED = "expected a finite number >= 0"


def check_delays(data: object, shape: Shape, folder: Path, faults: Faults) -> tuple[Array | None, DelayFiles | None]:
    """Delays, shape (n, m), and the files they came from, if any; None where they are refused.

    Parameters
    ----------
    data
        What the market file holds under `delays`.
    folder
        Folder of the market file, which .npy files may not leave.
    """
    delays = find_delays(data, shape, folder, faults)
    if not isinstance(delays, DelayFiles):
        return delays, None
    numbers = delays[0 : sum(delays.lengths)]
    inside = f"(in {shown(data['npy'])})" if isinstance(data, dict) else ""
    faults.add_all(
        _bad_entries(numbers), "delays", "number", describe=lambda value: f"{_EXPECTED}, got {value} {inside}"
    )
    return numbers, delays


def find_delays(data: object, shape: Shape, folder: Path, faults: Faults) -> Array | DelayFiles | None:
    """Delays that the market file holds itself, or the files they are in, whose numbers are not looked at."""
    if isinstance(data, list):
        return _inline(data, shape, faults)
    if not isinstance(data, dict):
        faults.add(("delays",), f'expected a list of rows or {{"npy": "FILE"}}, got {shown(data)}')
        return None
    beside = check_fields(DelaysFile, data, faults, ("delays",))
    if beside is None:
        return None
    try:
        files = _files(folder, beside.npy, shape)
        if beside.sha256 is not None and files.sha256() != beside.sha256:
            raise ValueError("is not the file that sha256 tells of; a write may have been cut short; write both anew")
    except ValueError as refusal:
        faults.add(("delays", "npy"), f"{shown(beside.npy)}: {refusal}")
        return None
    return files


def _files(folder: Path, name: str, shape: Shape) -> DelayFiles:
    """The file of a name, or those of a folder in the order of their names, whose rows come to those of the market."""
    path = _inside(folder, name)
    if not path.is_dir():
        found = stored(opened(path), shape)
        return DelayFiles((path,), (len(found),), found.shape[1])
    names = sorted(part.name for part in path.glob("*.npy"))
    if not names:
        raise ValueError("a folder that holds no .npy file")
    paths = tuple(_inside(folder, os.path.join(name, part)) for part in names)
    lengths = []
    for part, where in zip(names, paths, strict=True):
        try:
            lengths.append(len(stored(opened(where), (None, shape[1]))))
        except ValueError as refusal:
            raise ValueError(f"{part}: {refusal}") from None
    if shape[0] not in (None, sum(lengths)):
        raise ValueError(f"expected {shape[0]} rows in all its files, one for each user, got {sum(lengths)}")
    return DelayFiles(paths, tuple(lengths), stored(opened(paths[0]), (None, None)).shape[1])


def _inline(rows: list[object], shape: Shape, faults: Faults) -> Array | None:
    n, m = shape
    if n is not None and len(rows) != n:
        faults.add(("delays",), f"expected {n} rows, one for each user, got {len(rows)}")
    odd = list(_odd_rows(rows, m))
    faults.add_all(odd, "delays", "row")
    lists = {i: row for i, row in enumerate(rows) if isinstance(row, list)}
    delays = None if odd else _quickly(list(lists.values()))
    if delays is None:
        faults.add_all(
            _bad_numbers(lists), "delays", "number", describe=lambda value: f"{_EXPECTED}, got {shown(value)}"
        )
    return delays


def _odd_rows(rows: list[object], m: int | None) -> Iterator[tuple[Where, str]]:
    for i, row in enumerate(rows):
        if not isinstance(row, list):
            yield ("delays", i), f"expected a list, got {shown(row)}"
        elif m is not None and len(row) != m:
            yield ("delays", i), f"expected {m} numbers, one for each provider, got {len(row)}"


def _quickly(rows: Sequence[list[object]]) -> Array | None:
    """Rows as an array, or None where an entry is not a delay: at the speed of numpy, which names no culprit."""
    if not all(set(map(type, row)) <= {int, float} for row in rows):
        return None
    try:
        delays = np.array(rows, dtype=np.float64)
    except (OverflowError, ValueError):
        return None
    return delays if _allowed(delays).all() else None


def _allowed(delays: Array) -> NDArray[np.bool_]:
    return np.isfinite(delays) & (delays >= 0)


def _bad_numbers(rows: Mapping[int, list[object]]) -> Iterator[tuple[Where, object]]:
    for i, row in rows.items():
        for j, value in enumerate(row):
            if not _is_delay(value):
                yield ("delays", i, j), value


def _is_delay(value: object) -> bool:
    if type(value) not in (int, float):
        return False
    try:
        return 0 <= float(cast("float", value)) < math.inf
    except OverflowError:
        return False


def _bad_entries(delays: Array) -> Iterator[tuple[Where, float]]:
    for i, j in np.argwhere(~_allowed(delays)).tolist():
        yield ("delays", i, j), delays[i, j]


def _inside(folder: Path, name: str) -> Path:
    """Path of the .npy file, symbolic links followed; ValueError where it lies outside `folder`."""
    if "\0" in name:
        raise ValueError("a path holds no null character")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise ValueError("expected a relative path, inside the folder of the market file")
    home = os.path.realpath(folder)
    path = Path(os.path.realpath(os.path.join(home, name)))
    if not path.is_relative_to(home):
        raise ValueError("leaves the folder of the market file; put the .npy beside it")
    return path
