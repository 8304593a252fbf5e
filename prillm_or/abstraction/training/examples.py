"""Examples: what a network learns from, computed in parallel, kept in chunks on disk so that a kill costs one of them.

An example is a dictionary of arrays. A chunk is one .npz file with, for each key, all its examples' arrays flattened
one after the other, and their shapes; nothing in it is pickled.
"""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prillm_or import __version__
from prillm_or.errors import PrillmError
from prillm_or.output.saving import replace_file
from prillm_or.workers.engine import Engine, Lost, spread

_log = logging.getLogger(__name__)

Example = Mapping[str, NDArray[Any]]
Item = TypeVar("Item")

_CHUNK = 500


def computed(
    compute: Callable[[Item], Example | None], items: Sequence[Item], folder: Path, name: str, engine: Engine
) -> list[Example]:
    """Examples of all items that have one, in the order of the items.

    Parameters
    ----------
    compute
        The example of an item, or None where its market teaches nothing; it must be importable by worker processes.
    items
        What to compute them of: seeds, or tuples of numbers.
    folder, name
        Where chunks are kept, and what they are called; a chunk that is there is read instead of computed.
    engine
        Where they are computed.

    Raises
    ------
    PrillmError
        When one kills its worker each time.
    """
    begins = range(0, len(items), _CHUNK)
    paths = {begin: folder / f"{name}-{begin}-{_key(items[begin : begin + _CHUNK])}.npz" for begin in begins}
    known = {begin: found for begin, path in paths.items() if path.is_file() and (found := unpack(path)) is not None}
    missing = [number for number in range(len(items)) if number // _CHUNK * _CHUNK not in known]
    chunks: dict[int, dict[int, Example | None]] = {begin: {} for begin in begins}
    # All at once, not chunk by chunk: processes are slow to start, and one that is done need not wait for the others.
    for count, (place, example) in enumerate(spread(engine, compute, [items[number] for number in missing]), start=1):
        number = missing[place]
        if isinstance(example, Lost):  # a set with a hole would not be the one that was asked for
            raise PrillmError(f"example {items[number]}: {example.message}")
        begin = number // _CHUNK * _CHUNK
        chunk = chunks[begin]
        chunk[number] = example
        if len(chunk) == min(_CHUNK, len(items) - begin):
            known[begin] = [each for _, each in sorted(chunk.items(), key=lambda item: item[0]) if each is not None]
            replace_file(paths[begin], pack(known[begin]))
            _log.info("examples %s: %d of %d", name, len(items) - len(missing) + count, len(items))
    return [each for begin in begins for each in known[begin]]


def _key(chunk: Sequence[Any]) -> str:
    return f"{zlib.crc32(repr((__version__, list(chunk))).encode()):08x}"


def pack(chunk: Sequence[Example]) -> bytes:
    """Content of the .npz file of a chunk."""
    arrays: dict[str, NDArray[Any]] = {"count": np.array(len(chunk))}
    for key in chunk[0] if chunk else ():
        values = [np.asarray(example[key]) for example in chunk]
        arrays[key] = np.concatenate([value.ravel() for value in values])
        arrays[f"{key}.shape"] = np.array([value.shape for value in values], dtype=np.int64)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def unpack(path: Path) -> list[Example] | None:
    """Examples of a chunk's file, or None where it cannot be read."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            keys = [key for key in arrays.files if f"{key}.shape" in arrays.files]
            split = {key: _split(arrays[key], arrays[f"{key}.shape"]) for key in keys}
            return [{key: split[key][t] for key in keys} for t in range(int(arrays["count"]))]
    except (OSError, EOFError, ValueError, KeyError, BadZipFile, zlib.error) as failure:
        _log.warning("%s: cannot be read (%s); computed anew", path, failure)
        return None


def _split(flat: NDArray[Any], shapes: NDArray[np.int64]) -> list[NDArray[Any]]:
    ends = np.cumsum(shapes.prod(axis=1))
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]


def single(value: ArrayLike) -> NDArray[np.float32]:
    """In single precision, which is what networks read."""
    return np.asarray(value, dtype=np.float32)


def stack(batch: Sequence[Example]) -> dict[str, NDArray[Any]]:
    """One array a key, padded with zeros (False) to the largest shape of the batch."""
    stacked = {}
    for key in batch[0]:
        values = [np.asarray(example[key]) for example in batch]
        padded = np.zeros((len(batch), *np.max([value.shape for value in values], axis=0).astype(int)), values[0].dtype)
        for row, value in enumerate(values):
            within: tuple[int | slice, ...] = (row, *(slice(size) for size in value.shape))
            padded[within] = value
        stacked[key] = padded
    return stacked
