"""ipopt: derivatives, programmes with known answers, its statuses, the time limit, Ctrl-C, silence."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

pytest.importorskip("ipyopt", reason="ipyopt is not installed")

from helpers.answers import hand_answers
from helpers.markets import draw_market
from prillm_or.cli.quiet import quiet
from prillm_or.errors import CombinationError
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.models.bounds import derive_bounds
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.models.mpec import MpecOptions
from prillm_or.models.mpec import build as build_mpec
from prillm_or.models.smooth import SmoothOptions
from prillm_or.models.smooth import build as build_smooth
from prillm_or.models.window import whole_window
from prillm_or.result import Status
from prillm_or.solvers import ipopt
from prillm_or.solvers.ipopt import Functions, Ipopt
from prillm_or.solvers.programme import compile_model
from prillm_or.solvers.protocols import Answer, Ended
from prillm_or.solvers.registry import load_algebraic
from prillm_or.solving.run import solve

Solve = Callable[..., Answer]


@pytest.fixture
def run(small_market: Market) -> Solve:
    """Hand a Pyomo model to Ipopt, whatever the market it is said to be of."""

    def solve(model: pyo.ConcreteModel, limits: Limits | None = None, **options: object) -> Answer:
        bounds = derive_bounds(small_market, whole_window(small_market))
        formulation = Formulation(
            "toy", small_market, 1.0, 1.0, np.ones(1), model, bounds, needs=frozenset({Capability.NLP}), profit=None
        )
        return Ipopt().run(formulation, limits or Limits(), options)

    return solve


def toy(start: tuple[float, float] = (0.1, 0.2)) -> pyo.ConcreteModel:
    """Maximise 1 + x + 2 y on the disc x^2 + y^2 <= 5 with x - y <= 3: (1, 2), worth 6."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-9, 9), initialize=start[0])
    model.y = pyo.Var(initialize=start[1])
    model.nonlinear = pyo.ConstraintList()
    model.nonlinear.add(model.x**2 + model.y**2 <= 5)
    model.linear = pyo.Constraint(expr=model.x - model.y <= 3)
    model.objective = pyo.Objective(expr=1 + model.x + 2 * model.y, sense=pyo.maximize)
    return model


def test_a_linear_objective_on_a_disc(run: Solve) -> None:
    model = toy()
    answer = run(model)
    assert answer == Answer(Ended.FINISHED, None, True)
    assert answer.stats["iterations"] > 0
    assert (model.x.value, model.y.value) == pytest.approx((1, 2), abs=1e-7)


def test_a_quadratic_objective_on_a_line(run: Solve) -> None:
    # 3 x y - x^2 - 4 y^2 with x + y = 4: x = 4 - y gives 12 y - 3 y^2 - (4 - y)^2 - 4 y^2 = -8 y^2 + 20 y - 16, top at
    # y = 5/4, x = 11/4, worth 25/2 - 16 = -7/2.
    model = pyo.ConcreteModel()
    model.x, model.y = pyo.Var(initialize=1.0), pyo.Var(initialize=1.0)
    model.line = pyo.Constraint(expr=model.x + model.y == 4)
    expression = 3 * model.x * model.y - model.x**2 - 4 * model.y**2
    model.objective = pyo.Objective(expr=expression, sense=pyo.maximize)
    assert run(model).has_values
    assert (model.x.value, model.y.value) == pytest.approx((11 / 4, 5 / 4), abs=1e-7)
    assert pyo.value(model.objective) == pytest.approx(-7 / 2, abs=1e-7)


@pytest.mark.parametrize(("start", "top"), [(-0.5, -1.0), (1.0, 2.0)])
def test_it_climbs_to_the_nearest_maximum(run: Solve, start: float, top: float) -> None:
    # x^2 on [-1, 2]: a local maximum at each end.
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(-1, 2), initialize=start)
    model.objective = pyo.Objective(expr=model.x**2, sense=pyo.maximize)
    assert run(model).ended is Ended.FINISHED
    assert model.x.value == pytest.approx(top, abs=1e-6)


def check_derivatives(functions: Functions, x: Array, rng: np.random.Generator) -> None:
    """Central differences: exact for quadratics, but for rounding."""
    count, multipliers = len(x), rng.normal(size=len(functions.low))

    def slopes(function: Callable[[Array], Any]) -> Array:
        return np.array([function(x + step) - function(x - step) for step in np.eye(count)]).T / 2

    np.testing.assert_allclose(functions.gradient(x), slopes(functions.objective), atol=1e-9, rtol=1e-9)
    jacobian = np.zeros((len(functions.low), count))
    np.add.at(jacobian, functions.jacobian_places, functions.jacobian(x))
    np.testing.assert_allclose(jacobian, slopes(functions.rows), atol=1e-9, rtol=1e-9)
    lower = np.zeros((count, count))
    np.add.at(lower, functions.hessian_places, functions.hessian(multipliers, 0.7))
    assert not np.triu(lower, 1).any()

    def lagrangian_gradient(point: Array) -> Array:
        entries = np.zeros_like(jacobian)
        np.add.at(entries, functions.jacobian_places, functions.jacobian(point))
        gradient: Array = 0.7 * functions.gradient(point) + multipliers @ entries
        return gradient

    np.testing.assert_allclose(lower + np.tril(lower, -1).T, slopes(lagrangian_gradient), atol=1e-8, rtol=1e-9)


def test_derivatives_of_a_programme_of_every_kind_of_term() -> None:
    rng = np.random.default_rng(0)
    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(5), bounds=(-1, 1), initialize=0.0)
    model.nonlinear = pyo.ConstraintList()
    model.linear = pyo.ConstraintList()

    def draw(degree: int) -> pyo.Expression:
        linear = sum(float(rng.normal()) * model.x[k] for k in (0, 2, 4))
        curved = sum(float(rng.normal()) * model.x[int(a)] * model.x[int(b)] for a, b in rng.integers(5, size=(6, 2)))
        return 1.5 + linear + (curved if degree == 2 else 0.0)

    for _ in range(4):
        model.nonlinear.add(draw(2) <= 3)
        model.linear.add(draw(1) >= -2)
    model.objective = pyo.Objective(expr=draw(2), sense=pyo.maximize)
    functions = Functions(compile_model(model))
    for _ in range(3):
        check_derivatives(functions, rng.normal(size=5), rng)
    x = rng.normal(size=5)
    for column, value in zip(functions.programme.columns, x, strict=True):
        column.set_value(float(value), skip_validation=True)
    assert functions.objective(x) == pytest.approx(-pyo.value(model.objective), rel=1e-12)
    inside = [functions.low - functions.rows(x), functions.rows(x) - functions.high, np.abs(x) - 1]
    assert functions.violation(x) == pytest.approx(max(part.max() for part in inside))


@pytest.mark.parametrize("leaders", [1, 2])
def test_derivatives_of_the_models(leaders: int) -> None:
    market, rng = draw_market("weights", 3, 4, 1, leaders), np.random.default_rng(1)
    whole = whole_window(market)
    for formulation in (build_mpec(market, MpecOptions(), whole), build_smooth(market, SmoothOptions(), whole)):
        functions = Functions(compile_model(formulation.model))
        check_derivatives(functions, rng.normal(size=len(functions.programme.columns)), rng)


def test_a_model_without_a_feasible_point_has_no_values(run: Solve) -> None:
    model = toy()
    model.nonlinear.add(model.x * model.x >= 20)
    assert run(model) == Answer(Ended.UNKNOWN, None, False)


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (0, Ended.FINISHED),
        (1, Ended.FINISHED),
        (2, Ended.UNKNOWN),  # Infeasible_Problem_Detected: locally, which proves nothing
        (3, Ended.UNKNOWN),  # Search_Direction_Becomes_Too_Small
        (5, Ended.UNKNOWN),  # User_Requested_Stop, for no reason of ours
        (6, Ended.FINISHED),
        (-1, Ended.UNKNOWN),  # Maximum_Iterations_Exceeded
        (-2, Ended.UNKNOWN),  # Restoration_Failed
        (-4, Ended.TIME_LIMIT),
        (-13, Ended.UNKNOWN),  # Invalid_Number_Detected
        (77, Ended.UNKNOWN),
    ],
)
def test_native_statuses(run: Solve, monkeypatch: pytest.MonkeyPatch, status: int, ended: Ended) -> None:
    monkeypatch.setattr(ipopt, "_solve", lambda *_: (np.array([0.0, 0.0]), status))
    assert run(toy()) == Answer(ended, None, True)


def test_numbers_that_are_none_are_not_loaded(run: Solve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ipopt, "_solve", lambda *_: (np.array([np.nan, 0.0]), -13))
    model = toy()
    assert run(model) == Answer(Ended.UNKNOWN, None, False)
    assert model.x.value == 0.1


def test_the_limit_of_iterations_of_a_profile(run: Solve) -> None:
    assert run(toy(), max_iter=1).ended is Ended.UNKNOWN


def test_the_time_limit(run: Solve) -> None:
    model = toy()
    answer = run(model, Limits(time_limit=0.0))
    assert answer.ended is Ended.TIME_LIMIT
    assert (model.x.value, model.y.value) == pytest.approx((0.1, 0.2))  # the start: no iteration was made


def interrupted_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C at the third evaluation of the rows."""
    rows, calls = Functions.rows, []

    def pressing(self: Functions, x: Array) -> Array:
        calls.append(x)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return rows(self, x)

    monkeypatch.setattr(Functions, "rows", pressing)


def test_ctrl_c_ends_the_run_with_the_iterate_at_hand(run: Solve, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_rows(monkeypatch)
    before = signal.getsignal(signal.SIGINT)
    model = toy()
    assert run(model).ended is Ended.INTERRUPTED
    assert model.x.value != 0.1
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_the_last_iteration_is_not_forgotten(run: Solve, monkeypatch: pytest.MonkeyPatch) -> None:
    def solved(*_: object) -> tuple[Array, int]:
        os.kill(os.getpid(), signal.SIGINT)
        return np.array([1.0, 2.0]), 0

    monkeypatch.setattr(ipopt, "_solve", solved)
    assert run(toy()) == Answer(Ended.INTERRUPTED, None, True)


def test_ctrl_c_stays_ignored_where_it_was(run: Solve, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_rows(monkeypatch)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run(toy()).ended is Ended.FINISHED
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_works_outside_the_main_thread(run: Solve) -> None:
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(run(toy())))
    thread.start()
    thread.join()
    assert answers == [Answer(Ended.FINISHED, None, True)]


@pytest.mark.parametrize("options", [{}, {"print_level": 5, "sb": "no"}, {"tol": 1.0}, {"max_iter": 2}])
def test_it_prints_nothing(run: Solve, capfd: pytest.CaptureFixture[str], options: Mapping[str, object]) -> None:
    run(toy(), **options)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "option", [{"no_such_option": 1}, {"max_iter": 2.5}, {"mu_strategy": "sideways"}, {"tol": -1.0}]
)
def test_an_option_it_refuses_is_named(
    run: Solve, capfd: pytest.CaptureFixture[str], option: Mapping[str, object]
) -> None:
    with quiet(), pytest.raises(CombinationError, match=f"options.{next(iter(option))}: Ipopt has no such option"):
        run(toy(), **option)  # of which Ipopt itself says more; a command lets nobody hear it
    assert capfd.readouterr() == ("", "")


def test_a_whole_number_serves_where_a_real_one_is_asked_for(run: Solve) -> None:
    assert run(toy(), bound_relax_factor=0).ended is Ended.FINISHED


def test_integer_variables_are_refused(run: Solve) -> None:
    model = toy()
    model.z = pyo.Var(domain=pyo.Binary, initialize=0)
    model.more = pyo.Constraint(expr=model.x <= model.z)
    with pytest.raises(CombinationError, match="continuous variables only"):
        run(model)


def test_a_variable_whose_bounds_meet_is_a_constant(run: Solve) -> None:
    model = toy()
    model.x.setlb(-2.0)
    model.x.setub(-2.0)
    assert run(model).has_values
    assert (model.x.value, model.y.value) == pytest.approx((-2, 1), abs=1e-7)


def test_the_registry_knows_it() -> None:
    solver = load_algebraic("ipopt")
    assert isinstance(solver, Ipopt)
    leaders = {Capability.ONE_PRICE, Capability.SEVERAL_PRICES, Capability.PRICE_LISTS}
    assert solver.capabilities == leaders | {Capability.NLP}
    assert solver.version()
    assert "no bound" in solver.licence()


@pytest.mark.parametrize(
    ("solver", "model"), [("ipopt", "mpec"), ("ipopt", "smooth"), ("ipopt/warm", "smooth")], ids=str
)
def test_solve_judges_its_price_and_claims_nothing(solver: str, model: str) -> None:
    # one-rival: 9/2 at the price 3.
    result = solve(hand_answers()["one-rival"].market, solver=solver, model=model)
    assert result.status is Status.HEURISTIC
    assert (result.upper_bound, result.gap) == (None, None)
    assert result.profit == pytest.approx(9 / 2, rel=1e-9)
    assert result.prices["lead"] == pytest.approx(3, rel=1e-4)


def test_solve_keeps_the_price_at_hand_at_the_time_limit() -> None:
    result = solve(draw_market("heavy", 6, 6, 0), solver="ipopt", model="mpec", time_limit=0.0)
    assert result.status is Status.TIME_LIMIT
    assert result.upper_bound is None
