"""compare: rows, turns, failures, shares."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from helpers.commands import untimed
from helpers.comparisons import plan
from helpers.markets import shipped_file
from prillm_or.abstraction.registry import ABSTRACTIONS
from prillm_or.comparison import runs
from prillm_or.comparison.comparison import Comparison, compare
from prillm_or.comparison.method import MethodSpec
from prillm_or.comparison.plan import Record, Unit
from prillm_or.comparison.shares import with_shares
from prillm_or.comparison.summary import HEADINGS, cells, sections, time_note
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.limits import Limits
from prillm_or.report.gap_tables import markdown
from prillm_or.result import Result
from prillm_or.solvers.registry import SOLVERS
from prillm_or.solving.run import solve
from prillm_or.workers.engine import Engine


def places(comparison: Comparison) -> list[tuple[str, str, int]]:
    units = [record.unit for record in comparison.records]
    return [(unit.file.market.name, str(unit.method), unit.repeat) for unit in units]


class Presses(logging.Handler):
    """Presses Ctrl-C at the first line of a log, in the midst of what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Press at the first."""
        self.lines += 1
        if self.lines == 1:
            signal.raise_signal(signal.SIGINT)


# Rows


def test_rows_are_results_with_repeat_and_shares() -> None:
    done = compare(plan(["tiny/kink"], ["path", "highs:kkt-bigm"], repeats=2))
    fields = set(solve(shipped_file("tiny/kink").market).to_dict())
    document = done.to_dict()
    assert list(document) == ["format", "environment", "rows"]
    assert document["format"] == "prillm-or/report@1"
    for row in document["rows"]:
        assert set(row) == fields | {"repeat", "profit_share", "time_share"}
        assert row["instance_sha256"] == shipped_file("tiny/kink").sha256
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


def test_abstractions_of_several_prices_are_measured_by_what_branch_proves() -> None:
    methods = ["branch", "branch:anchored@1", "branch:anchored@1+refine", "ascent"]
    done = compare(plan(["premium-4-two-prices"], methods))
    best, *others = done.rows
    assert (best["status"], best["method"]["solver"], best["profit_share"]) == ("optimal", "branch", 1)
    for row in others:
        assert (row["status"], row["upper_bound"]) == ("heuristic", None)
        assert list(row["prices"]) == list(best["prices"])
        assert row["profit"] <= best["upper_bound"] * (1 + 1e-12)
        assert 0.99 <= row["profit_share"] == row["profit"] / best["profit"] <= 1 + 1e-4
    assert [row["method"]["abstraction"] for row in others] == ["anchored", "anchored+refine", None]
    assert all(row["time_share"] > 0 for row in others[:2])  # of `branch` in the full market


def test_a_run_that_breaks_gives_a_row_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(market: AnyMarket, **how: Any) -> Result:
        if how["solver"] == "bisect":
            raise ZeroDivisionError("a fault of ours")
        return solve(market, **how)

    monkeypatch.setattr(runs, "solve", broken)
    done = compare(plan(["tiny/kink"], ["path", "bisect"]))
    assert [row["status"] for row in done.rows] == ["optimal", "error"]
    assert done.rows[1]["message"] == "ZeroDivisionError: a fault of ours"
    assert done.records[1].failure == "crashed"


def test_ctrl_c_before_the_first_run_ends_all(caplog: pytest.LogCaptureFixture) -> None:
    """Solvers answer it with the best price so far, also of the small market that a method is warmed up with.

    No other test has warmed up this method.
    """
    presses, log = Presses(), logging.getLogger("prillm_or.solvers.bisect")
    begun: list[Unit] = []
    with caplog.at_level(logging.INFO, log.name):
        log.addHandler(presses)
        try:
            done = compare(plan(["tiny/kink", "tiny/tie"], ["bisect:min@9"]), on_begin=begun.append)
        finally:
            log.removeHandler(presses)
    assert (done.interrupted, done.records, len(begun), presses.lines) == (True, (), 1, 1)


def test_a_missing_package_gives_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOLVERS, "gurobi", replace(SOLVERS["gurobi"], package="nowhere_to_be_found"))
    done = compare(plan(["tiny/kink"], ["gurobi"]))
    assert "pip install nowhere_to_be_found" in done.rows[0]["message"]
    assert done.records[0].failure == "refused"


# Shares


def record(method: str, profit: float, total: float, status: str = "optimal", repeat: int = 1, **of: Any) -> Record:
    where = replace(shipped_file("tiny/kink"), sha256=of.pop("sha256", "one"))
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


def test_profit_share_is_of_the_best_proven_profit_of_the_market() -> None:
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
    assert [found.beside_twin for found in with_shares(records, "path")] == [False, False, True, False, False, False]


def test_a_share_of_time_keeps_its_base_where_a_repeat_of_that_failed() -> None:
    records = [
        record("highs:kkt-bigm", 1.0, 10.0),
        *(
            record("highs:kkt-bigm", 1.0, 5.0, "heuristic", repeat=k, abstraction="min", spec="highs:kkt-bigm:min")
            for k in (1, 2)
        ),
        record("path", 1.0, 1.0, repeat=2),
    ]
    assert shares(records, "time_share") == [None, 0.5, None, 1.0]


def test_a_table_says_of_what_its_times_are_shares() -> None:
    done = compare(plan(["tiny/kink"], ["path", "bisect", "bisect:min@1"]))
    (found,) = sections(done)
    marked = [cells(line)[HEADINGS.index("time, %")] for line in found.lines]
    assert marked[0] == "100"
    assert [text.endswith("*") for text in marked] == [False, False, True]
    assert "time, %: of path, * of the same solver and model without abstraction" in str(done).replace("\n", " ")
    assert time_note(compare(plan(["tiny/kink"], ["path", "bisect"]))).startswith("time, %: of path; ")


@pytest.mark.slow
def test_workers_give_the_same_rows_in_the_same_order() -> None:
    wanted = plan(["tiny/kink", "tiny/two-prices"], ["path", "odca"], repeats=2)
    assert untimed(compare(wanted, engine=Engine(2)).rows) == untimed(compare(wanted).rows)
