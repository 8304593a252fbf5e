r"""What the pieces of the load say: local maxima of the profit, slopes beside a price, when users come and go.

On a piece the profit is (p - k) x(p), x(p) = x_0 + b (p - p_0), with the derivative d(p) = x(p) + (p - k) b. It has a
local maximum where d passes from above zero to below it: inside a piece at its vertex, between two at a kink, at the
cap where d is still above zero there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or.curves.trace import Piece, best_on_piece, trace
from prillm_or.errors import ConvergenceError
from prillm_or.explanation.explanation import LocalMaximum
from prillm_or.limits import Deadline
from prillm_or.market.market import Market, Mask
from prillm_or.users.equilibrium import Equilibrium, UserProblem, solve_users

SAME = 1e-9
"""Prices this near, relatively, are one: a solver's price sits on a kink up to rounding."""

_PATIENCE_S = 30.0


@dataclass(frozen=True, eq=False)
class Traced:
    """Pieces of the leader's load, and the equilibrium at the first one's start."""

    start: Equilibrium
    pieces: Sequence[Piece]

    @property
    def searched(self) -> tuple[float, float]:
        """The prices they reach from and to."""
        return self.pieces[0].start, self.pieces[-1].end


def traced(market: Market, users: UserProblem, price: float, near: float) -> Traced:
    """All pieces up to the cap; where they are so many that it takes over half a minute, those `near` the price.

    The first leader's price moves; it is the only one.
    """
    cap, deadline = float(market.price_cap[0]), Deadline(_PATIENCE_S)
    try:
        return _between(users, 0.0, cap, deadline)
    except (ConvergenceError, TimeoutError):
        return _between(users, (1 - near) * price, min((1 + near) * price, cap), Deadline(None))


def _between(users: UserProblem, low: float, high: float, deadline: Deadline) -> Traced:
    start = solve_users(users, np.array([low]))
    pieces = []
    for piece in trace(users, start.prices, 0, high, start):
        pieces.append(piece)
        if deadline.passed():
            raise TimeoutError
    return Traced(start, pieces)


def local_maxima(pieces: Sequence[Piece], unit_cost: float, cap: float) -> tuple[LocalMaximum, ...]:
    """Local maxima with a profit above zero, best first."""
    found: list[LocalMaximum] = []
    for number, piece in enumerate(pieces):
        falls_at_end = _derivative(piece, piece.end, unit_cost) <= 0
        if _derivative(piece, piece.start, unit_cost) <= 0:
            continue
        if not falls_at_end and number + 1 < len(pieces):
            following = pieces[number + 1]
            if _derivative(following, following.start, unit_cost) > 0:
                continue
        elif not falls_at_end and piece.end < cap * (1 - SAME):
            continue  # not the end of all prices, only of those looked at
        price, profit = best_on_piece(piece, 0, np.zeros(1), unit_cost)
        if profit > 0 and not (found and price - found[-1].price <= SAME * price):
            found.append(LocalMaximum(price, load_on(piece, price), profit))
    return tuple(sorted(found, key=lambda maximum: -maximum.profit))


def tolerance(pieces: Sequence[Piece], price: float) -> float:
    """How near two prices are one, beside a price: by the prices that tell, not by a cap that may be anything."""
    return SAME * (max(price, pieces[-1].start) or pieces[-1].end)


def beside(pieces: Sequence[Piece], price: float) -> tuple[Piece | None, Piece | None]:
    """The pieces just below a price and just above it, the same one twice inside a piece; None beyond an end."""
    same = tolerance(pieces, price)
    left = next((piece for piece in pieces if piece.start < price - same and price <= piece.end + same), None)
    right = next((piece for piece in reversed(pieces) if piece.start <= price + same < piece.end), None)
    return left, right


def load_on(piece: Piece, price: float) -> float:
    """The load at a price of a piece."""
    return float(piece.load[0] + piece.slope[0] * (price - piece.start))


def using(traced: Traced, column: int) -> list[list[tuple[float, bool]]]:
    """For each user the prices at which it begins (True) or stops using a provider, rising; the first is the start."""
    first: Mask = traced.start.support[:, column]
    turns = [[(traced.start.prices.item(), bool(uses))] for uses in first]
    for piece in traced.pieces:
        for i, j in piece.moved:
            if j != column:
                continue
            if len(turns[i]) > 1 and turns[i][-1][0] == piece.start:  # there and back at one price
                turns[i].pop()
            else:
                turns[i].append((piece.start, not turns[i][-1][1]))
    return turns


def switches_at(traced: Traced, price: float) -> dict[tuple[int, int], bool]:
    """Pairs (user, provider) that change at a price, and whether they begin; there and back is no change."""
    same = tolerance(traced.pieces, price)
    support = traced.start.support.copy()
    switches: dict[tuple[int, int], bool] = {}
    for piece in traced.pieces:
        for pair in piece.moved:
            support[pair] = not support[pair]
            if abs(piece.start - price) <= same and switches.pop(pair, None) is None:
                switches[pair] = bool(support[pair])
    return switches


def _derivative(piece: Piece, price: float, unit_cost: float) -> float:
    return load_on(piece, price) + (price - unit_cost) * float(piece.slope[0])
