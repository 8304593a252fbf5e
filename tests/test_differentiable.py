"""Equilibria of many small markets at once: the package's own answers, and exact derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.markets import draw_market
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.users import differentiable
from prillm_or.users.differentiable import equilibrium_flows, settle
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import UserProblem, bare_users, user_problem

COUNT = 12


def problems_of(draw: Callable[[int], Market], whole_prices: bool = False) -> list[tuple[UserProblem, Array]]:
    """User problems of `COUNT` markets, each with a price."""
    rng = np.random.default_rng(3)
    markets = [draw(seed) for seed in range(COUNT)]
    prices = [rng.uniform(0, market.price_cap) for market in markets]
    return [(user_problem(m), np.round(p) if whole_prices else p) for m, p in zip(markets, prices, strict=True)]


def batch_of(problems: Sequence[tuple[UserProblem, Array]]) -> tuple[Tensor, Tensor, Tensor]:
    offsets = np.array([users.offsets(price) for users, price in problems])
    capacity, demand = np.array([u.capacity for u, _ in problems]), np.array([u.demand for u, _ in problems])
    return torch.from_numpy(offsets), torch.from_numpy(capacity), torch.from_numpy(demand)


def assert_agrees(flow: Tensor, problems: Sequence[tuple[UserProblem, Array]]) -> None:
    for number, (users, price) in enumerate(problems):
        expected, volume = solve_users(users, price), users.demand.sum()
        n = len(users.demand)
        load = flow[number].sum(0).numpy()
        np.testing.assert_allclose(load, expected.load, rtol=0, atol=1e-11 * volume)
        np.testing.assert_allclose(flow[number, :n].numpy(), expected.flow, rtol=0, atol=1e-11 * volume)


@pytest.mark.parametrize(("n", "k"), [(1, 2), (3, 3), (8, 4), (50, 3), (20, 6)])
def test_agrees_with_the_package(kind: str, n: int, k: int) -> None:
    problems = problems_of(lambda seed: draw_market(kind, n, k, seed), whole_prices=kind == "degenerate")
    assert_agrees(equilibrium_flows(*batch_of(problems)), problems)


def test_agrees_where_full_steps_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = problems_of(lambda seed: generate(50, 3, "market", seed + 40))
    assert_agrees(equilibrium_flows(*batch_of(problems)), problems)
    monkeypatch.setattr(differentiable, "_MOST_STEPS", 2)
    assert_agrees(equilibrium_flows(*batch_of(problems)), problems)


def test_what_does_not_settle_is_solved_by_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = problems_of(lambda seed: generate(10, 4, "heavy", seed))
    monkeypatch.setattr(differentiable, "_MOST_STEPS", 0)
    offsets, capacity, demand = batch_of(problems)
    present = torch.ones_like(demand, dtype=torch.bool)
    assert_agrees(equilibrium_flows(offsets, capacity, demand, present=present), problems)


def test_extreme_sizes() -> None:
    # One user far too small to be seen among the others, providers of very different capacity, huge common costs.
    rng = np.random.default_rng(0)
    demand = np.array([1e-12, 1.0, 1e3])
    users = [bare_users(rng.uniform(0, 5, (3, 4)), 10.0 ** rng.uniform(-4, 4, 4), demand) for _ in range(COUNT)]
    problems = [(one, np.empty(0)) for one in users]
    offsets, capacity, demands = batch_of(problems)
    assert_agrees(equilibrium_flows(offsets, capacity, demands), problems)
    far = equilibrium_flows(offsets + 1e3, capacity, demands).sum(1).numpy()
    np.testing.assert_allclose(far, equilibrium_flows(offsets, capacity, demands).sum(1).numpy(), rtol=1e-9)


def test_padded_users_change_nothing() -> None:
    sizes = [2, 5, 9]
    problems = [(user_problem(draw_market("weights", n, 3, 1)), np.ones(1)) for n in sizes]
    offsets, demand = torch.full((3, 9, 3), 7.0, dtype=torch.float64), torch.full((3, 9), 4.0, dtype=torch.float64)
    for number, (users, price) in enumerate(problems):
        offsets[number, : sizes[number]] = torch.tensor(users.offsets(price))
        demand[number, : sizes[number]] = torch.tensor(users.demand)
    capacity = torch.from_numpy(np.array([users.capacity for users, _ in problems]))
    present = torch.arange(9) < torch.tensor(sizes)[:, None]
    offsets.requires_grad_()
    flow = equilibrium_flows(offsets, capacity, demand, present=present)
    assert (flow[~present] == 0).all()
    flow.sum(1).square().sum().backward()  # type: ignore[no-untyped-call]
    assert offsets.grad is not None
    assert (offsets.grad[~present] == 0).all()
    assert_agrees(flow.detach(), problems)


@pytest.mark.parametrize(("k", "count"), [(2, 1), *(pytest.param(k, 4, marks=pytest.mark.slow) for k in (2, 3, 5))])
def test_derivatives(k: int, count: int) -> None:
    problems = problems_of(lambda seed: draw_market("weights", 4, k, seed))[:count]
    inputs = tuple(given.clone().requires_grad_() for given in batch_of(problems))

    def load_and_flow(offsets: Tensor, capacity: Tensor, demand: Tensor) -> tuple[Tensor, Tensor]:
        flow = equilibrium_flows(offsets, capacity, demand)
        return flow.sum(1), flow

    assert torch.autograd.gradcheck(load_and_flow, inputs, eps=1e-6, atol=1e-6)


@pytest.mark.parametrize(("n", "k"), [(3, 2), (20, 3), (50, 5)])
def test_loads_and_derivatives_are_those_of_the_system_of_providers_alone(kind: str, n: int, k: int) -> None:
    """The users eliminated, k equations for the congestion are left, and torch differentiates their solution."""
    problems = problems_of(lambda seed: draw_market(kind, n, k, seed))
    offsets, capacity, demand = inputs = tuple(given.requires_grad_() for given in batch_of(problems))
    weights = torch.rand(COUNT, k, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    cost = offsets - offsets.detach().amin(2, keepdim=True)
    used = settle(offsets.detach(), capacity.detach(), demand.detach()).support * capacity[:, None]
    share, asked = used / used.sum(2, keepdim=True), demand + (used * cost).sum(2)
    matrix = torch.diag_embed(capacity + used.sum(1)) - used.mT @ share
    right = (share.mT @ asked[..., None]).squeeze(2) - (used * cost).sum(1)
    expected = capacity * torch.linalg.solve(matrix, right)
    load = equilibrium_flows(offsets, capacity, demand).sum(1)
    off = (load - expected).detach().abs().amax(1) / demand.detach().sum(1)
    assert float(off.max()) < 1e-13
    ours, theirs = (torch.autograd.grad((weights * loads).sum(), inputs) for loads in (load, expected))
    for mine, other in zip(ours, theirs, strict=True):
        assert float((mine - other).abs().max()) < 1e-13 * float(other.abs().max())


def test_slope_by_the_own_price_by_hand() -> None:
    # Two equal providers, one user, D = 4, alpha = 2: x_1 = (6 - p)/2 at rival price 2, as in test_equilibrium.
    price = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    offsets = torch.stack((price, torch.full_like(price, 2.0)))[None, None]
    capacity, demand = torch.full((1, 2), 2.0, dtype=torch.float64), torch.full((1, 1), 4.0, dtype=torch.float64)
    load = equilibrium_flows(offsets, capacity, demand)[0, :, 0].sum()
    (slope,) = torch.autograd.grad(load, price)
    assert float(load.detach()) == pytest.approx(1.5, rel=1e-13)
    assert float(slope) == pytest.approx(-0.5, rel=1e-13)
