"""Users' equilibria as a torch layer: the package's own flows, and exact derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.markets import draw_market
from helpers.sold import sold
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.users import differentiable
from prillm_or.users.differentiable import Warm, equilibrium_flows, settle
from prillm_or.users.equilibrium import equilibrium_at, solve_users
from prillm_or.users.problem import bare_users, user_problem

DAYS = 6
SIZES = [(1, 2), (3, 3), (2, 7), (8, 13), (13, 8), (20, 20)]


def days_of(markets: Sequence[Market], prices: Sequence[float]) -> tuple[Tensor, Tensor, Tensor]:
    """Offsets (T, n, m), capacity (T, m), demand (T, n) of one market a day at a price of its leader."""
    users = [user_problem(market) for market in markets]
    offsets = np.array([one.offsets(np.array([price])) for one, price in zip(users, prices, strict=True)])
    capacity, demand = np.array([one.capacity for one in users]), np.array([one.demand for one in users])
    return torch.from_numpy(offsets), torch.from_numpy(capacity), torch.from_numpy(demand)


def random_days(n: int, m: int, seed: int = 0, days: int = DAYS) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng([seed, n, m])
    prices = rng.uniform(0, 6, days).tolist()
    return days_of([generate(n, m, "uniform", seed + day) for day in range(days)], prices)


def flows_by_package(offsets: Array, capacity: Array, demand: Array, allowed: Array) -> Array:
    """Flows of one day, its users and providers left out by hand."""
    flow = np.zeros_like(offsets)
    present, offered = allowed.any(1), allowed.any(0)
    users = bare_users(offsets[np.ix_(present, offered)], capacity[offered], demand[present])
    flow[np.ix_(present, offered)] = solve_users(users, np.empty(0)).flow
    return flow


def gradients(loss: Tensor, *inputs: Tensor) -> list[Array]:
    return [gradient.numpy() for gradient in torch.autograd.grad(loss, inputs)]


def test_one_user_two_providers_by_hand() -> None:
    # D = 4, alpha = (2, 4), g = (3, 2). Alone at both, x_j = f_j: 3 + 2 f_1/2 = 2 + 2 (4 - f_1)/4, so f_1 = 2/3.
    # In general f_1 = N / S with N = g_2 - g_1 + 2 D/alpha_2 = 1 and S = 2/alpha_1 + 2/alpha_2 = 3/2. Hence
    #   df_1/dg_1 = -1/S = -2/3, df_1/dg_2 = 2/3,       df_1/dD = (2/alpha_2)/S = 1/3,
    #   df_1/dalpha_1 = f_1 (2/alpha_1^2)/S = (2/3)(1/2)(2/3) = 2/9,
    #   df_1/dalpha_2 = (-2 D/alpha_2^2 + f_1 2/alpha_2^2)/S = (-1/2 + 1/12)(2/3) = -5/18.
    offsets = torch.tensor([[[3.0, 2.0]]], dtype=torch.float64, requires_grad=True)
    capacity = torch.tensor([[2.0, 4.0]], dtype=torch.float64, requires_grad=True)
    demand = torch.tensor([[4.0]], dtype=torch.float64, requires_grad=True)
    flow = equilibrium_flows(offsets, capacity, demand)
    np.testing.assert_allclose(flow.detach().numpy(), [[[2 / 3, 10 / 3]]], rtol=1e-14)
    by_offsets, by_capacity, by_demand = gradients(flow[0, 0, 0], offsets, capacity, demand)
    np.testing.assert_allclose(by_offsets, [[[-2 / 3, 2 / 3]]], rtol=1e-14)
    np.testing.assert_allclose(by_capacity, [[2 / 9, -5 / 18]], rtol=1e-14)
    np.testing.assert_allclose(by_demand, [[1 / 3]], rtol=1e-14)


def test_two_users_one_provider_each_gets_what_it_asks() -> None:
    offsets = torch.tensor([[[5.0], [1.0]]], dtype=torch.float64, requires_grad=True)
    capacity, demand = torch.ones((1, 1), dtype=torch.float64), torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    demand.requires_grad_()
    flow = equilibrium_flows(offsets, capacity, demand)
    np.testing.assert_allclose(flow.detach().numpy(), [[[1.0], [3.0]]], rtol=1e-15)
    by_offsets, by_demand = gradients(flow[0, 0, 0], offsets, demand)
    np.testing.assert_allclose(by_offsets, 0, atol=1e-15)
    np.testing.assert_allclose(by_demand, [[1, 0]], atol=1e-15)


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_agrees_with_the_package(kind: str, n: int, m: int) -> None:
    markets = [draw_market(kind, n, m, seed) for seed in range(DAYS)]
    prices = [float(price) for price in range(DAYS)]
    flow = equilibrium_flows(*days_of(markets, prices)).numpy()
    for day, market in enumerate(markets):
        expected = equilibrium_at(market, [prices[day]]).flow
        np.testing.assert_allclose(flow[day], expected, rtol=0, atol=1e-11 * market.demand.sum())


@pytest.mark.parametrize("shape", ["heavy", "market"])
def test_agrees_where_full_steps_cycle_or_markets_are_large(shape: str) -> None:
    for n, m, days in ((50, 3, 40), (100, 60, 2)):
        markets = [generate(n, m, shape, seed) for seed in range(days)]  # type: ignore[arg-type]
        flow = equilibrium_flows(*days_of(markets, [1.0] * days)).numpy()
        for day, market in enumerate(markets):
            expected = equilibrium_at(market, [1.0]).flow
            np.testing.assert_allclose(flow[day], expected, rtol=0, atol=1e-11 * market.demand.sum())


def test_what_does_not_settle_is_solved_by_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets, capacity, demand = random_days(5, 6)
    demand[1, 2] = 0.0
    expected = equilibrium_flows(offsets, capacity, demand)
    monkeypatch.setattr(differentiable, "_MOST_STEPS", 0)
    np.testing.assert_allclose(equilibrium_flows(offsets, capacity, demand).numpy(), expected.numpy(), atol=1e-11)


def test_extreme_sizes() -> None:
    # One user far too small to be seen among the others, providers of very different capacity, huge common costs.
    rng = np.random.default_rng(0)
    offsets = rng.uniform(0, 5, (DAYS, 3, 4))
    capacity, demand = 10.0 ** rng.uniform(-4, 4, (DAYS, 4)), np.tile([1e-9, 1.0, 1e3], (DAYS, 1))
    everyone = np.ones((3, 4), dtype=bool)
    for shift, digits in ((0.0, 1e-11), (1e3, 1e-9)):
        given = torch.from_numpy(offsets + shift), torch.from_numpy(capacity), torch.from_numpy(demand)
        found = equilibrium_flows(*given).numpy()
        assert np.abs(found.sum(2) / demand - 1).max() < 1e-12
        for day in range(DAYS):
            expected = flows_by_package(offsets[day], capacity[day], demand[day], everyone)
            np.testing.assert_allclose(found[day], expected, rtol=0, atol=digits * 1e3)


@pytest.mark.parametrize(
    ("n", "m"),
    [(1, 2), (3, 2), (2, 3), *(pytest.param(*size, marks=pytest.mark.slow) for size in ((3, 5), (5, 3), (4, 4)))],
)
def test_derivatives(n: int, m: int) -> None:
    inputs = tuple(given.requires_grad_() for given in random_days(n, m, seed=7, days=3))
    assert torch.autograd.gradcheck(equilibrium_flows, inputs, eps=1e-6, atol=1e-6)


def masked_days() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Days with different offers, and users without demand on some; what must not be read is NaN."""
    offsets, capacity, demand = random_days(4, 6, seed=3)
    rng = torch.Generator().manual_seed(5)
    offered = torch.rand((DAYS, 6), generator=rng) < 0.7
    offered[:, 0] = True
    demand[1, 0] = demand[1, 3] = demand[4, 2] = 0.0
    demand[5] = 0.0  # nobody at all
    allowed = offered[:, None] & (demand > 0)[..., None]
    offsets = torch.where(allowed, offsets, torch.nan)
    return offsets, torch.where(offered, capacity, torch.nan), demand, offered


def test_offers_and_users_of_each_day() -> None:
    offsets, capacity, demand, offered = masked_days()
    allowed = (offered[:, None] & (demand > 0)[..., None]).numpy()
    flow = equilibrium_flows(offsets, capacity, demand, offered).numpy()
    assert (flow[~allowed] == 0).all()
    for day in range(DAYS - 1):
        of_day = offsets[day].numpy(), capacity[day].numpy(), demand[day].numpy()
        expected = flows_by_package(*of_day, allowed[day])
        np.testing.assert_allclose(flow[day], expected, rtol=0, atol=1e-10)
    present = demand > 0
    padded = torch.where(present, demand, 7.0)
    np.testing.assert_array_equal(equilibrium_flows(offsets, capacity, padded, offered, present).numpy(), flow)


def masked_flows(offsets: Tensor, capacity: Tensor, demand: Tensor) -> Tensor:
    _, _, true_demand, offered = masked_days()
    return equilibrium_flows(offsets, capacity, demand, offered, true_demand > 0)


@pytest.mark.slow
def test_derivatives_of_days_with_masks() -> None:
    inputs = [torch.nan_to_num(given).requires_grad_() for given in masked_days()[:3]]
    assert torch.autograd.gradcheck(masked_flows, inputs, eps=1e-6, atol=1e-6)


def test_nothing_depends_on_what_is_masked() -> None:
    offsets, capacity, demand, offered = masked_days()
    inputs = [torch.nan_to_num(given).requires_grad_() for given in (offsets, capacity, demand)]
    present = demand > 0
    by_offsets, by_capacity, by_demand = gradients(masked_flows(*inputs).square().sum(), *inputs)
    allowed = (offered[:, None] & present[..., None]).numpy()
    assert (by_offsets[~allowed] == 0).all()
    assert (by_capacity[~allowed.any(1)] == 0).all()
    assert (by_demand[~present.numpy()] == 0).all()


def test_gradient_of_the_whole_loss_by_user_weights_and_values() -> None:
    rng = np.random.default_rng(4)
    n, m = 5, 7
    base = generate(n, m, "uniform", 1)
    price, delay = torch.from_numpy(rng.uniform(0.5, 4, (DAYS, m))), torch.from_numpy(rng.uniform(0, 3, (DAYS, n, m)))
    capacity = torch.from_numpy(base.capacity.copy()).expand(DAYS, m)
    demand = torch.from_numpy(base.demand * rng.uniform(0.5, 2, (DAYS, n)))
    observed = torch.from_numpy(rng.uniform(0, 20, (DAYS, n, m)))

    def loss(theta: Tensor) -> Tensor:
        price_weight, congestion_weight, delay_weight, value = torch.split(theta, [n, n, n, m])
        own = price_weight[:, None] * price[:, None] + delay_weight[:, None] * delay - value
        flow = equilibrium_flows(own / congestion_weight[:, None], capacity, demand)
        return (flow - observed).square().sum()

    theta = torch.from_numpy(np.concatenate([rng.uniform(0.5, 2, 3 * n), base.value])).requires_grad_()
    (exact,) = gradients(loss(theta), theta)
    steps = 1e-6 * torch.eye(len(theta), dtype=torch.float64)
    with torch.no_grad():
        numeric = [float(loss(theta + step) - loss(theta - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(exact, numeric, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    assert abs(exact[-m:].sum()) < 1e-9 * np.abs(exact[-m:]).max()  # one constant on all values changes no flow


def test_response_of_flows_to_offsets_is_symmetric_and_negative() -> None:
    offsets, capacity, demand = random_days(4, 5, days=1)
    flows = equilibrium_flows(offsets.requires_grad_(), capacity, demand).flatten()
    matrix = np.array([torch.autograd.grad(flow, offsets, retain_graph=True)[0].flatten().numpy() for flow in flows])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12 * np.abs(matrix).max())
    assert np.linalg.eigvalsh(matrix).max() < 1e-12 * np.abs(matrix).max()


def test_a_kink_gets_one_of_its_two_derivatives() -> None:
    # D = 2, alpha = (2, 2), g = (0, 2): all at the first costs 0 + 2 * 2/2 = 2 at the margin, what the second begins
    # with. To the right of g_2 = 2 nothing moves; to the left df_2/dg_2 = -1 / (2/2 + 2/2) = -1/2.
    capacity, demand = torch.full((1, 2), 2.0, dtype=torch.float64), torch.full((1, 1), 2.0, dtype=torch.float64)
    for warm in (None, Warm(torch.tensor([[[True, False]]])), Warm(torch.tensor([[[True, True]]]))):
        offsets = torch.tensor([[[0.0, 2.0]]], dtype=torch.float64, requires_grad=True)
        flow = equilibrium_flows(offsets, capacity, demand, warm=warm)
        (slope,) = gradients(flow[0, 0, 1], offsets)
        np.testing.assert_allclose(flow.detach().numpy(), [[[2, 0]]], atol=1e-15)
        assert min(np.abs(slope[0, 0] - side).max() for side in ([0.0, 0.0], [0.5, -0.5])) < 1e-14


def test_warm_starts_change_only_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    offsets, capacity, demand = random_days(8, 13)
    warm = Warm()
    first = equilibrium_flows(offsets, capacity, demand, warm=warm)
    assert warm.support is not None
    np.testing.assert_array_equal(warm.support.numpy(), first.numpy() > 0)
    near = offsets + 0.01 * torch.rand(offsets.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    np.testing.assert_allclose(
        equilibrium_flows(near, capacity, demand, warm=warm).numpy(),
        equilibrium_flows(near, capacity, demand).numpy(),
        atol=1e-11,
    )
    with monkeypatch.context() as patch:  # the supports are right at once: no search
        patch.setattr(differentiable, "_search", None)
        equilibrium_flows(near, capacity, demand, warm=warm)


def test_warm_starts_where_offers_and_users_changed() -> None:
    offsets, capacity, demand, offered = masked_days()
    full = torch.nan_to_num(offsets, nan=1.0), torch.nan_to_num(capacity, nan=1.0), demand
    warm = Warm()
    equilibrium_flows(*full, warm=warm)
    flow = equilibrium_flows(*full, offered, warm=warm)
    np.testing.assert_allclose(flow.numpy(), equilibrium_flows(*full, offered).numpy(), atol=1e-11)
    only_last = torch.zeros_like(offered)
    only_last[:, 5] = True
    np.testing.assert_allclose(
        equilibrium_flows(*full, only_last, warm=warm)[..., 5].numpy(), full[2].numpy(), atol=1e-12
    )


def test_degenerate_days_have_finite_gradients() -> None:
    # Identical users and providers, small whole numbers: kinks everywhere.
    markets = [draw_market("degenerate", 8, 6, seed) for seed in range(DAYS)]
    markets = [replace(market, demand=np.full(8, 2.0)) for market in markets]
    offsets, capacity, demand = (given.requires_grad_() for given in days_of(markets, [2.0] * DAYS))
    loss = equilibrium_flows(offsets, capacity, demand).square().sum()
    by_offsets, by_capacity, by_demand = gradients(loss, offsets, capacity, demand)
    assert np.isfinite(by_capacity).all()
    assert np.isfinite(by_demand).all()
    np.testing.assert_allclose(by_offsets.sum(2), 0, atol=1e-9)  # a cost common to a user's choices moves nothing


def test_refuses_a_user_without_offers() -> None:
    offsets, capacity, demand = random_days(3, 4)
    offered = torch.ones((DAYS, 4), dtype=torch.bool)
    offered[2] = False
    with pytest.raises(ValueError, match="no provider"):
        equilibrium_flows(offsets, capacity, demand, offered)
    demand[2] = 0.0
    assert (equilibrium_flows(offsets, capacity, demand, offered)[2] == 0).all()


def test_refuses_other_days_than_the_warm_ones_and_numbers_that_are_none() -> None:
    offsets, capacity, demand = random_days(3, 4)
    warm = Warm()
    equilibrium_flows(offsets, capacity, demand, warm=warm)
    with pytest.raises(ValueError, match="warm"):
        equilibrium_flows(offsets[1:], capacity[1:], demand[1:], warm=warm)
    offsets[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        equilibrium_flows(offsets, capacity, demand)


# Widths of pairs: crowds and tastes, with congestion and without


def tasteful(seed: int, congested: bool, n: int = 4, m: int = 5, days: int = 3) -> tuple[list[Market], list[Tensor]]:
    """Markets with crowds and dispersion, and their offsets, capacity, demand and width at prices of their leaders."""
    markets = [
        replace(sold(seed + day, n, m, decides="plain", congested=congested), dispersion=np.full(n, 0.5 + 0.1 * day))
        for day in range(days)
    ]
    users = [user_problem(market) for market in markets]
    arrays = (
        [one.offsets(market.price[:1]) for one, market in zip(users, markets, strict=True)],
        [one.capacity for one in users],
        [one.demand for one in users],
        [np.broadcast_to(one.width, (n, m)) for one in users],
    )
    return markets, [torch.from_numpy(np.array(array)) for array in arrays]


@pytest.mark.parametrize("congested", [True, False])
@pytest.mark.parametrize(("n", "m"), [(1, 3), (4, 5), (9, 4), *(pytest.param(30, 12, marks=pytest.mark.slow),)])
def test_widths_of_pairs_give_the_flows_of_the_package(n: int, m: int, congested: bool) -> None:
    for seed in range(0, 12, 3):
        markets, (offsets, capacity, demand, width) = tasteful(seed, congested, n, m)
        flow = equilibrium_flows(offsets, capacity, demand, width=width).numpy()
        for day, market in enumerate(markets):
            expected = equilibrium_at(market, market.price[:1]).flow
            np.testing.assert_allclose(flow[day], expected, rtol=0, atol=1e-11 * market.demand.sum())


@pytest.mark.parametrize("congested", [True, False])
def test_what_does_not_settle_with_widths_is_solved_by_the_package(
    monkeypatch: pytest.MonkeyPatch, congested: bool
) -> None:
    _, (offsets, capacity, demand, width) = tasteful(3, congested)
    expected = equilibrium_flows(offsets, capacity, demand, width=width)
    monkeypatch.setattr(differentiable, "_MOST_STEPS", 0)
    found = equilibrium_flows(offsets, capacity, demand, width=width)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-11)


@pytest.mark.parametrize("congested", [True, False])
@pytest.mark.parametrize(("n", "m"), [(1, 2), (3, 2), pytest.param(4, 5, marks=pytest.mark.slow)])
def test_derivatives_by_the_width(n: int, m: int, congested: bool) -> None:
    _, (offsets, capacity, demand, width) = tasteful(7, congested, n, m, days=2)
    # An infinite capacity has no neighbours to take differences with.
    inputs = tuple(given.requires_grad_() for given in (offsets, demand, width, *([capacity] if congested else [])))

    def flows(offsets: Tensor, demand: Tensor, width: Tensor, given: Tensor = capacity) -> Tensor:
        return equilibrium_flows(offsets, given, demand, width=width)

    assert torch.autograd.gradcheck(flows, inputs, eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("congested", [True, False])
def test_a_change_of_widths_is_one_of_offsets_by_the_flow(congested: bool) -> None:
    _, (offsets, capacity, demand, width) = tasteful(11, congested)
    slope = 1 / width
    change = torch.rand(slope.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * slope
    settled = settle(offsets, capacity, demand, width=width)
    found = settled.changes((settled.flow * change)[..., None])[..., 0]
    less, more = (
        equilibrium_flows(offsets, capacity, demand, width=1 / (slope + step * change)) for step in (-1e-6, 1e-6)
    )
    np.testing.assert_allclose(found.numpy(), ((more - less) / 2e-6).numpy(), rtol=0, atol=1e-7 * float(demand.max()))


def test_taste_alone_by_hand() -> None:
    # D = 2, s = (1, 3), no congestion: widths are 2 and 2/3. 3 + f_1/2 = 2 + 3 (2 - f_1)/2, so f_1 = 1.
    # In general f_1 = (g_2 - g_1 + 2/a_2) / (1/a_1 + 1/a_2), and d(1/a_1) = -da_1/4: df_1/da_1 = (1/4)/2 = 1/8,
    # df_1/da_2 = (2 - f_1)/2 d(1/a_2)/da_2 = -(1/2)(9/4) = -9/8; df_1/dg_1 = -1/2; df_1/dD = (1/a_2)/2 = 3/4.
    offsets = torch.tensor([[[3.0, 2.0]]], dtype=torch.float64, requires_grad=True)
    width = torch.tensor([[[2.0, 2 / 3]]], dtype=torch.float64, requires_grad=True)
    demand = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    flow = equilibrium_flows(offsets, torch.full((1, 2), torch.inf, dtype=torch.float64), demand, width=width)
    np.testing.assert_allclose(flow.detach().numpy(), [[[1, 1]]], rtol=1e-14)
    by_offsets, by_demand, by_width = gradients(flow[0, 0, 0], offsets, demand, width)
    np.testing.assert_allclose(by_offsets, [[[-1 / 2, 1 / 2]]], rtol=1e-14)
    np.testing.assert_allclose(by_demand, [[3 / 4]], rtol=1e-14)
    np.testing.assert_allclose(by_width, [[[1 / 8, -9 / 8]]], rtol=1e-14)


def test_capacities_are_all_infinite_or_none_is() -> None:
    _, (offsets, capacity, demand, width) = tasteful(1, True)
    capacity[0, 0] = torch.inf
    for given in (width, None):
        with pytest.raises(ValueError, match=r"^capacity: infinite ones go with widths, and with no other capacity$"):
            equilibrium_flows(offsets, capacity, demand, width=given)
