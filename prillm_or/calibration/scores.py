"""Scores: how close predicted flows come to observed ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prillm_or.market.market import Array, Mask

_ROUNDING = 1e-24


@dataclass(frozen=True)
class Scores:
    """Scores over some cells, zeros included; None where there is nothing to compare with.

    Parameters
    ----------
    r2
        1 - sum (f - f_hat)^2 / sum (f - mean f)^2 of flows. Demands differ so much that it proves little.
    r2_without_largest
        The same without the user of largest demand.
    r2_shares
        The same of users' shares f / D: every user of a day counts alike.
    mae
        Mean of |f - f_hat|, volume units.
    cells
        How many they are.
    """

    r2: float | None
    r2_without_largest: float | None
    r2_shares: float | None
    mae: float | None
    cells: int


def scores(observed: Array, predicted: Array, demand: Array, cells: Mask) -> Scores:
    """Score predicted flows, shape (T, n, m), over `cells`, a mask of that shape; `demand` has shape (T, n)."""
    largest = int(demand.sum(axis=0).argmax())
    others = cells.copy()
    others[:, largest] = False
    safe = np.where(demand > 0, demand, 1.0)[:, :, None]
    return Scores(
        r2=_r2(observed[cells], predicted[cells]),
        r2_without_largest=_r2(observed[others], predicted[others]),
        r2_shares=_r2((observed / safe)[cells], (predicted / safe)[cells]),
        mae=float(np.abs(observed - predicted)[cells].mean()) if cells.any() else None,
        cells=int(cells.sum()),
    )


def _r2(observed: Array, predicted: Array) -> float | None:
    variation = variation_of(observed)
    return None if variation == 0 else 1.0 - float(((observed - predicted) ** 2).sum()) / variation


def variation_of(observed: Array, weight: Array | None = None) -> float:
    """Sum of squared distances from the mean, by weight; 0 where they are no more than rounding."""
    if not observed.size:
        return 0.0
    weight = np.ones(observed.shape) if weight is None else weight
    size = float(weight @ observed**2)
    variation = float(weight @ (observed - np.average(observed, weights=weight)) ** 2)
    return variation if variation > _ROUNDING * size else 0.0
