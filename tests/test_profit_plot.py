"""The picture of a profit curve: the curve is that of equilibria, and the axes show where it matters."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from matplotlib.axes import Axes

from helpers.answers import hand_answers, profit_at
from helpers.markets import make_market, shipped
from helpers.plots import labelled
from prillm_or.curves.price_axis import last_shown
from prillm_or.curves.profit_curve import curve
from prillm_or.curves.profit_plot import draw_profit, plot_profit
from prillm_or.market.market import Array, Market


def _curve(axes: Axes) -> tuple[Array, Array]:
    return cast("tuple[Array, Array]", axes.lines[0].get_data())


def _legend(axes: Axes) -> str:
    return "\n".join(axes.get_legend_handles_labels()[1])


def test_the_profit_curve_is_that_of_equilibria(axes: Axes, coding: Market) -> None:
    traced = curve(coding)
    plot_profit(axes, traced)
    price, profit = _curve(axes)
    for k in range(0, len(price), 40):
        prices = np.array([price[k]])
        assert profit[k] == pytest.approx(profit_at(coding, prices), rel=1e-9)
    assert np.diff(price).max() < coding.price_cap[0] / 250
    ends = labelled(axes, f"ends of the {len(traced.pieces)}")
    assert ends.get_xdata() == pytest.approx([piece.start for piece in traced.pieces[1:]])
    assert labelled(axes, "price cap").get_xdata()[0] == coding.price_cap[0]
    assert coding.today is not None
    assert labelled(axes, "price today").get_xdata()[0] == coding.today[0]
    units = coding.units
    assert axes.get_ylabel() == f"profit, {units.currency} per {units.period}"
    assert axes.get_xlabel() == f"price of step-3.7-flash, {units.currency} per {units.volume}"


def test_the_best_price_and_other_maxima_are_those_by_hand(axes: Axes) -> None:
    by_hand = hand_answers()["two-maxima"]
    plot_profit(axes, curve(by_hand.market))
    best = labelled(axes, "best price: 20, profit 20").get_xydata()
    assert best == pytest.approx(np.array([[float(by_hand.prices[0]), float(by_hand.profit)]]))
    assert labelled(axes, "other local maximum: 8").get_xydata() == pytest.approx(np.array([[8.0, 16.0]]))


def test_the_picture_ends_where_nobody_is_left_and_says_where_the_cap_is(axes: Axes) -> None:
    market = shipped("tiny/two-maxima")
    plot_profit(axes, curve(market))
    assert 24 < axes.get_xlim()[1] < 30
    assert "price cap: 40, beyond the picture" in _legend(axes)


def test_losses_below_the_unit_cost_do_not_squeeze_the_curve(axes: Axes) -> None:
    market = make_market(unit_cost=np.array([1.5, 0.0, 0.0]), price_cap=np.array([4.0]))
    plot_profit(axes, curve(market))
    ((_, best),) = labelled(axes, "best price").get_xydata()
    assert best > 0
    assert min(_curve(axes)[1]) < -best
    assert axes.get_ylim()[0] == pytest.approx(-0.4 * best)


def test_a_cap_of_zero_leaves_one_point(axes: Axes) -> None:
    market = make_market(price_cap=np.zeros(1))
    plot_profit(axes, curve(market))
    assert labelled(axes, "best price: 0, profit 0").get_xydata().tolist() == [[0.0, 0.0]]
    assert [set(values) for values in curve(market).points(0.0)] == [{0.0}, {0.0}]


def test_one_of_two_prices_counts_both_providers(axes: Axes) -> None:
    market = shipped("tiny/two-prices")
    plot_profit(axes, curve(market, market.leader_ids[1]))
    price, profit = _curve(axes)
    assert market.today is not None
    for k in range(0, len(price), 50):
        prices = np.array([market.today[0], price[k]])
        assert profit[k] == pytest.approx(profit_at(market, prices), rel=1e-9)


def test_a_cap_without_meaning_costs_no_points(axes: Axes, coding: Market) -> None:
    free = replace(coding, price_cap=np.array([1e9]))
    traced = curve(free)
    assert len(traced.points(traced.cap)[0]) < 1000
    plot_profit(axes, traced)
    assert len(_curve(axes)[0]) < 1000


def test_a_far_cap_does_not_squeeze_the_hump(axes: Axes) -> None:
    """Some users stay whatever the price, and the cap is far: the profit there is said, not drawn."""
    market = replace(shipped("tiny/two-maxima"), price_cap=np.array([4000.0]))
    traced = curve(market)
    plot_profit(axes, traced)
    assert traced.best.price < axes.get_xlim()[1] < 1.5 * 24
    assert "price cap: 4000, beyond the picture, where the profit is 0" in _legend(axes)


def test_the_picture_reaches_every_price_that_is_to_be_seen() -> None:
    traced = curve(replace(shipped("tiny/two-maxima"), price_cap=np.array([4000.0])))
    assert last_shown(traced) < 200 < last_shown(traced, [200.0]) < traced.cap
    price, _ = traced.points(200.0)
    assert price[-1] == 200


def test_losses_far_below_the_picture_are_cut_off_where_the_curve_is_drawn_alone(axes: Axes) -> None:
    market = make_market(unit_cost=np.array([1.5, 0.0, 0.0]), price_cap=np.array([4.0]))
    draw_profit(axes, curve(market), 4.0)
    assert axes.get_ylim()[0] == pytest.approx(-0.4 * curve(market).best.profit, rel=1e-3)
