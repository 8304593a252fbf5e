r"""narrowing: many users, but few whose choice is open while costs stay within bounds; the rest answers in closed form.

At a congestion q user i's answer is its own: with c_ij = g_ij + q_j what a provider costs it before its own flow, it
uses all with c_ij < l_i, and f_ij = a_ij max(0, l_i - c_ij) sums to D_i at the level l_i. A level rises with each cost.
So where all that is known of the costs is low <= c <= high, a pair with high_ij < l_i(low) is in use, one with
low_ij >= l_i(high) is not, and a user is *settled* if this decides each of its pairs:

* with one provider in use, it is a load that stands still;
* with several, its flows are affine in costs: with A_ij the widths in use and s_i their sum, the loads of all of these
  fall with the costs of providers at the rates sum_i (diag(A_i) - A_i A_i^T / s_i), a Laplacian. So does that of one
  user for each two providers j and k, a *link*, that uses these alone, of width 2 sum_i A_ij A_ik / s_i on both.

What is left is a market of the open users and the links beside a load that stands still, x_j = fixed_j + x'_j: its
congestion q' = x' / alpha is q less fixed / alpha, which the offsets take up. While costs stay within the bounds its
equilibria are those of the whole; there is no approximation in it.

Bounds come from two sources: from any congestion, by how much the loads that answer it miss it (`docs/mathematics.md`,
L10); and from the equilibria at two prices, for all prices in between (L4), or as a guess that what is found confirms.

Cost: n m for each round of levels, of which there are as many as a user drops providers, at most m.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.market import Array, Mask
from prillm_or.users.problem import UserProblem
from prillm_or.users.threads import over_blocks

_MANY, _MANY_EACH = 500, 25
_SAMPLE = 8
_STIFF = 1e3
_ROOM = 4.0
_LEAST_SPAN = 1e-6

Costs = Callable[[slice], tuple[Array, Array]]
"""The bounds of a block of users: the least and the highest costs of their pairs, shapes (m, rows).

Blocks lie provider by provider here: sums over a few providers are many times as quick that way.
"""


def are_many(users: UserProblem) -> bool:
    """Whether users are so many beside providers that each alone hardly counts."""
    n, m = users.base.shape
    return bool(n >= max(_MANY, _MANY_EACH * m**2))


def respond(users: UserProblem, offsets: Array, congestion: Array) -> tuple[Mask, Array]:
    """Whom users choose at a congestion, shape (n, m), and the loads that come of it, shape (m,)."""
    support = np.empty(offsets.shape, dtype=np.bool_)

    def choose(block: slice) -> Array:
        cost, width = _costs(offsets, block, congestion), _widths(users, block)
        room = _levels(cost, width, users.demand[block]) - cost
        support[block] = (room > 0).T
        return np.asarray((width * np.maximum(room, 0.0)).sum(axis=1))

    load = np.sum(list(over_blocks(choose, offsets.shape)), axis=0)
    return support, load


def sample(users: UserProblem) -> UserProblem:
    """One user in eight, or fewer: more likely a larger one, for all the demand that it was drawn for."""
    n, total = len(users.demand), float(users.demand.sum())
    step = total * _SAMPLE / n
    drawn = np.searchsorted(np.cumsum(users.demand), np.arange(step / 2, total, step))
    kept, times = np.unique(np.minimum(drawn, n - 1), return_counts=True)
    some = _some(users, kept)
    demand = np.asarray(times * step, dtype=np.float64)
    more = (demand / some.demand)[:, None]
    width = users.width
    if width.ndim == 2:  # as of so many users, but not so many that the system is hard to solve
        width = np.minimum(more * some.width, np.maximum(some.width, _STIFF * users.capacity))
    return replace(some, demand=demand, width=width, fixed=np.zeros(len(users.capacity)))


def narrowed(users: UserProblem, costs: Costs, decisions: Array, congestion: Array) -> UserProblem:
    """The users whose choice bounds of their costs leave open, and what stands for the rest: links, and `fixed`.

    There may be none of either.

    Parameters
    ----------
    costs
        See there.
    decisions, congestion
        Shapes (k,) and (m,): a point within the bounds.
    """

    def sort(block: slice) -> tuple[NDArray[np.intp], NDArray[np.intp], Mask, Array, float]:
        low, high = costs(block)
        width, demand = _widths(users, block), users.demand[block]
        used = high < _levels(low, width, demand)
        usable = low < _levels(high, width, demand)
        choices = np.add.reduce(usable, axis=0, dtype=np.int32)
        alone = choices == 1
        tied = np.flatnonzero(np.logical_and.reduce(usable == used, axis=0) & (choices > 1))
        open_ = ~alone
        open_[tied] = False
        load = (usable & alone) @ demand
        return block.start + np.flatnonzero(open_), block.start + tied, used[:, tied].T, load, float((high - low).max())

    *sorted_out, loads, spans = zip(*over_blocks(sort, users.base.shape), strict=True)
    left, tied, used = map(np.concatenate, sorted_out)
    links = _links(users, tied, used, decisions, congestion, max(spans))
    if len(links.demand) > len(tied):  # users tell as much by themselves
        left, links = np.sort(np.concatenate([left, tied])), _some(users, tied[:0])
    fixed = np.sum(loads, axis=0) + links.fixed
    few = _joined(_some(users, left), links)
    return replace(few, base=few.base + fixed / users.capacity, fixed=users.fixed + fixed)


def _links(
    users: UserProblem, tied: NDArray[np.intp], used: Mask, decisions: Array, congestion: Array, span: float
) -> UserProblem:
    """What stands for users who stay with those they use, while no cost is off the point by more than `span`."""
    if not len(tied):
        return _some(users, tied)
    width = _width(users, tied) * used
    rho, total = users.sensitivity[tied], width.sum(axis=1)
    cost = users.base[tied] + congestion
    for j, rise, value in zip(users.decided, rho.T, decisions, strict=True):
        cost[:, j] += rise * value
    level = (users.demand[tied] + (width * cost).sum(axis=1)) / total
    load = (width * (level[:, None] - cost)).sum(axis=0)
    strength = width.T @ (width / total[:, None])
    ends = np.array(np.nonzero(np.triu(strength, 1))).T
    here, there = ends.T
    wide, rows = strength[here, there], np.arange(len(ends))[:, None]
    # A link splits its demand evenly at the point, where it pays `room`, so much that no cost within the bounds changes
    # whom it uses: its two providers cost it nothing there, and all others twice as much as it pays. Bounds that leave
    # costs next to no room would leave links next to no demand, and that no digits.
    room = _ROOM * max(span, _LEAST_SPAN * float(np.abs(cost).max()))
    pull = np.tile(rho.max(axis=0), (len(ends), 1))  # without meaning where it is not of the provider
    base = np.full((len(ends), len(congestion)), 2 * room) - congestion
    base[rows, ends] -= 2 * room
    for k, (j, rise) in enumerate(zip(users.decided, rho.T, strict=True)):
        mine = (ends == j).any(axis=1)
        felt = width.T @ (width * (rise / total)[:, None])
        pull[mine, k] = np.clip(felt[here, there][mine] / wide[mine], rise.min(), rise.max())
        base[mine, j] -= pull[mine, k] * decisions[k]
    demand = 4 * wide * room
    for j in ends.T:
        load -= np.bincount(j, demand / 2, minlength=len(congestion))
    own = np.repeat(2 * wide[:, None], len(congestion), axis=1)
    return replace(_bare(users, base, pull, demand, own), fixed=load)


def _levels(cost: Array, width: Array, demand: Array) -> Array:
    """Level l of each user at which sum_j width_j max(0, l - cost_j) is its demand, shape (rows,)."""
    # From above: alone no provider takes the demand at a lower level; those that are too dear pull a level up, and are
    # left out one after the other (Michelot's algorithm).
    level = (cost + demand / width).min(axis=0)
    used = cost < level
    while True:
        weight, before = used * width, used
        taken, asked = weight.sum(axis=0), demand + (weight * cost).sum(axis=0)
        np.divide(asked, taken, out=level, where=taken > 0)  # none is used where a demand is lost in rounding
        used = before & (cost < level)  # fewer each time, whatever rounding does
        if np.array_equal(used, before):
            return np.asarray(level)


def _costs(offsets: Array, block: slice, added: Array) -> Array:
    """Offsets of a block of users and what providers cost besides, provider by provider."""
    return np.add(offsets[block].T, added[:, None], order="C")


def _widths(users: UserProblem, block: slice) -> Array:
    """Widths of a block of users, provider by provider, or what broadcasts to them."""
    return users.width[:, None] if users.width.ndim == 1 else np.ascontiguousarray(users.width[block].T)


def _width(users: UserProblem, rows: slice | NDArray[np.intp]) -> Array:
    return users.width if users.width.ndim == 1 else users.width[rows]


def _some(users: UserProblem, kept: NDArray[np.intp]) -> UserProblem:
    """Some of the users, without the rest."""
    return _bare(users, users.base[kept], users.sensitivity[kept], users.demand[kept], _width(users, kept))


def _joined(users: UserProblem, others: UserProblem) -> UserProblem:
    """Both."""
    if not len(others.demand):
        return users
    width = np.broadcast_to(users.width, users.base.shape)
    return _bare(
        users,
        np.concatenate([users.base, others.base]),
        np.concatenate([users.sensitivity, others.sensitivity]),
        np.concatenate([users.demand, others.demand]),
        np.concatenate([width, others.width]),
    )


def _bare(users: UserProblem, base: Array, sensitivity: Array, demand: Array, width: Array) -> UserProblem:
    """Users of the same providers, with nothing but what loads depend on."""
    n = len(demand)
    return replace(
        users,
        base=base,
        shift=np.zeros(n),
        sensitivity=sensitivity,
        demand=demand,
        scale=np.ones(n),
        width=width,
        tariff=None,
        market=None,
        fixed=0.0,
    )


def costs_around(offsets: Array, congestion: Array, off: float) -> Costs:
    """Bounds where congestion is off by no more than told (L10)."""
    return lambda block: (_costs(offsets, block, congestion - off), _costs(offsets, block, congestion + off))


def costs_between(
    users: UserProblem, decisions: tuple[Array, Array], congestions: tuple[Array, Array], off: float = 0.0
) -> Costs:
    """Bounds between two points, and a little beyond: what the one and the other make of each pair's costs."""

    def costs(block: slice) -> tuple[Array, Array]:
        both = [_costs(users.base, block, congestion) for congestion in congestions]
        for cost, values in zip(both, decisions, strict=True):
            for j, rise, value in zip(users.decided, users.sensitivity[block].T, values, strict=True):
                cost[j] += rise * value
        return np.minimum(*both) - off, np.maximum(*both) + off

    return costs
