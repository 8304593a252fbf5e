r"""Equilibria of many small markets at once, with exact derivatives.

n users and k providers, k small; g_ij offsets in scaled money (`users/equilibrium.py`), alpha_j capacities, D_i
demands, and the unknowns lambda_i (levels) and q_j (congestion, q_j = x_j / alpha_j). On a support S (the pairs in use)

    lambda_i = (D_i + sum_{j in S_i} alpha_j (g_ij + q_j)) / A_i,       A_i = sum_{j in S_i} alpha_j,
    q_j      = sum_{i in S^j} (lambda_i - g_ij - q_j),

where S_i are the providers of user i and S^j the users of provider j. Putting the first line into the second leaves a
k x k system M q = r, the Schur complement of `users/laplacian.py`'s K, symmetric and positive definite:

    M = diag(alpha_j (1 + |S^j|)) - sum_i a_i a_i^T / A_i,               a_ij = alpha_j on S, else 0,
    r_j = sum_i a_ij ((D_i + sum_l a_il g_il) / A_i - g_ij).

**Forward**, without derivatives. With G(q) the maximum over lambda of the dual Psi of `users/equilibrium.py`, -G is
strongly convex, once differentiable and piecewise quadratic in q, and lambda(q) is each user's water level over g_ij +
q_j. We take semismooth Newton steps on q: solve M q = r on the support at hand, then fill each user anew at that q; who
gets something is the next support. It is the right one when every slack t_ij = lambda_i - g_ij - q_j has the sign that
the support says, within rounding: then (lambda, q) solves the whole KKT system. The start is the congestion as if all
users were one. After `_FULL_ROUNDS` full steps each is halved until G still rises at its end, which makes the method
globally convergent. Problems that settled leave the batch; any left after `_MOST_ROUNDS` rounds goes to `solve_users`.

**Backward**. Near a point where no slack is zero the support stands still, so there the solution of M q = r, S held,
*is* the equilibrium as a function of (g, alpha, D). We therefore solve this one system again, derivatives recorded.
Autograd then gives dq = M^-1 (dr - dM q): the implicit function theorem on the active set, one more solve with M and
no iterations unrolled. At a kink we get the derivative of one adjacent piece.

Cost of a round: n k^2 + k^3 for each problem not settled.

References: Qi, Sun, "A nonsmooth version of Newton's method", Mathematical Programming 58 (1993) 353-367, doi
10.1007/BF01581275. Water-filling by leaving out who gets nothing: Michelot, Journal of Optimization Theory and
Applications 50 (1986) 195-200, doi 10.1007/BF00938486. Implicit derivatives of a quadratic programme: Amos, Kolter,
"OptNet", ICML 2017, arXiv 1703.00443.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prillm_or.users.equilibrium import UserProblem, solve_users

_FULL_ROUNDS = 5
_MOST_ROUNDS = 60
_MOST_HALVINGS = 30
_ROUNDING = 64


@dataclass(frozen=True, eq=False)
class SmallEquilibria:
    """Equilibria of a batch.

    Parameters
    ----------
    load
        Shape (B, k), volume units.
    flow
        Shape (B, n, k), volume units; zero for users who are padding.
    """

    load: Tensor
    flow: Tensor


@dataclass(frozen=True, eq=False)
class _Problems:
    """A batch with users last, which is where the arithmetic is fastest.

    `cost` (B, k, n) holds the offsets less each user's smallest; `capacity` is (B, k), `demand` and `present` (B, n).
    """

    cost: Tensor
    capacity: Tensor
    demand: Tensor
    present: Tensor

    def __getitem__(self, which: Tensor) -> _Problems:
        return _Problems(self.cost[which], self.capacity[which], self.demand[which], self.present[which])


def small_equilibria(
    offsets: Tensor, capacity: Tensor, demand: Tensor, present: Tensor | None = None
) -> SmallEquilibria:
    """Find the users' equilibria of B small markets; differentiable by offsets, capacity and demand.

    Parameters
    ----------
    offsets
        Shape (B, n, k), finite, scaled money per volume unit: the leader's price included. Float64 for exact answers.
    capacity
        Shape (B, k), volume units per congestion unit, > 0.
    demand
        Shape (B, n), volume units, > 0 for users who are present.
    present
        Shape (B, n), false where a user is padding; None where nobody is.

    Raises
    ------
    ConvergenceError
        When a problem cannot be settled in double precision.
    """
    if present is None:
        present = torch.ones_like(demand, dtype=torch.bool)
    # A cost common to all of a user's choices changes no congestion, so its derivative may be left out as well.
    cost = torch.where(present[..., None], offsets - offsets.detach().amin(-1, keepdim=True), 0.0)
    problems = _Problems(cost.mT.contiguous(), capacity, torch.where(present, demand, 0.0), present)
    with torch.no_grad():
        support = _find_support(problems)
    level, congestion = _solve(problems, support)
    slack = level[:, None] - problems.cost - congestion[..., None]
    flow = support * capacity[..., None] * slack.clamp(min=0.0)
    return SmallEquilibria(load=capacity * congestion, flow=flow.mT)


def _find_support(problems: _Problems) -> Tensor:
    """Pairs in use, shape (B, k, n)."""
    point = _first_congestion(problems)
    support = _fill(problems, point)[0]
    unsettled = torch.arange(len(support), device=support.device)
    for number in range(_MOST_ROUNDS):
        part, held = problems[unsettled], support[unsettled]
        level, congestion = _solve(part, held)
        wrong = _is_wrong(part, held, level, congestion)
        unsettled, part, congestion = unsettled[wrong], part[wrong], congestion[wrong]
        if not len(unsettled):
            return support
        if number >= _FULL_ROUNDS:
            congestion = _damped(part, point[unsettled], congestion)
        point[unsettled] = congestion
        support[unsettled] = _fill(part, congestion)[0]
    for which in unsettled.tolist():
        support[which] = _found_by_package(problems, which)
    return support


def _solve(problems: _Problems, support: Tensor) -> tuple[Tensor, Tensor]:
    """Levels (B, n) and congestion (B, k) on a support: the k x k system of the module docstring."""
    weight = support * problems.capacity[..., None]
    total = weight.sum(1)
    total = torch.where(total > 0, total, 1.0)  # padding has no provider
    weighted = weight * problems.cost
    asked = problems.demand + weighted.sum(1)
    share = weight / total[:, None]
    matrix = torch.diag_embed(problems.capacity + weight.sum(2)) - share @ weight.mT
    right = (share @ asked[..., None]).squeeze(-1) - weighted.sum(2)
    congestion = torch.linalg.solve(matrix, right)
    level = (asked + (congestion[:, None] @ weight).squeeze(1)) / total
    return level, congestion


def _is_wrong(problems: _Problems, support: Tensor, level: Tensor, congestion: Tensor) -> Tensor:
    """Whether some slack has another sign than the support says, by more than rounding; shape (B,)."""
    slack = level[:, None] - problems.cost - congestion[..., None]
    size = level.abs().amax(1) + congestion.abs().amax(1)
    noise = (_ROUNDING * torch.finfo(slack.dtype).eps * size)[:, None, None]
    wrong = torch.where(support, slack < -noise, slack > noise) & problems.present[:, None]
    return wrong.flatten(1).any(1)


def _damped(problems: _Problems, point: Tensor, target: Tensor) -> Tensor:
    """Congestion 1, 1/2, 1/4, ... of the way from `point` to `target`, the first where G still rises; shape (B, k).

    G is concave along the way, so this is at least half of the exact line search. Its slope by q_j is x_j - alpha_j q_j
    with x_j what users would send at that congestion.
    """
    way = target - point
    length = torch.ones_like(way[:, :1])
    for _ in range(_MOST_HALVINGS):
        congestion = point + length * way
        support, level = _fill(problems, congestion)
        sent = (support * (level[:, None] - problems.cost - congestion[..., None])).sum(2)
        slope = (problems.capacity * (sent - congestion) * way).sum(1, keepdim=True)
        if not (slope < 0).any():
            break
        length = torch.where(slope < 0, length / 2, length)
    return point + length * way


def _fill(problems: _Problems, congestion: Tensor) -> tuple[Tensor, Tensor]:
    """Who uses whom, shape (B, k, n), and levels (B, n) when each user fills its providers at this congestion.

    Michelot's method: fill all, leave out those above the level, until none is.
    """
    cost, capacity, present = problems.cost + congestion[..., None], problems.capacity[..., None], problems.present
    # A demand too small to raise the level above the cheapest in floating point still goes there.
    cheapest = (cost <= cost.amin(1, keepdim=True)) & present[:, None]
    support = present[:, None].expand_as(cost)
    for last in reversed(range(cost.shape[1])):
        weight = support * capacity
        total = torch.where(present, weight.sum(1), 1.0)
        level = (problems.demand + (weight * cost).sum(1)) / total
        if last:
            support = (support & (cost < level[:, None])) | cheapest
    return support, level


def _first_congestion(problems: _Problems) -> Tensor:
    """Congestion (B, k) as if all users were one at each provider's best offset; see `_first_guess` of the package.

    n equal users load provider j with alpha_j n/(n+1) max(0, l - h_j); the level l meets the total demand.
    """
    best = torch.where(problems.present[:, None], problems.cost, torch.inf).amin(2)
    count = problems.present.sum(1)
    share = (count / (count + 1.0))[:, None]
    volume = problems.demand.sum(1, keepdim=True)
    whole = _Problems(best[..., None], share * problems.capacity, volume, torch.ones_like(volume, dtype=torch.bool))
    level = _fill(whole, torch.zeros_like(best))[1]
    return share * (level - best).clamp(min=0.0)


def _found_by_package(problems: _Problems, number: int) -> Tensor:
    """The support of one problem, shape (k, n), by the package's own damped Newton method."""
    present = problems.present[number]
    offsets = problems.cost[number].mT[present].to("cpu", torch.float64).numpy()
    users = UserProblem(
        base=offsets,
        shift=np.zeros(len(offsets)),
        sensitivity=np.zeros(len(offsets)),
        capacity=problems.capacity[number].to("cpu", torch.float64).numpy(),
        demand=problems.demand[number][present].to("cpu", torch.float64).numpy(),
        leader=(0,),
        scale=np.ones(len(offsets)),
    )
    support = torch.zeros_like(problems.cost[number], dtype=torch.bool)
    found = solve_users(users, np.zeros(1)).support
    support[:, present] = torch.from_numpy(found.T.copy()).to(support.device)
    return support
