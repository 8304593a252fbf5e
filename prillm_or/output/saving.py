"""Saving: a file or a folder is written whole or not at all."""

from __future__ import annotations

import glob
import json
import math
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from prillm_or.errors import PrillmError, checked_path, checked_text
from prillm_or.output.checking import status, takes_files

_KEPT = 40
"""Letters of a file's name that its temporary name keeps, of at most four bytes each."""
_TOKEN = "[0-9a-f]" * 8
_LEFT_S = 3600.0


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the target under a temporary name, then rename: a reader sees the old file or the new one.

    A file that was there keeps its mode and owner. Where its folder takes no new file it is written in place, as a
    device or a pipe is.
    """
    target = Path(os.path.realpath(path))
    try:
        old = status(path)
        if old is not None and not (stat.S_ISREG(old.st_mode) and takes_files(target.parent)):
            _write(path, content, "wb", flags=~os.O_TRUNC)  # not first emptied, so that a failure loses the least
            return
        _clear_beside(target)
        temporary = _beside(target)
        try:
            _write(temporary, content, "xb", mode=0o666 if old is None else old.st_mode & 0o600)
            if old is not None:
                _pass_on(old, temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as failure:
        raise PrillmError(f"{path}: cannot be written: {failure.strerror}") from None


def _write(path: Path, content: bytes, how: Literal["wb", "xb"], mode: int = 0o666, flags: int = ~0) -> None:
    """Write and, of a file, wait until it is on disk."""
    with open(path, how, opener=lambda name, wanted: os.open(name, wanted & flags, mode)) as stream:
        stream.write(content)
        if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            stream.truncate()
            stream.flush()
            os.fsync(stream.fileno())


def _pass_on(old: os.stat_result, path: Path) -> None:
    """Give a file the owner, where we may, and the mode of the one whose place it is to take."""
    if hasattr(os, "chown"):
        with suppress(PermissionError):
            os.chown(path, old.st_uid, old.st_gid)
    path.chmod(stat.S_IMODE(old.st_mode))


def _beside(target: Path) -> Path:
    """A temporary name in the same folder, no longer than names may be."""
    return target.with_name(f".{target.name[:_KEPT]}.{secrets.token_hex(4)}.tmp")


def _clear_beside(target: Path) -> None:
    """Remove the temporary files that writers of this target left who were killed; who still writes has a newer one."""
    for left in target.parent.glob(f".{glob.escape(target.name[:_KEPT])}.{_TOKEN}.tmp"):
        with suppress(OSError):
            if left.is_file() and time.time() - left.stat().st_mtime > _LEFT_S:
                left.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill under a temporary name; it gets its own when all went well, and is gone when not.

    Raises
    ------
    PrillmError
        When there is a file of that name or a folder with something in it, or the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    temporary = _beside(target)
    try:
        if target.is_dir() and any(target.iterdir()):
            raise PrillmError(f"{path}: there is something in this folder; give one that is new or empty")
        if target.exists() and not target.is_dir():
            raise PrillmError(f"{path}: a file, not a folder; give another name")
        temporary.mkdir()
        try:
            yield temporary
            if target.exists():
                target.rmdir()  # not every system renames onto an empty folder
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as failure:
        raise PrillmError(f"{path}: cannot be written: {failure.strerror or failure}") from None


def write_json(document: Mapping[str, Any] | Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write an object or an array of them, whole or not at all; `-` is standard output.

    Raises
    ------
    PrillmError
        When the file cannot be written.
    """
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if checked_text("path", path) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        replace_file(checked_path("path", path), text.encode())


def writable(value: object) -> Any:
    """A value as JSON can hold it: plain numbers, None for those that are not finite; a dataclass by its fields."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: writable(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple):
        return [writable(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): writable(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
