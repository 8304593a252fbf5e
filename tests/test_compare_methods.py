"""compare: methods as texts, presets, the environment, and the tables of the paper."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.comparisons import plan
from helpers.markets import shipped_file
from prillm_or.abstraction.registry import ABSTRACTIONS, AbstractionChoice
from prillm_or.comparison import presets, runs
from prillm_or.comparison.comparison import compare
from prillm_or.comparison.environment import environment
from prillm_or.comparison.method import MethodSpec, parse_method
from prillm_or.comparison.plan import Plan
from prillm_or.comparison.presets import PRESETS, preset
from prillm_or.comparison.published import paper_tables
from prillm_or.comparison.runs import crowding
from prillm_or.comparison.summary import sections
from prillm_or.errors import CombinationError, PrillmError, UnknownNameError
from prillm_or.report.gap_tables import markdown
from prillm_or.solvers.registry import SOLVERS
from prillm_or.workers.engine import Engine


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


def test_a_crowd_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "cores", lambda: 4)
    assert crowding(2, 2) is None
    assert "3 jobs x 2 threads on 4 cores" in (crowding(3, 2) or "")


# Presets, environment, tables


def test_table_1_has_every_registered_method_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "SOLVERS", {name: SOLVERS["path"] for name in ("path", "highs", "odca")})
    ours = ["path", "highs:kkt-bigm", "highs:kkt-bigm:learned@2", "path:learned@2"]
    assert preset("table-1").methods() == [*ours, "odca"]


def test_table_3_takes_abstractions_from_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "ABSTRACTIONS", {name: ABSTRACTIONS[name] for name in ("learned", "min")})
    ours = [f"path:{name}@{keep}" for name in ("learned", "min") for keep in (1, 2, 3, 4)]
    assert preset("table-3").methods() == ["path", "bisect", *ours]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_name_what_exists(name: str) -> None:
    for market in PRESETS[name].instances:
        assert shipped_file(market).market.name == market
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
    odd = shipped_file("tiny/kink")
    odd = replace(odd, market=replace(odd.market, name="a|b*c"))
    text = markdown(compare(Plan((odd,), (parse_method("path"),))))
    assert "## a\\|b\\*c" in text
