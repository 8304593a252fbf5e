"""compare: going on after a kill or Ctrl-C, and what a folder keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.commands import PROGRAM, interrupted, running, untimed, wait_for_lines
from helpers.comparisons import plan
from prillm_or.cli import run
from prillm_or.comparison.comparison import compare
from prillm_or.comparison.plan import Unit
from prillm_or.comparison.store import FILE
from prillm_or.errors import PrillmError
from prillm_or.limits import Limits


def test_resuming_runs_only_what_is_missing(tmp_path: Path) -> None:
    first = compare(plan(["tiny/kink"], ["path", "bisect"], repeats=2), folder=tmp_path)
    begun: list[Unit] = []
    wider = plan(["tiny/kink"], ["path", "bisect", "highs:kkt-bigm"], repeats=2)
    done = compare(wider, folder=tmp_path, resume=True, on_begin=begun.append)
    assert [str(unit.method) for unit in begun] == ["highs:kkt-bigm"] * 2
    assert [row["time_s"] for row in done.rows if row["method"]["model"] is None] == [
        row["time_s"] for row in first.rows
    ]
    tighter = replace(wider, limits=Limits(gap=1e-6))
    compare(tighter, folder=tmp_path, resume=True, on_begin=begun.append)
    assert len(begun) == 2 + 6  # other limits are other runs


def test_resuming_tries_failed_runs_again(tmp_path: Path) -> None:
    fails = plan(["tiny/two-prices"], ["path"])
    compare(fails, folder=tmp_path)
    begun: list[Unit] = []
    done = compare(fails, folder=tmp_path, resume=True, on_begin=begun.append)
    assert (len(begun), len(done.rows)) == (1, 1)


def test_without_resume_a_folder_starts_afresh(tmp_path: Path) -> None:
    small = plan(["tiny/kink"], ["path"])
    compare(small, folder=tmp_path)
    compare(small, folder=tmp_path)
    assert len((tmp_path / FILE).read_text(encoding="utf-8").splitlines()) == 1


def test_half_a_line_is_dropped_and_a_strange_one_named(tmp_path: Path) -> None:
    small = plan(["tiny/kink"], ["path", "bisect"])
    whole = compare(small, folder=tmp_path)
    kept = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(kept[:-20])
    assert untimed(compare(small, folder=tmp_path, resume=True).rows) == untimed(whole.rows)
    (tmp_path / FILE).write_bytes(kept + b'{"key": 1}\n')
    with pytest.raises(PrillmError, match="line 3"):
        compare(small, folder=tmp_path, resume=True)


def test_a_row_that_contradicts_its_market_is_refused(tmp_path: Path) -> None:
    small = plan(["tiny/tie"], ["path"])
    compare(small, folder=tmp_path)
    kept = json.loads((tmp_path / FILE).read_bytes())
    for change, says in (({"profit": 1e-15}, "its gap is not"), ({"loads": {"lead": 3.0}}, "its loads are not")):
        (tmp_path / FILE).write_text(json.dumps(kept | {"row": kept["row"] | change}) + "\n")
        with pytest.raises(PrillmError, match=f"line 1 contradicts itself or its market: {says}"):
            compare(small, folder=tmp_path, resume=True)


def test_a_file_of_runs_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("notes\n")
    with pytest.raises(PrillmError, match="is not ours"):
        compare(plan(["tiny/tie"], ["path"]), folder=tmp_path)
    assert (tmp_path / FILE).read_text() == "notes\n"


@pytest.mark.slow
def test_after_a_kill_the_rows_are_those_of_an_uninterrupted_run(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = ["compare", "tiny/kink", "tiny/tie", "tiny/two-prices", "--repeat", "8"]
    for method in ("path", "bisect", "highs:kkt-bigm"):
        arguments += ["--method", method]
    with running(*PROGRAM, *arguments, "--report", str(killed)) as process:
        wait_for_lines(killed / FILE, 10, process)
        process.kill()
    before = (killed / FILE).read_text(encoding="utf-8").splitlines()
    assert 10 <= len(before) < 72
    assert not (killed / "report.json").exists()
    assert run([*arguments, "--report", str(killed), "--resume"]) == 2  # path does not take two prices
    assert run([*arguments, "--report", str(whole)]) == 2
    resumed, straight = (json.loads((folder / "report.json").read_bytes())["rows"] for folder in (killed, whole))
    assert len(straight) == 72
    assert untimed(resumed) == untimed(straight)
    stored = json.loads(before[0])["row"]
    assert resumed[0]["time_s"] == stored["time_s"]  # taken over, not run again


@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_ctrl_c_reports_what_is_done(jobs: str, tmp_path: Path) -> None:
    arguments = ["compare", "tiny/kink", "coding-13", "--method", "path", "--method", "highs:kkt-bigm-naive"]
    command = [*PROGRAM, *arguments, "--jobs", jobs, "--report", str(tmp_path)]
    with running(*command) as process:
        wait_for_lines(tmp_path / FILE, 3, process)
        out, error = interrupted(process)
    assert "interrupted" in error
    assert "kink" in out
    rows = json.loads((tmp_path / "report.json").read_bytes())["rows"]
    assert 3 <= len(rows) < 12
    assert "Unfinished" in (tmp_path / "report.md").read_text(encoding="utf-8")
