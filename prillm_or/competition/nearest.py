r"""nearest: the prices found at which the largest gain of any owner by moving alone is least.

Gains count in shares of what the owner earns there.

At decisions y of all, owner h with others' decisions held gains, by moving to its own z,

    G_hz(y) = profit_h(z, y_-h) / profit_h(y) - 1.

With some z known for each owner, its best responses at decisions looked at before, the largest G is a maximum of
functions that are smooth on pieces and have exact derivatives. A step takes the decisions within a box around y where
the largest of their linearisations is least (a linear programme); it counts if the largest gain is less there, best
responses included. The box grows where steps do what was expected of them, and shrinks where they do not.

This is a heuristic, from the nearest of the decisions that the rounds ended in; what is claimed of the decisions found
is what `unilateral.py` proves afresh.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from prillm_or.competition.best_response import uphill
from prillm_or.competition.setting import Setting
from prillm_or.limits import Deadline
from prillm_or.market.market import Array
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem
from prillm_or.users.slopes import billed_slope, price_pull

_BEGIN, _MOST_STEPS, _KNOWN = 3, 25, 8
_FIRST, _LEAST = 0.1, 1e-7
"""Half the side of the first box and of the last, in units of the setting's scale."""
_WORTH, _MUCH, _LITTLE = 1e-3, 0.7, 0.1
_NONE = 1e-9
_NEVER = -1.0
"""What is gained at least by moving to where nobody pays; less is not worth a row."""


def nearest(setting: Setting, visited: Sequence[Array], known: Sequence[Array], deadline: Deadline) -> Array:
    """Look for the decisions, shape (k,), at which the largest gain is least.

    Parameters
    ----------
    setting
        The market and its owners.
    visited
        Decisions to begin at, at least one.
    known
        Decisions of all whose parts are worth a look as answers of their owners.
    deadline
        When no step begins.
    """
    search = _Search(setting, known, deadline)
    looks = [search.look(visited[0]), *(search.look(at) for at in visited[1:] if not deadline.passed())]
    begin = sorted(looks, key=lambda look: look.most)[:_BEGIN]
    return min((search.improved(look) for look in begin), key=lambda look: look.most).decisions


@dataclass(frozen=True, eq=False)
class _Look:
    """Decisions, what all earn there, shape (H,), the owners' answers with what each gains, and the largest gain."""

    decisions: Array
    here: Equilibrium
    profit: Array
    answers: Sequence[tuple[int, Array, float]]
    most: float


class _Search:
    def __init__(self, setting: Setting, known: Sequence[Array], deadline: Deadline) -> None:
        self._setting, self._deadline = setting, deadline
        self._own = [k for moves in setting.moves for k in moves]
        self._known = [deque((at[moves] for at in known), maxlen=_KNOWN) for moves in setting.moves]
        zero = setting.start()
        zero[self._own] = 0.0
        none = setting.prices(zero)
        self._rise = [setting.prices(zero + one) - none for one in np.eye(len(zero))[self._own]]
        # The users of all owners' decisions together; to 16 digits, which a search may be content with.
        seats = [user_problem(setting.seat(number, zero)) for number in range(len(setting.owners))]
        self._users = replace(
            seats[0],
            sensitivity=np.hstack([users.sensitivity for users in seats]),
            decided=tuple(setting.decisions[k].provider for k in self._own),
            market=None,
        )
        self._near: Equilibrium | None = None

    def look(self, decisions: Array) -> _Look:
        """What moving gains at decisions, by the answers known and each owner's answer there, which are known then."""
        setting = self._setting
        here, profit = self._earned(decisions)
        answers = []
        for number, moves in enumerate(setting.moves):
            answer = uphill(setting.seat(number, decisions), None, decisions[moves], self._deadline)
            tried = [*self._known[number], answer.prices]
            self._known[number].append(answer.prices)
            for prices in tried:
                gain = self._earned(_moved(decisions, moves, prices))[1][number] - profit[number]
                answers.append((number, prices, float(gain / self._size(profit, number))))
        return _Look(decisions, here, profit, answers, max(0.0, *(gain for _, _, gain in answers)))

    def improved(self, look: _Look) -> _Look:
        """Steps down from a look until none is worth it."""
        side = _FIRST * self._setting.scale
        for _ in range(_MOST_STEPS):
            if side <= _LEAST * self._setting.scale or look.most <= _NONE or self._deadline.passed():
                break
            decisions, expected = self._step(look, side)
            if look.most - expected <= _WORTH * look.most:
                break
            after = self.look(decisions)
            done = (look.most - after.most) / (look.most - expected)
            side *= 2.0 if done > _MUCH else 1.0 if done > _LITTLE else 0.25
            look = after if done > _LITTLE else look
        return look

    def _step(self, look: _Look, side: float) -> tuple[Array, float]:
        """The decisions in a box where the largest linearised gain is least, and that gain."""
        from scipy.optimize import linprog

        setting, own = self._setting, self._own
        slopes = self._slopes(look.decisions, look.here)
        rows, gains = [], []
        for number, prices, gain in look.answers:
            if gain < _NEVER:
                continue
            moves, size = setting.moves[number], self._size(look.profit, number)
            moved = _moved(look.decisions, moves, prices)
            slope = self._slopes(moved, self._earned(moved)[0])[number]
            slope[[own.index(k) for k in moves]] = 0.0  # it asks these prices, whatever it asked before
            share = 1.0 + gain if size > setting.money else 1.0
            rows.append((slope - share * slopes[number]) / size)
            gains.append(gain)
        now = look.decisions[own]
        sides = zip(np.maximum(-side, -now), np.minimum(side, setting.cap[own] - now), strict=True)
        least = linprog(
            np.append(np.zeros(len(own)), 1.0),
            A_ub=np.column_stack([rows, -np.ones(len(rows))]),
            b_ub=-np.array(gains),
            bounds=[*sides, (None, None)],
        )
        if least.x is None:
            return look.decisions, look.most
        decisions = look.decisions.copy()
        decisions[own] += least.x[:-1]
        return setting.clipped(decisions), float(least.x[-1])

    def _earned(self, decisions: Array) -> tuple[Equilibrium, Array]:
        """The equilibrium at decisions, and what each owner earns, shape (H,)."""
        found = self._near = solve_users(self._users, decisions[self._own], self._near)
        return found, self._by_owner(self._setting.earned(self._setting.prices(decisions), found.billed))

    def _slopes(self, decisions: Array, at: Equilibrium) -> Array:
        """Derivatives of what each owner earns by the owners' decisions, shape (H, len(own))."""
        setting, prices = self._setting, self._setting.prices(decisions)
        columns = []
        for k, rise in enumerate(self._rise):
            rates = at.laplacian.solve(*price_pull(self._users, at.laplacian, [k]))
            dearer = setting.keeps * (rise * at.billed.reshape(rise.shape)).reshape(setting.market.m, -1).sum(axis=1)
            columns.append(
                self._by_owner(setting.earned(prices, billed_slope(self._users, at.laplacian, k, rates)) + dearer)
            )
        return np.column_stack(columns)

    def _by_owner(self, values: Array) -> Array:
        return np.array([values[list(places)].sum() for places in self._setting.places])

    def _size(self, profit: Array, number: int) -> float:
        return max(float(profit[number]), self._setting.money) or 1.0


def _moved(decisions: Array, moves: Sequence[int], prices: Array) -> Array:
    moved = decisions.copy()
    moved[list(moves)] = prices
    return moved
