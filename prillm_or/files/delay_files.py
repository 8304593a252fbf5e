"""Delays in files: mapped into memory, not read, so that a market whose users are split is nowhere whole."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.files.reading import check_size, read_content
from prillm_or.market.market import Array

_MOST_HEADER = 2**16
_CHUNK = 2**24

Shape = tuple[int | None, int | None]
"""Users and providers; None where the market file's own list of them is unusable."""

Content = bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class DelayFiles:
    """Delays that stay on disk, read a few users at a time. The files are those of every process that has this.

    Parameters
    ----------
    paths
        The files, of the users in order.
    lengths
        Users in each.
    providers
        Their number.
    """

    paths: tuple[Path, ...]
    lengths: tuple[int, ...]
    providers: int

    def __getitem__(self, rows: slice) -> Array:
        """Delays of some users, one after the other, shape (rows, m).

        Raises
        ------
        ValueError
            When a file is not there, or no longer what it was.
        """
        found, first = [], 0
        for path, length in zip(self.paths, self.lengths, strict=True):
            low, high = max(rows.start - first, 0), min(rows.stop - first, length)
            if low < high:  # opened each time: what stays mapped counts as memory of a process
                found.append(stored(opened(path), (length, self.providers))[low:high].astype(np.float64))
            first += length
        return found[0] if len(found) == 1 else np.concatenate(found)

    def sha256(self) -> str:
        """Of the files' bytes, one file after the other."""
        digest = hashlib.sha256()
        self.add_to(digest)
        return digest.hexdigest()

    def add_to(self, digest: Any) -> None:
        """Add their bytes to those that are digested."""
        for path in self.paths:
            if path.name.endswith(".gz"):
                digest.update(opened(path))
                continue
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)


def opened(path: Path) -> Content:
    """Bytes of a file: mapped, or unfolded where its name ends in .gz.

    Raises
    ------
    ValueError
        When it cannot be read; it says why, without the path.
    """
    if path.name.endswith(".gz"):
        return read_content(path)
    try:
        check_size(path)
        return np.memmap(path, mode="r") if path.stat().st_size else b""
    except OSError as failure:
        raise ValueError(f"cannot be read: {failure.strerror or failure}") from None


def stored(content: Content, shape: Shape) -> NDArray[Any]:
    """Numbers in the bytes of an .npy file, where they lie; nothing is allocated on the word of its header."""
    found, fortran, dtype, start = _header(bytes(content[:_MOST_HEADER]))
    if dtype.kind not in "fiu" or dtype.itemsize > 8:
        raise ValueError(f"expected float64 numbers, got {dtype}")
    if len(found) != 2 or any(ours not in (None, theirs) for ours, theirs in zip(shape, found, strict=True)):
        n, m = ("?" if size is None else size for size in shape)
        raise ValueError(f"expected shape ({n}, {m}), users by providers, got {found}")
    promised = math.prod(found) * dtype.itemsize
    if len(content) - start != promised:
        raise ValueError(f"expected {promised} bytes of numbers, got {len(content) - start}; is the file cut short?")
    flat = np.frombuffer(content, dtype, offset=start)
    return flat.reshape(found, order="F" if fortran else "C")


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
