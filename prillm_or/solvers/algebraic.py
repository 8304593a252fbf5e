"""From a market to the answer of an algebraic solver: build the model, solve it as it is or by outer approximation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from prillm_or.market import Market
from prillm_or.models.formulation import Formulation, scaled_market
from prillm_or.solvers.base import AlgebraicSolver, Capability, Deadline, Ended, Limits, Proposal
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.outer import outer_approximation

Build = Callable[[Market, float], Formulation]


def solve_algebraic(
    market: Market, build: Build, solver: AlgebraicSolver, limits: Limits, options: Mapping[str, object]
) -> Proposal:
    """Build a model of the market and solve it.

    Parameters
    ----------
    build
        Builds the formulation, given the market and the profit of an equilibrium already found.
    options
        Of the solver's profile.

    Raises
    ------
    CombinationError, UnavailableError
        When the model, the solver and the market do not go together.
    """
    deadline = Deadline(limits.time_limit)
    began = time.perf_counter()
    scaled, money, volume = scaled_market(market)
    best = Incumbent(scaled)
    for share in np.linspace(0.0, 1.0, 5):
        best.offer(share * scaled.price_cap)
        best.polish()
    formulation = build(market, best.profit * money * volume)
    build_s = time.perf_counter() - began
    refusal = None
    if Capability.CONVEX_MIQP in solver.capabilities and (refusal := solver.refuses(formulation)) is None:
        proposal = _solve_squares(formulation, best, solver, limits, deadline, options)
    else:
        proposal = outer_approximation(formulation, best, solver, limits, deadline, options)
    notes = [*formulation.notes, *proposal.notes]
    if refusal:
        notes.append(f"outer approximation, since {refusal}")
    if best.equilibrium is not None:
        notes += formulation.binding(best.equilibrium)
    return Proposal(proposal.prices, proposal.upper_bound, proposal.ended, tuple(notes), build_s)


def _solve_squares(
    formulation: Formulation,
    best: Incumbent,
    solver: AlgebraicSolver,
    limits: Limits,
    deadline: Deadline,
    options: Mapping[str, object],
) -> Proposal:
    """Hand the convex MIQP to a solver that takes it, then polish its price."""
    formulation.profit.use_squares()
    assert best.equilibrium is not None
    formulation.start_from(best.equilibrium)
    # Half of the gap is kept for what the model's rounding and the true equilibrium may cost.
    answer = solver.run(formulation, Limits(0.5 * limits.gap, deadline.left(), limits.threads, limits.seed), options)
    if answer.has_values:
        best.offer(formulation.prices() / formulation.money)
        best.polish()
    unit = formulation.money * formulation.volume
    bound = None if answer.bound is None else answer.bound * unit
    if answer.ended is Ended.INFEASIBLE:
        bound = None
    assert best.prices is not None
    return Proposal(best.prices * formulation.money, bound, answer.ended, ("one convex MIQP",))
