"""The equilibrium that a page solves, `equilibrium.js`, alone: in node, against the package's."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from helpers.answers import profit_at
from helpers.markets import SCALES, draw_market, draw_scaled, shipped
from helpers.sold import sold
from prillm_or.curves.profit_curve import curve_between
from prillm_or.market.market import Market
from prillm_or.market.outside import with_outside
from prillm_or.report.explorer_data import market_data
from prillm_or.users.equilibrium import equilibrium_at

State = tuple[Market, list[list[float]]]

SOLVE = """
answer(cases.map(([market, states]) => {
  let found = null;
  return states.map((values) => {
    found = equilibria.solve(market, values, found);
    const more = market.decisions.map((_, k) => equilibria.marginal(found, k).profit);
    return [[...found.flow], equilibria.profit(found), more];
  });
}));
"""
KINKS = """
answer(cases.map(([market, [[cap]]]) => {
  let found = null;
  return [...equilibria.pieces(market, [cap], 0, 0, cap)].map(({ to }) => {
    found = equilibria.solve(market, [to], found);
    return [to, equilibria.profit(equilibria.solve(market, [to])), equilibria.profit(found)];
  });
}));
"""
PIECES = """
const { pieces, loadOn, profitOn } = equilibria;
answer(cases.map(([market, [values]]) => [...pieces(market, values, 0, 0, values[0])].map((piece) =>
  [piece.from, piece.to, loadOn(piece, piece.from), profitOn(piece, (piece.from + piece.to) / 2)])));
"""


def answers(script: str, cases: Sequence[State]) -> Any:
    """What a script makes of markets and of decisions in each; all in one process."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    begin = files("prillm_or.report").joinpath("equilibrium.js").read_text("utf-8")
    begin += "\nconst cases = JSON.parse(require('fs').readFileSync(0, 'utf-8'));"
    begin += "const answer = (found) => console.log(JSON.stringify(found));"
    given = json.dumps([[market_data(market), states] for market, states in cases])
    done = subprocess.run([node, "-e", begin + script], input=given, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return json.loads(done.stdout)


def states_of(markets: Sequence[Market], count: int) -> list[State]:
    rng = np.random.default_rng(14)
    return [(one, [(rng.random(len(one.price_cap)) * one.price_cap).tolist() for _ in range(count)]) for one in markets]


def odd() -> list[Market]:
    """Lists, factors, crowds, tastes, no congestion, own values, leaving, kinks, scales far apart."""
    kinds: tuple[str | None, ...] = (None, "components", "factor")
    return [
        *(sold(seed, leaders=1 + seed % 2, decides=kinds[seed % 3]) for seed in range(24)),
        *(with_outside(sold(seed), 1.0) for seed in range(24, 32)),
        *(draw_market("degenerate", 8, 6, seed, 1 + seed % 2) for seed in range(4)),
        *(draw_scaled(what, seed, 4.0) for what in SCALES for seed in range(2)),
        *(shipped(name) for name in ("tiny/nobody", "tiny/tie", "tiny/own-weights", "premium-4-lists", "coding-13")),
    ]


def test_flows_profit_and_what_more_of_a_decision_earns_are_those_of_the_package() -> None:
    cases = states_of(odd(), 3)
    for (market, states), found in zip(cases, answers(SOLVE, cases), strict=True):
        money = float(market.demand.sum())
        for values, (flow, profit, marginal) in zip(states, found, strict=True):
            wanted = equilibrium_at(market, values)
            least = 1e-9 * market.demand.min()
            np.testing.assert_allclose(np.reshape(flow, wanted.flow.shape), wanted.flow, rtol=1e-9, atol=least)
            assert profit == pytest.approx(profit_at(market, values), rel=1e-9, abs=1e-9 * money)
            assert all(np.isfinite(marginal))


def test_at_kinks_where_pairs_are_tied_it_settles_too() -> None:
    markets = [draw_market("degenerate", 6, 5, seed) for seed in range(3)]
    for seed in (11, 27):
        one = sold(seed, decides="plain")
        markets += [replace(one, count=np.full(one.n, crowd)) for crowd in (1e2, 1e4, 1e6)]
    cases = [(market, [market.price_cap.tolist()]) for market in [*markets, draw_scaled("tied", 4)]]
    for (market, _), ends in zip(cases, answers(KINKS, cases), strict=True):
        for end, cold, warm in ends:
            profit = profit_at(market, [end])
            assert (cold, warm) == pytest.approx((profit, profit), rel=1e-9, abs=1e-9)


def test_what_more_of_a_decision_earns_is_the_slope_of_the_profit() -> None:
    markets = [sold(seed, decides=kind) for seed in (3, 8) for kind in ("plain", "factor", ("output",), "components")]
    cases = states_of(markets, 1)
    for (market, (values,)), ((_, profit, marginal),) in zip(cases, answers(SOLVE, cases), strict=True):
        for k, slope in enumerate(marginal):
            step = 1e-6 * np.eye(len(values))[k]
            around = [profit_at(market, np.array(values) + sign * step) for sign in (-1, 1)]
            sides = [(profit - around[0]) / 1e-6, (around[1] - profit) / 1e-6]
            assert min(abs(slope - side) for side in sides) <= 1e-4 * max(abs(slope), 1.0)


@pytest.mark.parametrize("name", ["premium-4", "economy-8", "tiny/two-maxima", "tiny/kink", "factor"])
def test_pieces_along_a_decision_are_those_of_the_curve(name: str) -> None:
    market = sold(7, decides="factor") if name == "factor" else shipped(name)
    cap = float(market.price_cap[0])
    curve = curve_between(market, 0, 0.0, cap)
    (pieces,) = answers(PIECES, [(market, [[cap]])])
    starts = np.array([piece[0] for piece in pieces])
    for start in [piece.start for piece in curve.pieces]:
        assert np.abs(starts - start).min() <= 3e-9 * cap
    assert pieces[-1][1] == pytest.approx(cap)
    for begin, end, load, profit in pieces:
        found = equilibrium_at(market, [begin])
        assert load == pytest.approx(found.load[list(market.leader)].sum(), rel=1e-7, abs=1e-7)
        assert profit == pytest.approx(profit_at(market, [(begin + end) / 2]), rel=1e-9, abs=1e-9)
