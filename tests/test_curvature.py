from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import lambertw

from helpers.markets import in_other_units, shipped, with_unit_cost
from prillm_or.calibration.curvature import logit_price


@pytest.mark.parametrize("cost", [0.0, 1.0])
def test_one_rival_by_hand(cost: float) -> None:
    """Sells (6 - p) / 2 of a demand of 4; today, at 1, 2.5: s = 5/8, b = (1/2) / 2.5 = 1/5, a = b / (3/8) = 8/15.

    At the best, a (p - c) (1 - share) = 1. With y = a (p - c) that is y - 1 = share / (1 - share)
    = 5/3 e^(a - a c - y), so that (y - 1) e^(y - 1) = 5/3 e^(a - a c - 1).
    """
    a = 8 / 15
    y = 1 + float(lambertw(5 / 3 * np.exp(a - a * cost - 1)).real)
    assert logit_price(with_unit_cost(shipped("tiny/one-rival"), cost)) == pytest.approx(cost + y / a, rel=1e-6)


def test_a_user_who_stays_at_a_step_stays_at_any_price() -> None:
    """Both capacities so large that the cheaper has all: the leader at 1, until the rival's 2."""
    market = shipped("tiny/one-rival")
    crowd = replace(market, capacity=1e6 * market.capacity)
    assert logit_price(crowd) == 10.0
    assert logit_price(crowd.with_arrays(price=np.array([3.0, 2.0]))) is None


def test_of_one_price_that_is_known_alone() -> None:
    market = shipped("tiny/one-rival")
    assert logit_price(shipped("tiny/two-prices")) is None
    assert logit_price(market.with_arrays(price=np.array([0.0, 2.0]))) is None
    assert logit_price(market.with_arrays(price=np.array([np.nan, 2.0]))) is None


def test_units_of_money_and_volume_change_no_more_than_the_figure() -> None:
    market = shipped("coding-13")
    found = logit_price(market)
    assert found is not None
    assert logit_price(in_other_units(market, money=1000.0, volume=7.0)) == pytest.approx(1000 * found, rel=1e-6)
