"""Over one decision with the others at their best, and over two: by hand, and against equilibria and random prices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import prillm_or as po
from helpers.answers import profit_at
from helpers.markets import draw_market, shipped
from helpers.sold import price_list, sold
from prillm_or.cli import run
from prillm_or.errors import ArgumentError, CombinationError, MarketError, PrillmError
from prillm_or.files.markets import write_market
from prillm_or.landscape.envelope import POINTS, Envelope, envelope
from prillm_or.landscape.profit_map import SIDE, ProfitMap, profit_map
from prillm_or.market.held import hold
from prillm_or.market.market import Market
from prillm_or.users.equilibrium import equilibrium_at


def several() -> list[Market]:
    return [
        draw_market("common", 6, 5, 3, leaders=2),
        sold(2, n=6, m=4, leaders=2, decides="plain", congested=False),
        sold(4, n=4, m=4, leaders=1, decides="components"),
        sold(8, n=5, m=5, leaders=2, decides="factor"),
        sold(9, n=5, m=5, leaders=2, decides=("output",)),
    ]


@pytest.mark.parametrize("which", range(5))
def test_a_held_decision_routes_and_earns_as_it_did(which: int) -> None:
    market = several()[which]
    rng = np.random.default_rng(which)
    at = rng.uniform(0.2, 2.0, len(market.decisions))
    name = market.decisions[-1].name
    held = hold(market, {name: float(at[-1])})
    assert [one.name for one in held.decisions] == [one.name for one in market.decisions[:-1]]
    assert profit_at(held, at[:-1]) == pytest.approx(profit_at(market, at))
    assert equilibrium_at(held, at[:-1]).flow == pytest.approx(equilibrium_at(market, at).flow, abs=1e-10)


def test_a_market_with_held_decisions_is_checked_and_not_written(tmp_path: Path) -> None:
    market = shipped("tiny/two-prices")
    with pytest.raises(MarketError, match="held: all decisions are; at least one is needed"):
        hold(market, {"plain": 1.0, "better": 1.0})
    with pytest.raises(MarketError, match="held: the leader has no decision 'plian'"):
        replace(market, held=("plian",))
    with pytest.raises(PrillmError, match="decisions are held, plain: a market file cannot say so"):
        write_market(hold(market, {"plain": 1.0}), tmp_path / "held.json")


def test_the_best_other_price_by_hand() -> None:
    """See tiny/README.md: lambda = (6 + p1 + p2)/3 where all are used; p1 (lambda - p1) + p2 (lambda - p2 + 1) has the
    derivative 2 p1/3 + 3 - 4 p2/3 by p2, which is 0 at p2 = (2 p1 + 9)/4."""
    found = envelope("tiny/two-prices", "plain")
    assert (found.best.value, found.best.profit) == pytest.approx((3.5, 9.5))
    # The reach of `plain` is 7, so that 3.5 is one of the 41 values, and is there once.
    assert len(found.points) == POINTS
    near = [point for point in found.points if 3 <= point.value <= 4.5]
    assert len(near) > 5
    for point in near:
        p1, p2 = point.value, (2 * point.value + 9) / 4
        level = (6 + p1 + p2) / 3
        assert point.decisions == pytest.approx({"plain": p1, "better": p2})
        assert point.profit == pytest.approx(p1 * (level - p1) + p2 * (level - p2 + 1))
        assert point.upper_bound == pytest.approx(point.profit, rel=1e-4)
    low, high = found.between
    assert low < 3.5 < high
    # The neighbours on the grid, which earn less, proven.
    values = [point.value for point in found.points]
    assert values.index(high) - values.index(low) == 2


@pytest.mark.parametrize("which", [0, 2, 3])
def test_no_other_decisions_earn_more_than_the_envelope(which: int) -> None:
    """Over two seconds of processor time: some forty markets are solved."""
    market = several()[which]
    name = market.decisions[0].name
    found = envelope(market, name)
    today = po.curve(market, name)
    rng = np.random.default_rng(which)
    assert found.best.profit == max(point.profit for point in found.points)
    for point in found.points:
        at = np.array(list(point.decisions.values()))
        assert list(point.decisions) == [one.name for one in market.decisions]
        assert point.profit == pytest.approx(profit_at(market, at), rel=1e-9, abs=1e-9)
        assert point.profit >= float(today.profit(point.value)) * (1 - 1e-4) - 1e-9
        assert point.gap is not None
        assert point.gap <= 1e-4
        assert point.upper_bound is not None
        for other in rng.uniform(0.0, 4.0, (5, len(at))):
            other[0] = point.value
            assert profit_at(market, other) <= point.upper_bound + 1e-9
    low, high = found.between
    assert low <= found.best.value <= high


def test_the_envelope_is_printed_written_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "best.json", tmp_path / "best.svg"
    flags = ["--provider", "plain", "--best-others"]
    assert run(["curve", "tiny/two-prices", *flags, "--json", str(out), "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert "best price 3.5, profit 9.5, with better 4" in shown
    assert "it lies between" in shown
    document = json.loads(out.read_text(encoding="utf-8"))
    assert (document["format"], document["decision"]) == ("prillm-or/envelope@1", "plain")
    assert document["best"]["decisions"] == pytest.approx({"plain": 3.5, "better": 4.0})
    assert len(document["points"]) == POINTS
    assert "the other prices at their best" in plot.read_text(encoding="utf-8")


def test_after_ctrl_c_the_points_so_far_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import prillm_or.landscape.envelope as room

    whole, calls = room._priced, iter(range(5))  # noqa: SLF001

    def priced(*given: object) -> object:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return whole(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "_priced", priced)
    found = envelope("tiny/two-prices", "plain")
    assert (found.interrupted, len(found.points)) == (True, 5)
    assert found.best.value == pytest.approx(3.5)
    monkeypatch.setattr(room, "_priced", priced)
    with pytest.raises(KeyboardInterrupt):
        envelope("tiny/two-prices", "plain")


def test_an_open_gap_is_told_and_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import prillm_or.landscape.envelope as room

    monkeypatch.setattr(room, "_priced", lambda market, near: po.solve(market, solver="ascent"))
    found = envelope("tiny/two-prices", "plain")
    assert found.best.upper_bound is None
    assert not found.proven
    assert run(["curve", "tiny/two-prices", "--provider", "plain", "--best-others"]) == 1
    assert "not every point is proven to a gap of 0.0001" in capsys.readouterr().out


def test_a_map_is_that_of_equilibria() -> None:
    market = shipped("tiny/two-prices")
    found = profit_map(market, "plain", "better")
    assert found.best.decisions == pytest.approx({"plain": 3.5, "better": 4.0})
    assert (found.best.profit, found.today and found.today.profit) == pytest.approx((9.5, 9.0))
    assert found.profit.max() <= found.best.profit * (1 + 1e-12)
    assert set(found.slacks) <= {(0, 0), (0, 1), (0, 2)}
    for row, column in ((0, 0), (20, 60), (41, 33), (60, 60)):
        at = [float(found.values[0][row]), float(found.values[1][column])]
        flow = equilibrium_at(market, at).flow
        assert found.profit[row, column] == pytest.approx(profit_at(market, at))
        for pair, slack in found.slacks.items():
            if abs(slack[row, column]) > 1e-9:
                assert (slack[row, column] > 0) == (flow[pair] > 0)
    # Everybody, each two of three, and `better` alone: by hand the supports that prices from 0 can bring about.
    assert found.regions == len(
        {
            tuple((equilibrium_at(market, [a, b]).flow > 0).ravel().tolist())
            for a in found.values[0]
            for b in found.values[1]
        }
    )


@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_maps_of_lists_factors_and_tastes(which: int) -> None:
    market = several()[which]
    names = [market.decisions[0].name, market.decisions[-1].name]
    found = profit_map(market, *names)
    assert found.names == tuple(names)
    at = market.current.copy()
    at[[0, -1]] = found.values[0][17], found.values[1][44]
    assert found.profit[17, 44] == pytest.approx(profit_at(market, at))
    best = np.array([found.best.decisions[one.name] for one in market.decisions])
    assert found.best.profit == pytest.approx(profit_at(market, best))
    assert best[1:-1] == pytest.approx(market.current[1:-1])
    assert found.upper_bound is not None
    assert found.profit.max() <= found.upper_bound * (1 + 1e-9) + 1e-9


def test_the_map_is_printed_written_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "map.json", tmp_path / "map.svg"
    both = ["--provider", "lead.input", "--provider", "lead.output"]
    assert run(["curve", "tiny/price-list", *both, "--json", str(out), "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert "best: lead.input 2, lead.output 1, profit 14" in shown
    assert "regions of who uses whom" in shown
    document = json.loads(out.read_text(encoding="utf-8"))
    assert (document["format"], document["decisions"]) == ("prillm-or/map@1", ["lead.input", "lead.output"])
    assert np.shape(document["profit"]) == (SIDE, SIDE)
    drawn = plot.read_text(encoding="utf-8")
    assert "input price of lead" in drawn
    assert "today: 1 and 2" in drawn


def test_frames_and_axes() -> None:
    best, both = envelope(price_list(), "own.input"), profit_map(price_list(), "own.input", "own.output")
    assert isinstance(best, Envelope)
    assert isinstance(both, ProfitMap)
    assert list(best.to_frame().columns) == ["value", "profit", "upper_bound", "gap", "own.output"]
    assert both.to_frame().shape == (SIDE, SIDE)
    for found in (best, both):
        ax = Figure().add_subplot()
        assert found.plot(ax) is ax
        assert ax.get_xlabel().startswith("input price of own")
    # Whatever the input price is, the output price makes up for it: P = 3.75 in all, as long as it can.
    assert [point.profit for point in best.points if point.value < 3.75] == pytest.approx(
        [best.best.profit] * sum(point.value < 3.75 for point in best.points)
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--best-others"], "expected one of plain, better (the leader's), got None"),
        (["--provider", "plain", "--provider", "nobody"], "expected one of plain, better (the leader's), got nobody"),
        (["--provider", "plain", "--provider", "plain"], "expected two different decisions, got plain twice"),
        (["--provider", "plain"] * 3, "one moves, or two for a map, got 3"),
        (["--provider", "plain", "--provider", "better", "--best-others"], "--best-others: of one price"),
        (["--provider", "plain", "--provider", "better", "--of", "profit", "--plot", "x.svg"], "--of profit: of one"),
        (["--provider", "plain", "--best-others", "--of", "support", "--plot", "x.svg"], "no --best-others"),
    ],
)
def test_refusals(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["curve", "tiny/two-prices", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_one_decision_has_no_others() -> None:
    with pytest.raises(CombinationError, match="the leader sets one price, and no others"):
        po.envelope("tiny/kink")
    with pytest.raises(ArgumentError, match="`second`: expected two different decisions"):
        po.profit_map("tiny/two-prices", "plain", "plain")
