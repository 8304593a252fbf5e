"""enumerate: every pattern is seen, and the best of them is what the other methods find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.answers import answers_of_one_price, hand_answers, profit_at, turnover
from helpers.markets import draw_market, with_unit_cost
from prillm_or.errors import CombinationError
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.solvers.enumeration import Enumerate
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.run import solve

SIZES = [(4, 4), (2, 6), (6, 2), (5, 3), (3, 5), (2, 2), (3, 3), (1, 8)]


def agree(market: Market, proposal: Proposal) -> None:
    """Price and bound earn what `path` earns, up to rounding in the money that is in play."""
    best = Path().solve(market, Limits()).upper_bound
    assert proposal.ended is Ended.FINISHED
    assert best is not None
    assert proposal.prices is not None
    rounding = 1e-11 * turnover(market)
    earned = profit_at(market, proposal.prices)
    assert proposal.upper_bound == pytest.approx(best, rel=1e-10, abs=rounding)
    assert earned == pytest.approx(best, rel=1e-10, abs=rounding)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_it_agrees_with_path(kind: str, size: tuple[int, int]) -> None:
    for seed in range(3):
        market = draw_market(kind, *size, seed)
        agree(market, Enumerate().solve(market, Limits()))


def test_every_hand_answer_of_one_price() -> None:
    for name, answer in answers_of_one_price().items():
        proposal = Enumerate().solve(answer.market, Limits())
        agree(answer.market, proposal)
        assert proposal.prices is not None
        # `tie` has two best prices: the smaller one counts.
        assert proposal.prices[0] == pytest.approx(float(answer.prices[0]), rel=1e-10, abs=1e-12), name
        assert proposal.upper_bound == pytest.approx(float(answer.profit), rel=1e-10, abs=1e-12), name


def test_patterns_of_a_market_by_hand() -> None:
    # From instances/tiny/README.md: one user. `cap-binds`: both providers are used at all prices up to the cap 2.
    # `one-rival`: both up to price 6, then the rival alone up to the cap 10; the leader alone never, since it would
    # need p + 4 <= 2. `kink`: `near` and the leader, these and `far`, and the rivals alone.
    for name, patterns in {"cap-binds": 1, "one-rival": 2, "kink": 3}.items():
        proposal = Enumerate().solve(hand_answers()[name].market, Limits())
        assert proposal.stats["patterns"] == patterns


@pytest.mark.parametrize(("cap", "profit"), [(5.0, -1.5), (7.0, 0.0), (0.0, -24.0)])
def test_unit_cost_above_the_cap(cap: float, profit: float) -> None:
    # As in test_path: load (6 - p)/2 and profit -(p - 8)(p - 6)/2 up to p = 6, nothing beyond.
    market = replace(with_unit_cost(hand_answers()["one-rival"].market, 8.0), price_cap=np.array([cap]))
    assert Enumerate().solve(market, Limits()).upper_bound == pytest.approx(profit, abs=1e-10)


def test_large_units_change_nothing() -> None:
    # Prices in thousandths, volumes in thousands: profit is the same number.
    market = draw_market("heavy", 4, 4, 2)
    other = replace(
        market,
        demand=market.demand * 1e3,
        capacity=market.capacity * 1e6,
        price=market.price / 1e3,
        value=market.value / 1e3,
        delay=market.delay / 1e3,
        price_cap=market.price_cap / 1e3,
    )
    bounds = [Enumerate().solve(m, Limits()).upper_bound for m in (market, other)]
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-9)


def test_a_large_market_is_refused() -> None:
    with pytest.raises(CombinationError, match=r"up to 16 pairs .* here are 18; use solver='path' or solver='bisect'"):
        Enumerate().solve(draw_market("uniform", 6, 3, 0), Limits())


def test_without_time_it_proves_nothing() -> None:
    market = hand_answers()["kink"].market
    proposal = Enumerate().solve(market, Limits(time_limit=0.0))
    assert proposal.ended is Ended.TIME_LIMIT
    assert proposal.upper_bound is None
    assert proposal.prices is None


@pytest.mark.parametrize("solver", ["grid", "odca", "enumerate"])
def test_where_no_price_was_found_todays_is_told_by_one_rule(solver: str) -> None:
    market = hand_answers()["kink"].market
    result = solve(market, solver=solver, time_limit=0.0)
    assert (result.status, list(result.prices.values())) == ("time_limit", [1.0])
    assert result.notes[-1] == "no price was found: this one is what a search begins with"


def test_ctrl_c_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    solve_pattern, calls = np.linalg.solve, []

    def interrupted(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return solve_pattern(*args)

    monkeypatch.setattr("prillm_or.solvers.enumeration.np.linalg.solve", interrupted)
    proposal = Enumerate().solve(hand_answers()["kink"].market, Limits())
    assert proposal.ended is Ended.INTERRUPTED
    assert proposal.upper_bound is None
    # The first pattern has all three in use: the best price of its piece is its left end.
    assert proposal.prices is not None
    assert proposal.prices[0] == pytest.approx(3.0)
