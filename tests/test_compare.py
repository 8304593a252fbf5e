"""compare: rows, shares, turns, failures, resuming after a kill, several at a time, and the command line."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prillm_or.abstraction.registry import ABSTRACTIONS, AbstractionChoice
from prillm_or.cli import run
from prillm_or.comparison import presets, runs
from prillm_or.comparison.comparison import Comparison, compare
from prillm_or.comparison.environment import environment
from prillm_or.comparison.method import MethodSpec, parse_method
from prillm_or.comparison.plan import Plan, Record, Unit
from prillm_or.comparison.presets import PRESETS, preset
from prillm_or.comparison.published import paper_tables
from prillm_or.comparison.runs import crowding
from prillm_or.comparison.shares import with_shares
from prillm_or.comparison.store import FILE
from prillm_or.comparison.summary import sections
from prillm_or.errors import CombinationError, ConvergenceError, PrillmError, UnknownNameError
from prillm_or.files.markets import AnyMarket, MarketFile, as_market, read_market
from prillm_or.files.names import find
from prillm_or.limits import Limits
from prillm_or.report.gap_tables import markdown
from prillm_or.result import Result
from prillm_or.solvers.registry import SOLVERS
from prillm_or.solving.run import solve
from prillm_or.workers.engine import Engine

PROGRAM = (sys.executable, "-c", "from prillm_or.cli import main; main()")


def instance(name: str) -> MarketFile:
    return read_market(find("instances", name))


def plan(names: Sequence[str], methods: Sequence[str], repeats: int = 1, **fields: Any) -> Plan:
    specs = tuple(parse_method(method) for method in methods)
    return Plan(tuple(instance(name) for name in names), specs, repeats=repeats, **fields)


def untimed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in ("time_s", "time_share")} for row in rows]


def places(comparison: Comparison) -> list[tuple[str, str, int]]:
    units = [record.unit for record in comparison.records]
    return [(unit.file.market.name, str(unit.method), unit.repeat) for unit in units]


# Methods


@pytest.mark.parametrize(
    "text",
    [
        "path",
        "auto",
        "highs:kkt-bigm",
        "highs/stock:kkt-bigm",
        "highs/stock",
        "path:min@1",
        "path:anchored@1+refine",
        "highs/stock:kkt-bigm:learned@2",
        "path:learned-paper@12",
    ],
)
def test_a_method_prints_as_it_was_read(text: str) -> None:
    assert str(parse_method(text)) == text


def test_the_parts_of_a_method() -> None:
    assert parse_method("highs/stock:kkt-bigm") == MethodSpec("highs/stock", "kkt-bigm")
    assert parse_method("highs:kkt-bigm:none") == MethodSpec("highs", "kkt-bigm")
    refined = AbstractionChoice("anchored", 3, refine=True)
    assert parse_method("path:anchored@3+refine") == MethodSpec("path", None, refined)
    assert parse_method("highs:kkt-bigm:min") == MethodSpec("highs", "kkt-bigm", AbstractionChoice("min", 2))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", CombinationError),
        ("highs:", CombinationError),
        (":kkt-bigm", CombinationError),
        ("highs:kkt-bigm:close@1", CombinationError),
        ("a:b:c:d", CombinationError),
        ("path:anchored@0", CombinationError),
        ("path:anchored@two", UnknownNameError),
        ("path:capacity+refine", CombinationError),
        ("path:none@2", CombinationError),
        ("cplex", UnknownNameError),
        ("highs/quick", UnknownNameError),
        ("highs:kkt-bigM", UnknownNameError),
    ],
)
def test_what_is_no_method_is_refused(text: str, error: type[PrillmError]) -> None:
    with pytest.raises(error):
        parse_method(text)


# Rows


def test_rows_are_results_with_repeat_and_shares() -> None:
    done = compare(plan(["tiny/kink"], ["path", "highs:kkt-bigm"], repeats=2))
    fields = set(solve(instance("tiny/kink").market).to_dict())
    document = done.to_dict()
    assert list(document) == ["format", "environment", "rows"]
    assert document["format"] == "prillm-or/report@1"
    for row in document["rows"]:
        assert set(row) == fields | {"repeat", "profit_share", "time_share"}
        assert row["instance_sha256"] == instance("tiny/kink").sha256
        assert row["profit"] == pytest.approx(7.5, rel=1e-4)  # tiny/README.md
        assert row["profit_share"] == pytest.approx(1.0, rel=1e-4)
    first, other = document["rows"][:2]
    assert (other["method"]["solver"], other["method"]["model"]) == ("highs", "kkt-bigm")
    assert first["time_share"] == 1.0
    assert other["time_share"] == pytest.approx(other["time_s"]["total"] / first["time_s"]["total"])


def test_methods_with_an_abstraction_have_rows_beside_their_twins() -> None:
    methods = ["path", "bisect", "bisect:anchored@1", "bisect:anchored@1+refine", "path:capacity@1", "path:min@12"]
    done = compare(plan(["coding-13"], methods))
    for row, method in zip(done.rows, done.plan.methods, strict=True):
        choice = method.abstraction
        assert row["method"]["solver"] == method.solver
        assert (row["method"]["abstraction"], row["method"]["keep"]) == (
            (None, None) if choice is None else (choice.label, choice.keep)
        )
    path, bisect, anchored, refined, capacity, whole = done.rows
    for row, twin in ((anchored, bisect), (refined, bisect), (capacity, path), (whole, path)):
        assert row["time_share"] == pytest.approx(row["time_s"]["total"] / twin["time_s"]["total"])
    for row in (anchored, refined, capacity):
        assert (row["status"], row["upper_bound"]) == ("heuristic", None)
        assert row["profit_share"] == pytest.approx(row["profit"] / path["profit"])
        assert 0.99 < row["profit_share"] <= 1 + 1e-12
    assert (whole["status"], whole["upper_bound"]) == ("optimal", path["upper_bound"])
    text = markdown(done)
    assert "bisect:anchored@1+refine" in text
    assert "rivals merged to answer alike" in text


def test_an_abstraction_that_is_missing_gives_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(ABSTRACTIONS["learned"], packages=("nowhere_to_be_found",))
    monkeypatch.setitem(ABSTRACTIONS, "learned", entry)
    done = compare(plan(["coding-13"], ["path:learned@2+refine"]))
    assert "pip install 'prillm-or[learn]'" in done.rows[0]["message"]
    assert (done.rows[0]["method"]["abstraction"], done.rows[0]["method"]["keep"]) == ("learned+refine", 2)


def test_methods_run_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[tuple[str, str]] = []

    def watched(market: AnyMarket, **how: Any) -> Result:
        order.append((as_market(market).name, how["solver"]))
        return solve(market, **how)

    monkeypatch.setattr(runs, "solve", watched)
    begun: list[Unit] = []
    done = compare(plan(["tiny/kink", "tiny/tie"], ["path", "bisect"], repeats=2), on_begin=begun.append)
    turn = [("kink", "path"), ("kink", "bisect"), ("tie", "path"), ("tie", "bisect")]
    assert [name for name in order if name in turn] == turn * 2  # a method warms up on another market
    assert places(done) == [(*name, repeat) for repeat in (1, 2) for name in turn]
    assert [str(unit) for unit in begun] == [str(record.unit) for record in done.records]


def test_what_is_named_twice_runs_once() -> None:
    done = compare(plan(["tiny/kink", "tiny/tie", "tiny/kink"], ["path", "bisect", "path"]))
    assert [place[:2] for place in places(done)] == [
        ("kink", "path"), ("kink", "bisect"), ("tie", "path"), ("tie", "bisect"),
    ]  # fmt: skip


def test_a_method_that_does_not_fit_gives_a_row_and_the_others_go_on() -> None:
    done = compare(plan(["tiny/two-prices"], ["path", "highs:kkt-bigm"]))
    bad, good = done.rows
    assert (bad["status"], bad["profit"], bad["profit_share"], bad["time_share"]) == ("error", None, None, None)
    assert "solver path takes one" in bad["message"]
    assert set(bad) - {"message"} == set(good)
    assert good["status"] == "optimal"
    assert good["time_share"] is None  # the first method gave no time
    (section,) = sections(done)
    assert [line.status for line in section.lines] == ["error", "optimal"]
    assert section.messages == [f"path: {bad['message']}"]


def test_a_run_that_breaks_gives_a_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(market: AnyMarket, **how: Any) -> Result:
        if how["solver"] == "bisect":
            raise ConvergenceError("a degenerate breakpoint")
        return solve(market, **how)

    monkeypatch.setattr(runs, "solve", broken)
    done = compare(plan(["tiny/kink"], ["path", "bisect"]))
    assert [row["status"] for row in done.rows] == ["optimal", "error"]
    assert done.rows[1]["message"] == "ConvergenceError: a degenerate breakpoint"
    assert done.records[1].failure == "crashed"


def test_a_missing_package_gives_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOLVERS, "gurobi", replace(SOLVERS["gurobi"], package="nowhere_to_be_found"))
    done = compare(plan(["tiny/kink"], ["gurobi"]))
    assert "pip install nowhere_to_be_found" in done.rows[0]["message"]
    assert done.records[0].failure == "refused"


# Shares


def record(method: str, profit: float, total: float, status: str = "optimal", repeat: int = 1, **of: Any) -> Record:
    where = replace(instance("tiny/kink"), sha256=of.pop("sha256", "one"))
    solver, _, model = method.partition(":")
    row = {
        "method": {"solver": solver, "model": model or None, "abstraction": of.pop("abstraction", None)},
        "status": status,
        "profit": profit,
        "time_s": {"total": total},
    }
    return Record(Unit(where, MethodSpec(of.pop("spec", method)), repeat, Limits()), row)


def shares(records: Sequence[Record], field: str) -> list[float | None]:
    return [found.row[field] for found in with_shares(records, "path")]


def test_profit_share_is_of_the_best_proven_profit_of_the_instance() -> None:
    records = [
        record("path", 8.0, 1.0),
        record("bisect", 10.0, 1.0),
        record("highs", 11.0, 1.0, "feasible"),
        record("odca", 5.0, 1.0, "heuristic"),
        record("path", 2.0, 1.0, sha256="two"),
    ]
    assert shares(records, "profit_share") == [0.8, 1.0, 1.1, 0.5, 1.0]


@pytest.mark.parametrize(("profit", "status"), [(0.0, "optimal"), (-1.0, "optimal"), (3.0, "feasible")])
def test_profit_share_is_null_without_a_positive_proven_profit(profit: float, status: str) -> None:
    assert shares([record("path", profit, 1.0, status)], "profit_share") == [None]


def test_time_share_is_of_the_same_method_without_abstraction_else_of_the_first() -> None:
    records = [
        record("path", 1.0, 2.0),
        record("highs:kkt-bigm", 1.0, 10.0),
        record("highs:kkt-bigm", 1.0, 5.0, "heuristic", abstraction="anchored", spec="highs:kkt-bigm:anchored"),
        record("scip:kkt-bigm", 1.0, 1.0, "heuristic", abstraction="anchored", spec="scip:kkt-bigm:anchored"),
        record("path", 1.0, 4.0, repeat=2),
        record("highs:kkt-bigm", 1.0, 10.0, repeat=2),
    ]
    assert shares(records, "time_share") == [1.0, 5.0, 0.5, 0.5, 1.0, 2.5]


# Going on


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
    (tmp_path / FILE).write_bytes(kept + b"{}\n")
    with pytest.raises(PrillmError, match="line 3"):
        compare(small, folder=tmp_path, resume=True)


def test_after_a_kill_the_rows_are_those_of_an_uninterrupted_run(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = ["compare", "tiny/kink", "tiny/tie", "tiny/two-prices", "--repeat", "8"]
    for method in ("path", "bisect", "highs:kkt-bigm"):
        arguments += ["--method", method]
    with subprocess.Popen([*PROGRAM, *arguments, "--report", str(killed)], stdout=subprocess.DEVNULL) as process:
        wait_for_lines(killed / FILE, 10)
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


def wait_for_lines(path: Path, lines: int) -> None:
    until = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_reports_what_is_done(jobs: str, tmp_path: Path) -> None:
    arguments = ["compare", "tiny/kink", "coding-13", "--method", "path", "--method", "highs:kkt-bigm-naive"]
    command = [*PROGRAM, *arguments, "--jobs", jobs, "--report", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for_lines(tmp_path / FILE, 3)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "interrupted" in error
    assert "kink" in out
    rows = json.loads((tmp_path / "report.json").read_bytes())["rows"]
    assert 3 <= len(rows) < 12
    assert "Unfinished" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_workers_give_the_same_rows_in_the_same_order() -> None:
    wanted = plan(["tiny/kink", "tiny/two-prices"], ["path", "odca"], repeats=2)
    assert untimed(compare(wanted, engine=Engine(2)).rows) == untimed(compare(wanted).rows)


def test_a_crowd_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "cores", lambda: 4)
    assert crowding(2, 2) is None
    assert "3 jobs x 2 threads on 4 cores" in (crowding(3, 2) or "")


# Presets, environment, tables


def test_table_1_has_every_registered_method_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "SOLVERS", {name: SOLVERS["path"] for name in ("path", "highs", "odca")})
    assert preset("table-1").methods() == ["path", "highs:kkt-bigm", "path:learned@2", "odca"]


def test_table_3_takes_abstractions_from_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "ABSTRACTIONS", {name: ABSTRACTIONS[name] for name in ("learned", "min")})
    ours = [f"path:{name}@{keep}" for name in ("learned", "min") for keep in (1, 2, 3, 4)]
    assert preset("table-3").methods() == ["path", "bisect", *ours]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_what_exists(name: str) -> None:
    for market in PRESETS[name].instances:
        assert instance(market).market.name == market
    assert [str(parse_method(method)) for method in PRESETS[name].methods()] == PRESETS[name].methods()


def test_the_paper_stands_beside_us_labelled_as_its_own() -> None:
    done = compare(plan(["coding-13"], ["path"], preset="table-3"))
    assert [table.title for table in paper_tables("table-3", sections(done))] == ["6 LLMs (paper, on its own data)"]
    economy = sections(compare(plan(["economy-8"], ["path"], preset="table-3")))
    table, smaller = paper_tables("table-3", economy)
    assert table.title == "8 LLMs (paper, on its own data), beside our economy-8"
    assert table.rows[0][:5] == ("brute force", "100.0 %", "612 s", "path", "100.00 %")
    assert smaller.rows[1] == ("learned, K = 1", "93.8 %", "5.5 s", "-", "-", "-")
    assert paper_tables(None, economy) == []


def test_the_environment_names_versions_and_nobody() -> None:
    found = environment(plan(["tiny/kink"], ["path"]), Engine())
    assert {"python", "processor", "cores", "threads", "seed", "system", "packages"} <= set(found)
    assert {"prillm-or", "numpy", "highspy"} <= set(found["packages"])
    text = json.dumps(found)
    assert os.uname().nodename not in text
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text


def test_markdown_escapes_what_it_would_take_for_its_own() -> None:
    odd = instance("tiny/kink")
    odd = replace(odd, market=replace(odd.market, name="a|b*c"))
    text = markdown(compare(Plan((odd,), (parse_method("path"),))))
    assert "## a\\|b\\*c" in text


# Command line


def test_compare_writes_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
        (["--preset", "table-2"], "table-1, table-3"),
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
    code = (
        "import sys; from prillm_or.cli import run; run(['solve', 'tiny/kink', '--solver', 'path', '--json', '-']);"
        "print([m for m in ('matplotlib', 'jinja2', 'concurrent.futures', 'prillm_or.report') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
