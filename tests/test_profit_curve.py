"""ProfitCurve: markets solved by hand, several prices, parts of a curve, and every form that it is given in."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from helpers.answers import profit_at
from helpers.markets import draw_market, shipped
from helpers.sold import price_list, sold
from prillm_or.cli import run
from prillm_or.curves.parabola import tops, vertex
from prillm_or.curves.profit_curve import ProfitCurve, curve, curve_between
from prillm_or.curves.trace import Piece, trace
from prillm_or.errors import CombinationError, ConvergenceError, MarketError, PrillmError, UnknownNameError
from prillm_or.files.markets import read_market
from prillm_or.files.names import find
from prillm_or.market.market import Array
from prillm_or.market.synthetic import generate
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, equilibrium_at
from prillm_or.users.problem import UserProblem


@pytest.fixture
def no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def test_kink_by_hand() -> None:
    # instances/tiny/README.md: the load is (8 - p)/2 up to p = 3, (52 - 9 p)/10 up to p = 52/9, then 0; the cap is 10.
    found = curve(shipped("tiny/kink"))
    assert [(piece.start, piece.end) for piece in found.pieces] == [
        pytest.approx(ends) for ends in ((0, 3), (3, 52 / 9), (52 / 9, 10))
    ]
    assert (found.provider, found.decision, found.complete, found.searched) == ("lead", 0, True, (0.0, 10.0))
    # At 2: 2 * 6/2 = 6; at 3: 3 * 5/2; at 4: 4 * 16/10 = 32/5; at 8 nobody is left.
    prices = np.array([[2.0, 3.0], [4.0, 8.0]])
    np.testing.assert_allclose(found.load(prices), [[3.0, 2.5], [1.6, 0.0]], atol=1e-14)
    np.testing.assert_allclose(found.profit(prices), [[6.0, 7.5], [6.4, 0.0]], atol=1e-14)
    np.testing.assert_allclose(found.slope([0.0, 3.0, 10.0]), [-0.5, -0.9, 0.0], atol=1e-14)
    assert (found.best.price, found.best.profit) == pytest.approx((3, 7.5))
    assert [(one.price, one.load, one.profit) for one in found.local_maxima] == [pytest.approx((3, 2.5, 7.5))]


def test_two_maxima_by_hand() -> None:
    # p (16 - p)/4 up to p = 12, p up to 20, p (24 - p)/4 up to 24: tops 8 * 8/4 = 16 and 20.
    found = curve(shipped("tiny/two-maxima"))
    assert (found.best.price, found.best.profit) == pytest.approx((20, 20))
    assert [(one.price, one.load, one.profit) for one in found.local_maxima] == [
        pytest.approx((20, 1, 20)),
        pytest.approx((8, 2, 16)),
    ]


def test_of_equal_prices_the_smallest_is_best() -> None:
    # 16 at p = 8 and at p = 16.
    tie = curve(shipped("tiny/tie")).best
    assert (tie.price, tie.profit) == pytest.approx((8, 16))
    nobody = curve(shipped("tiny/nobody"))
    assert (nobody.best.price, nobody.best.profit, nobody.local_maxima) == (0.0, 0.0, ())


def test_the_cap_is_a_local_maximum_where_it_binds() -> None:
    # The load at the cap of 2 is (6 - 2)/2.
    (found,) = curve(shipped("tiny/cap-binds")).local_maxima
    assert (found.price, found.load, found.profit) == pytest.approx((2, 2, 4))


def test_one_of_two_prices_counts_both_providers_by_hand() -> None:
    # `better` at 7/2, worth 1; `plain` at p. With all three used lambda = (6 + 7/2 + p)/3 = (19 + 2 p)/6, flows
    # lambda - p = (19 - 4 p)/6 and lambda - 5/2 = (2 + p)/3. The profit p (19 - 4 p)/6 + 7/2 (2 + p)/3 has its top
    # where 19 - 8 p + 7 = 0: p = 13/4, flows 1 and 7/4, profit 13/4 + 49/8 = 75/8.
    market = shipped("tiny/two-prices")
    at = market.provider_ids.index("better")
    market = replace(market, price=np.where(np.arange(market.m) == at, 3.5, market.price))
    found = curve(market, "plain")
    assert (found.best.price, found.best.profit) == pytest.approx((13 / 4, 75 / 8))
    assert float(found.load(13 / 4)) == pytest.approx(1)
    (top,) = found.local_maxima
    assert (top.price, top.load, top.profit) == pytest.approx((13 / 4, 1, 75 / 8))


@pytest.mark.parametrize("decision", [0, 1])
def test_profits_are_those_of_equilibria_the_other_price_held(kind: str, decision: int) -> None:
    market = draw_market(kind, 5, 6, 3, leaders=2)
    market = replace(market, price=np.where(market.price > 3, 3.0, market.price))
    found = curve(market, market.leader_ids[decision])
    prices = np.linspace(0.0, found.cap, 41)
    assert market.today is not None
    for price, profit, load in zip(prices.tolist(), found.profit(prices), found.load(prices), strict=True):
        asked = market.today.copy()
        asked[decision] = price
        state = equilibrium_at(market, asked)
        scale = float(market.demand.sum())
        assert load == pytest.approx(state.load[market.leader[decision]], rel=1e-9, abs=1e-10 * scale)
        assert profit == pytest.approx(profit_of(market, asked, state.billed), rel=1e-9, abs=1e-9 * scale)
    assert found.best.profit >= found.profit(prices).max() * (1 - 1e-12)


@pytest.mark.parametrize("seed", range(24))
def test_profits_of_price_lists_crowds_and_tastes_are_those_of_equilibria(seed: int) -> None:
    market = sold(seed) if seed % 3 else sold(seed, decides="components", leaders=1 + seed % 2)
    moving = seed % len(market.decisions)
    traced = curve(market, market.decisions[moving].name)
    values = np.linspace(0.0, market.price_cap[moving], 9)
    decisions = np.repeat(market.current[None], 9, axis=0)
    decisions[:, moving] = values
    states = [equilibrium_at(market, each) for each in decisions]
    profits = np.array([profit_of(market, found.prices, found.billed) for found in states])
    volumes = np.array([found.by_decision[moving] for found in states])
    size = np.abs(profits).max()
    assert traced.profit(values) == pytest.approx(profits, abs=1e-9 * size)
    assert traced.load(values) == pytest.approx(volumes, abs=1e-9 * volumes.max() + 1e-12)
    assert traced.best.profit >= profits.max() - 1e-9 * size
    if traced.best.profit > 0:
        assert traced.local_maxima[0].profit == pytest.approx(traced.best.profit, abs=1e-9 * size)
    price, profit = traced.points(traced.cap)
    assert profit == pytest.approx(traced.profit(price), abs=1e-9 * size)


def test_a_component_and_a_factor_by_hand() -> None:
    """P = 1 + y / 2 and x = (7 - P) / 2; the output billed is x / 2. Of the factor P = 2 y, sales are 2 x."""
    output = curve(price_list(), "own.output")
    assert output.to_dict() == {
        "format": "prillm-or/curve@1",
        "provider": "own",
        "decision": "own.output",
        "pieces": [{"from": 0.0, "to": 10.0, "load": pytest.approx(1.5), "slope": pytest.approx(-0.125)}],
        "best": {"price": pytest.approx(5.5), "profit": pytest.approx(5.28125)},  # P = 3.75, the top of (P - .5) x
    }
    factor = curve(price_list(decides="factor"))
    assert [factor.best.price, factor.best.profit] == pytest.approx([1.875, 5.28125])
    assert [factor.load(1.0), factor.slope(1.0)] == pytest.approx([5.0, -2.0])
    assert (factor.name, factor.in_words, output.in_words) == ("own", "factor of own", "output price of own")


def test_a_price_of_nothing_may_be_the_best_of_a_component() -> None:
    """Input and output are complements: with input at 4, giving the output away sells more of it."""
    traced = curve(price_list(price=[[4.0, 2.0], [2.0, 2.0]], unit_cost=[[0.0, 0.0], [0.0, 0.0]]), "own.output")
    (only,) = traced.local_maxima
    assert traced.best.price == only.price == 0.0
    assert only.profit == pytest.approx(4.0 * 1.5)


def test_users_who_leave_a_provider_of_ample_capacity_leave_its_load_right() -> None:
    """Of users with weights of their own some come and some go, the leader or a rival having room for everybody."""
    for seed in range(40):
        market = draw_market("weights", 5, 3, seed)
        ample = market.leader[0] if seed % 2 else market.rivals[0]
        capacity = market.capacity.copy()
        capacity[ample] = 10.0 ** (3.2 + 0.05 * seed) * market.demand.sum()
        market = replace(market, capacity=capacity)
        found = curve(market)
        prices = np.linspace(0.0, found.cap, 13)
        loads = [equilibrium_at(market, [price]).load[market.leader[0]] for price in prices]
        np.testing.assert_allclose(
            found.load(prices), loads, rtol=1e-7, atol=1e-9 * market.demand.sum(), err_msg=str(seed)
        )


def test_points_are_on_the_curve() -> None:
    found = curve("coding-13")
    prices, profits = found.points(found.cap)
    assert found.complete
    assert len(found.pieces) > 5
    assert (prices[0], prices[-1]) == (0.0, found.cap)
    assert np.diff(prices).max() < found.cap / 250
    for price, profit in zip(prices[::40].tolist(), profits[::40].tolist(), strict=True):
        assert profit == pytest.approx(profit_at(found.market, [price]), rel=1e-9)


def test_a_market_a_file_a_path_and_a_name_are_the_same() -> None:
    path = find("instances", "tiny/kink")
    expected = curve(shipped("tiny/kink")).to_dict()
    for given in (read_market(path), path, str(path), "tiny/kink"):
        assert curve(given).to_dict() == expected
    with pytest.raises(UnknownNameError, match="tiny/kink"):
        curve("tiny/kin")
    with pytest.raises(MarketError):
        curve(path.parent / "README.md")


def test_a_curve_is_cut_off_by_time() -> None:
    market = generate(20, 20, "heavy", 6)
    whole, part = curve(market), curve(market, time_limit=0.0)
    assert whole.complete
    assert not part.complete
    (piece,) = part.pieces
    assert (piece.start, piece.end) == (0.0, whole.pieces[0].end)
    # Nothing is said of prices that were not traced, and the end of the part is no maximum of the market.
    assert math.isnan(part.profit(whole.cap))
    assert part.profit(piece.end) == pytest.approx(whole.profit(piece.end))
    assert part.local_maxima == ()
    assert f"only prices from 0 to {piece.end:.7g} were traced; the cap is 12" in str(part)
    assert "only prices" not in str(whole)
    assert curve(market, time_limit=600.0).to_dict() == whole.to_dict()


def test_a_part_that_begins_above_zero_is_that_of_the_whole() -> None:
    whole = curve("coding-13")
    low, high = 0.2 * whole.cap, 0.6 * whole.cap
    part = curve_between(whole.market, 0, low, high)
    assert (part.searched, part.complete) == ((low, high), False)
    inside = np.linspace(low, high, 33)
    np.testing.assert_allclose(part.profit(inside), whole.profit(inside), rtol=1e-9)
    assert np.isnan(part.profit([low * 0.99, high * 1.01])).all()


def test_prices_beyond_the_cap_are_not_known_but_rounding_is_forgiven() -> None:
    found = curve("tiny/cap-binds")
    assert float(found.profit(2 * (1 + 1e-15))) == pytest.approx(4)
    assert np.isnan(found.load([2.01, -0.01])).all()


def test_a_breakpoint_that_does_not_resolve_ends_a_curve_with_a_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(
        users: UserProblem, prices: Array, decision: int, end: float, start: Equilibrium | None
    ) -> Iterator[Piece]:
        yield next(trace(users, prices, decision, end, start))
        raise ConvergenceError("degenerate")

    monkeypatch.setattr("prillm_or.curves.profit_curve.trace", stuck)
    with pytest.raises(ConvergenceError):
        curve("tiny/kink")
    part = curve("tiny/kink", time_limit=60)
    assert not part.complete
    assert part.searched == pytest.approx((0, 3))


@pytest.mark.parametrize(
    ("name", "decision", "said"),
    [
        ("two-prices", None, "two-prices: `decision`: expected one of plain, better (the leader's), got None"),
        ("two-prices", "rival", "two-prices: `decision`: expected one of plain, better (the leader's), got rival"),
        ("kink", "near", "kink: `decision`: expected one of lead (the leader's), got near"),
    ],
)
def test_a_decision_that_is_not_the_leaders(name: str, decision: str | None, said: str) -> None:
    with pytest.raises(CombinationError) as refusal:
        curve(shipped(f"tiny/{name}"), decision)
    assert str(refusal.value) == said


@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_a_time_limit_is_a_number_of_seconds(limit: float) -> None:
    with pytest.raises(PrillmError, match="time_limit"):
        curve("tiny/kink", time_limit=limit)


def test_another_price_that_is_absent_cannot_be_held() -> None:
    market = shipped("tiny/two-prices")
    absent = replace(market, price=np.where(np.isin(market.provider_ids, ["better"]), np.nan, market.price))
    with pytest.raises(CombinationError, match="provider better has no price today"):
        curve(absent, "plain")
    assert curve(absent, "better").complete  # its own may be absent


@pytest.mark.parametrize(
    ("name", "flags"), [("coding-13", []), ("tiny/tie", []), ("tiny/two-prices", ["--provider", "better"])]
)
def test_the_command_prints_and_writes_it(
    name: str, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, own = tmp_path / "curve.json", tmp_path / "own.json"
    found = curve(name, *flags[1:])
    assert run(["curve", name, *flags, "--json", str(out)]) == 0
    assert json.loads(out.read_text(encoding="utf-8")) == found.to_dict()
    shown = capsys.readouterr().out
    assert [line.rstrip() for line in shown.splitlines()] == str(found).splitlines()
    found.save(own)
    assert own.read_bytes() == out.read_bytes()
    assert f"{found.pieces[0].end:.7g}" in found._repr_html_()


def test_the_frame_has_a_row_for_each_piece() -> None:
    found = curve("tiny/kink")
    frame = found.to_frame()
    assert list(frame.columns) == ["from", "to", "load", "slope"]
    np.testing.assert_allclose(
        frame.to_numpy(), [[0, 3, 4, -0.5], [3, 52 / 9, 2.5, -0.9], [52 / 9, 10, 0, 0]], atol=1e-13
    )
    assert frame.to_dict("records") == found.to_dict()["pieces"]


@pytest.mark.usefixtures("no_figures_left")
def test_plots_are_drawn_on_the_axes_given_or_on_new_ones() -> None:
    found = curve("tiny/two-maxima")
    ax = Figure().add_subplot()
    for draw in (found.plot, found.plot_support):
        assert draw(ax) is ax
        assert not plt.get_fignums()
    for draw, label in ((found.plot, "best price: 20, profit 20"), (found.plot_support, "rivals only")):
        new = draw()
        figure = new.get_figure(root=True)
        assert figure is not None
        assert label in [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert len(plt.get_fignums()) == 2


def test_a_curve_can_be_sent_to_another_process() -> None:
    found = curve("tiny/kink")
    again: ProfitCurve = pickle.loads(pickle.dumps(found))
    assert again.to_dict() == found.to_dict()


def test_tops_of_parabolas() -> None:
    assert vertex(3.0, -0.5) == 3.0
    # 3 h - h^2/2 has its top at 3: inside [0, 4], beyond [0, 2]; one that falls from the start; a line up, down, level.
    first, second = np.array([3.0, 3.0, -1.0, 1.0, -1.0, 0.0]), np.array([-0.5, -0.5, -0.5, 0.0, 0.0, 0.0])
    assert tops(first, second, np.array([4.0, 2.0, 4.0, 4.0, 4.0, 4.0])).tolist() == [3.0, 2.0, 0.0, 4.0, 0.0, 0.0]
