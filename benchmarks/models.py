"""The algebraic model against the path: time, agreement, and what derived big-M values are worth.

Times are of whole solves in a warm process, the final certificate included; the gap is 1e-4 throughout.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clock import medians
from benchmarks.markets import sample
from benchmarks.report import Table, Target, target_table
from prillm_or.errors import PrillmError
from prillm_or.files.markets import read_market
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate
from prillm_or.result import Result, Status
from prillm_or.solving.run import solve

_INSTANCES = Path(__file__).parent.parent / "instances"
_GAP = 1e-4
_AGREE = 1e-6


@dataclass(frozen=True)
class TimeRow:
    """Medians of whole solves of one instance."""

    market: str
    path_ms: float
    highs_ms: float
    highs_over_path: float
    highs_status: str


@dataclass(frozen=True)
class AgreementRow:
    """One solver on one instance; `below_best` is the relative shortfall from the best profit of all solvers."""

    market: str
    solver: str
    status: str
    prices: str
    profit: str
    gap: float | None
    below_best: float | None


@dataclass(frozen=True)
class NaiveRow:
    """Derived against given big-M values, one run of each."""

    market: str
    derived_s: float
    naive_s: float
    naive_over_derived: str
    naive_status: str
    naive_gap: float | None


@dataclass(frozen=True)
class CloseRow:
    """One run of kkt-bigm on HiGHS."""

    market: str
    seconds: float
    status: str
    gap: float | None
    path_below: float


def measure(quick: bool) -> Iterator[Table]:
    """Time on coding-13, agreement on the shipped instances, derived against naive M, 20x20, then the targets."""
    coding = read_market(_INSTANCES / "coding-13.json").market
    yield Table("path against kkt-bigm on HiGHS", [_time_row(coding)])
    agreement = [row for market in _shipped() for row in _agreement(market)]
    yield Table("agreement on the shipped instances", agreement, "below best: relative to the best profit of all")
    limit = 20.0 if quick else 120.0
    markets = [coding] if quick else [coding, generate(8, 13, "uniform", 1)]
    naive = [_naive_row(market, limit) for market in markets]
    note = f"kkt-bigm-naive: M = 1e4, no first tangents, {limit:g} s at most"
    yield Table("derived against naive M on HiGHS", naive, note)
    closed = [_close_row(market) for market in sample(20, 20, 1 if quick else 3)]
    yield Table("20x20 on HiGHS", closed, "path below: relative shortfall of path's profit from the one found here")
    worst = max((row.below_best for row in agreement if row.below_best is not None), default=0.0)
    yield target_table([Target("largest shortfall on the shipped instances", worst, _AGREE, at_least=False)])


def _solve(market: Market, solver: str, model: str | None = None, limit: float | None = 120.0) -> tuple[Result, float]:
    """Result and wall-clock seconds."""
    began = time.perf_counter()
    result = solve(market, solver=solver, model=model, gap=_GAP, time_limit=limit)
    return result, time.perf_counter() - began


def _shipped() -> list[Market]:
    return [read_market(file).market for file in sorted(_INSTANCES.glob("*.json")) if "schema" not in file.name]


def _time_row(market: Market) -> TimeRow:
    result, _ = _solve(market, "highs", "kkt-bigm")
    times = medians(
        {"path": lambda: _solve(market, "path"), "highs": lambda: _solve(market, "highs", "kkt-bigm")},
        clock=time.perf_counter,  # HiGHS solves in a thread of its own
    )
    return TimeRow(
        market.name, 1e3 * times["path"], 1e3 * times["highs"], times["highs"] / times["path"], result.status.value
    )


def _agreement(market: Market) -> list[AgreementRow]:
    solvers = ("path", "bisect", "highs", "gurobi") if len(market.decisions) == 1 else ("highs", "gurobi")
    results: dict[str, Result] = {}
    failures: dict[str, str] = {}
    for solver in solvers:
        try:
            results[solver] = _solve(market, solver)[0]
        except PrillmError as failure:
            failures[solver] = type(failure).__name__
    best = max(result.profit for result in results.values())
    rows = []
    for solver in solvers:
        if solver in failures:
            rows.append(AgreementRow(market.name, solver, failures[solver], "-", "-", None, None))
            continue
        found = results[solver]
        prices = ", ".join(f"{one.value:.8g}" for one in found.decided)
        profit, below = f"{found.profit:.8g}", (best - found.profit) / abs(best)
        rows.append(AgreementRow(market.name, solver, found.status.value, prices, profit, found.gap, below))
    return rows


def _naive_row(market: Market, limit: float) -> NaiveRow:
    _, derived_s = _solve(market, "highs", "kkt-bigm", limit)
    naive, naive_s = _solve(market, "highs", "kkt-bigm-naive", limit)
    least = "" if naive.status is Status.OPTIMAL else "at least "
    ratio = f"{least}{naive_s / derived_s:.3g}"
    return NaiveRow(market.name, derived_s, naive_s, ratio, naive.status.value, naive.gap)


def _close_row(market: Market) -> CloseRow:
    result, seconds = _solve(market, "highs", "kkt-bigm")
    path, _ = _solve(market, "path")
    return CloseRow(
        market.name, seconds, result.status.value, result.gap, (result.profit - path.profit) / abs(result.profit)
    )
