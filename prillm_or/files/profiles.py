"""Profiles: TOML files of options, read with nothing but the fields they may have."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prillm_or.errors import CombinationError


def read_profile(path: Path, fields: Mapping[str, type]) -> dict[str, Any]:
    """The file's content, with nothing but the given fields."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CombinationError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CombinationError(f"{path}: not a TOML file: {error}") from None
    for key, value in content.items():
        if key not in fields:
            raise CombinationError(f"{path}: unknown field {key!r}; there are {', '.join(fields)}")
        if not isinstance(value, fields[key]):
            raise CombinationError(f"{path}: {key}: expected a {fields[key].__name__}, got {value!r}")
    return content
