"""The best price, exactly, in units of one cold equilibrium of the same market.

`path` and `bisect` are timed whole, scaling the market included; a piece is one step of the trace at 2000x200. `solve`
is the whole call, with its result and certificate, and by numpy where the kernel is switched off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from statistics import mean, median

import numpy as np

from benchmarks.clock import medians
from benchmarks.markets import SHAPES, sample, size
from benchmarks.report import Table, Target, span, target_table
from prillm_or.curves.trace import trace
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.kernel import SWITCH
from prillm_or.users.problem import user_problem

_PIECES = 100


@dataclass(frozen=True)
class Row:
    """Medians over the markets of one size and shape; ratios are times over one cold equilibrium."""

    size: str
    shape: str
    markets: int
    equilibrium_ms: float
    path_ms: float
    path_ratio: float
    path_range: str
    bisect_ms: float
    bisect_ratio: float
    solve_ms: float
    by_numpy_ms: float
    by_numpy_ratio: float


@dataclass(frozen=True)
class PieceRow:
    """One market: a piece of the trace over one cold equilibrium."""

    market: str
    pieces: int
    equilibrium_ms: float
    median_piece_ms: float
    mean_piece_ms: float
    median_ratio: float
    mean_ratio: float


def measure(quick: bool) -> Iterator[Table]:
    """Whole solves, then pieces, then the targets."""
    seeds, large = (3, (200, 100)) if quick else (25, (2000, 200))
    rows, targets = [], []
    for users, providers in ((8, 13), (20, 20)):
        both: list[float] = []
        for shape in SHAPES:
            markets = sample(users, providers, seeds, (shape,))
            times = [_times(market) for market in markets]
            ratios = [t["path"] / t["equilibrium"] for t in times]
            both += ratios
            rows.append(_row(markets[0], shape, times, ratios))
        figure = f"{users}x{providers}: path / cold equilibrium"
        targets.append(Target(figure, median(both), 5.0, at_least=False, range=span(both)))
    yield Table("path", rows, "times over one cold equilibrium at today's price; bisect to the default gap of 1e-4")
    pieces = [_pieces(market) for market in sample(*large, 1)]
    yield Table(f"pieces {large[0]}x{large[1]}", pieces, "every 64 pieces the trace is computed afresh: see the mean")
    for piece in pieces if not quick else ():
        targets.append(Target(f"{piece.market}: piece / cold equilibrium", piece.median_ratio, 0.05, at_least=False))
    yield target_table(targets)


def _times(market: Market) -> dict[str, float]:
    users, today, limits = user_problem(market), market.price[list(market.leader)], Limits()
    twin = replace(market)  # users are kept with their market

    def by_numpy() -> None:
        before = os.environ.get(SWITCH)
        os.environ[SWITCH] = "0"
        solve(twin)
        del os.environ[SWITCH]
        if before is not None:
            os.environ[SWITCH] = before

    return medians(
        {
            "equilibrium": lambda: solve_users(users, today),
            "path": lambda: Path().solve(market, limits),
            "bisect": lambda: Bisect().solve(market, limits),
            "solve": lambda: solve(market),
            "by numpy": by_numpy,
        }
    )


def _row(market: Market, shape: str, times: list[dict[str, float]], ratios: list[float]) -> Row:
    return Row(
        size=size(market),
        shape=shape,
        markets=len(times),
        equilibrium_ms=1e3 * median(t["equilibrium"] for t in times),
        path_ms=1e3 * median(t["path"] for t in times),
        path_ratio=median(ratios),
        path_range=span(ratios),
        bisect_ms=1e3 * median(t["bisect"] for t in times),
        bisect_ratio=median(t["bisect"] / t["equilibrium"] for t in times),
        solve_ms=1e3 * median(t["solve"] for t in times),
        by_numpy_ms=1e3 * median(t["by numpy"] for t in times),
        by_numpy_ratio=median(t["by numpy"] / t["solve"] for t in times),
    )


def _pieces(market: Market) -> PieceRow:
    users, today = user_problem(market), market.price[list(market.leader)]
    equilibrium = medians({"equilibrium": lambda: solve_users(users, today)}, rounds=5)["equilibrium"]
    pieces = trace(users, np.zeros(1), 0, float(market.price_cap[0]))
    next(pieces)  # the start: one equilibrium and one inverse
    seconds: list[float] = []
    began = time.process_time()
    for _ in islice(pieces, _PIECES):
        ended = time.process_time()
        seconds.append(ended - began)
        began = ended
    return PieceRow(
        market=market.name,
        pieces=len(seconds),
        equilibrium_ms=1e3 * equilibrium,
        median_piece_ms=1e3 * median(seconds),
        mean_piece_ms=1e3 * mean(seconds),
        median_ratio=median(seconds) / equilibrium,
        mean_ratio=mean(seconds) / equilibrium,
    )
