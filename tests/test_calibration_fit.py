"""Fits: what theta means, exact derivatives, true preferences come back, and what must not matter does not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from prillm_or.calibration.days import Days, independent_flows
from prillm_or.calibration.fit import SHRINKAGES, Fit, fit_days, fit_path
from prillm_or.calibration.misfit import OWN, Misfit
from prillm_or.calibration.preferences import EVERYONE, Preferences, predicted_flows
from prillm_or.calibration.scores import scores
from prillm_or.calibration.specification import Parameters, Specification, parameters_of
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array
from prillm_or.market.synthetic import generate
from prillm_or.users.differentiable import Settled, settle

SWITCHES = [
    Specification(
        own_congestion=own_congestion,
        own_price=own_price,
        groups={"a": ("u1", "u3")} if grouped else {},
        values=values,
        congestion=congestion,
    )
    for own_congestion, own_price, grouped, values, congestion in itertools.product((False, True), repeat=5)
]
FULL = Specification(own_congestion=True, own_price=True, groups={"a": ("u1", "u3")})


def wanted(n: int, m: int, seed: int) -> Preferences:
    """Random preferences, common to all users; the weights of congestion and delay are well apart from 1."""
    rng = np.random.default_rng([seed, n, m])
    value = generate(n, m, "uniform", seed).value
    return Preferences(
        user_ids=tuple(f"u{i + 1}" for i in range(n)),
        provider_ids=tuple(f"p{j + 1}" for j in range(m)),
        congestion=float(np.exp(rng.uniform(-0.7, 0.7))),
        delay=rng.uniform(0.3, 1.5),
        value=value - value.min(),
        price_factor=np.ones(n),
        congestion_factor=np.ones(n),
        group_ids=(EVERYONE,),
        group=np.zeros(n, dtype=np.intp),
        group_value=np.zeros((1, m)),
    )


def days_of(true: Preferences, count: int, seed: int, missing: float = 0.0, noise: float = 0.0) -> Days:
    """Days on which users want what is true, with a share of offers and of users missing; flows are lognormal about it.

    The first two providers are always offered, the first user is always there.
    """
    n, m = len(true.user_ids), len(true.provider_ids)
    base, rng = generate(n, m, "uniform", seed), np.random.default_rng([seed, n, m, count])
    offered, present = rng.random((count, m)) >= missing, rng.random((count, n)) >= missing
    offered[:, :2] = present[:, 0] = True
    cells = present[:, :, None] & offered[:, None]
    days = Days(
        price=np.where(offered, base.price * rng.uniform(0.8, 1.25, (count, m)), 0.0),
        capacity=np.where(offered, base.capacity, 1.0),
        delay=np.where(cells, base.delay * rng.uniform(0.8, 1.25, (count, n, m)), 0.0),
        demand=base.demand * rng.uniform(0.5, 1.5, (count, n)) * present,
        offered=offered,
        flow=np.zeros((count, n, m)),
        train=cells,
    )
    return with_flow(days, predicted_flows(true, days) * np.exp(noise * rng.standard_normal(cells.shape)))


def with_flow(days: Days, flow: Array) -> Days:
    return replace(days, flow=flow, demand=flow.sum(axis=2))


def parameters(days: Days, specification: Specification | None = None) -> Parameters:
    _, n, m = days.flow.shape
    names = [f"u{i + 1}" for i in range(n)], [f"p{j + 1}" for j in range(m)]
    return parameters_of(specification or Specification(), days, *names, "seen")


def fitted(days: Days, specification: Specification | None = None, shrinkage: float = 0.0) -> Fit:
    return fit_days(days, parameters(days, specification), shrinkage)


def part(
    days: Days,
    t: Sequence[int] | slice = slice(None),
    i: Sequence[int] | slice = slice(None),
    j: Sequence[int] | slice = slice(None),
) -> Days:
    """Some days, users or providers, in the order given."""
    return Days(
        price=days.price[t][:, j],
        capacity=days.capacity[t][:, j],
        delay=days.delay[t][:, i][:, :, j],
        demand=days.demand[t][:, i],
        offered=days.offered[t][:, j],
        flow=days.flow[t][:, i][:, :, j],
        train=days.train[t][:, i][:, :, j],
    )


def random_theta(given: Parameters, seed: int, size: float = 0.3) -> Array:
    """Near where users weigh congestion like prices; the weight of delay is positive."""
    rng = np.random.default_rng(seed)
    theta = size * rng.standard_normal(given.size)
    theta[given.places["q"]] += np.log(given.scale)
    theta[given.places["d"]] = rng.uniform(0.1, 0.5)
    return theta


def misfit_of(given: Parameters, days: Days, shrinkage: float = 0.0, own: float = OWN) -> Misfit:
    return Misfit(given, days, np.ones(days.demand.shape), shrinkage, own=own)


def numeric(function: object, theta: Array, step: float = 1e-6) -> Array:
    """Central differences, the entries of theta last."""
    assert callable(function)
    steps = step * np.eye(len(theta))
    return np.stack([(function(theta + one) - function(theta - one)) / (2 * step) for one in steps], axis=-1)


def size_of(true: Preferences) -> float:
    return float(np.ptp(true.value))


def used_values(preferences: Preferences, days: Days) -> Array:
    """Values of providers in use, the least of them 0."""
    used = preferences.value[days.flow.sum(axis=(0, 1)) > 0]
    return np.asarray(used - used.min())


def assert_same(one: Preferences, other: Preferences, digits: float) -> None:
    assert one.congestion == pytest.approx(other.congestion, rel=digits)
    assert one.delay == pytest.approx(other.delay, rel=digits)
    size = max(size_of(other), 1e-9)
    np.testing.assert_allclose(one.value_by_user, other.value_by_user, rtol=0, atol=digits * size)
    np.testing.assert_allclose(one.price_factor, other.price_factor, rtol=digits)
    np.testing.assert_allclose(one.congestion_factor, other.congestion_factor, rtol=digits)


# What theta means


@pytest.mark.parametrize("specification", SWITCHES, ids=str)
def test_theta_and_preferences_say_the_same(specification: Specification) -> None:
    days = days_of(wanted(4, 3, 1), 3, 1)
    given = parameters(days, specification)
    theta = random_theta(given, 2)
    preferences = given.unpack(theta)
    np.testing.assert_allclose(given.pack(preferences), theta, rtol=1e-13, atol=1e-15)
    assert_same(given.unpack(given.pack(preferences)), preferences, 1e-13)
    assert preferences.value.min() == 0
    # The same flows, from the offsets of theta and from what the preferences say.
    flow = misfit_of(given, days).flow(theta)
    np.testing.assert_allclose(flow, predicted_flows(preferences, days), atol=1e-10 * days.demand.max())


@pytest.mark.parametrize("specification", SWITCHES, ids=str)
def test_every_entry_has_a_name_of_its_own(specification: Specification) -> None:
    given = parameters(days_of(wanted(4, 3, 1), 3, 1), specification)
    names = list(given.names())
    assert len(names) == len(set(names)) == given.size
    s = specification
    # n = 4 users, m = 3 providers, groups a and everyone: 1 + 1 + 2, 4, 4, and 2 x 3.
    assert given.size == s.congestion + 1 + 2 * s.values + 4 * s.own_congestion + 4 * s.own_price + 6 * bool(s.groups)
    assert len(given.shrunk) == 4 * s.own_congestion + 4 * s.own_price + 6 * bool(s.groups)
    assert all(("own" in names[k]) or (" to " in names[k]) for k in given.shrunk)


def test_each_entry_moves_what_its_name_says() -> None:
    given = parameters(days_of(wanted(4, 3, 1), 3, 1), FULL)
    theta = random_theta(given, 3)

    def described(theta: Array) -> dict[str, float]:
        found = given.unpack(theta)
        value = found.value - found.value[given.reference]
        facts = {"weight of congestion": found.congestion, "weight of delay": found.delay}
        facts |= {f"value of {name}": value[j] for j, name in enumerate(given.provider_ids)}
        for i, user in enumerate(given.user_ids):
            facts[f"own weight of congestion of {user}"] = found.congestion_factor[i]
            facts[f"own weight of price of {user}"] = found.price_factor[i]
        for g, group in enumerate(found.group_ids):
            facts |= {
                f"value of {name} to {group}": found.group_value[g, j] for j, name in enumerate(given.provider_ids)
            }
        return facts

    before = described(theta)
    for k, name in enumerate(given.names()):
        changed = theta.copy()
        changed[k] += 0.1
        moved = {fact for fact, number in described(changed).items() if abs(number - before[fact]) > 1e-9}
        assert moved == {name}


def test_units_and_the_reference_by_hand() -> None:
    # Flows 3 and 1 at prices 2 and 6, delays 1 and 5, capacities 3 and 2: money (6 + 6)/4 = 3, waiting (3 + 5)/4 = 2,
    # congestion (9/3 + 1/2)/4 = 7/8, at which a weight of 3 / (7/8) = 24/7 counts as much as prices.
    ones = np.ones((1, 2), dtype=bool)
    days = Days(
        price=np.array([[2.0, 6.0]]),
        capacity=np.array([[3.0, 2.0]]),
        delay=np.array([[[1.0, 5.0]]]),
        demand=np.array([[4.0]]),
        offered=ones,
        flow=np.array([[[3.0, 1.0]]]),
        train=ones[None],
    )
    given = parameters(days)
    assert (given.money, given.waiting, given.reference) == (3, 2, 0)
    assert given.scale == pytest.approx(24 / 7)
    # Theta (log 2, 1, 1/3): w_q = 2, w_d = 1 x 3/2, b = (0, 3 x 1/3). Offsets (2 + 1.5 x 1 - 0)/2 and
    # (6 + 1.5 x 5 - 1)/2.
    theta = np.array([np.log(2), 1, 1 / 3])
    np.testing.assert_allclose(given.offsets(theta, days), [[[1.75, 6.25]]], rtol=1e-14)
    # Derivatives: by log w_q minus the offsets; by theta_d 3/2 d / 2; by b_2 -3/2 at the second alone.
    expected = [[[[-1.75, 0.75, 0], [-6.25, 3.75, -1.5]]]]
    np.testing.assert_allclose(given.offset_changes(theta, days, given.offsets(theta, days)), expected, rtol=1e-14)
    found = given.unpack(theta)
    np.testing.assert_allclose(found.value, np.array([0.0, 1.0]), atol=1e-15)
    # A value below the reference's: the least is 0, and the reference is worth the more.
    np.testing.assert_allclose(given.unpack(np.array([0, 0, -1])).value, np.array([3.0, 0.0]), atol=1e-15)
    # The reference is the provider of largest flow, as far as it is seen.
    hidden = replace(days, train=np.array([[[False, True]]]))
    assert parameters(hidden).reference == 1


def test_own_weights_and_group_values_in_offsets_by_hand() -> None:
    # One user in group a: w_q = 2 e^u, w_p = e^v, b = money (theta + delta). Price 4, delay 0, money 4: with u = log 2,
    # v = log 3, delta = 1/2 at p1: (3 x 4 - 2)/4 = 2.5 and (3 x 4 - 4 x 1)/4 = 2, with theta = 1 at p2.
    ones = np.ones((1, 2), dtype=bool)
    days = Days(
        price=np.array([[4.0, 4.0]]),
        capacity=np.ones((1, 2)),
        delay=np.zeros((1, 1, 2)),
        demand=np.array([[3.0]]),
        offered=ones,
        flow=np.array([[[2.0, 1.0]]]),
        train=ones[None],
    )
    given = parameters(days, Specification(own_congestion=True, own_price=True, groups={"a": ("u1",)}))
    assert given.group_ids == ("a",)
    assert given.money == 4
    theta = np.array([np.log(2), 0, 1, np.log(2), np.log(3), 0.5, 0])
    np.testing.assert_allclose(given.offsets(theta, days), [[[2.5, 2.0]]], rtol=1e-14)


@pytest.mark.parametrize("specification", SWITCHES, ids=str)
def test_derivatives_of_offsets_are_exact(specification: Specification) -> None:
    days = days_of(wanted(4, 3, 1), 3, 1, missing=0.3)
    given = parameters(days, specification)
    theta = random_theta(given, 4)
    offsets = given.offsets(theta, days)
    assert offsets.shape == days.flow.shape
    exact = given.offset_changes(theta, days, offsets)
    assert exact.shape == (*days.flow.shape, given.size)
    differences = numeric(lambda at: given.offsets(at, days), theta)
    scale = max(1.0, np.abs(differences).max())
    np.testing.assert_allclose(exact, differences, rtol=1e-7, atol=1e-8 * scale)


def test_bounds_hold_weights_of_delay_above_zero_and_others_where_one_can_compute() -> None:
    given = parameters(days_of(wanted(4, 3, 1), 3, 1), FULL)
    low, high = given.bounds()
    names = list(given.names())
    assert low[names.index("weight of delay")] == 0
    assert np.isinf(high[names.index("weight of delay")])
    for name, centre in (("weight of congestion", np.log(given.scale)), ("own weight of price of u2", 0.0)):
        k = names.index(name)
        np.testing.assert_allclose([low[k], high[k]], [centre - np.log(1e6), centre + np.log(1e6)])
    assert all(np.isinf(low[k]) for k, name in enumerate(names) if "value" in name)


def test_users_are_put_into_their_groups() -> None:
    days = days_of(wanted(4, 3, 1), 2, 1)
    given = parameters(days, Specification(groups={"a": ("u4", "u2"), "b": ("u1",)}))
    assert given.group_ids == ("a", "b", EVERYONE)
    np.testing.assert_array_equal(given.group, [1, 0, 2, 0])
    all_named = parameters(days, Specification(groups={"a": ("u4", "u2"), "b": ("u1", "u3")}))
    assert all_named.group_ids == ("a", "b")
    assert parameters(days).group_ids == (EVERYONE,)


def test_groups_that_cannot_be_are_refused_all_at_once() -> None:
    days = days_of(wanted(3, 2, 1), 2, 1)
    with pytest.raises(ObservationsError) as error:
        parameters(days, Specification(groups={"a": ("u1", "x"), EVERYONE: ("u1", "u2")}))
    assert error.value.problems == (
        "group: no user is called 'x'",
        "group: 'u1' is named twice",
        "group: 'everyone' is the group of those whom no group names; take another name",
    )


# The misfit and its derivatives


def test_the_misfit_by_hand() -> None:
    # D = 4, alpha = (2, 4), offsets (3, 2): flows (2/3, 10/3), as in test_calibration_gradient. Seen are (1, 3), mean
    # 2: V = 2. Both are off by 1/3: 2/9 / 2 = 1/9. Market shares 1/4 and 3/4 are those seen: kappa times 1/9 more.
    ones = np.ones((1, 2), dtype=bool)
    days = Days(
        price=np.array([[3.0, 2.0]]),
        capacity=np.array([[2.0, 4.0]]),
        delay=np.zeros((1, 1, 2)),
        demand=np.array([[4.0]]),
        offered=ones,
        flow=np.array([[[1.0, 3.0]]]),
        train=ones[None],
    )
    theta = np.zeros(3)
    for kappa, expected in ((0.0, 1 / 9), (0.3, 1.3 / 9)):
        residuals = misfit_of(parameters(days), days, kappa).residuals(theta)
        assert residuals @ residuals == pytest.approx(expected)
    # An own weight of e^0.5 of congestion, made up for by the common one: the same flows, for OWN/4.
    own = parameters(days, Specification(own_congestion=True))
    residuals = misfit_of(own, days).residuals(np.array([-0.5, 0, 0, 0.5]))
    assert residuals @ residuals == pytest.approx(1 / 9 + OWN / 4)
    # Only p1 is seen: nothing to compare with but its own square. Its share s = 1 / (1 + 4 (1 - s)) is 1/4 again, and
    # both flows are pulled, off by 1/3 each.
    hidden = replace(days, train=np.array([[[True, False]]]))
    for kappa, expected in ((0.0, 1 / 9), (0.3, 1.6 / 9)):
        residuals = misfit_of(parameters(hidden), hidden, kappa).residuals(theta)
        assert residuals @ residuals == pytest.approx(expected)


def test_the_misfit_of_common_preferences_is_what_r2_leaves_to_explain() -> None:
    days = days_of(wanted(3, 4, 2), 4, 2, missing=0.3, noise=0.3)
    given = parameters(days)
    misfit = misfit_of(given, days)
    theta = random_theta(given, 1)
    residuals = misfit.residuals(theta)
    scored = scores(days.flow, misfit.flow(theta), days.demand, days.train)
    assert scored.r2 is not None
    assert residuals @ residuals == pytest.approx(1 - scored.r2, rel=1e-12)


def test_the_misfit_with_weights_is_that_of_days_taken_so_many_times() -> None:
    days = days_of(wanted(3, 4, 2), 3, 2, missing=0.3, noise=0.3)
    twice = part(days, [0, 1, 1, 2, 2, 2])
    given = parameters(days)
    theta = random_theta(given, 1)
    weight = np.repeat([[1.0], [2.0], [3.0]], 3, axis=1)
    one = Misfit(given, days, weight).residuals(theta)
    other = misfit_of(given, twice).residuals(theta)
    assert one @ one == pytest.approx(other @ other, rel=1e-12)
    tripled = Misfit(given, days, 3 * weight).residuals(theta)
    np.testing.assert_allclose(tripled, one, rtol=1e-12)


@pytest.mark.parametrize("specification", [Specification(), FULL, Specification(congestion=False, groups=FULL.groups)])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_the_misfit_are_exact_between_kinks(
    specification: Specification, shrinkage: float, seed: int
) -> None:
    days = days_of(wanted(4, 5, seed), 3, seed, missing=0.3, noise=0.3)
    days = replace(days, train=days.train & (np.random.default_rng(seed).random(days.flow.shape) < 0.8))
    given = parameters(days, specification)
    theta = random_theta(given, seed)
    weight = np.random.default_rng(seed).uniform(0.5, 2, days.demand.shape)
    misfit = Misfit(given, days, weight, shrinkage)
    step = 1e-6 if specification.congestion else 1e-9  # without congestion offsets are a million times as large
    support = misfit.flow(theta) > 0
    for one in step * np.eye(given.size):  # no kink near
        assert ((misfit.flow(theta + one) > 0) == support).all()
        assert ((misfit.flow(theta - one) > 0) == support).all()
    exact = misfit.jacobian(theta)
    assert exact.shape == (len(misfit.residuals(theta)), given.size)
    differences = numeric(misfit.residuals, theta, step)
    assert np.abs(exact).max() > 0.01
    np.testing.assert_allclose(exact, differences, rtol=1e-5, atol=1e-6 * np.abs(exact).max())
    changes = misfit.flow_changes(theta)
    np.testing.assert_allclose(changes.sum(axis=2), 0, atol=1e-7)  # demands are met


def test_residuals_and_derivatives_do_not_depend_on_what_was_asked_before() -> None:
    days = days_of(wanted(4, 5, 1), 3, 1, missing=0.3, noise=0.3)
    given = parameters(days, FULL)
    misfit, one, other = misfit_of(given, days, 0.1), random_theta(given, 1), random_theta(given, 2)
    theta = one.copy()
    first = misfit.residuals(theta), misfit.jacobian(theta)
    theta[:] = other  # in place, as an optimiser may
    fresh = misfit_of(given, days, 0.1)
    np.testing.assert_allclose(misfit.jacobian(theta), fresh.jacobian(other), atol=1e-9)
    np.testing.assert_allclose(misfit.residuals(one), first[0], atol=1e-9)
    np.testing.assert_allclose(misfit.jacobian(one), first[1], atol=1e-9)


def settled_days(n: int, m: int, seed: int) -> tuple[Settled, torch.Tensor, Days]:
    true = wanted(n, m, seed)
    days = days_of(true, 4, seed, missing=0.3)
    given = parameters(days)
    offsets = torch.from_numpy(given.offsets(given.pack(true), days))
    return settle(offsets, *days.tensors()), offsets, days


@pytest.mark.parametrize(("n", "m"), [(1, 2), (3, 5), (5, 3)])
def test_changes_of_flows_are_their_derivatives(n: int, m: int) -> None:
    settled, offsets, days = settled_days(n, m, 3)
    directions = torch.from_numpy(np.random.default_rng(1).standard_normal((*days.flow.shape, 4)))
    changes = settled.changes(directions)
    for k in range(4):
        ahead, back = (settle(offsets + step * directions[..., k], *days.tensors()) for step in (1e-6, -1e-6))
        assert bool((ahead.support == settled.support).all())  # no kink near
        assert bool((back.support == settled.support).all())
        differences = (ahead.flow - back.flow) / 2e-6
        np.testing.assert_allclose(changes[..., k].numpy(), differences.numpy(), atol=1e-6 * float(changes.abs().max()))


@pytest.mark.parametrize(("n", "m"), [(1, 2), (3, 5), (5, 3), (8, 13)])
def test_changes_of_flows_are_the_transpose_of_the_gradients(n: int, m: int) -> None:
    # <G, J v> = <J^T G, v>
    settled, _, days = settled_days(n, m, 5)
    rng = np.random.default_rng(2)
    slope, direction = (torch.from_numpy(rng.standard_normal(days.flow.shape)) for _ in range(2))
    ahead = float((slope * settled.changes(direction[..., None])[..., 0]).sum())
    back = float((settled.gradients(slope)[0] * direction).sum())
    assert abs(ahead) > 1e-3
    assert ahead == pytest.approx(back, rel=1e-10)


def test_changes_of_flows_in_many_directions_are_those_in_each() -> None:
    settled, _, days = settled_days(4, 6, 1)
    directions = torch.from_numpy(np.random.default_rng(3).standard_normal((*days.flow.shape, 3)))
    together = settled.changes(directions)
    for k in range(3):
        np.testing.assert_allclose(settled.changes(directions[..., k : k + 1])[..., 0], together[..., k], atol=1e-10)
    none = settled.changes(torch.ones((*days.flow.shape, 1), dtype=torch.float64))  # a cost common to all choices
    np.testing.assert_allclose(none.numpy(), 0, atol=1e-10)


# What made the flows comes back


SIZES = [
    (1, 2, 4, 0.0),
    (1, 4, 8, 0.3),
    (2, 3, 5, 0.3),
    (3, 3, 4, 0.3),
    (5, 4, 8, 0.3),
    (4, 7, 8, 0.0),
    (8, 13, 6, 0.3),
]


@pytest.mark.parametrize(("n", "m", "count", "missing"), SIZES)
def test_preferences_that_made_the_flows_come_back(n: int, m: int, count: int, missing: float) -> None:
    for seed in range(1 if n * m > 50 else 3):
        true = wanted(n, m, seed)
        days = days_of(true, count, seed, missing)
        found = fitted(days)
        assert found.misfit < 1e-15
        assert found.preferences.congestion == pytest.approx(true.congestion, rel=1e-6)
        assert found.preferences.delay == pytest.approx(true.delay, rel=1e-6)
        np.testing.assert_allclose(
            used_values(found.preferences, days), used_values(true, days), rtol=0, atol=1e-4 * size_of(true)
        )
        assert found.preferences.value.min() == 0
        assert found.preferences.common


def test_a_weight_of_delay_of_zero_comes_back() -> None:
    for seed in range(2):
        true = replace(wanted(4, 5, seed), delay=0.0)
        days = days_of(true, 8, seed, 0.3)
        found = fitted(days).preferences
        assert 0 <= found.delay < 1e-6
        assert found.congestion == pytest.approx(true.congestion, rel=1e-6)


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_weights_of_congestion_far_from_one_come_back(factor: float) -> None:
    for seed in range(2):
        true = replace(wanted(4, 5, seed), congestion=factor, delay=0.5)
        days = days_of(true, 8, seed, 0.3)
        found = fitted(days).preferences
        assert found.congestion == pytest.approx(factor, rel=1e-6)
        assert found.delay == pytest.approx(0.5, rel=1e-6)


def test_of_several_starts_one_leads_to_the_truth() -> None:
    # With so little congestion flows are nearly all or nothing, and from many starts the search ends at another
    # minimum: from the third, fourth and fifth for the first days, from the first, fourth and fifth for the second.
    for seed in (0, 4):
        true = replace(wanted(4, 5, seed), congestion=0.1, delay=0.5)
        found = fitted(days_of(true, 6, seed))
        assert found.misfit < 1e-12
        assert found.preferences.congestion == pytest.approx(0.1, rel=1e-6)


def test_a_baseline_finds_what_it_knows_of() -> None:
    # Without values, flows made without them: weights come back.
    true = replace(wanted(4, 5, 3), value=np.zeros(5))
    found = fitted(days_of(true, 6, 3), Specification(values=False)).preferences
    np.testing.assert_array_equal(found.value, 0)
    assert found.congestion == pytest.approx(true.congestion, rel=1e-6)
    assert found.delay == pytest.approx(true.delay, rel=1e-6)


def test_a_fit_of_the_weight_of_delay_alone() -> None:
    days = days_of(wanted(3, 4, 1), 4, 1)
    found = fitted(days, Specification(values=False, congestion=False))
    assert found.theta.shape == (1,)
    np.testing.assert_array_equal(found.preferences.value, 0)
    assert found.preferences.congestion == pytest.approx(1e-6 * found.parameters.scale)


def own_truth(n: int, m: int, seed: int, congestion: float, price: float) -> tuple[Preferences, Days]:
    """Users who differ in their weights, with as much demand each, so that none is too small to be seen.

    Logarithms of their factors sum to 0: a factor common to all is the common weights' affair, and the price that
    what is a user's own has makes it so.
    """
    rng = np.random.default_rng(seed)
    u, v = (size * rng.choice([-1.0, 1.0], n) * rng.uniform(0.5, 1, n) for size in (congestion, price))
    true = replace(
        wanted(n, m, seed), congestion_factor=np.exp(u - u.mean()), price_factor=np.exp(v - v.mean()), congestion=2.0
    )
    days = days_of(true, 8, seed)
    days = replace(days, demand=np.broadcast_to(days.demand.mean(axis=1, keepdims=True), days.demand.shape).copy())
    return true, with_flow(days, predicted_flows(true, days))


OWN_KINDS = [(0.2, 0.0), (0.0, 0.2), (0.2, 0.2)]


@pytest.mark.parametrize(("congestion", "price"), OWN_KINDS)
def test_own_weights_come_back_when_they_cost_nothing(congestion: float, price: float) -> None:
    # OWN times theta^2 holds a user's own weights short of the truth. We let OWN go to 1e-10 from where the fit ends:
    # theta is then off by OWN / (curvature of R^2), and 1e-5 allows for curvatures down to 1e-5.
    for seed in range(2):
        true, days = own_truth(3, 4, seed, congestion, price)
        found = fitted(days, Specification(own_congestion=congestion > 0, own_price=price > 0))
        misfit, (low, high) = misfit_of(found.parameters, days, own=1e-10), found.parameters.bounds()
        ended = least_squares(
            misfit.residuals, found.theta, misfit.jacobian, bounds=(low, high), ftol=1e-15, xtol=1e-15, gtol=1e-15
        )
        assert_same(found.parameters.unpack(ended.x), true, 1e-5)


@pytest.mark.parametrize(("congestion", "price"), OWN_KINDS)
def test_own_weights_are_held_short_of_the_truth_as_far_as_their_price_says(congestion: float, price: float) -> None:
    for seed in range(2):
        true, days = own_truth(3, 4, seed, congestion, price)
        found = fitted(days, Specification(own_congestion=congestion > 0, own_price=price > 0))
        given = found.parameters
        theta = given.pack(true)
        own, truth = found.theta[given.shrunk], theta[given.shrunk]
        # The truth has no misfit but the price of what is own, and the fit is at least as good.
        assert found.misfit <= OWN * truth @ truth
        assert own @ own < truth @ truth
        for kind in ("u", "v"):
            assert abs(found.theta[given.places[kind]].sum()) < 1e-6
        # To first order about the truth, the fit is off by the step d that minimises |J d|^2 + OWN |theta + d|^2; what
        # is left is of second order, d^2. A quarter of the step and of the truth allow for that, and for kinks.
        misfit = misfit_of(given, days)
        step, *_ = np.linalg.lstsq(misfit.jacobian(theta), -misfit.residuals(theta), rcond=None)
        np.testing.assert_allclose(own, truth + step[given.shrunk], atol=0.25 * np.abs(step[given.shrunk]).max() + 0.01)


def test_users_who_differ_are_not_told_apart_without_reason() -> None:
    # Noise-free flows of users who want the same: what is their own costs, and explains nothing.
    true = wanted(3, 4, 2)
    days = days_of(true, 6, 2)
    found = fitted(days, Specification(own_congestion=True, own_price=True, groups={"a": ("u1",)})).preferences
    assert_same(found, true, 1e-5)


def test_values_of_groups_come_back() -> None:
    # Groups {u1, u2} and everyone else hold providers to be worth less or more; what they differ by is found once it
    # costs nothing, as above. Only differences of values matter, for each user.
    for seed in range(2):
        true, rng = wanted(4, 4, seed), np.random.default_rng(seed)
        true = replace(
            true,
            congestion=8.0,
            delay=0.3,
            group_ids=("a", EVERYONE),
            group=np.array([0, 0, 1, 1]),
            group_value=0.3 * rng.standard_normal((2, 4)),
        )
        days = days_of(true, 6, seed)
        assert (days.flow.sum(axis=0) > 0).all()
        found = fitted(days, Specification(groups={"a": ("u1", "u2")}))
        given = found.parameters
        assert found.preferences.group_ids == true.group_ids
        truth = given.pack(true)
        assert found.misfit <= OWN * truth[given.shrunk] @ truth[given.shrunk]
        misfit, (low, high) = misfit_of(given, days, own=1e-10), given.bounds()
        ended = least_squares(
            misfit.residuals, found.theta, misfit.jacobian, bounds=(low, high), ftol=1e-15, xtol=1e-15, gtol=1e-15
        )
        ours, theirs = given.unpack(ended.x).value_by_user, true.value_by_user
        np.testing.assert_allclose(
            ours - ours[:, :1], theirs - theirs[:, :1], atol=1e-4 * size_of(true), err_msg=f"seed {seed}"
        )
        # Values common to all explain the flows far worse, even than those held short of the truth.
        missed = misfit_of(given, days, own=0.0).residuals(found.theta)
        assert fitted(days).misfit > 10 * missed @ missed


def test_a_warm_start_at_the_truth_stays_there() -> None:
    true = wanted(5, 6, 1)
    days = days_of(true, 5, 1, 0.3)
    given = parameters(days)
    found = fit_days(days, given, start=given.pack(true))
    np.testing.assert_allclose(found.theta, given.pack(true), rtol=0, atol=1e-8)
    assert found.misfit < 1e-20


def test_a_warm_start_at_the_end_of_a_fit_stays_there() -> None:
    days = days_of(wanted(3, 4, 1), 6, 1, 0.3, noise=0.05)
    for specification, shrinkage in ((Specification(), 0.0), (Specification(), 0.3), (FULL, 0.1)):
        found = fitted(days, specification, shrinkage)
        again = fit_days(days, found.parameters, shrinkage, start=found.theta)
        np.testing.assert_allclose(again.theta, found.theta, atol=1e-4)
        assert again.misfit == pytest.approx(found.misfit, rel=1e-7)
        assert again.misfit <= found.misfit * (1 + 1e-12)


def test_a_start_out_of_bounds_is_moved_inside() -> None:
    true = wanted(2, 3, 1)
    days = days_of(true, 5, 1)
    given = parameters(days)
    start = given.pack(true)
    start[given.places["d"]] = -1.0
    assert_same(fit_days(days, given, start=start).preferences, true, 1e-5)


# Shrinkage


def test_more_shrinkage_goes_towards_independence_and_away_from_what_is_seen() -> None:
    # Of exact minima of A + kappa B, B falls and A grows in kappa.
    days = days_of(wanted(2, 3, 4), 5, 4, noise=0.3)
    fits = fit_path(days, parameters(days))
    assert [fit.shrinkage for fit in fits] == sorted(SHRINKAGES, reverse=True)
    flows = [predicted_flows(fit.preferences, days) for fit in fits]
    pulled = [float(((flow - independent_flows(days)) ** 2).sum()) for flow in flows]
    missed = [float(((flow - days.flow) ** 2)[days.train].sum()) for flow in flows]
    assert pulled == sorted(pulled)
    assert missed == sorted(missed, reverse=True)
    assert pulled[-1] > 1.1 * pulled[0]


def test_a_path_has_the_shrinkages_asked_for_from_strong_to_weak() -> None:
    days = days_of(wanted(2, 3, 4), 4, 4, noise=0.1)
    for specification in (Specification(), Specification(own_price=True)):
        given = parameters(days, specification)
        fits = fit_path(days, given, (0.0, 0.3, 0.0))
        assert [fit.shrinkage for fit in fits] == [0.3, 0.0]
        assert all(fit.parameters is given or fit.parameters.specification == specification for fit in fits)
        for fit in fits:
            alone = fit_days(days, given, fit.shrinkage)
            assert alone.misfit == pytest.approx(fit.misfit, rel=1e-6)


# What must not matter


def assert_moved_alike(found: Fit, base: Fit, money: float = 1.0, capacity: float = 1.0, delay: float = 1.0) -> None:
    one, other = found.preferences, base.preferences
    assert one.congestion == pytest.approx(money * capacity * other.congestion, rel=1e-6)
    assert one.delay == pytest.approx(money / delay * other.delay, rel=1e-6)
    np.testing.assert_allclose(one.value, money * other.value, rtol=0, atol=1e-6 * money * size_of(other))
    assert found.misfit == pytest.approx(base.misfit, rel=1e-9)


@pytest.fixture(scope="module", params=[0.0, 0.1])
def noisy(request: pytest.FixtureRequest) -> tuple[Days, Fit]:
    """Days with noise, offers and users missing, and a fit to them; with and without shrinkage.

    All users use all that is offered, here and in the fit: there is no kink near, at which a search may end early.
    """
    days = days_of(replace(wanted(4, 5, 3), congestion=8.0, delay=0.3), 8, 3, 0.3, noise=0.05)
    found = fitted(days, shrinkage=request.param)
    assert (predicted_flows(found.preferences, days)[days.cells] > 0).all()
    return days, found


@pytest.mark.parametrize("factor", [1e-6, 7e3])
def test_units_of_volume_change_nothing(noisy: tuple[Days, Fit], factor: float) -> None:
    days, base = noisy
    scaled = replace(days, flow=factor * days.flow, demand=factor * days.demand, capacity=factor * days.capacity)
    assert_moved_alike(fitted(scaled, shrinkage=base.shrinkage), base)


@pytest.mark.parametrize("factor", [1e-6, 7e3])
def test_units_of_money_scale_weights_and_values(noisy: tuple[Days, Fit], factor: float) -> None:
    days, base = noisy
    found = fitted(replace(days, price=factor * days.price), shrinkage=base.shrinkage)
    assert_moved_alike(found, base, money=factor)


@pytest.mark.parametrize("factor", [1e-6, 7e3])
def test_units_of_capacity_and_delay_scale_their_weights(noisy: tuple[Days, Fit], factor: float) -> None:
    days, base = noisy
    found = fitted(replace(days, capacity=factor * days.capacity), shrinkage=base.shrinkage)
    assert_moved_alike(found, base, capacity=factor)
    found = fitted(replace(days, delay=factor * days.delay), shrinkage=base.shrinkage)
    assert_moved_alike(found, base, delay=factor)


def test_where_users_come_and_go_searches_end_at_kinks_a_thousandth_of_the_misfit_apart() -> None:
    # The misfit of noisy flows has a kink wherever a pair comes into use or goes, and a search may stop at one. The
    # same problem in other units is searched from other distances, and ends elsewhere.
    days = days_of(wanted(4, 5, 3), 8, 3, 0.3, noise=0.05)
    base = fitted(days)
    found = fitted(replace(days, price=7 * days.price))
    assert found.misfit == pytest.approx(base.misfit, rel=1e-3)
    assert found.preferences.congestion == pytest.approx(7 * base.preferences.congestion, rel=0.05)


def test_a_constant_on_all_prices_of_a_day_changes_nothing(noisy: tuple[Days, Fit]) -> None:
    days, base = noisy
    rise = np.random.default_rng(1).uniform(0, 3, (len(days.price), 1))
    dearer = replace(days, price=np.where(days.offered, days.price + rise, 0.0))
    assert_moved_alike(fitted(dearer, shrinkage=base.shrinkage), base)


def test_the_order_of_days_users_and_providers_changes_nothing_but_the_order(noisy: tuple[Days, Fit]) -> None:
    days, base = noisy
    rng = np.random.default_rng(5)
    t, i, j = (rng.permutation(size).tolist() for size in days.flow.shape)
    assert_moved_alike(fitted(part(days, t=t), shrinkage=base.shrinkage), base)
    assert_moved_alike(fitted(part(days, i=i), shrinkage=base.shrinkage), base)
    turned = replace(base, preferences=replace(base.preferences, value=base.preferences.value[j]))
    assert_moved_alike(fitted(part(days, t, i, j), shrinkage=base.shrinkage), turned)


def test_the_order_of_users_and_providers_turns_what_is_their_own() -> None:
    _, days = own_truth(3, 4, 1, 0.2, 0.2)
    base = fitted(days, FULL).preferences
    i, j = [1, 0, 2], [3, 0, 2, 1]  # u1 and u2 change places: the second is now in the group, with u3
    found = fitted(part(days, i=i, j=j), Specification(own_congestion=True, own_price=True, groups={"a": ("u2", "u3")}))
    expected = replace(
        base,
        value=base.value[j],
        congestion_factor=base.congestion_factor[i],
        price_factor=base.price_factor[i],
        group=base.group[i],
        group_value=base.group_value[:, j],
    )
    one, other = found.preferences.value_by_user, expected.value_by_user
    np.testing.assert_allclose(one - one[:, :1], other - other[:, :1], atol=1e-4)
    np.testing.assert_allclose(found.preferences.congestion_weight, expected.congestion_weight, rtol=1e-4)
    np.testing.assert_allclose(found.preferences.price_factor, expected.price_factor, rtol=1e-4)


def test_all_weights_larger_change_nothing(noisy: tuple[Days, Fit]) -> None:
    days, base = noisy
    found = fit_days(days, parameters(days), base.shrinkage, np.full(days.demand.shape, 7.0))
    assert_moved_alike(found, base)


@pytest.mark.parametrize("specification", [Specification(), Specification(own_price=True)], ids=str)
def test_a_day_of_weight_zero_is_as_if_left_out(specification: Specification) -> None:
    days = days_of(wanted(3, 4, 3), 7, 3, noise=0.05)
    wild = days.flow.copy()
    wild[2] = wild[2][:, ::-1]
    days = with_flow(days, wild)
    weight = np.ones(days.demand.shape)
    weight[2] = 0.0
    without = part(days, t=[0, 1, 3, 4, 5, 6])
    found = fit_days(days, parameters(days, specification), weight=weight)
    expected = fitted(without, specification)
    assert_same(found.preferences, expected.preferences, 1e-5)
    assert found.misfit == pytest.approx(expected.misfit, rel=1e-8)
    assert fitted(days, specification).misfit > 2 * found.misfit


def test_a_user_of_weight_zero_still_congests() -> None:
    # Flows of u1 are wild, but its demand is what it is: the truth comes back from the others.
    true = wanted(4, 5, 2)
    days = days_of(true, 8, 2)
    wild = days.flow.copy()
    wild[:, 0] = days.demand[:, :1] / 5
    weight = np.ones(days.demand.shape)
    weight[:, 0] = 0.0
    found = fit_days(replace(days, flow=wild), parameters(days), weight=weight)
    assert_same(found.preferences, true, 1e-6)


@pytest.mark.parametrize(
    ("specification", "hidden", "shrinkage"),
    [
        (Specification(), "cells", 0.0),
        (Specification(), "users", 0.1),
        (Specification(), "days", 0.1),
        (Specification(values=False), "cells", 0.1),
        (FULL, "cells", 0.1),
        (FULL, "days", 0.0),
    ],
    ids=["cells", "users", "days", "no values", "own, cells", "own, days"],
)
def test_flows_that_are_hidden_never_matter(specification: Specification, hidden: str, shrinkage: float) -> None:
    days = days_of(wanted(3, 4, 6), 5, 6, 0.3, noise=0.1)
    train = days.train.copy()
    if hidden == "cells":
        train &= np.random.default_rng(1).random(train.shape) < 0.7
    elif hidden == "users":
        train[:, 1] = False
    else:
        train[-2:] = False
    days = replace(days, train=train)
    other = replace(days, flow=np.where(train, days.flow, 1e3))
    one, two = (fitted(given, specification, shrinkage) for given in (days, other))
    np.testing.assert_array_equal(one.theta, two.theta)
    assert one.misfit == two.misfit


def test_hidden_flows_are_predicted_when_there_is_no_noise() -> None:
    true = wanted(4, 5, 2)
    days = days_of(true, 8, 2, 0.3)
    train = days.train & (np.random.default_rng(1).random(days.train.shape) < 0.5)
    found = fitted(replace(days, train=train))
    np.testing.assert_allclose(predicted_flows(found.preferences, days), days.flow, atol=1e-6 * days.flow.max())


# Little to learn from


def made_again(true: Preferences, days: Days) -> Days:
    """The flows of days that were changed."""
    return with_flow(days, predicted_flows(true, days))


def test_one_day_is_fitted_exactly() -> None:
    days = days_of(wanted(3, 4, 2), 1, 2)
    assert fitted(days).misfit < 1e-15


def test_one_user_of_one_day_is_fitted_exactly() -> None:
    days = days_of(wanted(1, 3, 2), 1, 2)
    assert fitted(days).misfit < 1e-15


def test_a_day_with_one_provider_tells_nothing() -> None:
    true = wanted(3, 4, 2)
    days = days_of(true, 6, 2)
    offered = days.offered.copy()
    offered[2] = [False, True, False, False]
    lone = replace(
        days,
        price=np.where(offered, days.price, 0.0),
        capacity=np.where(offered, days.capacity, 1.0),
        delay=np.where(offered[:, None], days.delay, 0.0),
        offered=offered,
        train=days.train & offered[:, None],
    )
    assert_same(fitted(made_again(true, lone)).preferences, true, 1e-6)


def test_days_with_one_provider_each_have_flows_without_preferences() -> None:
    days = days_of(wanted(3, 2, 2), 3, 2)
    only = part(days, j=[0])
    only = with_flow(only, days.demand[:, :, None])
    found = fitted(only)
    assert found.misfit < 1e-20
    np.testing.assert_array_equal(found.preferences.value, [0])


def test_prices_of_zero_still_tell_values_in_units_of_congestion() -> None:
    true = wanted(3, 4, 2)
    days = days_of(true, 6, 2)
    free = made_again(true, replace(days, price=np.zeros_like(days.price)))
    found = fitted(free).preferences
    ratio = found.congestion / true.congestion
    np.testing.assert_allclose(found.value, ratio * true.value, atol=1e-6 * ratio * size_of(true))
    assert found.delay == pytest.approx(ratio * true.delay, rel=1e-6)


def without_delays(seed: int) -> tuple[Preferences, Days]:
    true = wanted(3, 4, seed)
    days = days_of(true, 6, seed)
    return true, made_again(true, replace(days, delay=np.zeros_like(days.delay)))


def test_without_delays_the_rest_comes_back() -> None:
    true, days = without_delays(2)
    found = fitted(days).preferences
    assert_same(replace(found, delay=true.delay), true, 1e-6)


# A search must not drift where the data say nothing.
@pytest.mark.parametrize("seed", range(3))
def test_without_delays_their_weight_stays_zero(seed: int) -> None:
    assert fitted(without_delays(seed)[1]).preferences.delay < 1e-6


def test_a_day_without_anybody_tells_nothing() -> None:
    true = wanted(3, 4, 2)
    days = days_of(true, 6, 2)
    demand = days.demand.copy()
    demand[3] = 0.0
    empty = made_again(true, replace(days, demand=demand, train=days.train & (demand > 0)[:, :, None]))
    assert_same(fitted(empty).preferences, true, 1e-6)


@pytest.mark.parametrize(
    "size",
    [
        1.0,
        # The mean of many 0.1 is not 0.1, and their variation 1e-33 rather than 0.
        0.1,
    ],
)
def test_flows_that_do_not_vary_have_a_misfit_in_units_of_themselves(size: float) -> None:
    days = days_of(wanted(2, 3, 1), 4, 1)
    assert fitted(with_flow(days, np.full(days.flow.shape, size))).misfit < 1e-6
