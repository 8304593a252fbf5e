"""Profiles: what a file of options may hold, and what is said of one that holds something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from prillm_or.cli import run


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"x = {'[' * 3000}", "nested too deeply"),
        (f"x = {'1' * 5000}", "holds an integer too long"),
        ("x =", "not a TOML file"),
        ("solver = 3", "solver: expected a text, got 3"),
        ("solver = 'highs'\noptions = 1", "options: expected a table, got 1"),
        ("solver = 'highs'\noptoins.x = 1", 'unknown field "optoins"; did you mean "options"?'),
        ("solver = 'highs'\n[options]\nx = [1]", "options.x: expected a number, a text, true or false, got a list"),
        ("solver = 'highs'\n[options.x]\ny = 1", "options.x: expected a number, a text, true or false, got an object"),
        ("solver = 'highs'\n[options]\nx = 2026-01-01", "options.x: expected a number, a text, true or false"),
        (f"solver = 'highs'\n[options]\nx = {2**63}", "options.x: expected a number, a text, true or false"),
        ("solver = 'cplex'", "solver: expected one of path"),
        ("solver = 'path'\n[options]\nx = 1", "options: path has none"),
        ("solver = 'highs'\n[options]\nmip_detect_symmetry = 1.5", "mip_detect_symmetry"),
        ("solver = 'gurobi'\n[options]\nMIPFocus = 'x'", "options.MIPFocus: Gurobi has no"),
        (f"solver = 'gurobi'\n[options]\nMIPFocus = {2**62}", "options.MIPFocus: Gurobi has no"),
        (f"solver = 'scip'\n[options]\n'limits/solutions' = {2**62}", "options.limits/solutions: SCIP has no"),
        ("solver = 'ipopt'\n[options]\nmax_iter = 'x'", "max_iter"),
    ],
    ids=lambda value: value[-40:] if value[0] != "x" else value[:3],
)
def test_a_profile_of_a_solver_that_is_wrong_is_told(
    content: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.toml").write_text(content)
    assert run(["solve", "tiny/tie", "--solver", str(tmp_path / "p.toml")]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("formulation = 'kkt-bigm'\n[options]\nbig_m = 'x'", 'options.big_m: expected a number, got "x"'),
        ("formulation = 'kkt-bigm'\n[options]\nseeds = 1.5", "options.seeds: expected a whole number, got 1.5"),
        ("formulation = 'kkt-sos1'\n[options]\nseeds = true", "options.seeds: expected a whole number, got true"),
        ("formulation = 'smooth'\n[options]\nfactor = nan", "factor: expected a number between 0 and 1"),
        ("formulation = 'kkt'", "formulation: expected one of kkt-bigm"),
    ],
)
def test_a_profile_of_a_model_that_is_wrong_is_told(
    content: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.toml").write_text(content)
    assert run(["solve", "tiny/tie", "--model", str(tmp_path / "m.toml")]) == 2
    assert says in capsys.readouterr().err


def test_all_faults_of_a_profile_are_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.toml").write_text("solver = 3\noptions.x = [1]\nmore = 1")
    assert run(["solve", "tiny/tie", "--solver", str(tmp_path / "p.toml")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
