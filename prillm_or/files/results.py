"""Results and other answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prillm_or.result import Certificate, Method, Result, Status, Times, Today


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
