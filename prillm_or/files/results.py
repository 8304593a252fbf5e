"""Results and other answers as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from prillm_or.files.atomic import replace_file
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


def write_json(document: Mapping[str, Any] | Sequence[Mapping[str, Any]], path: str | os.PathLike[str]) -> None:
    """Write an object or an array of them, whole or not at all; `-` is standard output.

    Raises
    ------
    PrillmError
        When the file cannot be written.
    """
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if os.fspath(path) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        replace_file(Path(path), text.encode())


def _writable(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _writable(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
