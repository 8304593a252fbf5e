"""Changes of a market, read from JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from prillm_or.errors import MarketError
from prillm_or.files.documents import parse_json
from prillm_or.files.reading import read_content
from prillm_or.market.faults import Faults, shown


def read_change(content: bytes) -> dict[str, Any]:
    """Parse a change, one JSON object; what it says is checked when it is applied to a market.

    Raises
    ------
    MarketError
        When the bytes are not JSON, not an object, or an object repeats a key.
    """
    faults = Faults()
    try:
        change = parse_json(content, faults)
    except ValueError as refusal:
        raise MarketError("change", [str(refusal)]) from None
    if not isinstance(change, dict):
        faults.add((), f"expected an object, got {shown(change)}")
    if faults.lines():
        raise MarketError("change", faults.lines())
    return cast("dict[str, Any]", change)


def read_change_file(path: Path) -> dict[str, Any]:
    """Read a change, or a part of one, from a file.

    Raises
    ------
    MarketError
        As of `read_change`, and when the file cannot be read; it names the file.
    """
    try:
        return read_change(read_content(path))
    except MarketError as refusal:
        raise MarketError(str(path), refusal.problems) from None
    except ValueError as refusal:
        raise MarketError(str(path), [str(refusal)]) from None
