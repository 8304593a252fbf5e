"""The headline of a comparison: derived from the lines, true in every case."""

from __future__ import annotations

import pytest

from helpers.markets import shipped_file
from prillm_or.comparison.headline import headline, headlines
from prillm_or.comparison.summary import Line, Section


def proof(method: str, profit: float, time_s: float, share: float | None = 1.0) -> Line:
    return Line(method, {"a": 1.0}, profit, share, 0.0, time_s, 1.0, "optimal")


def guess(method: str, profit: float, share: float | None, gap: float | None = None) -> Line:
    return Line(method, {"a": 1.0}, profit, share, gap, 1.0, 1.0, "heuristic" if gap is None else "feasible")


def failure(method: str) -> Line:
    return Line(method, {}, None, None, None, None, None, "error", "why")


def section(*lines: Line) -> Section:
    return Section(shipped_file("tiny/kink"), lines)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [proof("path", 10.0, 0.01), proof("highs", 10.0 * (1 - 1e-8), 0.9), proof("scip", 10.0, 1.5)],
            "path, highs and scip all prove the optimum, and agree to 1e-08. path is 90 to 150 times faster than the "
            "others.",
        ),
        (
            [proof("path", 10.0, 1.0), proof("bisect", 10.0, 1.05)],
            "path and bisect both prove the optimum, and agree to the last digit. path and bisect are about equally "
            "fast: 1 s.",
        ),
        (
            [proof("path", 10.0, 0.01), proof("highs", 9.0, 0.025)],
            "path and highs each claim the optimum, and their profits are 10.00 % apart, more than the gap of 0.0001 "
            "allows: one of them is wrong. path is 2.5 times faster than highs.",
        ),
        ([proof("path", 10.0, 0.01)], "path proves the optimum, 10, in 10 ms."),
        ([proof("path", 0.0, 0.01, None)], "path proves the optimum, 0, in 10 ms."),
        (
            [proof("path", 10.0, 0.01), guess("spgce", 8.0, 0.8), guess("min", 5.0, 0.5), failure("scip")],
            "path proves the optimum, 10, in 10 ms. 2 methods prove less; the worst, min, earns 50.00 % of that. "
            "scip failed.",
        ),
        (
            [proof("path", 10.0, 0.01), guess("spgce", 8.0, 0.8)],
            "path proves the optimum, 10, in 10 ms. spgce earns 80.00 % of that, and proves less.",
        ),
        (
            [proof("path", 10.0, 0.01), guess("odca", 11.0, 1.1)],
            "path proves the optimum, 10, in 10 ms. odca earns more than the optimum proven: that proof is wrong.",
        ),
        (
            [guess("odca", 8.0, None), guess("spgce", 9.0, None)],
            "No method proves anything here: how much more could be earned is not known. The best price seen is that "
            "of spgce, which earns 9.",
        ),
        (
            [guess("odca", 9.5, None), guess("highs", 9.0, None, gap=0.2)],
            "No method proves the gap asked for; highs comes nearest, with 0.2. The best price seen is that of odca, "
            "which earns 9.5.",
        ),
        ([failure("path"), failure("scip")], "path and scip failed."),
    ],
)
def test_what_is_said_of_a_market(lines: list[Line], said: str) -> None:
    assert headline(section(*lines), 1e-4) == said
    assert headlines([section(*lines)], 1e-4) == said


def test_what_is_said_of_several_markets() -> None:
    agreeing = section(proof("path", 10.0, 0.01), proof("highs", 10.0 - 1e-8, 0.9))
    alone, none = section(proof("path", 10.0, 0.01)), section(failure("path"))
    said = headlines([agreeing, agreeing, alone, none], 1e-4)
    assert said == (
        "The optimum is proven on 3 of 4 markets. Where several methods prove it (2), they agree to 1e-09. "
        "The fastest of them: path (2)."
    )
    apart = section(proof("path", 10.0, 0.01), proof("highs", 9.0, 0.001))
    assert "up to 10.00 % apart, so that one is wrong. The fastest of them: path (1), highs (1)." in headlines(
        [agreeing, apart], 1e-4
    )
