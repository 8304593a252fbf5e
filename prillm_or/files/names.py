"""Names of files: those of the working directory first, then those shipped with the package."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
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


def find(kind: Kind, name: str, suffixes: Sequence[str] | None = None, also: Iterable[str] = ()) -> Path:
    """File that a name such as `coding-13`, `tiny/kink` or `highs/stock` stands for.

    What is an existing file, ends in one of the suffixes, or starts like a path (`/`, `./`, `../`, `~`) is a path and
    is returned as it is, whether the file exists or not. A folder of the kind in the working directory comes before
    the shipped one.

    Raises
    ------
    UnknownNameError
        When no folder has the name; it lists the nearest names, those of `also` among them, which need no file.
    """
    if (path := look_up(kind, name, suffixes)) is not None:
        return path
    known = sorted({*names(kind, suffixes), *also})
    near = get_close_matches(name, known, n=5, cutoff=0.4)
    near += [other for other in known if other.endswith(f"/{name}") and other not in near]
    hint = f"did you mean {', '.join(near)}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise UnknownNameError(f"{kind}: no file is called {name!r}; {hint}")


def look_up(kind: Kind, name: str, suffixes: Sequence[str] | None = None) -> Path | None:
    """File as by `find`, or None where no folder has the name."""
    suffixes = SUFFIXES[kind] if suffixes is None else suffixes
    if _is_path(name, suffixes):
        return Path(name).expanduser()
    paths = (folder / f"{name}{suffix}" for folder in _folders(kind) for suffix in suffixes)
    return next((path for path in paths if path.is_file()), None)


def names(kind: Kind, suffixes: Sequence[str] | None = None) -> list[str]:
    """Sorted names that `find` knows, those of subfolders written `folder/name`."""
    endings = SUFFIXES[kind] if suffixes is None else tuple(suffixes)
    found = set()
    for folder in _folders(kind):
        for path in folder.rglob("*"):
            suffix = next((ending for ending in endings if path.name.endswith(ending)), None)
            if suffix and path.is_file():
                found.add(path.relative_to(folder).as_posix().removesuffix(suffix))
    return sorted(found)


def is_shipped(path: Path) -> bool:
    """Whether a file is one that comes with the package."""
    return any(path.resolve().is_relative_to((_root() / kind).resolve()) for kind in SUFFIXES)


def _is_path(name: str, suffixes: Sequence[str]) -> bool:
    separators = tuple({os.sep, "/"})
    starts = (*separators, "~", *(f"{dots}{separator}" for dots in (".", "..") for separator in separators))
    return name.startswith(starts) or name.endswith(tuple(suffixes)) or Path(name).is_file()


def _folders(kind: Kind) -> list[Path]:
    """Folders to look in: the working directory's, then the shipped one."""
    return [folder for folder in (Path.cwd() / kind, _root() / kind) if folder.is_dir()]


def _root() -> Path:
    """Where the shipped folders are: a wheel carries them inside the package; a checkout has them beside it."""
    package = Path(__file__).parent.parent
    return package / "shipped" if (package / "shipped").is_dir() else package.parent
