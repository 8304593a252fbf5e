"""The command line: exit codes, JSON, tables, and what a user's mistakes look like; partly in a real process."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import gurobipy
import pytest

import prillm_or as po
from helpers.commands import PROGRAM, in_process, interrupted, read_json, running, wait_for_work, work_of
from helpers.markets import shipped
from helpers.sold import price_list
from prillm_or.cli import run
from prillm_or.files.markets import write_market
from prillm_or.market.synthetic import generate
from prillm_or.solvers.registry import SOLVERS

COMMANDS = (
    *("solve", "compare", "equilibrium", "curve", "explain", "page", "compete", "watch", "generate", "calibrate"),
    *("backtest", "train", "import-openrouter", "prices", "validate", "models", "solvers", "instances"),
)


@pytest.mark.wheel
def test_solve_says_what_to_do_before_any_figure_and_ends_with_0() -> None:
    done = in_process("solve", "coding-13")
    assert (done.returncode, done.stderr) == (0, "")
    first, then = done.stdout.removeprefix("coding-13\n\n").split(".\nBy the fit alone: ")
    assert first.startswith(
        "Try prices, do not settle on one: the data leave the best price of\nstep-3.7-flash open, any from"
    )
    assert re.match(r"(raise|lower) the price of step-3.7-flash from 0\.09045 to 0\.\d+\s", then)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "optimal, by path" in done.stdout


def test_solve_of_several_markets_prints_a_table() -> None:
    done = in_process("solve", "coding-13", "tiny/kink")
    assert done.stdout.startswith("best prices\n")
    assert "\ninstance   " in done.stdout
    assert re.search(r"step-3\.7-flash=0\.\d+ ", done.stdout)
    assert "coding-13: warnings unidentified" in done.stdout
    assert "tiny/kink: warnings" not in done.stdout
    assert "kink: warnings far-from-today, inelastic, no-values" in done.stdout


@pytest.mark.wheel
@pytest.mark.parametrize("solver", ["path", "bisect", "highs", pytest.param("gurobi", marks=pytest.mark.slow)])
def test_standard_output_holds_nothing_but_json(solver: str) -> None:
    """What a solver's own library prints is seen in a real process alone."""
    done = in_process("solve", "tiny/kink", "--solver", solver, "--json", "-")
    result = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert result["format"] == "prillm-or/result@1"
    assert result["profit"] == pytest.approx(7.5, rel=1e-4)  # tiny/README.md
    assert result["gap"] <= 1e-4


def test_one_market_gives_an_object_and_several_an_array_in_the_given_order(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run(["solve", "tiny/tie", "--json", str(out)]) == 0
    assert read_json(out)["instance"] == "tie"
    assert run(["solve", "tiny/tie", "tiny/kink", "tiny/cap-binds", "--json", str(out)]) == 0
    assert [result["instance"] for result in read_json(out)] == ["tie", "kink", "cap-binds"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json"]


def test_method_names_profile_and_model(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run(["solve", "tiny/kink", "--solver", "highs/stock", "--model", "kkt-bigm", "--json", str(out)]) == 0
    method = read_json(out)["method"]
    assert (method["solver"], method["model"]) == ("highs/stock", "kkt-bigm")


def test_a_time_limit_gives_the_best_so_far_and_1(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    code = run(["solve", "coding-13", "--solver", "bisect", "--gap", "1e-12", "--time-limit", "0", "--json", str(out)])
    result = read_json(out)
    assert (code, result["status"]) == (1, "time_limit")
    assert result["upper_bound"] >= 15.4240  # the best profit (instances/README.md)


def test_a_faulty_file_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, out = tmp_path / "bad.json", tmp_path / "out.json"
    bad.write_text('{"format": "prillm-or/market@1"}', encoding="utf-8")
    assert run(["solve", "tiny/tie", str(bad), "tiny/kink", "--json", str(out)]) == 2
    assert [result["instance"] for result in read_json(out)] == ["tie", "kink"]
    assert "bad.json: users" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["solve", "codin-13"], "coding-13"),  # a name that is nearly one
        (["solve", "no/such/file.json"], "no/such/file.json"),
        (["solve", "tiny/tie", "--solver", "cplex"], "cplex"),
        (["solve", "tiny/tie", "--solver", "highs/quick"], "highs/"),
        (["solve", "tiny/tie", "--model", "kkt-bigM"], "kkt-bigm"),
        (["solve", "tiny/tie", "--solver", "path", "--model", "kkt-bigm"], "takes no model"),
        (["solve", "tiny/two-prices", "--solver", "path"], "use --solver with"),
        (["solve", "tiny/two-prices", "--solver", "bisect"], "use --solver with"),
        (["solve", "tiny/tie", "--gap", "-1"], "--gap"),
        (["solve"], "INSTANCE"),
        (["slove", "tiny/tie"], "solve"),
        (["equilibrium", "tiny/tie", "--price", "nobody=1"], "nobody=1"),
        (["equilibrium", "tiny/tie", "--price", "lead=cheap"], "cheap"),
        (["equilibrium", "tiny/tie", "--price", "lead=-1"], "-1"),
        (["equilibrium", "tiny/nobody"], "--price"),  # its leader has no price today
        (["curve", "tiny/two-prices"], "--provider"),
        (["curve", "tiny/two-prices", "--provider", "rival"], "rival"),
        (["generate", "--users", "3", "--providers", "3", "--out", "market.txt"], ".json"),
        (["generate", "--users", "3", "--providers", "3", "--out", "no/such/folder/m.json"], "folder"),
        (["generate", "--users", "3", "--providers", "1", "--out", "m.json"], "providers"),
        (["validate", "tiny/tie", "nowhere.json"], "nowhere.json"),
    ],
)
def test_a_mistake_gives_one_clear_message_and_2(
    arguments: list[str], fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert fragment in error
    assert "Traceback" not in error


def test_a_missing_package_is_named_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SOLVERS, "gurobi", dataclasses.replace(SOLVERS["gurobi"], package="nowhere_to_be_found"))
    assert run(["solve", "tiny/tie", "--solver", "gurobi"]) == 2
    assert "pip install nowhere_to_be_found" in capsys.readouterr().err
    assert run(["solvers", "--json", "-"]) == 0
    states = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert "pip install nowhere_to_be_found" in states["gurobi"]
    assert states["path"] == "ready"


def test_a_working_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(["solve", "tiny/tie"]) == 2
    assert capsys.readouterr().err == "the working folder is gone; change to one that is there\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["tiny/tie"], 0), (["tiny/tie", "--solver", "highs"], 2), (["tiny/tie", "--model", "kkt-bigm"], 2)],
)
def test_without_docstrings_all_works_but_pyomo(arguments: list[str], code: int) -> None:
    """Python takes them away at its start alone."""
    environment = os.environ | {"PYTHONOPTIMIZE": "2"}
    done = subprocess.run([*PROGRAM, "solve", *arguments], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stderr
    assert ("Pyomo needs its docstrings" in done.stderr) == (code == 2)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by the system")
@pytest.mark.parametrize("arguments", [["page", "big.json", "--out", "p.html"], ["solve", "big.json"]])
def test_too_little_memory_ends_in_a_line(arguments: list[str], tmp_path: Path) -> None:
    """It takes a process of its own, which is what is limited."""
    write_market(generate(300, 300), tmp_path / "big.json")
    limited = (
        "import resource, sys, prillm_or.cli as cli\n"
        "from prillm_or.cli import app\n"
        "from prillm_or.files.markets import read_market; read_market('big.json')\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, used + 2**20)); sys.exit(cli.run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "memory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def without_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no extra were installed: Python takes a module that is None for one that is not there."""
    for package in ("matplotlib", "pyscipopt", "ipyopt", "torch", "safetensors", "distributed", "threadpoolctl"):
        for module in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["solve", "tiny/tie", "--solver", "scip"], "scip"),
        (["solve", "tiny/tie", "--solver", "ipopt"], "ipopt"),
        (["curve", "tiny/tie", "--plot", "x.svg"], "plots"),
        (["compare", "tiny/tie", "--method", "path", "--report", "x"], "plots"),
        (["solve", "tiny/tie", "tiny/kink", "--engine", "dask", "--address", "tcp://127.0.0.1:9"], "cluster"),
        (["solve", "coding-13", "--abstraction", "learned", "--keep", "2"], "learn"),
        (["train", "--out", "x.safetensors"], "learn"),
    ],
)
@pytest.mark.usefixtures("without_extras")
def test_what_an_extra_brings_is_named_by_it_before_any_work(
    arguments: list[str],
    extra: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    out, error = capsys.readouterr()
    assert (out, len(error.splitlines())) == ("", 1)
    assert error.endswith(f"not installed; pip install 'prillm-or[{extra}]'\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_extras")
def test_without_extras_markets_are_solved_explained_and_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["solve", "tiny/two-prices"]) == 0
    assert run(["solve", "tiny/kink", "--solver", "highs"]) == 0
    assert run(["explain", "coding-13"]) == 0
    assert run(["page", "tiny/kink", "--out", str(tmp_path / "page.html")]) == 0
    assert run(["compare", "tiny/kink", "--method", "path"]) == 0
    capsys.readouterr()
    assert run(["solvers", "--json", "-"]) == 0
    states = {row["name"]: row["state"] for row in json.loads(capsys.readouterr().out)}
    assert states["scip"] == "solver scip: pyscipopt is not installed; pip install 'prillm-or[scip]'"
    assert states["highs"] == "free (MIT), no limit of size"


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_found(tmp_path: Path) -> None:
    """HiGHS has to have begun."""
    out, options = tmp_path / "out.json", ("--model", "kkt-bigm-naive", "--solver", "highs")
    start_s = work_of(*PROGRAM, "solve", "tiny/kink", *options)
    with running(*PROGRAM, "solve", "coding-13", "tiny/tie", *options, "--json", str(out)) as process:
        wait_for_work(3 * start_s, process)
        interrupted(process)
    (result,) = read_json(out)
    assert result["instance"] == "coding-13"
    assert result["profit"] >= 0.999 * po.solve("coding-13").profit
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_equilibrium_at_given_prices(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert run(["equilibrium", "tiny/one-rival", "--price", "lead=3", "--price", "rival=4", "--json", str(out)]) == 0
    found = read_json(out)
    assert found["format"] == "prillm-or/equilibrium@1"
    assert found["prices"] == {"lead": 3.0, "rival": 4.0}
    for user, flows in found["flows"].items():
        assert user in found["multipliers"]
        for provider, flow in flows.items():
            assert 0 < flow <= found["loads"][provider] * (1 + 1e-12)
    assert found["certificate"]["kkt_residual"] <= 1e-12


def test_curve_is_continuous_and_its_best_is_that_of_solve(tmp_path: Path) -> None:
    out = tmp_path / "curve.json"
    assert run(["curve", "coding-13", "--json", str(out)]) == 0
    curve = read_json(out)
    pieces = curve["pieces"]
    assert (curve["format"], pieces[0]["from"]) == ("prillm-or/curve@1", 0.0)
    for left, right in pairwise(pieces):
        assert left["to"] == right["from"]
        reached = left["load"] + left["slope"] * (left["to"] - left["from"])
        assert reached == pytest.approx(right["load"], rel=1e-9)
    assert run(["solve", "coding-13", "--json", str(out)]) == 0
    assert curve["best"]["profit"] == pytest.approx(read_json(out)["profit"], rel=1e-12)


def test_curve_of_one_of_two_prices_counts_both_providers(tmp_path: Path) -> None:
    out, still = tmp_path / "curve.json", tmp_path / "still.json"
    assert run(["curve", "tiny/two-prices", "--provider", "plain", "--json", str(out)]) == 0
    best = read_json(out)["best"]
    assert run(["equilibrium", "tiny/two-prices", "--price", f"plain={best['price']!r}", "--json", str(still)]) == 0
    assert read_json(still)["profit"] == pytest.approx(best["profit"], rel=1e-12)


def test_generate_then_validate_and_solve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine.json.gz"
    sizes = ["--users", "6", "--providers", "5", "--shape", "heavy", "--seed", "3"]
    assert run(["generate", *sizes, "--out", str(out)]) == 0
    first = out.read_bytes()
    assert run(["generate", *sizes, "--out", str(out)]) == 0
    assert out.read_bytes() == first
    assert run(["validate", str(out)]) == 0
    assert "6 users, 5 providers" in capsys.readouterr().out
    assert run(["solve", str(out)]) == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"prillm-or {command}" in capsys.readouterr().out.replace("Usage: prillm-or", "")


@pytest.mark.parametrize("command", ["models", "solvers", "instances"])
def test_lists_are_tables_and_json(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert run([command, "--json", str(out)]) == 0
    table = capsys.readouterr().out
    rows = read_json(out)
    assert rows
    for row in rows:
        assert row["name"] in table


def test_lists_tell_components_and_the_people_that_rows_stand_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["instances", "--json", str(tmp_path / "out.json")]) == 0
    table = capsys.readouterr().out
    rows = {row["name"]: row for row in read_json(tmp_path / "out.json")}
    assert rows["tiny/price-list"]["components"] == ["input", "output"]
    assert rows["tiny/price-list"]["today"] == {"lead.input": 1.0, "lead.output": 2.0}
    assert rows["tiny/two-in-a-row"]["people"] == 2
    assert {"components", "people"}.isdisjoint(rows["tiny/one-rival"])
    assert "1 (2 people)" in table
    assert "lead (input, output)" in table
    assert run(["validate", "tiny/two-in-a-row", "tiny/below-cost", "tiny/factor", "tiny/kink"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "valid, 1 users (2 people), 2 providers, leader lead *" in said
    assert "2 providers, components input, output, leader lead, who decides lead.output *" in said
    assert "leader lead, who decides factors of lead *" in said
    assert "valid, 1 users, 3 providers, leader lead *" in said


def test_no_arguments_show_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) in (0, 2)
    shown = capsys.readouterr()
    for command in COMMANDS:
        assert command in shown.out + shown.err


def test_ids_that_look_like_markup_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market = shipped("tiny/one-rival")
    odd = dataclasses.replace(market, provider_ids=("[bold]lead[/bold]", "rival"))
    write_market(odd, tmp_path / "odd.json")
    assert run(["solve", str(tmp_path / "odd.json")]) == 0
    assert "price of [bold]lead[/bold] from" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "ending"),
    [
        ("kkt-bigm", ".lp"),
        ("kkt-bigm", ".mps"),
        ("kkt-bilinear", ".nl"),
        ("kkt-sos1", ".lp"),
        ("strong-duality", ".nl"),
        ("strong-duality", ".lp"),
        ("mpec", ".nl"),
    ],
)
def test_the_reformulated_programme_can_be_exported(model: str, ending: str, tmp_path: Path) -> None:
    out = tmp_path / f"kink{ending}"
    solver = "ipopt" if model == "mpec" else "scip"
    assert run(["solve", "tiny/kink", "--solver", solver, "--model", model, "--write-model", str(out)]) == 0
    assert out.stat().st_size > 500
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_an_exported_programme_has_the_optimum_of_its_market(tmp_path: Path) -> None:
    out = tmp_path / "kink.lp"
    assert run(["solve", "tiny/kink", "--write-model", str(out)]) == 0
    with gurobipy.Env(params={"OutputFlag": 0}) as environment, gurobipy.read(str(out), env=environment) as programme:
        programme.optimize()
        optimum = programme.ObjVal
    market = shipped("tiny/kink")
    unit = float(market.price_cap.max() * market.demand.mean())
    assert optimum * unit == pytest.approx(7.5, rel=1e-5)  # tiny/README.md


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["tiny/kink", "--write-model", "kink.txt"], ".lp"),
        (["tiny/kink", "--model", "kkt-indicator", "--solver", "scip", "--write-model", "kink.lp"], "indicator"),
        (["tiny/kink", "tiny/tie", "--write-model", "kink.lp"], "one market"),
        (["tiny/kink", "--write-model", "no/such/folder/kink.lp"], "folder"),
    ],
)
def test_an_export_that_cannot_work_says_why(
    arguments: list[str],
    fragment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["solve", *arguments]) == 2
    assert fragment in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve", "--solver", "path"], "the leader sets 2 prices, solver path takes one"),
        (["curve"], "--provider: expected one of own.input, own.output (the leader's), got None"),
        (["curve", "--provider", "own"], "--provider: expected one of own.input, own.output (the leader's), got own"),
        (["equilibrium", "--price", "own.inptu=1"], "--price own.inptu=1: no component is called 'inptu'"),
        (["equilibrium", "--price", "own.input=-1"], "--price own.input=-1: expected a finite number >= 0"),
    ],
)
def test_what_waits_for_several_decisions_says_so_in_one_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lists").mkdir()
    write_market(price_list(), tmp_path / "lists" / "market.json")
    command, *flags = [flag if flag != "." else "lists" for flag in arguments]
    assert run([command, "lists/market.json", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_price_lists_go_through_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The output of `price_list`: P = 1 + y / 2 and x = (7 - P) / 2, best at y = 5.5."""
    file, out = tmp_path / "market.json", tmp_path / "out.json"
    write_market(price_list(decides=("output",)), file)
    assert run(["solve", str(file), "--json", str(out)]) == 0
    solved = read_json(out)
    assert solved["prices"] == {"own": {"input": 1.0, "output": pytest.approx(5.5)}}
    assert solved["billed"] == {"own": {"input": pytest.approx(1.625), "output": pytest.approx(0.8125)}}
    assert run(["equilibrium", str(file), "--price", "own.output=5.5", "--json", str(out)]) == 0
    assert read_json(out)["profit"] == pytest.approx(solved["profit"])
    assert run(["curve", str(file), "--provider", "own.output", "--json", str(out)]) == 0
    assert (read_json(out)["decision"], read_json(out)["provider"]) == ("own.output", "own")
    assert run(["explain", str(file), "--json", str(out), "--plot", str(tmp_path / "why.svg")]) == 0
    assert [part["component"] for part in read_json(out)["components"]] == ["input", "output"]
    assert run(["page", str(file), "--out", str(tmp_path / "page.html")]) == 0
    assert "Output price of own" in (tmp_path / "page.html").read_text(encoding="utf-8")
    text = " ".join(capsys.readouterr().out.split())
    assert "Raise the output price of own from 2 to 5.5 (+175 %; currency per volume unit)." in text
