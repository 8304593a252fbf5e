"""bisect: the exact optimum within the gap, and a bound that holds whatever gap was asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.answers import answers_of_one_price, hand_answers, judged, turnover
from helpers.markets import draw_market, with_unit_cost
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended


def rounding(market: Market) -> float:
    return 1e-12 * turnover(market)


@pytest.mark.parametrize("gap", [0.1, 1e-2, 1e-4, 1e-8])
@pytest.mark.parametrize("size", [(1, 3), (6, 2), (4, 4), (3, 10), (12, 9)], ids=str)
def test_it_agrees_with_path_within_the_gap(kind: str, size: tuple[int, int], gap: float) -> None:
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


def test_every_hand_answer_of_one_price() -> None:
    for name, answer in answers_of_one_price().items():
        profit, bound = judged(answer.market, Bisect().solve(answer.market, Limits(gap=1e-9)))
        assert profit == pytest.approx(float(answer.profit), rel=2e-9, abs=1e-12), name
        assert bound == pytest.approx(float(answer.profit), rel=2e-9, abs=1e-12), name


@pytest.mark.parametrize(("cap", "profit"), [(5.0, -1.5), (7.0, 0.0), (0.0, -24.0)])
def test_unit_cost_above_the_cap(cap: float, profit: float) -> None:
    # As in test_path: load (6 - p)/2 and profit -(p - 8)(p - 6)/2 up to p = 6, nothing beyond.
    market = replace(with_unit_cost(hand_answers()["one-rival"].market, 8.0), price_cap=np.array([cap]))
    earned, bound = judged(market, Bisect().solve(market, Limits(gap=1e-9)))
    assert earned == pytest.approx(profit, rel=1e-9, abs=1e-12)
    assert bound == pytest.approx(profit, rel=1e-9, abs=1e-12)


def test_no_time_gives_a_valid_bound(kind: str) -> None:
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


def test_the_bound_only_falls_as_the_gap_closes(kind: str) -> None:
    market = draw_market(kind, 8, 8, 1)
    bounds = [judged(market, Bisect().solve(market, Limits(gap=gap)))[1] for gap in (1.0, 0.1, 1e-3, 1e-6)]
    assert bounds == sorted(bounds, reverse=True)
