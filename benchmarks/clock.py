"""Times that can be compared: actions take turns, and the median of the rounds counts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

_SHORTEST = 0.004
_LONG = 5.0


def medians(actions: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, float]:
    """Median seconds of each action.

    In each round every action has its turn, so that a busy neighbour slows all of them alike. A turn repeats a short
    action for about 4 ms. Where one call takes more than 5 s, 3 rounds have to do.

    Parameters
    ----------
    actions
        By name.
    rounds
        At least 5.
    """
    first = {name: _seconds(action, 1) for name, action in actions.items()}  # also warms caches up
    if max(first.values()) > _LONG:
        rounds = 3
    repeats = {name: max(1, round(_SHORTEST / seconds)) for name, seconds in first.items()}
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(_seconds(action, repeats[name]))
    return {name: median(values) for name, values in times.items()}


def _seconds(action: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - began) / repeats
