"""grid: as good as its resolution, and no better than the optimum."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.answers import answers_of_one_price, hand_answers
from helpers.markets import draw_market
from prillm_or.errors import CombinationError
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.solvers.grid import Grid
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.run import solve
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium_at


def judged(market: Market, proposal: Proposal) -> tuple[float, float]:
    """Profit and load of the leader at the proposed price."""
    assert proposal.prices is not None
    found = equilibrium_at(market, proposal.prices)
    return profit_of(market, proposal.prices, found.billed), float(found.load[market.leader[0]])


@pytest.mark.parametrize("size", [(1, 3), (4, 4), (6, 5)], ids=str)
def test_it_is_near_the_optimum_and_never_above(kind: str, size: tuple[int, int]) -> None:
    for seed in range(2):
        market = draw_market(kind, *size, seed)
        best, load = judged(market, Path().solve(market, Limits()))
        proposal = Grid().solve(market, Limits())
        profit, _ = judged(market, proposal)
        assert proposal.ended is Ended.FINISHED
        assert proposal.upper_bound is None
        assert proposal.stats["failed"] == 0
        assert profit <= best + 1e-11 * abs(best)
        # Loads fall with the price: the grid price next below the best one loses at most one step's margin on its load.
        noise = 1e-9 * (market.price_cap[0] + market.unit_cost.max()) * market.demand.sum()
        assert profit >= best - market.price_cap[0] / 100 * load - noise


def test_every_hand_answer_of_one_price() -> None:
    for name, answer in answers_of_one_price().items():
        # The last refinement has steps of a 12500th of the cap.
        step = answer.market.price_cap[0] / 12500
        proposal = Grid().solve(answer.market, Limits())
        assert proposal.prices is not None
        assert proposal.prices[0] == pytest.approx(float(answer.prices[0]), abs=2 * step), name
        assert judged(answer.market, proposal)[0] == pytest.approx(float(answer.profit), abs=2 * step), name


def test_two_prices_by_hand() -> None:
    # 7/2 and 4 (instances/tiny/README.md) are points of the 21 x 21 grid, which has steps of 1/2.
    proposal = Grid().solve(hand_answers()["two-prices"].market, Limits())
    assert proposal.prices is not None
    np.testing.assert_allclose(proposal.prices, [3.5, 4.0], atol=1e-12)


def test_three_prices_are_refused() -> None:
    with pytest.raises(CombinationError, match="3 prices, solver grid takes one or two; use solver='ascent'"):
        Grid().solve(draw_market("uniform", 3, 5, 0, leaders=3), Limits())


@pytest.mark.parametrize("threads", [1, 2])
def test_it_goes_along_with_highs_whatever_the_threads(threads: int) -> None:
    # HiGHS has one pool of threads a process, and answers nothing to a second solve with another number of them.
    market = hand_answers()["kink"].market
    for solver in ("grid", "highs", "enumerate", "highs", "grid"):
        result = solve(market, solver=solver, threads=threads)
        assert result.profit == pytest.approx(7.5, rel=1e-3), solver


def test_without_time_it_finds_no_price() -> None:
    proposal = Grid().solve(hand_answers()["kink"].market, Limits(time_limit=0.0))
    assert (proposal.ended, proposal.prices) == (Ended.TIME_LIMIT, None)


def test_it_stops_in_time() -> None:
    proposal = Grid().solve(draw_market("uniform", 30, 30, 0), Limits(time_limit=0.3))
    assert proposal.ended is Ended.TIME_LIMIT
    assert proposal.prices is not None


def test_ctrl_c_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("prillm_or.solvers.grid._log.info", interrupt)  # after the first grid
    proposal = Grid().solve(hand_answers()["kink"].market, Limits())
    assert proposal.ended is Ended.INTERRUPTED
    assert proposal.prices == pytest.approx([3.0], abs=0.12)  # a step of the first grid at most
