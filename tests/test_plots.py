"""Plots: nothing is cut off, names are no formulas, and files are written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from helpers.commands import in_process
from helpers.markets import draw_market, make_market, shipped
from helpers.plots import ODD, laid_out, odd_market, without_glyphs
from prillm_or.cli import run
from prillm_or.curves.profit_curve import curve
from prillm_or.curves.profit_plot import plot_profit
from prillm_or.curves.support_plot import plot_support, support_height
from prillm_or.errors import PrillmError
from prillm_or.explanation.derive import explain_price
from prillm_or.explanation.effects_plot import effects_height, plot_effects
from prillm_or.files.markets import write_market
from prillm_or.market.market import Market
from prillm_or.output.canvas import finished, new_axes
from prillm_or.output.look import letters, short, wide_letters
from prillm_or.output.plots import save_plot
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.flows_plot import flows_height, plot_flows

Draw = Callable[[Axes], None]


def _all(market: Market) -> Iterator[tuple[Draw, float]]:
    traced = curve(market, market.leader_ids[0])
    best = market.price_cap / 3
    yield partial(plot_profit, curve=traced), 3.8
    yield partial(plot_support, curve=traced), support_height(traced)
    yield partial(plot_flows, market=market, found=equilibrium_at(market, best)), flows_height(market)
    if market.n * market.m < 500 and len(market.leader) == 1:
        explanation = explain_price(market)
        yield partial(plot_effects, explanation=explanation), effects_height(explanation)


@pytest.mark.parametrize(
    "name",
    [
        *("tiny/nobody", "tiny/two-prices", "odd", "absent", "cap 0"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("coding-13", "many")),
    ],
)
def test_nothing_is_cut_off_and_ids_are_no_formulas(
    name: str,
) -> None:
    market = {
        "odd": lambda: odd_market(),
        "many": lambda: draw_market("heavy", 120, 60, 0),
        "absent": lambda: make_market(price=np.array([np.nan, 2.0, 3.0])),
        "cap 0": lambda: make_market(price_cap=np.zeros(1)),
    }.get(name, lambda: shipped(name))()
    for draw, height in _all(market):
        with new_axes(7.2, height, "test") as axes:
            draw(axes)
            finished(axes, "svg")
            figure = laid_out(axes)
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
    market = odd_market()
    for draw, _ in _all(market):
        figure = Figure()
        draw(figure.add_subplot())
        with without_glyphs():
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
    traced = curve(coding)
    files = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for file in files:
        save_plot(file, partial(plot_support, curve=traced), support_height(traced))
    assert files[0].read_bytes().startswith(head)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == files


def test_an_svg_holds_odd_names_as_text(tmp_path: Path) -> None:
    market = make_market(user_ids=ODD[:2], provider_ids=(*ODD[:2], "p"))
    save_plot(tmp_path / "a.svg", partial(plot_flows, market=market, found=equilibrium_at(market, [1.0])))
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "$x$ &lt;b&gt;&amp;amp;&lt;/b&gt;" in text
    assert ODD[1][:10] in text
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


@pytest.mark.slow
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
