r"""Climb: several decisions uphill on the mean, or on the least, of what N markets earn.

Both are continuous and piecewise quadratic, as each market's profit is. Steps take turns, each of which only ever
raises them:

* all decisions at once: by Newton steps on the pieces at hand for the mean; for the least by a linear programme, which
  raises the lowest of the N tangents as far as it goes within a region that shrinks where that promises too much;
* one decision at a time, each to its best over its whole range, exactly, by the N curves along it (`best.py`).

What is found is as good as any that is near on these lines, no more: nothing is proven of it here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prillm_or.curves.profit_curve import curve_between
from prillm_or.market.market import Array, Market
from prillm_or.robustness.best import best_mean, best_worst, is_better, survey
from prillm_or.solvers.incumbent import Incumbent, newton_step
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium

_MOST_ROUNDS = 20
_MOST_STEPS = 60
_FIRST_REGION = 0.1
_LAST_REGION = 1e-7


class Climb:
    """A way up on what some markets earn.

    Parameters
    ----------
    markets
        N markets whose leaders decide the same k numbers, with the same caps.
    less
        Shape (N,): what counts is how far each market's profit exceeds this. None: the mean of the profits counts.
    """

    def __init__(self, markets: Sequence[Market], less: Array | None = None) -> None:
        self._markets, self._less, self._cap = markets, less, markets[0].price_cap
        self._slopes = [Incumbent(market) for market in markets]

    def height(self, decisions: Array) -> float:
        """What is to be raised, at decisions of shape (k,)."""
        return self._height(self._profits(self._at(decisions)))

    def top(self, decisions: Array) -> Array:
        """The decisions where a climb from others ends."""
        top, height = decisions, self.height(decisions)
        for _ in range(_MOST_ROUNDS):
            before = height
            for step in (self._together, self._one_at_a_time):
                found = step(top)
                if is_better(reached := self.height(found), height):
                    top, height = found, reached
            if not is_better(height, before):
                break
        return top

    def _one_at_a_time(self, decisions: Array) -> Array:
        decisions = decisions.copy()
        for which, cap in enumerate(self._cap.tolist()):
            curves = [curve_between(market, which, 0.0, cap, held=decisions) for market in self._markets]
            seen = survey(curves, cap)
            best, _ = best_mean(curves, seen) if self._less is None else best_worst(curves, seen, self._less)
            moved = decisions.copy()
            moved[which] = best
            if is_better(self.height(moved), self.height(decisions)):
                decisions = moved
        return decisions

    def _together(self, decisions: Array) -> Array:
        region = _FIRST_REGION
        for _ in range(_MOST_STEPS):
            found = self._at(decisions)
            height = self._height(self._profits(found))
            step = self._newton_step(found) if self._less is None else self._tangent_step(found, region)
            while region > _LAST_REGION:
                moved = np.clip(decisions + step, 0.0, self._cap)
                if is_better(self.height(moved), height):
                    break
                region, step = region / 4, step / 4
            else:
                return decisions
            decisions = moved
        return decisions

    def _newton_step(self, found: Sequence[Equilibrium]) -> Array:
        """To where the mean of the pieces at hand is level, of decisions that no bound holds back."""
        both = [slopes.derivatives(one) for slopes, one in zip(self._slopes, found, strict=True)]
        gradient = np.mean([one for one, _ in both], axis=0)
        bend = np.mean([slopes + slopes.T for _, slopes in both], axis=0)
        return newton_step(gradient, bend, found[0].prices, self._cap)

    def _tangent_step(self, found: Sequence[Equilibrium], region: float) -> Array:
        """What raises the lowest of all tangents most, each decision moving by no more than `region` of its cap."""
        from scipy.optimize import linprog

        assert self._less is not None
        over = self._profits(found) - self._less
        gradients = np.array([slopes.gradient(one) for slopes, one in zip(self._slopes, found, strict=True)])
        size, at, unit = float(np.abs(over).max()) or 1.0, found[0].prices, np.where(self._cap > 0, self._cap, 1.0)
        rows = np.column_stack([-gradients * unit / size, np.ones(len(over))])
        sides = [
            (max(-region, -p / u), min(region, (cap - p) / u))
            for p, u, cap in zip(at.tolist(), unit.tolist(), self._cap.tolist(), strict=True)
        ]
        solved = linprog(np.append(np.zeros(len(at)), -1.0), rows, over / size, bounds=[*sides, (None, None)])
        return np.zeros(len(at)) if solved.x is None else np.asarray(solved.x[:-1]) * unit

    def _at(self, decisions: Array) -> list[Equilibrium]:
        """Equilibria at decisions; each is looked for from the best of its market so far."""
        return [slopes.offer(decisions) for slopes in self._slopes]

    def _profits(self, found: Sequence[Equilibrium]) -> Array:
        return np.array([profit_of(m, one.prices, one.billed) for m, one in zip(self._markets, found, strict=True)])

    def _height(self, profits: Array) -> float:
        return float(profits.mean() if self._less is None else (profits - self._less).min())
