"""One response to price for many markets: by hand, on shares made by a known response, and in a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import observations_of
from prillm_or.calibration.anchor import response
from prillm_or.calibration.days import days_of
from prillm_or.calibration.judged_fit import Options, fit_and_judge
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.pooling import Response, common_response, own_elasticity, response_of
from prillm_or.errors import ObservationsError

pytestmark = pytest.mark.usefixtures("one_thread")


def logit(
    beta: float, seed: int, *, moves: float = 0.3, noise: float = 0.1, days: int = 12, m: int = 4
) -> Observations:
    """One user whose shares go as value x price^beta, lognormal noise about it; each price moves once."""
    rng = np.random.default_rng(seed)
    price, after = rng.uniform(0.5, 2, m), rng.integers(2, days - 2, m)
    factor = np.exp(moves * rng.choice([-1.0, 1.0], m))
    prices = np.where(np.arange(days)[:, None] >= after, price * factor, price)
    shares = rng.uniform(0.5, 2, m) * prices**beta * np.exp(noise * rng.standard_normal((days, m)))
    flow = 100 * shares / shares.sum(axis=1, keepdims=True)
    return observations_of(flow[:, None], price=prices, name=f"market-{seed}")


def test_a_response_without_noise_comes_back() -> None:
    still = logit(-1.3, 1, moves=0.0)
    assert common_response([still]) is None
    one = logit(-1.3, 2, noise=0.0)
    found = common_response([one, still])
    assert found is not None
    assert found.response.estimate == pytest.approx(-1.3, abs=1e-8)
    assert (found.markets, found.spread) == (1, 0.0)


def test_moves_below_an_event_have_not_moved() -> None:
    assert common_response([logit(-1.3, 2, moves=0.04)]) is None
    assert common_response([logit(-1.3, 2, moves=0.06)]) is not None


def test_many_markets_know_what_is_common_and_how_far_they_differ() -> None:
    rng = np.random.default_rng(0)
    for spread, low, high in ((0.0, 0.0, 0.15), (0.8, 0.55, 1.1)):
        markets = [logit(-1.1 + spread * rng.standard_normal(), seed) for seed in range(40)]
        found = common_response(markets)
        assert found is not None
        assert abs(found.response.estimate + 1.1) < 3 * found.response.error < 0.5
        assert low <= found.spread < high


def test_a_markets_own_prices_count_as_far_as_they_moved() -> None:
    rng = np.random.default_rng(1)
    others = [logit(-1.0 + 0.8 * rng.standard_normal(), seed) for seed in range(20)]
    common = common_response(others)
    assert common is not None
    told = {}
    for moves in (0.0, 0.06, 0.6):
        own = logit(-3.0, 99, moves=moves)
        found = response_of(own, own.cells, others)
        assert found is not None
        told[moves] = found
    assert told[0.0].estimate == pytest.approx(common.response.estimate)
    assert told[0.0].error == pytest.approx(np.hypot(common.spread, common.response.error))
    assert told[0.0].error > told[0.06].error > told[0.6].error
    assert abs(told[0.6].estimate + 3.0) < 3 * told[0.6].error < 1
    assert told[0.6].estimate < told[0.06].estimate < told[0.0].estimate
    alone = logit(-3.0, 99)
    hidden = alone.cells.copy()
    hidden[6:] = False  # what is held out says nothing
    changed = replace(alone, flow=np.where(hidden, alone.flow, alone.flow[:, :, ::-1]))
    assert response_of(alone, hidden, others) == response_of(changed, hidden, others)


def test_an_elasticity_is_the_response_less_ones_own_share() -> None:
    # Shares 1/4 and 3/4 at prices 3 and 1: equal revenues, so that the rest is 3/4 and 1/4 alike.
    days = days_of(observations_of([[[1.0, 3.0]]], price=[[3.0, 1.0]]))
    for who, rest in (((0,), 0.75), ((1,), 0.25), ((0, 1), 0.5)):
        assert own_elasticity(Response(-2.0, 0.4), days, who) == Response(-2.0 * rest, 0.4 * rest)


def test_a_fit_of_one_day_takes_the_response_of_its_pool() -> None:
    pool = [logit(-1.2, seed) for seed in range(8)]
    one = logit(-1.2, 77, days=5, moves=0.0, noise=0.3)
    found = fit_and_judge(one, Options(shrinkage=0.0, baselines=(), pool=[*pool, one])).fit
    assert found.anchor is not None
    assert found.anchor.error < 0.3
    everyone = range(one.m)
    assert found.anchor.elasticity == pytest.approx(-1.2 * 0.7, abs=0.2)
    assert response(found.preferences, found.days, everyone) == pytest.approx(found.anchor.elasticity, abs=0.3)
    with pytest.raises(ObservationsError, match="no price moves by 5 % or more"):
        fit_and_judge(one, Options(shrinkage=0.0, baselines=(), pool=[logit(-1, 3, moves=0.0)]))
