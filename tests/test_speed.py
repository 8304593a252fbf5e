"""The list of tests that take long and do not say why."""

from __future__ import annotations

import pytest

TESTS = """
import subprocess, sys
import pytest
def burn():
    sum(range(3 * 10**6))
def test_alone():
    burn()
def test_in_a_process():
    subprocess.run([sys.executable, "-c", "sum(range(3 * 10**6))"], check=True)
def test_with_a_reason():
    '''Smaller numbers do not show it.'''
    burn()
@pytest.mark.slow
def test_marked():
    burn()
def test_quick():
    pass
"""


def test_what_takes_long_without_a_reason_is_listed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(TESTS)
    pytester.makeini("[pytest]\nmarkers = slow")
    with monkeypatch.context() as here:
        here.setattr("helpers.speed.LIMIT", 0.02)
        shown = pytester.runpytest_inprocess("-p", "helpers.speed", "-p", "no:xdist").outlines
    start = next(number for number, line in enumerate(shown) if "0.02 seconds of processor time" in line)
    listed = {line.split("::")[1] for line in shown[start:] if "::" in line}
    assert listed == {"test_alone", "test_in_a_process"}
