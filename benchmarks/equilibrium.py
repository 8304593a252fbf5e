"""The users' equilibrium, cold and re-solved after the leader's price rose by 0.05, against general QP solvers.

Cold is set-up and solve; a re-solve changes the costs of a solver that lives, to and fro between the two prices. Each
peer gets the loosest of its tolerances that puts its loads within 1e-9 of the total demand of ours, at both prices;
ours are certified on their own. Best is the fastest peer that got there.

By the call: PIQP and DAQP by their solve call alone, set up or updated before the clock starts; ours by `solve_users`
with all that Python adds, and by the call of the kernel that it makes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from statistics import median

import numpy as np

from benchmarks.clock import medians
from benchmarks.markets import sample, size
from benchmarks.peers import PEERS, Daqp, Peer, PeerError, Piqp, Programme
from benchmarks.report import Table, Target, span, target_table
from prillm_or.market.market import Array, Market
from prillm_or.users.certificate import certify
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, user_problem

WANTED = 1e-9
_RISE = 0.05
_OURS = "prillm_or"
_CALLS = 50
_DENSE_LIMIT = 1000  # pairs: DAQP's dense Hessian at 200x100 would take 3 GB


@dataclass(frozen=True)
class Plan:
    """A size, the seeds of each shape, the ratios aimed at, and the peers, where not all are to wait for."""

    users: int
    providers: int
    seeds: int
    cold: float | None = None
    again: float | None = None
    resolves: bool = True
    peers: tuple[str, ...] = tuple(peer.name for peer in PEERS)


_PLANS = (
    Plan(8, 13, 5),
    Plan(20, 20, 5, cold=1.0, again=3.0),
    Plan(200, 100, 1, cold=5.0, again=10.0),
    # PIQP is the fastest peer from 20x20 upward; the others take a minute and more for one solve here.
    Plan(2000, 200, 1, cold=10.0, resolves=False, peers=("PIQP",)),
)
_QUICK = (Plan(8, 13, 1), Plan(20, 20, 1, cold=1.0, again=3.0))


@dataclass(frozen=True)
class CallRow:
    """Medians over the markets of a size, microseconds; None where the kernel is not in use."""

    size: str
    what: str
    peer: str
    peer_us: float
    solve_users_us: float
    kernel_us: float | None
    over_solve_users: float
    over_kernel: float | None


@dataclass(frozen=True)
class Fit:
    """The tolerance chosen for a peer, and the larger error of its loads at the two prices, relative to the demand."""

    tolerance: float
    error: float

    @property
    def reached(self) -> bool:
        """Whether the loads are good enough."""
        return self.error <= WANTED


@dataclass(frozen=True)
class Sample:
    """One solver on one market; a peer's ratios are its time over ours."""

    solver: str
    fit: Fit | None
    failure: str = ""
    cold: float | None = None
    again: float | None = None
    cold_ratio: float | None = None
    again_ratio: float | None = None


@dataclass(frozen=True)
class Row:
    """One solver on all markets of a size: medians; the tightest tolerance and the largest error."""

    size: str
    solver: str
    tolerance: float | None
    error: float | None
    reached: str
    cold_ms: float | None
    cold_over_ours: float | None
    resolve_ms: float | None
    resolve_over_ours: float | None
    failure: str


def measure(quick: bool) -> Iterator[Table]:
    """Times and ratios by size, then the targets."""
    targets: list[Target] = []
    for plan in _QUICK if quick else _PLANS:
        markets = sample(plan.users, plan.providers, plan.seeds)
        samples = [measure_market(market, plan) for market in markets]
        by_solver = {name: [s for group in samples for s in group if s.solver == name] for name in _names()}
        rows = [_row(size(markets[0]), ours_or_peer) for ours_or_peer in by_solver.values() if ours_or_peer]
        note = f"{len(markets)} markets, uniform and heavy; error of {_OURS} is its KKT residual by `certify`"
        yield Table(f"equilibrium {size(markets[0])}", rows, note)
        targets += _targets(plan, samples)
    calls = [_call_rows(sample(*shape, 1 if quick else 10)) for shape in ((8, 13), (20, 20))]
    note = "a solve call alone; " + f"{2 if quick else 20} markets of a size, uniform and heavy"
    yield Table("equilibrium by the call", [row for of_size in calls for row in of_size], note)
    for of_size, wanted in zip(calls, ((10.0, 5.0), (15.0, 10.0)), strict=True):
        for row, target in zip(of_size, wanted, strict=True):
            figure = f"{row.size} {row.what}: {row.peer}'s call /"
            targets.append(Target(f"{figure} solve_users", row.over_solve_users, target, at_least=True))
            if row.over_kernel is not None:
                targets.append(Target(f"{figure} the kernel's", row.over_kernel, target, at_least=True))
    yield target_table(targets)


def _call_rows(markets: Sequence[Market]) -> list[CallRow]:
    """Cold against PIQP, then re-solves against DAQP, the fastest peers for these."""
    timed = [_calls(market) for market in markets]
    rows = []
    for what, peer in (("cold", "PIQP"), ("re-solve", "DAQP")):
        ours = [times[what] for times in timed]
        peers, kernels = ([times[f"{what} {name}"] for times in timed] for name in (peer, "kernel"))
        known = not np.isnan(kernels).any()
        rows.append(
            CallRow(
                size=size(markets[0]),
                what=what,
                peer=peer,
                peer_us=1e6 * median(peers),
                solve_users_us=1e6 * median(ours),
                kernel_us=1e6 * median(kernels) if known else None,
                over_solve_users=median(theirs / mine for theirs, mine in zip(peers, ours, strict=True)),
                over_kernel=median(a / b for a, b in zip(peers, kernels, strict=True)) if known else None,
            )
        )
    return rows


def _calls(market: Market) -> dict[str, float]:
    """Median seconds of calls on one market."""
    users = user_problem(market)
    programme = Programme(users)
    today = market.price[list(market.leader)]
    prices = (today, today + _RISE)
    found = [solve_users(users, price) for price in prices]
    costs, loads = [programme.cost(users.offsets(price)) for price in prices], [f.load for f in found]
    piqp, daqp = Piqp(programme), Daqp(programme)
    fits = {peer.name: choose_tolerance(peer, costs, loads, programme) for peer in (piqp, daqp)}
    assert all(fit.reached for fit in fits.values()), f"{market.name}: no tolerance gives {WANTED:g}"
    daqp.set_up(costs[0], fits["DAQP"].tolerance)
    turn = cycle(reversed(costs))
    seconds = {
        "cold PIQP": _alone(lambda: piqp.set_up(costs[0], fits["PIQP"].tolerance), piqp.solve),
        "re-solve DAQP": _alone(lambda: daqp.update(next(turn)), daqp.solve),
    }
    actions: dict[str, Callable[[], object]] = {
        "cold": lambda: solve_users(users, prices[0]),
        "re-solve": _flips_of_ours(users, prices),
    }
    if (kernel := users.kernel) is not None:
        supports = [each.support for each in found]

        def flips() -> None:
            kernel.equilibrium(prices[1], supports[0])
            kernel.equilibrium(prices[0], supports[1])

        actions |= {"cold kernel": lambda: kernel.equilibrium(prices[0], None), "re-solve kernel": flips}
    seconds |= dict.fromkeys(("cold kernel", "re-solve kernel"), float("nan")) | medians(actions)
    for name in ("re-solve", "re-solve kernel"):
        seconds[name] /= 2
    return seconds


def _alone(prepare: Callable[[], object], act: Callable[[], object]) -> float:
    """Median seconds of an action that has to be prepared each time."""
    times = []
    for _ in range(_CALLS):
        prepare()
        began = time.process_time()
        act()
        times.append(time.process_time() - began)
    return median(times)


def choose_tolerance(peer: Peer, costs: Sequence[Array], loads: Sequence[Array], programme: Programme) -> Fit:
    """The loosest tolerance whose loads are within `WANTED`, or else the most accurate one.

    Raises
    ------
    PeerError
        When the peer gives no answer at any tolerance.
    """
    fits: list[Fit] = []
    failure = PeerError("no tolerance to try")
    wanted = np.inf
    for tolerance in peer.tolerances:
        if tolerance > wanted and tolerance != peer.tolerances[-1]:
            continue  # errors go with the tolerance: this one cannot do
        try:
            fits.append(Fit(tolerance, _error(peer, costs, loads, programme, tolerance)))
        except PeerError as error:
            failure = error
            if "limit" in str(error).lower():
                break  # a tighter tolerance takes longer still
            continue
        if fits[-1].reached:
            return fits[-1]
        wanted = 10 * tolerance * WANTED / fits[-1].error
    if not fits:
        raise failure
    return min(fits, key=lambda fit: fit.error)


def _error(peer: Peer, costs: Sequence[Array], loads: Sequence[Array], programme: Programme, tolerance: float) -> float:
    """Largest error of the peer's loads at the prices, up to the first that is too large."""
    error = 0.0
    for number, (cost, load) in enumerate(zip(costs, loads, strict=True)):
        if number == 0:
            peer.set_up(cost, tolerance)
        else:
            peer.update(cost)
        error = max(error, float(np.abs(programme.load(peer.solve()) - load).max() / load.sum()))
        if error > WANTED:
            break
    return error


def measure_market(market: Market, plan: Plan) -> list[Sample]:
    """Ours and every peer on one market."""
    users, programme = user_problem(market), Programme(user_problem(market))
    today = market.price[list(market.leader)]
    prices = (today, today + _RISE) if plan.resolves else (today,)
    found = [solve_users(users, price) for price in prices]
    residual = max(certify(market, price, f.flow).kkt_residual for price, f in zip(prices, found, strict=True))
    costs, loads = [programme.cost(users.offsets(price)) for price in prices], [f.load for f in found]
    peers: dict[str, tuple[Peer, Fit]] = {}
    failed: list[Sample] = []
    for kind in PEERS:
        if kind.name not in plan.peers:
            continue
        if kind.name == "DAQP" and market.n * market.m > _DENSE_LIMIT:
            failed.append(Sample(kind.name, None, "dense: too large"))
            continue
        try:
            peer = kind(programme)
            peers[kind.name] = peer, choose_tolerance(peer, costs, loads, programme)
        except PeerError as failure:
            failed.append(Sample(kind.name, None, str(failure)))
        except ImportError:
            failed.append(Sample(kind.name, None, "not installed"))
    cold: dict[str, Callable[[], object]] = {_OURS: lambda: solve_users(users, prices[0])}
    again: dict[str, Callable[[], object]] = {_OURS: _flips_of_ours(users, prices)}
    for name, (peer, fit) in peers.items():
        cold[name] = _cold(peer, costs[0], fit.tolerance)
        again[name] = _flips(peer, costs)
    cold_s = medians(cold)
    again_s = medians(again) if plan.resolves else {}
    fits = {_OURS: Fit(0.0, residual)} | {name: fit for name, (_, fit) in peers.items()}
    return failed + [
        Sample(
            solver=name,
            fit=fits[name],
            cold=seconds,
            again=again_s[name] / 2 if again_s else None,
            cold_ratio=seconds / cold_s[_OURS],
            again_ratio=again_s[name] / again_s[_OURS] if again_s else None,
        )
        for name, seconds in cold_s.items()
    ]


def _cold(peer: Peer, cost: Array, tolerance: float) -> Callable[[], object]:
    def run() -> None:
        peer.set_up(cost, tolerance)
        with suppress(PeerError):  # it answered before; a time limit on a busy machine counts in its favour
            peer.solve()

    return run


def _flips(peer: Peer, costs: Sequence[Array]) -> Callable[[], object]:
    """Two re-solves, to the second price and back; the peer was last set up at the first."""

    def run() -> None:
        for cost in reversed(costs):
            peer.update(cost)
            with suppress(PeerError):
                peer.solve()

    return run


def _flips_of_ours(users: UserProblem, prices: Sequence[Array]) -> Callable[[], object]:
    last = solve_users(users, prices[0])

    def run() -> None:
        nonlocal last
        for price in reversed(prices):
            last = solve_users(users, price, last)

    return run


def _names() -> list[str]:
    return [_OURS, *(peer.name for peer in PEERS)]


def _row(market_size: str, samples: list[Sample]) -> Row:
    fits = [s.fit for s in samples if s.fit is not None]

    def middle(values: list[float | None], scale: float = 1.0) -> float | None:
        known = [value for value in values if value is not None]
        return scale * median(known) if known else None

    return Row(
        size=market_size,
        solver=samples[0].solver,
        tolerance=(min(fit.tolerance for fit in fits) or None) if fits else None,
        error=max(fit.error for fit in fits) if fits else None,
        reached=f"{sum(fit.reached for fit in fits)}/{len(samples)}",
        cold_ms=middle([s.cold for s in samples], 1e3),
        cold_over_ours=middle([s.cold_ratio for s in samples]),
        resolve_ms=middle([s.again for s in samples], 1e3),
        resolve_over_ours=middle([s.again_ratio for s in samples]),
        failure=", ".join(sorted({s.failure for s in samples if s.failure})),
    )


def _targets(plan: Plan, samples: list[list[Sample]]) -> list[Target]:
    """Best peer over ours on each market; the median counts."""
    targets = []
    where = f"{plan.users}x{plan.providers}"
    usable = [[s for s in group if s.solver != _OURS and s.fit is not None and s.fit.reached] for group in samples]
    for what, target, ratios in (
        ("cold", plan.cold, [[s.cold_ratio for s in group if s.cold_ratio is not None] for group in usable]),
        ("re-solve", plan.again, [[s.again_ratio for s in group if s.again_ratio is not None] for group in usable]),
    ):
        best = [min(group) for group in ratios if group]
        if target is not None and best:
            figure = f"{where} {what}: best peer / ours"
            targets.append(Target(figure, median(best), target, at_least=True, range=span(best)))
    return targets
