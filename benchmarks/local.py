"""Local maxima are real: how often methods without a proof end below the best price on random markets, and how much.

The profit curve is exact, from the pieces of `path`. Every price is judged by `solve`, at an equilibrium of the full
market certified afresh; losses are relative to path's profit. `ascent` is left out: for one price it is `path`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np

from benchmarks.markets import SHAPES, sample, size
from benchmarks.report import Table, Target, target_table
from prillm_or.curves.trace import best_on_piece, trace
from prillm_or.market.market import Market
from prillm_or.result import Result, Status
from prillm_or.solving.run import solve
from prillm_or.users.problem import user_problem

_METHODS = (("ipopt", "mpec"), ("ipopt", "smooth"), ("grid", None), ("odca", None), ("spgce", None))
_LIMIT_S = 60.0
_WORSE = 1e-4
_AGREE = 1e-9
_DIP = 1e-9


@dataclass(frozen=True)
class CurveRow:
    """Profit curves of one shape of market."""

    shape: str
    markets: int
    several_maxima: int
    several_share: float
    most_maxima: int


@dataclass(frozen=True)
class Row:
    """One method on the markets of one shape; the mean loss is over all markets, and over those it ends worse on."""

    method: str
    markets: int
    worse: int
    worse_share: float
    worse_where_several: int
    mean_loss: float
    mean_loss_where_worse: float | None
    worst_loss: float
    errors: int


@dataclass(frozen=True)
class Case:
    """A market, how many local maxima its profit curve has, and the profit of `path`."""

    market: Market
    maxima: int
    profit: float


def measure(quick: bool) -> Iterator[Table]:
    """Profit curves, the methods by shape, then the target."""
    each = 3 if quick else 100
    cases = {shape: [_case(market) for market in sample(8, 13, each, (shape,))] for shape in SHAPES}
    note = f"{size(next(iter(cases.values()))[0].market)}; a maximum counts if the curve dips by {_DIP:g} of the profit"
    yield Table("local maxima", [_curve_row(shape, group) for shape, group in cases.items()], note)
    excess = 0.0
    for shape, group in cases.items():
        results = {_name(*method): [_solve(case.market, *method) for case in group] for method in _METHODS}
        rows = [_row(name, group, found) for name, found in results.items()]
        excess = max(excess, *(-loss for found in results.values() for loss in _losses(group, found)))
        note = f"worse: by more than {_WORSE:g} of path's profit; where several: on markets with several maxima"
        yield Table(f"local methods, {shape}", rows, note)
    yield target_table([Target("largest excess over path's profit", excess, _AGREE, at_least=False)])


def _case(market: Market) -> Case:
    return Case(market, _maxima(market), _solve(market, "path").profit)


def _maxima(market: Market) -> int:
    """Local maxima of the profit curve, from its values at the ends and the best point of each piece."""
    unit_cost = float(market.unit_cost[market.leader[0]])
    values: list[float] = []
    for piece in trace(user_problem(market), np.zeros(1), 0, float(market.price_cap[0])):
        end = piece.load[0] + piece.slope[0] * (piece.end - piece.start)
        best = best_on_piece(piece, 0, np.zeros(1), unit_cost)[1]
        values += [(piece.start - unit_cost) * piece.load[0], best, (piece.end - unit_cost) * end]
    return count_maxima(values, _DIP * max(map(abs, values)))


def count_maxima(values: Sequence[float], dip: float) -> int:
    """Peaks of a sequence, its ends among them, that are more than `dip` above the valleys between them."""
    count, rising, turn = 0, True, values[0]
    for value in values:
        if rising and value < turn - dip:
            count, rising, turn = count + 1, False, value
        elif not rising and value > turn + dip:
            rising, turn = True, value
        else:
            turn = max(turn, value) if rising else min(turn, value)
    return count + rising


def _solve(market: Market, solver: str, model: str | None = None) -> Result:
    return solve(market, solver=solver, model=model, time_limit=_LIMIT_S)


def _name(solver: str, model: str | None) -> str:
    return solver if model is None else f"{solver}:{model}"


def _losses(cases: Sequence[Case], results: Sequence[Result]) -> list[float]:
    """Relative to path's profit, negative where a method is better."""
    return [(case.profit - found.profit) / abs(case.profit) for case, found in zip(cases, results, strict=True)]


def _curve_row(shape: str, cases: Sequence[Case]) -> CurveRow:
    several = sum(case.maxima > 1 for case in cases)
    return CurveRow(shape, len(cases), several, several / len(cases), max(case.maxima for case in cases))


def _row(name: str, cases: Sequence[Case], results: Sequence[Result]) -> Row:
    losses = _losses(cases, results)
    worse = [loss for loss in losses if loss > _WORSE]
    return Row(
        method=name,
        markets=len(cases),
        worse=len(worse),
        worse_share=len(worse) / len(cases),
        worse_where_several=sum(case.maxima > 1 and loss > _WORSE for case, loss in zip(cases, losses, strict=True)),
        mean_loss=mean(max(0.0, loss) for loss in losses),
        mean_loss_where_worse=mean(worse) if worse else None,
        worst_loss=max(0.0, *losses),
        errors=sum(found.status is Status.ERROR for found in results),
    )
