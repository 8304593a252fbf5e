"""rounds: owners answer one another in turn, until nobody moves or the same prices come round again.

Owners of one price take their best response, owners of several go uphill: whether there is better elsewhere is looked
for once nobody moves (`search.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from prillm_or.competition.best_response import BestResponse, uphill
from prillm_or.competition.setting import Setting
from prillm_or.limits import Deadline
from prillm_or.market.market import Array
from prillm_or.users.equilibrium import Equilibrium

_MOST_ROUNDS = 100
_LONGEST_CYCLE = 20
_NO_GAIN = 1e-12
_NOISE = 1e-9
_NEAR, _MOVING, _SAME, _STILL = 1e-3, 1e-5, 1e-7, 1e-9


class End(StrEnum):
    """How rounds ended."""

    SETTLED = "settled"
    """Nobody moved any more."""
    CYCLE = "cycle"
    """The same prices came round again."""
    ROUNDS = "rounds"
    """Neither, in the most rounds there are."""
    TIME_LIMIT = "time_limit"
    """The time was up."""


@dataclass(frozen=True, eq=False)
class Rounds:
    """What came of taking turns.

    Parameters
    ----------
    end
        How it ended.
    prices
        Decisions of all after each round, shape (k,) each, the last ones last; of a cycle just one turn of it.
    count
        Rounds played.
    """

    end: End
    prices: Sequence[Array]
    count: int


def play(setting: Setting, prices: Array, deadline: Deadline, damping: float = 1.0) -> Rounds:
    """Let owners answer one another in turn from decisions, shape (k,), each moving a share `damping` of the way.

    An owner stays where it is if moving gains nothing: so one whom nobody uses, and nobody would at a price that earns,
    keeps its price. A move of less than 1e-3 of the setting's scale is made whatever it gains, for the prices' digits.
    """
    trail, near = [prices], None
    for count in range(1, _MOST_ROUNDS + 1):
        if deadline.passed():
            return Rounds(End.TIME_LIMIT, trail, count - 1)
        prices, near = _round(setting, trail[-1], near, damping, deadline)
        trail.append(prices)
        if _apart(setting, trail[-1], trail[-2]) <= _STILL:
            return Rounds(End.SETTLED, [prices], count)
        if period := _period(setting, trail):
            return Rounds(End.CYCLE, trail[-period:], count)
    return Rounds(End.ROUNDS, trail[-_LONGEST_CYCLE:], _MOST_ROUNDS)


def _round(
    setting: Setting, prices: Array, near: Equilibrium | None, damping: float, deadline: Deadline
) -> tuple[Array, Equilibrium | None]:
    """One turn of each owner."""
    for number, own in enumerate(setting.moves):
        answer = uphill(setting.seat(number, prices), near, prices[own], deadline)
        near = answer.here
        if _moves(setting, number, prices[own], answer):
            prices = prices.copy()
            prices[own] = (1 - damping) * prices[own] + damping * answer.prices
    return prices, near


def _moves(setting: Setting, number: int, now: Array, answer: BestResponse) -> bool:
    if answer.gain > _NO_GAIN * abs(answer.profit) + _NOISE * setting.money:
        return True
    # Near its best price a profit is flat, so that the last digits of a price gain less than rounding: they are moved
    # whatever they gain, but only where somebody is there to pay.
    away = float(np.abs(answer.prices - now).max())
    return bool(answer.here.load[list(setting.places[number])].any()) and away <= _NEAR * setting.scale


def _apart(setting: Setting, a: Array, b: Array) -> float:
    """Largest difference of two price vectors, in units of the market's price scale."""
    return float(np.abs(a - b).max()) / max(setting.scale, np.finfo(np.float64).tiny)


def _period(setting: Setting, trail: Sequence[Array]) -> int:
    """Rounds after which the prices repeated themselves, a whole turn of them; 0 if they did not, or hardly move."""
    # Prices about to settle are near those of any round before: that is no cycle.
    if _apart(setting, trail[-1], trail[-2]) <= _MOVING:
        return 0
    for period in range(2, min(_LONGEST_CYCLE, len(trail) // 2) + 1):
        if all(_apart(setting, trail[-k], trail[-k - period]) <= _SAME for k in range(1, period + 1)):
            return period
    return 0
