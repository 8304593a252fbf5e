"""The pictures of effects and of the support: bars are the largest effects, rows whom a user uses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from helpers.markets import draw_market, shipped
from helpers.plots import labelled, laid_out, odd_market, rectangles
from prillm_or.curves.profit_curve import curve
from prillm_or.curves.support_plot import MOST_ROWS, plot_support, uses
from prillm_or.curves.turns import using
from prillm_or.explanation.derive import explain_price
from prillm_or.explanation.effects_plot import MOST_BARS, effects_height, largest_bars, plot_effects
from prillm_or.explanation.explanation import Explanation
from prillm_or.market.market import Market
from prillm_or.output.canvas import finished, new_axes
from prillm_or.output.look import DEMAND, LEADER, SHARED
from prillm_or.users.equilibrium import equilibrium_at


@pytest.fixture(scope="module")
def coding_explained(coding: Market) -> Explanation:
    return explain_price(coding)


def test_bars_are_the_largest_effects(axes: Axes, coding: Market, coding_explained: Explanation) -> None:
    plot_effects(axes, coding_explained)
    known = {
        f"{what} of {name}": effect
        for name, effects in (
            *((user.id, user.profit_effect) for user in coding_explained.users),
            *((rival.id, rival.profit_effect) for rival in coding_explained.rivals),
        )
        for what, effect in (effects or {}).items()
    }
    largest = sorted(known, key=lambda name: -abs(known[name]))[:MOST_BARS]
    assert [label.get_text() for label in axes.get_yticklabels()] == largest
    bars = {bar.get_y() + bar.get_height() / 2: bar for bar in rectangles(axes)}
    assert [bars[row].get_width() for row in range(MOST_BARS)] == pytest.approx([known[name] for name in largest])
    colours = {to_hex(bars[row].get_facecolor()) for row, name in enumerate(largest) if name.startswith("demand")}
    assert colours == {DEMAND.lower()}
    assert [text.get_text() for text in axes.texts] == [f"{known[name]:+.3g}" for name in largest]
    assert axes.get_ylabel().replace("\n", " ") == f"the {MOST_BARS} largest of {len(known)} effects"


@pytest.mark.parametrize("sides", [1, 2])
def test_effects_are_written_clear_of_bars_and_names(sides: int) -> None:
    market = odd_market()
    explanation = explain_price(market)
    if sides == 1:
        explanation = replace(explanation, rivals=())
    with new_axes(7.2, effects_height(explanation), "test") as axes:
        plot_effects(axes, explanation)
        finished(axes, "svg")
        laid_out(axes)
        bars = {bar.get_y() + bar.get_height() / 2: bar for bar in rectangles(axes)}
        assert len(axes.texts) == len(bars) > 5
        for row, text in enumerate(axes.texts):
            box, bar = text.get_window_extent(), bars[row].get_window_extent()
            assert box.x1 < bar.x0 or bar.x1 < box.x0
            assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1


def test_effects_that_are_but_rounding_or_unknown_are_left_out(coding_explained: Explanation) -> None:
    users = list(coding_explained.users)
    users[0] = replace(users[0], profit_effect={"demand": 1e-11})
    users[1] = replace(users[1], profit_effect=None)
    bars = largest_bars(replace(coding_explained, users=tuple(users), rivals=()))
    assert {bar.id for bar in bars} <= {user.id for user in users[2:]}
    assert bars


def test_nothing_to_show_is_said(axes: Axes) -> None:
    market = shipped("tiny/nobody")
    plot_effects(axes, explain_price(market))
    assert axes.get_ylabel() == "no effect"
    assert not axes.patches


def test_rows_are_coloured_by_whom_the_user_uses(axes: Axes, coding: Market) -> None:
    plot_support(axes, curve(coding))
    names = [label.get_text() for label in axes.get_yticklabels()]
    seen = {LEADER.lower(): (True, False), SHARED.lower(): (True, True), "#d4d4d4": (False, True)}
    bars = [bar for bar in rectangles(axes)]
    assert len(bars) > coding.n
    for bar in bars:
        i = coding.user_ids.index(names[round(bar.get_y() + bar.get_height() / 2)])
        used = equilibrium_at(coding, [bar.get_x() + bar.get_width() / 2]).flow[i] > 0
        own = used[list(coding.leader)].any()
        assert (own, used[list(coding.rivals)].any()) == seen[to_hex(bar.get_facecolor())]
    lengths = np.zeros(coding.n)
    for bar in bars:
        lengths[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    assert lengths == pytest.approx(np.full(coding.n, coding.price_cap[0]))
    assert labelled(axes, "best price").get_xdata()[0] == pytest.approx(explain_price(coding).price)


def test_users_who_use_the_leader_are_those_of_the_explanation(kind: str) -> None:
    market = draw_market(kind, 9, 6, 4)
    traced = curve(market)
    turns = using(traced, market.leader[0])
    for i, spans in enumerate(uses(traced)):
        assert [span[1] for span in spans[:-1]] == [span[0] for span in spans[1:]]
        begins = [turns[i][0][1], *(begins for at, begins in turns[i][1:])]
        leads = [span[2] != "rivals only" for span in spans]
        assert [lead for k, lead in enumerate(leads) if k == 0 or lead != leads[k - 1]] == begins


def test_of_many_users_those_are_drawn_who_ever_use_the_leader(axes: Axes) -> None:
    market = draw_market("heavy", 120, 30, 1)
    traced = curve(market)
    plot_support(axes, traced)
    names = [label.get_text() for label in axes.get_yticklabels()]
    ever = {
        market.user_ids[i] for i, spans in enumerate(uses(traced)) if any(span[2] != "rivals only" for span in spans)
    }
    assert set(names) <= ever
    assert len(names) == min(len(ever), MOST_ROWS)
    assert f"{len(ever)} of 120 users" in axes.get_ylabel().replace("\n", " ")
