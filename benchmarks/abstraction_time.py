"""Time of an abstraction: the same formulation on the same solver with K rivals left, against the full market.

`kkt-bigm` on HiGHS on both sides, gap 1e-4, one thread, by `solve`. With K rivals everything counts: features,
the network, the anchor's equilibrium, building and solving the small model; imports and the weights' reading do not.
Full runs stop at a time limit and count as that. A full model is written for the window of prices that holds the best,
which leaves few of its pairs open: what fewer rivals save is small beside that. `abstraction_shipped` sets it beside
the full models of version 0.1.0, which had no such window.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import numpy as np

from benchmarks.clock import medians
from benchmarks.report import Table, Target, span, target_table
from prillm_or.abstraction.registry import AbstractionChoice
from prillm_or.files.markets import read_market
from prillm_or.files.names import find
from prillm_or.market.market import Market
from prillm_or.market.synthetic import Shape, generate
from prillm_or.result import Result
from prillm_or.solving.run import solve

_LIMIT = 600.0
_SLOW = 20.0
_SLOW_SHARE, _CODING_SHARE = 0.05, 0.10
_METHODS = ("min", "avg", "capacity", "anchored", "learned")
_MARKETS: tuple[tuple[Shape, int, int, bool], ...] = (
    ("uniform", 8, 14, True),
    ("market", 8, 14, True),
    ("uniform", 20, 20, True),
    ("heavy", 50, 50, True),
    ("uniform", 50, 50, True),
    ("market", 50, 50, True),
    ("market", 20, 20, False),
    ("uniform", 100, 100, True),
    ("heavy", 100, 100, True),
    ("market", 30, 30, False),
    ("market", 40, 30, False),
    ("market", 100, 50, True),
    ("uniform", 200, 100, True),
    ("market", 100, 100, True),
    ("uniform", 150, 200, True),
)
"""Shape, users, providers, and whether all users weigh congestion alike. In larger markets of the shape users' own
weights differ too much for a concave profit (kappa > 1)."""

_CROSSING = ((8, 14), (20, 21), (50, 51), (100, 101), (200, 101), (500, 201), (1000, 201), (2000, 201))


@dataclass(frozen=True)
class CodingRow:
    """A method with K rivals left on coding-13, median of 5."""

    method: str
    K: int
    seconds: float
    time_share: float
    profit_share: float


@dataclass(frozen=True)
class Row:
    """`learned` with K = 2 against the full model; path solves the full market exactly."""

    market: str
    full_s: float
    full_status: str
    full_gap: float | None
    learned_s: float
    time_share: float
    profit_share: float
    path_s: float


@dataclass(frozen=True)
class CrossingRow:
    """Seconds of `path` on the full market, and of one-shot abstractions whose small market `path` solves."""

    market: str
    path_s: float
    anchored_s: float
    learned_s: float
    anchored_share: float
    learned_share: float


def measure(quick: bool) -> Iterator[Table]:
    """Every method on coding-13, then `learned` against size, then the targets."""
    coding = read_market(find("instances", "coding-13")).market
    _run(coding, "learned", 2)  # for imports, weights, and the first start of a solver
    rows = list(_coding_rows(coding, 1 if quick else 5))
    yield Table("time share on coding-13", rows, "share of the full model's time, and of the best profit")
    by_size: list[Row] = []
    for shape, users, providers, alike in _MARKETS[:2] if quick else _MARKETS:
        by_size.append(_row(_market(shape, users, providers, alike)))
    slow = [row.time_share for row in by_size if row.full_s >= _SLOW]
    note = f"full runs stop at {_LIMIT:g} s; path_s: path on the full market, exact"
    yield Table("time share against size, learned, K = 2", by_size, note)
    crossing = [_crossing_row(generate(*size, "uniform", 1)) for size in (_CROSSING[:2] if quick else _CROSSING)]
    yield Table("crossover: path on the full market, and after an abstraction, K = 2", crossing)
    targets = [
        Target(
            "learned, K = 2, time share on coding-13",
            next(row.time_share for row in rows if (row.method, row.K) == ("learned", 2)),
            _CODING_SHARE,
            at_least=False,
        )
    ]
    if slow:
        figure = f"median time share where the full model needs {_SLOW:g} s or more"
        targets.append(Target(figure, median(slow), _SLOW_SHARE, at_least=False, range=span(slow)))
    yield target_table(targets)


def _market(shape: Shape, users: int, providers: int, alike: bool) -> Market:
    market = generate(users, providers, shape, 1)
    if not alike or market.common_weights:
        return market
    mean = np.full(users, float(market.congestion_weight.mean()))
    return replace(market, name=f"{market.name}, common weights", congestion_weight=mean)


def _coding_rows(coding: Market, repeats: int) -> Iterator[CodingRow]:
    """All methods take turns, so that a busy neighbour slows them alike."""
    best = solve(coding, solver="path").profit
    keys: list[tuple[str | None, int]] = [(None, 0), *((name, keep) for name in _METHODS for keep in (1, 2, 3, 4))]
    runs: dict[tuple[str | None, int], list[Result]] = {key: [] for key in keys}
    for _ in range(repeats):
        for name, keep in keys:
            runs[name, keep].append(_run(coding, name, keep))
    seconds = {key: median(run.time_s.total for run in found) for key, found in runs.items()}
    full = seconds[None, 0]
    for name, keep in keys:
        share = runs[name, keep][0].profit / best
        yield CodingRow(name or "full", keep, seconds[name, keep], seconds[name, keep] / full, share)


def _row(market: Market) -> Row:
    exact = [solve(market, solver="path") for _ in range(3)]
    small = [_run(market, "learned", 2) for _ in range(3)]
    full = _run(market, None, 0)
    learned_s = median(run.time_s.total for run in small)
    return Row(
        market.name,
        full.time_s.total,
        full.status.value,
        full.gap,
        learned_s,
        learned_s / full.time_s.total,
        small[0].profit / exact[0].profit,
        median(run.time_s.total for run in exact),
    )


def _crossing_row(market: Market) -> CrossingRow:
    choices = {"anchored": AbstractionChoice("anchored", 2), "learned": AbstractionChoice("learned", 2)}
    actions = {name: partial(solve, market, solver="path", abstraction=choice) for name, choice in choices.items()}
    actions["path"] = partial(solve, market, solver="path")
    seconds = medians(actions, rounds=5)
    profit = {name: action().profit for name, action in actions.items()}
    return CrossingRow(
        market.name,
        *(seconds[name] for name in ("path", "anchored", "learned")),
        *(profit[name] / profit["path"] for name in ("anchored", "learned")),
    )


def _run(market: Market, name: str | None, keep: int) -> Result:
    abstraction = None if name is None else AbstractionChoice(name, keep)
    return solve(market, solver="highs", model="kkt-bigm", time_limit=_LIMIT, abstraction=abstraction)
