"""The README alone: a checkout, `make demo`, and every block in order in an empty folder, until a price is defended."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from helpers.pages import ROOT, blocks, commands

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def said_by(command: list[str], given: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Output of a process of its own that reads what is given and has to end well, both streams."""
    ended = subprocess.run(
        command, cwd=folder, env=environment, input=given, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    return ended.stdout + ended.stderr


def newcomer(checkout: Path) -> dict[str, str]:
    """What a shell has after `source .venv/bin/activate`, and nothing of the environment of these tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return {**kept, "COLUMNS": "80", "PATH": os.pathsep.join([str(checkout / ".venv" / "bin"), os.environ["PATH"]])}


def copied(folder: Path) -> Path:
    """The checkout as git has it, changes included."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def steps() -> Iterator[tuple[list[str], str, str]]:
    """Commands of the README in order, the file to save before each, if any, and what it is said to print."""
    found = blocks(ROOT / "README.md")
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.file is not None:
            yield ["tee", block.file], block.body, block.body
        elif block.language == "console":
            for command, output in commands(block.body):
                yield ["sh", "-e", "-c", command], "", output
        elif block.language == "python":
            assert after is not None
            yield ["python", "-W", "error", "-"], block.body, after.body


def test_who_follows_the_readme_alone_has_a_defended_price(tmp_path: Path) -> None:
    """Minutes: it installs the package from the network, as a reader does."""
    checkout, empty = copied(tmp_path / "checkout"), tmp_path / "empty"
    empty.mkdir()
    environment = newcomer(checkout)
    first = next(block.body for block in blocks(ROOT / "README.md") if block.language == "sh")
    demo, test = first.splitlines()
    assert (demo, test) == ("make demo", "make test")
    said = said_by(["make", "demo"], "", checkout, environment)
    assert "step-3.7-flash" in said
    (pandas,) = re.findall(r"`(pip install pandas)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    said_by(["sh", "-e", "-c", pandas], "", checkout, environment)
    ran = 0
    for command, given, shown in steps():
        printed = said_by(command, given, empty, environment)
        assert doctest.OutputChecker().check_output(shown.strip(), printed.strip(), FLAGS), (command, printed)
        ran += 1
    assert ran >= 7
    assert {"mine.json", "result.json", "mine.html", "worth-less.json"} <= {path.name for path in empty.iterdir()}
