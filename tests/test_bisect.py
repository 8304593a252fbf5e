"""bisect: the exact optimum within the gap, and a bound that holds whatever gap was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium

MakeMarket = Callable[..., Market]


def judged(market: Market, proposal: Proposal) -> tuple[float, float]:
    """Profit and bound of a proposal."""
    assert proposal.prices is not None
    assert proposal.upper_bound is not None
    return profit_of(market, proposal.prices, equilibrium(market, proposal.prices).load), proposal.upper_bound


def rounding(market: Market) -> float:
    return float(1e-12 * (market.price_cap.max() + market.unit_cost.max()) * market.demand.sum())


@pytest.mark.parametrize("gap", [0.1, 1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("size", [(1, 3), (6, 2), (4, 4), (3, 10), (12, 9)], ids=str)
def test_it_agrees_with_path_within_the_gap(
    draw_market: MakeMarket, kind: str, size: tuple[int, int], gap: float
) -> None:
    for seed in range(3):
        market = draw_market(kind, *size, seed)
        best, _ = judged(market, Path().solve(market, Limits()))
        proposal = Bisect().solve(market, Limits(gap=gap))
        profit, bound = judged(market, proposal)
        assert proposal.ended is Ended.FINISHED
        assert bound >= best - rounding(market)
        assert bound - profit <= gap * max(abs(profit), 1e-9) + rounding(market)
        assert profit <= best + rounding(market)
        assert best - profit <= gap * abs(profit) + rounding(market)


def test_every_hand_answer_of_one_price(hand_answers: Mapping[str, Any]) -> None:
    for name, answer in hand_answers.items():
        if len(answer.prices) > 1:
            continue
        profit, bound = judged(answer.market, Bisect().solve(answer.market, Limits(gap=1e-9)))
        assert profit == pytest.approx(float(answer.profit), rel=2e-9, abs=1e-12), name
        assert bound == pytest.approx(float(answer.profit), rel=2e-9, abs=1e-12), name


@pytest.mark.parametrize(("cap", "profit"), [(5.0, -1.5), (7.0, 0.0), (0.0, -24.0)])
def test_unit_cost_above_the_cap(hand_answers: Mapping[str, Any], cap: float, profit: float) -> None:
    # As in test_path: load (6 - p)/2 and profit -(p - 8)(p - 6)/2 up to p = 6, nothing beyond.
    market = hand_answers["one-rival"].market
    market = replace(market, unit_cost=np.where(np.arange(market.m) == market.leader[0], 8.0, 0.0), price_cap=[cap])
    earned, bound = judged(market, Bisect().solve(market, Limits(gap=1e-9)))
    assert earned == pytest.approx(profit, rel=1e-9, abs=1e-12)
    assert bound == pytest.approx(profit, rel=1e-9, abs=1e-12)


def test_no_time_gives_a_valid_bound(draw_market: MakeMarket, kind: str) -> None:
    stopped = 0
    for seed in range(8):
        market = draw_market(kind, 6, 6, seed)
        best, _ = judged(market, Path().solve(market, Limits()))
        proposal = Bisect().solve(market, Limits(gap=1e-8, time_limit=0.0))
        stopped += proposal.ended is Ended.TIME_LIMIT
        profit, bound = judged(market, proposal)
        assert profit <= best + rounding(market)
        assert bound >= best - rounding(market)
    assert stopped >= 5


def test_the_bound_only_falls_as_the_gap_closes(draw_market: MakeMarket, kind: str) -> None:
    market = draw_market(kind, 8, 8, 1)
    bounds = [judged(market, Bisect().solve(market, Limits(gap=gap)))[1] for gap in (1.0, 0.1, 1e-3, 1e-6)]
    assert bounds == sorted(bounds, reverse=True)
