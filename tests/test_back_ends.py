"""Back ends: the same market in any units, limits of any size, options that are refused, failures that are named."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyscipopt
import pytest

from helpers.answers import hand_answers
from helpers.commands import in_process
from helpers.markets import draw_market, in_other_units, make_market, one_rival
from prillm_or.errors import CombinationError
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate
from prillm_or.models.formulation import Formulation
from prillm_or.models.registry import model_profile
from prillm_or.models.window import whole_window
from prillm_or.solvers.programme import compile_model, normalised
from prillm_or.solvers.scip import scip_model
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at

PROVING = ("highs", "scip", "gurobi")
UNITS = [(1e-9, 1e9, 1e-9), (1e9, 1e-9, 1e12), (1.0, 1.0, 1e-12), (1e-6, 1e3, 1e6)]


def hungry(seed: int, leaders: int = 1) -> Market:
    """A market whose leader has a hundredth of the demand, beside a user and a rival that are much larger."""
    market = draw_market("uniform", 4, 5, seed, leaders)
    large = np.array([100.0, 1.0, 1.0, 1.0])
    capacity = market.capacity * np.array([100.0] + [1.0] * 4)
    delay = market.delay.copy()
    delay[0, list(market.leader)] += 5.0
    return replace(market, demand=market.demand * large, capacity=capacity, delay=delay)


def assert_alike(market: Market, solver: str, units: tuple[float, float, float]) -> None:
    here, there = solve(market, solver=solver), solve(in_other_units(market, *units), solver=solver)
    money = units[0] * units[1]
    assert (here.status, there.status) == ("optimal", "optimal")
    assert there.profit / money == pytest.approx(here.profit, rel=1e-4)
    assert here.upper_bound is not None
    assert there.upper_bound is not None
    # Either bound holds of the market, whatever units it was found in.
    best = max(here.profit, there.profit / money)
    assert min(here.upper_bound, there.upper_bound / money) >= best * (1 - 1e-9)


@pytest.mark.parametrize("solver", PROVING)
@pytest.mark.parametrize("units", UNITS, ids=str)
def test_units_change_no_answer(solver: str, units: tuple[float, float, float]) -> None:
    assert_alike(hungry(1), solver, units)


@pytest.mark.slow
@pytest.mark.parametrize("solver", PROVING)
@pytest.mark.parametrize("leaders", [1, 2])
def test_units_of_many_orders_change_no_answer(solver: str, leaders: int) -> None:
    rng = np.random.default_rng(5)
    for seed in range(6):
        market = hungry(seed, leaders) if seed % 2 else draw_market("weights", 4, 5, seed, leaders)
        orders = rng.uniform(-12, 12, 3)
        try:
            solve(market, solver=solver, time_limit=0.0)
        except CombinationError:
            continue  # not concave
        assert_alike(market, solver, (10 ** orders[0], 10 ** orders[1], 10 ** orders[2]))


def built(market: Market) -> Formulation:
    return model_profile("kkt-bigm").build(market, whole_window(market))


def test_a_programme_of_any_units_holds_the_same_numbers() -> None:
    market = hungry(2, 2)
    programmes = []
    for units in [(1.0, 1.0, 1.0), *UNITS]:
        formulation = built(in_other_units(market, *units))
        programmes.append(normalised(compile_model(formulation.model), formulation.upper_bound))
    first = programmes[0]
    for other in programmes[1:]:
        for name in ("cost", "row_low", "row_high", "low", "high", "scale"):
            np.testing.assert_allclose(getattr(other, name), getattr(first, name), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(other.rows.toarray(), first.rows.toarray(), rtol=1e-6, atol=1e-9)


def test_a_normalised_programme_is_the_same_programme() -> None:
    formulation = built(hungry(3))
    formulation.profit.use_squares()  # type: ignore[union-attr]
    plain = compile_model(formulation.model)
    other = normalised(plain, formulation.upper_bound)
    values = np.random.default_rng(0).uniform(other.low, np.minimum(other.high, other.low + 1))
    there = other.shift + other.scale * values
    assert other.unit * other.objective(values) == pytest.approx(plain.objective(there), rel=1e-9)
    ratio = (plain.rows @ there - plain.row_low)[np.isfinite(plain.row_low)]
    mine = (other.rows @ values - other.row_low)[np.isfinite(plain.row_low)]
    np.testing.assert_array_equal(np.sign(np.round(ratio, 9)), np.sign(np.round(mine, 9)))


def seen_false(name: str) -> Market:
    """Markets of two prices on which bounds were below what other prices earn: by 3.8e-6 (HiGHS), by 14 % (SCIP)."""
    if name == "demands far apart":
        return make_market(
            user_ids=tuple("abcde"),
            demand=[
                226.42489546416144,
                0.0012820366057652943,
                4.993358065000049,
                4.856075371614685,
                20.455913910550553,
            ],
            price=[3.408956101873237, 1.2354453663144365, 4.312554606008556],
            capacity=[65.0426928394207, 26.87129843987049, 35.02818722493678],
            value=[0.7724582128088731, 0.0, 2.0339685207058533],
            delay=[
                [1.6205018283839276, 2.88930135153995, 1.7012895803806318],
                [0.5237931503794335, 0.5814911657219601, 2.353960539180732],
                [0.3048981960398568, 1.621602500573444, 0.2211097854938379],
                [2.2645735576222874, 1.5762887918167965, 2.996971112308465],
                [1.6207324429150685, 0.3759574399857043, 1.7517594441965967],
            ],
            leader=(1, 2),
            price_cap=[12.0, 12.0],
        )
    return make_market(
        user_ids=tuple("abcd"),
        demand=[11.613265691567312, 71.98122760856495, 37.46731280795571, 87.98503115021745],
        price=[2.7180571499733595, 3.159187733115956, 0.2942854880721706],
        capacity=[57.6257709623959, 38.08839931583144, 43.65038789397625],
        value=[1.6828026251990873, 1.5731595590996603, 0.0],
        delay=[
            [2.878927964564092, 1.1232951802840905, 2.140468504627533],
            [2.156503639163625, 0.479034619693239, 1.3018710686190078],
            [1.5293870310133002, 0.4116687626902338, 0.5990406538125581],
            [1.0076322371479405, 1.4033890021039594, 2.832722769835502],
        ],
        leader=(1, 2),
        price_cap=[159044720.55916578, 159044720.55916578],
    )


@pytest.mark.parametrize("solver", PROVING)
@pytest.mark.parametrize("name", ["demands far apart", "far caps"])
def test_no_bound_is_below_what_any_prices_earn(solver: str, name: str) -> None:
    market = seen_false(name)
    best = solve(market, solver="branch", gap=1e-7).profit
    for gap in (1e-4, 1e-6):
        found = solve(market, solver=solver, gap=gap)
        assert found.status == "optimal"
        assert found.upper_bound is not None
        assert found.upper_bound >= max(best, found.profit)
        assert found.profit >= best * (1 - gap)


@pytest.mark.parametrize("solver", PROVING)
def test_seeds_and_threads_of_any_size(solver: str) -> None:
    answer = hand_answers()["one-rival"]
    result = solve(answer.market, solver=solver, seed=2**70, threads=100_000)
    assert (result.status, result.seed, result.threads) == ("optimal", 2**70, 100_000)
    assert result.profit == pytest.approx(float(answer.profit), rel=1e-4)


WRITING = [
    ("highs", 'log_file = "x"'),
    ("highs", "log_to_console = true"),
    ("highs", 'solution_file = "x"'),
    ("gurobi", 'LogFile = "x"'),
    ("gurobi", 'resultfile = "x.sol"'),
    ("gurobi", '"ResultFil*" = "x.sol"'),
    ("gurobi", "Record = 1"),
    ("scip", '"visual/vbcfilename" = "x"'),
    ("scip", '"heuristics/repair/filename" = "x"'),
    ("ipopt", 'output_file = "x"'),
]


@pytest.mark.parametrize(("solver", "line"), WRITING)
def test_a_profile_writes_no_file(solver: str, line: str, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(f'solver = "{solver}"\n[options]\n{line}\n')
    with pytest.raises(CombinationError, match=r"mine.toml: options\..*: a profile writes no file"):
        solve(one_rival(), solver=profile)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize(
    ("solver", "option"),
    [
        ("highs", "presolve = 5"),
        ("highs", 'mip_rel_gap = "x"'),
        ("gurobi", 'MIPGap = "x"'),
        ("gurobi", "MIPFocus = 99"),
        ("gurobi", "Nothing = 1"),
        ("scip", '"limits/gap" = "x"'),
        ("scip", '"limits/gap" = -5.0'),
        ("scip", "nothing = 1"),
    ],
)
def test_an_option_that_the_solver_does_not_take_is_named_with_its_file(
    solver: str, option: str, tmp_path: Path
) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(f'solver = "{solver}"\n[options]\n{option}\n')
    name = option.split(" = ")[0].strip('"')
    with pytest.raises(CombinationError, match=rf"mine.toml: options.{name}: \w+ has no such option, or not with"):
        solve(one_rival(), solver=profile)


def test_a_failure_inside_scip_is_an_error_that_names_its_cause_and_who_else_may_do_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(pyscipopt.Model):  # type: ignore[misc]
        def optimize(self) -> None:
            raise Exception("SCIP: error in LP solver!")

    monkeypatch.setattr("prillm_or.solvers.scip.scip.Model", Failing)
    result = solve(hand_answers()["kink"].market, solver="scip")
    assert result.status == "error"
    assert result.profit > 0  # the best met before
    assert "SCIP failed: SCIP: error in LP solver!" in result.notes[-2]
    assert result.notes[-1] == "another solver may do it: path or bisect"


@pytest.mark.parametrize("limit", ['"limits/memory" = 0.0', '"limits/nodes" = 0'])
def test_an_ending_that_the_table_does_not_know_is_named(limit: str, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(f'solver = "scip"\n[options]\n{limit}\n')
    result = solve(draw_market("uniform", 8, 8, 0), solver=profile)
    assert (result.status == "error") == any("SCIP ended with the status" in note for note in result.notes)


@pytest.mark.parametrize("leaders", [1, 2])
@pytest.mark.parametrize("solver", PROVING)
def test_a_refused_model_advises_what_the_chosen_solver_can_take(solver: str, leaders: int) -> None:
    apart = replace(draw_market("uniform", 4, 5, 0, leaders), congestion_weight=np.array([1e-3, 1.0, 10.0, 1e3]))
    with pytest.raises(CombinationError, match="weights differ too much for a concave profit") as caught:
        solve(apart, solver=solver, model="kkt-bigm")
    ways = str(caught.value).split("; use ")[1]
    if solver == "highs":
        assert ways.startswith("model='kkt-bilinear' with solver='gurobi' or ")
    else:
        assert ways.startswith("model='kkt-bilinear' or ")
    assert ("solver='path' or solver='bisect'" in ways) == (leaders == 1)
    assert ("solver='branch'" in ways) == (leaders == 2)


@pytest.mark.slow  # four processes each
@pytest.mark.parametrize("line", ["raise RuntimeError('half installed')", "", "raise SystemExit(4)"])
def test_a_broken_gurobipy_leaves_the_others_usable(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gurobipy").mkdir()
    (tmp_path / "gurobipy/__init__.py").write_text(line + "\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    said = "gurobipy is installed but cannot be used"
    assert in_process("solve", "tiny/two-prices", "--solver", "highs").returncode == 0
    assert in_process("solve", "tiny/two-prices").returncode == 0
    listed = in_process("solvers", "--json", "-")
    assert listed.returncode == 0
    assert said in next(row["state"] for row in json.loads(listed.stdout) if row["name"] == "gurobi")
    refused = in_process("solve", "tiny/two-prices", "--solver", "gurobi")
    assert refused.returncode == 2
    assert said in " ".join(refused.stderr.split())


@pytest.mark.parametrize("name", ["kkt-bigm", "kkt-sos1", "kkt-indicator", "kkt-bilinear"])
def test_scip_begins_with_the_start(name: str) -> None:
    """What it says once it is not below the profit there, whatever its own search loses."""
    market = draw_market("uniform", 4, 5, 1)
    formulation = model_profile(name).build(market, whole_window(market))
    formulation.start_from(equilibrium_at(formulation.market, 0.3 * formulation.market.price_cap))
    programme = normalised(compile_model(formulation.model), formulation.upper_bound)
    model, _ = scip_model(programme)
    model.setParam("limits/solutions", 1)
    model.optimize()
    assert model.getObjVal() == pytest.approx(programme.objective(programme.start()))


@pytest.mark.slow
def test_highs_keeps_to_its_time_where_it_loses_what_it_found() -> None:
    """It is asked once more then, for what is left of the time: a second time of its own would come to 6 s."""
    found = solve(generate(20, 10, "uniform", 1), solver="highs", model="kkt-bigm-naive", gap=0.0, time_limit=3.0)
    assert found.status == "time_limit"
    assert found.time_s.total < 5.5
