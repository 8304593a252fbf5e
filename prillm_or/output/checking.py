"""Checking: what cannot be written, or would destroy what is needed, is refused before there is any work."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from prillm_or.errors import PrillmError

_BEGIN = 4096
"""Bytes within which a mark is looked for."""


def check_outputs(*outputs: str | Path | None, inputs: Iterable[Path] = ()) -> None:
    """Check, before there is any work, that files can be written and that none of them takes the place of another.

    Parameters
    ----------
    outputs
        Files that are to be written; None and `-`, standard output, always can.
    inputs
        What is read: files, and folders with the files in them; names of no file stand for none.

    Raises
    ------
    PrillmError
        When a file cannot be written, is an input too, or is given twice; with a line for each.
    """
    taken: dict[object, str] = {}
    for path in inputs:
        taken |= {_identity(array): "may hold the delays of a market that is read" for array in _arrays_beside(path)}
        taken |= {found: "is read, too" for found in _identities(path)}
    faults = []
    for path in (Path(output) for output in outputs if output is not None and str(output) != "-"):
        obstacle = _obstacle(path)
        here = _identity(path)
        if obstacle:
            faults.append(f"{path}: {obstacle}")
        elif here in taken:
            faults.append(f"{path}: {taken[here]}; what is written gets a name of its own")
        if here is not None:
            taken[here] = "is to be written twice"
    if faults:
        raise PrillmError("\n".join(faults))


def check_ours(marks: Mapping[Path, str]) -> None:
    """Check that files whose names the user did not give take the place of none but ours.

    Parameters
    ----------
    marks
        The files, and what each of ours holds near its beginning.

    Raises
    ------
    PrillmError
        When there is one that is not ours; with a line for each.
    """
    faults = [
        f"{path}: is not ours, and would be overwritten; move it away or write elsewhere"
        for path, mark in marks.items()
        if path.is_file() and not _holds(path, mark.encode())
    ]
    if faults:
        raise PrillmError("\n".join(faults))


def _holds(path: Path, mark: bytes) -> bool:
    """Whether a file has the mark, or nothing that could be lost."""
    try:
        with path.open("rb") as stream:
            begin = stream.read(_BEGIN)
    except OSError:  # it cannot be known to be ours
        return False
    return not begin or mark in begin


def checked_output(path: Path, endings: Sequence[str]) -> Path:
    """The path, if it ends in one of `endings` and can be written.

    Raises
    ------
    PrillmError
        When it does not.
    """
    if not path.name.endswith(tuple(endings)):
        raise PrillmError(f"{path}: expected a file name that ends in {' or '.join(endings)}")
    check_outputs(path)
    return path


def check_folder(path: Path, *, parents: bool = False) -> None:
    """Check that a folder can be made or filled there; with `parents`, those around it are made, too.

    Raises
    ------
    PrillmError
        When there is a file of that name, no folder around it, or one that cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise PrillmError(f"{path}: a file, not a folder; give another name")
    around = [path.absolute(), *path.absolute().parents]
    place = next(folder for folder in around if folder.exists()) if parents else around[not path.exists()]
    if not place.is_dir():
        raise PrillmError(f"{path}: the folder {place} does not exist")
    if not takes_files(place):
        raise PrillmError(f"{path}: the folder {place} cannot be written")


def status(path: Path) -> os.stat_result | None:
    """What there is at a path, links followed; None where there is nothing."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None


def takes_files(folder: Path) -> bool:
    """Whether files can be made in a folder."""
    return os.access(folder, os.W_OK | os.X_OK)


def _obstacle(path: Path) -> str:
    """Why a file cannot be written there; nothing where it can."""
    try:
        old = status(path)
    except OSError as failure:
        return f"cannot be written: {failure.strerror}"
    if old is None:
        folder = path.parent if not path.is_symlink() else Path(os.path.realpath(path)).parent
        if not folder.is_dir():
            return f"the folder {folder} does not exist"
        return "" if takes_files(folder) else f"the folder {folder} cannot be written"
    if stat.S_ISDIR(old.st_mode):
        return "a folder, not a file"
    return "" if os.access(path, os.W_OK) else "is write-protected"


def _identity(path: Path) -> object:
    """The same for two names of one file; None for a device or a pipe, which many may write to."""
    with suppress(OSError):
        if (old := status(path)) is not None:
            return (old.st_dev, old.st_ino) if stat.S_ISREG(old.st_mode) else None
    return os.path.realpath(path)


def _arrays_beside(path: Path) -> Iterator[Path]:
    """Files beside one that is read that a market file may tell of: which one it does, only reading it would show."""
    return path.parent.glob("*.npy") if path.is_file() else iter(())


def _identities(path: Path) -> Iterator[object]:
    """Of a file that is there, or of those in a folder."""
    if path.is_dir():
        yield from map(_identity, path.iterdir())
    elif path.is_file():
        yield _identity(path)
