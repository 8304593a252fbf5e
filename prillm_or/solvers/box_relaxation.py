r"""box relaxation: what the profit is at most over a box of decisions, where some pairs may be used or not.

Over the box a pair is *on* (always used), *off* (never), or *open*. Take any support S that has the pairs that are on,
none that is off, and one for each user. Give each open pair p = (i, j) a variable u_p >= 0, a flow: if p is in S, what
its flow is more than a_p t_p (its reduced cost times a_p); if not, its flow itself. With K of S (`users/laplacian.py`)
levels l, congestion q and all slacks t = l - g - q are affine in the decisions y and in u,

    K (l, q) = (right-hand side at y) - sum_p u_p (e_i - e_j),

and with w_p = u_p + a_p t_p for p in S (the flow), u_p - a_p t_p else (the reduced cost times a_p), the equilibrium is
where u >= 0, w >= 0 and u w = 0. The relaxation asks for u >= 0 and w >= 0 alone, with the chords
u_p / u_high + w_p / w_high <= 1 between what slacks over the box allow, for one of two objectives, each the profit at
every equilibrium:

* profit - sum_p theta_p u_p w_p, theta_p = w_q,i / (w_p,i a_p), which pays for broken complementarity. By the identity
  of `docs/mathematics.md`, 8, it is concave where users weigh alike; else a term is added (`concave_bound.py`);
* sum_k v_k + what is earned besides, v_k below McCormick's two planes over y_k B_k: where the term would cost more than
  these, as with crowds whose users weigh differently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.decisions import all_prices, per_unit, rises
from prillm_or.market.market import Array, Market, Mask
from prillm_or.solvers.concave_bound import Quadratic, concave_bound, made_concave
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.problem import UserProblem
from prillm_or.users.slopes import price_pull

Places = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Users and providers of some pairs."""


@dataclass(frozen=True, eq=False)
class Box:
    """Decisions low <= y <= high, shape (k,), and what slacks are at equilibria there, shape (n, m)."""

    low: Array
    high: Array
    slack_low: Array
    slack_high: Array


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
    """

    bound: float
    doubt: float
    decisions: Array
    broken: Array
    bent: Array
    pairs: Places


@dataclass(frozen=True, eq=False)
class _Affine:
    """Values constant + slope s, shapes (r,) and (r, size), of s in the unit box."""

    constant: Array
    slope: Array

    def at(self, point: Array) -> Array:
        return self.constant + self.slope @ point

    def rows(self, which: NDArray[np.intp]) -> _Affine:
        return _Affine(self.constant[which], self.slope[which])


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
        self._width = np.ascontiguousarray(np.broadcast_to(users.width, users.base.shape))
        self._decided = np.array(users.decided)
        self._rise = rises(market)
        held = per_unit(market, all_prices(market, np.zeros(self._k)) - market.unit_cost)
        self._held = np.broadcast_to(held, users.base.shape)
        self._ratio = users.scale / market.price_weight
        self._leads = np.zeros(users.base.shape, dtype=np.bool_)
        self._leads[:, list(users.leader)] = True

    def bound(self, box: Box, support: Mask, at: Array, fixed: Mask) -> Relaxed | None:
        """Bound the profit over a box; None where it is proven that no equilibrium is in it with the pairs so fixed.

        Parameters
        ----------
        support
            Shape (n, m): S.
        at
            Shape (k,): any decisions, near which S is right.
        fixed
            Shape (n, m): pairs that are used where S has them, and unused elsewhere, by decree.
        """
        doubtful = np.where(support, box.slack_low < 0, box.slack_high > 0)
        checked, free = _places(doubtful), _places(doubtful & ~fixed)
        number = np.full(support.shape, -1)
        number[free] = np.arange(len(free[0]))
        # As far as slacks of the box go, and a flow no further than its demand.
        flow_high = np.clip(self._width * box.slack_high, 0.0, self._users.demand[:, None])[free]
        reduced_high = np.maximum(self._width * -box.slack_low, 0.0)[free]
        span_u, span_w = np.where(support[free], (reduced_high, flow_high), (flow_high, reduced_high))
        slacks = _Slacks(self, support, at, free, box, span_u)
        kept = slacks.flows(checked, number, np.where(support, 1.0, -1.0))
        paired = kept.rows(np.flatnonzero(number[checked] >= 0)[np.argsort(number[checked][number[checked] >= 0])])
        used = _places(self._leads & (support | (number >= 0)))
        flow = slacks.flows(used, number, support.astype(float))
        chords = _chords(paired, span_w, self._k)
        least = np.concatenate([kept.constant, chords.constant])
        rows = np.vstack([kept.slope, chords.slope])
        theta = self._ratio[free[0]] / self._width[free]
        objective = self._paid(flow, used, box, paired, theta * span_u)
        sold = [self._sold(flow, used, k, box) for k in range(self._k)]
        planes = sum(width * (most - fewest) for width, (_, fewest, most) in zip(box.high - box.low, sold, strict=True))
        if objective.penalty > planes:
            return self._enveloped(box, flow, used, sold, least, rows, paired, theta * span_u, free)
        found = concave_bound(objective, least, rows, self._users.stiffness)
        if found is None:
            return None
        extra = objective.shift * found.point * (1 - found.point)
        broken = theta * span_u * found.point[self._k :] * np.maximum(paired.at(found.point), 0.0) + extra[self._k :]
        decisions = box.low + found.point[: self._k] * (box.high - box.low)
        return Relaxed(found.bound, found.doubt, decisions, broken, extra[: self._k], free)

    def _margin(self, used: Places, box: Box, size: int) -> _Affine:
        """What a unit of volume earns on some pairs, affine in the decisions."""
        i, j = used
        rate = np.where(self._decided[None, :] == j[:, None], self._rise[i], 0.0)
        slope = np.zeros((len(i), size))
        slope[:, : self._k] = rate * (box.high - box.low)
        return _Affine(self._held[used] + rate @ box.low, slope)

    def _paid(self, flow: _Affine, used: Places, box: Box, paired: _Affine, weight: Array) -> Quadratic:
        """Profit less what broken complementarity pays."""
        size = flow.slope.shape[1]
        margin = self._margin(used, box, size)
        linear = flow.slope.T @ margin.constant + margin.slope.T @ flow.constant
        linear[self._k :] -= weight * paired.constant
        bend = flow.slope.T @ margin.slope
        bend[self._k :] -= weight[:, None] * paired.slope
        return made_concave(float(flow.constant @ margin.constant), linear, bend + bend.T, self._k)

    def _sold(self, flow: _Affine, used: Places, k: int, box: Box) -> tuple[_Affine, float, float]:
        """What decision k is the price of, and bounds on it over the box."""
        i, j = used
        own = np.where(self._decided[k] == j, self._rise[i, k], 0.0)
        low, high = (
            np.clip(self._width[used] * of[used], 0.0, self._users.demand[i]) for of in (box.slack_low, box.slack_high)
        )
        volume = _Affine((own @ flow.constant)[None], (own @ flow.slope)[None])
        return volume, float(own @ low), float(own @ high)

    def _enveloped(
        self,
        box: Box,
        flow: _Affine,
        used: Places,
        sold: list[tuple[_Affine, float, float]],
        least: Array,
        rows: Array,
        paired: _Affine,
        weight: Array,
        free: Places,
    ) -> Relaxed | None:
        """The bound of the second objective: v_k, in shares of its span, are variables behind all others."""
        size, k = rows.shape[1], self._k
        held = self._held[used]
        constant, linear = float(held @ flow.constant), np.concatenate([held @ flow.slope, np.zeros(k)])
        planes, offsets = [], []
        spans, starts = np.empty(k), np.empty(k)
        for c, (volume, fewest, most) in enumerate(sold):
            low, high = box.low[c], box.high[c]
            starts[c], spans[c] = low * fewest, high * most - low * fewest
            for price, quantity, edge in ((low, most, low * most), (high, fewest, high * fewest)):
                plane = np.zeros(size + k)
                plane[:size] = price * volume.slope[0]
                plane[c] += quantity * (high - low)
                plane[size + c] = -spans[c]
                planes.append(plane)
                offsets.append(price * volume.constant[0] + quantity * low - edge - starts[c])
        linear[size:] = spans
        wide = np.vstack([np.column_stack([rows, np.zeros((len(rows), k))]), *planes])
        flat = np.zeros((size + k, size + k))
        objective = made_concave(constant + float(starts.sum()), linear, flat, k)
        found = concave_bound(objective, np.concatenate([least, offsets]), wide, self._users.stiffness)
        if found is None:
            return None
        point = found.point[:size]
        decisions = box.low + point[:k] * (box.high - box.low)
        true = np.array([decisions[c] * volume.at(point)[0] for c, (volume, _, _) in enumerate(sold)])
        bent = np.maximum(starts + spans * found.point[size:] - true, 0.0)
        broken = weight * point[k:] * np.maximum(paired.at(point), 0.0)
        return Relaxed(found.bound, found.doubt, decisions, broken, bent, free)


class _Slacks:
    """Slacks on a support, affine in the decisions and in the u of its open pairs, all scaled into the unit box."""

    def __init__(self, frame: Relaxation, support: Mask, at: Array, free: Places, box: Box, span_u: Array) -> None:
        users = frame._users  # noqa: SLF001 - two halves of one thing
        self._frame, self._k = frame, len(at)
        laplacian = users.laplacian(support)
        offsets = users.offsets(at)
        user, provider = laplacian.pairs.sums(laplacian.weight * laplacian.pairs.take(offsets))
        self._level, self._congestion = laplacian.solve(users.demand + user, -provider)
        self._offsets = offsets
        self._rates = _rates(users, laplacian, free)
        self._start = np.concatenate([box.low - at, np.zeros(len(span_u))])
        self._span = np.concatenate([box.high - box.low, span_u])

    def flows(self, pairs: Places, number: NDArray[np.int_], sign: Array) -> _Affine:
        """Sign a t, and u of pairs that have one: w of open pairs, or flows where the sign is 0 off the support."""
        frame = self._frame
        users = frame._users  # noqa: SLF001
        i, j = pairs
        d_level, d_congestion = self._rates
        slope = d_level[i] - d_congestion[j]
        slope[:, : self._k] -= np.where(np.array(users.decided)[None, :] == j[:, None], users.sensitivity[i], 0.0)
        width = (sign * frame._width)[pairs]  # noqa: SLF001
        slope = width[:, None] * slope
        own = np.flatnonzero(number[pairs] >= 0)
        slope[own, self._k + number[pairs][own]] += 1.0
        constant = width * (self._level[i] - self._offsets[pairs] - self._congestion[j]) + slope @ self._start
        return _Affine(constant, slope * self._span)


def _places(mask: Mask) -> Places:
    i, j = np.nonzero(mask)
    return i, j


def _rates(users: UserProblem, laplacian: Laplacian, free: Places) -> tuple[Array, Array]:
    """Derivatives of levels and congestion by the decisions and u, shapes (n, size) and (m, size)."""
    (n, m), k, (i, j) = users.base.shape, len(users.decided), free
    user, provider = np.zeros((n, k + len(i))), np.zeros((m, k + len(i)))
    for c in range(k):
        user[:, c], provider[:, c] = price_pull(users, laplacian, [c])
    columns = k + np.arange(len(i))
    user[i, columns], provider[j, columns] = -1.0, 1.0
    return laplacian.solve_all(user, provider)


def _chords(paired: _Affine, span_w: Array, k: int) -> _Affine:
    """1 - u / u_high - w / w_high of the open pairs whose w may be above 0; u / u_high is a variable itself."""
    tight = np.flatnonzero(span_w > 0)
    slope = -paired.slope[tight] / span_w[tight, None]
    slope[np.arange(len(tight)), k + tight] -= 1.0
    return _Affine(1.0 - paired.constant[tight] / span_w[tight], slope)
