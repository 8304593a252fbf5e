"""learned: the shipped network, on markets that taught it nothing; and fair play."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prillm_or.users.equilibrium as users_equilibrium
from helpers.commands import in_process
from helpers.markets import draw_market, make_market, shipped
from helpers.sold import sold
from prillm_or.abstraction import anchored, learned
from prillm_or.abstraction.anchor_network import AnchorNetwork
from prillm_or.abstraction.features import market_features
from prillm_or.abstraction.refine import refine as refine_prices
from prillm_or.abstraction.registry import AbstractionChoice
from prillm_or.abstraction.small_market import Abstraction
from prillm_or.abstraction.training.curves import exact_curve
from prillm_or.abstraction.training.scenarios import REAL, Sizes, scenario
from prillm_or.abstraction.weights import write_weights
from prillm_or.curves.trace import Piece, trace
from prillm_or.files.markets import read_market, write_market
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.market.selection import select
from prillm_or.solvers.path import Path as PathSolver
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import Equilibrium, equilibrium_at
from prillm_or.users.kernel import SWITCH
from prillm_or.users.laplacian import Laplacian
from prillm_or.users.problem import UserProblem

AS_ANCHORED = "as `anchored`: the network knows one plain price"


def shares(seeds: range, keep: int, sizes: Sizes) -> list[float]:
    """Profit shares of one-shot prices, on scenarios below the seeds of training."""
    found = []
    for seed in seeds:
        market = scenario(seed, sizes, (*REAL, "roleplay-10"))
        curve = exact_curve(market)
        if curve is None or len(market.rivals) <= keep:
            continue
        prices = PathSolver().solve(learned.abstract(market, keep).market, Limits()).prices
        assert prices is not None
        profit = float((prices[0] - curve.unit_cost) * equilibrium_at(market, prices).load[market.leader[0]])
        found.append(profit / curve.best.profit)
    return found


@pytest.mark.parametrize(("keep", "mean", "worst"), [(1, 0.997, 0.95), (2, 0.999, 0.98)])
def test_profit_shares_on_markets_never_seen(keep: int, mean: float, worst: float) -> None:
    """The issue's figures; the benchmark judges on 500 other markets, and on sizes never seen."""
    found = shares(range(500_000, 500_060), keep, Sizes())
    assert len(found) > 50
    assert np.mean(found) >= mean
    assert min(found) >= worst


def test_profit_shares_on_more_rivals_than_ever_seen() -> None:
    found = shares(range(500_000, 500_040, 4), 2, Sizes(rivals=(50, 50)))
    assert len(found) == 10
    assert min(found) >= 0.999


@pytest.mark.parametrize("keep", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_small_market_is_the_full_one_at_the_anchor(seed: int, keep: int) -> None:
    market = scenario(seed)
    if len(market.rivals) <= keep:
        pytest.skip("nothing to leave out")
    made = learned.abstract(market, keep)
    assert len(made.kept) == keep - 1
    assert len(made.market.rivals) == keep
    found = anchor_of(made)
    small = equilibrium_at(made.market, found.prices)
    own, small_own = market.leader[0], made.market.leader[0]
    np.testing.assert_allclose(small.flow[:, small_own], found.flow[:, own], atol=1e-9 * market.demand.sum())
    np.testing.assert_allclose(small.multiplier, found.multiplier, rtol=1e-8)
    assert found.prices[0] <= made.market.price_cap[0] <= market.price_cap[0]


@pytest.mark.parametrize("seed", [37, 82, 385])
def test_nobody_kept_the_small_market_is_trusted_as_far_as_any_guess(seed: int) -> None:
    """Of seed 385 its best price without a cap would lose 12 % of the best profit."""
    market = scenario(seed, real=(*REAL, "roleplay-10"))
    made = learned.abstract(market, 1)
    (guesses, _), anchor = market_features(market), anchor_of(made).prices
    expected = min(max(1.2 * anchor[0], *guesses), market.price_cap[0])
    assert made.market.price_cap[0] == pytest.approx(expected, rel=1e-12)
    assert any("not to be trusted" in note for note in made.notes) == (expected < market.price_cap[0])
    np.testing.assert_array_equal(learned.abstract(market, 2).market.price_cap, market.price_cap)
    given = learned.abstract(market, 1, anchor=anchor).market  # by a small market
    np.testing.assert_array_equal(given.price_cap, market.price_cap)
    if seed == 385:
        earned = [profit_at_best_price_of(small, market) for small in (market, made.market, given)]
        assert earned[1] >= 0.99 * earned[0]
        assert earned[2] <= 0.89 * earned[0]


def test_a_leader_whom_no_trusted_price_pays_may_ask_any_other() -> None:
    market = scenario(2008)
    assert learned.abstract(market, 1).market.price_cap[0] < 0.7 * market.price_cap[0]
    cost = market.unit_cost.copy()
    cost[market.leader[0]] = 0.99 * market.price_cap[0]
    made = learned.abstract(replace(market, unit_cost=cost), 1)
    np.testing.assert_array_equal(made.market.price_cap, market.price_cap)


def profit_at_best_price_of(small: Market, market: Market) -> float:
    (price,) = solve(small).prices.values()
    return float((price - market.unit_cost[market.leader[0]]) * equilibrium_at(market, [price]).load[market.leader[0]])


def anchor_of(made: Abstraction) -> Equilibrium:
    assert made.equilibrium is not None
    return made.equilibrium


@pytest.mark.parametrize("seed", range(4))
def test_order_of_users_and_rivals_changes_nothing(seed: int) -> None:
    market = scenario(seed)
    rng = np.random.default_rng(seed)
    users, providers = rng.permutation(market.n), rng.permutation(market.m)
    turned = select(market, users.tolist(), providers.tolist())
    choice = AbstractionChoice("learned", 2)
    one, other = (solve(which, solver="path", abstraction=choice) for which in (market, turned))
    assert other.profit == pytest.approx(one.profit, rel=1e-4)  # the network is in single precision
    assert set(learned.abstract(market, 2).kept) == set(learned.abstract(turned, 2).kept)


@pytest.mark.parametrize(("refine", "most"), [(False, 1), (True, 6)])
def test_fair_play(refine: bool, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few equilibria of the full market, and no trace of its price: counted where all of them are solved."""
    monkeypatch.setenv(SWITCH, "0")  # in C, nothing is counted
    market = scenario(500_000)
    newton = users_equilibrium._newton  # noqa: SLF001 - the one place all equilibria pass
    solved: list[int] = []
    traced: list[int] = []

    def counting(users: UserProblem, offsets: Array, laplacian: Laplacian) -> object:
        solved.append(users.capacity.size)
        return newton(users, offsets, laplacian)

    def watching(users: UserProblem, prices: Array, which: int, end: float, start: Equilibrium) -> list[Piece]:
        traced.append(users.capacity.size)
        return list(trace(users, prices, which, end, start))

    monkeypatch.setattr(users_equilibrium, "_newton", counting)
    monkeypatch.setattr("prillm_or.solvers.path.trace", watching)
    choice = AbstractionChoice("learned", 2, refine=refine)
    if refine:
        refine_prices(market, choice, lambda small: PathSolver().solve(small, Limits()))
    else:
        choice.abstract(market)
    assert 1 <= solved.count(market.m) <= most
    assert traced
    assert max(traced) <= 3


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize(
    "fields",
    [
        {"price_cap": np.zeros(1)},
        {"price": np.array([np.nan, 2.0, 3.0, 1.0])},
        {"value": np.array([0.0, 500.0, 500.0, 500.0])},
        {"value": np.array([500.0, 0.0, 0.0, 0.0])},
        {"unit_cost": np.array([20.0, 0.0, 0.0, 0.0])},
        {"capacity": np.array([2e6, 3e6, 4e6, 5e6])},
        {"capacity": np.array([2e-6, 3e-6, 4e-6, 5e-6])},
        {"demand": np.array([1e-3, 1e3])},
    ],
    ids=str,
)
@pytest.mark.parametrize("refine", [False, True])
def test_extreme_markets(fields: dict[str, Array], keep: int, refine: bool) -> None:
    four = {"provider_ids": ("p1", "p2", "p3", "p4")}
    market = make_market(**(four | fields))
    best = solve(market, solver="path").profit
    result = solve(market, solver="path", abstraction=AbstractionChoice("learned", keep, refine=refine))
    assert result.status == "heuristic"
    assert -1e-6 * max(abs(best), 1.0) <= result.profit <= best + 1e-9 * abs(best)


def test_one_user() -> None:
    """One user loads rivals in turn: with the anchor right, the small market of K = 2 is nearly exact."""
    market = make_market(user_ids=("u1",), provider_ids=("p1", "p2", "p3", "p4"))
    best = solve(market, solver="path").profit
    assert solve(market, solver="path", abstraction=AbstractionChoice("learned", 2, refine=True)).profit >= 0.99 * best


def test_few_rivals_stay_as_they_are(small_market: Market) -> None:
    assert learned.abstract(small_market, 2).market is small_market


@pytest.mark.parametrize("leaders", [2, 3])
def test_several_prices(leaders: int) -> None:
    market = draw_market("uniform", 6, 8, 3, leaders)
    made = learned.abstract(market, 2)
    small = equilibrium_at(made.market, anchor_of(made).prices)
    own = list(made.market.leader)
    np.testing.assert_allclose(small.load[own], anchor_of(made).load[list(market.leader)], rtol=1e-8)
    assert made.notes == (*anchored.abstract(market, 2).notes, AS_ANCHORED)


@pytest.mark.parametrize("kind_of_market", ["costs", "weights", "degenerate"])
def test_odd_markets(kind_of_market: str) -> None:
    for seed in range(5):
        market = draw_market(kind_of_market, 6, 7, seed)
        result = solve(market, solver="path", abstraction=AbstractionChoice("learned", 2, refine=True))
        assert result.status == "heuristic"
        best = solve(market, solver="path").profit
        assert result.profit <= best + 1e-9 * abs(best)


@pytest.mark.parametrize("decides", ["factor", ("output",)])
def test_price_lists_and_factors_are_merged_by_the_closed_form(decides: str | tuple[str, ...]) -> None:
    market = sold(1, m=6, decides=decides)
    made, plain = learned.abstract(market, 2), anchored.abstract(market, 2)
    assert made.notes == (*plain.notes, AS_ANCHORED)
    np.testing.assert_array_equal(made.market.delay, plain.market.delay)


@pytest.mark.parametrize("seed", range(6))
def test_crowds_and_tastes_are_read_as_widths(seed: int) -> None:
    market = sold(seed, m=6, decides="plain", congested=seed % 2 == 0)
    result = solve(market, abstraction=AbstractionChoice("learned", 2, refine=True))
    assert result.status == "heuristic"
    assert result.profit <= solve(market).profit * (1 + 1e-9)


def test_features_of_a_vanishing_taste_are_those_of_none() -> None:
    market = scenario(2)
    tiny = replace(market, dispersion=np.full(market.n, 1e-9))
    one, other = (market_features(which)[1].arrays() for which in (market, tiny))
    for name, value in one.items():
        np.testing.assert_allclose(other[name], value, rtol=0, atol=1e-5)


def test_other_weights_change_the_anchor(tmp_path: Path) -> None:
    """An untrained network corrects nothing: the anchor is the capacity merge's best price."""
    write_weights(tmp_path / "w.safetensors", "learned", AnchorNetwork(), {})
    market = scenario(1)
    made = learned.abstract(market, 2, weights=str(tmp_path / "w.safetensors"))
    plain = anchored.abstract(market, 2)
    np.testing.assert_allclose(anchor_of(made).prices, anchor_of(plain).prices, rtol=1e-12)
    assert anchor_of(learned.abstract(market, 2)).prices[0] != anchor_of(made).prices[0]


def test_small_market_is_a_file_like_any_other(tmp_path: Path) -> None:
    made = learned.abstract(scenario(2), 2).market
    write_market(made, tmp_path / "small.json")
    again = read_market(tmp_path / "small.json").market
    assert solve(again, solver="path").profit == pytest.approx(solve(made, solver="path").profit, rel=1e-9)


@pytest.mark.slow
@pytest.mark.wheel
def test_command_line() -> None:
    flags = ("--abstraction", "learned", "--keep", "2", "--solver", "path", "--json", "-")
    done = in_process("solve", "coding-13", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert (result["method"]["abstraction"], result["method"]["keep"]) == ("learned", 2)
    assert (result["status"], result["upper_bound"]) == ("heuristic", None)
    best = solve(shipped("coding-13"), solver="path").profit
    assert 0.999 * best <= result["profit"] <= best * (1 + 1e-9)
    assert result["time_s"]["abstract"] > 0
