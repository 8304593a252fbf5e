"""Names of the files that come with the package; a path is a path."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from prillm_or.errors import UnknownNameError

Kind = Literal["instances", "models", "solvers"]

SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "instances": (".json", ".json.gz"),
    "models": (".toml",),
    "solvers": (".toml",),
}
"""What the files of a kind end in, unless the caller asks for others."""


def find(kind: Kind, name: str, suffixes: Sequence[str] | None = None) -> Path:
    """File that a name such as `coding-13`, `tiny/kink` or `highs/stock` stands for.

    What is an existing file, ends in one of the suffixes, or starts like a path (`/`, `./`, `../`, `~`) is a path and
    is returned as it is, whether the file exists or not.

    Raises
    ------
    UnknownNameError
        When no shipped file has the name; it lists the nearest names.
    """
    suffixes = SUFFIXES[kind] if suffixes is None else suffixes
    if is_path(name, suffixes):
        return Path(name).expanduser()
    if (path := file_in(shipped(kind), name, suffixes)) is not None:
        return path
    raise unknown(kind, name, names(kind, suffixes))


def unknown(kind: Kind, name: str, known: Sequence[str]) -> UnknownNameError:
    """The error that a name is none of those known; it lists the nearest."""
    near = get_close_matches(name, known, n=5, cutoff=0.4)
    near += [other for other in known if other.endswith(f"/{name}") and other not in near]
    hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(known) or 'none'}"
    return UnknownNameError(f"{kind}: no file is called {name!r}; {hint}")


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
    """What a profile is called: `highs/mine` of `solvers/highs/mine.toml`, `highs` of its default, else as given."""
    for suffix in SUFFIXES[kind]:
        if given.startswith(f"{kind}/") and given.endswith(suffix):
            return given.removeprefix(f"{kind}/").removesuffix(suffix).removesuffix("/default")
    return given


def is_path(name: str, suffixes: Sequence[str]) -> bool:
    """Whether what is given is a path rather than a name."""
    separators = tuple({os.sep, "/"})
    starts = (*separators, "~", *(f"{dots}{separator}" for dots in (".", "..") for separator in separators))
    return name.startswith(starts) or name.endswith(tuple(suffixes)) or Path(name).is_file()


def shipped(kind: Kind) -> Path:
    """The folder that comes with the package: a wheel carries it inside the package; a checkout has it beside it."""
    package = Path(__file__).parent.parent
    return (package / "shipped" if (package / "shipped").is_dir() else package.parent) / kind
