"""Results and other answers as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prillm_or.result import Certificate, Method, Result, Status, Times, Today

RESULT_FORMAT = "prillm-or/result@1"


def result_to_json(result: Result) -> dict[str, Any]:
    """Give a result the fields of the file format, in its order; numbers that JSON cannot write become null."""
    fields = dataclasses.asdict(result)
    del fields["notes"], fields["interrupted"]  # for people, not part of the format
    document: dict[str, Any] = _writable({"format": RESULT_FORMAT, **fields})
    return document


def result_from_json(document: Mapping[str, Any]) -> Result:
    """The result that a document of the file format holds, without what the format leaves out.

    Raises
    ------
    KeyError, TypeError, ValueError
        When it is no such document.
    """
    fields = {key: value for key, value in document.items() if key != "format"}
    today = fields["today"]
    return Result(
        **fields
        | {
            "today": None if today is None else Today(**today),
            "method": Method(**fields["method"]),
            "status": Status(fields["status"]),
            "certificate": Certificate(**fields["certificate"]),
            "time_s": Times(**fields["time_s"]),
        }
    )


def _writable(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _writable(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
