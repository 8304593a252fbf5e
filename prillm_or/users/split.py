r"""split: the users' equilibrium of a market whose users are in parts, each looked at by itself, by whoever holds it.

Given the congestion q, users do not meet: user i's level l_i(q) is the one at which sum_j f_ij = D_i, with
f_ij = a_ij max(0, l_i - g_ij - q_j). Putting these levels into the dual Psi of `equilibrium.py` leaves a concave
function of q alone, once differentiable and piecewise quadratic, whose gradient and Hessian are sums over users:

    gradient   x(q) - alpha q,          x_j(q) = sum_i f_ij,
    Hessian    -(diag(alpha) + J(q)),   J(q) = sum_i (diag(A_i) - A_i A_i^T / s_i),

A_i being the widths of the pairs that user i uses, s_i their sum. So a step of Newton's method is one map, every part's
loads and its m x m matrix at q (`parts.py`), and one sum. It ends after finitely many steps for the reason that
`equilibrium.py` gives; from `_FULL_STEPS` on each is halved until the function still rises at its end. By L10 of
`docs/mathematics.md` no provider's congestion is farther off than max_j |x_j - alpha_j q_j| / alpha_j.

A part's answer depends on the decisions and q alone. What a lost worker held is read anew, and its answer to this one
step is asked for again; there is nothing else to lose. A search begins at the equilibrium of some users in place of
all.

Cost of a step for a part of n users who use k providers each: n m to see who may be used, n k^2 for the matrix; memory:
the offsets, and a few times a block of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from math import isinf
from operator import add
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from prillm_or.errors import ConvergenceError
from prillm_or.market.market import Array, Market
from prillm_or.result import Certificate
from prillm_or.users.certificate import certified, is_certified, worst
from prillm_or.users.equilibrium import ROUNDING, Equilibrium, solve_users
from prillm_or.users.parts import Answer, Outline, Part
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.reach import reach_from
from prillm_or.users.slopes import load_slopes

_log = logging.getLogger(__name__)

_FULL_STEPS = 20
_MOST_STEPS = 200
_ENOUGH = 1e-9
_SHORTEST = 1e-9

Each = Callable[..., Iterable[Any]]
"""Calls a function of a part, and of what else it is given, for each part of a market, whoever holds them."""


@dataclass(frozen=True, eq=False)
class SplitUsers:
    """The users of a market, in parts.

    Parameters
    ----------
    head
        Some users in place of all.
    each
        See there.
    seen
        Decisions and congestion at the equilibria found so far.
    """

    head: Market
    each: Each
    seen: list[tuple[Array, Array]] = field(default_factory=list)

    @cached_property
    def outline(self) -> Outline:
        """Of all users."""
        found: Outline = reduce(add, self.each(Part.outline))
        return found

    @cached_property
    def few(self) -> UserProblem:
        """Those in place of all."""
        return user_problem(self.head)

    @property
    def capacity(self) -> Array:
        """See `UserProblem`."""
        return self.few.capacity

    @property
    def congested(self) -> bool:
        """See `UserProblem`."""
        return not isinf(self.capacity.item(0))

    @property
    def decided(self) -> tuple[int, ...]:
        """See `UserProblem`."""
        return self.few.decided

    @property
    def stiffness(self) -> float:
        """See `UserProblem`."""
        return self.outline.stiffness

    @property
    def fastest(self) -> float:
        """See `UserProblem`."""
        return self.outline.most

    @property
    def alike(self) -> bool:
        """See `UserProblem`."""
        return self.outline.least == self.outline.most

    def width_of(self, j: int) -> float:
        """See `UserProblem`."""
        return float(self.outline.width[j])

    def answer(self, decisions: Array, congestion: Array) -> Answer:
        """That of all users."""
        found: Answer = reduce(add, self.each(Part.answer, decisions, congestion))
        return found


@dataclass(frozen=True, eq=False)
class SplitEquilibrium:
    """Who is used by how much, once no user gains by moving; flows are left with those who hold the users.

    Parameters
    ----------
    users
        Whose equilibrium it is.
    prices, congestion
        As of `Equilibrium`.
    answer
        What users answer there, but for `slope`, which many equilibria would fill a memory with.
    load_slopes
        Shape (k, k): derivatives of `by_decision` by the decisions; see `slopes.py`.
    """

    users: SplitUsers
    prices: Array
    congestion: Array
    answer: Answer
    load_slopes: Array

    @property
    def load(self) -> Array:
        """Loads, shape (m,), volume units."""
        return self.answer.load

    @property
    def billed(self) -> Array:
        """The loads: one price a provider."""
        return self.answer.load

    @property
    def by_decision(self) -> Array:
        """Loads that each decision is the price of, shape (k,)."""
        return self.load[list(self.users.decided)]

    @property
    def beside(self) -> float:
        """Nothing is earned besides."""
        return 0.0

    @property
    def noise(self) -> float:
        """See `Equilibrium`."""
        return _noise(self.answer, self.congestion)

    def width_of(self, j: int) -> float:
        """Sum of the widths of provider j's users."""
        return float(self.answer.width[j])

    @cached_property
    def certificate(self) -> Certificate:
        """That of all flows, as every part finds it of its users' beside the loads of all.

        Raises
        ------
        ConvergenceError
            When they are not the users' equilibrium.
        """
        given = (self.prices, self.congestion, self.load)
        checked, loads = zip(*self.users.each(Part.certificate, *given), strict=True)
        # Loads that are not what the flows come to would make each part's certificate one of something else.
        missed = float(np.abs(np.sum(loads, axis=0) - self.load).sum() / self.load.sum())
        found = worst([*checked, Certificate(missed, 0.0)])
        if not is_certified(found):
            raise ConvergenceError(
                f"{self.users.head.name}: what was found is not the users' equilibrium: KKT residual "
                f"{found.kkt_residual:.1e}, regret {found.max_regret:.1e}"
            )
        return found


def solve_split(users: SplitUsers, decisions: ArrayLike, near: Array | None = None) -> SplitEquilibrium:
    """Find the equilibrium at the leader's decisions, shape (k,), by Newton's method on the congestion.

    Parameters
    ----------
    near
        A guess of the congestion, shape (m,).

    Raises
    ------
    ConvergenceError
        When it cannot be settled in double precision.
    """
    prices = np.array(decisions, dtype=np.float64)
    congestion = np.zeros_like(users.capacity)
    if not users.congested:
        return _settled(users, prices, congestion, users.answer(prices, congestion))
    congestion = _guess(users, prices) if near is None else near
    found, off = _looked(users, prices, congestion)
    for number in range(_MOST_STEPS):
        # A load is a sum over a provider's users, rounded as often: mostly by the root of their number, all at worst.
        noise, most = _noise(found, congestion), max(1.0, float((found.width / users.capacity).max()))
        if off <= noise * most**0.5:
            return _settled(users, prices, congestion, found)
        step = _solved(users, found, found.load - users.capacity * congestion)
        ahead, after, left = _ahead(users, prices, congestion, step, number >= _FULL_STEPS)
        if left > off / 2 and off <= noise * most:
            return _settled(users, prices, congestion, found)
        congestion, found, off = ahead, after, left
        _log.info("equilibrium: step %d, %.1e off", number + 1, off)
    raise ConvergenceError(f"{users.head.name}: the users' equilibrium did not settle in {_MOST_STEPS} Newton steps")


def _settled(users: SplitUsers, prices: Array, congestion: Array, found: Answer) -> SplitEquilibrium:
    users.seen.append((prices, congestion))
    slopes = users.capacity[:, None] * _solved(users, found, found.pull) if users.congested else found.pull
    kept = replace(found, slope=np.empty((0, 0)))
    return SplitEquilibrium(users, prices, congestion, kept, slopes[list(users.decided)])


def _noise(found: Answer, congestion: Array) -> float:
    """The largest slack that may be rounding."""
    return ROUNDING * (found.level + float(np.abs(congestion).max()))


def _guess(users: SplitUsers, prices: Array) -> Array:
    """Congestion by what the users in place of all tell: how it changes from an equilibrium that was found, if any."""
    guess = solve_users(users.few, prices).congestion
    if not users.seen:
        return guess
    before, congestion = min(users.seen, key=lambda seen: float(np.abs(seen[0] - prices).max()))
    return congestion + guess - solve_users(users.few, before).congestion


def _solved(users: SplitUsers, found: Answer, right: Array) -> Array:
    """Solve the system that is left of K with the users eliminated."""
    try:
        return np.asarray(np.linalg.solve(np.diag(users.capacity) + found.slope, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise ConvergenceError(f"{users.head.name}: a linear system is singular: scales too far apart") from None


def _looked(users: SplitUsers, prices: Array, congestion: Array) -> tuple[Answer, float]:
    """What all answer, and how far the congestion may be from the equilibrium's (L10)."""
    found = users.answer(prices, congestion)
    return found, float(np.abs(found.load / users.capacity - congestion).max())


def _ahead(
    users: SplitUsers, prices: Array, congestion: Array, step: Array, damped: bool
) -> tuple[Array, Answer, float]:
    """Go a step, or as far as 1/2, 1/4, ... of it, to where the function still rises; see `equilibrium.py`."""
    length = 1.0
    while True:
        ahead = congestion + length * step
        found, off = _looked(users, prices, ahead)
        excess = found.load - users.capacity * ahead
        rounding = _ENOUGH * float(np.abs(users.capacity * step) @ np.abs(step))
        if not damped or excess @ step >= -rounding or length < _SHORTEST:
            return ahead, found, off
        length /= 2


# What is asked of users, whether they are in parts or not.

AnyUsers = UserProblem | SplitUsers
AnyEquilibrium = Equilibrium | SplitEquilibrium


def equilibrium_of(users: AnyUsers, decisions: ArrayLike, near: AnyEquilibrium | Array | None = None) -> AnyEquilibrium:
    """See `solve_users`."""
    if isinstance(users, SplitUsers):
        return solve_split(users, decisions, near if isinstance(near, np.ndarray) else None)
    assert not isinstance(near, SplitEquilibrium)
    return solve_users(users, decisions, near)


def same_support(one: AnyEquilibrium, other: AnyEquilibrium) -> bool:
    """Whether the same pairs are in use at two equilibria of the same users."""
    if isinstance(one, SplitEquilibrium) and isinstance(other, SplitEquilibrium):
        return one.answer.support == other.answer.support
    assert isinstance(one, Equilibrium)
    assert isinstance(other, Equilibrium)
    return np.array_equal(one.support, other.support)


def reach_at(found: AnyEquilibrium) -> Array:
    """The reach of each decision, shape (k,), at an equilibrium where nobody uses the leader."""
    return found.answer.reach if isinstance(found, SplitEquilibrium) else reach_from(found.users, found.level)


def slopes_at(found: AnyEquilibrium) -> Array:
    """See `load_slopes`."""
    return found.load_slopes if isinstance(found, SplitEquilibrium) else load_slopes(found.users, found.laplacian)


def certified_at(market: Market, found: AnyEquilibrium) -> Certificate:
    """See `certified`."""
    return found.certificate if isinstance(found, SplitEquilibrium) else certified(market, found.prices, found.flow)
