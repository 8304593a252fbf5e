"""Numbers far apart: right answers beside rational arithmetic, or a line, never a warning of numpy's."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from helpers.markets import SCALES, draw_scaled, make_market, one_rival, with_unit_cost
from helpers.rational import Rational
from prillm_or.cli import run
from prillm_or.curves.profit_curve import curve
from prillm_or.files.markets import write_market
from prillm_or.market.market import Market
from prillm_or.market.selection import select
from prillm_or.result import Certificate, Status
from prillm_or.solving.pricer import Pricer
from prillm_or.solving.run import solve
from prillm_or.users import certificate
from prillm_or.users.certificate import certify, is_certified
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.user_equilibrium import equilibrium


def check_solvers(market: Market) -> None:
    """Profits are those of their own prices, bounds are no lower than the best, and nothing better is missed."""
    exact = Rational(market)
    _, best = exact.best()
    for solver, short in (("path", 1e-9), ("bisect", 1.001e-4)):
        found = solve(market, solver=solver)
        assert found.status is Status.OPTIMAL, (market.name, solver, found.notes)
        assert found.upper_bound is not None
        earned = exact.profit(found.price)
        assert found.profit == pytest.approx(earned, rel=1e-9, abs=0.0), (market.name, solver)
        assert earned >= best - short * max(abs(best), 1e-9), (market.name, solver)
        assert found.upper_bound >= best - 1e-12 * abs(best), (market.name, solver)


def check_flows(market: Market) -> None:
    """Flows at two prices, user by user; of a small user beside a large one fewer digits are left."""
    exact, scale = Rational(market), max(1.0, float(np.ptp(np.log10(market.demand))))
    for price in (float(market.price_cap[0]) / 3, float(market.price[market.leader[0]])):
        found = equilibrium_at(market, [price])
        error = np.abs(found.flow - np.array(exact.flows(price))) / market.demand[:, None]
        assert error.max() < 1e-12 * 10 ** max(0.0, scale - 3), market.name
        assert is_certified(certify(market, [price], found.flow))


@pytest.mark.parametrize("what", SCALES)
def test_prices_profits_and_bounds_are_those_of_rational_arithmetic(what: str) -> None:
    for seed in range(3):
        check_solvers(draw_scaled(what, seed))


@pytest.mark.parametrize("what", SCALES)
def test_flows_are_those_of_rational_arithmetic(what: str) -> None:
    for seed in range(5):
        check_flows(draw_scaled(what, seed))


@pytest.mark.slow
@pytest.mark.parametrize("what", SCALES)
def test_many_markets_whose_numbers_are_far_apart(what: str) -> None:
    for seed in range(100, 160):
        market = draw_scaled(what, seed)
        check_solvers(market)
        check_flows(market)
        assert Pricer(market).update({"price_cap": 0.9 * float(market.price_cap[0])}).status is Status.OPTIMAL


def test_where_pieces_are_noise_the_best_is_the_edge_that_equilibria_tell() -> None:
    """A last digit beyond it the load falls; what is traced earns most elsewhere, by a noise 2,600 times the profit."""
    check_solvers(draw_scaled("all", 104))


def unpaid() -> list[Market]:
    """Markets whose leader can earn nothing, and is not made to lose by its cap."""
    drawn = [draw_scaled("dear", seed) for seed in range(24)]
    found = [market for market in drawn if Rational(market).best()[1] == 0]
    assert len(found) > 3
    return found


def test_a_leader_who_can_earn_nothing_gets_profit_0_at_a_price_at_which_nobody_is_served() -> None:
    for market in unpaid():
        least, _ = Rational(market).best()
        for solver in ("path", "bisect"):
            found = solve(market, solver=solver)
            assert (found.status, found.profit, found.gap) == (Status.OPTIMAL, 0.0, 0.0)
            assert list(found.loads.values()) == [0.0]
            assert found.price == pytest.approx(least, rel=1e-9, abs=1e-12)
        assert Pricer(market).result.profit == 0.0
        assert curve(market).best.profit == 0.0


def test_who_asks_no_less_than_anybody_pays_earns_nothing() -> None:
    # The user leaves at 4: beside the rival at 2 with D = 4 and capacity 2 its marginal cost is 2 + 2 (4/2) = 6.
    market = with_unit_cost(one_rival(), 6.0)
    for solver in ("path", "bisect"):
        found = solve(market, solver=solver)
        assert (found.status, found.profit, list(found.loads.values())) == (Status.OPTIMAL, 0.0, [0.0])
        assert found.price == pytest.approx(6.0, rel=1e-12)


def test_a_demand_beyond_all_digits_goes_where_it_is_cheapest() -> None:
    found = equilibrium_at(one_rival(demand=[4e-100], price=[0, 3]), [2.0])
    assert found.flow.tolist() == [[4e-100, 0.0]]


def test_equal_users_who_leave_at_one_price_leave_together() -> None:
    delay = np.tile([0.0, 0.5, 1.0], (50, 1))
    equal = make_market(
        user_ids=tuple(map(str, range(50))), demand=np.full(50, 0.1), delay=delay, price=[1, 1, 2], price_cap=[20]
    )
    traced = curve(equal)
    assert sum(len(piece.moved) for piece in traced.pieces) >= 50
    for price in np.linspace(0.0, 20.0, 23):
        load = float(equilibrium_at(equal, [price]).load[0])
        assert float(traced.load(price)) == pytest.approx(load, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("solver", ["path", "bisect"])
def test_a_user_as_small_as_a_residue_changes_nothing(solver: str) -> None:
    market = make_market()
    small = select(
        market,
        [0, 1, 1],
        user_ids=(*market.user_ids, "left-over"),
        demand=np.append(market.demand, 5.551115123125783e-17),
        delay=np.vstack([market.delay, [1.0, 1.0, 1.0]]),
    )
    without, found = (solve(each, solver=solver) for each in (market, small))
    assert found.status is Status.OPTIMAL
    assert found.profit == pytest.approx(without.profit, rel=1e-12 if solver == "path" else 1e-4)


BEYOND = {
    "demands and capacities go from 1e-300 to 1e+300": {"demand": [1e-300, 1e300], "capacity": [1e300, 1.0, 1e-300]},
    "demands and capacities go from 2 to 1e+308": {"demand": [1e308, 1e308]},
    "demands and capacities go from 1e-320 to 4": {"capacity": [1e-320, 3.0, 4.0]},
    "prices, delays and values, by their weights, come to 1e+308": {"price": [1e308, 1e308, 1.0]},
    "prices, delays and values, by their weights, come to inf": {
        "value": [1e308, -1e308, 0.0],
        "delay_weight": [1e308, 1],
    },
    "weights of price go from 1 to 1e+200 times those of congestion": {"congestion_weight": [1e-200, 1.0]},
}
COMMANDS = ("solve", "solve tiny/tie", "equilibrium", "curve", "explain", "compete", "watch", "page --out x.html")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, and nothing on standard input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    return tmp_path


@pytest.mark.parametrize("what", BEYOND)
def test_figures_beyond_double_precision_are_a_line_and_2(
    what: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From every command; warnings of numpy's would be errors here."""
    write_market(make_market(**BEYOND[what]), here / "far.json")
    for command in COMMANDS:
        name, *more = command.split()
        assert run([name, "far.json", *more]) == 2, command
        (said,) = capsys.readouterr().err.splitlines()
        assert said.startswith(f"small: beyond double precision: {what}"), command
        assert "most often demands or capacities lie too many orders of magnitude apart" in said
    assert run(["compare", "far.json", "tiny/tie", "--method", "path", "--report", "report"]) == 2
    assert "beyond double precision" in capsys.readouterr().out
    assert run(["validate", "far.json"]) == 0
    assert what in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_an_equilibrium_that_does_not_settle_is_a_line_and_2(
    command: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first user's level, beside the others', cannot rise above its cheapest provider."""
    names = {"user_ids": ("a", "b", "c"), "provider_ids": ("p", "q")}
    write_market(make_market(**names, demand=[1e-33, 1e32, 1e50], capacity=[4e-43, 1e5]), here / "far.json")
    name, *more = command.split()
    assert run([name, "far.json", *more]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("small: the users' equilibrium did not settle in 500 Newton steps; most often")


@pytest.mark.parametrize("command", COMMANDS)
def test_an_equilibrium_that_is_none_is_never_shown(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_market(make_market(), here / "m.json")
    monkeypatch.setattr(certificate, "certify", lambda *_: Certificate(float("nan"), 0.0))
    name, *more = command.split()
    assert run([name, "m.json", *more]) == 2
    ended = capsys.readouterr()
    assert "small: what was found is not the users' equilibrium: KKT residual nan, regret 0.0e+00" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize("value", [1e16, -1e16, -1e20])
def test_a_provider_whose_value_is_far_from_all_others_leaves_the_others_their_digits(value: float) -> None:
    """As where one is ruled out by its value."""
    market = make_market(value=[0.3, value, 0.2])
    found = equilibrium(market)
    assert found.certificate.worst < 1e-15
    if value < 0:
        delay = market.delay[:, [0, 2]]
        others = make_market(provider_ids=("p1", "p3"), price=[1, 3], capacity=[2, 4], value=[0.3, 0.2], delay=delay)
        np.testing.assert_allclose(found.found.flow[:, [0, 2]], equilibrium(others).found.flow, rtol=1e-12)
