"""Turns: when pairs of users and providers come into or go out of use along a curve, and the pieces beside a price."""

from __future__ import annotations

from collections.abc import Sequence

from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.curves.trace import SAME, Piece


def tolerance(pieces: Sequence[Piece], price: float) -> float:
    """How near two prices are one, beside a price: by the prices that tell, not by a cap that may be anything."""
    return SAME * (max(price, pieces[-1].start) or pieces[-1].end)


def beside(pieces: Sequence[Piece], price: float) -> tuple[Piece | None, Piece | None]:
    """The pieces just below a price and just above it, the same one twice inside a piece; None beyond an end."""
    same = tolerance(pieces, price)
    left = next((piece for piece in pieces if piece.start < price - same and price <= piece.end + same), None)
    right = next((piece for piece in reversed(pieces) if piece.start <= price + same < piece.end), None)
    return left, right


def using(curve: ProfitCurve, column: int) -> list[list[tuple[float, bool]]]:
    """For each user the prices at which it begins (True) or stops using a provider, rising; the first is the start."""
    turns = [[(curve.pieces[0].start, bool(uses))] for uses in curve.support[:, column]]
    for piece in curve.pieces:
        for i, j in piece.moved:
            if j != column:
                continue
            if len(turns[i]) > 1 and turns[i][-1][0] == piece.start:  # there and back at one price
                turns[i].pop()
            else:
                turns[i].append((piece.start, not turns[i][-1][1]))
    return turns


def switches_at(curve: ProfitCurve, price: float) -> dict[tuple[int, int], bool]:
    """Pairs (user, provider) that change at a price, and whether they begin; there and back is no change."""
    same = tolerance(curve.pieces, price)
    support = curve.support.copy()
    switches: dict[tuple[int, int], bool] = {}
    for piece in curve.pieces:
        for pair in piece.moved:
            support[pair] = not support[pair]
            if abs(piece.start - price) <= same and switches.pop(pair, None) is None:
                switches[pair] = bool(support[pair])
    return switches
