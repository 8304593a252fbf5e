"""Outer approximation: a concave profit through a solver that knows only linear programmes with binaries.

Each convex term of the objective is replaced by a variable above its tangents, so that every programme overestimates
profit and its *dual bound* is a proven bound on the best profit (the value of its incumbent is not, while its own gap
is open). After each round tangents are added where its solution was, and at the equilibrium of the price it proposed;
that equilibrium gives the profit truly earned. First tangents come from equilibria at a few prices, so that the first
round already knows the shape of the objective. Rounds end when the best bound meets the best profit within the gap;
there are finitely many supports, and on each the tangents converge, so for any gap > 0 they do end.

Reference: Duran, Grossmann, Mathematical Programming 36 (1986) 307-339, doi 10.1007/BF02592064.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np

from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array
from prillm_or.models.formulation import Formulation
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.protocols import AlgebraicSolver, Ended, Proposal
from prillm_or.users.certificate import relative_gap

_log = logging.getLogger(__name__)
_SHARE_OF_GAP, _MISSED = 0.3, 0.1
"""Of the gap: what is left to the solver of a programme, and what tangents may miss where they were asked for."""
_MOST_ROUNDS = 200


def outer_approximation(
    formulation: Formulation,
    best: Incumbent,
    solver: AlgebraicSolver,
    limits: Limits,
    deadline: Deadline,
    options: Mapping[str, object],
) -> Proposal:
    """Solve `formulation` to `limits.gap` with a solver of linear programmes with binaries.

    Parameters
    ----------
    best
        The incumbent, in the formulation's units, with at least one price offered.
    """
    profit = formulation.profit
    assert profit is not None, "only a concave profit has tangents"
    _seed(formulation, best, limits.gap)
    bound, ended = formulation.upper_bound, Ended.FINISHED
    rounds, state = 0, None
    counts: Counter[str] = Counter()
    while rounds < _MOST_ROUNDS:
        rounds += 1
        before, added, prices = state, 0, None
        assert best.equilibrium is not None
        formulation.start_from(best.equilibrium)
        # A part of the gap is left to the tangents: a programme solved to the whole gap could leave them none.
        budget = Limits(_SHARE_OF_GAP * limits.gap, deadline.left(), limits.threads, limits.seed)
        answer = solver.run(formulation, budget, options)
        if answer.bound is not None:
            bound = min(bound, answer.bound)
        ended = answer.ended
        counts.update(answer.stats)
        if answer.has_values:
            added = profit.add_tangents(_miss(best, limits.gap))
            prices = formulation.decisions()
            best.offer_near(prices)
            _learn(formulation, best, prices, limits.gap)
        _log.info("round %d: profit %.8g, bound %.8g (model units)", rounds, best.profit, bound)
        if ended is not Ended.FINISHED or relative_gap(bound, best.profit) <= limits.gap:
            break
        if deadline.passed():
            ended = Ended.TIME_LIMIT
            break
        state = (bound, best.profit, None if prices is None else tuple(prices))
        if added == 0 and state == before:
            break  # the solver's tolerances are exhausted: more rounds would bring the same
    tangents = len(formulation.model.tangents)
    notes = (f"outer approximation: {rounds} rounds, {tangents} tangents",)
    stats = {"rounds": rounds, "tangents": tangents, **counts}
    return Proposal(best.prices, formulation.proven(bound), ended, notes, stats=stats, cause=answer.cause)


def _seed(formulation: Formulation, best: Incumbent, gap: float) -> None:
    bounds = formulation.bounds
    for share in np.linspace(0.0, 1.0, formulation.seeds):
        _learn(formulation, best, bounds.price_low + share * (bounds.price_high - bounds.price_low), gap)
    if formulation.seeds:
        best.polish()
        assert best.prices is not None
        _learn(formulation, best, best.prices, gap)


def _learn(formulation: Formulation, best: Incumbent, prices: Array, gap: float) -> None:
    """Add the tangents at the equilibrium of `prices`, and offer these as an answer."""
    formulation.start_from(best.offer(prices))
    assert formulation.profit is not None
    formulation.profit.add_tangents(_miss(best, gap))
    best.polish()


def _miss(best: Incumbent, gap: float) -> float:
    """What all tangents together may miss of the profit."""
    return _MISSED * gap * max(best.profit, 0.0)
