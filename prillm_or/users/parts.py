"""parts: what the users of one part of a market answer at decisions and a congestion, by themselves; see `split.py`.

A part keeps the offsets and widths of its users, and nothing that an answer leaves behind: sent to another process, or
lost with it, it is read anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, reduce
from hashlib import blake2b
from operator import add
from typing import Any

import numpy as np

from prillm_or.errors import ConvergenceError
from prillm_or.files.split_markets import Rows
from prillm_or.market.market import Array, Mask
from prillm_or.result import Certificate
from prillm_or.users.certificate import certify, worst
from prillm_or.users.digits import serve_all
from prillm_or.users.equilibrium import rest
from prillm_or.users.pairs import Pairs, pairs_of
from prillm_or.users.problem import UserProblem, ample_provider, user_problem
from prillm_or.users.reach import reach_from
from prillm_or.users.threads import over_blocks


@dataclass(frozen=True, eq=False)
class Answer:
    """What users answer at decisions and a congestion; that of several parts is the sum of theirs.

    Parameters
    ----------
    load
        Shape (m,), volume units.
    slope
        Shape (m, m): J, by how much loads fall with congestion.
    pull
        Shape (m, k): derivatives of the loads by the decisions, congestion standing still.
    width
        Shape (m,): sums of the widths in use.
    alone
        Shape (m,): loads of users who use none of the leader's rivals.
    reach
        Shape (k,): the reach of each decision, where nobody uses the leader; see `reach.py`.
    level
        The largest one, in scaled money.
    support
        For each block of users a digest of whom they use.
    """

    load: Array
    slope: Array
    pull: Array
    width: Array
    alone: Array
    reach: Array
    level: float
    support: tuple[bytes, ...]

    def __add__(self, other: Answer) -> Answer:
        return Answer(
            self.load + other.load,
            self.slope + other.slope,
            self.pull + other.pull,
            self.width + other.width,
            self.alone + other.alone,
            np.maximum(self.reach, other.reach),
            max(self.level, other.level),
            self.support + other.support,
        )


@dataclass(frozen=True)
class Outline:
    """What is asked of users once: extremes of rho, the largest stiffness, sums of widths by provider, shape (m,)."""

    least: float
    most: float
    stiffness: float
    width: Array

    def __add__(self, other: Outline) -> Outline:
        return Outline(
            min(self.least, other.least),
            max(self.most, other.most),
            max(self.stiffness, other.stiffness),
            self.width + other.width,
        )


class Part:
    """Some users of a market, in blocks. Sent to another process, it is made anew there.

    Parameters
    ----------
    rows
        Who they are.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __getstate__(self) -> dict[str, Any]:
        return {"_rows": self._rows}

    @cached_property
    def _blocks(self) -> list[UserProblem]:
        # Without the market, whose delays lie in the file: the certificate reads them anew.
        return [replace(user_problem(rows.market()), market=None) for rows in self._rows.blocks()]

    def outline(self) -> Outline:
        """See there."""
        return reduce(add, map(_outline, self._blocks))

    def answer(self, decisions: Array, congestion: Array) -> Answer:
        """See there; `decisions` and `congestion` have shapes (k,) and (m,)."""
        return reduce(add, (answer(users, decisions, congestion) for users in self._blocks))

    def certificate(self, decisions: Array, congestion: Array, load: Array) -> tuple[Certificate, Array]:
        """That of these users' flows beside loads of all, shape (m,), and the loads that their flows come to."""
        checked, own = [], np.zeros_like(load)
        for rows, users in zip(self._rows.blocks(), self._blocks, strict=True):
            routed = _flows(users, users.offsets(decisions), congestion)
            whole = routed.pairs.matrix(routed.flow)
            checked.append(certify(rows.market(), decisions, whole, load))
            own += whole.sum(axis=0)
        return worst(checked), own


def answer(users: UserProblem, decisions: Array, congestion: Array) -> Answer:
    """What some users of a market answer at decisions and a congestion; see `Answer`."""
    offsets = users.offsets(decisions)
    routed = _flows(users, offsets, congestion)
    pairs, weight, flow = routed.pairs, routed.weight, routed.flow
    total, width = pairs.sums(weight)
    slope = pairs.gram(weight, -1.0 / total)
    np.einsum("ii->i", slope)[:] += width
    pull = np.zeros((len(congestion), len(users.decided)))
    for k, j in enumerate(users.decided):
        own = pairs.column(weight, j) * users.sensitivity[:, k]
        pull[:, k] = pairs.times_users(own / total, weight)
        pull[j, k] -= own.sum()
    rivals = np.ones(len(congestion))
    rivals[list(users.leader)] = 0.0
    captive = (pairs.times(flow, rivals) == 0).astype(np.float64)
    used = np.flatnonzero(pairs.mask(weight))
    return Answer(
        load=pairs.sums(flow)[1],
        slope=slope,
        pull=pull,
        width=width,
        alone=pairs.times_users(captive, flow),
        reach=reach_from(users, routed.level),
        level=float(np.abs(routed.level).max()),
        support=(blake2b(used.tobytes(), digest_size=16).digest(),),
    )


@dataclass(frozen=True, eq=False)
class _Flows:
    """What users route at a congestion: levels, shape (n,), and on the pairs in use their widths and flows."""

    level: Array
    pairs: Pairs
    weight: Array
    flow: Array


def _flows(users: UserProblem, offsets: Array, congestion: Array) -> _Flows:
    level, support = _chosen(users, offsets, congestion)
    pairs = pairs_of(support)
    weight = np.asarray(pairs.take(support) * pairs.spread(users.width))
    flow = weight * np.maximum(pairs.of_users(level) - pairs.take(offsets) - pairs.of_providers(congestion), 0.0)
    if (ample := ample_provider(users)) is not None:
        # Its slack is lost in rounding: it gets what others leave.
        left = np.maximum(rest(pairs, flow, ample, users.demand), 0.0)
        pairs.lower(flow, ample, pairs.column(flow, ample) - left * (pairs.column(weight, ample) > 0))
    routed, _ = pairs.sums(flow)
    if not routed.all():
        raise ConvergenceError(f"{users.name}: demands are beyond double precision: scales too far apart")
    return _Flows(level, pairs, weight, flow * pairs.of_users(users.demand / routed))


def _chosen(users: UserProblem, offsets: Array, congestion: Array) -> tuple[Array, Mask]:
    """Levels at a congestion, shape (n,), and the pairs in use, shape (n, m)."""
    pairs, ones = pairs_of(_usable(users, offsets, congestion)), np.ones(len(congestion))
    cost, width = pairs.take(offsets) + pairs.of_providers(congestion), pairs.spread(users.width)
    used: Mask = np.ones(cost.shape, dtype=np.bool_)
    # From above: pairs that are too dear pull a level up, and are left out one after the other (Michelot's algorithm).
    while True:
        weight = used * width
        level = (users.demand + pairs.times(weight * cost, ones)) / pairs.times(weight, ones)
        fewer = used & (cost < pairs.of_users(level))
        lost = pairs.times(fewer.astype(np.float64), ones) == 0  # demands that are lost in rounding, but go somewhere
        fewer |= used & (pairs.of_users(lost.astype(np.float64)) > 0)
        if np.array_equal(fewer, used):
            return level, pairs.mask(weight)
        used = fewer


def _usable(users: UserProblem, offsets: Array, congestion: Array) -> Mask:
    """Pairs that may be in use: cheaper than what a user pays who sends all where that costs least, shape (n, m)."""
    usable, width = np.empty(offsets.shape, dtype=np.bool_), users.width

    def look(block: slice) -> None:
        cost = offsets[block] + congestion
        alone = users.demand[block, None] / (width if width.ndim == 1 else width[block])
        np.less(cost, (cost + alone).min(axis=1)[:, None], out=usable[block])

    for _ in over_blocks(look, offsets.shape):
        pass
    return serve_all(usable, offsets, congestion)


def _outline(users: UserProblem) -> Outline:
    width = users.width.sum(axis=0) if users.width.ndim == 2 else len(users.demand) * users.width
    rho = users.sensitivity
    return Outline(float(rho.min()), float(rho.max()), users.stiffness, width)
