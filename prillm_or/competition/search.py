"""find_prices: prices at which no owner gains by moving, by best responses in turn from several starts.

Each start is played until nobody moves (`rounds.py`). Where the rounds come back to prices they had before, they are
played again from the middle of that cycle with moves of half the way. Where they settle, all gains are recomputed
afresh (`unilateral.py`); the prices are an equilibrium if none is more than the tolerance. An owner who then gains
more moves, and the rounds go on, a few times at most.

Where no start ends in an equilibrium, the prices are looked for at which owners gain least (`nearest.py`), and what
they gain there at most is proven like an equilibrium's certificate. Where that is within the tolerance, it is one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from prillm_or.competition.absence import may_be_none, none_within
from prillm_or.competition.competition import (
    Competition,
    Failure,
    NearEquilibrium,
    PriceEquilibrium,
    Standing,
    owners_profits,
)
from prillm_or.competition.nearest import nearest
from prillm_or.competition.rounds import End, Rounds, play
from prillm_or.competition.setting import Setting
from prillm_or.competition.unilateral import gains, stand
from prillm_or.limits import Deadline
from prillm_or.market.market import Array

_log = logging.getLogger(__name__)

_HALF_WAY = 0.5
_MOST_RESUMED = 10
_MOST_NEARED, _NEAR_GAP = 3, 1e-5
_NONE = 1e-9
_ALIKE = 1e-6
_PROVEN = 0.25
"""Of what somebody gains at the nearest prices found: what is to be proven of all prices."""


def find_prices(
    setting: Setting,
    *,
    starts: int = 5,
    seed: int = 0,
    tolerance: float = 1e-8,
    time_limit: float | None = None,
    first: Array | None = None,
) -> Competition:
    """Look for prices at which no owner gains by moving.

    Parameters
    ----------
    setting
        The market and its owners.
    starts
        How many prices to start from: today's, unit costs, caps, then random ones between the latter two.
    seed
        Of the random ones.
    tolerance
        Largest relative gain of an equilibrium.
    time_limit
        Seconds, after which no round begins, nor a step nearer to an equilibrium.
    first
        Shape (k,): decisions to start from before all others, besides them.

    Examples
    --------
    >>> from prillm_or.competition.setting import setting_of
    >>> from prillm_or.market.synthetic import generate
    >>> found = find_prices(setting_of(generate(5, 3, "uniform", 1)))
    >>> found.status.value, len(found.equilibria), found.equilibria[0].worst <= 1e-8
    ('equilibrium', 1, True)
    """
    began, search = time.perf_counter(), _Search(setting, tolerance, Deadline(time_limit))
    for name, prices in _starts(setting, starts, seed, first):
        search.play_from(name, prices)
    near = None if search.equilibria else search.nearest()
    if near is not None and near.epsilon <= tolerance:
        search.equilibria.append(PriceEquilibrium(near.standing, near.certificate, ("cycle",), search.rounds, False))
        near = None
    absence = None
    if near is not None and may_be_none(setting):
        absence = none_within(setting, _PROVEN * near.epsilon, search.deadline)
    return Competition(
        setting=setting,
        today=None if np.isnan(setting.today).any() else stand(setting, setting.today),
        equilibria=tuple(search.equilibria),
        failures=tuple(search.failures),
        nearest=near,
        absence=absence,
        turn=tuple(stand(setting, decisions) for decisions in search.turn),
        rounds=search.rounds,
        starts=starts,
        seed=seed,
        tolerance=tolerance,
        seconds=time.perf_counter() - began,
    )


def _starts(setting: Setting, count: int, seed: int, first: Array | None) -> Iterator[tuple[str, Array]]:
    """Names of starts and their decisions, shape (k,)."""
    today, own = setting.start(), list(setting.priced)
    costs, caps = today.copy(), today.copy()
    caps[own] = setting.cap[own]
    costs[own] = np.minimum(setting.costs()[own] / setting.keeps, caps[own])
    rng = np.random.default_rng(seed)
    if first is not None:
        yield "before", setting.clipped(first)
    known = (("today", today), ("costs", costs), ("caps", caps))
    yield from known[:count]
    for number in range(1, count - len(known) + 1):
        yield f"random {number}", costs + rng.random(len(today)) * (caps - costs)


class _Search:
    """What all starts so far have found."""

    def __init__(self, setting: Setting, tolerance: float, deadline: Deadline) -> None:
        self._setting, self._tolerance, self.deadline = setting, tolerance, deadline
        self.equilibria: list[PriceEquilibrium] = []
        self.failures: list[Failure] = []
        self.rounds = 0
        self._visited: list[Array] = []

    @property
    def turn(self) -> Sequence[Array]:
        """Decisions of the first cycle that a start ended in; empty if none did."""
        return next((failure.prices for failure in self.failures if failure.end is End.CYCLE), ())

    def play_from(self, name: str, prices: Array) -> None:
        """Play from one start, and keep what comes of it."""
        count = 0
        for _ in range(_MOST_RESUMED):
            ended, damped = self._play(prices)
            count += ended.count
            if ended.end is not End.SETTLED:
                break
            standing = stand(self._setting, ended.prices[-1])
            if self._is_known(name, standing):
                return
            certificate, prices = gains(self._setting, standing.decisions)
            found = PriceEquilibrium(standing, certificate, (name,), count, damped)
            if found.worst <= self._tolerance:
                self.equilibria.append(found)
                return
        self.failures.append(Failure(name, ended.end, ended.prices))

    def nearest(self) -> NearEquilibrium:
        """Of what the rounds ended in and is near it, where owners gain least.

        Where a certificate finds better answers than the search for these prices knew, it is told and goes on.
        """
        setting, known = self._setting, list[Array]()
        found: list[NearEquilibrium] = []
        begin: Sequence[Array] = self._visited
        for _ in range(_MOST_NEARED):
            standing = stand(setting, nearest(setting, begin, known, self.deadline))
            certificate, moved = gains(setting, standing.decisions, _NEAR_GAP)
            earned = owners_profits(setting, standing)
            epsilons = {
                name: gain.bound / (max(earned[name], setting.money) or 1.0) for name, gain in certificate.items()
            }
            found.append(NearEquilibrium(standing, certificate, epsilons))
            if not setting.several or self.deadline.passed() or found[-1].epsilon <= _NONE:
                break
            known.append(moved)
            begin = [near.standing.decisions for near in found]
        return min(found, key=lambda near: near.epsilon)

    def _play(self, prices: Array) -> tuple[Rounds, bool]:
        """Play at full length, then at half where that goes round in a new cycle; whether it was at half.

        Of a cycle that half the way does not mend either, it is the one at full length that counts.
        """
        ended = play(self._setting, prices, self.deadline)
        self._count("full", ended)
        if ended.end is not End.CYCLE or self._went_round(ended.prices[-1]):
            return ended, False
        half = play(self._setting, np.mean(ended.prices, axis=0), self.deadline, _HALF_WAY)
        self._count("half", half)
        return (half, True) if half.end is End.SETTLED else (ended, False)

    def _went_round(self, prices: Array) -> bool:
        """Whether a start before came round to these prices, and half the way did not mend it."""
        cycles = (failure.prices for failure in self.failures if failure.end is End.CYCLE)
        near = _ALIKE * self._setting.scale
        return any(np.abs(np.array(cycle) - prices).max(axis=1).min() <= near for cycle in cycles)

    def _count(self, moves: str, ended: Rounds) -> None:
        self.rounds += ended.count
        near = _ALIKE * self._setting.scale
        for prices in ended.prices:
            if all(np.abs(prices - known).max() > near for known in self._visited):
                self._visited.append(prices)
        _log.info("%d rounds of %s moves: %s", ended.count, moves, ended.end)

    def _is_known(self, name: str, standing: Standing) -> bool:
        """Whether an equilibrium is known already; then it has one start more."""
        for place, known in enumerate(self.equilibria):
            if _alike(self._setting, known.standing, standing):
                self.equilibria[place] = replace(known, starts=(*known.starts, name))
                return True
        return False


def _alike(setting: Setting, a: Standing, b: Standing) -> bool:
    """Whether loads are the same, and the prices of whoever has a load; a price that nobody pays does not count."""
    if np.abs(a.load - b.load).max() > _ALIKE * a.load.sum():
        return False
    paid = a.paid & b.paid
    return bool(np.abs(a.decisions - b.decisions)[paid].max() <= _ALIKE * setting.scale)
