"""solve: from a market to a Result, whoever computes; every answer is judged afresh in the full market.

With an abstraction, solver and model are chosen for and run on the small market, and its bound proves nothing of the
full one. A market with no more rivals than the abstraction would leave is solved as it is.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from prillm_or.errors import CombinationError, OptionError, checked_text
from prillm_or.files.markets import AnyMarket, opened
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.registry import model_needs
from prillm_or.result import Method, Result, Times
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.registry import load_algebraic, load_native
from prillm_or.solvers.starts import starts
from prillm_or.solving.choose import Choice, choose
from prillm_or.solving.judge import judge
from prillm_or.users.problem import user_problem

if TYPE_CHECKING:
    from prillm_or.abstraction.registry import AbstractionChoice


def solve(
    market: AnyMarket,
    *,
    solver: str | os.PathLike[str] = "auto",
    model: str | os.PathLike[str] | None = None,
    gap: float = 1e-4,
    time_limit: float | None = None,
    threads: int = 1,
    seed: int = 0,
    abstraction: str | AbstractionChoice | None = None,
    certify: bool = False,
) -> Result:
    """Find the leader's best prices and what is proven of them.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    solver
        Who computes. `auto` is the fastest that proves the gap: `path` for one price, `branch` for several. Native:
        `path`, `branch`, `bisect`, `enumerate`, `ascent`, `grid`, `odca`, `spgce`; algebraic: `highs`, `gurobi`,
        `scip`, `ipopt`, if wanted with a profile (`highs/stock`) or the path of one.
    model
        What an algebraic solver gets: `kkt-bigm`, `kkt-sos1`, `kkt-indicator`, `kkt-bilinear`, `strong-duality`,
        `mpec`, `smooth`, or the path of a profile; without one, the first that the solver takes.
    gap
        Relative optimality gap to prove, >= 0.
    time_limit
        Seconds, or None.
    threads, seed
        For algebraic solvers.
    abstraction
        Which rivals to leave out or merge first, as in `learned@2+refine` or `anchored` (which leaves two), or None:
        `capacity`, `anchored`, `learned`, `learned-paper`, `min`, `avg`.
    certify
        Whether to prove a bound where the method proves none: by `bisect`, or `branch` of several prices.

    Returns
    -------
    Result
        `profit` is that of `prices` in the full market, at an equilibrium solved and certified afresh.

    Raises
    ------
    ArgumentError
        When an argument is not what it has to be, or out of its range.
    UnknownNameError, MarketError
        When a name is unknown, or a market's file breaks a rule.
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
    solver, model = checked_text("solver", solver), None if model is None else checked_text("model", model)
    market, file = opened(market)
    read_s = 0.0 if file is None else file.read_s
    opened_s = time.perf_counter() - began
    limits = Limits(gap, time_limit, threads, seed)
    deadline = Deadline(limits.time_limit)
    chosen = _abstraction(abstraction)
    abstract_s = 0.0
    if chosen is None:
        method, proposal = _propose(market, choose(market, solver, model), limits)
    elif len(market.rivals) <= chosen.keep:
        method, proposal = _propose(market, choose(market, solver, model), limits)
        method = replace(method, abstraction=chosen.label, keep=chosen.keep)
        proposal = replace(proposal, notes=(f"at most {chosen.keep} rivals: solved as it is", *proposal.notes))
    else:
        method, proposal, abstract_s = _propose_abstracted(market, solver, model, chosen, limits, deadline)
    if proposal.prices is None:
        proposal = _fallen_back(market, proposal)
    proposed = time.perf_counter()
    if certify and proposal.upper_bound is None and proposal.ended is not Ended.INTERRUPTED:
        proposal = _proven(market, proposal, replace(limits, time_limit=deadline.left()))
    proven = time.perf_counter()
    spent = Times(
        total=proven - began - opened_s + read_s,
        read=read_s,
        build=proposal.build_s,
        abstract=abstract_s,
        solve=proposed - began - opened_s - proposal.build_s - abstract_s,
        verify=proven - proposed,
    )
    sha256 = None if file is None else file.sha256
    return judge(market, user_problem(market), proposal, method, limits, spent=spent, sha256=sha256)


def _abstraction(asked: str | AbstractionChoice | None) -> AbstractionChoice | None:
    if asked is None:
        return None
    from prillm_or.abstraction.registry import AbstractionChoice, parse_abstraction

    return asked if isinstance(asked, AbstractionChoice) else parse_abstraction(checked_text("abstraction", asked))


def _fallen_back(market: Market, proposal: Proposal) -> Proposal:
    """The proposal with today's prices where none were found, so that there is a profit to tell.

    Raises
    ------
    KeyboardInterrupt
        When Ctrl-C is why: then nothing was found yet.
    """
    if proposal.ended is Ended.INTERRUPTED:
        raise KeyboardInterrupt
    note = "no price was found: this one is what a search begins with"
    return replace(proposal, prices=starts(market)[0], notes=(*proposal.notes, note))


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

    drive = solve_relaxed if Capability.NLP in model_needs(model.formulation) else solve_algebraic
    try:
        proposal = drive(market, model.build, load_algebraic(profile.solver), limits, profile.options)
    except OptionError as error:
        raise CombinationError(f"{profile.path or profile.name}: {error.message}") from None
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
        abstracted = abstraction.abstract(market)
        proposal = solve_small(abstracted.market)
        proposal = replace(proposal, upper_bound=None, notes=(*abstracted.notes, *proposal.notes))
    if method is None:  # interrupted before a small market was solved
        method = _method(choose(market, solver, model))
    method = replace(method, abstraction=abstraction.label, keep=abstraction.keep)
    return method, proposal, time.perf_counter() - began - small_s


def _proven(market: Market, proposal: Proposal, limits: Limits) -> Proposal:
    """The proposal with a bound by `bisect` or `branch`; its prices stay, also where better ones were met.

    The prices are no head start to these: they open what has the largest bound first, whatever they have seen.
    """
    prover = "bisect" if len(market.decisions) == 1 else "branch"
    proof = load_native(prover).solve(market, limits)
    later = proposal.ended is Ended.FINISHED or proof.ended is Ended.INTERRUPTED
    ended = proof.ended if later else proposal.ended
    assert proof.prices is not None
    best = ", ".join(f"{value:.7g}" for value in proof.prices)
    notes = (*proposal.notes, f"bound by {prover}: {', '.join(proof.notes)}, best price met {best}")
    names = ["price"] if prover == "bisect" else [f"price.{decision.name}" for decision in market.decisions]
    figures = {**proof.stats, **dict(zip(names, proof.prices.tolist(), strict=True))}
    stats = {**proposal.stats, **{f"{prover}_{name}": figure for name, figure in figures.items()}}
    return replace(proposal, upper_bound=proof.upper_bound, ended=ended, notes=notes, stats=stats)
