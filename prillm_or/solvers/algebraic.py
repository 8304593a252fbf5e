"""From a market to the answer of an algebraic solver: build the model, give it to the solver in a form it takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from prillm_or.errors import CombinationError, UnavailableError, argument
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Build, Formulation
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.outer import outer_approximation
from prillm_or.solvers.protocols import AlgebraicSolver, Ended, Proposal
from prillm_or.solvers.windows import narrowed_window
from prillm_or.users.certificate import relative_gap
from prillm_or.users.reach import within_reach

_FIRST_PRICES = 5


def solve_algebraic(
    market: Market, build: Build, solver: AlgebraicSolver, limits: Limits, options: Mapping[str, object]
) -> Proposal:
    """Build a model of the market and solve it.

    A solver that takes the model as it is gets it so; one that lacks only convex quadratics, or whose licence is too
    small for them, gets it by outer approximation.

    Parameters
    ----------
    build
        Builds the formulation, given the market and a window.
    options
        Of the solver's profile.

    Raises
    ------
    CombinationError, UnavailableError
        When the model, the solver and the market do not go together.
    """
    _refuse_beyond_licence(market, solver)
    market = within_reach(market)
    deadline = Deadline(limits.time_limit)
    began = time.perf_counter()
    first = _first_prices(market)
    try:
        formulation = build(market, narrowed_window(market, first, deadline))
        best = Incumbent(formulation.market)
        assert first.prices is not None
        best.offer(first.prices / formulation.decision)
        build_s = time.perf_counter() - began
        proposal, refusal = _solve(formulation, best, solver, limits, deadline, options)
    except KeyboardInterrupt:  # outside the solver, which would have kept its bound
        return Proposal(first.prices, None, Ended.INTERRUPTED)
    notes = [*formulation.notes, *proposal.notes]
    if refusal is not None:
        notes.append(f"outer approximation, since {refusal}")
    assert best.equilibrium is not None
    notes += formulation.binding(best.equilibrium)
    prices = best.equilibrium.prices * formulation.decision
    stats = {**formulation.bounds.counts, **proposal.stats}
    return Proposal(prices, proposal.upper_bound, proposal.ended, tuple(notes), build_s, stats, proposal.cause)


def _refuse_beyond_licence(market: Market, solver: AlgebraicSolver) -> None:
    """Refuse, before anything is built, a market whose smallest model is too large for the licence.

    Whatever the bounds rule out, the decisions, a multiplier and a flow for each user, and each load remain.
    """
    limit, least = solver.limit(), len(market.decisions) + 2 * market.n + market.m
    if limit is not None and least > limit:
        others = ", scip, path or bisect" if len(market.decisions) == 1 else " or scip"
        raise UnavailableError(
            f"{market.name}: its model has at least {least} variables, the licence of {solver.name} here allows "
            f"{limit}; use {argument('solver', 'highs')}{others}, or install a full licence"
        )


def _solve(
    formulation: Formulation,
    best: Incumbent,
    solver: AlgebraicSolver,
    limits: Limits,
    deadline: Deadline,
    options: Mapping[str, object],
) -> tuple[Proposal, str | None]:
    """Solve as it is, or by tangents; say why not as it is where a licence is the reason."""
    if relative_gap(formulation.upper_bound, best.profit) <= limits.gap:
        return Proposal(best.prices, formulation.proven(formulation.upper_bound), Ended.FINISHED), None
    missing = formulation.needs - solver.capabilities
    refusal = None if missing else solver.refuses(formulation)
    if not missing and refusal is None:
        limits = replace(limits, time_limit=deadline.left())
        return _solve_as_it_is(formulation, best, solver, limits, options), None
    if formulation.profit is not None and missing <= {Capability.CONVEX_MIQP}:
        return outer_approximation(formulation, best, solver, limits, deadline, options), refusal
    if refusal is not None:
        raise UnavailableError(f"{solver.name} cannot take {formulation.name}: {refusal}")
    raise CombinationError(f"{solver.name} cannot take {formulation.name}: it lacks {', '.join(sorted(missing))}")


def _first_prices(market: Market) -> Incumbent:
    """Evenly spread prices, polished: what the model starts from and measures itself against."""
    best = Incumbent(market)
    for share in np.linspace(0.0, 1.0, _FIRST_PRICES):
        best.offer(share * market.price_cap)
        best.polish()
    return best


def _solve_as_it_is(
    formulation: Formulation, best: Incumbent, solver: AlgebraicSolver, limits: Limits, options: Mapping[str, object]
) -> Proposal:
    """Hand the model to a solver that takes it, then polish its price."""
    if formulation.profit is not None:
        formulation.profit.use_squares(in_rows=solver.squares_in_rows(formulation))
    assert best.equilibrium is not None
    formulation.start_from(best.equilibrium)
    # Half of the gap is kept for what the model's rounding and the true equilibrium may cost.
    answer = solver.run(formulation, replace(limits, gap=0.5 * limits.gap), options)
    if answer.has_values:
        best.offer_near(formulation.decisions())
        best.polish()
    bound = min(formulation.upper_bound, np.inf if answer.bound is None else answer.bound)
    notes = ("one model, solved as it is",)
    return Proposal(best.prices, formulation.proven(bound), answer.ended, notes, stats=answer.stats, cause=answer.cause)
