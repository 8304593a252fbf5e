"""Two exact methods that share nothing but the equilibrium agree on a thousand random markets."""

from __future__ import annotations

import pytest

from helpers.answers import turnover
from helpers.markets import draw_market
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.solvers.bisect import Bisect
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.users.certificate import certify, profit_of
from prillm_or.users.equilibrium import equilibrium_at

COUNTS = {(4, 4): 80, (9, 3): 30, (5, 13): 30, (8, 13): 30, (20, 20): 22, (50, 50): 8}
"""Markets of each size, for each of the five kinds: 1,000 in all."""


@pytest.mark.parametrize("size", COUNTS, ids=str)
def test_path_and_bisect_agree(kind: str, size: tuple[int, int]) -> None:
    for seed in range(COUNTS[size]):
        market = draw_market(kind, *size, 1000 + seed)
        # What rounding is measured by: the most money that can change hands. Only a leader who cannot earn anything, or
        # loses at any price, has so small a profit that this counts.
        rounding = 1e-13 * turnover(market)
        (exact, exact_bound), (found, bound) = (
            certified(market, solver.solve(market, Limits(gap=1e-9))) for solver in (Path(), Bisect())
        )
        assert found == pytest.approx(exact, rel=1e-8, abs=rounding), market.name
        assert exact_bound == pytest.approx(exact, rel=1e-8, abs=rounding), market.name
        assert bound >= exact - 1e-10 * abs(exact) - rounding, market.name


def test_there_are_a_thousand_markets() -> None:
    assert 5 * sum(COUNTS.values()) == 1000


def certified(market: Market, proposal: Proposal) -> tuple[float, float]:
    """Profit at a certified equilibrium, and the bound."""
    assert proposal.ended is Ended.FINISHED
    assert proposal.prices is not None
    assert proposal.upper_bound is not None
    found = equilibrium_at(market, proposal.prices)
    assert certify(market, proposal.prices, found.flow).kkt_residual <= 1e-12
    return profit_of(market, proposal.prices, found.billed), proposal.upper_bound
