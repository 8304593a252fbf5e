r"""Same bills: decisions at which nobody pays more or less than now, so that all routes and the profit stay.

A user of provider j pays sum_k rise_ik y_k there for a unit of volume, besides what is not decided. Where its users ask
for fewer kinds of mixes than it has decisions, some step d has rise_i d = 0 for all of them: every used pair costs what
it did. Users who use others are kept out as long as their slack t_ij - rho_i d stays at or below 0. So the decisions
y + d with

    rise_i d = 0 for all users i of j,      rho_i d >= t_ij for all others (t_ij <= 0),      0 <= y + d <= cap

have the same equilibrium, the same bills and the same profit: a polyhedron for each provider, most often a point. A
provider that nobody uses has a whole one: whatever keeps everybody out.

Decisions are measured by what they add to a bill at most (`sizes`), so that the unit in which a component is counted
changes nothing.

Literature for the nearest point: Lawson, Hanson, "Solving Least Squares Problems", 1974, chapter 23 (least distance
programming by non-negative least squares).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.decisions import rises, sizes
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import Equilibrium

_SAME_MIX = 1e-10
_ROUNDING = 1e-13
_SAME_POINT = 1e-7
"""A range of decisions this narrow, of their values, is one point."""


@dataclass(frozen=True, eq=False)
class SameBills:
    """Decisions of one provider at which its users pay what they pay now, and no one else comes.

    Parameters
    ----------
    decisions
        Positions of the provider's decisions, shape (d,).
    at, cap
        Shape (d,): their values now, and the highest ones.
    steps
        Shape (d, r): directions that leave all bills as they are, r > 0.
    rows, least
        Shapes (rows, r) and (rows,), <= 0: a step steps @ z is allowed where rows @ z >= least.
    """

    decisions: NDArray[np.intp]
    at: Array
    cap: Array
    steps: Array
    rows: Array
    least: Array

    def ranges(self) -> tuple[Array, Array]:
        """Least and largest value of each decision among them, shape (d,) each."""
        if self.steps.shape[1] == 1:
            rate = self.rows[:, 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                ends = self.least / rate
            back, on = ends[rate > 0].max(initial=-np.inf), ends[rate < 0].min(initial=np.inf)
            values = self._within(self.at + np.outer([min(back, 0.0), max(on, 0.0)], self.steps[:, 0]))
            return values.min(axis=0), values.max(axis=0)
        from scipy.optimize import linprog

        def furthest(direction: Array) -> float:
            found = linprog(-direction, A_ub=-self.rows, b_ub=-self.least, bounds=(None, None))
            return 0.0 if found.x is None else float(direction @ found.x)

        spread = [(-furthest(-step), furthest(step)) for step in self.steps]
        low, high = np.array(spread).T
        return self._within(self.at + np.minimum(low, 0.0)), self._within(self.at + np.maximum(high, 0.0))

    def nearest(self, wanted: Array, unit: Array) -> Array:
        """Those of them that are nearest to wanted values, shape (d,), decisions counted in `unit`."""
        aim = np.linalg.lstsq(self.steps / unit[:, None], (wanted - self.at) / unit, rcond=None)[0]
        short = self.least - self.rows @ aim
        away = aim if (short <= 0).all() else aim + _least_distance(self.rows, short)
        toward = self.rows @ away
        # The step of 0 is allowed, hence so is a part of every other; the part itself undoes what rounding added.
        over = toward < self.least
        share = float((self.least[over] / toward[over]).min(initial=1.0))
        return self._within(self.at + share * (self.steps @ away))

    def _within(self, values: Array) -> Array:
        """Values within 0 and the caps, and there exactly where but rounding is between."""
        rounding = _ROUNDING * float(np.abs(self.at).max())
        return np.where(values <= rounding, 0.0, np.where(values >= self.cap - rounding, self.cap, values))


def same_bills(market: Market, found: Equilibrium) -> list[SameBills]:
    """For each provider of the leader where there are any but those of an equilibrium; see the module's docstring."""
    users = found.users
    unit, rise, decided = 1 / sizes(market), rises(market), np.array(users.decided)
    slack = found.level[:, None] - users.offsets(found.prices) - found.congestion
    many = []
    for j in dict.fromkeys(users.decided):
        own = np.flatnonzero(decided == j)
        uses = found.flow[:, j] > 0
        free = _unseen(rise[uses][:, own] * unit[own])
        if not free.shape[1]:
            continue
        steps = unit[own, None] * free
        at = found.prices[own]
        others = users.sensitivity[~uses][:, own] @ steps
        rows = np.concatenate([steps, -steps, others])
        least = np.concatenate([-at, at - market.price_cap[own], np.minimum(slack[~uses, j], 0.0)])
        length = np.linalg.norm(rows, axis=1)
        moves = length > _SAME_MIX * length.max()
        same = SameBills(
            own,
            at,
            market.price_cap[own],
            steps,
            rows[moves] / length[moves, None],
            np.minimum(least[moves] / length[moves], 0.0),
        )
        low, high = same.ranges()
        if (high - low > _SAME_POINT * np.maximum(np.abs(at), unit[own] * found.noise)).any():
            many.append(same)
    return many


def nearest_same(market: Market, found: Equilibrium, wanted: Array) -> Array:
    """The decisions, shape (k,), with the bills of an equilibrium that are nearest to wanted ones."""
    decisions, unit = found.prices.copy(), 1 / sizes(market)
    for same in same_bills(market, found):
        own = same.decisions
        decisions[own] = same.nearest(wanted[own], unit[own])
    return decisions


def _unseen(rise: Array) -> Array:
    """Orthonormal directions, shape (d, r), that no row of rises, shape (users, d), sees."""
    length = np.linalg.norm(rise, axis=1, keepdims=True)
    _, sizes_seen, axes = np.linalg.svd(rise / np.where(length > 0, length, 1.0))
    seen = np.count_nonzero(sizes_seen > _SAME_MIX * sizes_seen.max(initial=0.0))
    return np.asarray(axes[seen:].T)


def _least_distance(rows: Array, short: Array) -> Array:
    """The shortest x with rows @ x >= short; 0 where rounding leaves none."""
    from scipy.optimize import nnls

    matrix = np.vstack([rows.T, short])
    target = np.append(np.zeros(rows.shape[1]), 1.0)
    residual = matrix @ nnls(matrix, target)[0] - target
    return -residual[:-1] / residual[-1] if residual[-1] < 0 else np.zeros(rows.shape[1])
