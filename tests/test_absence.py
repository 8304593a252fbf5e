"""The proof that two owners have no equilibrium of prices: where it holds, and where it is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from prillm_or.competition import absence
from prillm_or.competition.absence import may_be_none, none_within
from prillm_or.competition.competition import Status
from prillm_or.competition.search import find_prices
from prillm_or.competition.setting import Setting, setting_of
from prillm_or.curves.trace import Piece
from prillm_or.limits import Deadline
from prillm_or.market.synthetic import generate
from prillm_or.solving.run import solve

CYCLES = 35
"""Seed of a market of 4 users and 3 providers in which best responses of the last two go round in a cycle."""


def of_two(seed: int) -> Setting:
    market = generate(4, 3, "uniform", seed)
    return setting_of(market, market.provider_ids[-2:])


def test_where_a_parabola_reaches_a_level_by_hand() -> None:
    # From price 1 on the load is 4 - h, at no cost: (1 + h) (4 - h) >= 6 where h^2 - 3 h + 2 <= 0, h from 1 to 2.
    piece = Piece(1.0, 5.0, np.array([4.0]), np.array([-1.0]))
    assert list(absence.reaching(piece, 0.0, 6.0)) == [pytest.approx((2.0, 3.0))]
    # Its top, at h = 1.5, is 6.25.
    assert list(absence.reaching(piece, 0.0, 6.26)) == []
    # A load of 2 whatever is asked, at a cost of 1: 2 h >= 6 from h = 3 on, to the end of the piece.
    captive = Piece(1.0, 5.0, np.array([2.0]), np.array([0.0]))
    assert list(absence.reaching(captive, 1.0, 6.0)) == [pytest.approx((4.0, 5.0))]
    assert list(absence.reaching(captive, 1.0, 8.01)) == []
    assert list(absence.reaching(replace(captive, load=np.array([0.0])), 1.0, 1.0)) == []


def test_somebody_gains_at_all_prices() -> None:
    # Gains by bisection, which knows nothing of the proof, at random prices and about those where owners gain least.
    setting = of_two(CYCLES)
    found = find_prices(setting)
    assert found.status is Status.NONE
    assert found.absence is not None
    assert found.nearest is not None
    assert 0 < found.absence.share < found.nearest.epsilon
    rng, own = np.random.default_rng(0), list(setting.priced)
    for number in range(60):
        prices = setting.start()
        near, cap = found.nearest.standing.decisions[own], setting.cap[own]
        prices[own] = rng.random(2) * cap if number % 2 else np.clip(near * (1 + 0.02 * rng.standard_normal(2)), 0, cap)
        gains = []
        for owner in range(2):
            best = solve(setting.seat(owner, prices), solver="bisect", gap=1e-9)
            assert best.today is not None
            gains.append((best.profit - best.today.profit) / best.profit)
        assert max(gains) > found.absence.share


def test_where_there_is_an_equilibrium_nothing_is_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence, "_MOST_BOXES", 300)
    setting = of_two(12)
    assert find_prices(setting).status is Status.EQUILIBRIUM
    assert none_within(setting, 0.0, Deadline(None)) is None


def test_more_is_not_proven_than_the_nearest_prices_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence, "_MOST_BOXES", 600)
    setting = of_two(CYCLES)
    near = find_prices(setting).nearest
    assert near is not None
    assert none_within(setting, 1.01 * near.epsilon, Deadline(None)) is None


def test_it_is_for_two_owners_of_one_price_whose_users_weigh_alike() -> None:
    setting = of_two(CYCLES)
    assert may_be_none(setting)
    market = setting.market
    assert not may_be_none(setting_of(market))
    assert not may_be_none(setting_of(replace(market, price_weight=np.arange(1.0, 5.0)), market.provider_ids[-2:]))
    assert find_prices(setting_of(generate(4, 3, "uniform", 13))).absence is None


def test_time_that_is_up_proves_nothing() -> None:
    assert none_within(of_two(CYCLES), 0.0, Deadline(0.0)) is None
