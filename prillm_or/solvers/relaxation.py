"""From a market to the price of a local method: a relaxed model, solved along its schedule from each of its starts.

Complementarity is relaxed by epsilon; each epsilon of the schedule starts from the solution of the one before it. A
smooth solver finds local maxima, so nothing is proven. What a start ends with is judged by its price alone, at the
users' equilibrium there, and nothing is added to the method: its prices are neither polished nor joined by others.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from prillm_or.errors import CombinationError
from prillm_or.limits import Deadline, Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.formulation import Build
from prillm_or.models.relaxed import Relaxed
from prillm_or.models.window import whole_window
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.protocols import AlgebraicSolver, Ended, Proposal
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.reach import within_reach

_log = logging.getLogger(__name__)
_STOPPED = (Ended.TIME_LIMIT, Ended.INTERRUPTED)


def solve_relaxed(
    market: Market, build: Build, solver: AlgebraicSolver, limits: Limits, options: Mapping[str, object]
) -> Proposal:
    """Build a relaxed model of the market, solve it from each start, and propose the best price the starts ended with.

    Ended by the time limit or by Ctrl-C, it proposes the best so far, the iterate at hand among them; it has failed
    only where every start has.

    Parameters
    ----------
    build
        Builds the formulation, a `Relaxed`.
    options
        Of the solver's profile.

    Raises
    ------
    CombinationError
        When the solver cannot take the model.
    """
    deadline, began = Deadline(limits.time_limit), time.perf_counter()
    market = within_reach(market)
    formulation = build(market, whole_window(market))
    if not isinstance(formulation, Relaxed):
        raise TypeError(f"{formulation.name} is not a relaxed formulation")
    if missing := formulation.needs - solver.capabilities:
        raise CombinationError(f"{solver.name} cannot take {formulation.name}: it lacks {', '.join(sorted(missing))}")
    build_s = time.perf_counter() - began
    best, endings = Incumbent(formulation.market), list[Ended]()
    notes, counts = list(formulation.notes), Counter[str]()
    try:
        for number, start in enumerate(formulation.starts or (None,), 1):
            _begin(formulation, best, start)
            endings.append(_climb(formulation, solver, limits, deadline, options, counts))
            notes.append(f"start {number}: {_judged(formulation, best)}, {endings[-1]}")
            if endings[-1] in _STOPPED:
                break
    except KeyboardInterrupt:  # between two calls of the solver
        endings.append(Ended.INTERRUPTED)
    prices = None if best.prices is None else best.prices * formulation.decision
    stats = {**formulation.bounds.counts, **counts}
    cause = "each start failed, as its note says"
    return Proposal(prices, None, _overall(endings), tuple(notes), build_s, stats, cause)


def _begin(formulation: Relaxed, best: Incumbent, start: Array | None) -> None:
    """Write the users' equilibrium at the start into the model; it is not offered: it is no price of the method's."""
    if start is None:
        formulation.start_in_the_middle()
    else:
        formulation.start_from(solve_users(best.users, start))


def _climb(
    formulation: Relaxed,
    solver: AlgebraicSolver,
    limits: Limits,
    deadline: Deadline,
    options: Mapping[str, object],
    counts: Counter[str],
) -> Ended:
    """Solve for each epsilon in turn, adding to `counts`; a failure at one but the last of them ends nothing."""
    ended = Ended.UNKNOWN
    counts["starts"] += 1
    for epsilon in formulation.schedule:
        if deadline.passed():
            return Ended.TIME_LIMIT
        formulation.epsilon.set_value(epsilon)
        answer = solver.run(formulation, replace(limits, time_limit=deadline.left()), options)
        counts.update({"programmes": 1, **answer.stats})
        ended = answer.ended if answer.has_values or answer.ended in _STOPPED else Ended.UNKNOWN
        _log.info("epsilon %.0e: %s, prices %s", epsilon, answer.ended, formulation.decisions())
        if ended in _STOPPED:
            break
    return ended


def _judged(formulation: Relaxed, best: Incumbent) -> str:
    """Offer the price in the model's values; say what it earns, in the user's units."""
    found = best.offer(formulation.decisions())
    profit = profit_of(formulation.market, found.prices, found.billed) * formulation.money * formulation.volume
    return f"prices {', '.join(f'{price:.6g}' for price in found.prices * formulation.decision)}, profit {profit:.8g}"


def _overall(endings: list[Ended]) -> Ended:
    if endings[-1] in _STOPPED:
        return endings[-1]
    return Ended.FINISHED if Ended.FINISHED in endings else Ended.UNKNOWN
