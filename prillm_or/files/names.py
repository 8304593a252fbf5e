"""Names of the files that come with the package; a path is a path."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from prillm_or.errors import UnknownNameError, unknown_name

Kind = Literal["instances", "models", "solvers"]

SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "instances": (".json", ".json.gz"),
    "models": (".toml",),
    "solvers": (".toml",),
}
"""What the files of a kind end in, unless the caller asks for others."""

_ONE: dict[Kind, str] = {"instances": "instance", "models": "model", "solvers": "solver"}


def find(kind: Kind, name: str, suffixes: Sequence[str] | None = None, also: Iterable[str] = ()) -> Path:
    """File that a name such as `coding-13`, `tiny/kink` or `highs/stock` stands for.

    What ends in one of the suffixes or starts like a path (`/`, `./`, `../`, `~`) is a path and is returned as it is,
    whether the file exists or not. All else is a name first; where there is none of that name, it may be a file.

    Raises
    ------
    UnknownNameError
        When there is neither; it lists the nearest names, those of `also` among them, which need no file.
    """
    suffixes = SUFFIXES[kind] if suffixes is None else suffixes
    if is_path(name, suffixes):
        return Path(name).expanduser()
    if (path := file_in(shipped(kind), name, suffixes)) is not None:
        return path
    if Path(name).is_file():
        return Path(name)
    raise unknown(kind, name, also, names(kind, suffixes))


def unknown(kind: Kind, name: str, also: Iterable[str], files: Iterable[str]) -> UnknownNameError:
    """The error that a name is neither one of `also` nor that of one of the files; it lists the nearest."""
    return unknown_name(_ONE[kind], name, list(dict.fromkeys((*also, *files))))


def file_in(folder: Path, name: str, suffixes: Sequence[str]) -> Path | None:
    """The file of a folder that a name stands for, or None."""
    paths = (folder / f"{name}{suffix}" for suffix in suffixes)
    return next((path for path in paths if path.is_file()), None)


def names_in(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Sorted names of a folder's files, those of subfolders written `folder/name`."""
    found = set()
    for path in folder.rglob("*"):
        suffix = next((ending for ending in suffixes if path.name.endswith(ending)), None)
        if suffix and path.is_file():
            found.add(path.relative_to(folder).as_posix().removesuffix(suffix))
    return sorted(found)


def names(kind: Kind, suffixes: Sequence[str] | None = None) -> list[str]:
    """Sorted names that `find` knows."""
    return names_in(shipped(kind), SUFFIXES[kind] if suffixes is None else suffixes)


def is_shipped(path: Path) -> bool:
    """Whether a file is one that comes with the package."""
    return any(path.resolve().is_relative_to(shipped(kind).resolve()) for kind in SUFFIXES)


def name_of(kind: Kind, given: str) -> str:
    """What to call a profile: `highs/mine` for `solvers/highs/mine.toml`, `highs` for its default, else as given."""
    for suffix in SUFFIXES[kind]:
        if given.startswith(f"{kind}/") and given.endswith(suffix):
            return given.removeprefix(f"{kind}/").removesuffix(suffix).removesuffix("/default")
    return given


def is_path(name: str, suffixes: Sequence[str]) -> bool:
    """Whether what is given can be nothing but a path."""
    separators = tuple({os.sep, "/"})
    starts = (*separators, "~", *(f"{dots}{separator}" for dots in (".", "..") for separator in separators))
    return name.startswith(starts) or name.endswith(tuple(suffixes))


def shipped(kind: Kind) -> Path:
    """The folder that comes with the package: a wheel carries it inside the package; a checkout has it beside it."""
    package = Path(__file__).parent.parent
    return (package / "shipped" if (package / "shipped").is_dir() else package.parent) / kind
