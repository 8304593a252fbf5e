"""The command line in a process of its own, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

PROGRAM = (sys.executable, "-c", "from prillm_or.cli import main; main()")


def in_process(*arguments: str, folder: Path | None = None, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder if one is given."""
    command = [*PROGRAM, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False)


@contextmanager
def running(*command: str, alone: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone in the end; `alone`: in a group of its own, as a shell gives it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=alone) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            process.communicate()


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Press Ctrl-C: what the program prints on both streams until it ends as one that was interrupted."""
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    return output, error


def imported_by(code: str, *names: str, folder: Path | None = None) -> list[str]:
    """Those of the modules that a fresh interpreter has imported once it has run the code."""
    asked = f"{code}\nimport json, sys; print(json.dumps([name for name in {names!r} if name in sys.modules]))"
    command = [sys.executable, "-c", asked]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=True)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def read_json(path: Path) -> Any:
    """What a file of JSON holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def wait_until(sign: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until the sign is seen, while the process runs; a machine may be busy, so that no time would do."""
    until = time.monotonic() + 200
    while not sign():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "the sign has not come"
        time.sleep(0.01)


def wait_for_lines(path: Path, lines: int, process: subprocess.Popen[str]) -> None:
    """Until the process has written so many lines to the file."""
    wait_until(lambda: path.exists() and path.read_bytes().count(b"\n") >= lines, process)


def wait_for_work(seconds: float, process: subprocess.Popen[str]) -> None:
    """Until the process has used so much processor time."""
    wait_until(lambda: worked(process.pid) >= seconds, process)


def work_of(*command: str) -> float:
    """Processor time that a command takes until it ends, in seconds: what another one needs at least to start, here."""
    with running(*command) as process:
        used = 0.0
        while process.poll() is None:
            used = max(used, worked(process.pid))
            time.sleep(0.01)
        assert process.returncode == 0, process.communicate()
    return used


def worked(pid: int) -> float:
    """Processor time that a process has used, in seconds; 0 of one that is gone."""
    with suppress(psutil.Error):
        used = psutil.Process(pid).cpu_times()
        return float(used.user + used.system)
    return 0.0


def untimed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a comparison without what differs from run to run."""
    return [{key: value for key, value in row.items() if key not in ("time_s", "time_share")} for row in rows]
