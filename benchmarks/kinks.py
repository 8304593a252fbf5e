"""The leader's load at breakpoints of its price, where interior points lose digits, against exact arithmetic.

At such a price a pair begins or ceases to be used. The reference is the equilibrium in rational arithmetic: Newton's
method on the support, every sign exact. Peers have the tolerance that gives them 1e-9 at today's price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from statistics import median

import numpy as np

from benchmarks.equilibrium import WANTED, choose_tolerance
from benchmarks.markets import sample, size
from benchmarks.peers import PEERS, Peer, PeerError, Programme
from benchmarks.report import Table, Target, target_table
from prillm_or.curves.trace import trace
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, user_problem

_MOST_ROUNDS = 20


@dataclass(frozen=True)
class Row:
    """Relative errors of the leader's load at breakpoints."""

    size: str
    solver: str
    tolerance: float | None
    breakpoints: int
    median_error: float
    worst_error: float


def measure(quick: bool) -> Iterator[Table]:
    """Errors by size and solver, then the target."""
    worst = 0.0
    for users, providers, seeds in ((8, 13, 2),) if quick else ((8, 13, 10), (20, 20, 2)):
        markets = sample(users, providers, seeds)
        errors: dict[str, list[float]] = {}
        tolerances: dict[str, float] = {}
        for market in markets:
            _measure_market(market, errors, tolerances)
        rows = [
            Row(size(markets[0]), name, tolerances.get(name), len(values), median(values), max(values))
            for name, values in errors.items()
        ]
        worst = max(worst, rows[0].worst_error)
        yield Table(f"kinks {size(markets[0])}", rows, "error: |load - exact load| / exact load of the leader")
    yield target_table([Target("our worst relative error at breakpoints", worst, WANTED, at_least=False)])


def _measure_market(market: Market, errors: dict[str, list[float]], tolerances: dict[str, float]) -> None:
    users, programme = user_problem(market), Programme(user_problem(market))
    own = market.leader[0]
    prices = _breakpoints(market, users)
    exact = [float(exact_load(users, price, solve_users(users, [price]).support)) for price in prices]

    def judge(name: str, loads: list[float]) -> None:
        errors.setdefault(name, []).extend(abs(got - x) / x for got, x in zip(loads, exact, strict=True))

    judge("prillm_or", [float(solve_users(users, [price]).load[own]) for price in prices])
    for kind in PEERS:
        peer = kind(programme)
        tolerance = _tolerance(peer, market, users, programme)
        tolerances[kind.name] = min(tolerance, tolerances.get(kind.name, 1.0))
        loads = []
        for price in prices:
            peer.set_up(programme.cost(users.offsets(np.array([price]))), tolerance)
            try:
                loads.append(float(programme.load(peer.solve())[own]))
            except PeerError:
                loads.append(np.nan)
        judge(kind.name, loads)


def _tolerance(peer: Peer, market: Market, users: UserProblem, programme: Programme) -> float:
    today = market.price[list(market.leader)]
    cost, load = programme.cost(users.offsets(today)), solve_users(users, today).load
    return choose_tolerance(peer, [cost], [load], programme).tolerance


def _breakpoints(market: Market, users: UserProblem) -> list[float]:
    """Prices at which a piece ends, while the leader has a load worth a relative error."""
    least = 1e-3 * market.demand.sum() / market.m
    ends = [piece.end for piece in trace(users, np.zeros(1), 0, float(market.price_cap[0]))][:-1]
    return [end for end in ends if solve_users(users, [end]).load[market.leader[0]] > least]


def exact_load(users: UserProblem, price: float, support: Mask) -> Fraction:
    """The leader's load at `price`, exactly, for the data as the floating-point numbers they are.

    Newton's method of `users/equilibrium.py` in rational numbers, from `support`; where the support confirms itself the
    equilibrium is exact.
    """
    n, m = support.shape
    offset = [[Fraction(float(users.base[i, j])) for j in range(m)] for i in range(n)]
    for j in users.leader:
        for i in range(n):
            offset[i][j] += Fraction(float(users.sensitivity[i, 0])) * Fraction(price)
    demand, capacity = _fractions(users.demand), _fractions(users.capacity)
    used = [[bool(support[i, j]) for j in range(m)] for i in range(n)]
    for _ in range(_MOST_ROUNDS):
        level, congestion = _solve(used, offset, demand, capacity)
        after = [[level[i] - offset[i][j] - congestion[j] > 0 for j in range(m)] for i in range(n)]
        if _confirmed(used, after, level, offset, congestion):
            return capacity[users.leader[0]] * congestion[users.leader[0]]
        used = after
    raise ArithmeticError("the exact equilibrium did not settle")


def _confirmed(
    used: list[list[bool]],
    after: list[list[bool]],
    level: list[Fraction],
    offset: list[list[Fraction]],
    congestion: list[Fraction],
) -> bool:
    """Whether the supports differ in pairs of zero flow alone."""
    return all(
        used[i][j] == after[i][j] or level[i] - offset[i][j] - congestion[j] == 0
        for i in range(len(level))
        for j in range(len(congestion))
    )


def _solve(
    used: list[list[bool]], offset: list[list[Fraction]], demand: list[Fraction], capacity: list[Fraction]
) -> tuple[list[Fraction], list[Fraction]]:
    """Levels and congestion on a support: users are eliminated, then Gauss."""
    n, m = len(demand), len(capacity)
    zero = Fraction(0)
    weight = [[capacity[j] if used[i][j] else zero for j in range(m)] for i in range(n)]
    total = [sum(row, zero) for row in weight]
    right = [demand[i] + sum((w * g for w, g in zip(weight[i], offset[i], strict=True)), zero) for i in range(n)]
    rows = []
    for j in range(m):
        users = [i for i in range(n) if used[i][j]]
        row = [-sum((weight[i][j] * weight[i][k] / total[i] for i in users), zero) for k in range(m)]
        row[j] += capacity[j] * (1 + len(users))
        pushed = sum((weight[i][j] * (right[i] / total[i] - offset[i][j]) for i in users), zero)
        rows.append([*row, pushed])
    congestion = _gauss(rows)
    level = [
        (right[i] + sum((w * q for w, q in zip(weight[i], congestion, strict=True)), zero)) / total[i] for i in range(n)
    ]
    return level, congestion


def _gauss(rows: list[list[Fraction]]) -> list[Fraction]:
    """Solve a positive definite system, the right-hand side in the last column."""
    size = len(rows)
    for k in range(size):
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(size):
            if i != k and rows[i][k] != 0:
                factor = rows[i][k]
                rows[i] = [value - factor * pivot for value, pivot in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


def _fractions(values: Array) -> list[Fraction]:
    return [Fraction(float(value)) for value in values]
