"""The outside option is one more rival: every method stays right with it, by hand, exactly and against one another."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.answers import turnover
from helpers.markets import draw_market, make_market
from prillm_or.abstraction import capacity
from prillm_or.abstraction.registry import AbstractionChoice
from prillm_or.cli import run
from prillm_or.curves.trace import trace
from prillm_or.errors import CombinationError, MarketError
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Array, Market
from prillm_or.market.outside import OUTSIDE, OUTSIDE_CAPACITY, with_outside, without_delay
from prillm_or.solving.pricer import Pricer
from prillm_or.solving.run import solve
from prillm_or.users.certificate import certify, profit_of
from prillm_or.users.equilibrium import equilibrium_at, solve_users
from prillm_or.users.problem import user_problem


def worth(market: Market, share: float) -> float:
    """A value at which about that share of the users would leave at a third of the cap."""
    return -float(np.quantile(equilibrium_at(market, market.price_cap / 3).multiplier, 1 - share))


def unwanted(market: Market) -> float:
    """A value at which nobody leaves at any price: dearer than the costliest user's margin at the cap, and a bit."""
    return -2 * float(np.abs(equilibrium_at(market, market.price_cap).multiplier).max()) - 10


def rounding(market: Market) -> float:
    """What profits of a leader who can earn nothing differ by."""
    return 1e-12 * turnover(market)


def test_it_is_one_more_rival() -> None:
    before = make_market(leader=(2, 0), price_cap=[5.0, 6.0])
    after = with_outside(before, -2.5)
    assert after.provider_ids == ("p1", "p2", "p3", "outside")
    assert (after.leader, after.rivals) == ((2, 0), (1, 3))
    assert (after.price[3], after.value[3], after.unit_cost[3]) == (0.0, -2.5, 0.0)
    assert after.capacity[3] == OUTSIDE_CAPACITY * 3.0  # demands 1 and 2
    assert after.delay[:, 3].tolist() == [0.0, 0.0]
    for name in ("price", "capacity", "value", "unit_cost"):
        assert np.array_equal(getattr(after, name)[:3], getattr(before, name))
    assert np.array_equal(after.delay[:, :3], before.delay)
    assert (after.name, before.m) == ("small", 3)


def test_it_is_refused_where_its_id_is_taken_or_its_value_is_no_number(small_market: Market) -> None:
    with pytest.raises(CombinationError, match="small: a provider has the id 'outside' already"):
        with_outside(with_outside(small_market, 0.0), 1.0)
    with pytest.raises(MarketError, match=r"value\[outside\]: expected a finite number, got inf"):
        with_outside(small_market, np.inf)
    with pytest.raises(CombinationError, match=r"outside=-1e\+300 is beyond what can be computed"):
        with_outside(small_market, -1e300)


def captive() -> Market:
    """One user, D = 4; the leader's capacity is 2, and the only rival asks 1000: nobody goes there."""
    return Market(
        name="captive",
        user_ids=("a",),
        provider_ids=("lead", "dear"),
        demand=np.array([4.0]),
        price=np.array([np.nan, 1000.0]),
        capacity=np.array([2.0, 2.0]),
        value=np.zeros(2),
        unit_cost=np.zeros(2),
        delay=np.zeros((1, 2)),
        price_weight=np.ones(1),
        congestion_weight=np.ones(1),
        delay_weight=np.ones(1),
        leader=(0,),
        price_cap=np.array([10.0]),
    )


@pytest.mark.parametrize("solver", ["path", "bisect", "enumerate"])
def test_in_a_captive_market_the_best_price_no_longer_runs_to_the_cap(solver: str) -> None:
    # Alone, marginal cost at the leader is p + (2/2) f <= 10 + 4 < 1000: f = 4 at every price, best at the cap, 40.
    alone = solve(captive(), solver=solver, gap=1e-10)
    assert alone.prices["lead"] == 10.0
    assert alone.profit == pytest.approx(40.0, rel=1e-12)

    # With an outside option of value -6 and capacity A = 1e6 * 4, e = 2/A, a user of both has
    #     p + f = 6 + e (4 - f),   f = (6 + 4 e - p)/(1 + e)   for 2 <= p <= 6 + 4 e; for p <= 2, f = 4 earns 8 at most.
    # p f has its top midway between its zeros: p = 3 + 2 e, profit (3 + 2 e)^2/(1 + e), about 9.
    e = Fraction(2, 4_000_000)
    price, profit = 3 + 2 * e, (3 + 2 * e) ** 2 / (1 + e)
    found = solve(with_outside(captive(), -6.0), solver=solver, gap=1e-10)
    assert found.prices["lead"] == pytest.approx(float(price), rel=1e-4 if solver == "bisect" else 1e-11)
    assert found.profit == pytest.approx(float(profit), rel=1e-9)


def test_as_its_value_falls_results_become_those_without_it(kind: str) -> None:
    for seed in range(3):
        market = draw_market(kind, 5, 4, seed)
        without, last = solve(market), unwanted(market)
        found = [solve(with_outside(market, value)) for value in np.linspace(worth(market, 1.0), last, 8)]
        tolerance = rounding(market)
        if market.common_weights:  # a rival that gets worse never takes anything from the leader (L3, L4)
            profits = [result.profit for result in found]
            assert all(b >= a - tolerance - 1e-9 * abs(a) for a, b in pairwise(profits))
        assert found[-1].profit == pytest.approx(without.profit, rel=1e-10, abs=tolerance)
        away = solve(with_outside(market, -1e5))  # 1e5 takes five digits of each cost
        assert away.profit == pytest.approx(without.profit, rel=1e-9, abs=tolerance)
        if without.profit > tolerance:
            assert found[-1].prices == pytest.approx(without.prices, rel=1e-7)
        same, other = (equilibrium_at(each, market.price_cap) for each in (market, with_outside(market, last)))
        assert other.flow[:, -1].tolist() == [0.0] * 5
        assert other.flow[:, :-1] == pytest.approx(same.flow, abs=1e-11 * market.demand.sum())


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_path_agrees_with_bisect_and_a_price_grid(kind: str, share: float) -> None:
    for size in ((1, 2), (3, 3), (8, 5)):
        market = draw_market(kind, *size, 11)
        market = with_outside(market, worth(market, share))
        exact = solve(market)
        certified = solve(market, solver="bisect", gap=1e-9)
        tolerance = rounding(market)
        assert (exact.status.value, certified.status.value) == ("optimal", "optimal")
        assert certified.profit == pytest.approx(exact.profit, rel=2e-9, abs=tolerance)
        users, found, best = user_problem(market), None, -np.inf
        for price in np.linspace(0.0, market.price_cap, 301):
            found = solve_users(users, price, found)
            best = max(best, profit_of(market, price, found.billed))
        assert best <= exact.profit + 1e-10 * abs(exact.profit) + tolerance
        # the grid misses no more than the steepest rise of profit, x_s <= sum D, over half a step
        assert exact.profit - best <= market.demand.sum() * market.price_cap[0] / 600 + tolerance


@pytest.mark.parametrize(
    ("solver", "model"),
    [
        *(("highs", "kkt-bigm"), ("gurobi", "kkt-bigm"), ("scip", "kkt-bigm")),
        *(("gurobi", "kkt-sos1"), ("scip", "kkt-sos1"), ("gurobi", "kkt-indicator"), ("scip", "kkt-indicator")),
        *(("gurobi", "strong-duality"), ("scip", "kkt-bilinear"), ("enumerate", None)),
    ],
)
def test_path_agrees_with_the_models(kind: str, solver: str, model: str | None) -> None:
    market = draw_market(kind, 2, 3, 0)
    wanted = with_outside(market, worth(market, 0.6))
    exact, found, tolerance = solve(wanted), solve(wanted, solver=solver, model=model), rounding(wanted)
    assert exact.profit > 1e-3 * market.demand.sum()
    assert found.status.value == "optimal"
    assert found.upper_bound is not None
    assert found.profit == pytest.approx(exact.profit, rel=1e-4, abs=tolerance)
    assert exact.profit * (1 - 1e-7) - tolerance <= found.upper_bound <= exact.profit * (1 + 1e-4) + tolerance


def exact_flows(market: Market, prices: Array, support: Any) -> list[list[Fraction]]:
    """Flows in rational arithmetic on a support, as sum_j f_ij = D_i and f_ij = alpha_j (l_i - g_ij - x_j/alpha_j)."""
    n, m = market.n, market.m
    number, asked = np.vectorize(Fraction, otypes=[object]), all_prices(market, prices)
    cost = (
        number(market.price_weight)[:, None] * number(asked)
        + number(market.delay_weight)[:, None] * number(market.delay)
        - number(market.value)
    ) / number(market.congestion_weight)[:, None]
    alpha = number(market.capacity) * support
    rows = np.full((n + m, n + m + 1), Fraction(0), dtype=object)
    for i in range(n):
        rows[i, i], rows[i, n : n + m] = alpha[i].sum(), -alpha[i]
        rows[i, -1] = Fraction(market.demand[i]) + (alpha[i] * cost[i]).sum()
    for j in range(m):
        rows[n + j, :n], rows[n + j, n + j] = -alpha[:, j], Fraction(market.capacity[j]) + alpha[:, j].sum()
        rows[n + j, -1] = -(alpha[:, j] * cost[:, j]).sum()
    for k in range(n + m):  # positive definite: no pivoting
        rows[k] = rows[k] / rows[k, k]
        for other in range(n + m):
            if other != k and rows[other, k]:
                rows[other] = rows[other] - rows[other, k] * rows[k]
    level, congestion = rows[:n, -1], rows[n:, -1]
    slack = level[:, None] - cost - congestion
    assert ((slack <= Fraction(1, 10**14)) | support).all()
    assert ((slack >= -Fraction(1, 10**14)) | ~np.asarray(support)).all()
    flows: list[list[Fraction]] = (alpha * slack).tolist()
    return flows


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_equilibria_are_those_of_rational_arithmetic(kind: str, listed: bool, share: float) -> None:
    market = draw_market(kind, 3, 3, 4)
    market = with_outside(market, worth(market, share) - 0.01)
    for part in (0.1, 0.35, 0.9):
        prices = part * market.price_cap
        found = equilibrium_at(market, prices)
        exact = np.array(exact_flows(market, prices, found.support), dtype=np.float64)
        assert found.flow == pytest.approx(exact, abs=1e-12 * market.demand.sum())
        certificate = certify(market, prices, found.flow)
        assert certificate.kkt_residual <= 1e-13
        assert certificate.max_regret <= 1e-13


@pytest.mark.parametrize("seed", [7, 9, 20, 32])
def test_traces_are_right_where_users_come_back_from_it(listed: bool, seed: int) -> None:
    """With weights of their own users may come back from it as the leader gets dearer; 1e-6 D was once a zero slack."""
    rng, came_back = np.random.default_rng(seed), False
    for n, m in ((2, 3), (4, 4), (8, 5)):
        market = draw_market("heavy" if seed % 2 else "uniform", n, m, seed)
        price, congestion, delay = np.exp(rng.normal(0, (1.2, 1.2, 1.0), (n, 3))).T
        market = replace(market, price_weight=price, congestion_weight=congestion, delay_weight=delay)
        for share in (0.2, 0.4, 0.6, 0.8):
            asked = with_outside(market, worth(market, share))
            users, own, before = user_problem(asked), asked.leader[0], None
            for piece in trace(users, np.zeros(1), 0, float(asked.price_cap[0])):
                for at in (piece.start, 0.3 * piece.start + 0.7 * piece.end):
                    found = solve_users(users, [at], before)
                    load = piece.load[0] + piece.slope[0] * (at - piece.start)
                    assert load == pytest.approx(found.load[own], abs=1e-11 * asked.demand.sum())
                    assert certify(asked, [at], found.flow).kkt_residual <= 1e-12
                    came_back |= before is not None and bool((found.flow < before.flow - 1e-3)[:, -1].any())
                    before = found
    assert came_back


def test_what_a_finite_capacity_changes_is_within_the_proven_bound(kind: str) -> None:
    market = draw_market(kind, 4, 3, 6)
    here = with_outside(market, worth(market, 0.6))
    own = here.leader[0]
    total, rest = here.demand.sum(), here.capacity[:-1].sum()
    bound = 2 / OUTSIDE_CAPACITY * np.sqrt(here.n * rest * here.capacity[own])
    larger = replace(here, capacity=np.append(here.capacity[:-1], 1e3 * here.capacity[-1]))
    left = 0.0
    for part in np.linspace(0.0, 1.0, 7):
        near, far = (equilibrium_at(each, part * here.price_cap) for each in (here, larger))
        assert abs(near.load[own] - far.load[own]) <= bound + 1e-9 * total
        left = max(left, near.load[-1])
    assert left > 0.01 * total  # or nothing was compared


@pytest.mark.slow
def test_a_large_market(listed: bool) -> None:
    market = draw_market("heavy", 300, 100, 0)
    for share in (0.5, 1.0):
        asked = with_outside(market, worth(market, share))
        exact, certified = solve(asked), solve(asked, solver="bisect")
        assert certified.profit == pytest.approx(exact.profit, rel=1e-4)
        assert exact.certificate.kkt_residual <= 1e-12
        assert 0 < exact.profit < solve(market).profit


def test_a_pricer_follows_its_value(kind: str) -> None:
    market = draw_market(kind, 6, 5, 3)
    pricer = Pricer(with_outside(market, worth(market, 0.5)))
    for share, factor in ((0.9, 1.1), (0.1, 3.0), (0.6, 0.5)):
        change = {
            "providers": {OUTSIDE: {"value": worth(market, share)}},
            "users": {market.user_ids[1]: {"demand": factor * market.demand[1]}},
        }
        found, fresh = pricer.update(change), solve(pricer.market)
        assert found.status.value == "optimal"
        assert found.profit == pytest.approx(fresh.profit, rel=1e-10, abs=rounding(market))
    gone = pricer.update({"remove": {"providers": [OUTSIDE]}})
    assert gone.profit == pytest.approx(solve(pricer.market).profit, rel=1e-10, abs=rounding(market))


@pytest.mark.parametrize("name", ["anchored", pytest.param("learned", marks=pytest.mark.slow)])
def test_abstractions_take_it_apart_from_those_whose_capacity_counts(name: str) -> None:
    shares = []
    for kind in ("heavy", "weights"):
        for seed in range(2):
            market = draw_market(kind, 8, 6, seed)
            for value in (worth(market, 0.6), unwanted(market)):
                asked = with_outside(market, value)
                found = solve(asked, abstraction=AbstractionChoice(name, 2, True, None))
                shares.append(found.profit / solve(asked).profit)
    assert max(shares) <= 1 + 1e-9
    assert min(shares) >= 0.99


def test_beside_it_the_largest_capacities_are_still_told_apart() -> None:
    market = make_market(provider_ids=("p1", "p2", "p3", "p4"), capacity=[1.0, 2.0, 2.0005, 1.9995])
    asked = with_outside(market, -3.0)  # 1e-9 of its capacity, 3e6, is more than what the others differ by
    assert capacity.abstract(asked, 3).kept == ("p3", "outside")
    assert capacity.coarsest(asked).kept == ("outside",)
    assert capacity.coarsest(market).kept == ()
    vast = replace(market, capacity=1e9 * market.capacity)
    assert capacity.coarsest(vast).kept == ()  # where all are ample, capacity is a weight again


def test_every_command_says_that_the_market_has_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heading, file = "with an outside option of value -3", tmp_path / "out.json"
    for command in ("solve", "equilibrium", "curve"):
        assert run([command, "tiny/kink", "--outside", "-3", "--json", str(file)]) == 0
        assert heading in capsys.readouterr().out
        document = json.loads(file.read_text(encoding="utf-8"))
        assert document["outside"] == -3.0
        assert run([command, "tiny/kink", "--json", str(file)]) == 0
        assert "outside" not in capsys.readouterr().out
        assert "outside" not in json.loads(file.read_text(encoding="utf-8"))
    compare = ["compare", "tiny/kink", "--method", "path", "--repeat", "1", "--json", str(file)]
    assert run([*compare, "--outside", "-3"]) == 0
    assert heading in capsys.readouterr().out
    (row,) = json.loads(file.read_text(encoding="utf-8"))["rows"]
    # kink with it: p + f = 3 until `far` would count, so p (3 - p): 9/4 at 3/2, but for its capacity
    assert row["outside"] == -3.0
    assert row["profit"] == pytest.approx(2.25, rel=1e-5)


def test_a_value_must_be_a_number_and_its_id_free(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["solve", "tiny/kink", "--outside", "nan"]) == 2
    assert "--outside" in capsys.readouterr().err
    text = (Path(__file__).parent.parent / "instances/tiny/kink.json").read_text(encoding="utf-8")
    path = tmp_path / "taken.json"
    path.write_text(text.replace('"far"', '"outside"'), encoding="utf-8")
    assert run(["solve", str(path), "--outside", "-3"]) == 2
    assert capsys.readouterr().err.strip().endswith("rename it, or leave --outside out")


def test_results_are_kept_apart_by_its_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = ["solve", "tiny/kink", "tiny/tie", "--json", str(tmp_path / "all.json")]
    parts = tmp_path / "all.json.parts"
    assert run([*both[:2], "no-such", *both[3:], "--outside", "-3"]) == 2  # one is kept
    assert len(parts.read_text(encoding="utf-8").splitlines()) == 1
    assert run([*both, "--outside", "-2", "--resume"]) == 0
    found = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert [result["outside"] for result in found] == [-2.0, -2.0]
    assert found[0]["profit"] == pytest.approx(1.0, rel=1e-5)  # p (2 - p), not 9/4

    report = ["compare", "tiny/kink", "--method", "path", "--repeat", "1", "--report", str(tmp_path / "report")]
    for value, lines in (("-3", 1), ("-3", 1), ("-2", 2)):
        assert run([*report, "--outside", value, "--resume"]) == 0
        assert len((tmp_path / "report/runs.jsonl").read_text(encoding="utf-8").splitlines()) == lines
    (row,) = json.loads((tmp_path / "report/report.json").read_text(encoding="utf-8"))["rows"]
    assert row["outside"] == -2.0
    assert row["profit"] == pytest.approx(1.0, rel=1e-5)
    capsys.readouterr()


def test_users_who_come_have_no_delay_to_it(small_market: Market) -> None:
    market = with_outside(small_market, -1.0)

    def delays(change: dict[str, Any]) -> Any:
        return without_delay(change, market)["add"]["users"][0]["delays"]

    def coming(delays: Any, **more: Any) -> dict[str, Any]:
        return {"add": {"users": [{"id": "new", "demand": 1.0, "delays": delays}], **more}}

    assert delays(coming(0.7)) == {"p1": 0.7, "p2": 0.7, "p3": 0.7, OUTSIDE: 0.0}
    assert delays(coming({"p1": 1.0, "p2": 2.0, "p3": 3.0}))[OUTSIDE] == 0.0
    assert delays(coming({OUTSIDE: 0.4}))[OUTSIDE] == 0.4
    assert delays(coming(0.7, providers=[{"id": "p4"}]))["p4"] == 0.7
    assert "p2" not in delays(coming(0.7) | {"remove": {"providers": ["p2"]}})
    for faulty in (-0.7, "x", True, None):
        assert delays(coming(faulty)) == faulty
    for other in ({}, {"add": 3}, {"add": {"users": 3}}, coming(0.7) | {"remove": {"providers": [OUTSIDE]}}):
        assert without_delay(other, market) == other
    assert without_delay(coming(0.7), small_market) == coming(0.7)


def test_watch_follows_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {"add": {"users": [{"id": "b", "demand": 2.0, "delays": 0.5}]}},
        {"providers": {OUTSIDE: {"value": -2.0}}},
        {"remove": {"providers": [OUTSIDE]}},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run(["watch", "tiny/kink", "--outside", "-3"]) == 0
    first, more, worse, gone = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [answer.get("outside") for answer in (first, more, worse, gone)] == [-3.0, -3.0, -2.0, None]
    assert first["profit"] == pytest.approx(2.25, rel=1e-5)
    assert first["profit"] < more["profit"]
    assert worse["profit"] < more["profit"]
    assert gone["profit"] > more["profit"]
