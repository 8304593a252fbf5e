r"""each alone: the part of a box of prices that is left when each price is asked what it earns at most by itself.

Of plain prices with common weights the load of a provider of the leader rises with the leader's other prices
(`docs/mathematics.md`, L4). So at no prices of the box does y_k earn more than max(0, P_k(y_k)), P_k what it earns with
all others at their highest; the sum of the best P_k bounds the box, and prices that earn T in all have for each k

    P_k(y_k) >= T - sum of max(0, P_l) over the others, each at its own best.

P_k is one exact trace. What is cut off lowers the highest prices, and with them the next P: it is done anew as long as
that is much. Nothing is cut by less than the rounding of a trace.

Cost: k traces a round, two or three rounds; k equilibria and the pieces in between.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prillm_or.curves.trace import Piece, best_on_piece, trace
from prillm_or.market.decisions import decision_costs
from prillm_or.market.market import Array, Market
from prillm_or.users.problem import UserProblem

_MUCH = 0.8
_MOST_ROUNDS = 5
_ROUNDING = 1e-9


def each_alone(
    market: Market, users: UserProblem, low: Array, high: Array, target: float
) -> tuple[Array, Array, float]:
    """What is left of a box of those prices that earn the target, and a bound on what they earn.

    The lowest and highest of them, shape (k,); where these cross there are none.

    Parameters
    ----------
    market, users
        A market of plain prices with common weights, or without congestion, and its users by `user_problem`.
    low, high
        The box.

    Raises
    ------
    ConvergenceError
        When a trace does not resolve a breakpoint.
    """
    cost, bound = decision_costs(market), np.inf
    for _ in range(_MOST_ROUNDS):
        pieces = [list(_alone(users, low, high, k)) for k in range(len(high))]
        nothing = np.zeros_like(high)
        peaks = np.array(
            [
                max(0.0, *(best_on_piece(piece, k, nothing, float(cost[k]))[1] for piece in curve))
                for k, curve in enumerate(pieces)
            ]
        )
        doubt = _ROUNDING * (abs(target) + float(peaks.sum()))
        bound = min(bound, float(peaks.sum()) + doubt)
        need = target - (peaks.sum() - peaks) - doubt
        ends = [_earning(curve, k, float(cost[k]), float(need[k])) for k, curve in enumerate(pieces)]
        if None in ends:
            return high, low, target
        before = high - low
        low, high = (np.array(end) for end in zip(*(end for end in ends if end is not None), strict=True))
        if (high - low >= _MUCH * before).all():
            break
    return low, high, bound


def _alone(users: UserProblem, low: Array, high: Array, k: int) -> Iterator[Piece]:
    """The pieces of a price from its lowest to its highest, the others at their highest."""
    prices = high.copy()
    prices[k] = low[k]
    return trace(users, prices, k, float(high[k]))


def _earning(pieces: list[Piece], k: int, cost: float, need: float) -> tuple[float, float] | None:
    """The first and last price that earns so much, or 0 where not even that is needed; None where there is none."""
    if need <= 0:
        return pieces[0].start, pieces[-1].end
    found = [span for piece in pieces if (span := _span(piece, k, cost, need)) is not None]
    return (found[0][0], found[-1][1]) if found else None


def _span(piece: Piece, k: int, cost: float, need: float) -> tuple[float, float] | None:
    """Where on a piece the price earns so much, > 0."""
    load, slope, margin = float(piece.load[k]), min(float(piece.slope[k]), 0.0), piece.start - cost
    # (margin + h) (load + slope h) >= need, slope <= 0: between the roots.
    bend, rise, short = slope, load + margin * slope, margin * load - need
    length = piece.end - piece.start
    if bend == 0:
        roots = (-short / rise, length) if rise > 0 else (0.0, length if short >= 0 else -1.0)
    else:
        inside = rise**2 - 4 * bend * short
        if inside < 0:
            return None
        half = -(rise + np.copysign(np.sqrt(inside), rise)) / 2
        roots = tuple(sorted((half / bend, short / half if half != 0 else 0.0)))
    first, last = max(roots[0], 0.0), min(roots[1], length)
    return None if first > last else (piece.start + first, piece.start + last)
