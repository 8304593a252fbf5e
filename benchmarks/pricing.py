"""The best price of one provider: `path` and `bisect` against what one would pick instead, on the same markets.

A method's profit is that of its price at a certified equilibrium, as a share of the best (`path`). Times are of whole
calls in a warm process, building a model and our final certificate included. The alternatives are those of
`alternatives.py`, and our own formulations on Gurobi, SCIP, HiGHS and Ipopt. A grid has the QP solver that is fastest
on the market at hand; its fitted number of points is such that one must fall among the prices that earn 1 - 1e-4 of the
best, which one who has only the grid cannot know.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from statistics import median

import numpy as np

from benchmarks.alternatives import GAP, Alternative, Found, Grid, parametric, plain_gurobi, plain_scip
from benchmarks.clock import medians
from benchmarks.equilibrium import choose_tolerance
from benchmarks.markets import SHAPES, sample, size
from benchmarks.peers import PEERS, PeerError, Programme
from benchmarks.report import Table, Target, span, target_table
from prillm_or.curves.trace import Piece, trace
from prillm_or.errors import PrillmError
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate
from prillm_or.result import Status
from prillm_or.solving.run import solve
from prillm_or.users.certificate import certify, profit_of
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

_LIMIT, _QUICK_LIMIT = 60.0, 5.0
_ONCE = 1.0
"""Seconds from which a method is run once on a market."""

_PATIENCE = 2
"""Runs out of time before a method is left out."""

_POINTS = 1000
_TRIAL, _TRIAL_LIMIT = 100, 10.0
_DENSE_LIMIT = 1000  # pairs: as in `equilibrium`
_CERTIFIED = 1e-9
_OURS = ("path", "bisect")
_ALGORITHMS = ("geometric", "combinatorial_graph", "graph", "combinatorial")


@dataclass(frozen=True)
class Way:
    """A method for one market: its name, the package that does the work, and what it proves of its price."""

    name: str
    package: str
    proves: str
    run: Callable[[], Found]
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """A method on a market; `share` of the best profit, seconds of processor time."""

    way: Way
    share: float | None
    seconds: float | None
    ratio: float | None = None
    limited: bool = False
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A method on all markets of a size and shape: medians; within: how often its price earns 1 - 1e-4 of the best."""

    size: str
    shape: str
    method: str
    version: str
    proves: str
    profit_share: float | None
    worst_share: float | None
    within: str
    ms: float | None
    over_path: float | None
    limited: str
    note: str


@dataclass(frozen=True)
class AlgorithmRow:
    """An algorithm of ppopt on one market."""

    market: str
    algorithm: str
    profit_share: float | None
    seconds: str
    note: str


def measure(quick: bool) -> Iterator[Table]:
    """Every method by size, then ppopt's algorithms, then the targets."""
    plans = ((8, 6, 1), (8, 13, 1)) if quick else ((8, 6, 2), (8, 13, 2), (20, 20, 1), (100, 50, 1))
    limit = _QUICK_LIMIT if quick else _LIMIT
    late: Counter[str] = Counter()
    targets: list[Target] = []
    measure_market(generate(3, 4, "uniform", 1), limit, late)  # for imports, and the first start of each package
    for users, providers, seeds in plans:
        rows: list[Row] = []
        outcomes: list[list[Outcome]] = []
        for shape in SHAPES:
            markets = sample(users, providers, seeds, (shape,))
            found = [measure_market(market, limit, late) for market in markets]
            rows += rows_of(size(markets[0]), shape, found)
            outcomes += found
        note = f"limited: on how many markets {limit:g} s ran out; they count as the time, a lower bound"
        yield Table(f"pricing {users}x{providers}", rows, note)
        targets += _targets(f"{users}x{providers}", outcomes)
    small, least = [generate(3, 4, "uniform", 1), generate(8, 13, "uniform", 1)], 5.0 if quick else 20.0
    yield Table("ppopt's algorithms", [_algorithm_row(*case, least) for case in _cases(small)], f"{least:g} s at most")
    yield target_table(targets)


def measure_market(
    market: Market, limit: float, late: Counter[str], ways: Sequence[Way] | None = None
) -> list[Outcome]:
    """Every method on one market, `path` first; those that ran out of time twice before are passed over.

    Parameters
    ----------
    late
        How often each method has run out of time; counted on.
    ways
        Other methods than those of this measurement.
    """
    best = solve(market, solver="path").profit
    outcomes: dict[str, Outcome] = {}
    for way in _ways(market, limit) if ways is None else ways:
        if late[way.name] >= _PATIENCE:
            note = f"left out: {limit:g} s ran out on {_PATIENCE} markets before"
            outcomes[way.name] = Outcome(way, None, None, note=note)
            continue
        outcomes[way.name] = _first(market, way, best, limit)
        late[way.name] += outcomes[way.name].limited
    short = [o.way for o in outcomes.values() if o.seconds is not None and o.seconds < _ONCE and not o.limited]
    times = medians({way.name: way.run for way in short}, rounds=5)
    path = times["path"]

    def final(outcome: Outcome) -> Outcome:
        seconds = times.get(outcome.way.name, outcome.seconds)
        if seconds is None:
            return outcome
        share, limited = outcome.share, outcome.limited
        return Outcome(outcome.way, share, seconds, seconds / path, limited, outcome.note)

    return [final(outcome) for outcome in outcomes.values()]


def _first(market: Market, way: Way, best: float, limit: float) -> Outcome:
    """Run once; a method that gives no price for another reason than time has no time either."""
    began = time.process_time()
    try:
        found = way.run()
    except ImportError as missing:
        return Outcome(way, None, None, note=f"not installed: {missing.name}")
    seconds = time.process_time() - began
    share = None if found.price is None else share_of(market, found.price, best)
    if share is None and not found.limited:
        return Outcome(way, None, None, note=found.note)
    notes = [f"stopped after {limit:g} s on the clock; ms is its processor time by then"] if found.limited else []
    notes += [note for note in (found.note or way.note,) if note]
    return Outcome(way, share, seconds, limited=found.limited, note=", ".join(notes))


def share_of(market: Market, price: float, best: float) -> float:
    """Profit of a price at a certified equilibrium, over the best profit."""
    prices = np.clip([price], 0.0, market.price_cap)
    found = solve_users(user_problem(market), prices)
    certificate = certify(market, prices, found.flow)
    assert max(certificate.kkt_residual, certificate.max_regret) <= _CERTIFIED
    return profit_of(market, prices, found.billed) / best


def _ways(market: Market, limit: float) -> list[Way]:
    """Ours, then the alternatives."""

    def ours(solver: str, model: str | None = None) -> Callable[[], Found]:
        return partial(_solve, market, solver, model, limit)

    def other(alternative: Alternative) -> Callable[[], Found]:
        return partial(alternative, market, limit)

    gap = f"gap {GAP:g}"
    return [
        Way("path", "prillm-or", "exact", ours("path")),
        Way("bisect", "prillm-or", gap, ours("bisect")),
        *_grids(market, limit),
        Way("ppopt", "ppopt", "exact", other(parametric)),
        Way("Gurobi, plain model", "gurobipy", gap, other(plain_gurobi)),
        Way("gurobi:kkt-bilinear", "gurobipy", gap, ours("gurobi", "kkt-bilinear")),
        Way("SCIP, plain model", "pyscipopt", gap, other(plain_scip)),
        Way("scip:kkt-bilinear", "pyscipopt", gap, ours("scip", "kkt-bilinear")),
        Way("highs:kkt-bigm", "highspy", gap, ours("highs", "kkt-bigm")),
        Way("ipopt:mpec", "ipyopt", "nothing", ours("ipopt", "mpec")),
    ]


def _solve(market: Market, solver: str, model: str | None, limit: float) -> Found:
    try:
        result = solve(market, solver=solver, model=model, gap=GAP, time_limit=limit)
    except PrillmError as refusal:
        return Found(None, note=str(refusal).partition(";")[0])
    return Found(result.price, limited=result.status is Status.TIME_LIMIT)


def _grids(market: Market, limit: float) -> list[Way]:
    """A grid of 1000 points and one that is just fine enough, with the fastest QP solver."""
    timed = list(_timed_grids(market))
    ways = []
    for name, points in ((f"grid of {_POINTS}", _POINTS), ("grid, fitted", sure_points(market))):
        if not timed:
            ways.append(Way(name, "-", "nothing", _nobody))
            continue
        grid = min(timed, key=lambda trial: trial.first + points * trial.each).grid
        package = grid.peer.name.split()[0].lower().replace("highs", "highspy")
        note = f"{grid.peer.name}, {points} points"
        ways.append(Way(name, package, "nothing", partial(grid.best, points, limit), note))
    return ways


def _nobody() -> Found:
    return Found(None, note="no QP solver reached the accuracy")


@dataclass(frozen=True)
class Trial:
    """A grid, seconds for its first price, solver set-up included, and for each further one."""

    grid: Grid
    first: float
    each: float


def _timed_grids(market: Market) -> Iterator[Trial]:
    """Grids of the QP solvers that are installed and accurate enough, timed over some prices."""
    users, programme = user_problem(market), Programme(user_problem(market))
    prices = market.price_cap[0] * np.array([0.25, 0.75])
    costs = [programme.cost(users.offsets(np.array([price]))) for price in prices]
    loads = [solve_users(users, [price]).load for price in prices]
    for kind in PEERS:
        if kind.name == "DAQP" and market.n * market.m > _DENSE_LIMIT:
            continue
        try:
            peer = kind(programme)
            fit = choose_tolerance(peer, costs, loads, programme)
        except (PeerError, ImportError):
            continue
        if fit.reached:
            grid = Grid(market, peer, fit.tolerance, programme)
            began = time.process_time()
            grid.best(1)
            once = time.process_time()
            if not grid.best(_TRIAL, _TRIAL_LIMIT).limited:
                first = once - began
                yield Trial(grid, first, max(time.process_time() - once - first, 0.0) / (_TRIAL - 1))


def sure_points(market: Market) -> int:
    """Fewest evenly spaced prices of which one must earn 1 - 1e-4 of the best, by the exact profit curve."""
    cap, unit_cost = float(market.price_cap[0]), float(market.unit_cost[market.leader[0]])
    level = (1 - GAP) * solve(market, solver="path").profit
    longest = low = high = -1.0
    for piece in trace(user_problem(market), np.zeros(1), 0, cap):
        for a, b in _above(piece, unit_cost, level):
            low, high = (low if a <= high + 1e-9 * cap else a), b
            longest = max(longest, high - low)
    return math.ceil(cap / longest) + 1


def _above(piece: Piece, unit_cost: float, level: float) -> Iterator[tuple[float, float]]:
    """The prices of a piece that earn `level`: an interval, the profit being concave there, or none."""
    slope = float(piece.slope[0])
    load = float(piece.load[0]) - slope * piece.start
    roots = np.roots([slope, load - slope * unit_cost, -load * unit_cost - level])
    if np.iscomplex(roots).any() or not len(roots):
        return
    low = max(float(roots.min()), piece.start)
    high = min(float(roots.max()) if len(roots) > 1 else np.inf, piece.end)
    if low <= high:
        yield low, high


def rows_of(market_size: str, shape: str, found: Sequence[Sequence[Outcome]]) -> Iterator[Row]:
    """A row for each method, over the markets of a size and shape."""
    for outcomes in zip(*found, strict=True):
        way = outcomes[0].way
        shares = [o.share for o in outcomes if o.share is not None]
        timed = [(o.seconds, o.ratio) for o in outcomes if o.seconds is not None and o.ratio is not None]
        yield Row(
            size=market_size,
            shape=shape,
            method=way.name,
            version=", ".join(sorted({_version(o.way.package) for o in outcomes})),
            proves=way.proves,
            profit_share=median(shares) if shares else None,
            worst_share=min(shares) if shares else None,
            within=f"{sum(share >= 1 - GAP for share in shares)}/{len(outcomes)}",
            ms=1e3 * median(seconds for seconds, _ in timed) if timed else None,
            over_path=median(ratio for _, ratio in timed) if timed else None,
            limited=f"{sum(o.limited for o in outcomes)}/{len(outcomes)}",
            note="; ".join(dict.fromkeys(o.note for o in outcomes if o.note)),
        )


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return "absent"


def _targets(where: str, outcomes: Sequence[Sequence[Outcome]]) -> Iterator[Target]:
    """The fastest other over path on each market; the median counts."""
    for what, proving, wanted in (("that proves its price", True, 10.0), ("within 1e-4 of the best", False, 1.0)):
        fastest = []
        for group in outcomes:
            good = [
                o.ratio
                for o in group
                if o.way.name not in _OURS
                and not o.limited
                and o.ratio is not None
                and o.share is not None
                and o.share >= 1 - GAP
                and (o.way.proves != "nothing" or not proving)
            ]
            fastest += [min(good)] if good else []
        if fastest:
            figure = f"{where}: fastest other {what} / path"
            yield Target(figure, median(fastest), wanted, at_least=True, range=span(fastest))


def _cases(markets: Sequence[Market]) -> Iterator[tuple[Market, str]]:
    for market in markets:
        for algorithm in _ALGORITHMS:
            yield market, algorithm


def _algorithm_row(market: Market, algorithm: str, limit: float) -> AlgorithmRow:
    best = solve(market, solver="path").profit
    way = Way(algorithm, "ppopt", "exact", partial(parametric, market, limit, algorithm))
    outcome = _first(market, way, best, limit)
    seconds = "-" if outcome.seconds is None else f"{outcome.seconds:.3g}"
    return AlgorithmRow(
        market.name, algorithm, outcome.share, f"> {limit:g}" if outcome.limited else seconds, outcome.note
    )
