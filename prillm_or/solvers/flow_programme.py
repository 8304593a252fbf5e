r"""flow programme: a relaxation of `box_relaxation.py` with flows, levels and congestion as variables, sparse.

In the decisions y and the u of p open pairs alone a relaxation is a dense programme, and a step of an interior point
method costs p^3. With all that u stands for as variables besides,

    l_i - g_ij(y) - q_j = f_ij / a_ij - c_ij,    sum_j f_ij = D_i,    sum_i f_ij = alpha_j q_j,

f of pairs that may be used, c, the reduced cost, of pairs that may not be, both of open ones, it is the same programme,
and a step costs (n + m)^3 at most, as f and c are eliminated pair by pair. Where r_i = w_q,i / w_p,i is r for all
users, or nothing congests, the objective that pays for broken complementarity is, but for a constant,

    sum_i r_i D_i l_i + sum_ij (held_ij - r_i base_ij) f_ij - sum_j r alpha_j q_j^2 - sum_ij (r_i / a_ij) f_ij^2

(`docs/mathematics.md`, 8; base: the offsets, held: what a unit earns the leader, both where decisions are 0): concave
and separable. McCormick's is linear in f and in one more variable for each decision, whatever r_i are.

What is found is proposed, no more: `concave_bound.py` proves a bound from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.market import Array, Mask
from prillm_or.users.problem import UserProblem

_TOLERANCE = 1e-8
_MOST_STEPS = 60
_NOTHING = 1e-200


@dataclass(frozen=True)
class Plane:
    """One of McCormick's above what a decision earns: span v <= price volume + quantity (decision - low) - constant.

    Parameters
    ----------
    number
        Of the decision; low is where its side of the box begins.
    span
        The unit of v.
    """

    number: int
    price: float
    quantity: float
    constant: float
    span: float


@dataclass(frozen=True, eq=False)
class FlowProgramme:
    """A relaxation, to be solved for one objective or the other.

    Parameters
    ----------
    users, width
        By `user_problem`, and a, shape (n, m).
    support, opened, decreed
        Shape (n, m): S, pairs that are open, and pairs that are used, where S has them, or not, by decree.
    most_u
        Shape (n, m): the most that u of open pairs may be.
    slack, level, congestion
        Shapes (n, m), (n,), (m,): what S has at some decisions; all is solved for as differences from these.
    start, length
        Shape (k,): where the box begins, from these decisions, and its sides.
    """

    users: UserProblem
    width: Array
    support: Mask
    opened: Mask
    decreed: Mask
    most_u: Array
    slack: Array
    level: Array
    congestion: Array
    start: Array
    length: Array

    def paid(self, ratio: Array, held: Array) -> tuple[Array, Array]:
        """A point and multipliers for the profit less what broken complementarity pays.

        Parameters
        ----------
        ratio
            Shape (n,): r, the same for all where anything congests.
        held
            Shape (n, m): what a unit earns the leader where decisions are 0.
        """
        users, flows = self.users, self._flows
        linear, bend = np.zeros(self._size), np.zeros(self._size)
        linear[self._of_levels] = ratio * users.demand
        if users.congested:
            bend[self._of_congestion] = -2 * ratio[0] * users.capacity
            linear[self._of_congestion] = bend[self._of_congestion] * self.congestion
        # Less a constant of each user, as its flows sum to its demand.
        worth = held - ratio[:, None] * (users.base - self.level[:, None])
        linear[self._of_flows], bend[self._of_flows] = worth[flows], (-2 * ratio[:, None] / self.width)[flows]
        return self._solved(linear, bend, np.zeros((0, self._size)), np.zeros(0))

    def sold(self, rise: Array, held: Array, planes: Sequence[Plane]) -> tuple[Array, Array]:
        """A point and multipliers for what decisions earn, each below its planes, and what is earned besides.

        Parameters
        ----------
        rise
            Shape (n, k): what a unit earns more for each unit of a decision.
        """
        size = self._size + len(self.length)
        linear, rows = np.zeros(size), np.zeros((len(planes), size))
        linear[self._of_flows] = held[self._flows]
        least = np.zeros(len(planes))
        for row, plane in enumerate(planes):
            c = plane.number
            volume = np.zeros(self.support.shape)
            volume[:, self.users.decided[c]] = rise[:, c]
            linear[self._size + c] = plane.span
            rows[row, c], rows[row, self._size + c] = plane.quantity * self.length[c], -plane.span
            rows[row, self._of_flows] = plane.price * volume[self._flows]
            least[row] = plane.constant
        return self._solved(linear, np.zeros(size), rows, least)

    @cached_property
    def _flows(self) -> Mask:
        """Pairs with a flow."""
        return self.support | self.opened

    @cached_property
    def _costs(self) -> Mask:
        """Pairs with a reduced cost."""
        return self.opened | (self.decreed & ~self.support)

    # The variables: decisions in shares of the box, levels, congestion, flows, reduced costs.

    @cached_property
    def _of_levels(self) -> slice:
        return slice(len(self.length), len(self.length) + len(self.level))

    @cached_property
    def _of_congestion(self) -> slice:
        first = self._of_levels.stop
        return slice(first, first + (len(self.congestion) if self.users.congested else 0))

    @cached_property
    def _of_flows(self) -> slice:
        return slice(self._of_congestion.stop, self._of_congestion.stop + int(self._flows.sum()))

    @cached_property
    def _of_costs(self) -> slice:
        return slice(self._of_flows.stop, self._of_flows.stop + int(self._costs.sum()))

    @property
    def _size(self) -> int:
        return int(self._of_costs.stop)

    def _equations(self, size: int) -> tuple[Any, Array]:
        """What defines slacks, demands and loads: a matrix of `size` columns, and its right-hand side."""
        from scipy import sparse

        users, n = self.users, len(self.level)
        i, j = np.nonzero(self._flows | self._costs)
        pair, count = np.arange(len(i)), len(i)
        flow, cost = _numbers(self._flows, self._of_flows)[i, j], _numbers(self._costs, self._of_costs)[i, j]
        on, off = np.flatnonzero(flow >= 0), np.flatnonzero(cost >= 0)
        slack = self.slack[i, j]
        entries = [
            (pair, self._of_levels.start + i, np.ones(count)),
            (on, flow[on], -1 / self.width[i[on], j[on]]),
            (off, cost[off], np.ones(len(off))),
            (count + i[on], flow[on], np.ones(len(on))),
        ]
        for c, provider in enumerate(users.decided):
            here = np.flatnonzero(j == provider)
            rho = users.sensitivity[i[here], c]
            entries.append((here, np.full(len(here), c), -rho * self.length[c]))
            slack[here] -= rho * self.start[c]
        side = [-slack, users.demand]
        if users.congested:
            every = np.arange(len(self.congestion))
            congestion = self._of_congestion.start + every
            entries += [
                (pair, congestion[j], -np.ones(count)),
                (count + n + j[on], flow[on], 1 / users.capacity[j[on]]),
                (count + n + every, congestion, -np.ones(len(every))),
            ]
            side.append(self.congestion)
        rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
        right = np.concatenate(side)
        return sparse.csc_matrix((values, (rows, columns)), shape=(len(right), size)), right

    def _solved(self, linear: Array, bend: Array, rows: Array, least: Array) -> tuple[Array, Array]:
        """The shares and multipliers of `concave_bound`, in the order of its rows: open pairs, decreed ones, planes."""
        from scipy import sparse

        size, k = len(linear), len(self.length)
        equations, right = self._equations(size)
        low, high = np.zeros(size), np.ones(size)
        low[k : self._of_flows.start], high[k : self._of_costs.stop] = -np.inf, np.inf
        low[self._of_flows] = np.where(self.opened | self.decreed, 0.0, -np.inf)[self._flows]
        high[self._of_flows] = np.where(self.opened & ~self.support, self.most_u, np.inf)[self._flows]
        high[self._of_costs] = np.where(self.opened & self.support, self.most_u / self.width, np.inf)[self._costs]
        money = max(float(np.abs(linear).max()), float(np.abs(bend).max()), _NOTHING)
        import piqp

        solver = piqp.SparseSolver()
        solver.settings.eps_abs = solver.settings.eps_rel = _TOLERANCE
        solver.settings.max_iter = _MOST_STEPS
        solver.setup(
            sparse.diags(-bend / money).tocsc(),
            -linear / money,
            equations,
            right,
            sparse.csc_matrix(rows),
            least,
            np.full(len(least), np.inf),
            low,
            high,
        )
        solver.solve()
        found, pull = np.array(solver.result.x), np.array(solver.result.z_bl) * money
        flow, cost, flow_pull, cost_pull = (np.zeros(self.support.shape) for _ in range(4))
        flow[self._flows], cost[self._costs] = found[self._of_flows], found[self._of_costs]
        flow_pull[self._flows], cost_pull[self._costs] = pull[self._of_flows], pull[self._of_costs]
        u = np.where(self.support, cost * self.width, flow)[self.opened]
        most = self.most_u[self.opened]
        shares = np.divide(u, most, out=np.zeros_like(u), where=most > 0)
        multiplier = np.where(self.support, flow_pull, cost_pull / self.width)
        return (
            np.concatenate([found[:k], shares, found[self._size :]]),
            np.concatenate([multiplier[self.opened], multiplier[self.decreed], np.array(solver.result.z_l) * money]),
        )


def _numbers(mask: Mask, of: slice) -> NDArray[np.intp]:
    """Numbers of variables where the mask is, -1 elsewhere."""
    numbers = np.full(mask.shape, -1, dtype=np.intp)
    numbers[mask] = np.arange(of.start, of.stop)
    return numbers
