"""Outputs are checked before any work: none is an input or an other output, and nothing old is lost."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import read_json
from helpers.markets import shipped
from prillm_or.cli import run
from prillm_or.errors import PrillmError
from prillm_or.files.markets import write_market
from prillm_or.output.checking import check_outputs
from prillm_or.output.saving import new_folder, replace_file

HERE = ("solve", "equilibrium", "curve", "explain", "compete")


@pytest.fixture
def market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A market's file in the working folder."""
    path = tmp_path / "m.json"
    write_market(shipped("tiny/kink"), path)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.parametrize("command", HERE)
@pytest.mark.parametrize("name", ["m.json", "link.json", "hard.json", "../{}/m.json"])
def test_an_input_is_no_output(command: str, name: str, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (market.parent / "link.json").symlink_to(market)
    (market.parent / "hard.json").hardlink_to(market)
    before, name = market.read_bytes(), name.format(market.parent.name)
    assert run([command, "m.json", "--json", name]) == 2
    assert capsys.readouterr().err == f"{name}: is read, too; what is written gets a name of its own\n"
    assert market.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["solve", "tiny/tie", "mine", "--json", "instances/mine.json"], "instances/mine.json"),
        (
            ["solve", "m.json", "--model", "kkt-bigm", "--solver", "highs/own", "--json", "solvers/highs/own.toml"],
            "own",
        ),
        (["robust", "m.json", "--draws", "draws", "--json", "draws/a.json"], "draws/a.json"),
        (["compete", "m.json", "--entry", "new.json", "--json", "new.json"], "new.json"),
        (["compare", "out/report.json", "--method", "path", "--report", "out"], "out/report.json"),
        (["page", "page.html", "--out", "page.html"], "page.html"),
        (["curve", "m.json", "--json", "a.svg", "--plot", "a.svg"], "twice"),
        (["compare", "m.json", "--method", "path", "--report", "out", "--json", "out/report.csv"], "twice"),
        (["equilibrium", "m.json", "--json", "m.delays.npy"], "may hold the delays of a market that is read"),
    ],
)
def test_any_file_that_is_read_or_written_besides(
    arguments: list[str], named: str, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("instances/mine.json", "draws/a.json", "out/report.json", "page.html"):
        (market.parent / name).parent.mkdir(exist_ok=True)
        write_market(shipped("tiny/kink"), market.parent / "copy.json")
        (market.parent / "copy.json").rename(market.parent / name)
    for name in ("solvers/highs/own.toml", "new.json", "m.delays.npy"):
        (market.parent / name).parent.mkdir(exist_ok=True, parents=True)
        (market.parent / name).write_text("", encoding="utf-8")
    before = {path: path.read_bytes() for path in market.parent.rglob("*") if path.is_file()}
    assert run(arguments) == 2
    assert named in capsys.readouterr().err
    assert {path: path.read_bytes() for path in market.parent.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere/x.json", "the folder nowhere does not exist"),
        ("m.json/x.json", "the folder m.json does not exist"),
        (".", "a folder, not a file"),
        ("x" * 256, "cannot be written: File name too long"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(
    name: str, why: str, market: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prillm_or.cli.solve.solve_task", None)
    assert run(["solve", "m.json", "--json", name]) == 2
    assert capsys.readouterr().err == f"{name}: {why}\n"


def test_an_array_that_no_market_read_can_tell_of_is_replaced(market: Path) -> None:
    (market.parent / "other").mkdir()
    array = market.parent / "other" / "old.delays.npy"
    np.save(array, np.ones((2, 3)))
    assert run(["equilibrium", "m.json", "--json", "other/old.delays.npy"]) == 0
    assert read_json(array)["format"] == "prillm-or/equilibrium@1"


def test_all_faults_of_outputs_together(tmp_path: Path) -> None:
    with pytest.raises(PrillmError) as caught:
        check_outputs(tmp_path, None, "-", tmp_path / "a" / "b", tmp_path / "c", tmp_path / "c")
    assert [line.rsplit("/", 1)[1].split(": ")[1][:8] for line in caught.value.message.splitlines()[:1]] == ["a folder"]
    assert len(caught.value.message.splitlines()) == 3
    check_outputs("/dev/null", "/dev/null", inputs=[Path("/dev/null")])


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("train", "--scenarios", "100", "--out", "README.safetensors"), ["README.md", "README.svg"]),
        (
            ("compare", "m.json", "--method", "path", "--report", "mine"),
            [f"mine/report.{ending}" for ending in ("json", "csv", "md", "html")],
        ),
        pytest.param(
            ("calibrate", "seen", "--out", "mine", "--report"),
            ["mine/fit.json", "mine/draws.json", "mine/report.html", "mine/seen-2026-07-02.json"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_written_beside_replaces_none_but_ours(
    arguments: tuple[str, ...], names: list[str], market: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user gave no such name."""
    assert folder.parent == market.parent
    (market.parent / "mine").mkdir()
    for name in names:
        (market.parent / name).write_text("years of work", encoding="utf-8")
    before = sorted(market.parent.rglob("*"))
    assert run(arguments) == 2
    refusal = "is not ours, and would be overwritten; move it away or write elsewhere"
    assert capsys.readouterr().err.splitlines() == [f"{name}: {refusal}" for name in names]
    assert sorted(market.parent.rglob("*")) == before
    assert {(market.parent / name).read_text(encoding="utf-8") for name in names} == {"years of work"}


def test_an_earlier_report_is_replaced(market: Path) -> None:
    for _ in range(2):
        assert run(["compare", "m.json", "--method", "path", "--repeat", "1", "--report", "a"]) == 0


@pytest.mark.slow
def test_an_earlier_fit_is_replaced(market: Path, folder: Path) -> None:
    quick = ["--draws", "1", "--shrinkage", "0", "--own", "none", "--baseline", "independence"]
    for _ in range(2):
        assert run(["calibrate", folder.name, "--out", "b", *quick]) == 0


def test_nothing_does_not_replace_an_earlier_result(market: Path) -> None:
    for name in ("no1.json", "no2.json"):
        (market.parent / name).write_text("{", encoding="utf-8")
    (market.parent / "r.json").write_text("old", encoding="utf-8")
    assert run(["solve", "no1.json", "no2.json", "--json", "r.json"]) == 2
    assert (market.parent / "r.json").read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_keeps_its_mode(mode: int, market: Path) -> None:
    out = market.parent / "r.json"
    out.touch()
    out.chmod(mode)
    assert run(["solve", "m.json", "--json", "r.json"]) == 0
    assert (out.stat().st_mode & 0o777, read_json(out)["status"]) == (mode, "optimal")


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127):
        replace_file(tmp_path / name, b"long")
        assert (tmp_path / name).read_bytes() == b"long"
    with new_folder(tmp_path / ("y" * 255)) as place:
        (place / "a").touch()
    assert len(list(tmp_path.iterdir())) == 3


def test_what_a_killed_writer_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    """An hour is more than any writer takes; newer ones may still be written to."""
    left, now = tmp_path / ".r.json.0123abcd.tmp", tmp_path / ".r.json.fedcba98.tmp"
    others = [tmp_path / name for name in (".other.json.0123abcd.tmp", ".r.json.mine.tmp", "r.json.0123abcd.tmp")]
    for path in (left, now, *others):
        path.write_text("half")
    for path in (left, *others):
        os.utime(path, (0, 0))
    replace_file(tmp_path / "r.json", b"whole")
    assert sorted(tmp_path.iterdir()) == sorted([now, *others, tmp_path / "r.json"])


def test_a_writable_file_in_a_folder_that_takes_none() -> None:
    """In a process of its own, which gives up the rights of root, who may write anywhere."""
    code = """
import os, sys
from pathlib import Path
from prillm_or.errors import PrillmError
from prillm_or.output.checking import check_outputs
from prillm_or.output.saving import replace_file
os.getuid() or os.setuid(65534)
folder = Path(sys.argv[1])
check_outputs(folder / "open")
replace_file(folder / "open", b"new")
for name in ("shut", "absent"):
    try:
        check_outputs(folder / name)
    except PrillmError as refusal:
        print(refusal.message.removeprefix(f"{folder}/"))
"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "open").write_text("old and longer", encoding="utf-8")
        (folder / "open").chmod(0o666)
        (folder / "shut").touch(0o444)
        folder.chmod(0o555)
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == (
            f"shut: is write-protected\nabsent: the folder {folder} cannot be written\n",
            "",
        )
        assert (folder / "open").read_bytes() == b"new"
        folder.chmod(0o755)
