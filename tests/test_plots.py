"""Plots: what is drawn is the data, nothing is cut off, and files are written whole or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from helpers.answers import hand_answers, profit_at
from helpers.commands import in_process
from helpers.markets import draw_market, make_market, shipped
from prillm_or.cli import run
from prillm_or.curves.profit_curve import ProfitCurve, curve
from prillm_or.curves.profit_plot import plot_profit
from prillm_or.curves.support_plot import MOST_ROWS, plot_support, support_height, uses
from prillm_or.curves.turns import using
from prillm_or.errors import PrillmError
from prillm_or.explanation.derive import explain
from prillm_or.explanation.effects_plot import MOST_BARS, effects_height, largest_bars, plot_effects
from prillm_or.explanation.explanation import Explanation
from prillm_or.files.markets import write_market
from prillm_or.market.market import Array, Market, Units
from prillm_or.output.canvas import finished, new_axes
from prillm_or.output.look import DEMAND, LEADER, SHARED, letters, short, wide_letters
from prillm_or.output.plots import save_plot
from prillm_or.users.equilibrium import equilibrium
from prillm_or.users.flows_plot import MOST, _crossing, _orders, flows_height, plot_flows

Draw = Callable[[Axes], None]
_ODD = ("$x$ <b>&amp;</b>", "通义千问-最大-预览版-二零二六", "a\nb_{c} \\alpha", "long " * 30, "$", "_^")


def _odd() -> Market:
    units = Units("$\\frac$", "<volume>", "s", "月")
    return make_market(user_ids=_ODD, provider_ids=_ODD, capacity=np.full(6, 5.0), units=units)


def _traced(market: Market, which: int = 0) -> ProfitCurve:
    return curve(market, market.leader_ids[which])


def _all(market: Market) -> Iterator[tuple[Draw, float]]:
    traced = _traced(market)
    best = market.price_cap / 3
    yield partial(plot_profit, curve=traced), 3.8
    yield partial(plot_support, curve=traced), support_height(traced)
    yield partial(plot_flows, market=market, found=equilibrium(market, best)), flows_height(market)
    if market.n * market.m < 500 and len(market.leader) == 1:
        explanation = explain(market)
        yield partial(plot_effects, explanation=explanation, units=market.units), effects_height(explanation)


@pytest.fixture
def axes() -> Iterator[Axes]:
    with new_axes(7.2, 4.0, "test") as axes:
        yield axes


@pytest.fixture(scope="module")
def coding() -> Market:
    return shipped("coding-13")


@pytest.fixture(scope="module")
def coding_explained(coding: Market) -> Explanation:
    return explain(coding)


def _labelled(axes: Axes, start: str) -> Any:
    """The one thing drawn whose label starts so."""
    handles, labels = axes.get_legend_handles_labels()
    (found,) = [handle for handle, label in zip(handles, labels, strict=True) if label.startswith(start)]
    return found


@contextmanager
def _without_glyphs() -> Iterator[None]:
    """Machines differ in the letters that their fonts have."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _curve(axes: Axes) -> tuple[Array, Array]:
    return cast("tuple[Array, Array]", axes.lines[0].get_data())


def _legend(axes: Axes) -> str:
    return "\n".join(axes.get_legend_handles_labels()[1])


def test_the_profit_curve_is_that_of_equilibria(axes: Axes, coding: Market) -> None:
    traced = _traced(coding)
    plot_profit(axes, traced)
    price, profit = _curve(axes)
    for k in range(0, len(price), 40):
        prices = np.array([price[k]])
        assert profit[k] == pytest.approx(profit_at(coding, prices), rel=1e-9)
    assert np.diff(price).max() < coding.price_cap[0] / 250
    assert _labelled(axes, "ends of the 14").get_xdata() == pytest.approx([piece.start for piece in traced.pieces[1:]])
    assert _labelled(axes, "price cap").get_xdata()[0] == coding.price_cap[0]
    assert coding.today is not None
    assert _labelled(axes, "price today").get_xdata()[0] == coding.today[0]
    units = coding.units
    assert axes.get_ylabel() == f"profit, {units.currency} per {units.period}"
    assert axes.get_xlabel() == f"price of step-3.7-flash, {units.currency} per {units.volume}"


def test_the_best_price_and_other_maxima_are_those_by_hand(axes: Axes) -> None:
    by_hand = hand_answers()["two-maxima"]
    plot_profit(axes, _traced(by_hand.market))
    best = _labelled(axes, "best price: 20, profit 20").get_xydata()
    assert best == pytest.approx(np.array([[float(by_hand.prices[0]), float(by_hand.profit)]]))
    assert _labelled(axes, "other local maximum: 8").get_xydata() == pytest.approx(np.array([[8.0, 16.0]]))


def test_the_picture_ends_where_nobody_is_left_and_says_where_the_cap_is(axes: Axes) -> None:
    market = shipped("tiny/two-maxima")
    plot_profit(axes, _traced(market))
    assert 24 < axes.get_xlim()[1] < 30
    assert "price cap: 40, beyond the picture" in _legend(axes)


def test_losses_below_the_unit_cost_do_not_squeeze_the_curve(axes: Axes) -> None:
    market = make_market(unit_cost=np.array([1.5, 0.0, 0.0]), price_cap=np.array([4.0]))
    plot_profit(axes, _traced(market))
    ((_, best),) = _labelled(axes, "best price").get_xydata()
    assert best > 0
    assert min(_curve(axes)[1]) < -best
    assert axes.get_ylim()[0] == pytest.approx(-0.4 * best)


def test_a_cap_of_zero_leaves_one_point(axes: Axes) -> None:
    market = make_market(price_cap=np.zeros(1))
    plot_profit(axes, _traced(market))
    assert _labelled(axes, "best price: 0, profit 0").get_xydata().tolist() == [[0.0, 0.0]]
    assert [set(values) for values in _traced(market).points(0.0)] == [{0.0}, {0.0}]


def test_one_of_two_prices_counts_both_providers(axes: Axes) -> None:
    market = shipped("tiny/two-prices")
    plot_profit(axes, _traced(market, 1))
    price, profit = _curve(axes)
    assert market.today is not None
    for k in range(0, len(price), 50):
        prices = np.array([market.today[0], price[k]])
        assert profit[k] == pytest.approx(profit_at(market, prices), rel=1e-9)


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
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return {bar.get_y(): bar.get_height() for bar in bars if bar.get_x() == pytest.approx(left)}


def _named(axes: Axes) -> dict[str, float]:
    return {text.get_text(): text.get_position()[1] for text in axes.texts}


def test_bands_are_as_thick_as_flows_and_fill_the_bars(axes: Axes, coding: Market) -> None:
    assert coding.today is not None
    found = equilibrium(coding, coding.today)
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
    found = equilibrium(coding, coding.today)
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
    found = equilibrium(market, market.price_cap / 6)
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
    found = equilibrium(market, market.price_cap / 6)
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


def test_bars_are_the_largest_effects(axes: Axes, coding: Market, coding_explained: Explanation) -> None:
    plot_effects(axes, coding_explained, coding.units)
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
    bars = {bar.get_y() + bar.get_height() / 2: bar for bar in axes.patches if isinstance(bar, Rectangle)}
    assert [bars[row].get_width() for row in range(MOST_BARS)] == pytest.approx([known[name] for name in largest])
    colours = {to_hex(bars[row].get_facecolor()) for row, name in enumerate(largest) if name.startswith("demand")}
    assert colours == {DEMAND.lower()}
    assert [text.get_text() for text in axes.texts] == [f"{known[name]:+.3g}" for name in largest]
    assert axes.get_ylabel().replace("\n", " ") == f"the {MOST_BARS} largest of {len(known)} effects"


@pytest.mark.parametrize("sides", [1, 2])
def test_effects_are_written_clear_of_bars_and_names(sides: int) -> None:
    market = _odd()
    explanation = explain(market)
    if sides == 1:
        explanation = replace(explanation, rivals=())
    with new_axes(7.2, effects_height(explanation), "test") as axes:
        plot_effects(axes, explanation, market.units)
        finished(axes, "svg")
        figure = axes.get_figure(root=True)
        assert figure is not None
        with _without_glyphs():
            figure.draw_without_rendering()
        bars = {bar.get_y() + bar.get_height() / 2: bar for bar in axes.patches if isinstance(bar, Rectangle)}
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
    plot_effects(axes, explain(market), market.units)
    assert axes.get_ylabel() == "no effect"
    assert not axes.patches


def test_rows_are_coloured_by_whom_the_user_uses(axes: Axes, coding: Market) -> None:
    plot_support(axes, _traced(coding))
    names = [label.get_text() for label in axes.get_yticklabels()]
    seen = {LEADER.lower(): (True, False), SHARED.lower(): (True, True), "#d4d4d4": (False, True)}
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert len(bars) > coding.n
    for bar in bars:
        i = coding.user_ids.index(names[round(bar.get_y() + bar.get_height() / 2)])
        used = equilibrium(coding, [bar.get_x() + bar.get_width() / 2]).flow[i] > 0
        own = used[list(coding.leader)].any()
        assert (own, used[list(coding.rivals)].any()) == seen[to_hex(bar.get_facecolor())]
    lengths = np.zeros(coding.n)
    for bar in bars:
        lengths[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
    assert lengths == pytest.approx(np.full(coding.n, coding.price_cap[0]))
    assert _labelled(axes, "best price").get_xdata()[0] == pytest.approx(explain(coding).price)


def test_users_who_use_the_leader_are_those_of_the_explanation(kind: str) -> None:
    market = draw_market(kind, 9, 6, 4)
    traced = _traced(market)
    turns = using(traced, market.leader[0])
    for i, spans in enumerate(uses(traced)):
        assert [span[1] for span in spans[:-1]] == [span[0] for span in spans[1:]]
        begins = [turns[i][0][1], *(begins for at, begins in turns[i][1:])]
        leads = [span[2] != "rivals only" for span in spans]
        assert [lead for k, lead in enumerate(leads) if k == 0 or lead != leads[k - 1]] == begins


def test_of_many_users_those_are_drawn_who_ever_use_the_leader(axes: Axes) -> None:
    market = draw_market("heavy", 120, 30, 1)
    traced = _traced(market)
    plot_support(axes, traced)
    names = [label.get_text() for label in axes.get_yticklabels()]
    ever = {
        market.user_ids[i] for i, spans in enumerate(uses(traced)) if any(span[2] != "rivals only" for span in spans)
    }
    assert set(names) <= ever
    assert len(names) == min(len(ever), MOST_ROWS)
    assert f"{len(ever)} of 120 users" in axes.get_ylabel().replace("\n", " ")


@pytest.mark.parametrize("name", ["coding-13", "tiny/nobody", "tiny/two-prices", "odd", "many", "absent", "cap 0"])
def test_nothing_is_cut_off_and_ids_are_no_formulas(
    name: str,
) -> None:
    market = {
        "odd": lambda: _odd(),
        "many": lambda: draw_market("heavy", 120, 60, 0),
        "absent": lambda: make_market(price=np.array([np.nan, 2.0, 3.0])),
        "cap 0": lambda: make_market(price_cap=np.zeros(1)),
    }.get(name, lambda: shipped(name))()
    for draw, height in _all(market):
        with new_axes(7.2, height, "test") as axes:
            draw(axes)
            finished(axes, "svg")
            figure = axes.get_figure(root=True)
            assert figure is not None
            with _without_glyphs():
                figure.draw_without_rendering()
            texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text().strip()]
            drawn = [text for text in texts if text.get_visible() and not _is_outside_tick(text, axes)]
            assert len(drawn) > 3
            for text in drawn:
                assert not text.get_parse_math()
                box, whole = text.get_window_extent(), figure.bbox
                wide = 0.4 * wide_letters(text.get_text()) * _pixels(text, figure.dpi)
                assert whole.x0 - 1 <= box.x0 - wide <= box.x1 + wide <= whole.x1 + 1, text.get_text()
                assert whole.y0 - 1 <= box.y0 <= box.y1 <= whole.y1 + 1, text.get_text()
            for one, other in combinations(drawn, 2):
                a, b = (text.get_window_extent() for text in (one, other))
                assert not _overlap(a, b), (one.get_text(), other.get_text())


def _overlap(a: Bbox, b: Bbox) -> bool:
    """Whether two texts meet, or stand above each other without a space of two pixels."""
    across, along = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return bool(across > 1 and along > -2)


def test_on_axes_of_ones_own_ids_are_no_formulas_either() -> None:
    market = _odd()
    for draw, _ in _all(market):
        figure = Figure()
        draw(figure.add_subplot())
        with _without_glyphs():
            figure.draw_without_rendering()  # "$\\frac$" as a formula would be refused
        texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
        assert {text.get_parse_math() for text in texts if "$" in text.get_text()} == {False}


def _pixels(text: Text, dpi: float) -> float:
    return text.get_fontproperties().get_size_in_points() * dpi / 72


def _is_outside_tick(text: Text, axes: Axes) -> bool:
    """Whether it is the label of a tick beyond the axis, which is not drawn."""
    for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
        if text in axis.get_ticklabels():
            low, high = sorted(axis.get_view_interval())
            return not low <= text.get_position()[place] <= high
    return False


def test_names_are_cut_by_their_width() -> None:
    assert short("a\n b\tc") == "a b c"
    assert short("a" * 30) == "a" * 30
    assert letters(short("a" * 31)) == 30
    assert letters(short("千" * 16)) in (29, 30)
    assert short("千" * 15) == "千" * 15


@pytest.mark.parametrize(("ending", "head"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_a_file_is_written_by_its_ending_and_the_same_twice(
    tmp_path: Path, coding: Market, ending: str, head: bytes
) -> None:
    traced = _traced(coding)
    files = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for file in files:
        save_plot(file, partial(plot_support, curve=traced), support_height(traced))
    assert files[0].read_bytes().startswith(head)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == files


def test_an_svg_holds_odd_names_as_text(tmp_path: Path) -> None:
    market = make_market(user_ids=_ODD[:2], provider_ids=(*_ODD[:2], "p"))
    save_plot(tmp_path / "a.svg", partial(plot_flows, market=market, found=equilibrium(market, [1.0])))
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "$x$ &lt;b&gt;&amp;amp;&lt;/b&gt;" in text
    assert _ODD[1][:10] in text
    assert "<b>" not in text


@pytest.mark.parametrize("name", ["a.jpg", "a", "svg", "a.SVG", "a.svg.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PrillmError, match=r"ends in \.svg or \.png or \.pdf"):
        save_plot(tmp_path / name, lambda axes: None)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_after_a_failure(tmp_path: Path) -> None:
    def broken(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        save_plot(tmp_path / "a.svg", broken)
    with pytest.raises(PrillmError, match="cannot be written"):
        save_plot(tmp_path / "none" / "a.svg", lambda axes: None)
    assert list(tmp_path.iterdir()) == []


def test_a_cap_without_meaning_costs_no_points(axes: Axes, coding: Market) -> None:
    free = replace(coding, price_cap=np.array([1e9]))
    traced = _traced(free)
    assert len(traced.points(traced.cap)[0]) < 1000
    plot_profit(axes, traced)
    assert len(_curve(axes)[0]) < 1000


def test_commands_draw_in_a_process_of_their_own(tmp_path: Path, coding: Market) -> None:
    write_market(replace(coding, user_ids=("$a$ <b>千", *coding.user_ids[1:])), tmp_path / "odd.json")
    for arguments, said in (
        (("curve", "odd.json", "--plot", "a.svg", "--of", "support", "--json", "-"), "the leader and rivals"),
        (("equilibrium", "odd.json", "--plot", "b.svg"), "$a$ &lt;b&gt;千"),
        (("explain", "odd.json", "--plot", "c.svg"), "demand of a user"),
    ):
        done = in_process(*arguments, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert said in (tmp_path / arguments[3]).read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "c.svg", "odd.json"]


def test_curve_draws_the_profit_of_the_price_named(tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    assert run(["curve", "tiny/two-prices", "--provider", "plain", "--plot", str(out)]) == 0
    assert "price of plain, " in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("curve", "coding-13", "--plot", "a.jpg"), "a.jpg: expected a file name that ends in .svg or .png or .pdf"),
        (("curve", "coding-13", "--of", "support"), "--of support: it says what --plot draws; give --plot FILE"),
        (("equilibrium", "coding-13", "--plot", "none/a.svg"), "none/a.svg: the folder none does not exist"),
    ],
)
def test_commands_refuse_in_one_line_and_leave_nothing(
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*arguments, "--json", "out.json"]) == 2
    assert capsys.readouterr().err.strip() == said
    assert list(tmp_path.iterdir()) == []
