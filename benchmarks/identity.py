"""The objective identity at work: concave against bilinear profit, one solver, SCIP, on the same markets.

`kkt-bigm` has the profit as a concave function of the rivals' variables, `kkt-bilinear` as price times load; all else
is the same. Times are of whole solves in a warm process, one run of each, the final certificate included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.markets import sample, size
from benchmarks.report import Table
from prillm_or.market.market import Market
from prillm_or.result import Result, Status
from prillm_or.solving.run import solve

_SOLVER, _CONCAVE, _BILINEAR = "scip", "kkt-bigm", "kkt-bilinear"
_GAP = 1e-4


@dataclass(frozen=True)
class Row:
    """One run of each on one market; the ratio is bilinear over concave, a bound where a time limit came first."""

    market: str
    concave_s: float
    concave_status: str
    concave_gap: float | None
    bilinear_s: float
    bilinear_status: str
    bilinear_gap: float | None
    bilinear_over_concave: str


@dataclass(frozen=True)
class Run:
    """A result and its wall-clock seconds."""

    result: Result
    seconds: float

    @property
    def cut(self) -> bool:
        """Whether it ended before the gap was proven."""
        return self.result.status is not Status.OPTIMAL


def measure(quick: bool) -> Iterator[Table]:
    """One table for each size."""
    limit = 20.0 if quick else 120.0
    warm_up = sample(3, 3, 1, ("uniform",))[0]
    for model in (_CONCAVE, _BILINEAR):
        _run(warm_up, model, limit)
    for users, providers, seeds in ((8, 13, 1),) if quick else ((8, 13, 3), (20, 20, 2)):
        markets = sample(users, providers, seeds, ("uniform",))
        note = f"{_CONCAVE} against {_BILINEAR} on {_SOLVER}, gap {_GAP:g}, {limit:g} s at most"
        yield Table(f"identity {size(markets[0])}", [_row(market, limit) for market in markets], note)


def _row(market: Market, limit: float) -> Row:
    concave, bilinear = _run(market, _CONCAVE, limit), _run(market, _BILINEAR, limit)
    return Row(
        market=market.name,
        concave_s=concave.seconds,
        concave_status=concave.result.status.value,
        concave_gap=concave.result.gap,
        bilinear_s=bilinear.seconds,
        bilinear_status=bilinear.result.status.value,
        bilinear_gap=bilinear.result.gap,
        bilinear_over_concave=_ratio(bilinear, concave),
    )


def _ratio(slow: Run, fast: Run) -> str:
    if slow.cut and fast.cut:
        return "-"
    bound = "at least " if slow.cut else "at most " if fast.cut else ""
    return f"{bound}{slow.seconds / fast.seconds:.3g}"


def _run(market: Market, model: str, limit: float) -> Run:
    began = time.perf_counter()
    result = solve(market, solver=_SOLVER, model=model, gap=_GAP, time_limit=limit)
    return Run(result, time.perf_counter() - began)
