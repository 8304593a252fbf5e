"""The whole command, process start included, against importing Pyomo alone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import medians
from benchmarks.report import Table, Target, target_table

_COMMAND = Path(sys.executable).parent / "prillm-or"


@dataclass(frozen=True)
class Row:
    """Median of whole processes."""

    process: str
    seconds: float
    over_import: float


@dataclass(frozen=True)
class Skipped:
    """Why there is no figure."""

    process: str
    reason: str


def measure(quick: bool) -> Iterator[Table]:
    """Both processes in turn, then the target."""
    solve, imports = "prillm-or solve coding-13", 'python -c "import pyomo.environ"'
    command = [str(_COMMAND), "solve", "coding-13"]
    if reason := _unable(command):
        yield Table("startup", [Skipped(solve, reason)])
        return
    commands = {solve: command, imports: [sys.executable, "-c", "import pyomo.environ"]}
    times = medians(
        {name: _runner(line) for name, line in commands.items()}, rounds=7 if quick else 15, clock=time.perf_counter
    )
    yield Table("startup", [Row(name, seconds, seconds / times[imports]) for name, seconds in times.items()])
    ratio = times[solve] / times[imports]
    yield target_table([Target("whole solve / import of pyomo.environ", ratio, 1.2, at_least=False)])


def _unable(command: list[str]) -> str:
    """Why the command cannot be timed, or nothing."""
    if not _COMMAND.exists():
        return "the command is not installed beside this Python"
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 else f"it ended with code {ended.returncode}: {ended.stderr.strip()[-200:]}"


def _runner(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, capture_output=True, check=True)
