"""Why a price: against answers by hand, and against the market itself, solved anew."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import prillm_or as po
from helpers.answers import profit_at
from helpers.markets import draw_market, make_market, shipped
from helpers.sold import price_list, sold
from prillm_or.cli import run
from prillm_or.errors import CombinationError
from prillm_or.explanation.derive import explain_price
from prillm_or.explanation.effects import RIVAL_KEYS, profit_gradient, worth_more
from prillm_or.explanation.explanation import Explanation, State, UserPart
from prillm_or.explanation.words import sentences
from prillm_or.files.markets import write_market
from prillm_or.market.changes import apply
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Market
from prillm_or.market.outside import with_outside
from prillm_or.market.synthetic import generate
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import equilibrium_at


def uses(market: Market, user: str, price: float) -> bool:
    flow = equilibrium_at(market, [price]).flow[market.user_ids.index(user), market.leader[0]]
    return bool(flow > 1e-12 * market.demand.sum())


def test_a_kink_by_hand() -> None:
    """See tiny/README.md: below p = 3 the load is (8 - p)/2, above it (52 - 9 p)/10; at it 5/2."""
    found = explain_price(shipped("tiny/kink"))
    assert found.price == pytest.approx(3)
    # elasticity p x'/x: 3 (-1/2) / (5/2) = -3/5, and 3 (-9/10) / (5/2) = -27/25
    assert (found.elasticity.left, found.elasticity.right) == pytest.approx((-3 / 5, -27 / 25))
    # marginal revenue p + x/x': 3 - (5/2)/(1/2) = -2, and 3 - (5/2)/(9/10) = 2/9; the cost is 0, between them
    assert (found.marginal_revenue.left, found.marginal_revenue.right) == pytest.approx((-2, 2 / 9))
    assert [(switch.user, switch.provider, switch.begins) for switch in found.kink] == [("a", "far", True)]
    (user,) = found.users
    # The second load reaches 0 at p = 52/9.
    assert (user.state, user.joins_at) == (State.SHARED, None)
    assert user.leaves_at == pytest.approx(52 / 9)
    near, far = found.rivals
    assert (near.chain, far.chain) == (("lead", "a", "near"), ("lead", "a", "far"))
    # `far` at r comes into use where (8 + p)/2 = r: p = 2 r - 8, profit (2 r - 8)(8 - r). From r = 5.5 to 5.555:
    assert far.price_effect is not None
    assert far.profit_effect is not None
    assert far.price_effect["price"] == pytest.approx(0.11)
    assert far.profit_effect["price"] == pytest.approx(3.11 * 2.445 - 7.5)
    assert far.price_effect["capacity"] == pytest.approx(0, abs=1e-9)
    # With D = 7.07 the first load is (8.07 - p)/2, and lambda = (8.07 + p)/2 reaches 5.5 at p = 2.93.
    assert user.price_effect == pytest.approx({"demand": -0.07})
    assert user.profit_effect == pytest.approx({"demand": 2.93 * (8.07 - 2.93) / 2 - 7.5})


def test_what_it_takes_to_flip_by_hand() -> None:
    """See tiny/README.md: user a's load makes a maximum at 8, user b's one at 20."""
    market = shipped("tiny/two-maxima")
    found = explain_price(market)
    assert [(one.price, one.load, one.profit) for one in found.local_maxima] == [
        pytest.approx((20, 1, 20)),
        pytest.approx((8, 2, 16)),
    ]
    flips = {flip.what: flip for flip in found.flips}
    assert "next-best local maximum is 8" in said(market)
    # Demands d times as large: the load while both use it is (1 + 15 d - p)/4, which earns (1 + 15 d)^2 / 16 at best;
    # b alone stays up to p = 16 + 4 d, which earns d (16 + 4 d). Equal where 161 d^2 - 226 d + 1 = 0.
    d = (226 + math.sqrt(226**2 - 4 * 161)) / (2 * 161)
    assert flips["demand"].change == pytest.approx(d - 1, rel=1e-3)
    assert flips["demand"].price == pytest.approx((1 + 15 * d) / 2, rel=1e-3)
    # A value higher by v: (16 + v)^2 / 16 = 20 + v where v = 8 sqrt(2) - 8; relative to the price 20.
    assert flips["value"].change == pytest.approx((8 * math.sqrt(2) - 8) / 20, rel=1e-3)
    # A unit cost k: (16 - k)^2 / 16 = 20 - k only where k < 0; rivals' price: as for the value, over 300 %.
    assert (flips["unit_cost"].change, flips["price"].change) == (None, None)


def test_a_flip_at_the_end_of_what_there_is() -> None:
    """With demands 1.6 times as large and a unit cost of 9 the best price is 22.4, at no cost 12.5."""
    market = shipped("tiny/two-maxima")
    costly = replace(market, demand=1.6 * market.demand, unit_cost=np.array([9.0, 0.0]))
    found = explain_price(costly)
    (flip,) = [flip for flip in found.flips if flip.what == "unit_cost"]
    assert found.price == pytest.approx(16 + 4 * 1.6)
    # As above with d = 1.6: (25 - k)^2 / 16 = 1.6 (22.4 - k), k^2 - 24.4 k + 51.56 = 0
    k = (24.4 - math.sqrt(24.4**2 - 4 * 51.56)) / 2
    assert flip.change == pytest.approx((k - 9) / 22.4, rel=1e-3)


def test_a_cap_that_binds() -> None:
    found = explain_price(shipped("tiny/cap-binds"))
    # Load (6 - p)/2, profit rising up to 3; the cap is 2.
    assert (found.cap_binds, found.price) == (True, 2)
    # Elasticity 2 (-1/2) / 2 on both sides: a price above the cap is not allowed, but there is a load.
    assert (found.elasticity.left, found.elasticity.right) == pytest.approx((-1 / 2, -1 / 2))
    assert "cap of 2 binds" in " ".join(sentences(found))
    assert not explain_price(shipped("tiny/one-rival")).cap_binds


def said(market: Market) -> str:
    return " ".join(sentences(explain_price(market)))


def capped(name: str, cap: float) -> Market:
    return replace(shipped(f"tiny/{name}"), price_cap=np.array([cap]))


def test_a_cap_at_the_best_price_does_not_bind() -> None:
    """Without it the price would be the same: a kink at 3, a kink at 20, the top of a parabola at 3."""
    for name, cap, kink in (("kink", 3.0, True), ("two-maxima", 20.0, True), ("one-rival", 3.0, False)):
        found = explain_price(capped(name, cap))
        assert found.price == pytest.approx(cap)
        assert not found.cap_binds
        assert ("sits on a kink" in said(capped(name, cap))) == kink
        assert "binds" not in said(capped(name, cap))
    nothing = explain_price(capped("one-rival", 0.0))
    # At 0 the load is 3 and the profit 0; any price above earns more.
    assert nothing.load == pytest.approx(3)
    assert (nothing.cap_binds, nothing.elasticity.left) == (True, None)
    assert "cap of 0 binds" in said(capped("one-rival", 0.0))


def test_a_cap_without_meaning_changes_nothing_but_the_cap() -> None:
    market = shipped("coding-13")
    for free in (market, shipped("tiny/own-weights")):
        one, other = (explain_price(replace(free, price_cap=np.array([cap]))) for cap in (20.0, 1e10))
        assert (other.kink, len(other.local_maxima)) == (one.kink, len(one.local_maxima))
        assert other.price == pytest.approx(one.price)
        assert other.elasticity.left == pytest.approx(one.elasticity.left, rel=1e-6)
        assert [user.state for user in other.users] == [user.state for user in one.users]


def test_a_price_inside_a_flat_piece_is_no_kink() -> None:
    """See tiny/README.md: from 12 to 20 user b alone stays, with all of its demand."""
    market = shipped("tiny/two-maxima")
    flat = explain_price(market, replace(solve(market), prices={"lead": 15.0}, profit=15.0))
    assert flat.kink == ()
    assert "does not answer small changes" in " ".join(sentences(flat))


def test_loads_near_the_price_are_those_of_equilibria() -> None:
    found = explain_price(shipped("tiny/kink"))
    # 1 % above: (52 - 9 * 3.03)/10, and below: (8 - 2.97)/2; the load is 2.5.
    assert (found.load_near.left, found.load_near.right) == pytest.approx(((8 - 2.97) / 2, (52 - 9 * 3.03) / 10))
    assert "1 % higher loses 1.08 % of the load, one 1 % lower wins 0.6 %" in said(shipped("tiny/kink"))


def test_nothing_to_earn_and_a_tie() -> None:
    nobody = explain_price(shipped("tiny/nobody"))
    assert (nobody.load, nobody.elasticity.left, nobody.elasticity.right, nobody.local_maxima) == (0, None, None, ())
    assert nobody.users[0].state is State.AWAY
    assert "earns nothing" in " ".join(sentences(nobody))
    tie = explain_price(shipped("tiny/tie"))
    assert [one.profit for one in tie.local_maxima] == pytest.approx([16, 16])
    assert "16 earns as much" in " ".join(sentences(tie))


def test_figures_are_those_of_the_market_solved_anew(kind: str) -> None:
    market = draw_market(kind, 6, 5, 2)
    found, best = explain_price(market), solve(market)
    assert found.price == pytest.approx(best.prices[found.provider], rel=1e-9, abs=1e-12)
    assert found.profit == pytest.approx(best.profit, rel=1e-9, abs=1e-12)
    assert sum(user.load for user in found.users) == pytest.approx(found.load)
    assert sum(user.profit for user in found.users) == pytest.approx(found.profit)
    for user, i in zip(found.users, range(market.n), strict=True):
        changed = apply(market, {"users": {user.id: {"demand": 1.01 * float(market.demand[i])}}})
        assert_effect(changed, found, user.price_effect, user.profit_effect, "demand")
    for rival, j in zip(found.rivals, market.rivals, strict=True):
        for key in RIVAL_KEYS:
            now = float(getattr(market, key)[j])
            raised = now + 0.01 * (found.price if key == "value" else now)
            changed = apply(market, {"providers": {rival.id: {key: raised}}})
            assert_effect(changed, found, rival.price_effect, rival.profit_effect, key)


def assert_effect(changed: Market, found: Explanation, price: Any, profit: Any, key: str) -> None:
    best = solve(changed)
    assert profit[key] == pytest.approx(best.profit - found.profit, rel=1e-6, abs=1e-8 * max(found.profit, 1))
    earned = (found.price + price[key] - changed.unit_cost[changed.leader[0]]) * float(
        equilibrium_at(changed, [found.price + price[key]]).load[changed.leader[0]]
    )
    assert earned == pytest.approx(best.profit, rel=1e-9, abs=1e-9)


def test_elasticities_are_one_sided_derivatives(kind: str) -> None:
    for seed in range(4):
        market = draw_market(kind, 6, 5, seed)
        found, s = explain_price(market), market.leader[0]
        if found.load <= 0:
            continue
        h = 1e-5 * found.price
        for sign, elasticity in ((-1, found.elasticity.left), (1, found.elasticity.right)):
            if elasticity is not None:
                moved = float(equilibrium_at(market, [found.price + sign * h]).load[s])
                slope = (moved - found.load) / (sign * h)
                assert elasticity == pytest.approx(found.price * slope / found.load, rel=1e-4, abs=1e-4)
        marginal = found.marginal_revenue
        if not found.cap_binds and marginal.left is not None and marginal.right is not None:
            assert marginal.left - 1e-7 <= found.marginal_cost <= marginal.right + 1e-7


def test_users_come_and_go_where_it_says(kind: str) -> None:
    seen = set()
    for seed in range(3):
        market = draw_market(kind, 6, 5, seed)
        found = explain_price(market)
        for user in found.users:
            assert_turns(market, found, user)
            seen.add(user.state)
    assert len(seen) >= 2


def assert_turns(market: Market, found: Explanation, user: UserPart) -> None:
    step = 1e-6 * found.cap
    assert (user.load > 0) == (user.state in (State.CAPTIVE, State.SHARED, State.LEAVING))
    if user.leaves_at is not None:
        assert user.leaves_at >= found.price
        assert uses(market, user.id, user.leaves_at - step) or user.leaves_at - step < found.price
        assert not uses(market, user.id, user.leaves_at + step)
    elif user.load > 0:
        assert uses(market, user.id, found.cap - step)
    if user.joins_at is not None:
        assert user.load == 0
        assert user.joins_at <= found.price * (1 + 1e-9)
        assert uses(market, user.id, user.joins_at - step)
        assert not uses(market, user.id, user.joins_at + step) or user.joins_at + step > found.price
    elif user.load == 0:
        assert not uses(market, user.id, 0.0)


def test_local_maxima_are_those_of_a_grid() -> None:
    market = generate(20, 20, "heavy", 6)
    found, s = explain_price(market), market.leader[0]
    grid = np.linspace(0, found.cap, 2001)
    profit = np.array([price * equilibrium_at(market, [price]).load[s] for price in grid])
    inside = [k for k in range(1, len(grid) - 1) if profit[k] > max(profit[k - 1], profit[k + 1])]
    assert len(inside) >= 2
    step = grid[1]
    for k in inside:
        assert min(abs(one.price - grid[k]) for one in found.local_maxima) <= step
    profits = [one.profit for one in found.local_maxima]
    assert profits == sorted(profits, reverse=True)
    assert found.local_maxima[0].profit >= profit.max()
    assert len(found.local_maxima) >= len(inside)


@pytest.mark.parametrize("seed", [4, 6, 8, 22])
def test_a_change_that_flips_makes_the_best_price_jump(seed: int) -> None:
    market = generate(20, 20, "heavy", seed)
    found = explain_price(market)
    best, second = (one.price for one in found.local_maxima[:2])
    (demand,) = [flip for flip in found.flips if flip.what == "demand"]
    assert demand.change is not None
    before, after = (
        solve(replace(market, demand=market.demand * (1 + share * demand.change))).prices[found.provider]
        for share in (0.998, 1.0)
    )
    assert (after - before) / (second - best) > 0.25
    assert abs(after - second) < abs(after - best)
    assert demand.price == pytest.approx(after)


def test_a_flip_is_known_to_four_digits_however_small_it_is() -> None:
    # Two local maxima that earn nearly the same: a value higher by some 1e-4 is enough.
    market = make_market(
        user_ids=("u0", "u1", "u2"),
        provider_ids=("p0", "p1", "p2", "p3"),
        leader=(3,),
        price_cap=[12.0],
        demand=[91.6084919301577, 36.53263061514912, 33.628022578381234],
        price_weight=[0.34397612329681154, 1.5494610778470077, 0.2599539694309856],
        congestion_weight=[1.0654102826749787, 0.885699300704585, 0.678940437728414],
        delay_weight=[0.39102413224199906, 0.13066234686126865, 0.5606587633782416],
        price=[0.5617545272684474, 0.4726422530025113, 0.5860384595746696, 2.7990752595994786],
        capacity=[30.710133443291138, 30.942789863964634, 19.5763254487732, 26.61684799309639],
        value=[0.3326145695742022, 0.0, 0.43174160641503634, 1.9418588612796894],
        delay=[
            [2.77046968874703, 2.2107379757573056, 1.224244246857695, 2.4022738679024016],
            [1.0756778557770377, 0.8433080887304798, 2.951704806790853, 0.3036600611227211],
            [1.1023992803218077, 0.7672826413242118, 2.792280045838657, 2.6713334556645765],
        ],
    )
    found = explain_price(market)
    (value,) = [flip for flip in found.flips if flip.what == "value"]
    assert value.change is not None
    assert value.change < 1e-3
    before, after = (
        solve(replace(market, value=market.value + np.array([0, 0, 0, share * value.change * found.price]))).price
        for share in (0.9998, 1.0)
    )
    assert (before, after) == pytest.approx([one.price for one in found.local_maxima[:2]], rel=1e-3)


def test_a_kink_at_the_cap_itself_is_the_end_and_no_kink() -> None:
    # Small integers: at the cap of 2 somebody would leave in the next moment.
    market = make_market(
        demand=[2, 1],
        leader=(2,),
        price_cap=[2.0],
        price=[2, 2, 3],
        capacity=[1, 2, 1],
        value=[3, 1, 3],
        delay=[[0, 0, 2], [1, 0, 1]],
    )
    found = explain_price(market)
    assert [one.price for one in found.local_maxima] == pytest.approx([1.75])
    assert [user.leaves_at for user in found.users] == [None, None]


@pytest.mark.parametrize("seed", [*range(30), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(30, 150))])
def test_the_gradient_of_the_profit_is_that_of_equilibria(seed: int) -> None:
    """Against finite differences, with price lists, crowds, tastes, own values, and without congestion."""
    market = sold(seed, decides="components") if seed % 3 == 0 else sold(seed)
    decisions = market.current * 0.9
    found = equilibrium_at(market, decisions)
    demand, providers = profit_gradient(market, found)
    h = 1e-6

    def change(differ: Callable[[float], Market]) -> float:
        up, down = (profit_at(differ(by), decisions) for by in (h, -h))
        return (up - down) / (2 * h)

    def moved(name: str, k: int, by: float) -> Market:
        values = getattr(market, name).copy()
        values[k] = values[k] * (1 + by) if name == "price" else values[k] + by
        return replace(market, **{name: values})

    for i in range(market.n):
        assert demand[i] == pytest.approx(change(partial(moved, "demand", i)), abs=2e-5)
    for j in market.rivals:
        assert providers["price"][j] == pytest.approx(change(partial(moved, "price", j)), abs=2e-5)
        assert providers["value"][j] == pytest.approx(change(partial(worth_more, market, j)), abs=2e-5)
    for j in range(market.m):
        assert providers["capacity"][j] == pytest.approx(change(partial(moved, "capacity", j)), abs=2e-5)
    assert not providers["price"][list(market.leader)].any()


def test_the_price_of_a_component_and_a_factor_by_hand() -> None:
    """P = 1 + y / 2, x = (7 - P) / 2; the output billed is B = x / 2, the input earns R = 0.75 x besides."""
    found = explain_price(price_list(decides=("output",)))
    assert (found.decision, found.component) == ("own.output", "output")
    assert [found.price, found.load, found.sold, found.profit] == pytest.approx([5.5, 1.625, 0.8125, 5.28125])
    assert [found.elasticity.left, found.elasticity.right] == pytest.approx([-5.5 / 8 / 0.8125] * 2)
    assert found.marginal_revenue.left == pytest.approx(5.5 - 6.5)  # y + B / B', B' = -1/8
    assert found.net_cost is not None
    assert found.net_cost.left == pytest.approx(0.5 - 1.5)  # its cost less R' / B'
    (user,) = found.users
    assert (user.mix, user.count) == ({"input": 1.0, "output": 0.5}, None)
    assert user.pays == pytest.approx(3.75)
    factor = explain_price(price_list(decides="factor"))
    assert factor.factors == {"own": factor.price}
    assert factor.price == pytest.approx(1.875)
    assert [part.price for part in factor.components] == pytest.approx([1.875, 3.75])
    # P = 3.75 is the top of (P - 0.5)(7 - P) / 2; input 1 % dearer adds 0.01875 to it.
    assert factor.components[0].higher.profit == pytest.approx(-(0.01875**2) / 2)
    assert factor.components[0].higher.billed == pytest.approx({"input": -0.009375, "output": -0.0046875})
    assert factor.users[0].leaves_at == pytest.approx(3.5)


@pytest.mark.parametrize(
    "seed", [0, 1, 2, 3, 5, 6, 8, 9, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(20, 60))]
)
def test_what_is_said_of_price_lists_crowds_and_tastes_is_so(seed: int) -> None:
    """Against equilibria near the price, and the changed market solved anew."""
    market = sold(seed, 5, 4)
    found = explain_price(market)
    (decision,) = market.decisions
    state = equilibrium_at(market, [found.price])
    sold_here = float(state.by_decision[0])
    assert [found.sold, found.load] == pytest.approx([sold_here, state.load[decision.provider]])
    assert found.profit == pytest.approx(profit_at(market, [found.price]))
    assert sum(user.profit for user in found.users) == pytest.approx(found.profit, abs=1e-9)
    h = 1e-5 * found.price  # so far that where exactly a kink lies, right to rounding, does not count
    for side, by in (("left", -h), ("right", h)):
        elasticity = getattr(found.elasticity, side)
        if elasticity is not None and found.price > 0:
            there = float(equilibrium_at(market, [found.price + by]).by_decision[0])
            slope = (there - sold_here) / by
            assert elasticity == pytest.approx(found.price * slope / sold_here, abs=1e-5)
            revenue = getattr(found.marginal_revenue, side)
            if revenue is not None and found.net_cost is not None:
                # The two say together how the profit changes: (revenue - net cost) B'.
                change = (profit_at(market, [found.price + by]) - found.profit) / by
                cost = getattr(found.net_cost, side)
                bent = by * slope  # on a piece the profit is a parabola, exactly
                assert (revenue - cost) * slope == pytest.approx(change - bent, abs=1e-4 * abs(found.profit))
    prices = po.equilibrium(market, {decision.name: found.price}).prices[decision.provider]
    for part in found.components:
        now = prices[market.components.index(part.component)]
        assert part.price == pytest.approx(now)
        dearer = replace(
            market,
            price=all_prices(market, [found.price]),
            decides="components",
            price_cap=np.full(3, 9.0)[: len(prices)],
        )
        raised = dearer.current * np.where(np.array(market.components) == part.component, 1.01, 1.0)
        assert part.higher.profit == pytest.approx(profit_at(dearer, raised) - found.profit, abs=1e-9)
    rival, user = found.rivals[0], found.users[0]
    j = market.rivals[0]
    for key, changed in (("price", "price"), ("capacity", "capacity")):
        values = getattr(market, changed).copy()
        values[j] *= 1.01
        best = solve(replace(market, **{changed: values}))
        assert rival.profit_effect is not None
        assert rival.profit_effect[key] == pytest.approx(best.profit - found.profit, abs=1e-8 * found.profit + 1e-12)
    demand = market.demand.copy()
    demand[0] *= 1.01
    assert user.profit_effect is not None
    best = solve(replace(market, demand=demand))
    assert user.profit_effect["demand"] == pytest.approx(best.profit - found.profit, abs=1e-8 * found.profit + 1e-12)
    for user in found.users:
        if user.leaves_at is not None and user.leaves_at < 0.99 * found.cap:
            i = market.user_ids.index(user.id)
            before, after = (
                equilibrium_at(market, [user.leaves_at * by]).flow[i, decision.provider] for by in (0.9999, 1.0001)
            )
            assert before > 0
            assert after <= 1e-12 * market.demand[i]


@pytest.mark.parametrize("decides", ["factor", ("output",)])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_an_explanation_of_a_list_fits_every_width(width: int, decides: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    market = sold(3, 4, 4, decides=decides)
    found = explain_price(market)
    assert max(map(len, str(found).splitlines())) <= width
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document["decision"] == found.decision
    assert {part["component"] for part in document["components"]} == set(market.components)


def test_an_explanation_of_one_plain_price_has_no_fields_of_lists() -> None:
    document = explain_price(shipped("tiny/kink")).to_dict()
    assert not {"component", "factors", "sold", "net_cost", "components"} & set(document)
    assert set(document["users"][0]) == {
        *("id", "load", "profit", "state", "leaves_at", "joins_at", "price_effect", "profit_effect"),
    }


def test_without_congestion_users_tie_only_rivals_that_they_use_themselves() -> None:
    """What one user of a provider does no other feels: the rival that the leader's user does not use is apart."""
    market = make_market(
        congestion_weight=[0.0, 0.0],
        dispersion=[1.0, 1.0],
        demand=[1.0, 1.0],
        delay=[[0.0, 0.0, 9.0], [9.0, 0.0, 0.0]],
        price=[0.5, 0.5, 0.5],
    )
    near, far = explain_price(market).rivals
    assert near.chain == ("p1", "u1", "p2")
    assert not far.connected  # though u2 uses it beside p2


def test_a_leader_of_ample_capacity_is_tied_through_its_users() -> None:
    market = make_market(capacity=[1e6, 3.0, 4.0], price=[1.0, 1.0, 1.0], delay=np.zeros((2, 3)))
    assert all(rival.connected for rival in explain_price(market).rivals)


def test_rivals_apart_have_no_influence_and_those_tied_a_chain_of_users() -> None:
    """Two markets in one file: user b and its provider have nothing to do with the leader."""
    market = Market(
        name="two",
        user_ids=("a", "b"),
        provider_ids=("lead", "near", "far"),
        demand=np.array([4.0, 4.0]),
        price=np.array([1.0, 2.0, 2.0]),
        capacity=np.array([2.0, 2.0, 2.0]),
        value=np.zeros(3),
        unit_cost=np.zeros(3),
        delay=np.array([[0.0, 0.0, 50.0], [50.0, 50.0, 0.0]]),
        price_weight=np.ones(2),
        congestion_weight=np.ones(2),
        delay_weight=np.ones(2),
        leader=(0,),
        price_cap=np.array([10.0]),
    )
    found = explain_price(market)
    near, far = found.rivals
    assert (near.connected, near.chain, far.connected, far.chain) == (True, ("lead", "a", "near"), False, ())
    assert far.profit_effect == pytest.approx(dict.fromkeys(RIVAL_KEYS, 0.0), abs=1e-12)
    assert found.users[1].profit_effect == pytest.approx({"demand": 0.0}, abs=1e-12)
    assert "Without influence while everyone uses whom they use now: far." in sentences(found)


def test_an_outside_option_passes_no_influence_on() -> None:
    """Users a and b have nothing in common but that both may leave."""
    market = make_market(
        user_ids=["a", "b"],
        provider_ids=["us", "r"],
        demand=np.array([10.0, 10.0]),
        capacity=np.array([2.0, 2.0]),
        price=np.array([1.0, 1.0]),
        delay=np.array([[0.0, 50.0], [50.0, 0.0]]),
        leader=(0,),
        price_cap=np.array([10.0]),
    )
    found = explain_price(with_outside(market, -6.0))
    rival, outside = found.rivals
    assert (rival.connected, rival.chain, outside.chain) == (False, (), ("us", "a", "outside"))
    assert rival.profit_effect == dict.fromkeys(RIVAL_KEYS, 0.0)
    assert outside.profit_effect is not None
    assert outside.profit_effect["value"] < 0
    assert "matters most is outside: with its value" in said(with_outside(market, -6.0))


def test_chains_go_from_provider_to_user_along_flows() -> None:
    market = generate(20, 20, "uniform", 3)
    found = explain_price(market)
    flow = equilibrium_at(market, [found.price]).flow
    assert any(len(rival.chain) > 3 for rival in found.rivals)
    for rival in found.rivals:
        assert rival.connected == bool(rival.chain)
        for one, other in pairwise(rival.chain):
            user, provider = (one, other) if one in market.user_ids else (other, one)
            assert flow[market.user_ids.index(user), market.provider_ids.index(provider)] > 0


def test_in_a_large_market_only_the_greatest_effects_are_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    market = generate(20, 20, "heavy", 6)
    every = explain_price(market)
    monkeypatch.setattr("prillm_or.explanation.effects._LARGE", 100)
    some = explain_price(market)
    assert (some.flips, some.local_maxima) == ((), every.local_maxima)
    for parts, of_all in ((some.users, every.users), (some.rivals, every.rivals)):
        known = [part for part in parts if part.profit_effect is not None]
        assert 9 <= len(known) <= 10
        assert {part.id: part.profit_effect for part in known}.items() <= {
            part.id: part.profit_effect for part in of_all
        }.items()
    largest = max(every.users, key=lambda user: (user.profit_effect or {})["demand"])
    assert largest.id in {user.id for user in some.users if user.profit_effect is not None}


def test_a_curve_too_long_is_looked_at_near_the_price(monkeypatch: pytest.MonkeyPatch) -> None:
    market = generate(20, 20, "heavy", 6)
    whole = explain_price(market)
    monkeypatch.setattr("prillm_or.explanation.beside.PATIENCE_S", 0.0)
    near = explain_price(market)
    assert whole.searched == (0.0, 12.0)
    assert near.searched == pytest.approx((0.99 * whole.price, 1.01 * whole.price))
    assert (near.elasticity.left, near.profit) == pytest.approx((whole.elasticity.left, whole.profit))
    assert len(near.local_maxima) == 1
    words = " ".join(sentences(near))
    assert "were looked at: the whole curve has too many pieces" in words
    assert "no local maximum among them but" in words


def test_a_price_that_is_not_the_best_is_explained_and_called_so() -> None:
    market = shipped("tiny/two-maxima")
    found = explain_price(market, solve(market, solver="spgce"))
    worse = replace(solve(market), prices={"lead": 8.0}, profit=16.0)
    other = explain_price(market, worse)
    assert (other.price, other.profit, other.local_maxima[0].price) == pytest.approx((8, 16, 20))
    assert "It is not the best price: 20 earns 20." in sentences(other)
    assert "It is not the best price" not in " ".join(sentences(explain_price(market)))
    assert found.local_maxima == other.local_maxima


def test_refusals() -> None:
    with pytest.raises(CombinationError, match=r"has a price of step-3\.7-flash, not of lead"):
        explain_price(shipped("tiny/kink"), solve(shipped("coding-13")))
    for price in (-1.0, 10.1, math.nan):
        with pytest.raises(CombinationError, match="not between 0 and the cap 10"):
            explain_price(shipped("tiny/kink"), replace(solve(shipped("tiny/kink")), prices={"lead": price}))


def test_the_command_prints_it_and_writes_the_format(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "why.json"
    assert run(["explain", "tiny/two-maxima", "--json", str(out)]) == 0
    assert "The next-best local maximum is 8" in capsys.readouterr().out
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document == json.loads(json.dumps(explain_price(shipped("tiny/two-maxima")).to_dict()))
    assert document["format"] == "prillm-or/explanation@1"
    assert set(document["elasticity"]) == {"left", "right"}
    assert {"id", "load", "profit", "state"} <= set(document["users"][0])
    assert set(document["users"][0]["profit_effect"]) == {"demand"}
    assert {"id", "connected", "price_effect", "profit_effect"} <= set(document["rivals"][0])
    assert set(document["rivals"][0]["price_effect"]) == {"price", "capacity", "value"}
    assert document["cap_binds"] is False
    assert run(["explain", "tiny/kink", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["prices"] == {"lead": pytest.approx(3)}


def test_odd_names_are_printed_as_they_are(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    odd = replace(shipped("tiny/one-rival"), provider_ids=("[bold]lead[/bold]", "rival"), user_ids=("<a> %d {x}",))
    write_market(odd, tmp_path / "odd.json")
    assert run(["explain", str(tmp_path / "odd.json")]) == 0
    shown = capsys.readouterr().out
    assert "[bold]lead[/bold] has a load" in shown
    assert "<a> %d {x} 100 %" in shown
