r"""every piece: the exact optimum of one decision that is not simply a price: one component of a list, or a factor.

What users are billed differs from user to user then, and the profit is y B(y) + R(y) (`market/decisions.py`), a
parabola on each piece, but R may rise or fall, and with users' own weights B may rise (`docs/mathematics.md`, L2 and
L5). None of the leaps of `path.py` holds, so all pieces are traced, from 0 to the cap or the reach (L9), beyond which
nobody pays the decision; the best of them is looked at once more at its equilibrium.

Cost: that of the pieces, see `curves/trace.py`, and an equilibrium for each that is better than all before it.
"""

from __future__ import annotations

import logging

import numpy as np

from prillm_or.curves.trace import best_on_piece, trace
from prillm_or.errors import ConvergenceError
from prillm_or.limits import Deadline
from prillm_or.market.decisions import decision_costs, unit_margins
from prillm_or.market.market import Market
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solvers.monotone import HIDDEN
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.users.certificate import relative_gap
from prillm_or.users.problem import UserProblem
from prillm_or.users.reach import within_reach

_log = logging.getLogger(__name__)

_SAME = 1e-9


def best_of_every_piece(market: Market, users: UserProblem, gap: float, deadline: Deadline) -> Proposal:
    """Find the best value of a leader's one decision; exact, but for rounding, that is to leave a gap no larger.

    Raises
    ------
    ConvergenceError
        When a breakpoint does not resolve in double precision, the trace lost its way, or rounding hides more than the
        gap of what pieces earn: `bisect` needs no pieces.
    """
    market = within_reach(market)
    best, end, cost = Incumbent(market, users), float(market.price_cap[0]), float(decision_costs(market)[0])
    own = users.decided[0]
    margin, width = (
        unit_margins(market, market.price_cap).T[own],
        np.broadcast_to(users.width, users.base.shape)[:, own],
    )
    # A slack that is off by 1 moves the profit by no more than the widths times the margins. Beside what could be
    # earned or lost that is nothing, unless slacks have few digits.
    blur, money = (float((np.abs(margin) * size).sum()) for size in (width, users.demand))
    bound, ended, count, traced = -np.inf, Ended.FINISHED, 0, np.nan
    try:
        at = best.offer(np.zeros(1))
        for piece in trace(users, at.prices, 0, end, at):
            price, profit = best_on_piece(piece, 0, np.zeros(1), cost)
            if profit > best.profit:
                at = best.offer(np.array([price]), at)
                # An equilibrium has all digits: what a trace has beyond it by rounding alone is none of the profit.
                profit = best.profit if profit - best.profit <= HIDDEN * money else profit
            hidden = blur * at.noise if blur * at.noise > HIDDEN * money else 0.0
            bound, count = max(bound, profit + hidden), count + 1
            traced = (end - cost) * (piece.load[0] + piece.slope[0] * (piece.end - piece.start)) + piece.rest
            traced += piece.rest_slope * (piece.end - piece.start)
            _log.info("value %.6g of %.6g, best %.6g", piece.end, end, best.profit)
            if deadline.passed() and piece.end < end:
                ended = Ended.TIME_LIMIT
                break
    except KeyboardInterrupt:
        ended = Ended.INTERRUPTED
    if ended is Ended.FINISHED:
        at = best.offer(np.array([end]), at)
        earned = float((at.prices[0] - cost) * at.by_decision[0] + at.beside)
        # Where the last piece is right the trace has not lost its way: it would hardly have found back.
        if not abs(earned - traced) <= _SAME * money + 2 * blur * at.noise:
            raise ConvergenceError(f"the trace has lost its way at {end!r}")
        if relative_gap(max(best.profit, bound), best.profit) > gap:
            raise ConvergenceError(f"rounding hides what some of {count} pieces earn")
    proven = max(best.profit, bound) if ended is Ended.FINISHED else None
    return Proposal(best.prices, proven, ended, (f"all {count} pieces",), stats={"pieces": count})
