"""solve: from a market to a Result, whoever computes; every answer is judged afresh in the full market."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from prillm_or import __version__
from prillm_or.certificate import certify, profit_of, relative_gap
from prillm_or.equilibrium import equilibrium
from prillm_or.errors import CombinationError
from prillm_or.market import Array, Market
from prillm_or.profiles import SolverProfile, model_profile, solver_profile
from prillm_or.registry import SOLVERS, capabilities, load_algebraic, load_build, load_native, solvers_with
from prillm_or.result import Method, Result, Status, Times, Today
from prillm_or.solvers.base import Capability, Ended, Limits, Proposal

_CERTIFIED = 1e-6
_ROUNDING = 1e-7
_LARGE = 1_000_000
_DEFAULT_MODEL = "kkt-bigm"


def solve(
    market: Market,
    *,
    solver: str = "auto",
    model: str | None = None,
    limits: Limits | None = None,
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
        A name of `prillm-or models` or the path of a profile, for algebraic solvers; they take `kkt-bigm` by default.
    limits
        Gap, time, threads, seed.
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
    >>> from prillm_or.generate import generate
    >>> result = solve(generate(5, 4, "uniform", 1))
    >>> result.status.value, result.method.solver
    ('optimal', 'path')
    """
    began = time.perf_counter()
    limits = limits or Limits()
    profile = choose_solver(market, solver, model)
    method, proposal = _propose(market, profile, model, limits)
    if proposal.prices is None:
        raise KeyboardInterrupt
    proposed = time.perf_counter()
    result = _judge(market, proposal, method, limits)
    ended = time.perf_counter()
    times = Times(
        total=ended - began + read_s,
        read=read_s,
        build=proposal.build_s,
        solve=proposed - began - proposal.build_s,
        verify=ended - proposed,
    )
    return replace(result, instance_sha256=sha256, time_s=times)


def choose_solver(market: Market, solver: str, model: str | None) -> SolverProfile:
    """Resolve `auto`, and check that solver, model and market go together.

    Raises
    ------
    CombinationError, UnknownNameError
        When they do not, or a name is unknown.
    """
    if solver == "auto":
        solver = _automatic(market, model)
    profile = solver_profile(solver)
    entry = SOLVERS[profile.solver]
    if model is not None and not entry.algebraic:
        algebraic = ", ".join(name for name, other in SOLVERS.items() if other.algebraic)
        raise CombinationError(f"solver {solver} takes no model: leave --model out, or use --solver with {algebraic}")
    several = Capability.SEVERAL_PRICES
    if len(market.leader) > 1 and several not in capabilities(profile.solver):
        raise CombinationError(
            f"{market.name}: the leader sets {len(market.leader)} prices, solver {solver} takes one; "
            f"use --solver with {' or '.join(solvers_with(several))}"
        )
    return profile


def _automatic(market: Market, model: str | None) -> str:
    """The fastest that proves the gap: `path`, at large sizes `bisect`; several prices or a model need HiGHS."""
    if model is not None or len(market.leader) > 1:
        return "highs"
    return "path" if market.n * market.m <= _LARGE else "bisect"


def _propose(market: Market, profile: SolverProfile, model: str | None, limits: Limits) -> tuple[Method, Proposal]:
    if not SOLVERS[profile.solver].algebraic:
        native = load_native(profile.solver)
        return Method(profile.name, native.version()), native.solve(market, limits)
    from prillm_or.solvers.algebraic import solve_algebraic

    chosen = model_profile(model or _DEFAULT_MODEL)
    algebraic = load_algebraic(profile.solver)
    build = load_build(chosen.formulation)
    proposal = solve_algebraic(
        market, lambda market, best: build(market, chosen.options, best), algebraic, limits, profile.options
    )
    return Method(profile.name, algebraic.version(), chosen.name), proposal


def _judge(market: Market, proposal: Proposal, method: Method, limits: Limits) -> Result:
    """Solve and certify the equilibrium at the proposed prices afresh, and weigh the proposal's bound against it."""
    prices = proposal.prices
    assert prices is not None
    found = equilibrium(market, prices)
    certificate = certify(market, prices, found.flow)
    profit = profit_of(market, prices, found.load)
    upper_bound, gap, consistent = _bounded(profit, proposal.upper_bound)
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
        today=_today(market),
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


def _bounded(profit: float, upper_bound: float | None) -> tuple[float | None, float | None, bool]:
    """Bound, gap, and whether they agree with the profit: a bound below it by rounding alone is raised to it."""
    if upper_bound is None:
        return None, None, True
    shortfall = relative_gap(profit, upper_bound) if upper_bound < profit else 0.0
    if shortfall > _ROUNDING:
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


def _today(market: Market) -> Today | None:
    prices = market.today
    if prices is None:
        return None
    return Today(_by_id(market, prices), profit_of(market, prices, equilibrium(market, prices).load))


def _by_id(market: Market, values: Array) -> dict[str, float]:
    return dict(zip(market.leader_ids, np.asarray(values).tolist(), strict=True))
