"""The command `compare`: its report, exit codes, mistakes and presets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from helpers.commands import imported_by
from prillm_or.cli import run
from prillm_or.comparison.store import FILE


def test_compare_writes_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")  # all headings on one line
    folder = tmp_path / "new" / "out"
    arguments = ["compare", "tiny/kink", "tiny/tie", "--method", "path", "--method", "bisect", "--repeat", "2"]
    assert run([*arguments, "--report", str(folder), "--json", str(tmp_path / "same.json")]) == 0
    shown = capsys.readouterr()
    for word in ("kink", "tie", "% of proven optimum", "proven gap", "time, median", "time, %", "100.00", "optimal"):
        assert word in shown.out
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["report.csv", "report.html", "report.json", "report.md", FILE]
    report = json.loads((folder / "report.json").read_bytes())
    assert report == json.loads((tmp_path / "same.json").read_bytes())
    with (folder / "report.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(report["rows"]) == 8
    for line, row in zip(lines, report["rows"], strict=True):
        assert (line["instance"], line["method"], float(line["profit"])) == (
            row["instance"], row["method"]["solver"], row["profit"],
        )  # fmt: skip
    assert "| path | " in (folder / "report.md").read_text(encoding="utf-8")


def test_several_prices_stand_one_below_the_other_within_eighty_columns(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    methods = ("--method", "branch", "--repeat", "1")
    assert run(["compare", "premium-4-lists", *methods, "--report", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for component in ("input", "output"):
        assert sum(f"gpt-5.5.{component}=" in line for line in lines) == 1
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "it is drawn for a leader with one price" in page


def test_standard_output_holds_nothing_but_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["compare", "tiny/tie", "--method", "path", "--report", str(tmp_path), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["instance"] == "tie"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tiny/kink", "--method", "odca"], 0),
        (["tiny/kink", "--method", "odca", "--gap", "1e-4"], 1),  # proves no gap
        (["coding-13", "--method", "bisect", "--gap", "1e-12", "--time-limit", "0"], 1),
        (["tiny/two-prices", "--method", "path", "--method", "highs"], 2),
    ],
)
def test_exit_codes_are_those_of_solve(arguments: list[str], code: int) -> None:
    assert run(["compare", *arguments, "--repeat", "1"]) == code


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ([], "--preset"),
        (["tiny/kink"], "--method"),
        (["tiny/kink", "--method", "cplex"], "cplex"),
        (["tiny/kink", "--method", "path:min@2+refine"], "anchored and learned"),
        (["tiny/kimk", "--method", "path"], "tiny/kink"),
        (["tiny/kink", "--method", "path", "--resume"], "--report"),
        (["--preset", "table-2"], "table-3 or table-1"),
        (["tiny/kink", "--method", "path", "--repeat", "0"], "--repeat"),
        (["tiny/kink", "--method", "path", "--report", "/dev/null/out"], "/dev/null/out"),
    ],
)
def test_a_mistake_gives_one_clear_message_and_2(
    arguments: list[str], fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *arguments]) == 2
    assert fragment in capsys.readouterr().err


def test_a_preset_fills_in_what_is_not_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    methods = ["--method", "path", "--method", "path:min@2"]
    assert run(["compare", "--preset", "table-3", *methods, "--repeat", "1", "--json", str(out)]) == 0
    rows = json.loads(out.read_bytes())["rows"]
    assert [row["instance"] for row in rows] == ["economy-8", "economy-8", "coding-13", "coding-13"]
    assert [row["method"]["abstraction"] for row in rows] == [None, "min"] * 2
    assert "paper, on its own data" in capsys.readouterr().out


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "--help"]) == 0
    assert "prillm-or compare coding-13" in capsys.readouterr().out


def test_solve_loads_nothing_of_the_report() -> None:
    code = "from prillm_or.cli import run; run(['solve', 'tiny/kink', '--solver', 'path', '--json', '-'])"
    assert imported_by(code, "matplotlib", "jinja2", "concurrent.futures", "prillm_or.report") == []
