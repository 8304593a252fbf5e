"""Parabola: where value + first h + second h^2 is highest, such as the profit h above a price on one piece.

With the load x and its slope b there, and the margin k over the unit cost, first = x + k b and second = b.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from prillm_or.market.market import Array

_Number = TypeVar("_Number", float, Array)


def vertex(first: _Number, second: _Number) -> _Number:
    """Where the parabola is highest of all, second < 0."""
    return -first / (2 * second)


def tops(first: Array, second: Array, length: Array) -> Array:
    """Where from 0 to `length` parabolas are highest; of equal places the least."""
    bent = second < 0
    end = np.where(first + second * length > 0, length, 0.0)
    return np.where(bent, np.clip(vertex(first, np.where(bent, second, -1.0)), 0.0, length), end)
