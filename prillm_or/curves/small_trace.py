"""small trace: the pieces that `trace.py` describes, of a small market, from the kernel, some at a time.

Each time starts afresh from a support, which renews the digits; so nothing is kept between two times but that support
and the pairs that moved at the price where it begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.market import Array, Mask

if TYPE_CHECKING:
    from prillm_or.users._kernel import Small

_FIRST, _MOST = 8, 512
_GAVE_UP, _MORE = -1, 1


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some pieces, one after the other.

    Parameters
    ----------
    price
        Shape (P + 1,): where they begin and end.
    load, slope
        Shapes (P, k): as of `Piece`.
    rest, rest_slope
        Shapes (P,): as of `Piece`.
    moves
        Shape (M, 3): number of the piece at whose start a pair moved, the pair's user and provider, in their order.
    """

    price: Array
    load: Array
    slope: Array
    rest: Array
    rest_slope: Array
    moves: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Lost:
    """Where the kernel gave up: decisions and support from which to go on, and the pairs that moved there already."""

    prices: Array
    support: Mask
    moves: NDArray[np.int32]


def stretches(
    kernel: Small, prices: Array, decision: int, end: float, support: Mask, first: int = _FIRST
) -> Iterator[Stretch | Lost]:
    """Stretches from an equilibrium's decisions and support on: so many pieces, then more and more.

    The last one is `Lost` where the kernel gives up.
    """
    k, at, support, most = len(prices), prices.copy(), support.copy(), first
    waiting = np.empty((0, 3), dtype=np.int32)
    while True:
        begin, used = at.copy(), support.copy()
        ended, numbers, moved = kernel.trace(at, support, decision, end, most)
        if ended == _GAVE_UP:
            yield Lost(begin, used, waiting)
            return
        table = np.frombuffer(numbers).reshape(-1, 2 * k + 3)
        moves = np.concatenate([waiting, np.frombuffer(moved, dtype=np.int32).reshape(-1, 3)])
        count = len(table)
        now = moves[:, 0] < count
        yield Stretch(
            price=np.concatenate([begin[[decision]], table[:, 0]]),
            load=table[:, 1 : k + 1],
            slope=table[:, k + 1 : 2 * k + 1],
            rest=table[:, 2 * k + 1],
            rest_slope=table[:, 2 * k + 2],
            moves=moves[now],
        )
        if ended != _MORE:
            return
        waiting = moves[~now]
        waiting[:, 0] = 0
        most = min(2 * most, _MOST)
