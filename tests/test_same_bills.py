"""Decisions that no bill tells apart: by hand, and on random price lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.answers import profit_at
from helpers.markets import make_market, shipped
from helpers.sold import price_list, sold
from prillm_or.market.market import Market
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.same_bills import nearest_same, same_bills


def test_one_user_of_two_components_by_hand() -> None:
    """It pays P = y1 + y2 / 2 for a unit, 3.75 at the best, whatever the two are: a line in the box."""
    market = price_list()
    found = equilibrium_at(market, [3.75, 0.0])
    (same,) = same_bills(market, found)
    low, high = same.ranges()
    assert (low.tolist(), high.tolist()) == ([0.0, 0.0], [pytest.approx(3.75), pytest.approx(7.5)])
    # Today (1, 2) adds 1 and 1 to a bill. What is missing to 3.75 is shared evenly: 1.875 each, y = (1.875, 3.75).
    assert nearest_same(market, found, np.array([1.0, 2.0])) == pytest.approx([1.875, 3.75])
    # From (10, 2), which add 10 and 1, the nearest of the line is beyond its end: (3.75, 0).
    assert nearest_same(market, found, np.array([10.0, 2.0])) == pytest.approx([3.75, 0.0])
    # A cap of 3 on the first moves the other end.
    capped = replace(market, price_cap=np.array([3.0, 10.0]))
    at = equilibrium_at(capped, [3.0, 1.5])
    assert nearest_same(capped, at, np.array([10.0, 0.0])) == pytest.approx([3.0, 1.5])


def test_branch_reports_the_nearest_to_today_and_says_that_there_are_more() -> None:
    result = solve(price_list())
    assert result.prices["own"] == pytest.approx({"input": 1.875, "output": 3.75})
    (caveat,) = [warning for warning in result.warnings if warning.code == "one-of-many"]
    assert "with own.input 1 higher and own.output 2 lower nobody pays more or less" in caveat.text
    assert "(own.input 0 to 3.75, own.output 0 to 7.5)" in caveat.text
    unknown = solve(price_list(price=[[np.nan, np.nan], [2.0, 2.0]]))
    assert unknown.prices["own"]["input"] + unknown.prices["own"]["output"] / 2 == pytest.approx(3.75)


def test_users_of_others_stay_out_by_hand() -> None:
    """A second user asks for output alone and pays 1 elsewhere: the output price stays above what lets it in."""
    market = price_list(
        user_ids=("u", "v"),
        mix=[[1.0, 0.5], [0.0, 1.0]],
        demand=[4.0, 1.0],
        price=[[1.0, 2.0], [2.0, 2.0]],
        capacity=[2.0, 2.0],
        user_values=[[np.nan, np.nan], [0.0, 1.0]],
        delay=[[0.0, 0.0], [0.0, 0.0]],
    )
    found = equilibrium_at(market, [0.0, 7.5])
    assert found.flow[1, 0] == 0
    (same,) = same_bills(market, found)
    # v pays 2 - 1 and (x + f)/2 at the rival, x the load there with its own f = 1; at `own` y2 + x_own / 2.
    x_own, x_rival = found.load.tolist()
    least = 1.0 + (x_rival + 1.0) / 2 - x_own / 2
    low, high = same.ranges()
    assert low[1] == pytest.approx(least)
    assert (low[0], high[1]) == (0.0, pytest.approx(7.5))
    there = nearest_same(market, found, np.array([10.0, 0.0]))
    assert there[1] == pytest.approx(least)
    assert equilibrium_at(market, there).flow == pytest.approx(found.flow, abs=1e-9)


def test_plain_prices_that_somebody_pays_are_told_apart() -> None:
    market = shipped("premium-4-two-prices")
    assert same_bills(market, equilibrium_at(market, market.current)) == []
    nobody = make_market(price=[1.0, 20.0, 1.0], leader=(0, 1), price_cap=[30.0, 30.0])
    found = equilibrium_at(nobody, [1.0, 20.0])
    assert found.load[1] == 0
    (same,) = same_bills(nobody, found)
    low, high = same.ranges()
    assert (same.decisions.tolist(), high.tolist()) == ([1], [30.0])
    # At its lower end somebody is about to come, and below it comes.
    assert equilibrium_at(nobody, [1.0, float(low[0]) * (1 + 1e-6)]).load[1] == 0
    assert equilibrium_at(nobody, [1.0, float(low[0]) * (1 - 1e-3)]).load[1] > 0


def agrees(market: Market, seed: int) -> int:
    """Whether what is near to random decisions has the equilibrium that it started from; how many directions there."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(0.0, 3.0, len(market.decisions))
    found = equilibrium_at(market, at)
    before = profit_at(market, at)
    for _ in range(5):
        wanted = rng.uniform(0.0, 10.0, len(at))
        near = nearest_same(market, found, wanted)
        assert (near >= 0).all()
        assert (near <= market.price_cap).all()
        assert profit_at(market, near) == pytest.approx(before, rel=1e-9, abs=1e-9)
        assert equilibrium_at(market, near).flow == pytest.approx(found.flow, rel=1e-7, abs=1e-8)
        again = nearest_same(market, equilibrium_at(market, near), wanted)
        assert again == pytest.approx(near, rel=1e-6, abs=1e-6)
    return sum(same.steps.shape[1] for same in same_bills(market, found))


@pytest.mark.parametrize("leaders", [1, 2])
def test_what_is_near_routes_and_earns_the_same(leaders: int) -> None:
    directions = [
        agrees(sold(seed, leaders=leaders, decides=decides), seed)
        for seed in range(12)
        for decides in ("components", "plain")
    ]
    assert max(directions) > 1
    assert 0 in directions
