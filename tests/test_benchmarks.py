"""Benchmarks: the smoke test of speed, what is written from results, and the alternatives that are compared."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="benchmarks are no part of the wheel")

from benchmarks import growth, markets, page, pictures, pricing, report, several, smoke
from benchmarks.alternatives import Found, Grid, OutOfTimeError, at_most, parametric, plain_gurobi, plain_scip
from benchmarks.peers import HighsQp, Programme
from prillm_or.market.synthetic import generate
from prillm_or.solving.run import solve
from prillm_or.users.problem import user_problem

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_nothing_has_become_twice_as_slow() -> None:
    command = [sys.executable, "-m", "benchmarks", "smoke"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_ratio_twice_its_reference_is_a_regression_and_less_is_none() -> None:
    references = {"a": 0.5, "b": 2.0}
    assert smoke.regressed({"a": 1.0, "b": 4.0}, references) == []
    assert smoke.regressed({"a": 1.001, "b": 3.9}, references) == ["a"]
    assert smoke.regressed({"a": float("nan"), "b": 4.1}, references) == ["a", "b"]


def test_a_ratio_without_a_reference_is_a_regression() -> None:
    assert smoke.regressed({"new": 0.001}, {}) == ["new"]


def test_every_ratio_has_a_reference() -> None:
    assert [set(kept["ratios"]) for kept in smoke.kept().values()] == [set(smoke.RATIOS)] * 2


@pytest.mark.parametrize(("slower", "rows_met"), [(1.9, [True]), (2.1, [False])])
def test_the_smoke_test_fails_when_a_ratio_regresses_in_both_measurements(
    monkeypatch: pytest.MonkeyPatch, slower: float, rows_met: list[bool]
) -> None:
    references: dict[str, float] = smoke.kept()[smoke.computing()]["ratios"]
    last = list(references)[-1]
    monkeypatch.setattr(smoke, "measure_ratios", lambda: references | {last: slower * references[last]})
    *_, targets = smoke.measure(quick=False)
    assert [row.met for row in targets.rows] == rows_met  # type: ignore[attr-defined]


def test_a_ratio_that_is_large_in_one_measurement_alone_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    references: dict[str, float] = smoke.kept()[smoke.computing()]["ratios"]
    first, *_, last = references
    runs = iter([references | {first: 5 * references[first]}, references | {last: 5 * references[last]}])
    monkeypatch.setattr(smoke, "measure_ratios", lambda: next(runs))
    *_, targets = smoke.measure(quick=False)
    assert [row.met for row in targets.rows] == [True]  # type: ignore[attr-defined]


def test_the_tables_kept_are_those_of_the_results() -> None:
    results = ROOT / "benchmarks" / "results.json"
    stored = json.loads(results.read_text(encoding="utf-8"))
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert report.between_marks(readme, report.markdown(stored)) == readme
    written = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    drawn = {path.stem for path in (ROOT / "docs" / "pictures").glob("*.svg")}
    assert report.between_marks(written, page.page_text(stored, drawn)) == written


def some_results() -> dict[str, Any]:
    """Results of two measurements, as `--json` writes them, with figures that are easy to find again."""
    sizes = ((100, 10), (1000, 100))
    grown = [
        {"action": action, "shape": shape, "pairs": n * m, "cpu_s": 1e-7 * n * m, "peak_MiB": 50.0 + n * m / 1e4}
        for action in ("path", "bisect")
        for shape in ("uniform", "heavy")
        for n, m in sizes
    ]
    exponents = [{"action": "path", "shape": "uniform", "grows": "n m", "time": 1.0, "memory": None}]
    methods = [("path", 1.0, "0/1"), ("ppopt", 40.0, "0/1"), ("SCIP", 9000.0, "1/1"), ("grid", None, "0/1")]
    priced = [
        {"method": name, "shape": "uniform", "proves": "exact", "ms": 1.0, "over_path": ratio, "limited": limited}
        for name, ratio, limited in methods
    ]
    targets = [
        {"figure": "good", "measured": 1.0, "range": "", "target": "<= 2", "met": True},
        {"figure": "bad", "measured": 3.0, "range": "", "target": "<= 2", "met": False},
    ]

    def result(*tables: tuple[str, list[dict[str, Any]]]) -> dict[str, Any]:
        kept = [{"title": title, "note": "", "rows": rows} for title, rows in tables]
        return {"about": "About.", "environment": "2026-01-01; 1 thread; numpy 2.", "quick": False, "tables": kept}

    return {
        "pricing": result(("pricing 20x20", priced), ("targets", targets)),
        "growth": result(("growth in n m, n = 10 m", grown), ("exponents", exponents)),
    }


def test_the_page_shows_what_was_measured_and_names_what_was_missed(tmp_path: Path) -> None:
    results, target = tmp_path / "results.json", tmp_path / "page.md"
    results.write_text(json.dumps(some_results()), encoding="utf-8")
    marks = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    target.write_text(report.between_marks(marks, "old text"), encoding="utf-8")
    page.write_page(results, target)
    text = target.read_text(encoding="utf-8")
    assert "old text" not in text
    assert "| `pricing` | 2 | 1 | bad: 3, aimed at <= 2 |" in text
    assert "(pictures/pricing.svg)" in text
    assert "(pictures/equilibrium.svg)" not in text
    drawn = {path.stem for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {"pricing", "growth-time", "growth-memory"}


def test_notes_stand_below_their_table_and_are_numbered_once() -> None:
    rows = [
        {"size": "8x6", "method": "path", "note": ""},
        {"size": "8x6", "method": "grid", "note": "coarse"},
        {"size": "8x9", "method": "grid", "note": "coarse"},
        {"size": "8x9", "method": "slow", "note": "stopped"},
    ]
    assert report.table_lines({"rows": rows}) == (
        "| size | method |\n| --- | --- |\n| 8x6 | path |\n| 8x6 | grid (1) |\n| 8x9 | grid (1) |\n"
        "| 8x9 | slow (2) |\n\n(1) coarse; (2) stopped."
    )


def test_the_page_of_benchmarks_begins_with_what_they_come_to() -> None:
    """Five sentences, each with the figures of the results."""
    page_now = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    first = page_now.split("-->")[1].strip().split("\n\n")[0]
    assert len(re.findall(r"\.(?= |$)", first)) == 5
    stored = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    rows = [row for result in stored.values() for table in result["tables"] for row in table["rows"]]
    met = [row["met"] for row in rows if "met" in row]
    assert f"Of {len(met)} targets set beforehand {sum(met)} are met" in first


def test_pictures_are_the_same_every_time_and_hold_their_figures() -> None:
    results = some_results()
    first = {name: draw(results) for name, draw in pictures.PICTURES.items()}
    assert first == {name: draw(results) for name, draw in pictures.PICTURES.items()}
    assert first["equilibrium"] is None
    bars, lines = first["pricing"], first["growth-time"]
    assert bars is not None
    assert lines is not None
    assert "&gt; 9000" in bars
    assert ">40.00<" in bars
    assert ">grid<" not in bars
    assert "path, uniform, exponent 1.00" in lines


def test_exponents_are_those_of_a_power_law() -> None:
    amounts = [1e5, 1e6, 1e7]
    assert growth.slope(amounts, [3 * amount**1.25 for amount in amounts]) == pytest.approx(1.25)


@pytest.mark.slow
def test_a_child_reports_time_and_memory() -> None:
    found = growth.measured("path", "uniform", (100, 10))
    assert isinstance(found, growth.Measured)
    assert 0 < found.cpu_s < 60
    assert 2**20 < found.before <= found.peak < 2**33
    assert "pieces" in found.note


@pytest.mark.slow
def test_a_child_that_fails_says_why() -> None:
    found = growth.measured("path", "uniform", (0, 10))
    assert found == "prillm_or.errors.ArgumentError: `users`: expected a whole number >= 1, got 0"


@pytest.mark.parametrize("shape", ["uniform", "heavy"])
def test_alternatives_find_the_price_of_path(shape: Any) -> None:
    market = generate(3, 4, shape, 1)
    best = solve(market, solver="path").profit
    for alternative in (plain_gurobi, plain_scip):
        found = alternative(market, 60.0)
        assert not found.limited
        assert found.price is not None
        assert pricing.share_of(market, found.price, best) >= 1 - 1e-4


def test_a_parametric_programme_finds_the_price_of_path() -> None:
    pytest.importorskip("ppopt", reason="ppopt is not installed")
    market = generate(3, 4, "uniform", 1)
    found = parametric(market, 60.0)
    assert found.price is not None
    assert found.note == ""
    assert pricing.share_of(market, found.price, solve(market, solver="path").profit) == pytest.approx(1, abs=1e-9)


def test_a_model_beyond_the_licence_is_refused_in_words() -> None:
    found = plain_gurobi(generate(8, 13, "uniform", 1), 60.0)
    assert found == Found(None, note="refused by its licence: 230 variables with a product")


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("shape", ["uniform", "heavy"])
def test_a_fitted_grid_is_sure_to_come_close(shape: Any, seed: int) -> None:
    market = generate(4, 5, shape, seed)
    best = solve(market, solver="path").profit
    programme = Programme(user_problem(market))
    grid = Grid(market, HighsQp(programme), HighsQp.tolerances[0], programme)
    points = pricing.sure_points(market)
    for more in (0, 1, 17):
        found = grid.best(points + more)
        assert found.price is not None
        assert pricing.share_of(market, found.price, best) >= 1 - 1e-4


@pytest.mark.slow
def test_methods_for_several_prices_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (several.Part("before", 3, 4, 2, quick=1), several.Part("fine", 3, 4, 2, quick=1))
    monkeypatch.setattr(several, "PARTS", parts)
    *tables, targets = several.measure(True, "(before|fine) 3x4, 2, heavy")
    compared, (alone,) = tables[0].rows, tables[1].rows
    assert [row.method for row in compared] == ["branch", "highs", "scip", "gurobi"]  # type: ignore[attr-defined]
    for row in (*compared, alone):
        assert isinstance(row, several.Row | several.AloneRow)
        assert (row.shape, row.markets, row.closed) == ("heavy", 1, 1)
    assert all(row.false_bounds == 0 for row in compared)  # type: ignore[attr-defined]
    assert compared[0].ratio == compared[0].least_ratio == 1  # type: ignore[attr-defined]
    assert len(targets.rows) == 3
    assert next(iter(several.measure(True, "no such part"))).rows == []


def test_leaders_of_price_lists_have_one_cap_at_the_mean_mix() -> None:
    market = markets.led_by(generate(5, 4, "uniform", 1, components=("input", "output")), 3)
    mean = market.demand @ market.mix / market.demand.sum()
    np.testing.assert_allclose(market.price_cap.reshape(3, 2) @ mean, 12.0)
    np.testing.assert_allclose(markets.led_by(generate(5, 4, "uniform", 1), 2).price_cap, 12.0)


def test_time_runs_out() -> None:
    def endless() -> None:
        with at_most(0.01):
            while True:
                np.linalg.inv(np.eye(10))

    with pytest.raises(OutOfTimeError):
        endless()
