"""solve: from a market to a Result, whoever computes; every answer is judged afresh in the full market.

With an abstraction, solver and model are chosen for and run on the small market, and its bound proves nothing of the
full one. A market with no more rivals than the abstraction would leave is solved as it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from prillm_or import __version__
from prillm_or.errors import CombinationError, argument
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.registry import MODELS, ModelProfile, load_build, model_needs, model_profile
from prillm_or.result import Method, Result, Status, Times, Today
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.registry import (
    SOLVERS,
    SolverProfile,
    capabilities,
    load_algebraic,
    load_native,
    solver_profile,
    solvers_for,
    solvers_with,
)
from prillm_or.users.certificate import certify, profit_of, relative_gap
from prillm_or.users.equilibrium import Equilibrium, UserProblem, nearest, solve_users, user_problem

if TYPE_CHECKING:
    from prillm_or.abstraction.registry import AbstractionChoice

_CERTIFIED = 1e-6
_SHORTFALL = 1e-7
_ROUNDING = 1e-12
_PREFERRED = ("highs", "scip", "gurobi", "ipopt")


def solve(
    market: Market,
    *,
    solver: str = "auto",
    model: str | None = None,
    limits: Limits | None = None,
    abstraction: AbstractionChoice | None = None,
    certify: bool = False,
    sha256: str | None = None,
    read_s: float = 0.0,
) -> Result:
    """Find the leader's best prices and what is proven of them.

    Parameters
    ----------
    market
        The market.
    solver
        A name of `prillm-or solvers`, with a profile (`highs/stock`) or the path of one, or `auto`: the fastest that
        proves the gap.
    model
        A name of `prillm-or models` or the path of a profile, for algebraic solvers; without one, the first that the
        solver takes.
    limits
        Gap, time, threads, seed.
    abstraction
        Which rivals to leave out or merge first, or None.
    certify
        Whether to prove a bound by `bisect` where the method proves none; one price only.
    sha256, read_s
        What the reader knows of the file, for the result.

    Returns
    -------
    Result
        `profit` is that of `prices` in the full market, at an equilibrium solved and certified afresh.

    Raises
    ------
    CombinationError
        When solver, model and market do not go together; the message names what would.
    UnavailableError
        When a solver or a licence is missing.
    KeyboardInterrupt
        When it comes before any price was found.

    Examples
    --------
    >>> from prillm_or.market.synthetic import generate
    >>> result = solve(generate(5, 4, "uniform", 1))
    >>> result.status.value, result.method.solver
    ('optimal', 'path')
    """
    began = time.perf_counter()
    limits = limits or Limits()
    deadline = Deadline(limits.time_limit)
    if certify:
        _refuse_several_prices(market)
    abstract_s = 0.0
    if abstraction is None:
        method, proposal = _propose(market, choose(market, solver, model), limits)
    elif len(market.rivals) <= abstraction.keep:
        method, proposal = _propose(market, choose(market, solver, model), limits)
        method = replace(method, abstraction=abstraction.label, keep=abstraction.keep)
        proposal = replace(proposal, notes=(f"at most {abstraction.keep} rivals: solved as it is", *proposal.notes))
    else:
        method, proposal, abstract_s = _propose_abstracted(market, solver, model, abstraction, limits, deadline)
    if proposal.prices is None:
        raise KeyboardInterrupt
    proposed = time.perf_counter()
    if certify and proposal.upper_bound is None and proposal.ended is not Ended.INTERRUPTED:
        proposal = _proven(market, proposal, replace(limits, time_limit=deadline.left()))
    result = judge(market, user_problem(market), proposal, method, limits)
    ended = time.perf_counter()
    times = Times(
        total=ended - began + read_s,
        read=read_s,
        build=proposal.build_s,
        abstract=abstract_s,
        solve=proposed - began - proposal.build_s - abstract_s,
        verify=ended - proposed,
    )
    return replace(result, instance_sha256=sha256, time_s=times)


@dataclass(frozen=True)
class Choice:
    """Who computes: a solver and, if it is algebraic, the model it gets."""

    solver: SolverProfile
    model: ModelProfile | None


def choose(market: Market, solver: str, model: str | None) -> Choice:
    """Resolve `auto`, and check that solver, model and market go together.

    Raises
    ------
    CombinationError, UnknownNameError, UnavailableError
        When they do not, a name is unknown, or a package is missing.
    """
    chosen = None if model is None else model_profile(model)
    profile = solver_profile(_automatic(market, chosen) if solver == "auto" else solver)
    takes, several = capabilities(profile.solver), Capability.SEVERAL_PRICES
    if len(market.leader) > 1 and several not in takes:
        raise CombinationError(
            f"{market.name}: the leader sets {len(market.leader)} prices, solver {solver} takes one; "
            f"use {argument('solver')} with {' or '.join(sorted(solvers_with(several), key=_proves_nothing))}"
        )
    if SOLVERS[profile.solver].algebraic:
        chosen = chosen or _default_model(profile.solver)
        able = solvers_for(chosen.formulation)
        if profile.solver not in able:
            raise CombinationError(
                f"solver {profile.solver} cannot take the model {chosen.name}; {' or '.join(able)} can"
            )
    elif chosen is not None:
        able = solvers_for(chosen.formulation)
        raise CombinationError(
            f"solver {profile.solver} takes no model: leave {argument('model')} out, or use "
            f"{argument('solver')} with {' or '.join(able)}"
        )
    return Choice(profile, chosen)


def _proves_nothing(solver: str) -> bool:
    """Of solvers that take several prices: only those of integer programmes prove theirs."""
    return Capability.MIP not in capabilities(solver)


def _automatic(market: Market, model: ModelProfile | None) -> str:
    """The fastest that proves the gap: `path`; several prices or a model need another."""
    if model is not None:
        able = solvers_for(model.formulation)
        return next((name for name in _PREFERRED if name in able), _PREFERRED[0])
    if len(market.leader) > 1:
        return _PREFERRED[0]
    return "path"


def _default_model(solver: str) -> ModelProfile:
    """The first formulation that the solver can take."""
    return model_profile(next(name for name in MODELS if solver in solvers_for(name)))


def _method(choice: Choice) -> Method:
    """What a result says of who computed."""
    profile, model = choice.solver, choice.model
    if model is None:
        return Method(profile.name, load_native(profile.solver).version())
    return Method(profile.name, load_algebraic(profile.solver).version(), model.name)


def _propose(market: Market, choice: Choice, limits: Limits) -> tuple[Method, Proposal]:
    profile, model = choice.solver, choice.model
    if model is None:
        return _method(choice), load_native(profile.solver).solve(market, limits)
    from prillm_or.solvers.algebraic import solve_algebraic
    from prillm_or.solvers.relaxation import solve_relaxed

    algebraic, build, own = load_algebraic(profile.solver), load_build(model.formulation), model.options
    drive = solve_relaxed if Capability.NLP in model_needs(model.formulation) else solve_algebraic
    proposal = drive(market, lambda market, best: build(market, own, best), algebraic, limits, profile.options)
    return _method(choice), proposal


def _propose_abstracted(
    market: Market,
    solver: str,
    model: str | None,
    abstraction: AbstractionChoice,
    limits: Limits,
    deadline: Deadline,
) -> tuple[Method, Proposal, float]:
    """Prices by way of small markets, without a bound; and the seconds spent on making these."""
    # Imported here: the exact path is to stay free of scipy, which the root of `anchored` needs.
    from prillm_or.abstraction.refine import refine

    began, small_s = time.perf_counter(), 0.0
    method: Method | None = None

    def solve_small(small: Market) -> Proposal:
        nonlocal method, small_s
        start = time.perf_counter()
        left = replace(limits, time_limit=deadline.left())
        method, proposal = _propose(small, choose(small, solver, model), left)
        small_s += time.perf_counter() - start
        return proposal

    if abstraction.refine:
        proposal = refine(market, abstraction, solve_small)
    else:
        made = abstraction.abstract(market)
        proposal = solve_small(made.market)
        proposal = replace(proposal, upper_bound=None, notes=(*made.notes, *proposal.notes))
    if method is None:  # interrupted before a small market was solved
        method = _method(choose(market, solver, model))
    method = replace(method, abstraction=abstraction.label, keep=abstraction.keep)
    return method, proposal, time.perf_counter() - began - small_s


def _refuse_several_prices(market: Market) -> None:
    if (several := len(market.leader)) > 1:
        proving = [name for name in solvers_with(Capability.SEVERAL_PRICES) if not _proves_nothing(name)]
        raise CombinationError(
            f"{market.name}: the leader sets {several} prices, bisect certifies one; leave {argument('certify')} "
            f"out, or use {argument('solver')} {' or '.join(proving)} without an abstraction, which prove a "
            "bound of their own"
        )


def _proven(market: Market, proposal: Proposal, limits: Limits) -> Proposal:
    """The proposal with a bound by `bisect`; its prices stay, also where a better one was met.

    The price is no head start to `bisect`, which opens the interval of largest bound first, whatever it has seen.
    """
    proof = Bisect().solve(market, limits)
    ended = proof.ended if proposal.ended is Ended.FINISHED else proposal.ended
    assert proof.prices is not None
    notes = (*proposal.notes, f"bound by bisect: {', '.join(proof.notes)}, best price met {proof.prices[0]:.7g}")
    return replace(proposal, upper_bound=proof.upper_bound, ended=ended, notes=notes)


def judge(
    market: Market,
    users: UserProblem,
    proposal: Proposal,
    method: Method,
    limits: Limits,
    known: Sequence[Equilibrium] = (),
) -> Result:
    """Solve and certify the equilibrium at the proposed prices afresh, and weigh the proposal's bound against it.

    `known` are equilibria of the market to look for it from; the certificate knows nothing of them.
    """
    prices = proposal.prices
    assert prices is not None
    found = solve_users(users, prices, nearest(known, prices))
    certificate = certify(market, prices, found.flow)
    profit = profit_of(market, prices, found.load)
    turnover = float((market.price_cap.max() + market.unit_cost.max()) * market.demand.sum())
    upper_bound, gap, consistent = _bounded(profit, proposal.upper_bound, turnover)
    certified = max(certificate.kkt_residual, certificate.max_regret) <= _CERTIFIED
    status = _status(proposal.ended, gap, limits.gap) if consistent and certified else Status.ERROR
    notes = list(proposal.notes)
    if not consistent:
        notes.append(f"the solver's bound {upper_bound!r} is below the profit {profit!r} of its own price")
    if not certified:
        notes.append("the equilibrium at the price could not be certified")
    return Result(
        instance=market.name,
        instance_sha256=None,
        today=_today(market, users, (*known, found)),
        method=method,
        status=status,
        prices=_by_id(market, prices),
        profit=profit,
        upper_bound=upper_bound,
        gap=gap,
        loads=_by_id(market, found.load[list(market.leader)]),
        certificate=certificate,
        time_s=Times(),
        seed=limits.seed,
        threads=limits.threads,
        version=__version__,
        interrupted=proposal.ended is Ended.INTERRUPTED,
        notes=tuple(notes),
    )


def _bounded(profit: float, upper_bound: float | None, turnover: float) -> tuple[float | None, float | None, bool]:
    """Bound, gap, and whether they agree with the profit: a bound below it by rounding alone is raised to it.

    Rounding is relative to the profit; where that is near zero, to the turnover that a market of this size could have.
    """
    if upper_bound is None:
        return None, None, True
    if profit - upper_bound > max(_SHORTFALL * abs(profit), _ROUNDING * turnover):
        return upper_bound, relative_gap(upper_bound, profit), False
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


def _today(market: Market, users: UserProblem, known: Sequence[Equilibrium]) -> Today | None:
    prices = market.today
    if prices is None:
        return None
    near = nearest(known, prices)
    if near is None or not np.array_equal(near.prices, prices):
        near = solve_users(users, prices, near)
    return Today(_by_id(market, prices), profit_of(market, prices, near.load))


def _by_id(market: Market, values: Array) -> dict[str, float]:
    return dict(zip(market.leader_ids, np.asarray(values).tolist(), strict=True))
