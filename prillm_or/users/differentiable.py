r"""Users' equilibria of many days at once as a torch layer: flows out, exact gradients back.

Day t has offsets g_ij, capacities alpha_j and demands D_i. A user with its own weights enters by its offsets alone:
divide its costs by w_q,i, which changes no best response, and

    g_ij = (w_p,i p_j + w_d,i d_ij - b_j) / w_q,i         with the same slope 1/alpha_j for all users, and the width
    1/a_ij = 1/(alpha_j count_i) + s_ij / (w_q,i D_i)     of its own flow, alpha_j where users are one each and have no
                                                          dispersion;

autograd carries the gradient on from g to the weights and the values. Days may be any markets of one shape, such as a
small market at many prices. In scaled money the equilibrium on a support S (the pairs in use) is, with multipliers
lambda_i, congestion q_j = x_j / alpha_j, slacks t_ij = lambda_i - g_ij - q_j,

    f_ij = A_ij t_ij,    A_ij = a_ij on S, else 0,    sum_j f_ij = D_i,    sum_i f_ij = alpha_j q_j,

two blocks of equations whose matrix is the grounded Laplacian K of `laplacian.py`. Without congestion alpha is infinite
and q = 0.

**Forward.** The semismooth Newton method of `equilibrium.py`, all days at once: solve K on the support at hand; the
pairs with positive slack are the next support; it is the right one when no sign changes, but for rounding. Days that
settled leave the batch. A day that full steps do not settle in `_MOST_STEPS` goes to `solve_users`, which damps them.

**Backward.** Where no slack is zero the support stands still, so S may be held. Let L be a function of the flows, and
G_ij = dL/df_ij on S. Differentiating both blocks,

    K (d lambda, d q) = (d D + (A o d g) 1 - (T o d a) 1,  -(A o d g)^T 1 + (T o d a)^T 1 - q d alpha),

with T_ij = t_ij on S, else 0. And

    d L = sum_ij G_ij A_ij (d lambda_i - d g_ij - d q_j) + sum_ij G_ij T_ij d a_ij.

K is symmetric, so one adjoint solve, K (y, z) = ((A o G) 1, -(A o G)^T 1), gives all of it:

    dL/dD_i = y_i,                      dL/dg_ij = A_ij (y_i - z_j - G_ij),
    dL/dalpha_j = -z_j q_j,             dL/da_ij = T_ij (G_ij - y_i + z_j).

Where a_ij is alpha_j both add up to dL/dalpha_j = sum_i T_ij (G_ij - y_i), as sum_i T_ij = q_j there.

It reads as an equilibrium of its own: df/dg is symmetric, so dL/dg is how the flows answer when G is added to the
offsets. The factor of K is the one that the last Newton step made, so that a gradient costs a few products more than
the equilibrium. At a kink, where some slack is zero, we get the derivative of one adjacent piece; which one depends on
where the search came from.

**Forward derivatives**, of all flows by a few parameters, are the same equations read the other way: for offsets that
change by d g,

    d f_ij = A_ij (d lambda_i - d g_ij - d q_j),       K (d lambda, d q) = ((A o d g) 1, -(A o d g)^T 1).

A change of a width moves the marginal cost of a flow by f_ij d(1/a_ij), and so the flows as that change of g_ij does.

Cost of a step for each day: n m min(n, m) + min(n, m)^3 / 3; of derivatives by P parameters: P (n m + min(n, m)^2).

References: Qi, Sun, "A nonsmooth version of Newton's method", Mathematical Programming 58 (1993) 353-367, doi
10.1007/BF01581275. Implicit derivatives of a quadratic programme: Amos, Kolter, "OptNet", ICML 2017, arXiv 1703.00443.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import bare_users

_GUESS_ROUNDS = 2
_MOST_STEPS = 15
_ROUNDING = 64


@dataclass
class Warm:
    """Where the next call on the same days starts: the supports that the last one found. Empty at first.

    Parameters
    ----------
    support
        Shape (T, n, m); every call it is handed to replaces it.
    """

    support: Tensor | None = None


def equilibrium_flows(
    offsets: Tensor,
    capacity: Tensor,
    demand: Tensor,
    offered: Tensor | None = None,
    present: Tensor | None = None,
    warm: Warm | None = None,
    width: Tensor | None = None,
) -> Tensor:
    """Find the users' flows on T days; differentiable (once) by offsets, capacity, demand and width.

    Parameters and errors as of `settle`; the gradients of entries that are not read are 0. A NaN price would turn the
    gradient of its weight into NaN, so put a number there.

    Returns
    -------
    flow
        Shape (T, n, m), volume units.
    """
    flow: Tensor = _Flows.apply(offsets, capacity, demand, width, offered, present, warm)  # type: ignore[no-untyped-call]
    return flow


@dataclass(frozen=True, eq=False)
class Settled:
    """The users' equilibria of T days, and how they answer small changes.

    Parameters
    ----------
    flow
        Shape (T, n, m), volume units.
    capacity
        Shape (T, m), where nobody may use the provider 1, or infinite as all are.
    width
        Shape (T, n, m); None where widths are capacities.
    laplacians
        The linear systems on their supports.
    """

    flow: Tensor
    capacity: Tensor
    width: Tensor | None
    laplacians: _Laplacians

    @property
    def support(self) -> Tensor:
        """The pairs in use, shape (T, n, m)."""
        return self.laplacians.support

    def first(self, count: int) -> Settled:
        """Those of the first days alone, so many of them."""
        if count == len(self.flow):
            return self
        days = slice(count)
        capacity, width = self.capacity[days], None if self.width is None else self.width[days]
        laplacians = _Laplacians(self.support[days], capacity, capacity[:, None] if width is None else width)
        return Settled(self.flow[days], capacity, width, laplacians)

    def gradients(self, slope: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """By offsets, capacity, demand, width: gradients of a function whose gradient by flows is `slope` (T, n, m)."""
        pull = self.laplacians.weight * slope
        user, provider = self.laplacians.solve(pull.sum(2), -pull.sum(1))
        by_offsets = self.laplacians.weight * (user[..., None] - provider[:, None]) - pull
        if self.width is None:
            by_capacity = (self.flow / self.capacity[:, None] * (slope - user[..., None])).sum(1)
            return by_offsets, by_capacity, user, None
        by_capacity = -provider * self.flow.sum(1) / self.capacity
        by_width = self.flow / self.width * (slope - user[..., None] + provider[:, None])
        return by_offsets, by_capacity, user, by_width

    def changes(self, offsets: Tensor) -> Tensor:
        """How the flows change when the offsets do, both of shape (T, n, m, P), for P directions at once.

        A change of the widths is that of the offsets by flow x d(1 / width).
        """
        weight = self.laplacians.weight[..., None]
        pull = weight * offsets
        user, provider = self.laplacians.solve_all(pull.sum(2), -pull.sum(1))
        return weight * (user[:, :, None] - provider[:, None]) - pull


def settle(
    offsets: Tensor,
    capacity: Tensor,
    demand: Tensor,
    offered: Tensor | None = None,
    present: Tensor | None = None,
    warm: Warm | None = None,
    width: Tensor | None = None,
) -> Settled:
    """Find the users' equilibria on T days.

    Parameters
    ----------
    offsets
        Shape (T, n, m), scaled money per volume unit, float64: g of the module docstring, finite for pairs of a user
        present and a provider offered. Other entries are not read.
    capacity
        Shape (T, m), volume units per congestion unit, > 0 for providers offered; infinite, all of them, without
        congestion.
    demand
        Shape (T, n), volume units, > 0 for users present.
    offered
        Shape (T, m), which providers can be used that day; None for all.
    present
        Shape (T, n), which users there are that day; None for those with a demand > 0. A user who is absent has no
        flow, and all its gradients are 0.
    warm
        Start from the supports in it and leave the new ones there; None starts afresh.
    width
        Shape (T, n, m), flow per slack, a of the module docstring, finite and > 0 for pairs of a user present and a
        provider offered; None where it is the capacity.

    Raises
    ------
    ValueError
        When a user who is present is offered nothing, `warm` comes from days of another shape, or a number that is
        read is not finite.
    ConvergenceError
        When a day cannot be settled in double precision.
    """
    if present is None:
        present = demand > 0
    allowed = present[:, :, None].expand_as(offsets)
    if offered is not None:
        allowed = allowed & offered[:, None]
    if (present & ~allowed.any(-1)).any():
        raise ValueError("offered: a user with demand has no provider that day")
    if warm is not None and warm.support is not None and warm.support.shape != offsets.shape:
        raise ValueError(f"warm: expected days of shape {tuple(offsets.shape)}, got {tuple(warm.support.shape)}")
    days = _days(offsets, capacity, demand, allowed, width)
    support = _first_guess(days) if warm is None or warm.support is None else _mended(warm.support, days)
    step = _settle(days, support)
    if warm is not None:
        warm.support = step.laplacians.support
    return Settled(_polished(step, days), days.capacity, None if width is None else days.width, step.laplacians)


class _Flows(torch.autograd.Function):
    """Forward and backward of the module docstring."""

    @staticmethod
    def forward(
        ctx: Any,
        offsets: Tensor,
        capacity: Tensor,
        demand: Tensor,
        width: Tensor | None,
        offered: Tensor | None,
        present: Tensor | None,
        warm: Warm | None,
    ) -> Tensor:
        settled = settle(offsets, capacity, demand, offered, present, warm, width)
        ctx.settled = replace(settled, flow=settled.flow.clone())  # the flow handed out would hold on to its own graph
        return settled.flow

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        settled: Settled = ctx.settled
        return *settled.gradients(slope), None, None, None


@dataclass(frozen=True, eq=False)
class _Days:
    """What a forward pass works on.

    `cost` (T, n, m): offsets less each user's smallest, 0 where not allowed; a cost common to all of a user's choices
    changes nothing but rounding. `capacity` (T, m), 1 where nobody may use the provider, or infinite everywhere;
    `demand` (T, n), 0 for users who are absent; `allowed` (T, n, m); `width` (T, n, m), or (T, 1, m) of capacities.
    """

    cost: Tensor
    capacity: Tensor
    demand: Tensor
    allowed: Tensor
    width: Tensor

    def __getitem__(self, which: Tensor) -> _Days:
        parts = (self.cost, self.capacity, self.demand, self.allowed, self.width)
        return _Days(*(part[which] for part in parts))


def _days(offsets: Tensor, capacity: Tensor, demand: Tensor, allowed: Tensor, width: Tensor | None) -> _Days:
    least = torch.where(allowed, offsets, torch.inf).amin(2, keepdim=True)
    usable = allowed.any(1)
    free = bool((usable & capacity.isinf()).any())
    if free and (width is None or not capacity[usable].isinf().all()):
        raise ValueError("capacity: infinite ones go with widths, and with no other capacity")
    capacity = torch.where(usable, capacity, torch.inf if free else 1.0)
    return _Days(
        cost=torch.where(allowed, offsets - least, 0.0),
        capacity=capacity,
        demand=torch.where(allowed.any(2), demand, 0.0),
        allowed=allowed,
        width=capacity[:, None] if width is None else torch.where(allowed, width, 1.0),
    )


class _Laplacians:
    """K of `laplacian.py` on one support a day, factored once; users who are absent have 1 on the diagonal.

    With infinite capacities congestion is 0 whatever the right-hand side, and K that of the users alone.
    """

    def __init__(self, support: Tensor, capacity: Tensor, width: Tensor) -> None:
        self.support = support
        self.weight = support * width
        user = self.weight.sum(2)
        self._user = torch.where(user > 0, user, 1.0)
        self._free = bool(capacity.isinf().any())
        if self._free:
            return
        self._provider = capacity + self.weight.sum(1)
        self._by_provider = support.shape[2] <= support.shape[1]
        if self._by_provider:
            schur = torch.diag_embed(self._provider) - self.weight.mT @ (self.weight / self._user[..., None])
        else:
            schur = torch.diag_embed(self._user) - self.weight @ (self.weight / self._provider[:, None]).mT
        self._factor = torch.linalg.cholesky_ex(schur).L

    def solve(self, user: Tensor, provider: Tensor) -> tuple[Tensor, Tensor]:
        """Solve K (a, b) = (user, provider), shapes (T, n) and (T, m)."""
        a, b = self.solve_all(user[..., None], provider[..., None])
        return a.squeeze(2), b.squeeze(2)

    def solve_all(self, user: Tensor, provider: Tensor) -> tuple[Tensor, Tensor]:
        """Solve K (a, b) = (user, provider), shapes (T, n, P) and (T, m, P), eliminating the longer side."""
        own = self._user[..., None]
        if self._free:
            return user / own, torch.zeros_like(provider)
        theirs = self._provider[..., None]
        if self._by_provider:
            b = torch.cholesky_solve(provider + self.weight.mT @ (user / own), self._factor)
            return (user + self.weight @ b) / own, b
        a = torch.cholesky_solve(user + self.weight @ (provider / theirs), self._factor)
        return a, (provider + self.weight.mT @ a) / theirs


@dataclass(frozen=True, eq=False)
class _Step:
    """A Newton step on the supports of `laplacians`.

    `congestion` (T, m); `slack` (T, n, m), 0 where not allowed; `after` (T, n, m), where it is positive; `settled`
    (T,).
    """

    laplacians: _Laplacians
    congestion: Tensor
    slack: Tensor
    after: Tensor
    settled: Tensor


def _settle(days: _Days, support: Tensor) -> _Step:
    """The step on the right supports; days not settled at once are searched for on their own."""
    step = _step(days, support)
    if step.settled.all():
        return step
    wrong = ~step.settled
    support = support.clone()
    support[wrong] = _search(days[wrong], step.after[wrong])
    return _step(days, support)


def _search(days: _Days, support: Tensor) -> Tensor:
    """Supports (T, n, m) that settle every day."""
    unsettled = torch.arange(len(support), device=support.device)
    part = days
    for _ in range(_MOST_STEPS):
        step = _step(part, support[unsettled])
        wrong = ~step.settled
        unsettled, part = unsettled[wrong], part[wrong]
        if not len(unsettled):
            return support
        support[unsettled] = step.after[wrong]
    for day in unsettled.tolist():
        support[day] = _found_by_package(days, day)
    return support


def _step(days: _Days, support: Tensor) -> _Step:
    """Solve K on the supports. A NaN never settles."""
    laplacians = _Laplacians(support, days.capacity, days.width)
    weighted = laplacians.weight * days.cost
    level, congestion = laplacians.solve(days.demand + weighted.sum(2), -weighted.sum(1))
    slack = torch.where(days.allowed, level[..., None] - days.cost - congestion[:, None], 0.0)
    after = slack > 0
    changed = (slack * (after ^ support)).abs().flatten(1).amax(1)
    size = level.abs().amax(1) + congestion.abs().amax(1)
    settled = changed <= _ROUNDING * torch.finfo(slack.dtype).eps * size
    return _Step(laplacians, congestion, slack, after, settled)


def _polished(step: _Step, days: _Days) -> Tensor:
    """Flows (T, n, m) that meet the demands to the last digits: slacks are differences of large numbers."""
    laplacians, demand = step.laplacians, days.demand
    flow = torch.where(laplacians.support, days.width * step.slack, 0.0)
    missing = demand - flow.sum(2)
    if (missing.abs() > 1e-13 * demand).any():
        meant = torch.where(step.congestion == 0, 0.0, days.capacity * step.congestion)  # an infinite one has none
        level, change = laplacians.solve(missing, flow.sum(1) - meant)
        flow = flow + laplacians.weight * (level[..., None] - change[:, None])
    flow = flow.clamp(min=0.0)
    routed = flow.sum(2)
    return flow * (demand / torch.where(routed > 0, routed, 1.0))[..., None]


def _first_guess(days: _Days) -> Tensor:
    """Supports to start from: congestion as if all users were one, then each its own; see `_first_guess` there.

    The level of the one user is the smallest of those that it has with its k cheapest providers, k = 1..m. Users who
    are absent divide 0 by 0: a NaN compares as false, so that they use nothing.
    """
    n = days.cost.shape[1]
    total = days.width.sum(1) if days.width.shape[1] == n > 1 else n * days.width[:, 0]
    share = 1.0 / (1.0 + days.capacity / total)  # of the slack of a provider, that is congestion
    best = torch.where(days.allowed, days.cost, torch.inf).amin(1)
    floor, order = best.sort(1)
    width = (total * (1.0 - share)).gather(1, order)
    volume = days.demand.sum(1, keepdim=True)
    level = ((volume + (width * floor).cumsum(1)) / width.cumsum(1)).amin(1, keepdim=True)
    cost = days.cost + torch.where(best < level, share * (level - best), 0.0)[:, None]
    support = days.allowed
    for _ in range(1 + _GUESS_ROUNDS):
        weight = support * days.width
        level = (days.demand + (weight * cost).sum(2)) / weight.sum(2)
        support = days.allowed & (cost < level[..., None])
    return support


def _mended(support: Tensor, days: _Days) -> Tensor:
    """The supports of another call, as far as they are allowed; users left with nothing start from all they may use."""
    support = support & days.allowed
    return torch.where(support.any(2, keepdim=True), support, days.allowed)


def _found_by_package(days: _Days, day: int) -> Tensor:
    """The support of one day, shape (n, m), by the package's own damped Newton method."""
    numbers = (days.cost[day], days.width[day], days.demand[day])
    positive = bool((days.capacity[day] > 0).all() and (days.width[day] > 0).all())
    if not all(bool(part.isfinite().all()) for part in numbers) or not positive:
        what = "offsets, capacity, demand, width"
        raise ValueError(f"{what}: expected finite numbers, and a capacity and widths > 0 of what is offered")
    allowed = days.allowed[day].cpu().numpy()
    present, offered = allowed.any(1), allowed.any(0)
    users = bare_users(
        days.cost[day].cpu().numpy()[np.ix_(present, offered)],
        days.capacity[day].cpu().numpy()[offered],
        days.demand[day].cpu().numpy()[present],
        days.width[day].expand(allowed.shape).cpu().numpy()[np.ix_(present, offered)],
    )
    support = np.zeros_like(allowed)
    support[np.ix_(present, offered)] = solve_users(users, np.empty(0)).support
    return torch.from_numpy(support).to(days.cost.device)
