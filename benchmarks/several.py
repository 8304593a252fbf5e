"""Several prices, exactly: `branch` alone, and against the exact formulations on HiGHS, SCIP and Gurobi.

The last providers of a random market lead. Processor seconds of whole calls of `solve` in a warm process: start, bound
and certificate. What a method has not closed when its time on the clock is up counts as the time it took by then, a
lower bound. Where users' own weights leave no concave profit (shape `market`), SCIP gets `kkt-bilinear`.

Models are written for the window of decisions that `branch` leaves; in the parts called `before` they are written for
all decisions up to the caps, as they were in version 0.1.0, when there was no `branch`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from statistics import median
from unittest.mock import patch

from benchmarks.clock import medians
from benchmarks.markets import SHAPES, led_by, sample, size
from benchmarks.report import Table, Target, span, target_table
from prillm_or.errors import PrillmError
from prillm_or.market.market import Market
from prillm_or.market.synthetic import Shape, generate
from prillm_or.models.curvature import concavity
from prillm_or.models.window import whole_window
from prillm_or.result import Status
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

_GAP, _FINE = 1e-4, 1e-9
_LIMIT = 60.0
_OURS, _FREE, _LICENSED = "branch", ("highs", "scip"), "gurobi"
_TIMES_FREE, _TIMES_LICENSED = 30.0, 3.0
_AGAINST = ("compared", "before")
_ALL_SHAPES: tuple[Shape, ...] = (*SHAPES, "market")
_FALSE = 1e-9


@dataclass(frozen=True)
class Part:
    """Markets of one size, led by so many providers, and what is measured on them.

    Parameters
    ----------
    group
        `compared` with the other methods, or with those of `before`, `alone`, or `fine`, alone to a gap of 1e-9.
    markets, quick
        How many of each shape, and in a trial.
    lists
        Whether providers bill input and output apart.
    limit
        Seconds on the clock.
    seconds, equilibria
        Aimed at, at the median: processor seconds, and time over that of a cold equilibrium.
    """

    group: str
    users: int
    providers: int
    leaders: int
    markets: int = 20
    quick: int = 3
    shapes: tuple[Shape, ...] = SHAPES
    lists: bool = False
    limit: float = _LIMIT
    seconds: float | None = None
    equilibria: float | None = None

    @property
    def decisions(self) -> int:
        """How many numbers are decided."""
        return self.leaders * (2 if self.lists else 1)

    @property
    def name(self) -> str:
        """Title of its table; with a shape behind it what `--only` is looked for in."""
        return f"{self.group} {self.users}x{self.providers}, {self.decisions}"

    @property
    def gap(self) -> float:
        """The gap to close."""
        return _FINE if self.group == "fine" else _GAP

    def sampled(self, shape: Shape, quick: bool) -> list[Market]:
        """The markets of one shape."""
        seeds = self.quick if quick else self.markets
        if not self.lists:
            return [led_by(market, self.leaders) for market in sample(self.users, self.providers, seeds, (shape,))]
        drawn = (
            generate(self.users, self.providers, shape, seed, components=("input", "output"))
            for seed in range(1, seeds + 1)
        )
        return [led_by(market, self.leaders) for market in drawn]


PARTS = (
    *(Part("alone", 8, 13, k, shapes=_ALL_SHAPES) for k in (2, 3)),
    *(Part("alone", 20, 20, k, shapes=_ALL_SHAPES) for k in (2, 3)),
    *(Part("alone", 8, 13, k, seconds=1.0) for k in (4, 6)),
    Part("alone", 20, 20, 5, seconds=1.0),
    Part("alone", 20, 20, 4, markets=5, quick=1, lists=True),
    Part("alone", 100, 50, 3, markets=5, quick=1, seconds=0.5, equilibria=1000),
    Part("alone", 200, 100, 3, markets=3, quick=1, seconds=1.5, equilibria=1071),
    Part("alone", 2000, 200, 2, markets=1, quick=0, limit=150.0, seconds=60.0, equilibria=1500),
    *(Part("fine", 8, 13, k) for k in (2, 3)),
    *(Part("compared", 8, 13, k, shapes=_ALL_SHAPES) for k in (2, 3)),
    *(Part("compared", 20, 20, k, quick=1) for k in (2, 3)),
    *(Part("compared", 20, 20, k, markets=5, quick=1, shapes=("market",)) for k in (2, 3)),
    *(Part("before", 8, 13, k) for k in (2, 3)),
    *(Part("before", 20, 20, k, markets=8, quick=0) for k in (2, 3)),
)


@dataclass(frozen=True)
class Row:
    """One method on the markets of a size and shape.

    `worst`: the market that took longest, or is furthest from closed; `ratio`: its time over that of branch, median
    and least; `false_bounds`: below the profit that another method earned.
    """

    size: str
    prices: int
    shape: str
    method: str
    markets: int
    closed: int
    s: float | None
    worst_s: float | None
    worst: str
    worst_gap: float | None
    ratio: float | None
    least_ratio: float | None
    false_bounds: int
    note: str


@dataclass(frozen=True)
class AloneRow:
    """Branch on the markets of a size and shape; over equilibrium: its time over that of a cold one, today's prices."""

    size: str
    prices: int
    shape: str
    gap: float
    markets: int
    closed: int
    s: float
    worst_s: float
    worst: str
    worst_gap: float
    nodes: float
    equilibrium_ms: float
    over_equilibrium: float


@dataclass(frozen=True)
class Run:
    """One method on one market."""

    market: str
    seconds: float
    closed: bool
    profit: float
    bound: float
    gap: float
    nodes: float


def measure(quick: bool, only: str = "") -> Iterator[Table]:
    """Every part and shape whose name `only`, a regular expression, is found in, a table for each part; the targets.

    Names are like `compared 8x13, 2, heavy`.
    """
    chosen = {
        part: [shape for shape in part.shapes if re.search(only, f"{part.name}, {shape}")]
        for part in PARTS
        if part.quick or not quick
    }
    _warm([part for part, shapes in chosen.items() if shapes])
    targets: list[Target] = []
    for part, shapes in chosen.items():
        rows: list[Row | AloneRow] = []
        for shape in shapes:
            markets = part.sampled(shape, quick)
            if part.group in _AGAINST:
                rows += _compared(part, shape, markets, targets)
            else:
                rows.append(_alone(part, shape, markets, targets))
        if rows:
            yield Table(part.name, rows, f"gap {part.gap:g}; {part.limit:g} s on the clock at most")
    yield target_table(targets)


def _warm(parts: Sequence[Part]) -> None:
    """For imports, and the first start of each package."""
    market = led_by(generate(3, 4, "uniform", 1), 2)
    others = (*_FREE, _LICENSED) if any(part.group in _AGAINST for part in parts) else ()
    for solver in (_OURS, *others):
        _run(market, solver, _GAP, _LIMIT)


def _run(market: Market, solver: str, gap: float, limit: float) -> Run | str:
    """A whole call; why not, where the method does not take the market."""
    model = None if solver == _OURS else "kkt-bigm" if concavity(market) <= 1 else "kkt-bilinear"
    began = time.process_time()
    try:
        result = solve(market, solver=solver, model=model, gap=gap, time_limit=limit)
    except PrillmError as refusal:
        return str(refusal).partition(";")[0].removeprefix(f"{market.name}: ")
    seconds = time.process_time() - began
    bound = float("inf") if result.upper_bound is None else result.upper_bound
    left = float("inf") if result.gap is None else result.gap
    closed = result.status is Status.OPTIMAL
    return Run(market.name, seconds, closed, result.profit, bound, left, float(result.stats.get("nodes", 0)))


def _worst(runs: Sequence[Run]) -> Run:
    """An open market comes before a slow one."""
    return max(runs, key=lambda run: (not run.closed, run.seconds))


def _alone(part: Part, shape: Shape, markets: Sequence[Market], targets: list[Target]) -> AloneRow:
    runs, equilibria = [], []
    for market in markets:
        run = _run(market, _OURS, part.gap, part.limit)
        assert isinstance(run, Run), run
        runs.append(run)
        equilibria.append(_equilibrium(market))
    ratios = [run.seconds / each for run, each in zip(runs, equilibria, strict=True)]
    seconds, closed = [run.seconds for run in runs], sum(run.closed for run in runs)
    worst, where = _worst(runs), f"{part.name}, {shape}"
    targets.append(Target(f"{where}: share closed", closed / len(runs), 1.0, at_least=True))
    if part.seconds is not None:
        targets.append(Target(f"{where}: s", median(seconds), part.seconds, at_least=False, range=span(seconds)))
    if part.equilibria is not None:
        figure = f"{where}: branch / cold equilibrium"
        targets.append(Target(figure, median(ratios), part.equilibria, at_least=False, range=span(ratios)))
    return AloneRow(
        size=size(markets[0]),
        prices=part.decisions,
        shape=shape,
        gap=part.gap,
        markets=len(runs),
        closed=closed,
        s=median(seconds),
        worst_s=worst.seconds,
        worst=worst.market,
        worst_gap=worst.gap,
        nodes=median(run.nodes for run in runs),
        equilibrium_ms=1e3 * median(equilibria),
        over_equilibrium=median(ratios),
    )


def _equilibrium(market: Market) -> float:
    """Seconds of one cold equilibrium, at today's prices."""
    users, today = user_problem(market), market.current
    return medians({"cold": lambda: solve_users(users, today)}, rounds=5)["cold"]


def _compared(part: Part, shape: Shape, markets: Sequence[Market], targets: list[Target]) -> Iterator[Row]:
    methods = (_OURS, *_FREE, _LICENSED)
    with _for_all_decisions() if part.group == "before" else nullcontext():
        found = [{method: _run(market, method, part.gap, part.limit) for method in methods} for market in markets]
    best = [max(run.profit for run in runs.values() if isinstance(run, Run)) for runs in found]
    for method in methods:
        yield _row(part, shape, method, found, best)
    for what, others, wanted in (("HiGHS and SCIP", _FREE, _TIMES_FREE), ("Gurobi", (_LICENSED,), _TIMES_LICENSED)):
        ratios = [ratio for runs in found if (ratio := _ratio(runs, others)) is not None]
        if ratios and part.group == "before":
            faster = "the faster of " if len(others) > 1 else ""
            figure = f"{part.name}, {shape}: {faster}{what} / branch"
            targets.append(Target(figure, median(ratios), wanted, at_least=True, range=span(ratios)))


def _for_all_decisions() -> AbstractContextManager[object]:
    """Models as of version 0.1.0: nothing is cut off before they are written."""
    return patch("prillm_or.solvers.algebraic.narrowed_window", lambda market, *_: whole_window(market))


def _ratio(runs: dict[str, Run | str], others: Sequence[str]) -> float | None:
    """The time of the fastest of the others over that of branch; None where none of them took the market."""
    ours, taken = runs[_OURS], [run.seconds for other in others if isinstance(run := runs[other], Run)]
    return min(taken) / ours.seconds if taken and isinstance(ours, Run) else None


def _row(part: Part, shape: Shape, method: str, found: Sequence[dict[str, Run | str]], best: Sequence[float]) -> Row:
    runs = [run for each in found if isinstance(run := each[method], Run)]
    ratios = [ratio for each in found if (ratio := _ratio(each, (method,))) is not None]
    pairs = zip((each[method] for each in found), best, strict=True)
    worst = _worst(runs) if runs else None
    return Row(
        size=f"{part.users}x{part.providers}",
        prices=part.decisions,
        shape=shape,
        method=method,
        markets=len(found),
        closed=sum(run.closed for run in runs),
        s=median(run.seconds for run in runs) if runs else None,
        worst_s=None if worst is None else worst.seconds,
        worst="" if worst is None else worst.market,
        worst_gap=None if worst is None else worst.gap,
        ratio=median(ratios) if ratios else None,
        least_ratio=min(ratios) if ratios else None,
        false_bounds=sum(isinstance(run, Run) and run.bound < profit - _FALSE * abs(profit) for run, profit in pairs),
        note="; ".join(sorted({run for each in found if isinstance(run := each[method], str)})),
    )
