"""`path` against `bisect` on random markets of many kinds: two searches, one profit.

Each price is judged at an equilibrium solved afresh; bisect is asked to prove a gap of 1e-12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.report import Table, Target, target_table
from prillm_or.errors import ConvergenceError
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.users.certificate import certify, profit_of
from prillm_or.users.equilibrium import equilibrium_at

_LIMITS = Limits(gap=1e-12, time_limit=60.0)
_AGREE = 1e-9
_SMALLEST, _LARGEST = 4, 50


@dataclass(frozen=True)
class Row:
    """One kind of market; differences and shortfalls are relative to the larger profit."""

    kind: str
    markets: int
    worst_difference: float
    path_below: int
    bisect_below: int
    bound_broken: int
    failures: int
    worst_kkt_residual: float


@dataclass(frozen=True)
class Pair:
    """What the two found on one market."""

    path: float
    bisect: float
    bound: float
    residual: float

    @property
    def difference(self) -> float:
        """Relative excess of path's profit, negative where bisect's is better."""
        return (self.path - self.bisect) / max(abs(self.path), abs(self.bisect), 1e-9)


def measure(quick: bool) -> Iterator[Table]:
    """One row for each kind, then the targets."""
    each = 20 if quick else 1000 // len(KINDS)
    rows = [_row(kind, make, each) for kind, make in KINDS.items()]
    note = (
        f"path against bisect, {_SMALLEST}x{_SMALLEST} to {_LARGEST}x{_LARGEST}; below: by more than {_AGREE:g}; "
        "bound broken: path's profit above bisect's bound by more than that"
    )
    yield Table("agreement", rows, note)
    worst = max(row.worst_difference for row in rows)
    failures = sum(row.failures + row.bound_broken for row in rows)
    yield target_table(
        [
            Target(f"worst relative difference of profit, {each * len(rows)} markets", worst, _AGREE, at_least=False),
            Target("failures and broken bounds", float(failures), 0.0, at_least=False),
        ]
    )


def _row(kind: str, make: Callable[[int, int, int], Market], count: int) -> Row:
    pairs: list[Pair] = []
    failures = 0
    for seed in range(count):
        sizes = np.random.default_rng([seed, 2]).integers(_SMALLEST, _LARGEST + 1, 2)
        try:
            pairs.append(_pair(make(int(sizes[0]), int(sizes[1]), seed)))
        except ConvergenceError:
            failures += 1
    differences = [pair.difference for pair in pairs]
    return Row(
        kind=kind,
        markets=count,
        worst_difference=max(map(abs, differences)),
        path_below=sum(d < -_AGREE for d in differences),
        bisect_below=sum(d > _AGREE for d in differences),
        bound_broken=sum(pair.path > pair.bound + _AGREE * abs(pair.bound) for pair in pairs),
        failures=failures,
        worst_kkt_residual=max(pair.residual for pair in pairs),
    )


def _pair(market: Market) -> Pair:
    proposals = [solver.solve(market, _LIMITS) for solver in (Path(), Bisect())]
    profits, residuals = [], []
    for proposal in proposals:
        assert proposal.prices is not None
        found = equilibrium_at(market, proposal.prices)
        profits.append(profit_of(market, proposal.prices, found.billed))
        residuals.append(certify(market, proposal.prices, found.flow).kkt_residual)
    bound = proposals[1].upper_bound
    return Pair(profits[0], profits[1], np.inf if bound is None else bound, max(residuals))


def _degenerate(users: int, providers: int, seed: int) -> Market:
    """Small integers everywhere: equal users and equal rivals, and several pairs that change at one price."""
    rng = np.random.default_rng([seed, 3])

    def integers(low: int, high: int, shape: int | tuple[int, int]) -> Array:
        return rng.integers(low, high, shape).astype(np.float64)

    return replace(
        generate(users, providers, "uniform", seed),
        demand=integers(1, 5, users),
        price=integers(1, 4, providers),
        capacity=integers(1, 6, providers),
        value=integers(0, 3, providers),
        delay=integers(0, 3, (users, providers)),
    )


def _unit_costs(users: int, providers: int, seed: int) -> Market:
    return replace(
        generate(users, providers, "heavy", seed),
        unit_cost=np.random.default_rng([seed, 4]).uniform(0, 3, providers),
    )


def _user_weights(users: int, providers: int, seed: int) -> Market:
    rng = np.random.default_rng([seed, 5])
    return replace(
        generate(users, providers, "uniform", seed),
        price_weight=rng.uniform(0.3, 3, users),
        congestion_weight=rng.uniform(0.3, 3, users),
        delay_weight=rng.uniform(0, 3, users),
    )


KINDS: dict[str, Callable[[int, int, int], Market]] = {
    "uniform": lambda users, providers, seed: generate(users, providers, "uniform", seed),
    "heavy": lambda users, providers, seed: generate(users, providers, "heavy", seed),
    "degenerate": _degenerate,
    "unit costs": _unit_costs,
    "user weights": _user_weights,
}
