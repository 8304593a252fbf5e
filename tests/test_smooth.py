"""smooth: its schedule and starts, and the loop over them, which adds no price of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from helpers.answers import hand_answers, prices_claimed_without_bound, profit_at
from helpers.markets import draw_market
from prillm_or.errors import CombinationError
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.models.capabilities import Capability
from prillm_or.models.formulation import Formulation
from prillm_or.models.kkt_bigm import KktBigmOptions
from prillm_or.models.kkt_bigm import build as build_bigm
from prillm_or.models.registry import model_profile
from prillm_or.models.smooth import SmoothOptions, build
from prillm_or.models.window import Window, whole_window
from prillm_or.solvers.protocols import AlgebraicSolver, Answer, Ended, Proposal
from prillm_or.solvers.relaxation import solve_relaxed
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.reach import reach

FEW = SmoothOptions(starts=2, epsilon_last=1e-7, factor=0.01)


def propose(
    market: Market,
    options: SmoothOptions | None = None,
    limits: Limits | None = None,
    solver: AlgebraicSolver | None = None,
) -> Proposal:
    def model(market: Market, window: Window) -> Formulation:
        return build(market, options or SmoothOptions(), window)

    return solve_relaxed(market, model, solver or ipopt(), limits or Limits(), {})


def ipopt() -> AlgebraicSolver:
    pytest.importorskip("ipyopt", reason="ipyopt is not installed")
    from prillm_or.solvers.ipopt import Ipopt

    return Ipopt()


def earned(market: Market, options: SmoothOptions | None = None) -> float:
    return profit_at(market, prices_claimed_without_bound(propose(market, options)))


@pytest.mark.parametrize(
    "name", ["one-rival", "cap-binds", "identical-rivals", "identical-users", "kink", "two-prices"]
)
def test_markets_with_one_maximum(name: str) -> None:
    answer = hand_answers()[name]
    assert earned(answer.market) == pytest.approx(float(answer.profit), rel=1e-5)


@pytest.mark.parametrize("name", ["own-weights", "two-maxima", "tie", "nobody"])
def test_markets_with_two_maxima_or_none(name: str) -> None:
    # Which maximum it climbs depends on the schedule; 12 is below every local one of these markets but the last.
    answer = hand_answers()[name]
    assert min(12, float(answer.profit)) <= earned(answer.market) <= float(answer.profit) + 1e-9


def test_it_is_never_above_path_and_usually_there(kind: str) -> None:
    reached = []
    for seed in range(4):
        market = draw_market(kind, 5, 4, seed)
        best, found = solve(market, solver="path").profit, earned(market, FEW)
        assert found <= best + 1e-9 * max(1.0, abs(best))
        reached.append(found >= best - 1e-4 * max(1e-6, abs(best)))
    assert sum(reached) >= 2


def test_two_prices(kind: str) -> None:
    market = draw_market(kind, 4, 4, 1, leaders=2)
    axes = [np.linspace(0, cap, 9) for cap in market.price_cap]
    coarse = max(profit_at(market, np.array([p, q])) for p in axes[0] for q in axes[1])
    assert earned(market, FEW) >= 0.9 * coarse


@pytest.mark.parametrize("leaders", [1, 2])
def test_every_equilibrium_is_feasible_and_earns_the_objective(kind: str, leaders: int) -> None:
    market = draw_market(kind, 4, 4, 2, leaders)
    formulation = build(market, SmoothOptions(epsilon_first=1e-8), whole_window(market))
    model, unit = formulation.model, formulation.money * formulation.volume
    for share in (0.0, 0.2, 0.5, 1.0):
        prices = share * market.price_cap
        formulation.start_from(equilibrium_at(formulation.market, prices / formulation.money))
        expected = profit_at(market, prices)
        assert pyo.value(model.objective) * unit == pytest.approx(expected, rel=1e-9, abs=1e-9 * unit)
        for row in model.component_data_objects(pyo.Constraint, active=True):
            body = pyo.value(row.body)
            assert row.lb is None or body >= row.lb - 1e-9, row.name
            assert row.ub is None or body <= pyo.value(row.upper) + 1e-9, row.name
        for variable in model.component_data_objects(pyo.Var):
            assert variable.lb - 1e-9 <= variable.value <= variable.ub + 1e-9, variable.name


def test_the_schedule_ends_where_it_should() -> None:
    assert SmoothOptions().schedule == pytest.approx([10.0**-k for k in range(9)], rel=1e-12)
    assert SmoothOptions(epsilon_first=1.0, epsilon_last=0.03, factor=0.5).schedule == pytest.approx(
        [1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03]
    )
    assert SmoothOptions(epsilon_first=0.1, epsilon_last=0.1).schedule == (0.1,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"starts": 0}, "starts: expected at least 1"),
        ({"epsilon_last": 0.0}, "epsilon_first >= epsilon_last > 0"),
        ({"epsilon_first": 1e-9}, "epsilon_first >= epsilon_last > 0"),
        ({"factor": 1.0}, "factor: expected a number between 0 and 1"),
    ],
)
def test_options_that_make_no_schedule(fields: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmoothOptions(**fields)


def test_its_profile() -> None:
    profile = model_profile("smooth")
    assert (profile.formulation, profile.options) == ("smooth", SmoothOptions())


class Scripted:
    """A solver that asks for the next action at every call: it moves the price, and ends as it is told."""

    name = "scripted"
    capabilities = frozenset({Capability.ONE_PRICE, Capability.SEVERAL_PRICES, Capability.NLP})

    def __init__(self, *actions: tuple[float, Ended] | BaseException) -> None:
        self.actions = list(actions)
        self.seen: list[tuple[float, float]] = []

    def version(self) -> str:
        return "1"

    def licence(self) -> str:
        return "free"

    def limit(self) -> int | None:
        return None

    def refuses(self, formulation: Formulation) -> str | None:
        return None

    def squares_in_rows(self, formulation: Formulation) -> bool:
        return False

    def run(self, formulation: Formulation, limits: Limits, options: Mapping[str, object]) -> Answer:
        price = formulation.model.decision[0]
        self.seen.append((pyo.value(formulation.model.epsilon), price.value * formulation.money))
        action = self.actions.pop(0)
        if isinstance(action, BaseException):
            raise action
        price.set_value(action[0] / formulation.money)
        return Answer(action[1], None, action[1] is Ended.FINISHED)


@pytest.fixture
def one_rival() -> Market:
    """Profit p (6 - p)/2, cap 10."""
    market: Market = hand_answers()["one-rival"].market
    return market


TWICE = SmoothOptions(starts=2, epsilon_first=1e-2, epsilon_last=1e-4, factor=0.01)


def test_each_epsilon_starts_where_the_last_one_ended_and_only_the_last_counts(one_rival: Market) -> None:
    cap = float(reach(one_rival)[0])  # 6, below the cap
    done = Ended.FINISHED
    # 3 is the best price of all, but on the way: 4 and 2.5 are what the starts end with.
    solver = Scripted((3.0, done), (4.0, done), (3.0, done), (2.5, done))
    proposal = propose(one_rival, TWICE, solver=solver)
    expected = [(1e-2, cap / 4), (1e-4, 3.0), (1e-2, 3 * cap / 4), (1e-4, 3.0)]
    np.testing.assert_allclose(solver.seen, expected, rtol=1e-12)
    assert proposal.prices == pytest.approx([2.5], rel=1e-12)  # 2.5 * 3.5 / 2 > 4 * 2 / 2; not polished to 3
    assert proposal.upper_bound is None
    assert proposal.ended is Ended.FINISHED
    assert (proposal.stats["starts"], proposal.stats["programmes"]) == (2, 4)
    assert proposal.notes == ("start 1: prices 4, profit 4, finished", "start 2: prices 2.5, profit 4.375, finished")


def test_a_price_beyond_its_bounds_is_brought_back(one_rival: Market) -> None:
    beyond = float(one_rival.price_cap[0]) * (1 + 1e-8)
    proposal = propose(one_rival, SmoothOptions(1, 1.0, 1.0), solver=Scripted((beyond, Ended.FINISHED)))
    assert proposal.prices == reach(one_rival) < one_rival.price_cap


def test_one_start_that_ends_well_is_enough(one_rival: Market) -> None:
    bad, done = Ended.UNKNOWN, Ended.FINISHED
    proposal = propose(one_rival, TWICE, solver=Scripted((1.0, done), (1.0, bad), (1.0, bad), (2.0, done)))
    assert proposal.ended is Ended.FINISHED
    assert proposal.prices == pytest.approx([2.0])


def test_where_every_start_fails_the_price_is_judged_all_the_same(one_rival: Market) -> None:
    bad = Ended.UNKNOWN
    proposal = propose(one_rival, TWICE, solver=Scripted((1.0, bad), (2.0, bad), (1.0, bad), (1.0, Ended.INFEASIBLE)))
    assert proposal.ended is Ended.UNKNOWN
    assert proposal.prices == pytest.approx([2.0])


@pytest.mark.parametrize("stop", [Ended.TIME_LIMIT, Ended.INTERRUPTED])
def test_a_stop_keeps_the_best_so_far(one_rival: Market, stop: Ended) -> None:
    done = Ended.FINISHED
    proposal = propose(one_rival, TWICE, solver=Scripted((2.0, done), (2.0, done), (4.5, stop)))
    assert proposal.ended is stop
    assert proposal.prices == pytest.approx([2.0])
    proposal = propose(one_rival, TWICE, solver=Scripted((2.0, stop)))
    assert proposal.ended is stop
    assert proposal.prices == pytest.approx([2.0])


def test_ctrl_c_between_two_calls(one_rival: Market) -> None:
    done = Ended.FINISHED
    proposal = propose(one_rival, TWICE, solver=Scripted((2.0, done), (2.0, done), KeyboardInterrupt()))
    assert proposal.ended is Ended.INTERRUPTED
    assert proposal.prices == pytest.approx([2.0])
    assert propose(one_rival, TWICE, solver=Scripted(KeyboardInterrupt())).prices is None


def test_the_time_limit() -> None:
    market = draw_market("uniform", 5, 5, 0)
    proposal = propose(market, limits=Limits(time_limit=0.0))
    assert proposal.ended is Ended.TIME_LIMIT
    assert proposal.prices == pytest.approx(reach(market) / 6)  # the first start


def test_a_solver_of_integer_programmes_is_refused(one_rival: Market) -> None:
    class Linear(Scripted):
        """A solver that knows no smooth rows."""

        capabilities = frozenset({Capability.ONE_PRICE, Capability.MIP})

    with pytest.raises(CombinationError, match="scripted cannot take smooth: it lacks nlp"):
        propose(one_rival, solver=Linear())


def test_an_exact_formulation_is_none_of_its_business(one_rival: Market) -> None:
    with pytest.raises(TypeError, match="kkt-bigm is not a relaxed formulation"):
        solve_relaxed(
            one_rival, lambda market, window: build_bigm(market, KktBigmOptions(), window), Scripted(), Limits(), {}
        )


def test_solve_adds_nothing_to_it() -> None:
    # All its starts end in the lower one of two maxima; any price of another origin would do better.
    market = hand_answers()["two-maxima"].market
    own = propose(market)
    assert own.prices is not None
    assert profit_at(market, own.prices) < 19
    result = solve(market, solver="ipopt", model="smooth")
    assert list(result.prices.values()) == own.prices.tolist()
