"""Elasticities: by hand, and those of the equilibria."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    alike,
    differing,
    drawn_days,
    hand_days,
    wanted,
    with_flow_of,
)
from prillm_or.calibration.days import Days
from prillm_or.calibration.elasticities import own_price_elasticities
from prillm_or.calibration.preferences import Preferences, predicted_flows


def one_user() -> tuple[Preferences, Days]:
    """One user of demand 4, w_q = 2; two providers of capacity 2 and 4 at prices 6 and 4, on day 2 the second alone.

    Offsets 3 and 2, so that flows are 2/3 and 10/3 on day 1, as in test_calibration_gradient.
    """
    true = alike(1, [0.0, 0.0], congestion=2.0, delay=0.5)
    days = hand_days(
        [[6.0, 4.0], [0.0, 4.0]],
        [[[2.0, 2.0]], [[0.0, 4.0]]],
        capacity=[[2.0, 4.0], [1.0, 4.0]],
        offered=[[True, True], [False, True]],
    )
    return true, with_flow_of(true, days)


def test_elasticities_of_one_user_and_two_providers_by_hand() -> None:
    # Day 1: df_j/dg_j = -1 / (2/2 + 2/4) = -2/3 for both, so df_j/dp_j = -1/3. Elasticities -1/3 x 6 / (2/3) = -3 and
    # -1/3 x 4 / (10/3) = -2/5. Day 2: 0, nobody else is there. Revenue of p2: 40/3 and 16, so that day 1 counts 5/11.
    true, days = one_user()
    np.testing.assert_allclose(days.flow, np.array([[[2 / 3, 10 / 3]], [[0, 4]]]), rtol=1e-13)
    np.testing.assert_allclose(own_price_elasticities(true, days), [-3, -2 / 5 * 5 / 11], rtol=1e-12)


def test_who_does_not_mind_prices_much_reacts_less() -> None:
    # Half the price weight at twice the price: the same flows, the same share by which they change.
    true, days = one_user()
    other = replace(true, price_factor=np.array([0.5]))
    dearer = replace(days, price=2 * days.price)
    np.testing.assert_allclose(own_price_elasticities(other, dearer), own_price_elasticities(true, days), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_elasticities_are_those_of_the_equilibria(seed: int) -> None:
    true = differing(wanted(4, 5, seed), seed)
    days = drawn_days(true, 4, seed, 0.3)
    found = own_price_elasticities(true, days)
    load, step = predicted_flows(true, days).sum(axis=1), 1e-6
    for j in range(5):
        revenue = (load * days.price)[:, j]
        used = np.flatnonzero(revenue)
        if not len(used):
            assert np.isnan(found[j])
            continue
        factor = 1 + step * (np.arange(5) == j)
        up = predicted_flows(true, replace(days, price=days.price * factor)).sum(axis=1)
        down = predicted_flows(true, replace(days, price=days.price / factor)).sum(axis=1)
        of_day = np.log(up[used, j] / down[used, j]) / (2 * step)
        assert found[j] == pytest.approx(of_day @ revenue[used] / revenue[used].sum(), rel=1e-5)
        assert found[j] < 0


def test_providers_without_revenue_have_no_elasticity() -> None:
    true = wanted(3, 4, 1)
    days = drawn_days(true, 3, 1)
    price = days.price.copy()
    price[:, 1], price[:, 2] = 0.0, 99.0  # one is free, one is used by nobody
    changed = replace(days, price=price)
    flow = predicted_flows(true, changed)
    assert (flow[:, :, 1] > 0).any()
    assert (flow[:, :, 2] == 0).all()
    np.testing.assert_array_equal(np.isnan(own_price_elasticities(true, changed)), [False, True, True, False])
