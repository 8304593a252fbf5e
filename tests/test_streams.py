"""Files first, then print: what is printed may be read by nobody, fit nowhere or lack letters, files are written."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from pathlib import Path

import pytest

from helpers.commands import PROGRAM, in_process, read_json
from helpers.markets import make_market, shipped
from prillm_or.cli import run
from prillm_or.files.markets import write_market


def in_shell(line: str, *arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command that a shell's line calls "$@"."""
    command, known = ["sh", "-c", line, "sh", *PROGRAM, *arguments], {**os.environ, **environment}
    return subprocess.run(
        command, cwd=folder, env=known, capture_output=True, encoding="utf-8", errors="replace", timeout=120
    )


@pytest.fixture
def draws(tmp_path: Path) -> Path:
    """A folder of two markets."""
    folder = tmp_path / "draws"
    folder.mkdir()
    for name in ("a", "b"):
        write_market(shipped("tiny/kink"), folder / f"{name}.json")
    return folder


@pytest.mark.parametrize("command", ["solve", "equilibrium", "curve", "explain", "compete", "robust", "compare"])
def test_files_are_written_though_nobody_reads(command: str, tmp_path: Path, draws: Path) -> None:
    """A real pipe: that its end is gone shows only there."""
    more = {
        "equilibrium": ("--plot", "p.svg"),
        "robust": ("--draws", str(draws)),
        "compare": ("--method", "path", "--repeat", "1", "--report", "out"),
    }
    read, write = os.pipe()
    os.close(read)
    arguments = [*PROGRAM, command, "tiny/kink", "--json", "r.json", *more.get(command, ())]
    done = subprocess.run(
        arguments, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_json(tmp_path / "r.json")
    if command == "compare":
        assert (tmp_path / "out" / "report.html").exists()
    assert (tmp_path / "p.svg").exists() == (command == "equilibrium")


def test_a_pipe_that_breaks_does_not_hide_that_a_gap_stayed_open(tmp_path: Path) -> None:
    limited = ("--solver", "bisect", "--gap", "1e-12", "--time-limit", "0")
    done = in_shell('{ "$@"; echo $? > code; } | true', "solve", "coding-13", *limited, folder=tmp_path)
    assert (done.stderr, (tmp_path / "code").read_text()) == ("", "1\n")


def test_help_that_nobody_reads_ends_with_0(tmp_path: Path) -> None:
    done = in_shell('{ "$@"; echo $? > code; } | true', "solve", "--help", folder=tmp_path)
    assert (done.stderr, (tmp_path / "code").read_text()) == ("", "0\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_what_cannot_be_printed_is_said_once_and_files_are_written(tmp_path: Path) -> None:
    done = in_shell('"$@" > /dev/full', "solve", "tiny/kink", "--json", "r.json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "standard output: cannot be written: No space left on device\n")
    assert read_json(tmp_path / "r.json")["profit"] == pytest.approx(7.5)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_what_cannot_be_written_is_printed_all_the_same(tmp_path: Path) -> None:
    done = in_process("equilibrium", "tiny/kink", "--json", "/dev/full", folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, "/dev/full: cannot be written: No space left on device\n")
    assert "profit" in done.stdout


@pytest.mark.slow
def test_a_comparison_that_a_full_disk_ends_shows_what_was_done(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    many = ("--method", "path", "--repeat", "20", "--report", "out")
    done = in_shell('ulimit -f 8; "$@"', "compare", "tiny/kink", *many, folder=tmp_path)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "kink: path proves the optimum, 7.5" in done.stdout
    kept = (tmp_path / "out" / "runs.jsonl").read_bytes().count(b"\n")
    assert 1 <= kept < 20
    again = in_process("compare", "tiny/kink", *many, "--resume", "--json", "r.json", folder=tmp_path)
    assert (again.returncode, len(read_json(tmp_path / "r.json")["rows"])) == (0, 20)


@pytest.mark.skipif(os.name != "posix", reason="this system has no such terminals")
@pytest.mark.parametrize(
    "arguments", [("solve", "tiny/kink"), ("explain", "tiny/kink"), ("compare", "tiny/kink", "--method", "path")]
)
def test_a_terminal_of_20_columns(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What it shows once there is nothing more to say on standard error."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "20"},
    ) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: _read(ours), b"")).decode()
        error = process.stderr.read() if process.stderr else b""
    os.close(ours)
    assert (process.returncode, error) == (0, b"")
    assert "7.5" in shown or "price" in shown
    assert max(map(len, shown.splitlines())) <= 20


def _read(terminal: int) -> bytes:
    """What comes next; nothing once the other end is closed, which Linux calls a fault."""
    try:
        return os.read(terminal, 4096)
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        (">&-", 2, "standard output: cannot be written: Bad file descriptor\n"),
        ("2>&-", 0, ""),
        ("<&-", 0, ""),
        ("<&- 2>&-", 0, ""),
    ],
)
def test_closed_streams(closed: str, code: int, said: str, tmp_path: Path) -> None:
    """No file that is opened takes the place of one that is closed: what is printed would end up in it."""
    done = in_shell(f'"$@" {closed}', "solve", "tiny/kink", "--verbose", "--json", "r.json", folder=tmp_path)
    if "2>" not in closed:
        assert done.stderr.endswith(said)
    assert done.returncode == code
    assert read_json(tmp_path / "r.json")["profit"] == pytest.approx(7.5)


def test_a_closed_input_is_one_that_has_ended(tmp_path: Path) -> None:
    done = in_shell('"$@" <&-', "watch", "tiny/kink", folder=tmp_path)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)


@pytest.mark.parametrize(("stream", "code"), [("2>&-", 2), ("2>/dev/full", 2)])
def test_a_fault_that_cannot_be_said_shows_in_the_exit_code(stream: str, code: int, tmp_path: Path) -> None:
    done = in_shell(f'"$@" {stream}', "solve", "nowhere.json", folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_letters_that_an_encoding_lacks_are_replaced(encoding: str, tmp_path: Path) -> None:
    market = make_market()
    names = ("客户", *market.user_ids[1:])
    write_market(dataclasses.replace(market, user_ids=names), tmp_path / "m.json")
    done = in_shell('"$@"', "equilibrium", "m.json", "--json", "r.json", folder=tmp_path, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "??" in done.stdout
    assert "客户" in read_json(tmp_path / "r.json")["flows"]


def test_too_few_open_files_are_said_with_the_way_out(tmp_path: Path) -> None:
    done = in_shell('ulimit -n 16; "$@"', "solve", "tiny/kink", "tiny/tie", "--jobs", "2", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "Too many open files; raise the limit, `ulimit -n`, or lower --jobs\n"


def test_an_internal_error_is_3_with_its_traceback_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("prillm_or.cli.solve.solve_task", fail)
    assert run(["solve", "tiny/kink"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["solve", "tiny/kink", "--verbose"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_lack_of_memory_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("prillm_or.cli.solve.solve_task", fail)
    assert run(["solve", "tiny/kink"]) == 2
    assert capsys.readouterr().err.startswith("out of memory")
