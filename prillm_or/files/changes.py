"""Changes of a market, read from JSON."""

from __future__ import annotations

from typing import Any, cast

from prillm_or.errors import MarketError
from prillm_or.files.documents import parse_json
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
