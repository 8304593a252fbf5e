"""Several leaders: prices at which nobody gains by moving, their certificate, and what is said where there are none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from helpers.answers import profit_at
from helpers.markets import draw_market, make_market
from helpers.sold import price_list, sold
from prillm_or.competition.best_response import best_response
from prillm_or.competition.competition import Status
from prillm_or.competition.game import compete
from prillm_or.competition.rounds import End, play
from prillm_or.competition.search import find_prices
from prillm_or.competition.setting import Owner, Setting, setting_of
from prillm_or.competition.unilateral import gains, stand
from prillm_or.errors import ConvergenceError, MarketError, PrillmError
from prillm_or.limits import Deadline
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.result import Certificate
from prillm_or.solvers.ascent import ascend
from prillm_or.solving.run import solve
from prillm_or.users import certificate
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem

CYCLES = ("uniform", 13)
"""Shape and seed of a market of 4 users and 3 providers in which best responses go round in a cycle."""


def duopoly(**fields: object) -> Market:
    """Two providers between whom users choose by price and congestion alone."""
    n = len(fields.get("demand", "12"))  # type: ignore[arg-type]
    defaults = {
        "user_ids": tuple(f"u{i}" for i in range(n)),
        "provider_ids": ("a", "b"),
        "price": np.array([1.0, 4.0]),
        "capacity": np.array([3.0, 3.0]),
        "value": np.zeros(2),
        "unit_cost": np.full(2, 0.5),
        "delay": np.ones((n, 2)),
        "demand": np.ones(n),
        **{f"{name}_weight": np.ones(n) for name in ("price", "congestion", "delay")},
    }
    return make_market(**(defaults | fields))


def prices_of(setting: Setting) -> Array:
    """Prices of the one equilibrium that is found."""
    (found,) = find_prices(setting, starts=3).equilibria
    return found.standing.prices


def led(market: Market, leader: tuple[int, ...]) -> Market:
    return replace(market, leader=leader, price_cap=np.full(len(leader), 12.0))


def test_identical_duopolists_ask_what_the_closed_form_says() -> None:
    # k + D (n + 1) w_q / (n w_p alpha) = 0.5 + 2 * 3 * 2 / (2 * 1 * 3) = 2.5; loads D / 2 = 1; profits (2.5 - 0.5) * 1.
    market = duopoly(congestion_weight=np.full(2, 2.0))
    found = find_prices(setting_of(market))
    (one,) = found.equilibria
    assert one.standing.prices == pytest.approx([2.5, 2.5], abs=1e-8)
    assert one.standing.load == pytest.approx([1.0, 1.0], abs=1e-8)
    assert one.standing.profit == pytest.approx([2.0, 2.0], abs=1e-8)
    assert one.starts == ("today", "costs", "caps", "random 1", "random 2")
    assert all(gain.proven and gain.relative_gain <= 1e-12 for gain in one.certificate.values())


def test_duopolists_who_differ_ask_what_the_closed_form_says() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        n = int(rng.integers(1, 6))
        market = duopoly(
            demand=rng.uniform(2.0, 2.5, n),
            capacity=rng.uniform(2, 3, 2),
            value=rng.uniform(0, 0.2, 2),
            unit_cost=rng.uniform(0.3, 0.6, 2),
            delay=rng.uniform(0, 0.1, (n, 2)),
            price_weight=np.full(n, 1.3),
            price_cap=np.array([50.0]),
        )
        slope = 1 / market.capacity
        own = market.delay - market.value
        s = 1.3 * n / ((n + 1) * slope.sum())
        first = (slope[1] * market.demand.sum() - (own[:, 0] - own[:, 1]).sum() / (n + 1)) / slope.sum()
        reach = np.array([first, market.demand.sum() - first]) / s + market.unit_cost
        wanted = (2 * reach + reach[::-1]) / 3
        assert prices_of(setting_of(market, cap=50.0)) == pytest.approx(wanted, rel=1e-7)
        flow = equilibrium_at(replace(market, price=wanted), wanted[:1]).flow
        assert (flow > 0).all(), "the formula is for full supports"


@pytest.mark.parametrize(("shape", "seed"), [("uniform", 12), ("heavy", 14)])
def test_no_other_price_of_any_owner_gains(shape: str, seed: int) -> None:
    setting = setting_of(generate(8, 5, shape, seed))  # type: ignore[arg-type]
    prices = prices_of(setting)
    for number, (own,) in enumerate(setting.places):
        market = setting.seat(number, prices)
        now = profit_at(market, prices[[own]])
        found = None
        for price in np.linspace(0.0, setting.cap[own], 300):
            found = equilibrium_at(market, [price], found)
            assert profit_of(market, [price], found.billed) <= now * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["uniform", "heavy", "costs", "weights", "degenerate"])
def test_claims_survive_ten_thousand_prices_of_each_owner(kind: str) -> None:
    benchmark = pytest.importorskip("benchmarks.competition", reason="benchmarks are no part of the wheel")
    claimed = 0
    for seed in (3, 7):
        found = find_prices(setting_of(draw_market(kind, 6, 4, seed)), starts=2)
        claimed += len(found.equilibria)
        assert benchmark.grid_gain(found, 10_000) <= 1e-8
    assert claimed > 0


def test_loads_on_a_grid_are_those_of_equilibria() -> None:
    benchmark = pytest.importorskip("benchmarks.competition", reason="benchmarks are no part of the wheel")
    for kind in ("heavy", "weights", "degenerate"):
        market = draw_market(kind, 6, 4, 2)
        grid = np.linspace(0.0, market.price_cap[0], 60)
        loads = [equilibrium_at(market, [price]).load[market.leader[0]] for price in grid]
        assert benchmark.grid_loads(market, grid) == pytest.approx(loads, abs=1e-9 * market.demand.sum())


def test_a_cycle_is_shown_and_nothing_is_claimed() -> None:
    setting = setting_of(generate(4, 3, *CYCLES))  # type: ignore[arg-type]
    found = find_prices(setting, starts=1)
    assert found.status is Status.NONE_FOUND
    assert not found.equilibria
    assert [failure.end for failure in found.failures] == [End.CYCLE]
    again = play(setting, found.cycle[-1], Deadline(None))
    assert again.end is End.CYCLE
    assert len(again.prices) == len(found.cycle) >= 2
    apart = [np.abs(np.array(again.prices) - prices).max(axis=1).min() for prices in found.cycle]
    assert max(apart) < 1e-5, "each of its prices comes round again"
    certificate, _ = gains(setting, found.cycle[0])
    assert max(gain.relative_gain for gain in certificate.values()) > 1e-4, "somebody gains at any of them"


def test_nearest_prices_within_the_tolerance_are_an_equilibrium() -> None:
    found = find_prices(setting_of(generate(4, 3, *CYCLES)), starts=1, tolerance=1e-2)  # type: ignore[arg-type]
    assert (found.status, found.nearest) == (Status.EQUILIBRIUM, None)
    (only,) = found.equilibria
    assert only.starts == ("cycle",)
    assert 1e-8 < only.worst <= 1e-2


def test_different_equilibria_are_all_listed() -> None:
    """A provider too dear to earn keeps any price, and its price limits what the others ask."""
    setting = setting_of(draw_market("costs", 6, 4, 5))
    found = find_prices(setting)
    first, second = found.equilibria
    assert sorted((*first.starts, *second.starts)) == ["caps", "costs", "random 1", "random 2", "today"]
    assert np.abs(first.standing.load - second.standing.load).max() > 1e-6 * setting.market.demand.sum()
    assert max(first.worst, second.worst) <= 1e-8


def test_an_owner_whom_nobody_would_use_keeps_its_price() -> None:
    market = duopoly(price=np.array([1.0, 9.0]), unit_cost=np.array([0.0, 9.5]))
    (one,) = find_prices(setting_of(market), starts=1).equilibria
    assert one.standing.prices[1] == 9.0
    assert one.standing.prices[0] > 1.0
    assert one.standing.load[1] == 0


def test_the_certificate_finds_what_an_owner_gains() -> None:
    setting = setting_of(generate(6, 4, "uniform", 2))
    prices = setting.start()
    certificate, moved = gains(setting, prices)
    for number, owner in enumerate(setting.owners):
        market = setting.seat(number, prices)
        best = solve(market, solver="bisect", gap=1e-9)
        assert best.today is not None
        wanted = best.profit - best.today.profit
        assert certificate[owner.name].gain == pytest.approx(wanted, rel=1e-6, abs=1e-8)
    worst = max(certificate, key=lambda name: certificate[name].relative_gain)
    (changed,) = np.flatnonzero(moved != prices)
    assert setting.market.provider_ids[changed] == worst


def test_prices_at_which_an_owner_still_gains_are_no_equilibrium(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = setting_of(generate(6, 4, "uniform", 2))
    monkeypatch.setattr("prillm_or.competition.rounds._STILL", 1.0)  # the first round counts as settled
    monkeypatch.setattr("prillm_or.competition.search._MOST_RESUMED", 1)  # and is the last
    found = find_prices(setting, starts=1, tolerance=1e-12)
    assert found.status is Status.NONE_FOUND
    assert found.failures[0].end is End.SETTLED


def test_moves_of_half_the_way_settle_too() -> None:
    setting = setting_of(generate(6, 4, "heavy", 1))
    full, half = (play(setting, setting.start(), Deadline(None), damping) for damping in (1.0, 0.5))
    assert full.end is half.end is End.SETTLED
    assert half.prices[-1] == pytest.approx(full.prices[-1], abs=1e-7)
    assert half.count > full.count


def test_time_that_is_up_is_said() -> None:
    found = find_prices(setting_of(generate(6, 4, "uniform", 1)), time_limit=0.0)
    assert found.status is Status.NONE_FOUND
    assert {failure.end for failure in found.failures} == {End.TIME_LIMIT}


@pytest.mark.parametrize(("shape", "seed", "prices"), [("uniform", 8, 2), ("heavy", 1, 3), ("heavy", 6, 2)])
def test_several_prices_are_as_good_as_an_algebraic_model_proves(shape: str, seed: int, prices: int) -> None:
    market = led(generate(6, 4, shape, seed), tuple(range(4 - prices, 4)))  # type: ignore[arg-type]
    found = best_response(market)
    theirs = solve(market, solver="highs", model="kkt-bigm", gap=1e-6)
    assert theirs.upper_bound is not None
    assert theirs.profit * (1 - 1e-8) <= found.profit <= theirs.upper_bound * (1 + 1e-7)
    assert found.profit == pytest.approx(profit_at(market, found.prices))
    assert found.profit <= found.bound <= found.profit * (1 + 2e-7)


def test_a_ridge_on_which_no_single_price_gains_is_climbed() -> None:
    """One price at a time stops at 0.9995 of what these prices, which HiGHS found, earn."""
    market = led(generate(8, 5, "uniform", 8), (3, 4))
    known = np.array([2.695, 2.752])
    found = ascend(market, user_problem(market), [market.price[[3, 4]]])
    assert found.profit > profit_at(market, known)


def test_duopolists_of_two_providers_each_ask_what_the_closed_form_says() -> None:
    """Alike providers a, b of one owner and c, d of another: k + D (n + 1) w_q / (2 n w_p alpha).

    Where n alike users use all four, x_j = D / 4 - n (p_j - mean of all p) / ((n + 1) beta), beta = w_q / alpha: both
    prices of an owner up by one lower each of its loads by half of n / ((n + 1) beta), and its load is D / 4. An ascent
    stops where it gains less than 1e-12, with prices right to the root of that.
    """
    names = ("a", "b", "c", "d")
    market = duopoly(
        provider_ids=names,
        price=np.array([1.0, 2.0, 1.5, 4.0]),
        capacity=np.full(4, 3.0),
        value=np.zeros(4),
        unit_cost=np.full(4, 0.5),
        delay=np.ones((2, 4)),
        congestion_weight=np.full(2, 2.0),
    )
    setting = setting_of(market, groups=[Owner("ab", names[:2]), Owner("cd", names[2:])])
    (one,) = find_prices(setting, starts=2).equilibria
    assert one.standing.prices == pytest.approx(np.full(4, 0.5 + 2 * 3 * 2 / (2 * 2 * 3)), abs=1e-5)
    assert one.standing.profit == pytest.approx(np.full(4, 1.0 * 0.5), abs=1e-5)
    for gain in one.certificate.values():
        assert gain.proven
        assert gain.relative_gain <= 1e-8
        assert gain.relative_bound <= 2e-7
        assert gain.note == "branch, proven bound"


def test_duopolists_of_two_prices_each_ask_a_taste_above_cost() -> None:
    """One user buys input alone, one output; nothing congests: x = D / 2 + D (p' - p) / (2 s), so p - k = s."""
    market = price_list(
        user_ids=("in", "out"),
        mix=np.eye(2),
        demand=[4.0, 2.0],
        dispersion=[1.5, 3.0],
        congestion_weight=[0.0, 0.0],
        delay=np.zeros((2, 2)),
        unit_cost=[[0.25, 0.5], [0.25, 0.5]],
    )
    (one,) = find_prices(setting_of(market, cap=10.0), starts=1).equilibria
    assert one.standing.prices == pytest.approx(np.array([[1.75, 3.5]] * 2), abs=1e-5)
    assert one.standing.profit == pytest.approx([2 * 1.5 + 1 * 3.0] * 2, abs=1e-5)
    assert all(gain.proven and gain.relative_bound <= 2e-7 for gain in one.certificate.values())


def test_no_prices_of_an_owner_of_several_earn_more_than_its_best_response_proves() -> None:
    setting = setting_of(generate(4, 3, "uniform", 1), groups=[Owner("two", ("p1", "p2"))])
    prices = setting.start()
    (two,) = [number for number, owner in enumerate(setting.owners) if owner.name == "two"]
    seat, moves = setting.seat(two, prices), setting.moves[two]
    answer = best_response(seat, now=prices[moves])
    assert answer.profit <= answer.bound <= answer.profit * (1 + 2e-7)
    rng = np.random.default_rng(0)
    tried = [profit_at(seat, rng.uniform(0.0, 1.0, 2) * seat.price_cap) for _ in range(300)]
    assert max(tried) <= answer.bound


def epsilon_on_a_grid(setting: Setting, prices: Array, points: int) -> float:
    """The largest gain of any owner of one price on prices from 0 to its cap, in shares of what it earns there."""
    most = 0.0
    for number, (own,) in enumerate(setting.moves):
        market, found = setting.seat(number, prices), None
        now = profit_at(market, prices[[own]])
        for price in np.linspace(0.0, setting.cap[own], points):
            found = equilibrium_at(market, [price], found)
            most = max(most, (profit_of(market, [price], found.billed) - now) / (max(now, setting.money) or 1.0))
    return most


def test_where_rounds_cycle_the_nearest_prices_are_as_near_as_a_grid_says() -> None:
    setting = setting_of(generate(4, 3, *CYCLES))  # type: ignore[arg-type]
    found = find_prices(setting, starts=1)
    assert found.status is Status.NONE_FOUND
    near = found.nearest
    assert near is not None
    assert all(gain.proven for gain in near.certificate.values())
    on_grid = epsilon_on_a_grid(setting, near.standing.decisions, 601)
    assert near.epsilon - 2e-4 <= on_grid <= near.epsilon + 1e-12
    cycle = [epsilon_on_a_grid(setting, prices, 61) for prices in found.cycle]
    assert near.epsilon < 0.5 * min(cycle), "nearer than any prices of the cycle"
    assert near.certificate[near.owner].bound == pytest.approx(
        near.epsilon * near.standing.profit[setting.market.provider_ids.index(near.owner)]
    )
    earned = [stand(setting, prices).profit for prices in found.cycle]
    for number, owner in enumerate(setting.owners):
        asked, profit = (found.cycle_range[what][owner.name] for what in ("decisions", "profits"))
        assert (asked.low, asked.high) == (
            min(at[number] for at in found.cycle),
            max(at[number] for at in found.cycle),
        )
        assert profit.mean == pytest.approx(np.mean([one[number] for one in earned]))


@pytest.mark.slow
@pytest.mark.parametrize("decides", ["plain", "factor", ("output",)])
def test_nearest_prices_of_lists_and_factors_are_proven(decides: Any) -> None:
    """Wherever the rounds cycle in some random markets, moving never gains more than epsilon on a grid."""
    cycled = 0
    for seed in range(40, 48):
        setting = setting_of(sold(seed, 4, 3, decides=decides, congested=True))
        found = find_prices(setting, starts=1)
        if found.nearest is None or setting.several:
            continue
        cycled += 1
        on_grid = epsilon_on_a_grid(setting, found.nearest.standing.decisions, 301)
        assert on_grid <= found.nearest.epsilon * (1 + 1e-9) + 1e-9
        if cycled == 2:
            break
    assert cycled > 0


def test_a_merger_never_lowers_the_joint_best_profit_at_given_rival_prices() -> None:
    rng = np.random.default_rng(4)
    for seed in range(1, 5):
        market = generate(6, 5, "heavy" if seed % 2 else "uniform", seed)
        apart = setting_of(market)
        merged = setting_of(market, groups=[Owner("both", ("p2", "p4"))])
        prices = rng.uniform(0.5, 5.0, 5)
        for number in (1, 3):  # each answers alone, so that the joint prices start from best responses
            prices[number] = best_response(apart.seat(number, prices)).prices[0]
        alone = sum(best_response(apart.seat(number, prices)).now for number in (1, 3))
        together = best_response(merged.seat(0, prices))
        assert together.now == pytest.approx(alone, rel=1e-12)
        assert together.profit >= alone * (1 - 1e-12)


def test_standing_counts_everybodys_money() -> None:
    market = duopoly(unit_cost=np.array([0.5, 1.0]), price_weight=np.full(2, 2.0))
    setting = replace(setting_of(market), fee=0.25)
    standing = stand(setting, np.array([2.0, 2.0]))
    # Prices alike: every user routes half its demand of 1 to each, so loads are 1 and congestion is 1 / 3.
    assert standing.load == pytest.approx([1.0, 1.0])
    assert standing.profit == pytest.approx([0.75 * 2 - 0.5, 0.75 * 2 - 1.0])
    assert standing.platform == pytest.approx(0.25 * 4)
    assert standing.users_cost == pytest.approx(2 * (2 * 2 + 1 + 1 / 3) / 2)


def test_an_equilibrium_that_a_user_would_leave_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "certify", lambda *_: Certificate(0.0, 1e-5))
    setting = setting_of(generate(4, 3, "uniform", 1))
    with pytest.raises(ConvergenceError, match=r"KKT residual 0.0e\+00, regret 1.0e-05"):
        stand(setting, setting.start())


def test_who_competes() -> None:
    market = make_market(provider_ids=("a", "b", "c", "d"), leader=(0, 2), price_cap=np.array([5.0, 6.0]))
    everyone = setting_of(market)
    assert [owner.name for owner in everyone.owners] == ["a+c", "b", "d"]
    assert everyone.cap.tolist() == [5.0, 6.0, 6.0, 6.0]
    some = setting_of(market, leaders=["b", "c", "d"], groups=[Owner("us", ("b", "d"))], cap=7.0)
    assert [(owner.name, owner.providers) for owner in some.owners] == [("us", ("b", "d")), ("c", ("c",))]
    assert some.cap.tolist() == [5.0, 7.0, 6.0, 7.0]
    assert some.priced == (1, 2, 3)


def test_nobody_has_to_ask_less_than_today() -> None:
    assert setting_of(make_market(price=np.array([1.0, 2.0, 40.0]))).cap.tolist() == [10.0, 40.0, 40.0]


@pytest.mark.parametrize(
    ("leaders", "groups", "problem"),
    [
        (("x",), (), "`leaders`: no provider has the id 'x'"),
        (("p1",), (Owner("us", ("p1", "p2")),), "owners='us': 'p2' is not among `leaders`"),
        ((), (Owner("us", ("p1", "x")),), "owner us: no provider has the id 'x'"),
        ((), (Owner("us", ("p1", "p2", "p3")),), "owner us: it would own every provider"),
        ((), (Owner("us", ("p1",)), Owner("us", ("p2",))), "owner us: there are 2 of this name"),
        ((), (Owner("us", ("p1", "p2")), Owner("we", ("p2",))), "'p2' is named more than once"),
        ((), (Owner("p3", ("p1", "p2")),), "owner p3: there are 2 of this name"),
    ],
)
def test_bad_owners_are_refused(
    small_market: Market, leaders: tuple[str, ...], groups: tuple[Owner, ...], problem: str
) -> None:
    with pytest.raises(MarketError, match=problem):
        setting_of(small_market, leaders, groups)


def test_a_price_that_nobody_sets_has_to_be_there() -> None:
    market = make_market(price=np.array([np.nan, 2.0, 3.0]))
    assert setting_of(market).start().tolist() == [2.5, 2.0, 3.0]
    assert find_prices(setting_of(market), starts=1).today is None
    with pytest.raises(MarketError, match="provider p1 has no price today"):
        setting_of(market, leaders=["p2"])


# In Python


def test_a_merger_before_and_after() -> None:
    market = generate(5, 4, "uniform", 1)
    game = compete(market, merge={"big": ["p1", "p2"]}, cost_shock={"p3": "+0.1"}, starts=1)
    assert game.after is not None
    assert (change := game.change) is not None
    before, after = game.before.first, game.after.first
    assert before is not None
    assert after is not None
    assert change.price["p1"] == pytest.approx(after.prices[0] - before.prices[0])
    assert change.users_cost == pytest.approx(after.users_cost - before.users_cost)
    document = game.to_dict()
    assert document["counterfactual"]["what_if"] == {"merge": ["big=p1,p2"], "cost_shock": ["p3=+0.1"]}
    assert list(game.to_frame().index) == ["p1", "p2", "p3", "p4"]
    assert "what if" in str(game)
    assert compete(market, starts=1).change is None


def test_arguments_that_make_no_sense_are_named() -> None:
    market = generate(4, 3, "uniform", 1)
    for options, said in (
        ({"leaders": "p1"}, "`leaders`: expected ids"),
        ({"owners": ["us"]}, "`owners`: expected names"),
        ({"cost_shock": {"p1": "10"}}, "cost_shock='p1=10': expected"),
        ({"starts": 0}, "`starts`"),
        ({"tolerance": float("nan")}, "`tolerance`"),
    ):
        with pytest.raises(PrillmError, match=said):
            compete(market, **options)


def as_lists(market: Market, decides: Any, caps: Any) -> Market:
    """The same market with lists of input and output: everybody asks for 1 and 1/2, and pays as much as before."""
    shares = np.array([0.5, 1.0])
    return replace(
        market,
        components=("input", "output"),
        mix=np.tile([1.0, 0.5], (market.n, 1)),
        price=np.multiply.outer(market.price, shares),
        unit_cost=np.multiply.outer(market.unit_cost, shares),
        decides=decides,
        price_cap=np.array(caps),
    )


def test_where_all_have_one_mix_factors_settle_where_prices_do() -> None:
    market = generate(4, 3, "uniform", 1)
    plain = compete(market, starts=1, cap=12.0).before
    lists = as_lists(market, "factor", market.price_cap / market.price[list(market.leader)])
    game = compete(lists, starts=1, cap=12.0)
    (one,), (other,) = game.before.equilibria, plain.equilibria
    per_unit = one.standing.prices @ [1.0, 0.5]
    assert per_unit == pytest.approx(other.standing.prices, rel=1e-6)
    assert one.standing.decisions == pytest.approx(other.standing.prices / market.price, rel=1e-6)
    assert one.standing.profit == pytest.approx(other.standing.profit, rel=1e-8)
    assert one.standing.users_cost == pytest.approx(other.standing.users_cost, rel=1e-8)
    assert all(gain.proven and gain.note == "path, exact" for gain in one.certificate.values())
    document = json.loads(json.dumps(game.to_dict()))
    assert document["factors"] == pytest.approx(dict(zip(market.provider_ids, one.standing.decisions, strict=True)))
    assert set(document["prices"]["p1"]) == {"input", "output"}
    frame = game.to_frame()
    assert frame.loc["p1", "price_output"] == pytest.approx(one.standing.prices[0, 1])
    assert "factor of p1" in str(game)


def test_where_all_have_one_mix_one_component_does_for_the_whole_price() -> None:
    market = generate(4, 3, "uniform", 1)
    plain = compete(market, starts=1).before.equilibria[0].standing
    price = market.price.copy()
    market = replace(market, price=np.minimum(price, 0.1))  # an input so cheap that the output makes up the rest
    lists = as_lists(market, ("output",), 2 * (market.price_cap - 0.05))
    found = compete(lists, starts=1).before.equilibria[0].standing
    assert found.prices @ [1.0, 0.5] == pytest.approx(plain.prices, rel=1e-6)
    assert found.profit == pytest.approx(plain.profit, rel=1e-8)


def test_what_users_bear_counts_their_tastes_and_mixes() -> None:
    """One user, nothing congests: it pays P f and half the slope s / D at the end of each flow, (s / D) f^2 / 2."""
    market = price_list(congestion_weight=[0.0], dispersion=[2.0], delay=[[0.25, 0.0]])
    standing = stand(setting_of(market), np.array([1.0, 2.0, 2.0, 2.0]))
    f = standing.load
    assert f.sum() == pytest.approx(4.0)
    bill = f[0] * (2.0 + 0.25) + f[1] * 3.0
    assert standing.users_cost == pytest.approx(bill + (f**2).sum() * 2.0 / 4.0 / 2)
    assert standing.profit == pytest.approx([f[0] * 1.5, f[1] * 3.0])


@pytest.mark.parametrize("decides", [pytest.param("components", marks=pytest.mark.slow), "factor", ("output",)])
def test_an_owner_of_lists_gains_what_a_grid_finds_and_no_less(decides: Any) -> None:
    market = sold(24, 4, 3, decides=decides, congested=True)
    setting = setting_of(market)
    certificate, moved = gains(setting, setting.start())
    for number, owner in enumerate(setting.owners):
        moves, now = setting.moves[number], setting.start()
        seat = setting.seat(number, now)
        here = profit_at(seat, now[moves])
        best = max(
            profit_at(seat, np.clip(now[moves] * by, 0.0, seat.price_cap)) - here for by in np.linspace(0.0, 3.0, 61)
        )
        gain = certificate[owner.name]
        assert gain.gain >= best - 1e-9
        assert gain.bound >= gain.gain
        assert gain.proven
    assert moved.shape == (len(setting.decisions),)


def test_an_entry_with_a_list_and_a_cap_on_prices_in_a_market_of_factors() -> None:
    market = price_list(decides="factor")
    entry = {"id": "new", "price": {"input": 1.0, "output": 4.0}, "capacity": 2.0, "delays": 0.0}
    game = compete(market, starts=1, entry=entry, price_cap=6.0, cost_shock={"own": "+10%"})
    assert game.after is not None
    setting = game.after.setting
    assert dict(zip((d.name for d in setting.decisions), setting.cap, strict=True)) == {
        "own": 3.0,  # its dearest price is 2
        "rival": 3.0,
        "new": 1.5,
    }
    assert setting.market.unit_cost[0].tolist() == pytest.approx([0.275, 0.55])
    assert json.dumps(game.to_dict())
