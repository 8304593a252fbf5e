r"""box relaxation: what the profit is at most over a box of decisions, where some pairs may be used or not.

Over the box a pair is *on* (always used), *off* (never), or *open*. Take any support S that has the pairs that are on,
none that is off, and one for each user. Give each open pair p = (i, j) a variable u_p >= 0, a flow: if p is in S, what
its flow is more than a_p t_p (its reduced cost times a_p); if not, its flow itself. With K of S (`users/laplacian.py`)
levels l, congestion q and all slacks t = l - g - q are affine in the decisions y and in u,

    K (l, q) = (right-hand side at y) - sum_p u_p (e_i - e_j),

and with w_p = u_p + a_p t_p for p in S (the flow), u_p - a_p t_p else (the reduced cost times a_p), the equilibrium is
where u >= 0, w >= 0 and u w = 0. The relaxation asks for u >= 0 and w >= 0 alone, u up to what slacks over the box
allow, for one of two objectives, each the profit at every equilibrium:

* profit - sum_p theta_p u_p w_p, theta_p = w_q,i / (w_p,i a_p), which pays for broken complementarity. By the identity
  of `docs/mathematics.md`, 8, it is concave where kappa <= 1; else a term is added (`concave_bound.py`);
* sum_k v_k + what is earned besides, v_k below McCormick's two planes over y_k B_k: where the term would cost more than
  these, as with crowds whose users weigh differently.

Either is solved in the variables y and u, or, where very many pairs are open, in flows (`flow_programme.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.decisions import all_prices, per_unit, rises
from prillm_or.market.market import Array, Market, Mask
from prillm_or.models.curvature import concavity
from prillm_or.solvers.concave_bound import Quadratic, Rows, Solved, concave_bound, shift_of
from prillm_or.solvers.flow_programme import FlowProgramme, Plane
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.problem import UserProblem, ample_provider
from prillm_or.users.slopes import price_pull

_WIDER = 1e-9
_FEW = 64
"""With so many open pairs more than users and providers a relaxation takes as long in flows as in u alone."""

Places = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Users and providers of some pairs."""


@dataclass(frozen=True, eq=False)
class Box:
    """Decisions low <= y <= high, shape (k,), and what slacks are at equilibria there, shape (n, m)."""

    low: Array
    high: Array
    slack_low: Array
    slack_high: Array

    @property
    def length(self) -> Array:
        """Its sides, shape (k,)."""
        return self.high - self.low


@dataclass(frozen=True, eq=False)
class Relaxed:
    """What a relaxation found.

    Parameters
    ----------
    bound, doubt
        Proven on the profit over the box with the pairs that are fixed, and what of it is for rounding.
    decisions
        Shape (k,): where it was taken.
    broken
        Shape (open,): what the bound gains by each open pair.
    bent
        Shape (k,): what it gains by the width of the box in each decision.
    pairs
        The open pairs.
    box
        The part of the box, and of its slacks, that is left of those that earn the target.
    """

    bound: float
    doubt: float
    decisions: Array
    broken: Array
    bent: Array
    pairs: Places
    box: Box


@dataclass(frozen=True, eq=False)
class _Opened:
    """The open pairs of a node: their places, whether they are in S, and the most that u may be."""

    places: Places
    used: Mask
    most_u: Array


@dataclass(frozen=True, eq=False)
class _Written:
    """A relaxation as rows of the decisions and u, and in flows where many pairs are open.

    `flow`: to the leader's providers, of the pairs `sellers`; `paired`: w of the open pairs; `rows`: all that is >= 0.
    `theta` is that of the open pairs, times the most that u may be.
    """

    box: Box
    opened: _Opened
    sellers: Places
    flow: Rows
    paired: Rows
    rows: Rows
    theta: Array
    programme: FlowProgramme | None


class Relaxation:
    """The relaxations of one market.

    Parameters
    ----------
    market, users
        The market, and its users by `user_problem`.
    """

    def __init__(self, market: Market, users: UserProblem) -> None:
        self._users = users
        self._k = len(users.decided)
        self._concave = concavity(market) <= 1
        self._width = np.ascontiguousarray(np.broadcast_to(users.width, users.base.shape))
        self._decided = np.array(users.decided)
        self._rise = rises(market)
        held = per_unit(market, all_prices(market, np.zeros(self._k)) - market.unit_cost)
        self._held = np.broadcast_to(held, users.base.shape)
        self._ratio = users.scale / market.price_weight
        self._leads = np.zeros(users.base.shape, dtype=np.bool_)
        self._leads[:, list(users.leader)] = True
        self._earned = np.where(self._leads, self._held, 0.0)
        self._alike = not users.congested or bool((self._ratio == self._ratio[0]).all())

    def bound(self, box: Box, support: Mask, at: Array, fixed: Mask, target: float) -> Relaxed | None:
        """Bound the profit over a box; None where it is proven that no equilibrium is in it with the pairs so fixed.

        Parameters
        ----------
        support
            Shape (n, m): S.
        at
            Shape (k,): any decisions, near which S is right.
        fixed
            Shape (n, m): pairs that are used where S has them, and unused elsewhere, by decree.
        target
            Decisions that earn less are of no interest.
        """
        written = self._written(box, support, at, fixed)
        objective, programme = self._paid(written), written.programme
        if objective.penalty > 0:
            sold = [self._sold(written, k) for k in range(self._k)]
            if objective.penalty > sum(one.penalty for one in sold):
                return self._enveloped(written, sold, target)
        propose = partial(programme.paid, self._ratio, self._earned) if programme is not None and self._alike else None
        found = concave_bound(objective, written.rows, self._users.stiffness, target, propose)
        if found is None:
            return None
        extra = objective.shift * found.point * (1 - found.point)
        return self._relaxed(written, found, extra[: self._k], extra[self._k :])

    def _written(self, box: Box, support: Mask, at: Array, fixed: Mask) -> _Written:
        doubtful = np.where(support, box.slack_low < 0, box.slack_high > 0)
        opened, decreed = self._opened(box, support, doubtful & ~fixed), _places(doubtful & fixed)
        affine = _AffineSlacks(self._users, self._width, support, at, opened, box)
        paired = affine.flows(opened.places, np.where(opened.used, 1.0, -1.0), np.arange(len(opened.used)))
        held = affine.flows(decreed, np.where(support[decreed], 1.0, -1.0))
        number = np.full(support.shape, -1)
        number[opened.places] = np.arange(len(opened.used))
        sellers = _places(self._leads & (support | (number >= 0)))
        flow = affine.flows(sellers, support[sellers].astype(float), number[sellers])
        theta = self._ratio[opened.places[0]] / self._width[opened.places] * opened.most_u
        large = len(opened.used) > _FEW + sum(support.shape)
        programme = affine.programme(doubtful & fixed) if large else None
        return _Written(box, opened, sellers, flow, paired, _stacked(paired, held), theta, programme)

    def _opened(self, box: Box, support: Mask, free: Mask) -> _Opened:
        places = _places(free)
        # As far as slacks of the box go, and a flow no further than its demand.
        width, used = self._width[places], support[places]
        flow = np.clip(width * box.slack_high[places], 0.0, self._users.demand[places[0]])
        reduced = np.maximum(width * -box.slack_low[places], 0.0)
        return _Opened(places, used, np.where(used, reduced, flow))

    def _relaxed(self, written: _Written, found: Solved, bent: Array, extra: Array) -> Relaxed:
        """What a solution says of the box: how much is broken where, and what is left."""
        box, opened = written.box, written.opened
        count = len(opened.used)
        share = slice(self._k, self._k + count)
        point = found.point[: self._k + count]
        broken = written.theta * point[self._k :] * np.maximum(written.paired.at(point), 0.0) + extra
        wider = _WIDER * opened.most_u
        u_low, u_high = (end[share] * opened.most_u for end in (found.low, found.high))
        u_low, u_high = np.maximum(u_low - wider, 0.0), u_high + wider
        w_low, w_high = np.maximum(found.row_low[:count], 0.0), np.maximum(found.row_high[:count], 0.0)
        flow_low, flow_high = np.where(opened.used, (w_low, w_high), (u_low, u_high))
        reduced_low, reduced_high = np.where(opened.used, (u_low, u_high), (w_low, w_high))
        slack_low, slack_high = box.slack_low.copy(), box.slack_high.copy()
        # Where one of the two is above 0 the other is not: slacks are a flow, or less a reduced cost, over the width.
        low = np.where(flow_low > 0, flow_low, -reduced_high) / self._width[opened.places]
        high = np.where(reduced_low > 0, -reduced_low, flow_high) / self._width[opened.places]
        slack_low[opened.places] = np.maximum(slack_low[opened.places], low)
        slack_high[opened.places] = np.minimum(slack_high[opened.places], high)
        first, last = (box.low + end[: self._k] * box.length for end in (found.low - _WIDER, found.high + _WIDER))
        left = Box(np.maximum(first, box.low), np.minimum(last, box.high), slack_low, slack_high)
        decisions = box.low + point[: self._k] * box.length
        return Relaxed(found.bound, found.doubt, decisions, broken, bent, opened.places, left)

    def _paid(self, written: _Written) -> Quadratic:
        """Profit less what broken complementarity pays."""
        box, flow, paired, theta = written.box, written.flow, written.paired, written.theta
        k, sellers = self._k, written.sellers
        i, j = sellers
        rate = np.where(self._decided[None, :] == j[:, None], self._rise[i], 0.0)
        margin, rise = self._held[sellers] + rate @ box.low, rate * box.length
        linear = flow.slope.T @ margin
        linear[:k] += rise.T @ flow.constant
        linear[k:] -= theta * paired.constant
        bend = np.zeros((len(linear), len(linear)))
        bend[:, :k] = flow.slope.T @ rise
        bend[k:] -= theta[:, None] * paired.slope
        bend = bend + bend.T
        constant = float(flow.constant @ margin)
        size = float(flow.size @ (np.abs(self._held[sellers]) + rate @ box.high)) + float(theta @ paired.size)
        shift = np.zeros(len(linear)) if self._concave else shift_of(bend, k)
        return Quadratic(constant, linear, bend, shift, size)

    def _sold(self, written: _Written, k: int) -> _Sold:
        """What decision k is the price of."""
        box, flow, sellers = written.box, written.flow, written.sellers
        i, j = sellers
        own = np.where(self._decided[k] == j, self._rise[i, k], 0.0)
        fewest, most = (
            float(own @ np.clip(self._width[sellers] * of[sellers], 0.0, self._users.demand[i]))
            for of in (box.slack_low, box.slack_high)
        )
        volume = Rows(own @ flow.constant, own @ flow.slope, own @ flow.size)
        return _Sold(float(box.low[k]), float(box.high[k]), volume, fewest, most)

    def _enveloped(self, written: _Written, sold: list[_Sold], target: float) -> Relaxed | None:
        """The bound of the second objective: v_k, in shares of its span, are variables behind all others."""
        box, flow, rows, programme = written.box, written.flow, written.rows, written.programme
        k, size = self._k, rows.slope.shape[1]
        held = self._held[written.sellers]
        span, start = np.array([one.span for one in sold]), np.array([one.least for one in sold])
        planes = [plane for c, one in enumerate(sold) for plane in one.envelope(c, size, k)]
        constant = float(held @ flow.constant) + float(start.sum())
        worth = float(np.abs(held) @ flow.size) + float((start + span).sum())
        linear = np.concatenate([held @ flow.slope, span])
        nothing = np.zeros(len(linear))
        objective = Quadratic(constant, linear, np.diag(nothing), nothing, worth)
        wide = replace(rows, slope=np.column_stack([rows.slope, np.zeros((len(rows.slope), k))]))
        cuts = [plane for c, one in enumerate(sold) for plane in one.planes(c)]
        propose = None if programme is None else partial(programme.sold, self._rise, self._earned, cuts)
        found = concave_bound(objective, _stacked(wide, *planes), self._users.stiffness, target, propose)
        if found is None:
            return None
        point = found.point[:size]
        decisions = box.low + point[:k] * box.length
        true = np.array([y * float(one.volume.at(point)) for y, one in zip(decisions, sold, strict=True)])
        bent = np.maximum(start + span * found.point[size:] - true, 0.0)
        return self._relaxed(written, found, bent, np.zeros(len(written.theta)))


@dataclass(frozen=True, eq=False)
class _Sold:
    """What a decision is the price of: a single row, between two volumes over the box."""

    low: float
    high: float
    volume: Rows
    fewest: float
    most: float

    @property
    def penalty(self) -> float:
        """By how much McCormick's planes may lie above what it earns."""
        return (self.high - self.low) * (self.most - self.fewest) / 4

    @property
    def least(self) -> float:
        """What it earns at least."""
        return self.low * self.fewest

    @property
    def span(self) -> float:
        """How much more it may earn."""
        return self.high * self.most - self.least

    def planes(self, c: int) -> list[Plane]:
        """The two planes above what it earns beyond the least, in units of its span; c is its number."""
        corners = ((self.low, self.most), (self.high, self.fewest))
        return [
            Plane(c, price, quantity, (price - self.low) * quantity + self.least, self.span)
            for price, quantity in corners
        ]

    def envelope(self, c: int, size: int, k: int) -> list[Rows]:
        """These planes, less what is below them, as rows of all variables."""
        rows = []
        for plane in self.planes(c):
            price, quantity = plane.price, plane.quantity
            slope = np.zeros((1, size + k))
            slope[0, :size] = price * self.volume.slope
            slope[0, c] += quantity * (self.high - self.low)
            slope[0, size + c] = -self.span
            constant = price * self.volume.constant - plane.constant
            worth = price * self.volume.size + quantity * (self.high + price) + self.least + self.span
            rows.append(Rows(np.array([constant]), slope, np.array([worth])))
        return rows


class _AffineSlacks:
    """Slacks on a support, affine in the decisions and in the u of its open pairs, all scaled into the unit box."""

    def __init__(self, users: UserProblem, width: Array, support: Mask, at: Array, opened: _Opened, box: Box) -> None:
        self._users, self._width = users, width
        self._decided = np.array(users.decided)
        laplacian = users.laplacian(support)
        self._offsets = users.offsets(at)
        user, provider = laplacian.pairs.sums(laplacian.weight * laplacian.pairs.take(self._offsets))
        self._level, self._congestion = laplacian.solve(users.demand + user, -provider)
        self._rates = _rates(users, laplacian, opened.places)
        self._support, self._opened, self._ample = support, opened, ample_provider(users)
        self._start = box.low - at
        self._span = np.concatenate([box.length, opened.most_u])

    def flows(self, places: Places, sign: Array, number: NDArray[np.int_] | None = None) -> Rows:
        """Sign a t, and the u of pairs that have one: w of open pairs, or flows, where signs are 1 on S and 0 off."""
        (i, j), k, users = places, len(self._start), self._users
        d_level, d_congestion = self._rates
        slope = d_level[i] - d_congestion[j]
        slope[:, :k] -= np.where(self._decided[None, :] == j[:, None], users.sensitivity[i], 0.0)
        width = sign * self._width[places]
        slope *= width[:, None]
        if number is not None:
            own = np.flatnonzero(number >= 0)
            slope[own, k + number[own]] += 1.0
        level, offset, congestion = self._level[i], self._offsets[places], self._congestion[j]
        constant = width * (level - offset - congestion)
        size = np.abs(width) * (np.abs(level) + np.abs(offset) + np.abs(congestion))
        if self._ample is not None and len(rest := np.flatnonzero((j == self._ample) & (sign > 0))):
            constant[rest], slope[rest], size[rest] = (of[i[rest]] for of in self._at_ample())
        moved = slope[:, :k] * self._start
        slope *= self._span
        size += np.abs(moved).sum(axis=1) + np.abs(slope).sum(axis=1)
        return Rows(constant + moved.sum(axis=1), slope, size)

    def programme(self, decreed: Mask) -> FlowProgramme:
        """The same in flows, where some pairs are used or not by decree."""
        opened, most_u = np.zeros_like(decreed), np.zeros(decreed.shape)
        opened[self._opened.places], most_u[self._opened.places] = True, self._opened.most_u
        k = len(self._start)
        return FlowProgramme(
            users=self._users,
            width=self._width,
            support=self._support,
            opened=opened,
            decreed=decreed,
            most_u=most_u,
            start=self._start,
            length=self._span[:k],
            slack=self._level[:, None] - self._offsets - self._congestion,
            level=self._level,
            congestion=self._congestion,
        )

    def _at_ample(self) -> tuple[Array, Array, Array]:
        """Flows to the ample provider: what the others leave of a demand, as its own slacks have no digits for it."""
        k, (d_level, d_congestion) = len(self._start), self._rates
        width = np.where(self._support, self._width, 0.0)
        width[:, self._ample] = 0.0
        taken = width.sum(axis=1)[:, None] * d_level - width @ d_congestion
        taken[:, :k] -= width[:, self._decided] * self._users.sensitivity
        i, j = self._opened.places
        others = np.flatnonzero(j != self._ample)
        taken[i[others], k + others] += 1.0
        parts = self._level[:, None] - self._offsets - self._congestion
        sizes = np.abs(self._level)[:, None] + np.abs(self._offsets) + np.abs(self._congestion)
        demand = self._users.demand
        return demand - (width * parts).sum(axis=1), -taken, demand + (width * sizes).sum(axis=1)


def _places(mask: Mask) -> Places:
    i, j = np.nonzero(mask)
    return i, j


def _stacked(*rows: Rows) -> Rows:
    return Rows(
        np.concatenate([one.constant for one in rows]),
        np.vstack([one.slope for one in rows]),
        np.concatenate([one.size for one in rows]),
    )


def _rates(users: UserProblem, laplacian: Laplacian, free: Places) -> tuple[Array, Array]:
    """Derivatives of levels and congestion by the decisions and u, shapes (n, size) and (m, size)."""
    (n, m), k, (i, j) = users.base.shape, len(users.decided), free
    user, provider = np.zeros((n, k + len(i))), np.zeros((m, k + len(i)))
    for c in range(k):
        user[:, c], provider[:, c] = price_pull(users, laplacian, [c])
    columns = k + np.arange(len(i))
    user[i, columns], provider[j, columns] = -1.0, 1.0
    return laplacian.solve_all(user, provider)
