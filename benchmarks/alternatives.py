r"""Alternatives: what one would reach for to find a best price without this package.

* A grid: a general QP solver of `peers.py` at each price, its costs updated from one price to the next.
* A plain model: the users' KKT system with variables f, x, lambda, mu and p, each pair (f_ij, mu_ij) a special ordered
  set, and the product (p - k) x_s to be maximised, as it would be written down in gurobipy or PySCIPOpt; no bounds are
  derived, no identity is used.
* A parametric programme: ppopt gives the users' programme for all prices at once, as regions on which flows are
  affine in the price; on each the profit is a parabola.

Volumes are in units of the mean demand, costs as `user_problem` scales them. Packages are imported where they are used.
"""

from __future__ import annotations

import contextlib
import io
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any

import numpy as np

from benchmarks.peers import Peer, PeerError, Programme
from prillm_or.market.market import Array, Market
from prillm_or.users.problem import UserProblem, user_problem

GAP = 1e-4


@dataclass(frozen=True)
class Found:
    """A price, or none and why; `limited` where the time ran out."""

    price: float | None
    limited: bool = False
    note: str = ""


class OutOfTimeError(Exception):
    """The time is up."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what runs in Python when its wall-clock time is up: for packages that take no limit.

    Raises
    ------
    OutOfTimeError
        When it is.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Grid:
    """Evenly spaced prices from 0 to the cap, in order, on one native solver that lives.

    Parameters
    ----------
    peer, tolerance
        A QP solver, and its tolerance that is tight enough.
    """

    market: Market
    peer: Peer
    tolerance: float
    programme: Programme
    users: UserProblem = field(init=False)

    def __post_init__(self) -> None:
        self.users = user_problem(self.market)

    def best(self, points: int, seconds: float = np.inf) -> Found:
        """The most profitable of the grid's points; those without an answer are passed over."""
        own, cap = self.market.leader[0], float(self.market.price_cap[0])
        unit_cost = float(self.market.unit_cost[own])
        best, best_price = -np.inf, None
        fresh = True
        try:
            with at_most(seconds) if np.isfinite(seconds) else contextlib.nullcontext():
                for price in np.linspace(0.0, cap, points).tolist():
                    load = self._load(price, fresh)
                    fresh = load is None
                    if load is not None and (price - unit_cost) * load > best:
                        best, best_price = (price - unit_cost) * load, price
        except OutOfTimeError:
            return Found(best_price, limited=True)
        return Found(best_price)

    def _load(self, price: float, fresh: bool) -> float | None:
        cost = self.programme.cost(self.users.offsets(np.array([price])))
        if fresh:
            self.peer.set_up(cost, self.tolerance)
        else:
            self.peer.update(cost)
        try:
            return float(self.programme.load(self.peer.solve())[self.market.leader[0]])
        except PeerError:
            return None


def plain_gurobi(market: Market, seconds: float) -> Found:
    """The plain model by Gurobi, whose own licence allows 200 variables with a product."""
    import gurobipy as gp

    users, own = user_problem(market), market.leader[0]
    n, m = users.base.shape
    unit, unit_cost = float(users.demand.mean()), float(market.unit_cost[own])
    capacity = users.capacity / unit
    with gp.Model(env=_gurobi()) as model:
        model.Params.TimeLimit, model.Params.MIPGap = seconds, GAP
        model.Params.Threads = 1
        price = model.addVar(ub=float(market.price_cap[0]))
        flow, slack, load = model.addMVar((n, m)), model.addMVar((n, m)), model.addMVar(m)
        level = model.addMVar(n, lb=-gp.GRB.INFINITY)
        model.addConstr(flow.sum(axis=1) == users.demand / unit)
        model.addConstr(flow.sum(axis=0) == load)
        for i in range(n):
            for j in range(m):
                paid = float(users.sensitivity[i, 0]) * price if j == own else 0.0
                congestion = (load[j] + flow[i, j]) / float(capacity[j])
                model.addConstr(float(users.base[i, j]) + paid + congestion - level[i] == slack[i, j])
                model.addSOS(gp.GRB.SOS_TYPE1, [flow[i, j].item(), slack[i, j].item()])
        model.setObjective((price - unit_cost) * load[own].item(), gp.GRB.MAXIMIZE)
        try:
            model.optimize()
        except gp.GurobiError as error:
            if error.errno != gp.GRB.Error.SIZE_LIMIT_EXCEEDED:
                raise
            return Found(None, note=f"refused by its licence: {model.NumVars} variables with a product")
        return Found(price.X if model.SolCount else None, model.Status == gp.GRB.TIME_LIMIT)


@cache
def _gurobi() -> Any:
    import gurobipy as gp

    return gp.Env(params={"OutputFlag": 0})


def plain_scip(market: Market, seconds: float) -> Found:
    """The plain model by SCIP, whose objective must be linear: it is a variable below the product."""
    import pyscipopt as scip

    users, own = user_problem(market), market.leader[0]
    n, m = users.base.shape
    unit, unit_cost = float(users.demand.mean()), float(market.unit_cost[own])
    capacity = users.capacity / unit
    model = scip.Model()
    model.hideOutput()
    model.setParam("limits/time", seconds)
    model.setParam("limits/gap", GAP)
    price, profit = model.addVar(lb=0.0, ub=float(market.price_cap[0])), model.addVar(lb=None)
    load, level = [model.addVar(lb=0.0) for _ in range(m)], [model.addVar(lb=None) for _ in range(n)]
    flow = [[model.addVar(lb=0.0) for _ in range(m)] for _ in range(n)]
    for i in range(n):
        model.addCons(scip.quicksum(flow[i]) == float(users.demand[i]) / unit)
        for j in range(m):
            slack = model.addVar(lb=0.0)
            paid = float(users.sensitivity[i, 0]) * price if j == own else 0.0
            congestion = (load[j] + flow[i][j]) / float(capacity[j])
            model.addCons(float(users.base[i, j]) + paid + congestion - level[i] == slack)
            model.addConsSOS1([flow[i][j], slack])
    for j in range(m):
        model.addCons(scip.quicksum(row[j] for row in flow) == load[j])
    model.addCons(profit <= (price - unit_cost) * load[own])
    model.setObjective(profit, "maximize")
    model.optimize()
    return Found(model.getVal(price) if model.getNSols() else None, model.getStatus() == "timelimit")


def parametric(market: Market, seconds: float, algorithm: str = "geometric") -> Found:
    """The best of the parabolas on ppopt's regions; its programmes are solved by Gurobi (linear) and DAQP (quadratic).

    Parameters
    ----------
    algorithm
        A name of ppopt's `mpqp_algorithm`.
    """
    import daqp  # noqa: F401 (ppopt takes only solvers that are imported already)
    import gurobipy as gp
    from ppopt.mp_solvers.solve_mpqp import mpqp_algorithm, solve_mpqp
    from ppopt.mpqp_program import MPQP_Program
    from ppopt.solver import Solver

    solvers = {"lp": "gurobi", "qp": "daqp", "milp": "gurobi", "miqp": "gurobi"}
    try:
        with contextlib.redirect_stdout(io.StringIO()), at_most(seconds):
            programme = MPQP_Program(**_parametric_programme(market), solver=Solver(solvers), post_process=False)
            regions = solve_mpqp(programme, mpqp_algorithm[algorithm]).critical_regions
    except OutOfTimeError:
        return Found(None, limited=True)
    except gp.GurobiError as error:
        return Found(None, note=f"a linear programme was refused: {error.message}")
    return _best_of_regions(market, regions)


def _parametric_programme(market: Market) -> dict[str, Any]:
    """The users' programme in flows: least f'Qf/2 + (c + H p)'f, A f <= b, first rows equations, p within [0, cap]."""
    users = user_problem(market)
    n, m = users.base.shape
    unit = float(users.demand.mean())
    paid = np.zeros((n, m))
    paid[:, market.leader[0]] = users.sensitivity[:, 0]
    return {
        "A": np.vstack([np.kron(np.eye(n), np.ones((1, m))), -np.eye(n * m)]),
        "b": np.concatenate([users.demand / unit, np.zeros(n * m)])[:, None],
        "c": users.base.reshape(-1, 1),
        "H": paid.reshape(-1, 1),
        "Q": np.kron(np.ones((n, n)) + np.eye(n), np.diag(unit / users.capacity)),
        "A_t": np.array([[1.0], [-1.0]]),
        "b_t": np.array([[float(market.price_cap[0])], [0.0]]),
        "F": np.zeros((n + n * m, 1)),
        "equality_indices": list(range(n)),
    }


def _best_of_regions(market: Market, regions: list[Any]) -> Found:
    own, cap = market.leader[0], float(market.price_cap[0])
    unit_cost = float(market.unit_cost[own])
    best, best_price, covered = -np.inf, None, 0.0
    for region in regions:
        slope, load = (float(law.reshape(market.n, market.m)[:, own].sum()) for law in (region.A, region.b))
        low, high = _ends(region.E.ravel(), region.f.ravel(), cap)
        covered += high - low
        prices = [low, high]
        if slope < 0:
            prices.append(min(max((unit_cost * slope - load) / (2 * slope), low), high))
        for price in prices:
            if (profit := (price - unit_cost) * (load + slope * price)) > best:
                best, best_price = profit, price
    whole = abs(covered - cap) <= 1e-6 * cap
    return Found(best_price, note="" if whole else f"regions cover {covered / cap:.0%} of the prices")


def _ends(rows: Array, right: Array, cap: float) -> tuple[float, float]:
    """The interval of prices with rows p <= right."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = right / rows
    return float(max(0.0, *ends[rows < 0], 0.0)), float(min(cap, *ends[rows > 0], cap))


Alternative = Callable[[Market, float], Found]
