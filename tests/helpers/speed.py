"""Tests that take long and do not say why, listed at the end of a run."""

from __future__ import annotations

import resource
from collections.abc import Generator

import pytest

LIMIT = 2.0
"""Seconds of processor time, which a busy machine changes little, that a test may take without a word."""

_TOOK = "seconds of processor time"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note on the test what it took, with the processes that it started, if that needs a reason and has none."""
    before = _processor_time()
    try:
        return (yield)
    finally:
        seconds = _processor_time() - before
        excused = item.get_closest_marker("slow") or getattr(item, "function", None).__doc__
        if seconds > LIMIT and not excused:
            item.user_properties.append((_TOOK, seconds))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what is noted: a list only, since no clock is worth a failure."""
    took = {
        report.nodeid: seconds
        for report in terminalreporter.getreports("passed")
        for name, seconds in report.user_properties
        if name == _TOOK
    }
    if took:
        terminalreporter.section(f"over {LIMIT:g} {_TOOK}: make it smaller, mark it slow, or say why in its docstring")
    for test, seconds in sorted(took.items(), key=lambda item: -item[1]):
        terminalreporter.line(f"{seconds:6.1f}  {test}")


def _processor_time() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
