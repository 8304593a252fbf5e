"""Several leaders: how often best responses in turn settle, and whether what they settle at survives a price grid.

Markets are random, every provider has an owner of its own, and `compete` plays from five starts. Each price of each
equilibrium is then moved to 10,000 others between 0 and its cap. The loads there share no code with `path`: an
equilibrium is solved at a point of the grid and continued along its support for as long as the KKT conditions hold,
which are checked at every point.

Owners of several prices: `ascent.py` against `kkt-bigm` on HiGHS, and against one price at a time alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from benchmarks.markets import SHAPES, led_by, sample, size
from benchmarks.report import Table, Target, target_table
from prillm_or.competition.competition import Competition
from prillm_or.competition.rounds import End
from prillm_or.competition.search import find_prices
from prillm_or.competition.setting import Setting, setting_of
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import Shape
from prillm_or.solvers.ascent import Climb, ascend
from prillm_or.solvers.starts import starts
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.slopes import price_pull

_GROUPS = (((4, 3), False, 20), ((8, 5), False, 40), ((8, 5), True, 20), ((20, 10), False, 20))
_POINTS, _BLOCK = 10_000, 512
_GAIN = 1e-8
_ZERO = 1e-10
_CHECK_GAP, _CHECK_S = 1e-6, 60.0
_FALSE = 1e-7


@dataclass(frozen=True)
class Row:
    """Markets of one size, shape and kind of weights.

    `settled`: an equilibrium was found; `several`: more than one; `cycled`: none, and a cycle; `damped`: found with
    moves of half the way alone; `gain`, `grid`: largest relative gain of any owner, by its best response and on the
    grid.
    """

    size: str
    shape: str
    weights: str
    markets: int
    settled: int
    settled_share: float
    several: int
    cycled: int
    damped: int
    rounds: float | None
    most_rounds: int | None
    gain: float | None
    grid: float | None
    cpu_s: float


@dataclass(frozen=True)
class SeveralRow:
    """Owners of several prices; losses are relative to the best profit that any method found."""

    size: str
    prices: int
    markets: int
    loss: float
    one_at_a_time_loss: float
    one_at_a_time_worse: int
    highs_loss: float
    false_bounds: int


def measure(quick: bool) -> Iterator[Table]:
    """Shares and certificates by group, owners of several prices, then the targets."""
    rows = []
    for (users, providers), own, each in _GROUPS:
        for shape in SHAPES:
            markets = sample(users, providers, 3 if quick else each, (shape,))
            rows.append(_row([_own_weights(market) for market in markets] if own else markets, shape, own))
    total, settled = sum(row.markets for row in rows), sum(row.settled for row in rows)
    note = f"{settled} of {total} markets settled; rounds: from the first start that settled, median and most"
    yield Table("best responses in turn", rows, note)
    several = [_several_row(prices, 3 if quick else 12) for prices in (2, 3)]
    note = f"kkt-bigm on HiGHS, gap {_CHECK_GAP:g}; worse: by more than {_GAIN:g}; a false bound is below a profit"
    yield Table("owners of several prices", several, note)
    figures = {
        "largest relative gain at a claimed equilibrium": _largest(row.gain for row in rows),
        f"the same on {_POINTS} prices of each owner": _largest(row.grid for row in rows),
        "ascent, largest loss": max(row.loss for row in several),
    }
    yield target_table([Target(figure, value, _GAIN, at_least=False) for figure, value in figures.items()])


def _largest(figures: Iterable[float | None]) -> float:
    return max((figure for figure in figures if figure is not None), default=0.0)


def _own_weights(market: Market) -> Market:
    rng = np.random.default_rng([market.n, int(market.name.rpartition("-")[2])])
    price, congestion = rng.uniform(0.5, 2, (2, market.n))
    return replace(market, price_weight=price, congestion_weight=congestion, delay_weight=rng.uniform(0, 2, market.n))


def _row(markets: Sequence[Market], shape: Shape, own: bool) -> Row:
    began = time.process_time()
    found = [find_prices(setting_of(market)) for market in markets]
    seconds = (time.process_time() - began) / len(markets)
    ended = [one for one in found if one.equilibria]
    equilibria = [equilibrium for one in ended for equilibrium in one.equilibria]
    return Row(
        size=size(markets[0]),
        shape=shape,
        weights="own" if own else "common",
        markets=len(markets),
        settled=len(ended),
        settled_share=len(ended) / len(markets),
        several=sum(len(one.equilibria) > 1 for one in ended),
        cycled=sum(bool(one.failures) and one.failures[0].end is End.CYCLE for one in found if not one.equilibria),
        damped=sum(one.equilibria[0].damped for one in ended),
        rounds=median(one.equilibria[0].rounds for one in ended) if ended else None,
        most_rounds=max((one.equilibria[0].rounds for one in ended), default=None),
        gain=max((equilibrium.worst for equilibrium in equilibria), default=None),
        grid=max((grid_gain(one, _POINTS) for one in ended), default=None),
        cpu_s=seconds,
    )


def grid_gain(found: Competition, points: int) -> float:
    """Largest relative gain of any owner of one price at any equilibrium, among `points` prices from 0 to its cap."""
    gains = [0.0]
    for equilibrium in found.equilibria:
        for number, places in enumerate(found.setting.places):
            gains.append(_owner_gain(found.setting, number, equilibrium.standing.prices, places[0], points))
    return max(gains)


def _owner_gain(setting: Setting, number: int, prices: Array, own: int, points: int) -> float:
    market = setting.seat(number, prices)
    grid = np.append(np.linspace(0.0, setting.cap[own], points), prices[own])
    grid.sort()
    profits = (grid - market.unit_cost[own]) * grid_loads(market, grid)
    now = float(profits[np.searchsorted(grid, prices[own])])
    best = float(profits.max())
    return (best - now) / max(abs(best), setting.money / setting.keeps)


def grid_loads(market: Market, grid: Array) -> Array:
    """Loads of the leader's provider at rising prices, shape of `grid`, the KKT conditions checked at each."""
    users, own = user_problem(market), market.leader[0]
    loads = np.empty(len(grid))
    done, near = 0, None
    while done < len(grid):
        near = solve_users(users, grid[done : done + 1], near)
        pull = near.laplacian.solve(*price_pull(users, near.laplacian, [0]))
        steps = grid[done : done + _BLOCK] - grid[done]
        level = near.level + steps[:, None] * pull[0]
        congestion = near.congestion + steps[:, None] * pull[1]
        offsets = np.broadcast_to(users.offsets(grid[done : done + 1]), (len(steps), market.n, market.m)).copy()
        offsets[:, :, own] += steps[:, None] * users.sensitivity[:, 0]
        slack = level[:, :, None] - offsets - congestion[:, None, :]
        zero = _ZERO * (np.abs(level).max() + np.abs(congestion).max())
        flow = np.where(near.support, market.capacity * slack, 0.0)
        right = (np.where(near.support, -slack, slack) <= zero).all(axis=(1, 2))
        right &= (np.abs(flow.sum(axis=2) - market.demand) <= zero * market.capacity.max()).all(axis=1)
        right &= (np.abs(flow.sum(axis=1) - market.capacity * congestion) <= zero * market.capacity.max()).all(axis=1)
        if not right[0]:
            raise AssertionError(f"{market.name}: the KKT conditions fail at price {grid[done]!r}")
        count = len(right) if right.all() else int(right.argmin())
        loads[done : done + count] = flow[:count, :, own].sum(axis=1)
        done += count
    return loads


def _several_row(prices: int, each: int) -> SeveralRow:
    losses, alone, highs, false = [], [], [], 0
    markets = [led_by(market, prices) for market in sample(8, 5, each)]
    for market in markets:
        users = user_problem(market)
        ours = ascend(market, users, starts(market)).profit
        single = max(_one_at_a_time(market, users, start) for start in starts(market))
        theirs = solve(market, solver="highs", model="kkt-bigm", gap=_CHECK_GAP, time_limit=_CHECK_S)
        best = max(ours, single, theirs.profit)
        losses.append(1 - ours / best)
        alone.append(1 - single / best)
        highs.append(1 - theirs.profit / best)
        false += theirs.upper_bound is not None and theirs.upper_bound < (1 - _FALSE) * best
    worse = sum(loss > _GAIN for loss in alone)
    return SeveralRow(size(markets[0]), prices, len(markets), max(losses), max(alone), worse, max(highs), false)


def _one_at_a_time(market: Market, users: UserProblem, prices: Array) -> float:
    """Profit where no single price gains any more: one step of `ascent.py` alone."""
    climb, before = Climb(market, users, prices), -np.inf
    while climb.best.profit > before:
        before = climb.best.profit
        climb.one_at_a_time()
    return climb.best.profit
