"""Baselines: arithmetic by hand, what each must reach or miss, and that none looks at what is held out."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.calibration import alike, hand_days, names_of
from helpers.commands import imported_by
from prillm_or.calibration.baselines import BASELINES, NotApplicableError, baseline_flows
from prillm_or.calibration.baselines.given import Given
from prillm_or.calibration.baselines.restricted import restricted_fit
from prillm_or.calibration.days import Days
from prillm_or.calibration.fit import fit_days
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.preferences import Preferences, predicted_flows
from prillm_or.calibration.scores import scores
from prillm_or.calibration.specification import Specification
from prillm_or.errors import UnavailableError, UnknownNameError
from prillm_or.market.market import Array

STEPS = "prillm_or.calibration.baselines.actor_critic.STEPS"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(STEPS, 20)


def flows_of(name: str, days: Days, weight: Array | None = None, seed: int = 0) -> Array:
    return baseline_flows(name, days, *names_of(days), weight=weight, seed=seed)


def generated(preferences: Preferences, days: int, gaps: bool = False, seed: int = 0) -> Days:
    """Equilibria of preferences, all flows seen; with gaps, a provider is away one day and a user another."""
    rng = np.random.default_rng(seed)
    n, m = len(preferences.user_ids), len(preferences.provider_ids)
    offered, demand = np.ones((days, m), dtype=bool), rng.uniform(1, 5, (days, n))
    if gaps:
        offered[1, 0], demand[0, 1] = False, 0.0
    cells = (demand > 0)[:, :, None] & offered[:, None]
    drawn = Days(
        price=np.where(offered, rng.uniform(0.5, 2, (days, m)), 0.0),
        capacity=np.where(offered, rng.uniform(2, 6, (days, m)), 1.0),
        delay=np.where(cells, rng.uniform(0, 2, (days, n, m)), 0.0),
        demand=demand,
        offered=offered,
        flow=np.zeros(cells.shape),
        train=cells,
    )
    return replace(drawn, flow=predicted_flows(preferences, drawn))


def r2(flow: Array, days: Days) -> float:
    """In the cells seen."""
    found = scores(days.flow, flow, days.demand, days.train).r2
    assert found is not None
    return found


@pytest.mark.parametrize("name", BASELINES)
def test_flows_fill_the_cells_and_do_not_depend_on_what_is_held_out(name: str) -> None:
    """Each baseline learns three times, networks, too."""
    days = generated(alike(3, [0.0, 0.5, 1.0], congestion=0.5, delay=0.3), 3, gaps=True)
    rng = np.random.default_rng(1)
    train = days.cells & (rng.random(days.flow.shape) < 0.8)
    train[2] = False
    days = replace(days, train=train)
    flow = flows_of(name, days)
    assert flow.shape == days.flow.shape
    assert flow.min() >= 0
    assert (flow[~days.cells] == 0).all()
    if name != "xgboost":
        np.testing.assert_allclose(flow.sum(axis=2), days.demand, rtol=1e-12)
    other = np.where(train, days.flow, 99 * rng.random(days.flow.shape))
    np.testing.assert_array_equal(flows_of(name, replace(days, flow=other)), flow)
    if name != "no-congestion":  # it answers to which pairs are used, hardly to how much
        seen = np.where(train, days.flow[:, :, ::-1], days.flow)
        assert np.array_equal(flows_of(name, replace(days, flow=seen)), flow) == (name == "inverse-square")


def test_independence_by_hand() -> None:
    # Loads 3 and 1 of 4 in all.
    days = hand_days([[1.0, 1.0]], [[[2.0, 1.0], [1.0, 0.0]]])
    np.testing.assert_allclose(flows_of("independence", days), [[[9 / 4, 3 / 4], [3 / 4, 1 / 4]]])


def test_inverse_square_by_hand() -> None:
    # 1 : 1/4 of 5. On day 2 the first is away: 1/4 : 1/9 of 13, so 9 and 4. On day 3 two cost nothing.
    price = [[1.0, 2.0, np.inf], [0.0, 2.0, 3.0], [0.0, 2.0, 0.0]]
    offered = [[1, 1, 0], [0, 1, 1], [1, 1, 1]]
    flow = [[[5.0, 0.0, 0.0]], [[0.0, 13.0, 0.0]], [[6.0, 0.0, 0.0]]]
    predicted = flows_of("inverse-square", hand_days(price, flow, offered=offered))
    np.testing.assert_allclose(predicted, [[[4, 1, 0]], [[0, 9, 4]], [[3, 0, 3]]], rtol=1e-14)
    # Prices whose squares are no doubles.
    np.testing.assert_allclose(flows_of("inverse-square", hand_days([[1e-200, 2e-200]], [[[5.0, 0.0]]])), [[[4, 1]]])


def test_last_day_by_hand() -> None:
    # Everybody's flows, 12 + 4 + 8 of 24, make market shares 1/2, 1/6, 1/3; they do for day 1. On day 2, user 1 does
    # as on day 1 (3/4, 1/4, 0), and user 2 as well. On day 3, as on day 2.
    flow = [[[3.0, 1.0, 0.0], [0.0, 0.0, 4.0]], [[4.0, 0.0, 0.0], [0.0, 2.0, 2.0]], [[5.0, 1.0, 0.0], [0.0, 0.0, 2.0]]]
    days = hand_days([[1.0, 1.0, 1.0]] * 3, flow)
    np.testing.assert_allclose(days.flow.sum(axis=(0, 1)), [12, 4, 8])
    expected: list[list[list[float]]] = [[[2, 2 / 3, 4 / 3]] * 2, [[3, 1, 0], [0, 0, 4]], [[6, 0, 0], [0, 1, 1]]]
    np.testing.assert_allclose(flows_of("last-day", days), expected, rtol=1e-12)


def test_last_day_passes_over_days_not_seen_and_providers_gone() -> None:
    # Day 1 is seen; of days 2 and 3 only user 2 on day 2. User 1 goes on as on day 1 (1/2, 1/4, 1/4), on day 3 without
    # the second provider: 2/3, 1/3. User 2 used the second alone, last seen on day 2: nothing is left on day 3, and
    # market shares stand in: 2 : 1 for the first and the third, as seen on day 1, since filling in keeps it so.
    flow = [[[2.0, 1.0, 1.0], [0.0, 4.0, 0.0]], [[0.0, 0.0, 8.0], [0.0, 4.0, 0.0]], [[0.0, 0.0, 6.0], [3.0, 0.0, 0.0]]]
    days = hand_days([[1.0, 1.0, 1.0]] * 3, flow, offered=[[1, 1, 1], [1, 1, 1], [1, 0, 1]])
    train = days.train.copy()
    train[1, 0] = train[2] = False
    predicted = flows_of("last-day", replace(days, train=train))
    np.testing.assert_allclose(predicted[1], [[4, 2, 2], [0, 4, 0]], rtol=1e-12)
    np.testing.assert_allclose(predicted[2, 0], [4, 0, 2], rtol=1e-12)
    np.testing.assert_allclose(predicted[2, 1], [2, 0, 1], rtol=1e-6)


def test_last_day_fills_a_day_seen_in_part() -> None:
    # Seen on day 1: 6 of 9 at the first. The other 3 are split by market shares: loads seen are 4 and 2.
    flow = [[[6.0, 1.0, 2.0], [0.0, 2.0, 1.0]], [[9.0, 0.0, 0.0], [0.0, 2.0, 1.0]]]
    days = hand_days([[1.0, 1.0, 1.0]] * 2, flow)
    train = days.train.copy()
    train[0, 0, 1:] = False
    np.testing.assert_allclose(flows_of("last-day", replace(days, train=train))[1, 0], [6, 2, 1], rtol=1e-6)


def test_last_day_refuses_a_single_day() -> None:
    with pytest.raises(NotApplicableError, match="day before"):
        flows_of("last-day", hand_days([[1.0, 1.0]], [[[2.0, 1.0]]]))


def test_npm_recovers_weights_where_no_values_are_and_counts_days_by_weight() -> None:
    days = generated(alike(3, [0.0, 0.0, 0.0], congestion=0.7, delay=0.4), 3)
    flow = days.flow.copy()
    flow[2] = flow[2, :, ::-1]
    wrong, weight = replace(days, flow=flow), np.array([[1.0] * 3, [1.0] * 3, [0.0] * 3])
    fit = restricted_fit(Given(wrong, *names_of(days), weight, 0), Specification(values=False))
    assert fit.preferences.congestion == pytest.approx(0.7, rel=1e-5)
    assert fit.preferences.delay == pytest.approx(0.4, rel=1e-5)
    np.testing.assert_allclose(flows_of("npm", wrong, weight), days.flow, rtol=0, atol=1e-5)
    assert r2(flows_of("npm", wrong), days) < 0.99


def test_no_congestion_sends_all_to_the_best() -> None:
    # Worth 1 more, the first is best at prices of 1 and 2.5, but not of 4, against 2.
    flow = [[[3.0, 0.0]], [[5.0, 0.0]], [[0.0, 2.0]]]
    days = hand_days([[1.0, 2.0], [2.5, 2.0], [4.0, 2.0]], flow)
    np.testing.assert_allclose(flows_of("no-congestion", days), flow, rtol=0, atol=1e-4)
    assert r2(flows_of("npm", days), days) < 0.99


def test_what_a_baseline_lacks_costs_it() -> None:
    days = generated(alike(4, [0.0, 1.0, 0.5, 1.5], congestion=1.0, delay=0.3), 3)
    assert r2(flows_of("finite-differences", days), days) > 0.9999
    for name in ("independence", "last-day", "inverse-square", "npm", "no-congestion"):
        assert r2(flows_of(name, days), days) < 0.97, name


def test_finite_differences_come_close_to_exact_derivatives() -> None:
    days = generated(alike(4, [0.0, 1.0, 0.5], congestion=0.5, delay=0.3), 2)
    noise = np.exp(0.3 * np.random.default_rng(3).standard_normal(days.flow.shape))
    days = replace(days, flow=days.flow * noise, demand=(days.flow * noise).sum(axis=2))
    fit = fit_days(days, parameters_of(Specification(), days, *names_of(days), "exact"))
    missed = 1 - r2(flows_of("finite-differences", days), days)
    assert fit.misfit > 0.001
    assert fit.misfit * (1 - 1e-6) < missed < 1.05 * fit.misfit


def test_trees_fit_what_they_see_whatever_the_unit_of_weight() -> None:
    days = generated(alike(4, [0.0, 1.0, 0.5, 1.5], congestion=0.5, delay=0.3), 3)
    flow = flows_of("xgboost", days)
    assert r2(flow, days) > 0.8
    assert (flow.sum(axis=2) != days.demand).any()
    np.testing.assert_allclose(flows_of("xgboost", days, np.full((3, 4), 1 / 1024)), flow, rtol=1e-5)
    assert not np.array_equal(flows_of("xgboost", days, seed=1), flow)


def test_actor_critic_keeps_the_best_it_met_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    days = generated(alike(4, [0.0, 1.0, 0.5, 1.5], congestion=0.5, delay=0.3), 1)
    few = flows_of("a2c", days)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # from here on: torch makes a folder when it is loaded
    state = random.getstate(), torch.get_rng_state()
    monkeypatch.setattr(STEPS, 200)
    many = flows_of("a2c", days)
    assert r2(few, days) > 0
    assert 1 - r2(many, days) < 0.8 * (1 - r2(few, days))
    assert not np.array_equal(flows_of("a2c", days, seed=1), many)
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    days = hand_days([[1.0, 1.0]], [[[2.0, 1.0]]])
    for name in ("xgboost", "a2c"):
        monkeypatch.setitem(BASELINES, name, replace(BASELINES[name], package="nowhere_to_be_found"))
        with pytest.raises(UnavailableError, match=r"pip install 'prillm-or\[baselines\]'$") as caught:
            flows_of(name, days)
        assert str(caught.value).startswith(f"baseline {name}: nowhere_to_be_found is not installed")


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(UnknownNameError, match="'last_day': there is none of that name; did you mean last-day"):
        flows_of("last_day", hand_days([[1.0, 1.0]], [[[2.0, 1.0]]]))


def test_the_list_imports_nothing_heavy() -> None:
    asked = "prillm_or.calibration.baselines"
    heavy = ("torch", "xgboost", "gymnasium", "stable_baselines3")
    assert imported_by(f"import {asked}", asked, *heavy) == [asked]
