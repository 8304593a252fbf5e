"""path: pieces without holes, loads that are equilibria, and a best price that nothing beats."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.answers import answers_of_one_price, hand_answers, profit_at, turnover
from helpers.markets import draw_market, make_market, with_unit_cost
from prillm_or.curves.trace import Piece, best_on_piece, trace
from prillm_or.files.markets import read_market
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.solvers.path import Path
from prillm_or.solvers.protocols import Ended
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem

MARKETS = FilePath(__file__).parent / "data" / "markets"
SIZES = [(1, 2), (1, 6), (5, 2), (4, 4), (3, 9), (9, 3), (12, 12)]


def pieces_of(market: Market, which: int = 0, prices: Array | None = None) -> list[Piece]:
    start = np.zeros(len(market.leader)) if prices is None else prices
    return list(trace(user_problem(market), start, which, float(market.price_cap[which])))


def check_pieces(market: Market, pieces: list[Piece], which: int = 0, prices: Array | None = None) -> None:
    """Contiguous from 0 to the cap, continuous, and equilibria at both ends, in the middle and beside the ends."""
    own, tolerance = list(market.leader), 1e-10 * market.demand.sum()
    assert pieces[0].start == 0.0
    assert pieces[-1].end == pytest.approx(float(market.price_cap[which]), rel=1e-12)
    for piece, following in itertools.pairwise(pieces):
        assert piece.start < piece.end == following.start
        after = piece.load + piece.slope * (piece.end - piece.start)
        np.testing.assert_allclose(following.load, after, rtol=1e-9, atol=tolerance)
    for piece in pieces:
        for share in (0.0, 0.01, 0.5, 0.99, 1.0):
            at = np.zeros(len(own)) if prices is None else prices.copy()
            at[which] = piece.start + share * (piece.end - piece.start)
            load = piece.load + piece.slope * (at[which] - piece.start)
            np.testing.assert_allclose(load, equilibrium_at(market, at).load[own], rtol=1e-8, atol=tolerance)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("listed")
def test_pieces_cover_the_range_with_equilibria(kind: str, size: tuple[int, int]) -> None:
    for seed in range(4):
        market = draw_market(kind, *size, seed)
        check_pieces(market, pieces_of(market))


@pytest.mark.parametrize("size", [(1, 6), (4, 4), (3, 9), (12, 12)], ids=str)
@pytest.mark.usefixtures("listed")
def test_the_pairs_that_moved_lead_from_support_to_support(kind: str, size: tuple[int, int]) -> None:
    market = draw_market(kind, *size, 1)
    support = equilibrium_at(market, [0.0]).support.copy()
    for piece in pieces_of(market):
        for i, j in piece.moved:
            support[i, j] = not support[i, j]
        if piece.end - piece.start > 1e-6:
            flow = equilibrium_at(market, [(piece.start + piece.end) / 2]).flow
            unlike = support != (flow > 0)
            # On a whole piece a pair may be in use with a flow of zero, or out of use with a slack of zero.
            assert flow[unlike].max(initial=0.0) <= 1e-12 * market.demand.sum()


@pytest.mark.parametrize("own_twin", [True, False])
@pytest.mark.parametrize(("n", "m"), [(4, 4), (6, 3), (2, 8), (8, 8)])
@pytest.mark.usefixtures("listed")
def test_no_piece_is_lost_where_all_are_alike(n: int, m: int, own_twin: bool) -> None:
    # Identical users and rivals enter and leave all at once; with its own price among theirs, so does the leader.
    market = make_market(
        user_ids=[f"u{i}" for i in range(n)],
        provider_ids=[f"p{j}" for j in range(m)],
        demand=np.full(n, 2.0),
        capacity=np.full(m, 4.0),
        price=np.full(m, 2.0) + (0 if own_twin else 3 * (np.arange(m) == m - 1)),
        delay=np.ones((n, m)),
    )
    pieces = pieces_of(market)
    check_pieces(market, pieces)
    # All users are alike at every price, so that a kink comes only where the leader or a group of rivals comes or goes.
    assert len(pieces) <= 4
    if own_twin:
        # At the rivals' price all providers are used alike. Marginal costs are p_j + (1 + 1/n) x_j / 4, so the
        # load falls by 4 n/(n+1) (1 - 1/m) per unit of price.
        at_twins = next(piece for piece in pieces if piece.end > 2.0)
        assert at_twins.slope[0] == pytest.approx(-4 * n / (n + 1) * (1 - 1 / m), rel=1e-9)
        assert at_twins.load[0] + at_twins.slope[0] * (2.0 - at_twins.start) == pytest.approx(2.0 * n / m, rel=1e-9)


def test_pieces_of_the_hand_market_kink() -> None:
    # From instances/tiny/README.md: f = (8 - p)/2 up to p = 3, then f = (52 - 9 p)/10 up to p = 52/9, then 0. Below,
    # all 7 units fit the leader only for p < 0: 8 - p <= 14.
    pieces = pieces_of(hand_answers()["kink"].market)
    np.testing.assert_allclose([piece.start for piece in pieces], [0, 3, 52 / 9], rtol=1e-13)
    np.testing.assert_allclose([piece.load[0] for piece in pieces], [4, 2.5, 0], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose([piece.slope[0] for piece in pieces], [-1 / 2, -9 / 10, 0], rtol=1e-13, atol=1e-13)


@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(1, 7), st.integers(2, 7)))
def test_loads_fall_along_the_pieces(kind: str, seed: int, size: tuple[int, int]) -> None:
    market = draw_market(kind, *size, seed)
    pieces = pieces_of(market)
    assert all(piece.slope[0] <= 1e-9 * market.capacity.sum() for piece in pieces)
    ends = [piece.end for piece in pieces]
    assert ends == sorted(ends)


@pytest.mark.wheel
@pytest.mark.usefixtures("listed")
def test_every_hand_answer_of_one_price() -> None:
    for name, answer in answers_of_one_price().items():
        proposal = Path().solve(answer.market, Limits())
        assert proposal.ended is Ended.FINISHED
        assert proposal.prices is not None, name
        assert proposal.upper_bound is not None, name
        # `tie` has two best prices: the smaller one counts.
        assert proposal.prices[0] == pytest.approx(float(answer.prices[0]), rel=1e-12, abs=1e-12), name
        assert proposal.upper_bound == pytest.approx(float(answer.profit), rel=1e-12, abs=1e-12), name


@pytest.mark.parametrize("size", [(1, 2), (4, 4), (3, 9), (9, 3), (10, 10)], ids=str)
def test_no_price_of_a_fine_grid_is_better(kind: str, size: tuple[int, int]) -> None:
    for seed in range(3):
        market = draw_market(kind, *size, seed)
        proposal = Path().solve(market, Limits())
        assert proposal.prices is not None
        assert proposal.upper_bound is not None
        assert 0 <= proposal.prices[0] <= market.price_cap[0] * (1 + 1e-15)
        rounding = 1e-12 * turnover(market)
        best = profit_at(market, proposal.prices)
        assert proposal.upper_bound == pytest.approx(best, rel=1e-10, abs=rounding)
        kinks = [piece.start for piece in pieces_of(market)]
        for price in (*np.linspace(0, market.price_cap[0], 101), *kinks):
            assert profit_at(market, [float(price)]) <= best + 1e-11 * abs(best) + rounding


@pytest.mark.parametrize(
    ("cap", "price", "profit"),
    [
        # one-rival with unit cost 8: the load is (6 - p)/2, the profit -(p - 8)(p - 6)/2 rises up to p = 6, then is 0.
        (5.0, 5.0, -1.5),
        (7.0, 6.0, 0.0),
    ],
)
@pytest.mark.usefixtures("listed")
def test_unit_cost_above_the_cap(cap: float, price: float, profit: float) -> None:
    market = replace(with_unit_cost(hand_answers()["one-rival"].market, 8.0), price_cap=np.array([cap]))
    proposal = Path().solve(market, Limits())
    assert proposal.prices is not None
    assert proposal.ended is Ended.FINISHED
    assert proposal.prices[0] == pytest.approx(price, rel=1e-12)
    assert proposal.upper_bound == pytest.approx(profit, abs=1e-12)


def test_a_leader_nobody_uses() -> None:
    pieces = pieces_of(hand_answers()["nobody"].market)
    assert [(piece.start, piece.end) for piece in pieces] == [(0.0, 10.0)]
    assert pieces[0].load.tolist() == [0.0]


def test_no_time_gives_a_valid_bound(kind: str) -> None:
    stopped = 0
    for seed in range(12):
        market = draw_market(kind, 8, 8, seed)
        best = Path().solve(market, Limits()).upper_bound
        proposal = Path().solve(market, Limits(time_limit=0.0))
        stopped += proposal.ended is Ended.TIME_LIMIT
        assert best is not None
        assert proposal.prices is not None
        rounding = 1e-12 * turnover(market)
        assert profit_at(market, proposal.prices) <= best + rounding
        # Where the cap is below the unit cost, nothing is proven before the end.
        assert proposal.upper_bound is None or proposal.upper_bound >= best - rounding
        if market.unit_cost[market.leader[0]] == 0:
            assert proposal.upper_bound is not None
    assert stopped >= 6


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.usefixtures("listed")
def test_other_prices_of_the_leader_are_held(kind: str, which: int) -> None:
    for seed in range(4):
        market = draw_market(kind, 5, 6, seed, leaders=2)
        prices = 0.2 * market.price_cap
        prices[which] = 0.0
        pieces = pieces_of(market, which, prices)
        assert len(pieces[0].load) == 2
        check_pieces(market, pieces, which, prices)


def test_the_best_point_of_a_piece_counts_all_of_the_leaders_profit() -> None:
    market = draw_market("uniform", 5, 6, 1, leaders=2)
    prices, cost = np.array([2.0, 0.0]), market.unit_cost[list(market.leader)]
    for piece in pieces_of(market, 1, prices):
        price, profit = best_on_piece(piece, 1, prices - cost, cost[1])
        assert piece.start <= price <= piece.end

        assert profit == pytest.approx(profit_at(market, [2.0, price]), rel=1e-10)
        grid = np.linspace(piece.start, piece.end, 21)
        assert max(profit_at(market, [2.0, other]) for other in grid.tolist()) <= profit * (1 + 1e-10)


def test_the_best_point_of_a_piece_by_hand() -> None:
    # 3 at price 1, falling by 1: p (4 - p) has its top at 2; on [2.5, 3] its left end counts, on [0, 1] the right one.
    for start, end, price in [(1.0, 3.0, 2.0), (2.5, 3.0, 2.5), (0.0, 1.0, 1.0)]:
        piece = Piece(start, end, np.array([4.0 - start]), np.array([-1.0]))
        assert best_on_piece(piece, 0, np.zeros(1), 0.0) == (price, price * (4 - price))
    # Nothing sold: every price earns 0, the smallest counts.
    assert best_on_piece(Piece(1.0, 3.0, np.zeros(1), np.zeros(1)), 0, np.zeros(1), 0.0) == (1.0, 0.0)
    # A constant load of 2 earns most at the dear end: 3 * 2, less a unit cost of 1/2 each.
    assert best_on_piece(Piece(1.0, 3.0, np.full(1, 2.0), np.zeros(1)), 0, np.zeros(1), 0.5) == (3.0, 5.0)
    # Another provider with margin 2 gains 3 per unit of price: (p)(4 - p) + 2 (3 p) has its top at p = 5, the end is 3.
    piece = Piece(0.0, 3.0, np.array([4.0, 0.0]), np.array([-1.0, 3.0]))
    assert best_on_piece(piece, 0, np.array([np.nan, 2.0]), 0.0) == (3.0, 21.0)


@pytest.mark.parametrize(
    ("kind", "seed"), [pytest.param("heavy", 3, marks=pytest.mark.slow), ("weights", 1)], indirect=["kind"]
)
@pytest.mark.usefixtures("listed")
def test_long_traces_stay_in_step(kind: str, seed: int) -> None:
    # More breakpoints than the updates between two fresh starts (64).
    market = draw_market(kind, 60, 25, seed)
    pieces = pieces_of(market)
    assert len(pieces) > 100
    check_pieces(market, pieces)


@pytest.mark.parametrize("today", [0.5, 1.5])
def test_the_smallest_of_all_prices_that_earn_nothing(today: float) -> None:
    # one-rival with unit cost and cap 2: below 2 every price with a load loses, so the best is the cap, which earns 0.
    market = hand_answers()["one-rival"].market
    own = np.arange(market.m) == market.leader[0]
    market = replace(
        market, price=np.where(own, today, market.price), unit_cost=np.where(own, 2.0, 0.0), price_cap=np.array([2.0])
    )
    proposal = Path().solve(market, Limits())
    assert proposal.prices is not None
    assert proposal.prices[0] == pytest.approx(2.0)
    # Where nobody comes even for nothing, every price earns 0, and the smallest counts: a rival that pays its users.
    value = np.where(own, 0.0, 20.0)
    proposal = Path().solve(replace(market, value=value), Limits())
    assert proposal.prices is not None
    assert proposal.prices[0] == 0.0


def test_thousands_of_pairs_at_zero_do_not_stop_a_trace() -> None:
    """399 users on a rival of price 1, 298 rivals at exactly their level, a user apart who alone uses the leader."""
    n, m = 400, 300
    price, delay = np.full(m, float(n)), np.zeros((n, m))
    price[0], price[1] = 0.0, 1.0
    delay[:-1, 0], delay[-1, 1] = 1e4, 1e4
    market = Market(
        name="standing",
        user_ids=tuple(f"u{i}" for i in range(n)),
        provider_ids=tuple(f"p{j}" for j in range(m)),
        demand=np.ones(n),
        price=price,
        capacity=np.ones(m),
        value=np.zeros(m),
        unit_cost=np.zeros(m),
        delay=delay,
        price_weight=np.ones(n),
        congestion_weight=np.ones(n),
        delay_weight=np.ones(n),
        leader=(0,),
        price_cap=np.array([3.0 * n]),
    )
    proposal = Path().solve(market, Limits())
    assert proposal.ended is Ended.FINISHED
    assert proposal.prices is not None
    assert proposal.upper_bound == pytest.approx(profit_at(market, proposal.prices), rel=1e-9)


def test_two_kinks_at_once_say_nothing_of_how_long_pieces_are() -> None:
    market = read_market(MARKETS / "two-kinks-at-once.json").market
    found = Path().solve(market, Limits())
    assert found.prices is not None
    assert found.upper_bound == pytest.approx(profit_at(market, found.prices), rel=1e-9)
    # Where two tiny pieces told the length of all others, it leapt in steps of that length, 4,601 times.
    assert found.stats["equilibria"] < 50
