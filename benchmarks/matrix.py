"""The cross-check matrix: every exact formulation on every capable solver, on the shipped instances.

Profits are those of the prices in the full market, certified afresh; bounds are as proven. No profit may be above the
bound of any method, its own or another's: the run fails if one is. One run of each, in a warm process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.markets import sample
from benchmarks.report import Table, Target, target_table
from prillm_or.errors import PrillmError
from prillm_or.files.markets import read_market
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.registry import MODELS, model_needs
from prillm_or.result import Result
from prillm_or.solvers.registry import solvers_for
from prillm_or.solving.run import solve

_INSTANCES = Path(__file__).parent.parent / "instances"
_NATIVE = {1: ("path", "bisect"), 2: ("ascent",)}
_GAP = 1e-4
_BROKEN = 1e-7


@dataclass(frozen=True)
class Row:
    """One method on one instance; `broken` counts the methods whose profit is above the bound proven here."""

    method: str
    status: str
    profit: str
    of_best: str
    gap: float | None
    seconds: float | None
    broken: int | None


@dataclass(frozen=True)
class Run:
    """What a method found, or why it found nothing."""

    method: str
    result: Result | None
    seconds: float
    failure: str = ""


def measure(quick: bool) -> Iterator[Table]:
    """One table for each instance, then the target.

    Raises
    ------
    SystemExit
        When a profit is above a proven bound.
    """
    limit = 5.0 if quick else 20.0
    _warm_up(limit)
    violations = methods = 0
    for market in _shipped(quick):
        runs = [_run(market, solver, model, limit) for solver, model in _methods(market)]
        results = [run.result for run in runs if run.result is not None]
        rows = [_row(run, results) for run in runs]
        methods += len(results)
        violations += sum(row.broken or 0 for row in rows)
        note = f"gap {_GAP:g}, {limit:g} s at most; broken: profits of any method above this one's bound"
        yield Table(f"matrix {market.name}", rows, note)
    figure = f"profits above a proven bound by more than {_BROKEN:g}, {methods} answers"
    yield target_table([Target(figure, float(violations), 0.0, at_least=False)])
    if violations:
        raise SystemExit(f"matrix: {violations} profits are above a proven bound")


def _shipped(quick: bool) -> list[Market]:
    names = "roleplay-10.json" if quick else "*.json"
    return [read_market(file).market for file in sorted(_INSTANCES.glob(names)) if "schema" not in file.name]


def _methods(market: Market) -> list[tuple[str, str | None]]:
    """Solver and model: ours first, then every exact formulation on every solver that can take it."""
    ours: list[tuple[str, str | None]] = [(solver, None) for solver in _NATIVE[len(market.leader)]]
    exact = [model for model in MODELS if Capability.NLP not in model_needs(model)]
    return ours + [(solver, model) for model in exact for solver in solvers_for(model)]


def _warm_up(limit: float) -> None:
    """Import everything before the first time is taken."""
    market = sample(3, 3, 1, ("uniform",))[0]
    for solver, model in _methods(market):
        _run(market, solver, model, limit)


def _run(market: Market, solver: str, model: str | None, limit: float) -> Run:
    name = solver if model is None else f"{solver}:{model}"
    began = time.perf_counter()
    try:
        result = solve(market, solver=solver, model=model, gap=_GAP, time_limit=limit)
    except PrillmError as failure:
        return Run(name, None, time.perf_counter() - began, type(failure).__name__)
    return Run(name, result, time.perf_counter() - began)


def _row(run: Run, results: Sequence[Result]) -> Row:
    found = run.result
    if found is None:
        return Row(run.method, run.failure, "-", "-", None, None, None)
    best = max(result.profit for result in results)
    return Row(
        method=run.method,
        status=found.status.value,
        profit=f"{found.profit:.8g}",
        of_best=f"{100 * found.profit / best:.7g} %",
        gap=found.gap,
        seconds=run.seconds,
        broken=_broken(found.upper_bound, results),
    )


def _broken(bound: float | None, results: Sequence[Result]) -> int:
    if bound is None:
        return 0
    return sum(result.profit - bound > _BROKEN * abs(result.profit) for result in results)
