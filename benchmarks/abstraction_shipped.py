"""Shipped markets with two rivals left: the time of `learned` over that of the full model, today and in version 0.1.0.

`kkt-bigm` on the same solver on both sides, gap 1e-4, one thread, by `solve`, in processor time. With K rivals
everything counts but reading: features, the network, the anchor's equilibrium, building and solving the small model.
Version 0.1.0 is measured in the same run, by the Python of an environment that has it (`--before`, see `before.py`);
without one its columns stay empty.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.before import full_seconds
from benchmarks.report import Table, Target, target_table
from prillm_or.abstraction.registry import AbstractionChoice
from prillm_or.errors import PrillmError
from prillm_or.files.markets import read_market
from prillm_or.files.names import find
from prillm_or.market.market import Market
from prillm_or.result import Result
from prillm_or.solving.run import solve

_MARKETS = (
    "premium-4",
    "economy-8",
    "coding-13",
    "roleplay-10",
    "premium-4-two-prices",
    "premium-4-lists",
    "openrouter-40",
)
_SOLVERS = ("highs", "scip", "gurobi")
_LIMIT = 20.0
_LONG, _LONG_SHARE, _SHORT_MS, _PROFIT_SHARE = 1.0, 0.05, 60.0, 0.999
_LONG_RUN = 5.0
"""Seconds from which one run counts."""


@dataclass(frozen=True)
class Row:
    """`learned` with K = 2 on a shipped market; `before` is the full model of version 0.1.0. Processor time."""

    market: str
    solver: str
    before_s: float | None
    full_s: float | None
    small_ms: float | None
    share_of_before: float | None
    share: float | None
    profit_share: float | None
    note: str = ""


def measure(quick: bool, before: Path | None) -> Iterator[Table]:
    """Every shipped market on every solver, then the targets."""
    names = _MARKETS[:1] if quick else _MARKETS
    rows = [_row(name, solver, before, 1 if quick else 3) for name in names for solver in _SOLVERS]
    note = (
        "kkt-bigm on both sides, processor time, medians of 3; before: version 0.1.0; full runs stop at "
        f"{_LIMIT:g} s and count as that; crowd is left out: its profit is not concave"
    )
    yield Table("shipped markets, learned, K = 2", rows, note)
    yield target_table(list(_targets(rows)))


def _row(name: str, solver: str, before: Path | None, repeats: int) -> Row:
    market = read_market(find("instances", name)).market
    best = solve(market).profit
    full_s = small_s = profit_share = None
    try:
        small_s, small = _processor(market, solver, "learned", repeats)
        profit_share = small.profit / best
        full_s, _ = _processor(market, solver, None, repeats)
        note = "" if len(market.rivals) > 2 else "no more than 2 rivals: solved as it is"
    except PrillmError as error:
        note = str(error).partition(";")[0]
    before_s = None if before is None else full_seconds(before, market, solver, _LIMIT, repeats)
    return Row(
        name,
        solver,
        before_s,
        full_s,
        None if small_s is None else 1e3 * small_s,
        small_s / before_s if small_s and before_s else None,
        small_s / full_s if small_s and full_s else None,
        profit_share,
        note,
    )


def _processor(market: Market, solver: str, name: str | None, repeats: int) -> tuple[float, Result]:
    """Median seconds of processor time, after a call that imports; one long run counts by itself."""
    abstraction = None if name is None else AbstractionChoice(name, 2)
    seconds: list[float] = []
    while len(seconds) <= repeats:
        began = time.process_time()
        result = solve(market, solver=solver, model="kkt-bigm", time_limit=_LIMIT, abstraction=abstraction)
        seconds.append(time.process_time() - began)
        if seconds[-1] > _LONG_RUN:
            break
    return median(seconds[1:] or seconds), result


def _targets(rows: Sequence[Row]) -> Iterator[Target]:
    """The largest share where the full model took long, and the longest time elsewhere."""
    long = [row for row in rows if row.before_s is not None and row.before_s >= _LONG and row.share_of_before]
    short = [row for row in rows if row not in long and row.solver != "scip" and row.small_ms is not None]
    for row in long:
        figure = f"{row.market}, {row.solver}: share of version 0.1.0's full time, {row.before_s:.3g} s"
        yield Target(figure, row.share_of_before or 0.0, _LONG_SHARE, at_least=False)
    for row in short:
        yield Target(f"{row.market}, {row.solver}: ms", row.small_ms or 0.0, _SHORT_MS, at_least=False)
    profits = [row.profit_share for row in rows if row.profit_share is not None]
    yield Target("least share of the best profit on shipped markets", min(profits), _PROFIT_SHARE, at_least=True)
