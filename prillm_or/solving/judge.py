"""judge: what a proposal is worth: its prices in the full market, its bound beside their profit, a status.

Two tolerances decide: that of an equilibrium (`CERTIFIED` in `users/certificate.py`), and that of a bound that lies
below a profit (`contradicts`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from prillm_or import __version__
from prillm_or.limits import Limits
from prillm_or.market.decisions import FACTOR, all_prices
from prillm_or.market.market import Array, Market, by_component, by_decision, by_leader
from prillm_or.result import Caveat, Certificate, Context, Method, Result, Status, Times, Today
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.caveats import caveats, own_elasticity
from prillm_or.users.certificate import profit_of, relative_gap
from prillm_or.users.equilibrium import Equilibrium, nearest
from prillm_or.users.reach import turnover
from prillm_or.users.split import AnyEquilibrium, AnyUsers, certified_at, equilibrium_of

_SHORTFALL = 1e-7
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Weighed:
    """A proposal's prices in the full market.

    Parameters
    ----------
    found, certificate
        The equilibrium there, and how far it is one.
    profit, upper_bound, gap
        What they earn, and the proposal's bound beside it, raised to it where rounding alone is between; none where it
        lies further below, which nothing true does.
    consistent
        Whether the proposal's bound is no less than the profit.
    """

    found: AnyEquilibrium
    certificate: Certificate
    profit: float
    upper_bound: float | None
    gap: float | None
    consistent: bool


def weigh(
    market: Market, users: AnyUsers, prices: Array, upper_bound: float | None, near: Equilibrium | None
) -> Weighed:
    """Solve and certify the equilibrium at proposed prices, and weigh the bound against it; see `judge`."""
    found = equilibrium_of(users, prices, near)
    certificate = certified_at(market, found)
    profit = profit_of(market, prices, found.billed)
    return Weighed(found, certificate, profit, *_bounded(profit, upper_bound, market))


@dataclass(frozen=True, eq=False)
class _Beside:
    """What is told of a proposal's prices besides what they earn, worked out when it is asked for.

    Parameters
    ----------
    market, users
        The full market.
    weighed
        The prices there.
    known
        Equilibria of it to look for today's from.
    abstracted
        Whether a small market proposed the prices, and nothing is proven of them.
    """

    market: Market
    users: AnyUsers
    weighed: Weighed
    known: Sequence[Equilibrium]
    abstracted: bool

    @cached_property
    def _today(self) -> AnyEquilibrium | None:
        """The equilibrium at today's prices, if there are any."""
        prices, found = self.market.today, self.weighed.found
        if prices is None:
            return None
        near = nearest([*self.known, found], prices) if isinstance(found, Equilibrium) else found
        if near is None or not np.array_equal(near.prices, prices):
            return equilibrium_of(self.users, prices, near)
        return near

    @cached_property
    def _elasticity(self) -> Mapping[str, float | None]:
        return own_elasticity(self.market, self._today)

    def today(self) -> Today | None:
        """See `Result`."""
        if (found := self._today) is None:
            return None
        profit = profit_of(self.market, found.prices, found.billed)
        return Today(profit=profit, **_set(self.market, found.prices))

    def warnings(self) -> tuple[Caveat, ...]:
        """See `Result`."""
        found, profit = self.weighed.found, self.weighed.profit
        return caveats(self.market, self.users, found, profit, self._elasticity, abstracted=self.abstracted)

    def context(self) -> Context:
        """See `Result`."""
        market, today = self.market, self._today
        loads = {} if today is None else by_leader(market, today.load[list(market.leader)])
        return Context(market.units, by_decision(market, market.price_cap), loads, self._elasticity)


def judge(
    market: Market,
    users: AnyUsers,
    proposal: Proposal,
    method: Method,
    limits: Limits,
    known: Sequence[Equilibrium] = (),
    spent: Times | None = None,
    sha256: str | None = None,
) -> Result:
    """Solve and certify the equilibrium at the proposed prices afresh, and weigh the proposal's bound against it.

    `known` are equilibria of the market to look for it from; the certificate knows nothing of them. `spent` is the time
    so far, `sha256` that of the market's file.

    Raises
    ------
    ConvergenceError
        When the equilibrium cannot be certified.
    """
    began, prices = time.perf_counter(), proposal.prices
    assert prices is not None
    weighed = weigh(market, users, prices, proposal.upper_bound, nearest(known, prices))
    found, profit, upper_bound, consistent = weighed.found, weighed.profit, weighed.upper_bound, weighed.consistent
    status = _status(proposal.ended, weighed.gap, limits.gap) if consistent else Status.ERROR
    notes = list(proposal.notes)
    if not consistent:
        notes.append(
            f"the solver's bound {proposal.upper_bound!r} is below the profit {profit!r} of its own price: it is none"
        )
    if status is Status.ERROR:
        if consistent:
            notes.append(f"{proposal.cause or proposal.ended}: the price is the best that was met before")
        notes.append(_way_out(market, method))
    beside = _Beside(market, users, weighed, known, method.abstraction is not None and upper_bound is None)
    return Result(
        instance=market.name,
        instance_sha256=sha256,
        today=beside.today,
        method=method,
        status=status,
        **_set(market, prices),
        profit=profit,
        upper_bound=upper_bound,
        gap=weighed.gap,
        loads=by_leader(market, found.load[list(market.leader)]),
        billed=by_component(market, found.billed, market.leader) if market.components else None,
        certificate=weighed.certificate,
        time_s=(spent or Times()).verified(time.perf_counter() - began),
        seed=limits.seed,
        threads=limits.threads,
        version=__version__,
        stats=proposal.stats,
        warnings=beside.warnings,
        interrupted=proposal.ended is Ended.INTERRUPTED,
        notes=tuple(notes),
        context=beside.context,
    )


def _way_out(market: Market, method: Method) -> str:
    """Who else can compute what a method failed at."""
    others = ("path", "bisect") if len(market.decisions) == 1 else ("highs", "scip", "gurobi", "ascent")
    able = [other for other in others if other != method.solver.split("/")[0]]
    return f"another solver may do it: {' or '.join(able)}"


def contradicts(upper_bound: float, profit: float, market: Market) -> bool:
    """Whether a bound lies below a profit by more than rounding, so that it is false.

    Rounding is relative to the profit; where that is near zero, to the market's `turnover`.
    """
    short = profit - upper_bound
    return short > _SHORTFALL * abs(profit) and short > _ROUNDING * turnover(market)


def _bounded(profit: float, upper_bound: float | None, market: Market) -> tuple[float | None, float | None, bool]:
    """Bound, gap, and whether they agree with the profit: a bound below it by rounding alone is raised to it."""
    if upper_bound is None:
        return None, None, True
    if contradicts(upper_bound, profit, market):
        return None, None, False
    upper_bound = max(upper_bound, profit)
    return upper_bound, relative_gap(upper_bound, profit), True


def _status(ended: Ended, gap: float | None, wanted: float) -> Status:
    if gap is not None and gap <= wanted:
        return Status.OPTIMAL
    if ended is Ended.TIME_LIMIT:
        return Status.TIME_LIMIT
    if ended in (Ended.UNKNOWN, Ended.INFEASIBLE):
        return Status.ERROR
    return Status.HEURISTIC if gap is None else Status.FEASIBLE


def _set(market: Market, decisions: Array) -> dict[str, Any]:
    """Prices of the leader's providers at its decisions, and the factors, where it decides these."""
    prices = by_component(market, all_prices(market, decisions), market.leader)
    return {"prices": prices, "factors": by_decision(market, decisions) if market.decides == FACTOR else None}
