"""solve: every combination against the hand answers, refusals that help, statuses, and a light exact path."""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.answers import hand_answers
from helpers.commands import imported_by
from helpers.markets import draw_market
from prillm_or import __version__
from prillm_or.cli.common import model_here, solver_here
from prillm_or.errors import CombinationError, UnavailableError, UnknownNameError
from prillm_or.files.markets import MarketFile
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate
from prillm_or.models.capabilities import Capability
from prillm_or.models.registry import MODELS, model_needs, model_options, model_profile, model_profile_names
from prillm_or.result import Method, Status
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solvers.registry import (
    SOLVERS,
    SolverEntry,
    load_algebraic,
    load_native,
    solver_profile,
    solver_profile_names,
    solvers_for,
)
from prillm_or.solving.caveats import own_elasticity
from prillm_or.solving.choose import choose
from prillm_or.solving.judge import _bounded, _status, judge
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import turnover

NATIVE = [name for name, entry in SOLVERS.items() if not entry.algebraic]
ALGEBRAIC = [name for name, entry in SOLVERS.items() if entry.algebraic]
MODEL_PROFILES = model_profile_names()
SOLVER_PROFILES = solver_profile_names()
PROVING = ("path", "bisect", "branch", "enumerate")
"""Native solvers that prove what they find; `highs` and the like do so with every exact formulation they take."""
SEARCHING = ("ascent", "spiter", "grid", "odca", "spgce", "ipopt")
"""Solvers of which no proof is asked here: they have tests of their own."""
LOCAL = frozenset({Capability.NLP})
PAIRS = list(itertools.product(SOLVER_PROFILES, MODEL_PROFILES))


def goes_together(pair: tuple[str, str]) -> bool:
    return solver_profile(pair[0]).solver in solvers_for(model_profile(pair[1]).formulation)


def is_exact(model: str) -> bool:
    return model_needs(model_profile(model).formulation) != LOCAL


COMBINATIONS = [(solver, None) for solver in PROVING] + [p for p in PAIRS if goes_together(p) and is_exact(p[1])]


def check_answer(answer: Any, solver: str, model: str | None) -> None:
    """The hand answer is met within the gap, and the result hangs together."""
    gap = 1e-4 if model == "kkt-bigm-naive" else 1e-6  # with M = 1e4 a solver's tolerances cost more than 1e-6
    result = solve(answer.market, solver=solver, model=model, gap=gap, threads=1, seed=3)
    profit = float(answer.profit)
    assert result.status is Status.OPTIMAL
    assert result.profit == pytest.approx(profit, rel=2 * gap, abs=1e-9)
    assert result.upper_bound is not None
    assert result.gap is not None
    assert result.upper_bound >= max(result.profit, profit * (1 - 1e-7))
    assert 0 <= result.gap <= gap
    prices = np.array([decided.value for decided in result.decided])
    assert tuple(result.prices) == tuple(result.loads) == answer.market.leader_ids
    assert (prices >= 0).all()
    assert (prices <= answer.market.price_cap).all()
    loads = equilibrium_at(answer.market, prices).load[list(answer.market.leader)]
    np.testing.assert_allclose(list(result.loads.values()), loads, rtol=1e-9, atol=1e-12)
    assert max(result.certificate.kkt_residual, result.certificate.max_regret) <= 1e-12
    assert (result.method.solver, result.method.model) == (solver, model)
    assert (result.seed, result.threads, result.instance) == (3, 1, answer.market.name)
    parts = result.time_s
    assert parts.total == pytest.approx(parts.read + parts.build + parts.solve + parts.verify, abs=1e-3)


@pytest.mark.parametrize(("solver", "model"), COMBINATIONS, ids=str)
def test_every_combination_finds_the_hand_answers(solver: str, model: str | None) -> None:
    assert len(hand_answers()) == 15
    for answer in hand_answers().values():
        if solver in NATIVE and solver != "branch" and len(answer.prices) > 1:
            with pytest.raises(CombinationError) as caught:
                solve(answer.market, solver=solver)
            assert all(able in str(caught.value) for able in ALGEBRAIC)
        else:
            check_answer(answer, solver, model)


@pytest.mark.parametrize(("solver", "model"), [pair for pair in PAIRS if not goes_together(pair)], ids=str)
def test_every_other_combination_is_refused_and_names_one_that_works(solver: str, model: str) -> None:
    with pytest.raises(CombinationError) as caught:
        solve(hand_answers()["kink"].market, solver=solver, model=model)
    able = solvers_for(model_profile(model).formulation)
    assert able
    assert all(name in str(caught.value) for name in able)


@pytest.mark.wheel
@pytest.mark.parametrize(("solver", "model"), [("path", None), ("highs", "kkt-bigm")])
def test_the_wheel_finds_hand_answers(solver: str, model: str | None) -> None:
    for name in ("one-rival", "kink", "own-weights", "two-maxima"):
        check_answer(hand_answers()[name], solver, model)


def test_prices_of_unique_answers_are_the_hand_ones() -> None:
    for name, answer in hand_answers().items():
        if name in ("tie", "nobody"):
            continue  # other prices earn as much
        result = solve(answer.market, gap=1e-9)
        expected = [float(price) for price in answer.prices]
        # At the top of a parabola a gap of 1e-9 leaves its square root to the price.
        np.testing.assert_allclose([decided.value for decided in result.decided], expected, rtol=1e-4)


def test_every_registered_solver_and_model_is_walked() -> None:
    assert set(PROVING) | set(SEARCHING) | set(ALGEBRAIC) == set(SOLVERS)
    assert set(ALGEBRAIC) == {profile.split("/")[0] for profile in SOLVER_PROFILES}
    assert {model_profile(profile).formulation for profile in MODEL_PROFILES} == set(MODELS)
    for name in ALGEBRAIC:
        assert f"{name}/default" in SOLVER_PROFILES
        for default in (name, f"{name}/default"):
            profile = solver_profile(default)
            assert (profile.solver, profile.options) == (name, SOLVERS[name].options)
    for name in MODELS:
        assert (model_profile(name).formulation, model_profile(name).options) == (name, model_options(name)())


def test_a_file_of_a_default_profiles_name_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "solvers/highs").mkdir(parents=True)
    (tmp_path / "models/kkt-bigm.toml").write_text('formulation = "kkt-bigm"\n[options]\nseeds = 2\n')
    (tmp_path / "solvers/highs/default.toml").write_text('solver = "highs"\n[options]\npresolve = "off"\n')
    # The command line looks into the working directory; the library knows what is shipped, and paths.
    assert model_profile(model_here("kkt-bigm") or "").options.seeds == 2
    assert model_profile("kkt-bigm").options.seeds != 2
    for name in ("highs", "highs/default"):
        assert solver_profile(solver_here(name)).options == {"presolve": "off"}
        assert solver_profile(name).options == SOLVERS["highs"].options


def test_every_registered_solver_says_who_it_is() -> None:
    for name, entry in SOLVERS.items():
        assert entry.about
        solver = load_algebraic(name) if entry.algebraic else load_native(name)
        assert solver.name == (entry.same_as or name)
        assert solver.version()[0].isdigit()
        assert Capability.ONE_PRICE in solver.capabilities
        several = entry.algebraic or name in ("branch", "ascent", "spiter", "grid")
        assert (Capability.SEVERAL_PRICES in solver.capabilities) == several
    for name, model in MODELS.items():
        assert model.about
        assert model_options(name)() == model_options(name)()


def test_auto_takes_the_exact_path_and_branch_for_several_prices() -> None:
    assert solve(hand_answers()["kink"].market).method.solver == "path"
    assert solve(hand_answers()["two-prices"].market).method == Method("branch", __version__)
    for model, solver in [("kkt-bigm", "highs"), ("kkt-sos1", "scip"), ("kkt-bilinear", "scip"), ("smooth", "ipopt")]:
        assert choose(hand_answers()["kink"].market, "auto", model).solver.solver == solver


def test_auto_takes_path_at_any_size() -> None:
    assert choose(draw_market("uniform", 1001, 1000, 0), "auto", None).solver.solver == "path"


@pytest.mark.parametrize(
    ("solver", "model", "error", "message"),
    [
        ("hihgs", None, UnknownNameError, r"solver 'hihgs': there is none of that name; did you mean highs"),
        ("highs/defalt", None, UnknownNameError, r"did you mean highs/default"),
        ("highs", "kkt-bigmm", UnknownNameError, r"model 'kkt-bigmm': there is none .* mean kkt-bigm"),
        ("path", "kkt-bigm", CombinationError, r"solver path takes no model.*highs or gurobi or scip"),
        ("bisect", "kkt-bigm", CombinationError, r"solver bisect takes no model"),
    ],
)
def test_what_cannot_work_says_what_would(
    small_market: Market, solver: str, model: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        solve(small_market, solver=solver, model=model)


def test_profiles_of_the_working_directory_count_and_their_faults_are_named(
    small_market: Market, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "solvers/highs").mkdir(parents=True)
    (tmp_path / "models/mine.toml").write_text('formulation = "kkt-bigm"\n[options]\nseeds = 2\n')
    (tmp_path / "solvers/highs/mine.toml").write_text('solver = "highs"\n[options]\nmip_heuristic_effort = 0.1\n')
    solver, model = solver_here("highs/mine"), model_here("mine")
    result = solve(small_market, solver=solver, model=model)
    assert (result.method.solver, result.method.model) == ("highs/mine", "mine")
    assert result.status is Status.OPTIMAL
    for content, message in [
        ('formulation = "kkt"', r"formulation: expected one of kkt-bigm, .*, got 'kkt'"),
        ('formulation = "kkt-bigm"\n[options]\nbigm = 3', r"kkt-bigm has no option bigm; it has big_m, seeds"),
        ('formulation = "kkt-bigm"\nbig_m = 3', r'unknown field "big_m"; there are formulation, options'),
        ("formulation = 3", r"formulation: expected a text, got 3"),
        ("formulation", r"not a TOML file"),
    ]:
        (tmp_path / "models/mine.toml").write_text(content)
        with pytest.raises(CombinationError, match=message):
            solve(small_market, solver="highs", model=model)
    (tmp_path / "solvers/highs/mine.toml").write_text('solver = "highs"\n[options]\nno_such_option = 1\n')
    with pytest.raises(CombinationError, match=r"mine.toml: options.no_such_option: HiGHS has no such option"):
        solve(small_market, solver=solver)
    (tmp_path / "solvers/highs/mine.toml").write_text('solver = "cplex"\n')
    with pytest.raises(CombinationError, match=r"solver: expected one of path, bisect, .*, got 'cplex'"):
        solve(small_market, solver=solver)
    with pytest.raises(CombinationError, match="No such file"):
        solve(small_market, solver="./none.toml")


def test_a_missing_package_is_told_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = SolverEntry(("prillm_or.solvers.highs", "Highs"), "about", "no_such_package", algebraic=True)
    monkeypatch.setitem(SOLVERS, "absent", entry)
    with pytest.raises(UnavailableError, match=r"solver absent: .*pip install no_such_package"):
        load_algebraic("absent")


@pytest.mark.parametrize(
    ("ended", "gap", "status"),
    [
        (Ended.FINISHED, 1e-5, Status.OPTIMAL),
        (Ended.TIME_LIMIT, 1e-5, Status.OPTIMAL),
        (Ended.INTERRUPTED, 1e-5, Status.OPTIMAL),
        (Ended.UNKNOWN, 1e-5, Status.OPTIMAL),
        (Ended.FINISHED, 1e-3, Status.FEASIBLE),
        (Ended.INTERRUPTED, 1e-3, Status.FEASIBLE),
        (Ended.FINISHED, None, Status.HEURISTIC),
        (Ended.INTERRUPTED, None, Status.HEURISTIC),
        (Ended.TIME_LIMIT, 1e-3, Status.TIME_LIMIT),
        (Ended.TIME_LIMIT, None, Status.TIME_LIMIT),
        (Ended.UNKNOWN, 1e-3, Status.ERROR),
        (Ended.UNKNOWN, None, Status.ERROR),
        (Ended.INFEASIBLE, None, Status.ERROR),
    ],
)
def test_how_an_ending_becomes_a_status(ended: Ended, gap: float | None, status: Status) -> None:
    assert _status(ended, gap, 1e-4) is status


def test_a_bound_below_the_profit_by_rounding_is_raised_and_by_more_refused() -> None:
    market = hand_answers()["one-rival"].market
    assert _bounded(10.0, None, market) == (None, None, True)
    assert _bounded(10.0, 10.5, market) == (10.5, 0.05, True)
    assert _bounded(10.0, 10.0 * (1 - 0.9e-7), market) == (10.0, 0.0, True)
    assert _bounded(10.0, 9.9, market) == (None, None, False)
    assert not _bounded(10.0, 10.0 * (1 - 1.2e-7), market)[2]
    assert _bounded(-10.0, -10.0 * (1 + 0.9e-7), market) == (-10.0, 0.0, True)
    assert not _bounded(-10.0, -10.1, market)[2]


@pytest.mark.parametrize("cap", [10.0, 1e17])
def test_around_a_profit_of_zero_rounding_is_measured_by_what_can_be_turned_over(cap: float) -> None:
    market = replace(hand_answers()["one-rival"].market, price_cap=np.array([cap]))
    money = turnover(market)
    assert money == turnover(replace(market, price_cap=np.array([1e6])))
    assert _bounded(0.0, -0.9e-12 * money, market) == (0.0, 0.0, True)
    assert not _bounded(0.0, -1.1e-12 * money, market)[2]


def test_a_contradicted_bound_is_an_error() -> None:
    market = hand_answers()["one-rival"].market  # 9/2 at p = 3
    proposal = Proposal(np.array([3.0]), 4.4, Ended.FINISHED, ("of the solver",))
    result = judge(market, user_problem(market), proposal, Method("path", "0"), Limits())
    assert result.status is Status.ERROR
    assert result.profit == pytest.approx(4.5)
    assert (result.upper_bound, result.gap) == (None, None)
    assert result.notes[0] == "of the solver"
    assert "4.4 is below the profit 4.5" in result.notes[1]


def test_a_proposal_is_judged_in_the_market_not_believed() -> None:
    market = hand_answers()["one-rival"].market
    proposal = Proposal(np.array([2.0]), 4.5, Ended.FINISHED)
    result = judge(market, user_problem(market), proposal, Method("path", "0"), Limits(gap=1e-4))
    # p (6 - p)/2 = 4 at p = 2, so (4.5 - 4)/4 = 1/8 is open.
    assert result.status is Status.FEASIBLE
    assert result.profit == pytest.approx(4.0)
    assert result.gap == pytest.approx(0.125)
    proposal = Proposal(np.array([2.0]), None, Ended.FINISHED)
    heuristic = judge(market, user_problem(market), proposal, Method("path", "0"), Limits())
    assert (heuristic.status, heuristic.upper_bound, heuristic.gap) == (Status.HEURISTIC, None, None)


def test_what_a_result_tells_besides_is_worked_out_once_and_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    market, asked = generate(5, 4, "uniform", 1), []

    def counted(*given: Any) -> Any:
        asked.append(given)
        return own_elasticity(*given)

    monkeypatch.setattr("prillm_or.solving.judge.own_elasticity", counted)
    result = solve(market)
    assert result.profit == pytest.approx(result.price * result.loads["p4"])
    assert asked == []
    sent = pickle.loads(pickle.dumps(result))
    assert sent == result == result.whole()
    assert sent.to_dict() == result.to_dict()
    assert result.today is not None
    assert result.today is result.today
    assert len(asked) == 1


def test_no_time_is_told() -> None:
    market = draw_market("uniform", 8, 8, 0)
    for solver in ("path", "bisect", "highs", "gurobi", "scip"):
        result = solve(market, solver=solver, gap=1e-9, time_limit=0.0)
        best = solve(market).profit
        assert result.status is Status.TIME_LIMIT
        assert result.profit <= best * (1 + 1e-12)
        assert result.upper_bound is None or result.upper_bound >= best * (1 - 1e-12)


def test_today_and_the_hash_are_told() -> None:
    market = replace(hand_answers()["one-rival"].market, price=np.array([2.0, 2.0]))
    result = solve(MarketFile(market, "abc", Path("one-rival.json"), read_s=0.25))
    assert result.today is not None
    assert list(result.today.prices.values()) == [2.0]
    assert result.today.profit == pytest.approx(4.0)
    assert result.instance_sha256 == "abc"
    assert result.time_s.read == 0.25
    assert result.time_s.total >= 0.25
    assert solve(hand_answers()["nobody"].market).today is None


@pytest.mark.parametrize("solver", ["path", "bisect"])
def test_the_exact_path_imports_nothing_heavy(solver: str) -> None:
    code = f"""

from prillm_or.market.synthetic import generate
from prillm_or.solving.run import solve
assert solve(generate(5, 4, "uniform", 1), solver={solver!r}).status == "optimal"
"""
    heavy = ("pyomo", "torch", "scipy", "matplotlib", "highspy", "gurobipy", "pandas", "networkx")
    assert imported_by(code, *heavy) == []


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_solving_writes_nothing_to_standard_output(solver: str, capfd: pytest.CaptureFixture[str]) -> None:
    solve(hand_answers()["two-maxima"].market, solver=solver)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("solver", list(SOLVERS))
def test_the_same_run_gives_the_same_answer(solver: str) -> None:
    market = draw_market("heavy", 4, 4, 3)
    first, second = (solve(market, solver=solver, seed=7) for _ in range(2))
    assert (first.prices, first.profit, first.upper_bound) == (second.prices, second.profit, second.upper_bound)
