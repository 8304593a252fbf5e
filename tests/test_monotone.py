"""What two loads prove of the profit in between, by hand and against grids of prices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.answers import hand_answers
from helpers.markets import draw_market, with_unit_cost
from prillm_or.solvers.monotone import Monotone, Point
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

seeds = st.integers(0, 10**6)
sizes = st.tuples(st.integers(1, 7), st.integers(2, 7))
shares = st.floats(0, 1)


def test_bounds_by_hand() -> None:
    # tiny/one-rival: one user and capacity 2, so sigma = 2 * 1/2; its load (6 - p)/2 falls half as fast.
    market = hand_answers()["one-rival"].market
    bounds = Monotone(market, user_problem(market))
    assert bounds.sigma() == 1.0
    # Loads 2 at price 2 and 1 at 4 with sigma 1/2 are those of (6 - p)/2: p (6 - p)/2 has its top, 9/2, at 3.
    assert bounds.between(Point(2.0, 2.0), Point(4.0, 1.0), 0.5) == pytest.approx(4.5)
    # With sigma 1 the load may stay at 2 up to 3 and then fall as 5 - p: 6 at 3, and (5 - p) p falls from there.
    assert bounds.between(Point(2.0, 2.0), Point(4.0, 1.0), 1.0) == pytest.approx(6.0)
    # Nobody uses it, or nothing can fall: the load is the same all the way.
    assert bounds.between(Point(2.0, 2.0), Point(4.0, 2.0), 0.0) == pytest.approx(8.0)
    # A load of 2.5 at price 1 is more than sigma 1, so the profit rises to 1; at 4, 1 < sigma 4 shows 1 / sigma only.
    assert bounds.rising_to(Point(1.0, 2.5)) == 1.0
    assert bounds.rising_to(Point(4.0, 1.0)) == pytest.approx(1.0, rel=1e-8)
    assert bounds.rising_to(Point(4.0, 0.0)) == 0.0


def test_below_the_unit_cost_a_loss_is_bounded_by_the_smallest_load() -> None:
    market = with_unit_cost(hand_answers()["one-rival"].market, 5.0)
    assert Monotone(market, user_problem(market)).between(Point(1.0, 2.5), Point(3.0, 1.5), 0.5) == -2.0 * 1.5


@given(seed=seeds, size=sizes, low=shares, high=shares, cost=shares)
def test_no_price_in_between_earns_more(
    kind: str, seed: int, size: tuple[int, int], low: float, high: float, cost: float
) -> None:
    market = draw_market(kind, *size, seed)
    cap = float(market.price_cap[0])
    market = with_unit_cost(market, cost * cap)
    users, (low, high) = user_problem(market), sorted((low * cap, high * cap))
    bounds = Monotone(market, users)
    first, last = (solve_users(users, np.array([price])) for price in (low, high))
    rounding = 1e-10 * cap * float(market.demand.sum())
    bound = bounds.between(bounds.point(first), bounds.point(last), bounds.sigma(first)) + rounding
    rising = bounds.rising_to(bounds.point(last))
    assert 0 <= rising <= high
    before = -np.inf
    for price in np.linspace(0, high, 30).tolist():
        earned = (price - cost * cap) * bounds.point(solve_users(users, np.array([price]))).load
        assert price < low or earned <= bound
        assert price > rising or earned >= before - rounding
        before = earned
