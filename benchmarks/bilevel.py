r"""The best price of one provider by packages for games and for bilevel programmes, beside `path` on the same markets.

* NashOpt: a game of n users whose costs are quadratic, designed by one parameter, the price, for the largest profit;
  its mixed-integer programme of the users' KKT conditions, with a product in the objective, goes to Gurobi.
* Pyomo's own transformation `core.kkt` of the users' potential, its conditions made disjunctions (`mpec`, `gdp.bigm`)
  for Gurobi: a KKT system that shares no code with ours.
* pympcc: the same conditions as complementarities G, H >= 0, G H = 0, relaxed step by step (Scholtes), from today's
  price; a local method. By filterSQP, since its default, IPOPT through cyipopt, has no wheel.

Volumes are in units of the mean demand. Packages are imported where they are used; what they print is dropped.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.alternatives import GAP, Alternative, Found, OutOfTimeError, at_most
from benchmarks.markets import SHAPES, sample, size
from benchmarks.pricing import Outcome, Row, Way, measure_market, rows_of
from benchmarks.report import Table, Target, target_table
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.models.bounds import costs, slopes
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at

_LIMIT, _QUICK_LIMIT = 60.0, 10.0
_BIG = 1e3
_PYBLP = (
    "; PyBLP's price equilibria have no row: its customers choose by (mixed) logit and mind no load, ours split by "
    "costs that rise with the load, and no market is both"
)


@dataclass(frozen=True)
class Game:
    """A market as these packages take it: flows f over the mean demand, costs per unit over the price weight.

    Parameters
    ----------
    cost, by_load
        Shape (n, m): c_ij at price 0, and how much dearer provider j becomes to user i by a unit of load.
    demand
        Shape (n,).
    """

    market: Market
    cost: Array
    by_load: Array
    demand: Array

    @property
    def own(self) -> NDArray[np.intp]:
        """Positions of the flows to the leader among all flows, row by row."""
        n, m = self.cost.shape
        return np.asarray(np.arange(n) * m + self.market.leader[0])

    @property
    def sums(self) -> Array:
        """Rows that add up each user's flows, shape (n, n m)."""
        n, m = self.cost.shape
        return np.asarray(np.kron(np.eye(n), np.ones((1, m))))


def game(market: Market) -> Game:
    """The market's users; of one plain price, without crowds and tastes, so that both slopes are one."""
    unit = float(market.demand.mean())
    by_load, own = slopes(market)
    assert np.array_equal(by_load, own), "crowds and tastes are beyond these games"
    return Game(market, costs(market, np.zeros(1)), by_load * unit, market.demand / unit)


def nashopt(market: Market, seconds: float) -> Found:
    """NashOpt: user i pays sum_j f_ij (c_ij + b_ij x_j), and p more at the leader; the design maximises (p - k) x_s."""
    from nashopt import GNEP_LQ

    users = game(market)
    n, m = users.cost.shape
    squares, linear, paid = [], [], []
    for i in range(n):
        square, cost, price = np.zeros((n, m, n, m)), np.zeros((n, m)), np.zeros((n, m))
        for j in range(m):
            square[i, j, :, j] += users.by_load[i, j]
            square[:, j, i, j] += users.by_load[i, j]
        cost[i], price[i, market.leader[0]] = users.cost[i], 1.0
        squares.append(square.reshape(n * m, n * m))
        linear.append(cost.ravel())
        paid.append(price.reshape(-1, 1))
    design, unit_cost = np.zeros((n * m + 1, n * m + 1)), np.zeros(n * m + 1)
    design[users.own, -1] = design[-1, users.own] = -1.0
    unit_cost[users.own] = float(market.unit_cost[market.leader[0]])
    built = GNEP_LQ(
        [m] * n, squares, linear, paid,
        lb=np.zeros(n * m), ub=np.full(n * m, np.inf), pmin=np.zeros(1), pmax=market.price_cap,
        Aeq=users.sums, beq=users.demand, Seq=np.zeros((n, 1)),
        Q_J=design, c_J=unit_cost, M=_BIG, variational=True, solver="gurobi",
    )  # fmt: skip
    found = built.solve()
    return Found(float(np.ravel(found.p)[0]))


def pyomo_kkt(market: Market, seconds: float) -> Found:
    """Pyomo's KKT conditions of the users' potential, with the leader's profit as objective, by Gurobi."""
    import pyomo.environ as pyo

    users, own = game(market), market.leader[0]
    n, m = users.cost.shape
    model = pyo.ConcreteModel()
    model.price = pyo.Var(bounds=(0.0, float(market.price_cap[0])))
    model.flow, model.volume = pyo.Var(range(n), range(m)), pyo.Var(range(m))
    model.sign = pyo.Constraint(range(n), range(m), rule=lambda b, i, j: b.flow[i, j] >= 0)
    model.demand = pyo.Constraint(
        range(n), rule=lambda b, i: sum(b.flow[i, j] for j in range(m)) == float(users.demand[i])
    )
    model.balance = pyo.Constraint(range(m), rule=lambda b, j: sum(b.flow[i, j] for i in range(n)) == b.volume[j])
    slope = users.by_load[0]  # of common weights: the potential needs one slope of all users
    model.potential = pyo.Objective(
        expr=sum(float(users.cost[i, j]) * model.flow[i, j] for i in range(n) for j in range(m))
        + model.price * sum(model.flow[i, own] for i in range(n))
        + sum(float(slope[j] / 2) * model.volume[j] ** 2 for j in range(m))
        + sum(float(slope[j] / 2) * model.flow[i, j] ** 2 for i in range(n) for j in range(m))
    )
    pyo.TransformationFactory("core.kkt").apply_to(model, parameterize_wrt=[model.price])
    model.potential.deactivate()
    model.profit = pyo.Objective(
        expr=(model.price - float(market.unit_cost[own])) * model.volume[own], sense=pyo.maximize
    )
    pyo.TransformationFactory("mpec.simple_disjunction").apply_to(model)
    pyo.TransformationFactory("gdp.bigm").apply_to(model, bigM=_BIG)
    solver = pyo.SolverFactory("gurobi_direct", options={"MIPGap": GAP, "TimeLimit": seconds, "Threads": 1})
    answer = solver.solve(model, load_solutions=False)
    if not len(answer.solution):
        return Found(None, limited=str(answer.solver.termination_condition) == "maxTimeLimit")
    model.solutions.load_from(answer)
    return Found(float(pyo.value(model.price)), str(answer.solver.termination_condition) == "maxTimeLimit")


def pympcc(market: Market, seconds: float) -> Found:
    """The users' KKT conditions as complementarities, from the equilibrium at today's price."""
    import pympcc as package

    users, own = game(market), market.leader[0]
    n, m = users.cost.shape
    pairs, unit_cost = n * m, float(market.unit_cost[own])
    reduced = np.zeros((n, m, pairs + n + 1))
    for i in range(n):
        for j in range(m):
            reduced[i, j, np.arange(n) * m + j] += users.by_load[i, j]
            reduced[i, j, i * m + j] += users.by_load[i, j]
            reduced[i, j, pairs + i] = -1.0
            reduced[i, j, -1] = float(j == own)
    reduced = reduced.reshape(pairs, -1)
    flows, sums = np.eye(pairs, pairs + n + 1), np.hstack([users.sums, np.zeros((n, n + 1))])
    today = equilibrium_at(market, np.minimum(market.current, market.price_cap))
    start = [today.flow.ravel() / market.demand.mean(), today.multiplier / market.price_weight, today.prices]

    def gradient(x: Array) -> Array:
        by = np.zeros(len(x))
        by[users.own], by[-1] = -(x[-1] - unit_cost), -x[users.own].sum()
        return by

    problem = package.MPCCProblem(
        n=pairs + n + 1,
        n_comp=pairs,
        x0=np.concatenate(start),
        xl=np.concatenate([np.zeros(pairs), np.full(n, -np.inf), [0.0]]),
        xu=np.concatenate([np.full(pairs + n, np.inf), market.price_cap]),
        objective=lambda x: -(x[-1] - unit_cost) * x[users.own].sum(),
        gradient=gradient,
        comp_G=lambda x: x[:pairs],
        comp_G_jacobian=lambda _: flows,
        comp_H=lambda x: reduced @ x + users.cost.ravel(),
        comp_H_jacobian=lambda _: reduced,
        n_eq=n,
        eq_constraints=lambda x: sums @ x - users.demand,
        eq_jacobian=lambda _: sums,
    )
    found = package.solve(problem, strategy="scholtes", backend="filterSQP", time_limit=seconds)
    return Found(float(found.x[-1]), note="" if found.success else "its own status: no success")


def _quiet(alternative: Alternative, market: Market, seconds: float) -> Found:
    """Run one of them within its time, without what it prints; Gurobi's licence may refuse the model."""
    import gurobipy as gp

    printed = io.StringIO()
    try:
        with open(os.devnull, "w") as nothing, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(nothing), at_most(seconds):
                return alternative(market, seconds)
    except OutOfTimeError:
        return Found(None, limited=True)
    except gp.GurobiError as error:
        if error.errno != gp.GRB.Error.SIZE_LIMIT_EXCEEDED:
            raise
        return Found(None, note="refused by Gurobi's licence: too large")


def _ours(market: Market) -> Found:
    return Found(solve(market, solver="path").price)


def _ways(market: Market, limit: float) -> list[Way]:
    gap = f"gap {GAP:g}"
    return [
        Way("path", "prillm-or", "exact", partial(_ours, market)),
        Way("NashOpt, Gurobi", "nashopt", gap, partial(_quiet, nashopt, market, limit)),
        Way("Pyomo's core.kkt, Gurobi", "pyomo", gap, partial(_quiet, pyomo_kkt, market, limit)),
        Way("pympcc, filterSQP", "pympcc", "nothing", partial(_quiet, pympcc, market, limit)),
    ]


def measure(quick: bool) -> Iterator[Table]:
    """Each package by size, then the target: no proven price of another differs from that of `path`."""
    plans = ((3, 3, 1),) if quick else ((4, 4, 2), (8, 6, 1), (8, 13, 1))
    limit = _QUICK_LIMIT if quick else _LIMIT
    late: Counter[str] = Counter()
    outcomes: list[Outcome] = []
    first = generate(3, 3, "uniform", 1)
    measure_market(first, limit, late, _ways(first, limit))  # for imports
    for users, providers, seeds in plans:
        rows: list[Row] = []
        for shape in SHAPES:
            markets = sample(users, providers, seeds, (shape,))
            found = [measure_market(market, limit, late, _ways(market, limit)) for market in markets]
            rows += rows_of(size(markets[0]), shape, found)
            outcomes += [outcome for each in found for outcome in each]
        note = f"limited: on how many markets {limit:g} s ran out; they count as the time, a lower bound{_PYBLP}"
        yield Table(f"bilevel {users}x{providers}", rows, note)
    proven = [o for o in outcomes if o.share is not None and o.way.name != "path" and o.way.proves != "nothing"]
    if proven:
        apart = max(abs(1 - o.share) for o in proven if o.share is not None and not o.limited)
        ratio = median(o.ratio for o in proven if o.ratio is not None)
        targets = [
            Target("profit of proven prices of others, off that of path", apart, GAP, at_least=False),
            Target("median time of those over path", ratio, 10.0, at_least=True),
        ]
        yield target_table(targets)
