"""Profiles: TOML files of options, read with nothing but the fields they may have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prillm_or.errors import CombinationError
from prillm_or.files.documents import parse_toml
from prillm_or.files.reading import read_content
from prillm_or.market.checks import meant
from prillm_or.market.faults import field_path, shown

_WORDS: Mapping[type, str] = {str: "a text", dict: "a table"}
_SCALAR = "a number, a text, true or false"
_LARGEST = 2**63 - 1


def read_profile(path: Path, fields: Mapping[str, type]) -> dict[str, Any]:
    """The file's content, with nothing but the given fields; in a table, nothing but single values.

    Raises
    ------
    CombinationError
        When the file cannot be read or breaks a rule; it lists every fault.
    """
    content = _parsed(path)
    problems = []
    for key, value in content.items():
        if key not in fields:
            problems.append(f"unknown field {shown(key)}{meant(key, list(fields))}; there are {', '.join(fields)}")
        elif not isinstance(value, fields[key]):
            problems.append(f"{key}: expected {_WORDS[fields[key]]}, got {shown(value)}")
        elif isinstance(value, dict):
            problems += [
                f"{field_path((key, option))}: expected {_SCALAR}, got {shown(setting)}"
                for option, setting in value.items()
                if not _is_scalar(setting)
            ]
    if problems:
        raise CombinationError("\n".join(f"{path}: {problem}" for problem in problems))
    return content


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_content(path))
    except ValueError as refusal:
        raise CombinationError(f"{path}: {refusal}") from None


def _is_scalar(value: object) -> bool:
    if isinstance(value, int):  # of which true and false are two
        return -_LARGEST <= value <= _LARGEST
    return isinstance(value, (float, str))
