"""Noise: by how much the leader's load changes from one window of days to the next for no reason that a fit knows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from prillm_or.market.market import Array

WINDOW = 3
"""Days of a window, as of a trial's."""
_FEWEST = 4
"""Windows: below, there are too few changes to tell."""


def window_noise(observed: Array, predicted: Array, providers: Sequence[int]) -> float | None:
    """Root mean square of the change of log load beyond the predicted one, between neighbouring windows of three days.

    Windows overlap, so that all days count; a step of price that the fit misses counts as noise, too. None for days of
    fewer than four windows, where there is no load, or where nothing is left.

    Parameters
    ----------
    observed, predicted
        Flows, shape (T, n, m), days one after the other.
    providers
        Those whose loads count, together.
    """
    loads = np.array([flow[:, :, list(providers)].sum(axis=(1, 2)) for flow in (observed, predicted)])
    if not providers or loads.shape[1] < _FEWEST * WINDOW or (loads <= 0).any():
        return None
    beyond = sliding_window_view(np.log(loads[0] / loads[1]), WINDOW).mean(axis=1)
    noise = float(np.sqrt(np.mean((beyond[WINDOW:] - beyond[:-WINDOW]) ** 2)))
    return noise if noise > 0 else None
