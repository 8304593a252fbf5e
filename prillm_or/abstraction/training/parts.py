"""Parts: the folder where a training run keeps what it goes on from, marked as ours and held by one run at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from prillm_or.errors import PrillmError

_MARK = "made-by-prillm-or-train"
_OURS = {".npz", ".safetensors", ".tmp"}


def parts_of(out: Path) -> Path:
    """Where a run that is to write `out` keeps what it goes on from."""
    return out.with_name(f"{out.name}.parts")


@contextmanager
def held_parts(out: Path) -> Iterator[Path]:
    """The folder, made where it is missing; of two runs with one output the second is refused.

    When all went well our files in it are removed, and with the last one the folder. Whatever ends the process lets
    the folder go.

    Raises
    ------
    PrillmError
        When the folder cannot be used, was not made by a training run, or another one holds it.
    """
    parts = parts_of(out)
    try:
        _claim(parts)
        hold = os.open(parts / _MARK, os.O_RDWR | os.O_CREAT)
    except OSError as failure:
        raise PrillmError(f"{parts}: cannot be used: {failure.strerror or failure}") from None
    try:
        _lock(hold, parts)
        yield parts
        for path in parts.iterdir():
            if path.suffix in _OURS or path.name == _MARK:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # something is in it that is not ours
            parts.rmdir()
    finally:
        os.close(hold)


def _claim(parts: Path) -> None:
    """Make the folder, or find that it is one of ours."""
    if parts.is_symlink():
        raise PrillmError(f"{parts}: a symbolic link; remove it, or write elsewhere")
    parts.mkdir(exist_ok=True)
    found = os.listdir(parts)
    if found and _MARK not in found:
        raise PrillmError(f"{parts}: holds something that no training run put there; move it away, or write elsewhere")


def _lock(hold: int, parts: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PrillmError(f"{parts}: another training run is at work there; wait for it, or write elsewhere") from None
