"""Delays of a market file: inline rows, or an .npy file beside it."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prillm_or.files.reading import read_content
from prillm_or.market.faults import Faults, Where, shown
from prillm_or.market.fields import check_fields
from prillm_or.market.market import Array
from prillm_or.market.schema import DelaysFile

_EXPECTED = "expected a finite number >= 0"

Shape = tuple[int | None, int | None]
"""Users and providers; None where the file's own list of them is unusable."""


def check_delays(data: object, shape: Shape, folder: Path, faults: Faults) -> tuple[Array | None, bytes]:
    """Delays, shape (n, m), and the bytes of the .npy file they came from, if any; None where they are refused.

    Parameters
    ----------
    data
        What the market file holds under `delays`.
    folder
        Folder of the market file, which an .npy file may not leave.
    """
    if isinstance(data, list):
        return _inline(data, shape, faults), b""
    if not isinstance(data, dict):
        faults.add(("delays",), f'expected a list of rows or {{"npy": "FILE"}}, got {shown(data)}')
        return None, b""
    beside = check_fields(DelaysFile, data, faults, ("delays",))
    if beside is None:
        return None, b""
    try:
        content = read_content(_inside(folder, beside.npy))
        if beside.sha256 is not None and hashlib.sha256(content).hexdigest() != beside.sha256:
            raise ValueError("is not the file that sha256 tells of; a write may have been cut short; write both anew")
        delays = _array(content, shape)
    except ValueError as refusal:
        faults.add(("delays", "npy"), f"{shown(beside.npy)}: {refusal}")
        return None, b""
    inside = f"(in {shown(beside.npy)})"
    faults.add_all(
        _bad_entries(delays), "delays", "number", describe=lambda value: f"{_EXPECTED}, got {value} {inside}"
    )
    return delays, content


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


def _array(content: bytes, shape: Shape) -> Array:
    """Array in the bytes of an .npy file; nothing is allocated on the word of its header."""
    found, fortran, dtype, start = _header(content)
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise ValueError(f"expected float64 numbers, got {dtype}")
    if len(found) != 2 or any(ours not in (None, theirs) for ours, theirs in zip(shape, found, strict=True)):
        n, m = ("?" if size is None else size for size in shape)
        raise ValueError(f"expected shape ({n}, {m}), users by providers, got {found}")
    promised = math.prod(found) * dtype.itemsize
    if len(content) - start != promised:
        raise ValueError(f"expected {promised} bytes of numbers, got {len(content) - start}; is the file cut short?")
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(found, order="F" if fortran else "C").astype(np.float64)


def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    # What numpy's parser raises on a foreign header is not documented: whatever it is, the file is not ours.
    except Exception:
        raise ValueError("not an .npy file that numpy.save wrote") from None
    return shape, fortran, dtype, stream.tell()
