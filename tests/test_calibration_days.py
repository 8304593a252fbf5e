"""Days: what a fit is given of observations, market shares as far as they are seen, and nothing of what is held out."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from helpers.calibration import observations_of
from prillm_or.calibration.days import Days, days_of, independent_flows, market_shares
from prillm_or.calibration.observations import Observations
from prillm_or.market.market import Array, Mask
from prillm_or.users.differentiable import equilibrium_flows


def random_observations(seed: int, days: int = 6, n: int = 4, m: int = 5, offers: float = 0.7) -> Observations:
    """Random flows; the first two providers are always offered, the first user is always there."""
    rng = np.random.default_rng(seed)
    offered, present = rng.random((days, m)) < offers, rng.random((days, n)) < 0.8
    offered[:, :2] = present[:, 0] = True
    flow = rng.lognormal(1, 1, (days, n, m)) * offered[:, None] * present[:, :, None]
    return observations_of(
        flow,
        price=np.where(offered, rng.uniform(1, 3, (days, m)), np.nan),
        capacity=np.where(offered, rng.uniform(1, 3, (days, m)), np.nan),
        delay=np.where(offered[:, None] & present[:, :, None], rng.uniform(0, 2, (days, n, m)), np.nan),
    )


def seen_rows(observations: Observations, seed: int, share: float = 0.7) -> Mask:
    """Cells of a random part of all users' days, whole rows of them; those of the first user stay."""
    rows = np.random.default_rng(seed).random(observations.demand.shape) < share
    rows[:, 0] = True
    return observations.cells & rows[:, :, None]


def seen_cells(observations: Observations, seed: int, share: float = 0.7) -> Mask:
    return observations.cells & (np.random.default_rng(seed).random(observations.flow.shape) < share)


def test_every_number_is_finite_and_what_is_not_there_is_zero_or_one() -> None:
    # Day 1: u1 at p1 and p2; day 2: u2 comes, p2 goes. Delays of u2 on day 1 and of p2 on day 2 are not known.
    observations = observations_of(
        [[[3, 1], [0, 0]], [[2, 0], [4, 0]]],
        price=[[1, 2], [3, np.nan]],
        capacity=[[5, 6], [7, np.nan]],
        delay=[[[1, 2], [np.nan, np.nan]], [[3, np.nan], [4, np.nan]]],
    )
    days = days_of(observations)
    np.testing.assert_array_equal(days.price, [[1, 2], [3, 0]])
    np.testing.assert_array_equal(days.capacity, [[5, 6], [7, 1]])
    np.testing.assert_array_equal(days.delay, [[[1, 2], [0, 0]], [[3, 0], [4, 0]]])
    np.testing.assert_array_equal(days.demand, [[4, 0], [2, 4]])
    np.testing.assert_array_equal(days.offered, [[True, True], [True, False]])
    np.testing.assert_array_equal(days.cells, [[[True, True], [False, False]], [[True, False], [True, False]]])
    np.testing.assert_array_equal(days.train, days.cells)
    np.testing.assert_array_equal(days.flow, observations.flow)


def test_a_delay_that_is_known_of_a_pair_that_cannot_be_is_not_read() -> None:
    days = days_of(observations_of([[[3, 0], [0, 0]]], price=[[1, np.nan]], delay=[[[1, 99], [99, 99]]]))
    np.testing.assert_array_equal(days.delay, [[[1, 0], [0, 0]]])


def test_only_cells_that_could_be_are_seen() -> None:
    observations = observations_of([[[3, 1], [0, 0]], [[2, 0], [4, 0]]], price=[[1, 2], [3, np.nan]])
    everything = np.ones((2, 2, 2), dtype=bool)
    np.testing.assert_array_equal(days_of(observations, everything).train, observations.cells)
    everything[0, 0, 1] = False
    seen = days_of(observations, everything).train
    np.testing.assert_array_equal(seen, [[[True, False], [False, False]], [[True, False], [True, False]]])


def test_tensors_are_what_the_layer_takes() -> None:
    days = days_of(random_observations(1))
    capacity, demand, offered = days.tensors()
    assert (capacity.dtype, demand.dtype, offered.dtype) == (torch.float64, torch.float64, torch.bool)
    np.testing.assert_array_equal(capacity.numpy(), days.capacity)
    np.testing.assert_array_equal(demand.numpy(), days.demand)
    np.testing.assert_array_equal(offered.numpy(), days.offered)


def test_market_shares_are_those_of_the_loads_where_everything_is_seen() -> None:
    # Loads 6, 2, 0 and 1, 3, 4: in all 7, 5, 4 of 16, on both days.
    days = days_of(observations_of([[[4, 1, 0], [2, 1, 0]], [[1, 0, 4], [0, 3, 0]]]))
    np.testing.assert_allclose(market_shares(days), [[7 / 16, 5 / 16, 4 / 16]] * 2, rtol=1e-11)


def test_market_shares_are_split_by_strength_among_those_offered() -> None:
    # Day 1 offers p1 and p2, loads 6 and 2: p1 is 3 times as strong as p2. Day 2 offers p2 and p3, loads 1 and 2: p3 is
    # twice as strong as p2. So 3 : 1 : 2, and on day 3, when all are offered, 1/2, 1/6, 1/3. Day 3 has loads 3, 1, 2.
    flow = [[[4, 1, 0], [2, 1, 0]], [[0, 1, 1], [0, 0, 1]], [[3, 0, 0], [0, 1, 2]]]
    price = [[1, 1, np.nan], [np.nan, 1, 1], [1, 1, 1]]
    expected = [[3 / 4, 1 / 4, 0], [0, 1 / 3, 2 / 3], [1 / 2, 1 / 6, 1 / 3]]
    shares = market_shares(days_of(observations_of(flow, price=price)))
    np.testing.assert_allclose(shares, expected, atol=1e-10)
    assert shares[0, 2] == shares[1, 0] == 0
    without_third = market_shares(days_of(observations_of(flow[:2], price=price[:2])))
    np.testing.assert_allclose(without_third, expected[:2], atol=1e-10)


def test_market_shares_of_a_row_not_seen_are_those_of_the_others_however_large_it_is() -> None:
    # u1 is seen, 3 to 1. u2 routes 96, to p2 alone, which nobody may know: s_1 = (3 + 96 s_1)/100 gives s_1 = 3/4.
    observations = observations_of([[[3, 1], [0, 96]]])
    days = days_of(observations, observations.cells & [[[True], [False]]])
    np.testing.assert_allclose(market_shares(days), [[3 / 4, 1 / 4]], rtol=1e-10)
    np.testing.assert_allclose(independent_flows(days), [[[3, 1], [72, 24]]], rtol=1e-10)
    np.testing.assert_allclose(days.completed_flow(), [[[3, 1], [72, 24]]], rtol=1e-10)


def test_market_shares_of_a_single_cell_not_seen() -> None:
    # D = 4, 3 of them seen at p1. With s at p1, p2 is filled in by 4 (1 - s): s = 3 / (3 + 4 (1 - s)), that is
    # 4 s^2 - 7 s + 3 = 0, so s = 3/4 (or 1, which the start is far from). Two cells not seen share the rest alike.
    for m, expected in ((2, [3 / 4, 1 / 4]), (3, [3 / 4, 1 / 8, 1 / 8])):
        observations = observations_of([[[3, 1, 0][:m]]])
        days = days_of(observations, np.array([[[True, False, False][:m]]]))
        np.testing.assert_allclose(market_shares(days), [expected], rtol=1e-10)
        # What was seen stays, what was not is 4 s.
        np.testing.assert_allclose(days.completed_flow(), [[[3, *(4 * share for share in expected[1:])]]], rtol=1e-10)


def test_completed_flow_keeps_what_is_seen() -> None:
    observations = random_observations(2)
    days = days_of(observations, seen_cells(observations, 3))
    completed = days.completed_flow()
    np.testing.assert_array_equal(completed[days.train], days.flow[days.train])
    hidden = days.cells & ~days.train
    np.testing.assert_array_equal(completed[hidden], independent_flows(days)[hidden])
    assert (completed[~days.cells] == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_shares_sum_to_one_and_those_not_offered_have_none(seed: int) -> None:
    observations = random_observations(seed)
    for train in (None, seen_rows(observations, seed), seen_cells(observations, seed)):
        shares = market_shares(days_of(observations, train))
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-14)
        assert (shares[~observations.offered] == 0).all()
        assert (shares >= 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_loads_seen_add_up_to_what_the_shares_lead_to_expect(seed: int) -> None:
    # The first-order conditions of the likeliest strengths: over all days, each provider's load is its expected one.
    observations = random_observations(seed)
    days = days_of(observations, seen_rows(observations, seed))
    seen = np.where(days.train, days.flow, 0.0)
    volume = seen.sum(axis=(1, 2))
    expected = (volume[:, None] * market_shares(days)).sum(axis=0)
    np.testing.assert_allclose(expected, seen.sum(axis=(0, 1)), rtol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_strengths_are_likelier(seed: int) -> None:
    observations = random_observations(seed)
    days = days_of(observations, seen_rows(observations, seed))
    load = np.where(days.train, days.flow, 0.0).sum(axis=1)

    def likelihood(factor: Array) -> float:
        share = market_shares(days) * factor
        share = share / share.sum(axis=1, keepdims=True)
        return float((load * np.log(np.where(days.offered, share, 1.0))).sum())

    rng = np.random.default_rng(seed)
    best = likelihood(np.ones(observations.m))
    for size in (1e-3, 0.1, 1.0):
        for _ in range(10):
            assert likelihood(np.exp(size * rng.standard_normal(observations.m))) < best


@pytest.mark.parametrize("seed", range(4))
def test_cells_not_seen_are_filled_in_by_what_the_shares_say(seed: int) -> None:
    # The fixed point of the docstring, times S_t: loads with the gaps filled in are the expected ones, up to a factor
    # common to all since the volume of a row seen in part need not be its demand.
    observations = random_observations(seed)
    days = days_of(observations, seen_cells(observations, seed))
    completed = days.completed_flow().sum(axis=(0, 1))
    expected = (days.demand.sum(axis=1, keepdims=True) * market_shares(days)).sum(axis=0)
    ratio = completed / expected
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-8)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_flows_that_are_independent_are_found_whatever_is_hidden(share: float) -> None:
    observations = random_observations(5, days=12)
    strength = np.array([5.0, 1.0, 2.0, 0.1, 8.0]) * observations.offered
    truth = strength / strength.sum(axis=1, keepdims=True)
    flow = observations.demand[:, :, None] * truth[:, None]
    independent = observations_of(
        flow, price=observations.price, capacity=observations.capacity, delay=observations.delay
    )
    days = days_of(independent, seen_cells(independent, 6, share))
    np.testing.assert_allclose(market_shares(days), truth, atol=1e-8)
    np.testing.assert_allclose(days.completed_flow(), flow, atol=1e-8 * flow.max())


def test_shares_do_not_depend_on_units_or_order() -> None:
    observations = random_observations(7)
    train = seen_cells(observations, 8)
    shares = market_shares(days_of(observations, train))
    t, i, j = np.array([3, 1, 0, 5, 4, 2]), np.array([2, 3, 0, 1]), np.array([4, 0, 3, 1, 2])
    days = days_of(observations, train)
    turned = Days(
        price=days.price[t][:, j],
        capacity=days.capacity[t][:, j],
        delay=days.delay[t][:, i][:, :, j],
        demand=1e6 * days.demand[t][:, i],
        offered=days.offered[t][:, j],
        flow=1e6 * days.flow[t][:, i][:, :, j],
        train=days.train[t][:, i][:, :, j],
    )
    np.testing.assert_allclose(market_shares(turned), shares[t][:, j], atol=1e-9)


def test_a_provider_that_is_seen_to_be_left_alone_gets_next_to_nothing_until_it_is_the_only_one() -> None:
    # Day 1 is seen: nobody uses p3. Day 2 is not, and offers p3 alone: someone has to use it. On day 3 p1 is there too.
    price = [[1, 1, 1], [np.nan, np.nan, 1], [1, np.nan, 1]]
    observations = observations_of([[[3, 1, 0]], [[0, 0, 2]], [[1, 0, 1]]], price=price)
    shares = market_shares(days_of(observations, np.array([[[True] * 3], [[False] * 3], [[False] * 3]])))
    np.testing.assert_allclose(shares, np.array([[3 / 4, 1 / 4, 0], [0, 0, 1], [1, 0, 0]]), atol=1e-11)


def test_days_of_which_nothing_is_seen_do_not_change_the_shares_of_the_others() -> None:
    for seed in range(3):
        observations = random_observations(seed)
        train = seen_cells(observations, seed)
        train[[1, 4]] = False
        days = days_of(observations, train)
        kept = np.array([0, 2, 3, 5])
        without = Days(**{field.name: getattr(days, field.name)[kept] for field in fields(Days)})
        np.testing.assert_allclose(market_shares(days)[kept], market_shares(without), atol=1e-9)


def test_shares_kept_with_days_are_those_of_the_cells_they_see() -> None:
    observations = random_observations(1)
    days = days_of(observations)
    np.testing.assert_array_equal(days.market_share, market_shares(days))
    less = replace(days, train=seen_rows(observations, 2))
    np.testing.assert_array_equal(less.market_share, market_shares(less))
    assert (less.market_share != days.market_share).any()


def test_capacities_are_made_anew_for_the_loads_to_be_expected() -> None:
    # Loads 3 and 5, capacities twice as much. Of u2 only its demand of 4 is seen, and u1 routes 3 to 1: of 8 in all, 6
    # and 2 are to be expected, and capacities are 12 and 4.
    observations = observations_of([[[3, 1], [0, 4]]], capacity=[[6, 10]])
    train = observations.cells & [[[True], [False]]]
    np.testing.assert_allclose(days_of(observations, train, capacity_of_load=True).capacity, [[12, 4]], rtol=1e-10)
    np.testing.assert_array_equal(days_of(observations, train).capacity, [[6, 10]])
    np.testing.assert_array_equal(days_of(observations, capacity_of_load=True).capacity, [[6, 10]])


def test_days_on_which_a_provider_is_new_can_be_computed_with_though_nothing_is_known_of_it() -> None:
    # p3 comes on day 2, of which nothing is seen: its load to be expected is next to 0, and so is its capacity.
    price = [[1, 1, np.nan], [1, 1, 1]]
    observations = observations_of([[[3, 1, 0]], [[1, 1, 2]]], price=price, capacity=[[6, 2, np.nan], [2, 2, 4]])
    days = days_of(observations, observations.cells & [[[True]], [[False]]], capacity_of_load=True)
    np.testing.assert_allclose(days.capacity[1], [6, 2, 0], atol=1e-9)  # of 4, 3 and 1 to be expected
    assert (days.capacity > 0).all()
    flow = equilibrium_flows(torch.zeros(2, 1, 3, dtype=torch.float64), *days.tensors()).numpy()
    np.testing.assert_allclose(flow.sum(axis=2), days.demand, rtol=1e-12)
    np.testing.assert_allclose(flow[1], [[3, 1, 0]], atol=1e-9)


def test_capacities_of_providers_not_offered_stay_one() -> None:
    observations = observations_of([[[3, 1], [1, 1]], [[2, 0], [1, 0]]], price=[[1, 1], [1, np.nan]])
    train = observations.cells & [[[True], [False]]]
    assert days_of(observations, train, capacity_of_load=True).capacity[1, 1] == 1


def with_other_hidden_flows(observations: Observations, train: Mask, seed: int) -> Observations:
    """What is not seen of each row is split anew; capacities stay twice the loads."""
    rng = np.random.default_rng(seed)
    hidden = observations.cells & ~train
    left = np.where(hidden, observations.flow, 0.0).sum(axis=2, keepdims=True)
    part = rng.uniform(0.1, 1, hidden.shape) * hidden
    total = part.sum(axis=2, keepdims=True)
    flow = np.where(hidden, left * part / np.where(total > 0, total, 1.0), observations.flow)
    # The same demands to the last digit, which sums of other flows would not have: whole numbers.
    flow = np.where(hidden, np.floor(flow), flow)
    missing = observations.flow.sum(axis=2) - flow.sum(axis=2)
    for t, i in np.argwhere(missing != 0):
        flow[t, i, np.flatnonzero(hidden[t, i])[0]] += missing[t, i]
    return observations_of(
        flow,
        price=observations.price,
        capacity=np.where(observations.offered, 2 * flow.sum(axis=1), np.nan),
        delay=observations.delay,
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("whole", ["rows", "cells"])
def test_hidden_flows_change_nothing_but_themselves(seed: int, whole: str) -> None:
    base = random_observations(seed, offers=0.8)
    base = observations_of(np.ceil(10 * base.flow), price=base.price, delay=base.delay)
    train = seen_rows(base, seed) if whole == "rows" else seen_cells(base, seed)
    one, other = (with_other_hidden_flows(base, train, number) for number in (10, 11))
    assert (one.flow != other.flow).any()
    assert (one.capacity != other.capacity).any()
    first, second = (days_of(given, train, capacity_of_load=True) for given in (one, other))
    for field in fields(Days):
        if field.name not in ("flow", "capacity"):
            np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), err_msg=field.name)
    # 2 x load x (expected / load): bit-identical but for the last digit of a product and a quotient.
    np.testing.assert_allclose(first.capacity, second.capacity, rtol=4e-16)
    np.testing.assert_array_equal(first.flow[train], second.flow[train])
    np.testing.assert_array_equal(market_shares(first), market_shares(second))
    np.testing.assert_array_equal(first.completed_flow(), second.completed_flow())
