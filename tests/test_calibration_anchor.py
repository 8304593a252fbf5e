"""An elasticity known from elsewhere: by hand, its derivatives, and what it does to a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    FULL,
    alike,
    drawn_days,
    hand_days,
    misfit_of,
    numeric,
    observations_of,
    parameters,
    random_theta,
    wanted_at_random,
    with_flow_of,
)
from prillm_or.calibration.anchor import Anchor, Response, response
from prillm_or.calibration.fit import fit_days, rescaled_start
from prillm_or.calibration.judged_fit import Earlier, Options, fit_and_judge
from prillm_or.calibration.misfit import Misfit
from prillm_or.calibration.observations import Leader
from prillm_or.calibration.specification import Specification
from prillm_or.errors import ObservationsError

pytestmark = pytest.mark.usefixtures("one_thread")

SPECIFICATIONS = (
    FULL,
    Specification(dispersion="user", own_values=True),
    Specification(congestion=False, dispersion="common"),
)


def test_the_elasticity_of_a_step_by_hand() -> None:
    # One user, w_q = 2, capacities 2 and 4, offsets 3 and 2: flows (D - 2) / 3 and the rest, while both are used. A
    # price of 6 up by .3 takes .3 / 3 from p1. D = 4: -.2 / .1 / (2/3) = -3. p2 at 4: -4/3 / (10/3) = -2/5. On day 2
    # p2 is alone and sells 4 at 4: revenues 4, 40/3 and 16.
    true = alike(1, [0.0, 0.0], congestion=2.0, delay=0.5)
    days = hand_days(
        [[6.0, 4.0], [0.0, 4.0]],
        [[[2.0, 2.0]], [[0.0, 4.0]]],
        capacity=[[2.0, 4.0], [1.0, 4.0]],
        offered=[[True, True], [False, True]],
    )
    for who, expected in (((0,), -3), ((1,), -2 / 5 * 5 / 11), ((0, 1), -(3 * 4 + 2 / 5 * 40 / 3) / (4 + 40 / 3 + 16))):
        assert response(true, days, who) == pytest.approx(expected, rel=1e-12)
    # D = 2.15: a flow of .05 to p1, that a price .3 higher drives to 0, and one .3 lower to .15.
    few = hand_days([[6.0, 4.0]], [[[0.05, 2.1]]], capacity=[[2.0, 4.0]])
    assert response(true, few, (0,)) == pytest.approx(-0.15 / 0.1 / 0.05, rel=1e-9)
    # Nobody uses p1, nor would at a price 5 % lower.
    none = hand_days([[9.0, 4.0]], [[[0.0, 2.1]]], capacity=[[2.0, 4.0]])
    assert response(true, none, (0,)) == 0


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_derivatives_of_the_elasticity_are_exact_between_kinks(specification: Specification) -> None:
    days = drawn_days(wanted_at_random(3, 4, 1), 3, 1, missing=0.3, noise=0.3)
    given = parameters(days, specification)
    theta = random_theta(given, 1)
    found = Response(given, days, (0, 2))
    assert found.at(theta) == pytest.approx(response(given.unpack(theta), days, (0, 2)), rel=1e-9)
    exact = found.changes(theta)
    np.testing.assert_allclose(exact, numeric(found.at, theta), rtol=1e-5, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_an_anchor_adds_its_noise_for_each_squared_standard_error(specification: Specification) -> None:
    days = drawn_days(wanted_at_random(3, 4, 2), 2, 2, noise=0.3)
    given = parameters(days, specification)
    theta = random_theta(given, 2)
    elasticity = response(given.unpack(theta), days, (1,))
    anchor = Anchor((1,), elasticity - 0.5, 0.25, noise=0.01)
    plain = misfit_of(given, days)
    anchored = Misfit(given, days, np.ones(days.demand.shape), anchor=anchor)
    missed, residuals = plain.residuals(theta), anchored.residuals(theta)
    assert residuals @ residuals == pytest.approx(missed @ missed + 0.01 * 2**2, rel=1e-9)
    slopes = anchored.jacobian(theta)
    assert slopes.shape == (len(residuals), given.size)
    np.testing.assert_allclose(slopes[: len(missed)], plain.jacobian(theta), rtol=1e-9, atol=1e-12)


def test_one_day_without_prices_that_move_leaves_the_elasticity_to_its_anchor_and_exact_flows_do_not() -> None:
    true = wanted_at_random(4, 3, 3)
    days = drawn_days(true, 1, 3, noise=0.2)
    given = parameters(days)
    free = fit_days(days, given, start=given.pack(true))
    own = response(free.preferences, days, (0,))
    for wanted in (-0.6, -3.0):
        start = given.rescaled(free.theta, own / wanted, days.price[0])
        held = fit_days(days, given, start=start, anchor=Anchor((0,), wanted, 0.01))
        assert response(held.preferences, days, (0,)) == pytest.approx(wanted, rel=0.01)
        assert held.missed < free.missed + 0.2
    exact = with_flow_of(true, days)
    told = fit_days(exact, given, start=given.pack(true))
    anchored = fit_days(exact, given, start=told.theta, anchor=Anchor((0,), -9.0, 0.3, told.noise))
    np.testing.assert_allclose(anchored.theta, told.theta, atol=1e-4)


def test_a_start_is_rescaled_from_next_to_no_response_to_the_one_wanted() -> None:
    # Flows of one day: the response is free, and may come out as next to none.
    true = wanted_at_random(4, 3, 3)
    days = drawn_days(true, 1, 3, noise=0.2)
    given = parameters(days)
    fit = fit_days(days, given, start=given.pack(true))
    for faint in (-1e-2, -1e-5):
        theta = rescaled_start(fit, response(fit.preferences, days, (0,)), faint)
        from_faint = replace(fit, theta=theta, preferences=given.unpack(theta))
        elasticity = response(from_faint.preferences, days, (0,))
        assert elasticity == pytest.approx(faint, rel=0.2)
        back = given.unpack(rescaled_start(from_faint, elasticity, -1.0))
        assert response(back, days, (0,)) == pytest.approx(-1.0, rel=0.2)


def test_users_own_weights_of_price_and_values_do_not_make_a_market_buy_by_price_alone() -> None:
    # One day, users who concentrate on providers of their own: weights of congestion could go to 0, and all that is
    # users' own with them, at a better and better R^2. Elasticities were then -30 and beyond, from a step of 5 %.
    rng = np.random.default_rng(0)
    flow = np.exp(2.5 * rng.standard_normal((1, 3, 3))) + 0.001
    days = hand_days(rng.uniform(0.5, 2, (1, 3)), flow, capacity=flow.sum(axis=1))
    for specification in (Specification(own_price=True), Specification(groups={"a": ("u1",), "b": ("u2",)})):
        found = fit_days(days, parameters(days, specification))
        assert -10 < response(found.preferences, days, range(3)) < 0
        assert found.missed < 0.4


def test_free_providers_have_no_elasticity_to_know() -> None:
    free = replace(
        observations_of([[[1.0, 2.0]]], price=[[0.0, 1.0]]), leader=Leader(providers=("p1",), price_cap=(9.0,))
    )
    with pytest.raises(ObservationsError, match="p1: free on all days"):
        fit_and_judge(free, Options(elasticity=(-1.1, 0.3)))


def test_misses_that_last_count_as_fewer() -> None:
    # Shares of .5 at equal prices and capacities, missed by -d and d: ten times each in turn, or ten in a row.
    days = hand_days([[1.0, 1.0]] * 20, [[[0.5, 0.5]]] * 20)
    for signs, rho in (([-1.0, 1.0] * 10, 0.0), ([-1.0] * 10 + [1.0] * 10, 17 / 19)):
        off = 0.1 * np.array(signs)[:, None, None] * np.array([1.0, -1.0])
        fit = fit_days(replace(days, flow=days.flow + off), parameters(days, Specification()))
        # Of 40 cells a value and a weight are fitted; of 19 pairs in a row 18 agree and one does not.
        alone = fit.missed / (40 - fit.parameters.size)
        assert fit.noise == pytest.approx(alone * (1 + rho) / (1 - rho), rel=1e-6)


def test_from_a_fit_without_any_response_one_that_is_known_is_found() -> None:
    # Shares that rise with their prices: no response at all fits best, and a search from there ends elsewhere.
    rng = np.random.default_rng(3)
    price, capacity = rng.uniform(1.0, 2.0, (8, 5)), rng.uniform(1.0, 9.0, (8, 5))
    share = capacity * price**0.3 * np.exp(0.3 * rng.standard_normal((8, 5)))
    flow = share / share.sum(axis=1, keepdims=True)
    seen = observations_of(flow[:, None], price=price, capacity=capacity, leader=Leader(("p1",), (9.0,)))
    alone = fit_and_judge(seen, Options(shrinkage=0.0)).fit
    assert response(alone.preferences, alone.days, (0,)) > -1e-3
    earlier = Earlier(alone.preferences, 0.0)
    known = fit_and_judge(seen, Options(shrinkage=0.0, elasticity=(-1.0, 0.05)), earlier=earlier).fit
    everywhere = fit_days(known.days, known.parameters, 0.0, known.weight, anchor=known.anchor)
    assert known.misfit == pytest.approx(everywhere.misfit, rel=1e-6)
