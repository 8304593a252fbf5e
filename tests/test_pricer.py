"""A price kept up to date: the same as of the changed market priced cold, and no change taken by halves."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.markets import draw_market, shipped
from helpers.sold import sold
from prillm_or.errors import ConvergenceError, MarketError
from prillm_or.market.changes import Change, apply
from prillm_or.market.market import Market
from prillm_or.market.synthetic import generate
from prillm_or.result import Result, Status
from prillm_or.solving.pricer import Pricer
from prillm_or.solving.recheck import decided_in
from prillm_or.solving.run import solve


def assert_same_answer(found: Result, expected: Result) -> None:
    """The same profit and bound; the same prices too, unless two earn the same."""
    assert (found.status, found.instance) == (expected.status, expected.instance)
    assert found.profit == pytest.approx(expected.profit, rel=1e-9, abs=1e-12)
    assert found.upper_bound == pytest.approx(expected.upper_bound, rel=1e-9, abs=1e-12)
    assert found.price == pytest.approx(expected.price, rel=1e-9, abs=1e-12) or found.profit == expected.profit
    assert found.certificate.kkt_residual <= 1e-9
    assert found.certificate.max_regret <= 1e-9
    assert (found.today is None) == (expected.today is None)


def test_the_first_answer_is_that_of_solve(small_market: Market) -> None:
    pricer = Pricer(small_market)
    assert pricer.market is small_market
    assert_same_answer(pricer.result, solve(small_market))


def test_an_update_gives_and_keeps_the_answer_of_the_changed_market() -> None:
    market = shipped("tiny/one-rival")
    pricer = Pricer(market)
    result = pricer.update({"providers": {"rival": {"price": 2.5}}})
    # As in tiny/README.md with the rival at r: load (4 + r - p) / 2, top at p = (4 + r) / 2, where it is p / 2.
    assert result.prices == {"lead": pytest.approx(3.25)}
    assert result.profit == pytest.approx(5.28125)
    assert pricer.result is result
    assert pricer.market.price.tolist() == [1.0, 2.5]
    assert market.price.tolist() == [1.0, 2.0]


def test_changes_there_and_back_give_the_first_answer_again(kind: str) -> None:
    market = draw_market(kind, 6, 5, 1)
    pricer = Pricer(market)
    first, rival = pricer.result, market.provider_ids[0]  # the last one leads
    delays = dict(zip(market.user_ids, market.delay[:, 0].tolist(), strict=True))
    pricer.update({"remove": {"providers": [rival]}})
    fields = {name: getattr(market, name)[0].item() for name in ("price", "capacity", "value", "unit_cost")}
    pricer.update({"add": {"providers": [{"id": rival, **fields, "delays": delays}]}})
    assert_same_answer(pricer.result, first)


def test_a_change_only_thought_of_leaves_the_market_as_it_is(kind: str) -> None:
    market = draw_market(kind, 6, 5, 1)
    pricer = Pricer(market)
    before = pricer.result
    change = {"providers": {market.provider_ids[0]: {"price": 0.5, "capacity": 3.0}}}
    assert_same_answer(pricer.what_if(change), solve(apply(market, change)))
    assert (pricer.market, pricer.result) == (market, before)
    with pytest.raises(MarketError):
        pricer.what_if({"providers": {"nobody": {"price": 0.5}}})


def assert_as_good(found: Result, expected: Result) -> None:
    """Both proven within the gap, so that neither profit is above the other's bound."""
    assert found.status is expected.status is Status.OPTIMAL
    assert found.method == expected.method
    assert found.upper_bound is not None
    assert expected.upper_bound is not None
    slack = 1e-9 * abs(expected.profit) + 1e-12
    assert found.profit <= expected.upper_bound + slack
    assert expected.profit <= found.upper_bound + slack
    assert found.certificate.kkt_residual <= 1e-9
    assert (found.today is None) == (expected.today is None)


def test_two_prices_are_kept_up_to_date() -> None:
    # As in tiny/README.md with the rival at r: lambda = (3 + r + S) / 3, whence S = r + 9/2 and p2 - p1 = 1/2. At 7/2:
    # prices 15/4 and 17/4, lambda 29/6, loads 13/12 and 19/12, profit 259/24.
    market = shipped("tiny/two-prices")
    pricer = Pricer(market)
    assert_as_good(pricer.result, solve(market))
    result = pricer.update({"providers": {"rival": {"price": 3.5}}})
    assert result.prices == {"plain": pytest.approx(15 / 4, rel=1e-6), "better": pytest.approx(17 / 4, rel=1e-6)}
    assert result.profit == pytest.approx(259 / 24, rel=1e-9)
    before = pricer.market, pricer.result
    with pytest.raises(MarketError, match=r"\"better\" is the leader's; only rivals can leave"):
        pricer.update({"remove": {"providers": ["better"]}})
    assert (pricer.market, pricer.result) == before
    assert pricer.update({"price_cap": {"better": 3.0}}).prices["better"] <= 3.0


@pytest.mark.parametrize("decides", ["plain", "factor", "components"])
def test_changes_of_several_decisions_end_where_solve_does(decides: Any) -> None:
    leaders = 1 if decides == "components" else 2
    market = sold(10, 4, 4, leaders=leaders, decides=decides, congested=True, own_weights=False)
    pricer = Pricer(market)
    for change in (
        {"users": {"u1": {"count": 40, "demand": 7.0}}, "providers": {"p3": {"unit_cost": 0.25}}},
        {"add": {"providers": [{"id": "p9", "price": 0.5, "capacity": 9.0, "dispersion": 0.5, "delays": 0.25}]}},
        {"remove": {"users": ["u3"], "providers": ["p4"]}, "price_cap": 2.0},
    ):
        market, thought = apply(market, change), pricer.what_if(change)
        assert_as_good(thought, solve(market))
        assert pricer.update(change).profit == thought.profit


@pytest.mark.parametrize(
    "change", [{}, {"users": {"nobody": {"demand": 1}}}, {"price_cap": 2, "remove": {"providers": ["p1"]}}]
)
def test_a_refused_change_leaves_everything_as_it_was(change: Change, small_market: Market) -> None:
    pricer = Pricer(small_market)
    before = pricer.market, pricer.result
    with pytest.raises(MarketError):
        pricer.update(change)
    assert (pricer.market, pricer.result) == before


@pytest.mark.parametrize("failure", [ConvergenceError("it did not settle"), KeyboardInterrupt()])
def test_an_error_while_pricing_leaves_everything_as_it_was(
    failure: BaseException, small_market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Result:
        raise failure

    pricer = Pricer(small_market)
    before = pricer.market, pricer.result
    with monkeypatch.context() as patch:
        patch.setattr("prillm_or.solving.pricer.judge", fail)
        with pytest.raises(type(failure)):
            pricer.update({"price_cap": 2})
    assert (pricer.market, pricer.result) == before
    assert pricer.update({"price_cap": 2}).status is Status.OPTIMAL


numbers = st.floats(0.25, 8)


@st.composite
def changes(draw: st.DrawFn, market: Market, new: str) -> Change:
    """One change of `market`, which its leader `market.leader_ids[0]` survives; who comes is called `new`."""
    users, providers = st.sampled_from(market.user_ids), st.sampled_from(market.provider_ids)
    rivals = st.sampled_from([name for name in market.provider_ids if name not in market.leader_ids])
    fields = st.fixed_dictionaries(
        {}, optional={"price": numbers, "capacity": numbers, "value": st.floats(-2, 4), "unit_cost": numbers}
    ).filter(bool)
    weights = {"price": numbers, "congestion": numbers, "delay": numbers}
    kinds = [
        st.builds(lambda name, given: {"providers": {name: given}}, providers, fields),
        st.builds(lambda name, demand: {"users": {name: {"demand": demand}}}, users, numbers),
        st.builds(lambda name, own: {"users": {name: {"weights": own}}}, users, st.fixed_dictionaries(weights)),
        st.builds(lambda name, other, delay: {"delays": {name: {other: delay}}}, users, providers, numbers),
        st.builds(lambda cap: {"price_cap": cap}, numbers),
        st.builds(
            lambda own: {"add": {"providers": [{"id": new, **own}]}},
            st.fixed_dictionaries({"price": numbers, "capacity": numbers, "delays": numbers}),
        ),
        st.builds(
            lambda own: {"add": {"users": [{"id": new, **own}]}},
            st.fixed_dictionaries({"demand": numbers, "weights": st.fixed_dictionaries(weights), "delays": numbers}),
        ),
    ]
    if market.m > len(market.leader) + 1:
        kinds.append(st.builds(lambda name: {"remove": {"providers": [name]}}, rivals))
    if market.n > 1:
        kinds.append(st.builds(lambda name: {"remove": {"users": [name]}}, users))
    return draw(st.one_of(kinds))


@given(st.data(), st.integers(0, 20))
def test_any_sequence_of_changes_ends_where_solve_does(data: st.DataObject, seed: int) -> None:
    market = generate(4, 4, "uniform", seed)
    pricer = Pricer(market)
    for step in range(data.draw(st.integers(1, 6))):
        change = data.draw(changes(pricer.market, f"new{step}"))
        market = apply(market, change)
        assert_same_answer(pricer.update(change), solve(market, solver="path"))


@pytest.mark.slow
@given(st.data(), st.integers(0, 20))
def test_any_sequence_of_changes_of_several_prices_ends_where_solve_does(data: st.DataObject, seed: int) -> None:
    market = generate(4, 4, "uniform", seed)
    market = replace(market, leader=(2, 3), price_cap=np.full(2, market.price_cap[0]))
    pricer = Pricer(market)
    for step in range(data.draw(st.integers(1, 4))):
        change = data.draw(changes(pricer.market, f"new{step}"))
        market = apply(market, change)
        assert_as_good(pricer.update(change), solve(market))


@pytest.mark.parametrize("decides", ["plain", "factor", ("output",)])
@pytest.mark.parametrize("seed", [0, 3, 5])
def test_changes_of_crowds_tastes_and_lists_end_where_solve_does(decides: Any, seed: int) -> None:
    """Each of them changes how much flow a slack is worth, which the equilibria carried over must not keep."""
    market = sold(seed, 5, 4, decides=decides, congested=True)
    pricer = Pricer(market)
    listed = bool(market.components)
    mix = {"mix": {"output": 2.0}} if listed else {}
    for change in (
        {"users": {"u1": {"count": 40}}},
        {"users": {"u1": {"dispersion": 3.0}, "u2": {"demand": 9.0}}},
        {"providers": {"p2": {"dispersion": 4.0}, "p1": {"unit_cost": 0.5}}},
        {"users": {"u2": {"values": {"p1": 2.5, "p3": 0.0}} | mix}},
        {"providers": {"p2": {"price": {"input": 0.25} if listed else 0.25}}},
        {"add": {"providers": [{"id": "p9", "price": 0.5, "capacity": 9.0, "dispersion": 0.5, "delays": 0.25}]}},
        {"users": {name: {"weights": {"congestion": 0.0}, "dispersion": 1.0} for name in market.user_ids}},
        {"users": {"u4": {"dispersion": 0.25}}, "remove": {"users": ["u3"], "providers": ["p3"]}},
    ):
        market = apply(market, change)
        assert_same_answer(pricer.update(change), solve(market, solver="path"))


def test_a_market_beyond_double_precision_is_told_and_forgotten() -> None:
    # A user whose demand is lost beside another's in double precision, then one as any other.
    market = shipped("tiny/one-rival")
    users = [{"id": "grain", "demand": 1e-18, "delays": 0.7}, {"id": "other", "demand": 1.0, "delays": 0.1}]
    pricer = Pricer(market)
    with np.errstate(all="ignore"), suppress(ConvergenceError):
        pricer.update({"add": {"users": users}})
    if pricer.market.n == 1:
        pricer.update({"add": {"users": [users[0] | {"demand": 1.0}, users[1]]}})
    else:
        pricer.update({"users": {"grain": {"demand": 1.0}}})
    assert_same_answer(pricer.result, solve(pricer.market, solver="path"))


def test_a_changed_market_may_be_thought_of_in_place_of_a_change() -> None:
    market = sold(7, 5, 4)
    pricer, changed = Pricer(market), replace(market, demand=1.5 * market.demand)
    assert_same_answer(pricer.what_if(changed), solve(changed))
    assert pricer.market is market


def test_the_best_alone_is_that_of_what_if() -> None:
    for market in (draw_market("weights", 6, 5, 1), draw_market("uniform", 5, 4, 2, leaders=2), sold(3)):
        pricer = Pricer(market)
        changed = replace(market, demand=1.1 * market.demand)
        decisions, profit = pricer.best_if(changed)
        result = pricer.what_if(changed)
        assert profit == result.profit
        np.testing.assert_array_equal(decisions, decided_in(changed, result))
