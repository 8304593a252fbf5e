# What `kernel.c` is in Python, where it was built.

from typing import final

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.market import Array, Mask

FORM: int

# A copy of users, with room to compute. Arrays are of doubles, in C's order, but for `decided`.
@final
class Small:
    def __new__(
        cls,
        n: int,
        m: int,
        k: int,
        ample: int,
        stiffness: float,
        base: Array,
        sensitivity: Array,
        capacity: Array,
        demand: Array,
        width: Array,
        decided: NDArray[np.int32],
        volumes: Array,
        /,
    ) -> Small: ...

    # The noise; levels, congestion and flows, one after the other; and their support. None where it gives up.
    def equilibrium(
        self, decisions: Array, start: Mask | bytearray | None, /
    ) -> tuple[float, bytearray, bytearray] | None: ...

    # Slopes of all volumes, and of what is earned besides, into `found`, a row for each decision; whether it could.
    def slopes(self, support: Mask, found: Array, /) -> bool: ...

    # Price, profit, pieces, where it ended, load there as traced and as it is, noise; None where it gives up.
    def best(
        self, unit_cost: float, cap: float, /
    ) -> tuple[float, float, float, float, float, float, float] | None: ...

    # How it ended, ends and volumes of pieces, and moves; `decisions` and `support` go along.
    def trace(
        self, decisions: Array, support: Mask, decision: int, end: float, most: int, /
    ) -> tuple[int, bytes, bytes]: ...
