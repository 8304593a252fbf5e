"""Times that can be compared: actions take turns, and the median of the rounds counts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from statistics import median

_SHORTEST = 0.004
_LONG, _VERY_LONG = 0.5, 5.0


def medians(
    actions: Mapping[str, Callable[[], object]], rounds: int = 9, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Median seconds of each action.

    In each round every action has its turn, so that a busy neighbour slows all of them alike. A turn repeats a short
    action for about 4 ms. An action of more than 0.5 s sits out after 5 rounds, one of more than 5 s after 2, when the
    trial before the rounds counts as its third.

    Parameters
    ----------
    actions
        By name.
    rounds
        Turns of a short action.
    clock
        Processor time of this process, which waiting for a shared core does not lengthen; everything runs in one
        thread. Other processes need `time.perf_counter`.
    """
    first = {name: _seconds(action, 1, clock) for name, action in actions.items()}  # also warms caches up
    times = {name: [seconds] if seconds > _VERY_LONG else [] for name, seconds in first.items()}
    for number in range(rounds):
        for name, action in actions.items():
            if number < _most_rounds(first[name]):
                times[name].append(_seconds(action, max(1, round(_SHORTEST / first[name])), clock))
    return {name: median(values) for name, values in times.items()}


def _most_rounds(seconds: float) -> float:
    if seconds > _VERY_LONG:
        return 2
    return 5 if seconds > _LONG else math.inf


def _seconds(action: Callable[[], object], repeats: int, clock: Callable[[], float]) -> float:
    began = clock()
    for _ in range(repeats):
        action()
    return (clock() - began) / repeats
