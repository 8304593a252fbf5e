"""mpec: no complementarity condition is left behind, and its local answers are judged at the users' equilibrium."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.mpec import Complementarity, complements

from helpers.answers import hand_answers, prices_claimed_without_bound, profit_at
from helpers.markets import draw_market
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.models.formulation import Formulation
from prillm_or.models.mpec import MpecOptions, assert_transformed, build
from prillm_or.models.registry import model_profile
from prillm_or.models.relaxed import Relaxed
from prillm_or.models.window import Window, whole_window
from prillm_or.solvers.programme import compile_model
from prillm_or.solvers.protocols import Ended, Proposal
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.reach import reach

# Ipopt meets rows and bounds within 1e-8; epsilon itself moves a price by some 1e-6 of the cap.
_CLOSE = 1e-4


def built(market: Market, options: MpecOptions) -> Formulation:
    return build(market, options, whole_window(market))


def propose(market: Market, options: MpecOptions | None = None, limits: Limits | None = None) -> Proposal:
    pytest.importorskip("ipyopt", reason="ipyopt is not installed")
    from prillm_or.solvers.ipopt import Ipopt
    from prillm_or.solvers.relaxation import solve_relaxed

    def model(market: Market, window: Window) -> Formulation:
        return build(market, options or MpecOptions(), window)

    return solve_relaxed(market, model, Ipopt(), limits or Limits(), {})


def earned(market: Market) -> float:
    return profit_at(market, prices_claimed_without_bound(propose(market)))


@pytest.mark.parametrize(
    "name", ["one-rival", "cap-binds", "identical-rivals", "identical-users", "kink", "two-prices"]
)
def test_markets_with_one_maximum(name: str) -> None:
    answer = hand_answers()[name]
    assert earned(answer.market) == pytest.approx(float(answer.profit), rel=_CLOSE)


@pytest.mark.parametrize("name", ["own-weights", "two-maxima", "tie", "nobody"])
def test_markets_with_two_maxima_or_none(name: str) -> None:
    # Which maximum it climbs depends on the start; 12 is below every local one of these markets but the last.
    answer = hand_answers()[name]
    assert min(12, float(answer.profit)) <= earned(answer.market) <= float(answer.profit) + 1e-9


def test_it_is_never_above_path_and_usually_there(kind: str) -> None:
    reached = []
    for seed in range(4):
        market = draw_market(kind, 5, 4, seed)
        best, found = solve(market, solver="path").profit, earned(market)
        assert found <= best + 1e-9 * max(1.0, abs(best))
        reached.append(found >= best - 1e-3 * max(1e-6, abs(best)))
    assert sum(reached) >= 2


def test_two_prices(kind: str) -> None:
    market = draw_market(kind, 4, 4, 1, leaders=2)
    found = earned(market)
    axes = [np.linspace(0, cap, 9) for cap in market.price_cap]
    coarse = max(profit_at(market, np.array([p, q])) for p in axes[0] for q in axes[1])
    assert found >= 0.9 * coarse


@pytest.mark.parametrize("leaders", [1, 2])
def test_every_equilibrium_is_feasible_and_earns_the_objective(kind: str, leaders: int) -> None:
    market = draw_market(kind, 4, 4, 2, leaders)
    formulation = built(market, MpecOptions())
    model, unit = formulation.model, formulation.money * formulation.volume
    for share in (0.0, 0.2, 0.5, 1.0):
        prices = share * market.price_cap
        formulation.start_from(equilibrium_at(formulation.market, prices / formulation.money))
        for i, j in model.free:
            model.complementary[i, j].v.set_value(model.flow[i, j].value, skip_validation=True)
        expected = profit_at(market, prices)
        assert pyo.value(model.objective) * unit == pytest.approx(expected, rel=1e-9, abs=1e-9 * unit)
        for row in model.component_data_objects(pyo.Constraint, active=True):
            body = pyo.value(row.body)
            assert row.lb is None or body >= row.lb - 1e-9, row.name
            assert row.ub is None or body <= row.ub + 1e-9, row.name


def test_no_complementarity_condition_is_left() -> None:
    formulation = built(draw_market("uniform", 4, 5, 0), MpecOptions(epsilon=1e-5))
    model = formulation.model
    assert not list(model.component_objects(Complementarity))
    programme = compile_model(model)
    assert len(programme.quadratic_rows) == len(model.free) > 0
    assert {row.high for row in programme.quadratic_rows} == {1e-5}


def test_the_compiler_leaves_the_products_in_the_model() -> None:
    formulation = built(draw_market("uniform", 4, 5, 0), MpecOptions())
    first, second = compile_model(formulation.model), compile_model(formulation.model)
    assert first.quadratic_rows == second.quadratic_rows
    assert all(row.active for row in formulation.model.nonlinear.values())


def conditions() -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x = pyo.Var([1, 2], bounds=(0, 2))
    model.part = pyo.Block()
    model.part.either = Complementarity([1, 2], rule=lambda _, k: complements(model.x[k] >= 0, 1 - model.x[k] >= 0))
    return model


def test_a_condition_that_was_not_transformed_raises() -> None:
    model = conditions()
    with pytest.raises(RuntimeError, match=r"without a row: part\.either$"):
        assert_transformed(model)
    pyo.TransformationFactory("mpec.simple_nonlinear").apply_to(model)
    assert_transformed(model)


def test_a_condition_that_another_transformation_took_raises() -> None:
    model = conditions()
    pyo.TransformationFactory("mpec.standard_form").apply_to(model)
    with pytest.raises(RuntimeError, match=r"without a row: part\.either\[1\], part\.either\[2\]$"):
        assert_transformed(model)


def test_a_condition_that_was_passed_over_raises() -> None:
    model = conditions()
    model.part.either[2].deactivate()
    pyo.TransformationFactory("mpec.simple_nonlinear").apply_to(model)
    with pytest.raises(RuntimeError, match=r"without a row: part\.either\[2\]$"):
        assert_transformed(model)


def test_the_builder_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        """A transformation that does nothing."""

        def apply_to(self, model: pyo.ConcreteModel, mpec_bound: float) -> None:
            model.mpec_bound = pyo.Param(mutable=True, initialize=mpec_bound)

    monkeypatch.setattr(pyo, "TransformationFactory", lambda name: Nothing())
    with pytest.raises(RuntimeError, match="complementary"):
        built(draw_market("uniform", 3, 3, 0), MpecOptions())


def test_it_starts_in_the_middle_of_its_bounds() -> None:
    formulation = built(draw_market("uniform", 3, 3, 0), MpecOptions())
    assert isinstance(formulation, Relaxed)
    assert formulation.starts == ()
    formulation.start_in_the_middle()
    assert formulation.model.decision[0].value == 0.5
    for i, j in formulation.model.pairs:
        flow = formulation.model.flow[i, j]
        assert flow.value == pytest.approx((flow.lb + flow.ub) / 2)


def test_a_market_without_a_free_pair_is_a_plain_quadratic() -> None:
    # cap-binds with ten times the demand: p + f = 2 + (40 - f), f = (42 - p)/2, both providers are always used, and
    # the profit rises up to the cap: 2 * 20.
    market = replace(hand_answers()["cap-binds"].market, demand=np.array([40.0]))
    formulation = built(market, MpecOptions())
    assert len(formulation.model.free) == 0
    assert compile_model(formulation.model).quadratic_rows == ()
    assert earned(market) == pytest.approx(40, rel=1e-7)


def test_the_time_limit_leaves_the_price_of_the_start() -> None:
    market = draw_market("uniform", 4, 4, 0)
    proposal = propose(market, limits=Limits(time_limit=0.0))
    assert proposal.ended is Ended.TIME_LIMIT
    assert proposal.prices == pytest.approx(reach(market) / 2)


def test_its_profile() -> None:
    profile = model_profile("mpec")
    assert (profile.formulation, profile.options) == ("mpec", MpecOptions())
    with pytest.raises(ValueError, match="epsilon: expected > 0, got 0"):
        MpecOptions(epsilon=0.0)
