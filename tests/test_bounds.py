"""Bounds behind the big-M values: each holds at every equilibrium of the box, and is no wider than it must be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from helpers.markets import draw_market, one_rival
from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import Bounds, _propagated, costs, derive_bounds, loose_bounds, slopes
from prillm_or.models.formulation import scaled_market
from prillm_or.models.window import plain_window
from prillm_or.users.equilibrium import equilibrium_at

BOXES = [(0.0, 1.0), (0.1, 0.5), (0.3, 0.31), (0.25, 0.25), (0.0, 0.0)]
"""Shares of the cap."""


def check_bounds(market: Market, bounds: Bounds, prices: Array) -> None:
    """Every bound at the equilibrium of `prices`; nothing is forgiven but last digits."""
    found = equilibrium_at(market, prices)
    level = found.multiplier / market.price_weight
    by_load, own = slopes(market)
    reduced = costs(market, prices) + by_load * found.load + own * found.flow - level[:, None]
    unused = found.flow == 0
    assert (bounds.price_low <= prices).all()
    assert (prices <= bounds.price_high).all()
    digit = 1e-15 * np.abs(level).max()
    assert (bounds.level_low <= level + digit).all()
    assert (level <= bounds.level_high + digit).all()
    digit = 1e-15 * market.demand.sum()
    assert (bounds.load_low <= found.load + digit).all()
    assert (found.load <= bounds.load_high + digit).all()
    assert (found.flow <= np.maximum(bounds.flow_high, 0.0) + digit).all()
    assert (bounds.flow_low <= found.flow + digit).all()
    assert (found.flow[~bounds.possible] == 0).all()
    assert (found.flow[bounds.certain] > 0).all()
    assert (reduced[unused] <= bounds.reduced_high[unused]).all()


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("size", [(1, 2), (1, 5), (5, 2), (4, 4), (3, 8), (8, 3)], ids=str)
def test_one_price(kind: str, size: tuple[int, int], box: tuple[float, float]) -> None:
    for seed in range(3):
        market, *_ = scaled_market(draw_market(kind, *size, seed))
        low, high = (share * market.price_cap for share in box)
        bounds = derive_bounds(market, plain_window(market, low, high))
        for share in np.linspace(0, 1, 9):
            check_bounds(market, bounds, np.minimum(low + share * (high - low), high))


@pytest.mark.parametrize("box", BOXES, ids=str)
@pytest.mark.parametrize("leaders", [2, 3])
def test_several_prices(kind: str, leaders: int, box: tuple[float, float]) -> None:
    for seed in range(3):
        market, *_ = scaled_market(draw_market(kind, 4, 5, seed, leaders))
        low, high = (share * market.price_cap for share in box)
        bounds = derive_bounds(market, plain_window(market, low, high))
        for shares in itertools.product(np.linspace(0, 1, 4), repeat=leaders):
            check_bounds(market, bounds, np.minimum(low + np.array(shares) * (high - low), high))


def test_a_long_box(kind: str) -> None:
    # One price nearly settled, the other free: the box that branching would leave.
    market, *_ = scaled_market(draw_market(kind, 4, 5, 7, 2))
    low, high = np.array([0.3, 0.0]), np.array([0.32, 1.0]) * market.price_cap
    bounds = derive_bounds(market, plain_window(market, low, high))
    for shares in itertools.product(np.linspace(0, 1, 6), repeat=2):
        check_bounds(market, bounds, np.minimum(low + np.array(shares) * (high - low), high))


def test_bounds_in_the_users_own_units_hold_too(kind: str) -> None:
    market = draw_market(kind, 4, 4, 3)
    bounds = derive_bounds(market, plain_window(market, np.zeros(1), market.price_cap))
    for share in np.linspace(0, 1, 21):
        check_bounds(market, bounds, share * market.price_cap)


def test_a_narrower_box_has_narrower_bounds(kind: str) -> None:
    for seed, leaders in itertools.product(range(4), (1, 2)):
        market, *_ = scaled_market(draw_market(kind, 5, 5, seed, leaders))
        wide = derive_bounds(market, plain_window(market, 0 * market.price_cap, market.price_cap))
        near = derive_bounds(market, plain_window(market, 0.2 * market.price_cap, 0.4 * market.price_cap))
        slack = 2e-6 * max(1.0, market.demand.sum())  # the propagated bounds stop short by 1e-6
        for low in ("level_low", "load_low", "flow_low"):
            assert (getattr(near, low) >= getattr(wide, low) - slack).all()
        for high in ("level_high", "load_high", "reduced_high"):
            assert (getattr(near, high) <= getattr(wide, high) + slack * 10).all()
        assert near.certain.sum() >= wide.certain.sum()
        assert near.possible.sum() <= wide.possible.sum()


@pytest.mark.parametrize("margin", [1.01e-7])
def test_common_weights_are_widened_by_the_margin_only(margin: float) -> None:
    for kind, seed in itertools.product(("uniform", "heavy", "costs", "degenerate"), range(4)):
        market, *_ = scaled_market(draw_market(kind, 5, 4, seed))
        low, high = 0.1 * market.price_cap, 0.6 * market.price_cap
        bounds = derive_bounds(market, plain_window(market, low, high))
        cheap, dear, own = equilibrium_at(market, low), equilibrium_at(market, high), market.leader[0]
        least, most = cheap.multiplier / market.price_weight, dear.multiplier / market.price_weight
        spread = margin * (most - least + high.max())
        np.testing.assert_array_less(least - spread, bounds.level_low)
        np.testing.assert_array_less(bounds.level_high, most + spread)
        volume = margin * market.demand.sum()
        assert bounds.load_high[own] <= cheap.load[own] + volume
        assert bounds.load_low[own] >= dear.load[own] - volume
        rivals = list(market.rivals)
        assert (bounds.load_low[rivals] >= cheap.load[rivals] - volume).all()
        assert (bounds.load_high[rivals] <= dear.load[rivals] + volume).all()
        assert (bounds.flow_high[:, own] <= cheap.flow[:, own] + margin * market.demand).all()


def test_propagated_bounds_contain_the_monotone_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    # The argument for users' own weights holds for common ones as well; it cannot be tighter than the exact answer.
    for seed in range(5):
        market, *_ = scaled_market(draw_market("uniform", 5, 4, seed))
        low, high = 0 * market.price_cap, market.price_cap
        exact = derive_bounds(market, plain_window(market, low, high))
        monkeypatch.setattr("prillm_or.models.bounds._monotone", _propagated)
        loose = derive_bounds(market, plain_window(market, low, high))
        monkeypatch.undo()
        assert (loose.level_low <= exact.level_low + 1e-6).all()
        assert (loose.level_high >= exact.level_high - 1e-6).all()
        assert (loose.load_high >= exact.load_high - 1e-6).all()
        for share in np.linspace(0, 1, 11):
            check_bounds(market, loose, share * market.price_cap)


def test_loose_bounds_hold_with_a_proven_m(kind: str) -> None:
    for seed, leaders in itertools.product(range(3), (1, 2)):
        market, *_ = scaled_market(draw_market(kind, 4, 4, seed, leaders))
        derived = derive_bounds(market, plain_window(market, 0 * market.price_cap, market.price_cap))
        big_m = max(float(derived.reduced_high.max()), float(derived.level_high.max()))
        bounds = loose_bounds(market, big_m)
        assert bounds.possible.all()
        assert not bounds.certain.any()
        for shares in itertools.product(np.linspace(0, 1, 5), repeat=leaders):
            check_bounds(market, bounds, np.array(shares) * market.price_cap)


def test_bounds_of_the_hand_market_one_rival() -> None:
    # D = 4, alpha = 2 at both, rival at 2, p in [1, 3]: f = (6 - p)/2 falls from 5/2 to 3/2, lambda = p + f rises from
    # 7/2 to 9/2, and both providers are always used.
    market = one_rival()
    bounds = derive_bounds(market, plain_window(market, np.array([1.0]), np.array([3.0])))
    np.testing.assert_allclose(bounds.level_low, [3.5], atol=1e-6)
    np.testing.assert_allclose(bounds.level_high, [4.5], atol=1e-6)
    np.testing.assert_allclose(bounds.load_low, [1.5, 1.5], atol=1e-6)
    np.testing.assert_allclose(bounds.load_high, [2.5, 2.5], atol=1e-6)
    assert bounds.certain[0, 1]
    # Stationarity with the worst of each: (alpha/r)(lambda+ - c-) - x- = 2 (9/2 - 2) - 3/2 = 7/2 at the rival.
    assert bounds.flow_high[0, 1] == pytest.approx(3.5, abs=1e-5)
