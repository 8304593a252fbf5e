"""Saving: a file or a folder is written whole or not at all."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from prillm_or.errors import PrillmError, checked_path, checked_text


def replace_file(path: Path, content: bytes) -> None:
    """Write beside the target under a temporary name, then rename: a reader sees the old file or the new one."""
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            # A device or a pipe is written to, never replaced; a folder is refused here.
            target.write_bytes(content)
            return
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as failure:
        raise PrillmError(f"{path}: cannot be written: {failure.strerror}") from None


def checked_output(path: Path, endings: Sequence[str]) -> Path:
    """The path, if it ends in one of `endings` and its folder exists.

    Raises
    ------
    PrillmError
        When it does not.
    """
    if not path.name.endswith(tuple(endings)):
        raise PrillmError(f"{path}: expected a file name that ends in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise PrillmError(f"{path}: the folder {path.parent} does not exist")
    return path


def check_folder(path: Path) -> None:
    """Check that a folder can be made or filled there.

    Raises
    ------
    PrillmError
        When there is a file of that name, or no folder around it.
    """
    if path.exists() and not path.is_dir():
        raise PrillmError(f"{path}: a file, not a folder; give another name")
    if not path.absolute().parent.is_dir():
        raise PrillmError(f"{path}: the folder {path.absolute().parent} does not exist")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill under a temporary name; it gets its own when all went well, and is gone when not.

    Raises
    ------
    PrillmError
        When there is a file of that name or a folder with something in it, or the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
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
    """A value as JSON can hold it: plain numbers, and None for those that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): writable(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
