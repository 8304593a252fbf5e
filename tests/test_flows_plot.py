"""The picture of flows: bands as thick as flows, names beside their bars, few crossings."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import PathPatch

from helpers.markets import draw_market
from helpers.plots import rectangles
from prillm_or.market.market import Array, Market
from prillm_or.output.look import LEADER
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.flows_plot import MOST, _crossing, _orders, plot_flows


def _bands(axes: Axes) -> list[PathPatch]:
    return [patch for patch in axes.patches if isinstance(patch, PathPatch)]


def _ends(band: PathPatch) -> tuple[float, float, float]:
    """Upper ends on the left and on the right, and thickness; as thick on both sides."""
    points = cast("Array", band.get_path().vertices)
    assert points[4, 1] - points[3, 1] == pytest.approx(points[7, 1] - points[0, 1])
    assert points[[0, 3], 0].tolist() == [0.0, 1.0]
    return float(points[0, 1]), float(points[3, 1]), float(points[7, 1] - points[0, 1])


def _bars(axes: Axes, left: float) -> dict[float, float]:
    """Bars whose left side is there: height by upper end."""
    bars = rectangles(axes)
    return {bar.get_y(): bar.get_height() for bar in bars if bar.get_x() == pytest.approx(left)}


def _named(axes: Axes) -> dict[str, float]:
    return {text.get_text(): text.get_position()[1] for text in axes.texts}


def test_bands_are_as_thick_as_flows_and_fill_the_bars(axes: Axes, coding: Market) -> None:
    assert coding.today is not None
    found = equilibrium_at(coding, coding.today)
    plot_flows(axes, coding, found)
    bands = _bands(axes)
    thick = np.array([_ends(band)[2] for band in bands])
    scale = thick.sum() / coding.demand.sum()
    assert np.sort(thick) == pytest.approx(np.sort(found.flow[found.flow > 0]) * scale)
    to_leader = [thick[k] for k, band in enumerate(bands) if to_hex(band.get_facecolor()) == LEADER.lower()]
    assert sum(to_leader) == pytest.approx(found.load[coding.leader[0]] * scale)
    for left, side, sizes in ((-0.025, 0, coding.demand), (1.0, 1, found.load)):
        bars = _bars(axes, left)
        assert sorted(bars.values()) == pytest.approx(np.sort(sizes) * scale)
        for top, height in bars.items():
            within = [end for end in map(_ends, bands) if top - 1e-9 <= end[side] <= top + height - 1e-9]
            assert sum(end[2] for end in within) == pytest.approx(height)


def test_names_stand_beside_their_bars_and_do_not_overlap(axes: Axes, coding: Market) -> None:
    assert coding.today is not None
    found = equilibrium_at(coding, coding.today)
    plot_flows(axes, coding, found)
    named = _named(axes)
    bars = _bars(axes, -0.025)
    scale = sum(bars.values()) / coding.demand.sum()
    for i, user in enumerate(coding.user_ids):
        (place,) = [place for text, place in named.items() if text.startswith(f"{user}  ")]
        heights = [height for top, height in bars.items() if top + height / 2 == pytest.approx(place)]
        assert heights == pytest.approx([coding.demand[i] * scale])
    for align in ("left", "right"):
        places = sorted(text.get_position()[1] for text in axes.texts if text.get_horizontalalignment() == align)
        assert np.diff(places).min() >= 1.0
    (bold,) = [text.get_text() for text in axes.texts if text.get_fontweight() == "bold"]
    assert bold.endswith(f"  {coding.leader_ids[0]}")


def test_of_many_the_largest_are_drawn_and_the_others_as_one(axes: Axes) -> None:
    market = replace(draw_market("heavy", 60, 40, 1), leader=(3,))
    found = equilibrium_at(market, market.price_cap / 6)
    plot_flows(axes, market, found)
    named = _named(axes)
    assert len([text for text in axes.texts if text.get_horizontalalignment() == "right"]) == MOST + 1
    assert len([text for text in axes.texts if text.get_horizontalalignment() == "left"]) == MOST + 1
    assert any(text.endswith("  20 others") for text in named)
    largest = np.argsort(-market.demand)[:MOST]
    others = market.demand.sum() - market.demand[largest].sum()
    assert f"40 others  {others:.3g}" in named
    assert all(f"{market.user_ids[i]}  {market.demand[i]:.3g}" in named for i in largest)
    assert any(text.endswith(f"  {market.leader_ids[0]}") for text in named)
    thick = [_ends(band)[2] for band in _bands(axes)]
    assert sum(_bars(axes, -0.025).values()) == pytest.approx(sum(thick))


def test_less_flow_crosses_than_in_the_order_of_the_file(axes: Axes) -> None:
    market = draw_market("heavy", 20, 20, 2)
    found = equilibrium_at(market, market.price_cap / 6)
    plot_flows(axes, market, found)
    ends = [_ends(band) for band in _bands(axes)]
    drawn = (
        sum(a[2] * b[2] for k, a in enumerate(ends) for b in ends[:k] if (a[0] - b[0]) * (a[1] - b[1]) < 0)
        / sum(end[2] for end in ends) ** 2
    )
    assert drawn <= 0.8 * _crossing(found.flow) / market.demand.sum() ** 2


def test_later_rounds_never_cross_more_than_the_first() -> None:
    better = 0
    for seed in range(20):
        flow = np.random.default_rng(seed).exponential(size=(9, 7)) ** 3
        rows = np.argsort(-flow.sum(axis=1))
        columns = np.argsort((np.arange(9) @ flow[rows]) / flow.sum(axis=0))
        first, last = _crossing(flow[np.ix_(rows, columns)]), _crossing(flow[np.ix_(*_orders(flow))])
        assert last <= first * (1 + 1e-12)
        better += last < 0.99 * first
    assert better > 10


def test_crossing_counts_pairs_of_flows() -> None:
    flow = np.random.default_rng(0).uniform(size=(4, 5))
    pairs = [(i, j) for i in range(4) for j in range(5)]
    crossing = sum(flow[a] * flow[b] for a in pairs for b in pairs if a[0] < b[0] and a[1] > b[1])
    assert _crossing(flow) == pytest.approx(crossing)
