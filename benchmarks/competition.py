"""Several leaders: how often best responses in turn settle, and whether what they settle at survives a price grid.

Markets are random, every provider has an owner of its own, and `compete` plays from five starts. Each price of each
equilibrium is then moved to 10,000 others between 0 and its cap. The loads there share no code with `path`: an
equilibrium is solved at a point of the grid and continued along its support for as long as the KKT conditions hold,
which are checked at every point. Where none was found, the largest gain at the nearest prices counts, as it is proven.

Owners of several prices compete, too, of several providers and of price lists, their certificates by `branch`; and
`ascent.py`, by which they move, stands against `branch`, and against one price at a time alone. Of two owners of one
price each that settle nowhere it is counted how often it is proven that there is no equilibrium.
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
from prillm_or.competition.setting import Owner, Setting, setting_of
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import Shape, generate
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
_CHECK_GAP, _CHECK_S = 1e-7, 60.0
_FALSE = 1e-12
_BOUND = 2e-7
_LIST = ("input", "output")
_DUOPOLIES = ((4, 3), (8, 5), (20, 10))


@dataclass(frozen=True)
class Row:
    """Markets of one size, shape and kind of weights.

    `settled`: an equilibrium was found; `several`: more than one; `cycled`: none, and a cycle; `damped`: found with
    moves of half the way alone; `gain`, `bound`, `grid`: largest relative gain of any owner at an equilibrium, by its
    best response, proven, and on the grid of each owner's price; `unproven`: certificates without a bound, of those and
    of nearest prices; `epsilon`: where no equilibrium was found, what no owner gains more than at the nearest prices,
    in percent of its profit there.
    """

    size: str
    owners: str
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
    bound: float | None
    grid: float | None
    unproven: int
    epsilon_least: float | None
    epsilon_median: float | None
    epsilon_most: float | None
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
    branch_loss: float
    branch_gap: float
    false_bounds: int


@dataclass(frozen=True)
class AbsenceRow:
    """Two owners of one price each, the last two providers.

    `none`: markets in which it is proven that there is no equilibrium of prices; `boxes`: of these proofs; `share`:
    what somebody gains at least, in percent of what its best response earns; `open_epsilon`: of the markets in which
    nothing is known, as of `Row`.
    """

    size: str
    shape: str
    markets: int
    settled: int
    none: int
    open: int
    boxes: float | None
    most_boxes: int | None
    share_least: float | None
    share_median: float | None
    open_epsilon_most: float | None
    cpu_s: float


def measure(quick: bool) -> Iterator[Table]:
    """Shares and certificates by group, owners of several prices, then the targets."""
    rows = []
    for (users, providers), own, each in _GROUPS:
        for shape in SHAPES:
            markets = sample(users, providers, 3 if quick else each, (shape,))
            rows.append(_row([setting_of(_own_weights(market) if own else market) for market in markets], shape, own))
    total, settled = sum(row.markets for row in rows), sum(row.settled for row in rows)
    note = f"{settled} of {total} markets settled; rounds: from the first start that settled, median and most"
    yield Table("best responses in turn", rows, note)
    joint = [
        _row(
            [_grouped(market) for market in sample(8, 5, 1 if quick else 3, (shape,))], shape, False, "2+2+1 providers"
        )
        for shape in SHAPES
    ]
    lists = [
        [generate(8, 4, shape, seed, components=_LIST) for seed in range(1, 2 if quick else 4)] for shape in SHAPES
    ]
    joint += [
        _row([setting_of(m) for m in ms], shape, False, "lists of 2") for ms, shape in zip(lists, SHAPES, strict=True)
    ]
    yield Table("owners of several prices, in turn", joint, "2 + 2 + 1 providers of one price, or 4 with lists of two")
    pairs = [_absence_row(s, shape, 3 if quick else 100) for s in _DUOPOLIES for shape in SHAPES]
    cycled, none = sum(row.none + row.open for row in pairs), sum(row.none for row in pairs)
    yield Table(
        "two owners", pairs, f"of {cycled} markets that settle nowhere {none} are proven to have no equilibrium"
    )
    several = [_several_row(prices, 3 if quick else 12) for prices in (2, 3)]
    note = f"branch, gap {_CHECK_GAP:g}; worse: by more than {_GAIN:g}; a false bound is below a profit"
    yield Table("owners of several prices, one alone", several, note)
    most = {
        "largest relative gain at a claimed equilibrium": (_largest(row.gain for row in (*rows, *joint)), _GAIN),
        f"the same on {_POINTS} prices of each owner of one": (_largest(row.grid for row in rows), _GAIN),
        "certificates without a proven bound": (sum(row.unproven for row in (*rows, *joint)), 0),
        "largest proven bound on a relative gain, owners of one": (_largest(row.bound for row in rows), _GAIN),
        "the same, owners of several": (_largest(row.bound for row in joint), _BOUND),
        "ascent, largest loss": (max(row.loss for row in several), _GAIN),
        "branch, false bounds": (sum(row.false_bounds for row in several), 0),
    }
    yield target_table([Target(figure, value, limit, at_least=False) for figure, (value, limit) in most.items()])


def _largest(figures: Iterable[float | None]) -> float:
    return max((figure for figure in figures if figure is not None), default=0.0)


def _own_weights(market: Market) -> Market:
    rng = np.random.default_rng([market.n, int(market.name.rpartition("-")[2])])
    price, congestion = rng.uniform(0.5, 2, (2, market.n))
    return replace(market, price_weight=price, congestion_weight=congestion, delay_weight=rng.uniform(0, 2, market.n))


def _grouped(market: Market) -> Setting:
    """Two owners of two providers each, and one of the last."""
    return setting_of(market, groups=[Owner("a", market.provider_ids[:2]), Owner("b", market.provider_ids[2:4])])


def _row(markets: Sequence[Setting], shape: Shape, own: bool, owners: str = "of one price") -> Row:
    began = time.process_time()
    found = [find_prices(setting) for setting in markets]
    seconds = (time.process_time() - began) / len(markets)
    ended = [one for one in found if one.equilibria]
    equilibria = [equilibrium for one in ended for equilibrium in one.equilibria]
    near = [one.nearest for one in found if one.nearest is not None]
    certificates = [one.certificate for one in equilibria] + [one.certificate for one in near]
    proofs = [gain for certificate in certificates for gain in certificate.values()]
    epsilons = [100 * one.epsilon for one in near]
    return Row(
        size=size(markets[0].market),
        owners=owners,
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
        bound=max((gain.relative_bound for one in equilibria for gain in one.certificate.values()), default=None),
        grid=max((grid_gain(one, _POINTS) for one in ended if not one.setting.several), default=None),
        unproven=sum(not gain.proven for gain in proofs),
        epsilon_least=min(epsilons, default=None),
        epsilon_median=median(epsilons) if epsilons else None,
        epsilon_most=max(epsilons, default=None),
        cpu_s=seconds,
    )


def _absence_row(users_providers: tuple[int, int], shape: Shape, each: int) -> AbsenceRow:
    began = time.process_time()
    markets = sample(*users_providers, each, (shape,))
    found = [find_prices(setting_of(market, market.provider_ids[-2:])) for market in markets]
    seconds = (time.process_time() - began) / each
    proofs = [one.absence for one in found if one.absence is not None]
    left = [100 * one.nearest.epsilon for one in found if one.nearest is not None and one.absence is None]
    shares = [100 * proof.share for proof in proofs]
    return AbsenceRow(
        size=size(markets[0]),
        shape=shape,
        markets=each,
        settled=sum(bool(one.equilibria) for one in found),
        none=len(proofs),
        open=len(left),
        boxes=median(proof.boxes for proof in proofs) if proofs else None,
        most_boxes=max((proof.boxes for proof in proofs), default=None),
        share_least=min(shares, default=None),
        share_median=median(shares) if shares else None,
        open_epsilon_most=max(left, default=None),
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
    losses, alone, branch, gaps, false = [], [], [], [], 0
    markets = [led_by(market, prices) for market in sample(8, 5, each)]
    for market in markets:
        users = user_problem(market)
        ours = ascend(market, users, starts(market)).profit
        single = max(_one_at_a_time(market, users, start) for start in starts(market))
        proven = solve(market, solver="branch", gap=_CHECK_GAP, time_limit=_CHECK_S)
        best = max(ours, single, proven.profit)
        losses.append(1 - ours / best)
        alone.append(1 - single / best)
        branch.append(1 - proven.profit / best)
        gaps.append(proven.gap)
        assert proven.upper_bound is not None
        false += proven.upper_bound < best * (1 - _FALSE)
    worse = sum(loss > _GAIN for loss in alone)
    return SeveralRow(
        size(markets[0]), prices, len(markets), max(losses), max(alone), worse, max(branch), _largest(gaps), false
    )


def _one_at_a_time(market: Market, users: UserProblem, prices: Array) -> float:
    """Profit where no single price gains any more: one step of `ascent.py` alone."""
    climb, before = Climb(market, users, prices), -np.inf
    while climb.best.profit > before:
        before = climb.best.profit
        climb.one_at_a_time()
    return climb.best.profit
