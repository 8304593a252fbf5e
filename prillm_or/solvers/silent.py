"""HiGHS without a word on standard output, which may have to hold nothing but JSON."""

from __future__ import annotations

from typing import Any

import highspy


def silent_highs() -> Any:
    """A new solver.

    HiGHS prints a banner when its constructor sets the first callback, before its output can be switched off from
    outside.
    """
    return _Silent()


def _enable_callbacks(solver: Any) -> None:
    solver.silent()
    highspy.Highs.enableCallbacks(solver)


_Silent = type("SilentHighs", (highspy.Highs,), {"enableCallbacks": _enable_callbacks})
