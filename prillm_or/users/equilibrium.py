r"""The users' equilibrium at the leader's decisions.

User i, one of n rows that stand for count_i equal users each, splits its demand D_i over providers j until no share of
it would cost less elsewhere: with c_ij = w_p,i p_ij + w_d,i d_ij - b_ij, p_ij being what a unit of its volume comes to
by the price list of j, its marginal cost at j is

    c_ij + (w_q,i / alpha_j) (x_j + f_ij / count_i) + s_ij f_ij / D_i.

Dividing user i's costs by w_q,i changes no best response and makes the slopes by x_j common, so that the equilibrium is
the unique minimiser of

    Phi(f) = sum_ij g_ij f_ij + sum_j x_j^2 / (2 alpha_j) + sum_ij f_ij^2 / (2 a_ij),   g_ij = c_ij / w_q,i,
    1 / a_ij = 1 / (alpha_j count_i) + s_ij / (w_q,i D_i),

a strictly convex potential. We maximise its dual in the multipliers lambda (n) and the congestion q = x / alpha (m),

    Psi(lambda, q) = sum_i D_i lambda_i - sum_ij a_ij/2 max(0, t_ij)^2 - sum_j alpha_j/2 q_j^2,
    t_ij = lambda_i - g_ij - q_j,      f_ij = a_ij max(0, t_ij),

a_ij the width of a pair. Where all w_q,i are 0 no money is divided, 1 / a_ij = s_ij / D_i, and alpha is infinite:
q = 0, and each user stands alone. Psi is concave, once differentiable and piecewise quadratic: a pair is used exactly
where t_ij > 0. Its semismooth Newton step solves the system of `laplacian.py` on the current support, in min(n, m)
unknowns, and the signs of t there are the next support. The step lands on the maximum when the support is the right
one, hence the method ends after finitely many steps. Full steps are taken while they work; after `_FULL_STEPS` of them
each is halved until Psi still rises at its end, which makes the method globally convergent (a concave C^1 function,
ascent directions from a positive definite K).

Cost of one step with k pairs in use a user: n m to look at all pairs, n k min(k, m) + min(n, m)^3 / 3 for the
system; memory: the offsets, a copy of them, and little more (`pairs.py`).

References: potential: Guo, Bai, Jin, "Pricing Online LLM Services with Data-Calibrated Stackelberg Routing Game", AAAI
2026, eqs. 4-5, doi 10.1609/aaai.v40i20.38748. Semismooth Newton: Qi, Sun, Mathematical Programming 58 (1993) 353-367,
doi 10.1007/BF01581275.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from prillm_or.errors import ConvergenceError
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.digits import serve_all, settle
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.narrowing import are_many, costs_around, narrowed, respond, sample
from prillm_or.users.pairs import Pairs, all_pairs, below
from prillm_or.users.problem import UserProblem, ample_provider, user_problem
from prillm_or.users.threads import over_blocks

if TYPE_CHECKING:
    from prillm_or.users._kernel import Small

_log = logging.getLogger(__name__)

_GUESS_ROUNDS = 2
_FULL_STEPS = 20
_MOST_STEPS = 500
_STIFF = 1e3
_SOFTER = 1e2

ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""What part of the largest level a slack may be by rounding alone."""


@dataclass(frozen=True, eq=False)
class Equilibrium:
    """Who routes what where, once no user gains by moving.

    Flows and loads are worked out when they are first asked for, to more digits than `congestion` has.

    Parameters
    ----------
    users
        Whose equilibrium it is.
    prices
        Shape (k,): the leader's decisions it belongs to, of one price a provider its prices.
    level, congestion
        Shapes (n,) and (m,): scaled multipliers less the users' shift, and q; the maximum of Psi. What loads that stand
        still add to q is in the offsets.
    laplacian
        The linear system on its support: where a next solve starts.
    routed
        Pairs and their flows, which meet the demands to the last digits; worked out from the rest if None.
    """

    users: UserProblem
    prices: Array
    level: Array
    congestion: Array
    laplacian: Laplacian
    routed: tuple[Pairs, Array] | None = None

    @property
    def support(self) -> Mask:
        """The pairs in use, shape (n, m), and at a kink some whose flow is zero."""
        return self.laplacian.support

    def width_of(self, j: int) -> float:
        """Sum of the widths of provider j's users."""
        return float((self.users.width[..., j] * self.support[:, j]).sum())

    @cached_property
    def noise(self) -> float:
        """The largest slack that may be rounding, in scaled money."""
        return _noise(self.level, self.congestion)

    @property
    def multiplier(self) -> Array:
        """User i's own marginal cost, shape (n,), in its own money per volume unit."""
        return (self.level + self.users.shift) * self.users.scale

    @cached_property
    def load(self) -> Array:
        """Loads, shape (m,), volume units, with those of `users.fixed`."""
        pairs, flow = self._used
        return pairs.sums(flow)[1] + self.users.fixed

    @cached_property
    def billed(self) -> Array:
        """Volumes that providers bill: the loads, or shape (m, C) with a tariff."""
        return self.load if self.users.tariff is None else self.users.billed(*self._used)

    @property
    def beside(self) -> float:
        """What the leader earns besides (decision - its cost) times `by_decision`; see `market/decisions.py`."""
        tariff = self.users.tariff
        return 0.0 if tariff is None else tariff.beside(self.billed)

    @property
    def by_decision(self) -> Array:
        """Volumes that each decision is the price of, shape (k,)."""
        tariff = self.users.tariff
        return self.load[list(self.users.decided)] if tariff is None else tariff.of_decisions(self.billed)

    @cached_property
    def flow(self) -> Array:
        """Flows, shape (n, m), volume units, rows summing to the demand."""
        pairs, flow = self._used
        return pairs.matrix(flow)

    @cached_property
    def _used(self) -> tuple[Pairs, Array]:
        if self.routed is not None:
            return self.routed
        pairs, laplacian, demand = self.laplacian.pairs, self.laplacian, self.users.demand
        offsets = pairs.take(self.users.offsets(self.prices))
        flow = laplacian.weight * (pairs.of_users(self.level) - offsets - pairs.of_providers(self.congestion))
        routed, load = pairs.sums(flow)
        # Slacks are small differences of large numbers. Where that cost digits, a step of iterative refinement brings
        # them back: on the support the equations are linear, and their residuals say how far off the flows are.
        if np.count_nonzero(np.abs(demand - routed) > 1e-13 * demand):
            level, change = laplacian.solve(demand - routed, self.users.excess(load, self.congestion))
            correction = laplacian.weight * (pairs.of_users(level) - pairs.of_providers(change))
            flow = np.maximum(flow + correction, 0.0)
            routed, _ = pairs.sums(flow)
        return pairs, np.maximum(flow, 0.0) * pairs.of_users(demand / routed)


class SmallEquilibrium(Equilibrium):
    """One from the kernel, unpacked as far as it is asked for: many serve but as where a next solve starts.

    Parameters
    ----------
    numbers, used
        Levels, congestion and flows, one after the other, and the support, as the kernel left them.
    """

    def __init__(self, users: UserProblem, prices: Array, numbers: bytearray, used: bytearray) -> None:
        # The way of frozen dataclasses, field by field, takes longer than the kernel.
        vars(self).update(users=users, prices=prices, numbers=numbers, used=used)

    numbers: bytearray
    used: bytearray

    @cached_property
    def level(self) -> Array:
        """See `Equilibrium`."""
        return np.frombuffer(self.numbers, count=len(self.users.demand))

    @cached_property
    def congestion(self) -> Array:
        """See `Equilibrium`."""
        n, m = self.users.base.shape
        return np.frombuffer(self.numbers, offset=8 * n, count=m)

    @cached_property
    def support(self) -> Mask:
        """See `Equilibrium`."""
        return np.frombuffer(self.used, dtype=np.bool_).reshape(self.users.base.shape)

    @cached_property
    def laplacian(self) -> Laplacian:
        """See `Equilibrium`."""
        return self.users.laplacian(self.support)

    @cached_property
    def routed(self) -> tuple[Pairs, Array]:
        """See `Equilibrium`."""
        n, m = shape = self.users.base.shape
        return all_pairs(shape), np.frombuffer(self.numbers, offset=8 * (n + m)).reshape(shape)


def equilibrium_at(market: Market, decisions: ArrayLike, start: Equilibrium | None = None) -> Equilibrium:
    """Find the users' equilibrium at the leader's decisions; see `solve_users`."""
    return solve_users(user_problem(market), decisions, start)


def solve_users(users: UserProblem, decisions: ArrayLike, start: Equilibrium | Array | None = None) -> Equilibrium:
    """Find the users' equilibrium at the leader's decisions.

    Parameters
    ----------
    users
        From `user_problem`.
    decisions
        Shape (k,): currency per volume unit, or factors.
    start
        An equilibrium of the same users at other prices, or a guess of the congestion, shape (m,); near ones save most
        of the work.

    Raises
    ------
    ConvergenceError
        When no support can be settled in double precision.
    """
    prices = np.array(decisions, dtype=np.float64)
    if start is None and users.stiffness > 2 * _STIFF:  # twice, so that rounding does not ask for it for ever
        start = solve_users(_softened(users), prices)
        start = Equilibrium(users, prices, start.level, start.congestion, users.laplacian(start.support))
    if users.kernel is not None and (small := _of_small(users, users.kernel, prices, start)) is not None:
        return small
    offsets = users.offsets(prices)
    try:
        (level, congestion), laplacian = _newton(users, offsets, _start(users, prices, offsets, start))
    except ConvergenceError as failure:
        raise ConvergenceError(f"{users.name}: {failure.args[0]}") from None
    noise = _noise(level, congestion)
    if not isfinite(noise):
        raise ConvergenceError(f"{users.name}: the users' equilibrium is beyond double precision: scales too far apart")
    found = Equilibrium(users, prices, level, congestion, laplacian)
    return found if noise <= users.finest else _to_full_precision(found, noise)


def _of_small(
    users: UserProblem, kernel: Small, prices: Array, start: Equilibrium | Array | None
) -> Equilibrium | None:
    """As `solve_users` by the kernel; None where it gives up."""
    if type(start) is SmallEquilibrium:
        found = kernel.equilibrium(prices, start.used)
    else:
        found = kernel.equilibrium(prices, start.support.copy() if isinstance(start, Equilibrium) else None)
    if found is None:
        return None
    noise, numbers, used = found
    small = SmallEquilibrium(users, prices, numbers, used)
    return small if noise <= users.finest else _to_full_precision(small, noise)


def _to_full_precision(found: Equilibrium, noise: float) -> Equilibrium:
    """The equilibrium where slacks of double precision are too coarse."""
    users = found.users
    settled = settle(users, found.prices, found.laplacian, found.level, found.congestion, noise * users.stiffness)
    routed = settled.pairs, settled.flow
    return Equilibrium(users, found.prices, settled.level, settled.congestion, settled.laplacian, routed)


def _start(users: UserProblem, prices: Array, offsets: Array, start: Equilibrium | Array | None) -> Laplacian:
    """The support to look at first."""
    if isinstance(start, Equilibrium) and not are_many(users):
        return start.laplacian
    congestion = start.congestion if isinstance(start, Equilibrium) else start
    if are_many(users):
        congestion = _congestion(users, prices, offsets, congestion)
    if congestion is None:
        return users.laplacian(_first_guess(users, offsets))
    return users.laplacian(serve_all(respond(users, offsets, congestion)[0], offsets, congestion))


def _congestion(users: UserProblem, prices: Array, offsets: Array, near: Array | None = None) -> Array:
    """Congestion at the equilibrium: of many users by some of them, then by those whose choice that leaves open."""
    if not users.congested or not len(users.demand):
        return np.zeros(users.base.shape[1])
    if not are_many(users):
        return solve_users(users, prices, near).congestion
    if near is not None and (found := _narrowed_to(users, prices, offsets, near)) is not None:
        return found
    few = sample(users)
    near = _congestion(few, prices, few.offsets(prices))
    if (found := _narrowed_to(users, prices, offsets, near)) is not None:
        return found
    support, _ = respond(users, offsets, near)
    return _newton(users, offsets, users.laplacian(serve_all(support, offsets, near)))[0][1]


def _narrowed_to(users: UserProblem, prices: Array, offsets: Array, near: Array) -> Array | None:
    """Congestion, by the users whose choice one that is near leaves open; None where these are more than half."""
    _, load = respond(users, offsets, near)
    off = float(np.abs(users.excess(load, near) / users.capacity).max()) + ROUNDING * float(np.abs(offsets).max())
    left = narrowed(users, costs_around(offsets, near, off), prices, near)
    if 2 * len(left.demand) > len(users.demand):
        return None
    return _congestion(left, prices, left.offsets(prices)) + (left.fixed - users.fixed) / users.capacity


def _softened(users: UserProblem) -> UserProblem:
    """The users with their largest crowds a hundredth as large: the support is nearly the same, and easier to find."""
    most = max(users.stiffness / _SOFTER, _STIFF)
    return replace(users, width=np.minimum(users.width, most * users.capacity))


def _noise(level: Array, congestion: Array) -> float:
    """The largest slack that may be rounding."""
    return ROUNDING * float(np.maximum.reduce(np.abs(level)) + np.maximum.reduce(np.abs(congestion)))


def nearest(equilibria: Sequence[Equilibrium], decisions: Array) -> Equilibrium | None:
    """That at the decisions nearest to `decisions`, shape (k,); None of none."""
    if len(equilibria) < 2:
        return equilibria[0] if equilibria else None
    away = np.abs(np.array([found.prices for found in equilibria]) - decisions).max(axis=1)
    return equilibria[int(away.argmin())]


def _first_guess(users: UserProblem, offsets: Array) -> Mask:
    """Support to start from: what each user would use at the congestion of n equal users with the least offsets.

    With w_j the sum of a_ij over users, n users of offset h_j and multiplier l load provider j with
    max(0, l - h_j) / (1 / alpha_j + 1 / w_j); l meets the total demand. Each user's level given that congestion is
    approached from above (Michelot's algorithm, cut short).
    """
    capacity, demand, width = users.capacity, users.demand, users.width
    total = width.sum(axis=0) if width.ndim == 2 else len(demand) * width
    best = offsets.min(axis=0)
    room = np.maximum(_fill(best, 1.0 / (1.0 / capacity + 1.0 / total), demand.sum()) - best, 0.0)
    congestion = room / (1.0 + capacity / total)

    def guess(block: slice) -> Mask:
        cost = offsets[block] + congestion
        # With all providers counted in, those that are too dear pull the level up; dropping them lowers it towards the
        # right one. From above, so that pairs are too many rather than too few and no user is left without one.
        mine = width if width.ndim == 1 else width[block]
        asked = demand[block] + (cost @ mine if width.ndim == 1 else (cost * mine).sum(axis=1))
        level = asked / mine.sum(axis=-1)
        for _ in range(_GUESS_ROUNDS):
            weight = (cost < level[:, None]) * mine
            asked, taken = demand[block] + (weight * cost).sum(axis=1), weight.sum(axis=1)
            np.divide(asked, taken, out=level, where=taken > 0)  # none are left where a demand is lost in rounding
        return serve_all(cost < level[:, None], offsets[block], congestion)

    return np.concatenate(list(over_blocks(guess, offsets.shape)))


def _fill(floor: Array, width: Array, volume: float) -> float:
    """Water level l with sum_j width_j max(0, l - floor_j) = volume."""
    order = floor.argsort()
    floor, width = floor[order], width[order]
    levels = (volume + (width * floor).cumsum()) / width.cumsum()
    # Entry k is the level if the k + 1 lowest floors take part; the first that stays below the next floor is right.
    return float(levels[(levels[:-1] < floor[1:]).searchsorted(True)])


def _newton(users: UserProblem, offsets: Array, laplacian: Laplacian) -> tuple[tuple[Array, Array], Laplacian]:
    """Maximise Psi, first on the support of `laplacian`; return levels and congestion there, and the laplacian."""
    demand = users.demand
    point, ample, many = None, ample_provider(users), are_many(users)
    for number in range(_MOST_STEPS):
        # `target` is the top of the quadratic that Psi is where this support is right. Row i of the system says that
        # user i's flows sum to D_i > 0, so that some slack of it is positive there: the next support serves everybody,
        # but for users so small that their slacks are lost in rounding.
        user, provider = laplacian.pairs.sums(laplacian.weight * laplacian.pairs.take(offsets))
        target = laplacian.solve(demand + user, -provider)
        if many:
            target = _refined(users, offsets, laplacian, target)
        after = below(offsets, target[1], target[0])
        # The slack of a pair with the ample provider is lost in rounding, so that its sign must not decide who leaves.
        all_stay = ample is None or _leave_ample(offsets, demand, laplacian, target, ample, after)
        after = serve_all(after, offsets, target[1])
        if all_stay and _settled(offsets, laplacian.support, after, target, users.stiffness):
            return target, laplacian
        # Psi may fall along a full step. From the first damped step on it only rises, and the method converges.
        if number >= _FULL_STEPS and point is not None:
            point, after = _damped(users, offsets, point, target)
            after = serve_all(after, offsets, point[1])
        else:
            point = target
        _log.info("equilibrium: step %d", number + 1)
        laplacian = users.laplacian(after)
    raise ConvergenceError(f"the users' equilibrium did not settle in {_MOST_STEPS} Newton steps")


def _refined(
    users: UserProblem, offsets: Array, laplacian: Laplacian, point: tuple[Array, Array]
) -> tuple[Array, Array]:
    """A solution on a support with the digits back that sums of many widths times offsets, which cancel, have cost."""
    pairs, (level, congestion) = laplacian.pairs, point
    flow = laplacian.weight * (pairs.of_users(level) - pairs.take(offsets) - pairs.of_providers(congestion))
    routed, load = pairs.sums(flow)
    more_level, more = laplacian.solve(users.demand - routed, users.excess(load, congestion))
    return level + more_level, congestion + more


def rest(pairs: Pairs, flow: Array, ample: int, volume: Array | float) -> Array:
    """What the flows on pairs, but for those to the ample provider, leave of a volume, shape (n,)."""
    routed, _ = pairs.sums(flow)
    return volume - (routed - pairs.column(flow, ample))


def _leave_ample(
    offsets: Array, demand: Array, laplacian: Laplacian, point: tuple[Array, Array], ample: int, after: Mask
) -> bool:
    """Let users leave the ample provider by the signs of their flows, in place in `after`; whether all stay."""
    pairs, weight, used = laplacian.pairs, laplacian.weight, laplacian.support[:, ample]
    flow = weight * (pairs.of_users(point[0]) - pairs.take(offsets) - pairs.of_providers(point[1]))
    # Its flow is the demand less what goes elsewhere. A level that is off by `noise` moves that by `noise` times the
    # weights of the user's other pairs: only a flow more negative than this says that the user is to leave.
    noise = _noise(*point)
    others = pairs.sums(weight)[0] - pairs.column(weight, ample)
    stays: Mask = rest(pairs, flow, ample, demand) >= -noise * others
    after[used, ample] = stays[used]  # whoever does not use it joins by the sign of its slack, as anywhere
    return bool(stays[used].all())


def _settled(offsets: Array, support: Mask, after: Mask, point: tuple[Array, Array], stiffness: float) -> bool:
    """Whether the slacks on a support confirm it, but for pairs that are zero within rounding."""
    # A pair of slack zero carries no flow: with or without it the equilibrium is the same. Without this allowance such
    # pairs would enter and leave for ever.
    changed = support != after
    if not np.count_nonzero(changed):
        return True
    i, j = np.divmod(changed.ravel().nonzero()[0], support.shape[1])
    noise = stiffness * _noise(*point)
    return bool(np.abs(point[0][i] - offsets[i, j] - point[1][j]).max() <= noise)


def _damped(
    users: UserProblem, offsets: Array, point: tuple[Array, Array], target: tuple[Array, Array]
) -> tuple[tuple[Array, Array], Mask]:
    """Go from `point` towards `target`, as far as 1, 1/2, 1/4, ... of the way, to where Psi still rises.

    Psi is concave along the way, so this is at least half of the exact line search. Users left without a provider are
    raised to a level at which they ask for their demand at most: Psi rises with it.
    """
    demand, width = users.demand, users.width
    d_level, d_congestion = target[0] - point[0], target[1] - point[1]

    def slope(length: float) -> float:
        # Psi's gradient is the unmet demands, and the loads less alpha q.
        congestion = point[1] + length * d_congestion
        level = point[0] + length * d_level

        def asked(block: slice) -> tuple[Array, Array]:
            mine = width if width.ndim == 1 else width[block]
            wanted = mine * np.maximum(level[block, None] - offsets[block] - congestion, 0.0)
            return wanted.sum(axis=1), wanted.sum(axis=0)

        routed, load = zip(*over_blocks(asked, offsets.shape), strict=True)
        unmet = demand - np.concatenate(routed)
        return float(unmet @ d_level + users.excess(np.sum(load, axis=0), congestion) @ d_congestion)

    # At the top itself the slope is zero but for rounding, hence a little below zero is enough.
    length, enough = 1.0, -1e-9 * slope(0.0)
    while slope(length) < enough and length > 1e-9:
        length /= 2
    level, congestion = point[0] + length * d_level, point[1] + length * d_congestion
    least = (offsets + congestion).min(axis=1)
    level = np.where(level > least, level, least + demand / width.sum(axis=-1))
    return (level, congestion), below(offsets, congestion, level)
