"""Ctrl-C and SIGTERM: one line and an exit code, whatever the moment, and what was found so far."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from helpers.commands import PROGRAM, read_json, running, wait_for_work, work_of
from prillm_or.files.markets import write_market
from prillm_or.market.synthetic import generate
from prillm_or.solving.run import solve
from prillm_or.workers.ctrl_c import without_ctrl_c

AT_IMPORT = """
import os, signal, sys

class Presser:
    "Presses Ctrl-C when a package begins to load."

    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Presser())
from prillm_or.cli import main
main()
"""

IN_DEL = """
import os, signal, time
from prillm_or.cli.signals import Ears

class Trap:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

ears = Ears()
ears.open()
ears.pass_on()
ears.answer()
try:
    trap = Trap()
    del trap
    time.sleep(60)
except KeyboardInterrupt:
    print("heard", ears.close(130))
"""


def ended(code: str, *arguments: str, folder: Path | None = None) -> tuple[int, str]:
    """Exit code and standard error of Python code."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("package", ["prillm_or.cli.streams", "typer", "numpy", "prillm_or.solvers.path"])
def test_while_packages_are_loaded(package: str, name: str, code: int) -> None:
    ended_with, said = ended(AT_IMPORT.format(name=package, signal=name), "solve", "coding-13")
    assert (ended_with, said[:11], said.count("\n")) == (code, "interrupted", 1)


@pytest.mark.slow
@pytest.mark.parametrize("package", ["torch", "scipy.optimize"])
def test_calibrate_while_packages_are_loaded(package: str, tmp_path: Path, folder: Path) -> None:
    """Torch takes seconds to load."""
    code = AT_IMPORT.format(name=package, signal="SIGINT")
    assert ended(code, "calibrate", str(folder), "--out", "out", folder=tmp_path) == (
        130,
        "interrupted: nothing was found yet\n",
    )
    assert not (tmp_path / "out").exists()


def test_where_python_only_prints_exceptions() -> None:
    done = subprocess.run([sys.executable, "-c", IN_DEL], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("heard 130\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "users"), [("highs", 20), ("gurobi", 20), ("scip", 40)])
def test_sigterm_keeps_the_best_price_as_ctrl_c_does(solver: str, users: int, tmp_path: Path) -> None:
    """Its solver has to have begun, and not to have ended. Those in C hear no handler of Python's."""
    market, file, out = generate(users, 10, "uniform", 1), tmp_path / "long.json", tmp_path / "out.json"
    write_market(market, file)
    options = ("--solver", solver, "--model", "kkt-bigm-naive")
    start_s = work_of(*PROGRAM, "solve", "tiny/kink", *options)
    with running(*PROGRAM, "solve", str(file), *options, "--gap", "0", "--json", str(out)) as process:
        wait_for_work(2 * start_s, process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)  # as `timeout` does: to the process, and to its group
        output, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (143, f"interrupted: the best price so far of {file}, 1 of 1\n")
    assert read_json(out)["profit"] > 0.97 * solve(market).profit
    assert market.leader_ids[0] in output


def test_sigterm_in_the_background_where_ctrl_c_is_ignored() -> None:
    """It waits for changes to come, as soon as its first line is out."""
    line = 'trap "" INT; exec "$@"'
    with subprocess.Popen(
        ["sh", "-c", line, "sh", *PROGRAM, "watch", "tiny/kink"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (143, "interrupted\n")


def test_ctrl_c_waits_in_whichever_thread_it_comes() -> None:
    """Another thread takes it, which was there before and does not block it."""
    heard: list[int] = []
    leave = Event()
    other = Thread(target=leave.wait)
    other.start()
    came, pipe = os.pipe()
    os.set_blocking(pipe, False)
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    signal.set_wakeup_fd(pipe)
    try:
        with without_ctrl_c():
            signal.pthread_kill(other.ident or 0, signal.SIGINT)
            assert os.read(came, 1) == bytes([signal.SIGINT])
            assert heard == []
        assert heard == [signal.SIGINT]
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, before)
        leave.set()
        other.join()


def test_ctrl_c_where_none_came() -> None:
    with without_ctrl_c():
        handler = signal.getsignal(signal.SIGINT)
    assert handler is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
