"""Observations: rules that arrays keep, days and users selected, and the market of a day."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.equality import assert_same
from prillm_or.calibration.observation_files import read_observations, write_observations
from prillm_or.calibration.observations import Leader, Observations, market_of, select, without_absent, without_residues
from prillm_or.errors import MarketError, ObservationsError
from prillm_or.users.equilibrium import equilibrium_at


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": ("2026-07-02", "2026-07-01")}, "days: expected ascending dates"),
        (
            {"days": ("2026-07-01", "july")},
            "days: expected an ISO date such as 2026-07-21, or an hour of it, 2026-07-21T15, got 'july'",
        ),
        (
            {"days": ("2026-07-01T05", "2026-07-01T24")},
            "days: expected an ISO date such as 2026-07-21, or an hour of it, 2026-07-21T15, got '2026-07-01T24'",
        ),
        ({"days": ("2026-07-01", "2026-07-01")}, "days: '2026-07-01' appears more than once"),
        ({"days": ()}, "days: expected at least one"),
        ({"user_ids": ("u", "u")}, "user_ids: 'u' appears more than once"),
        ({"user_ids": ("u", "")}, "user_ids[1]: expected a name, got ''"),
        ({"user_ids": ("u", "\ud800")}, "user_ids[1]: expected a name, got '\\ud800'"),
        ({"flow": np.ones((2, 2))}, "flow: expected shape (2, 2, 3), got (2, 2)"),
        ({"flow": np.full((2, 2, 3), -1.0)}, "flow[2026-07-01, u, a]: expected a finite number >= 0, got -1.0"),
        ({"flow": np.full((2, 2, 3), np.nan)}, "flow[2026-07-02, v, c]: expected a finite number >= 0, got nan"),
        ({"flow": np.ones((2, 2, 3))}, "flow[2026-07-02, u, c]: flow to a provider without a price that day, got 1.0"),
        ({"flow": np.zeros((2, 2, 3))}, "days: 2026-07-01 has no flow; leave the day out"),
        ({"price": np.full((2, 3), np.nan)}, "days: 2026-07-02 has no prices; leave the day out"),
        ({"price": np.full((2, 3), -1.0)}, "price[2026-07-01, b]: expected a finite number >= 0"),
        ({"price": np.full((2, 3), np.inf)}, "price[2026-07-01, b]: expected a finite number >= 0"),
        (
            {"capacity": np.zeros((2, 3))},
            "capacity[2026-07-01, b]: expected a finite number > 0 where there is a price",
        ),
        ({"capacity": np.ones((2, 3))}, "capacity[2026-07-02, c]: expected a finite number > 0 where there is a price"),
        (
            {"delay": np.full((2, 2, 3), np.nan)},
            "delay[2026-07-02, v, b]: expected a finite number >= 0 where the user",
        ),
        ({"delay": np.full((2, 2, 3), -1.0)}, "delay[2026-07-02, v, c]: expected a finite number >= 0 where the user"),
        ({"leader": Leader(("x",), (1.0,))}, "leader.providers: no provider is called 'x'"),
        ({"leader": Leader(("a", "a"), (1.0, 1.0))}, "leader.providers: 'a' appears more than once"),
        ({"leader": Leader((), ())}, "leader.providers: expected at least one provider"),
        ({"leader": Leader(("a", "b", "c"), (1.0,) * 3)}, "leader.providers: the leader owns every provider"),
        ({"leader": Leader(("a",), ())}, "leader.price_cap: expected 1 caps, got 0"),
        ({"leader": Leader(("a",), (np.inf,))}, "leader.price_cap: expected a finite number >= 0, got inf"),
    ],
)
def test_arrays_that_break_a_rule_are_refused(seen: Observations, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ObservationsError) as caught:
        replace(seen, **change)
    assert any(problem.startswith(message) for problem in caught.value.problems)


def test_a_million_faulty_flows_take_a_few_lines() -> None:
    shape = (1, 1000, 1000)
    with pytest.raises(ObservationsError) as caught:
        Observations(
            name="large",
            days=("2026-07-01",),
            user_ids=tuple(f"u{i}" for i in range(1000)),
            provider_ids=tuple(f"p{j}" for j in range(1000)),
            flow=np.full(shape, -1.0),
            price=np.ones((1, 1000)),
            capacity=np.ones((1, 1000)),
            delay=np.zeros(shape),
        )
    assert "flow: ... and 999980 more" in caught.value.problems
    assert len(caught.value.problems) < 30


def test_arrays_cannot_be_changed(seen: Observations) -> None:
    with pytest.raises(ValueError, match="read-only"):
        seen.flow[0, 0, 0] = 1


def test_days_and_users_are_selected_in_their_order(seen: Observations) -> None:
    second = select(seen, days=["2026-07-02"], users=["v"])
    assert (second.days, second.user_ids, second.provider_ids) == (("2026-07-02",), ("v",), ("a", "b", "c"))
    assert second.flow.tolist() == [[[0.5, 0, 0]]]
    assert_same(select(seen, days=["2026-07-02", "2026-07-01"]), seen, but=["name"])
    with pytest.raises(
        ObservationsError, match=r"days: no day is called '2026-07-03'; there are: 2026-07-01, 2026-07-02"
    ):
        select(seen, days=["2026-07-03"])
    with pytest.raises(ObservationsError, match="2026-07-01 has no flow"):
        select(seen, users=["v"])


def test_whoever_is_never_there_can_be_dropped_and_must_be_to_write(seen: Observations, tmp_path: Path) -> None:
    first = select(seen, days=["2026-07-01"])
    with pytest.raises(ObservationsError, match=r"user 'v' has no flow on any day; drop it by without_absent"):
        write_observations(first, tmp_path / "first")
    second = select(seen, days=["2026-07-02"])
    with pytest.raises(ObservationsError, match=r"provider 'c' is not offered on any day"):
        write_observations(second, tmp_path / "second")
    assert without_absent(first).user_ids == ("u",)
    compact = without_absent(second)
    assert compact.provider_ids == ("a", "b")
    write_observations(compact, tmp_path / "second")
    assert_same(read_observations(tmp_path / "second"), compact, but=["name"])


def test_the_market_of_a_day_has_who_is_there(seen: Observations) -> None:
    market = market_of(
        seen, "2026-07-02", value=[1, 2, 3], congestion_weight=[0.5, 0.25], delay_weight=2, description="x"
    )
    assert (market.name, market.description, market.units) == ("seen-2026-07-02", "x", seen.units)
    assert (market.user_ids, market.provider_ids, market.leader_ids) == (("u", "v"), ("a", "b"), ("a",))
    assert market.demand.tolist() == [2, 0.5]
    assert market.value.tolist() == [1, 2]
    assert market.congestion_weight.tolist() == [0.5, 0.25]
    assert market.delay.tolist() == [[1, 2], [4, 5]]
    assert market.price_cap.tolist() == [9]
    first = market_of(seen, "2026-07-01", value=[1, 2, 3], congestion_weight=[0.5, 0.25])
    assert (first.user_ids, first.m, first.congestion_weight.tolist()) == (("u",), 3, [0.5])
    assert equilibrium_at(first, [1.0]).flow.sum() == pytest.approx(4)


def test_no_market_without_a_leader_who_is_there_and_has_a_rival(seen: Observations) -> None:
    with pytest.raises(ObservationsError, match=r'leader: none.*name one in folder.json: {"leader"'):
        market_of(replace(seen, leader=None), "2026-07-01")
    with pytest.raises(ObservationsError, match=r"leader: c is not offered on 2026-07-02; it is on 2026-07-01"):
        market_of(replace(seen, leader=Leader(("c",), (1.0,))), "2026-07-02")
    with pytest.raises(ObservationsError, match="no rival is offered on 2026-07-02"):
        market_of(replace(seen, leader=Leader(("a", "b"), (1.0, 1.0))), "2026-07-02")
    with pytest.raises(ObservationsError, match="no day is called"):
        market_of(seen, "2026-07-03")
    with pytest.raises(MarketError, match="congestion_weight"):
        market_of(seen, "2026-07-01", congestion_weight=-1.0)


def test_what_rounding_left_of_differences_is_no_flow(seen: Observations) -> None:
    # 0.3 - 0.1 - 0.2 is not quite 0: such a user was not there that day, and is in no market made of it.
    assert without_residues(seen) is seen
    flow = seen.flow.copy()
    flow[0, 1, 0], flow[1, 1, 0] = 0.5, 2.7755575615628914e-17
    second = without_residues(replace(seen, flow=flow, delay=np.nan_to_num(seen.delay, nan=1.0)))
    assert second.present.tolist() == [[True, True], [True, False]]
    assert market_of(second, "2026-07-02").user_ids == ("u",)
    flow[0, 1, 0] = 0.0
    never = without_residues(replace(seen, flow=flow))
    assert never.user_ids == ("u",)


def test_faults_of_price_lists_in_arrays_are_told(seen: Observations) -> None:
    price = np.stack([seen.price, seen.price], axis=2)
    mix = np.ones((2, 2, 2))
    apart = replace(seen, price=price, components=("input", "output"), mix=mix, leader=Leader(("a",), (9.0, 9.0)))
    market = market_of(apart, "2026-07-02")
    assert market.components == ("input", "output")
    assert market.mix.tolist() == [[1, 1], [1, 1]]
    assert market.price.tolist() == [[1.5, 1.5], [2, 2]]
    assert [decision.name for decision in market.decisions] == ["a.input", "a.output"]
    price[0, 0, 1], nothing = np.nan, np.zeros((2, 2, 2))
    for changed, told in (
        (
            {"price": price},
            "price[2026-07-01, a, output]: expected a finite number >= 0, or NaN where not offered, got nan",
        ),
        ({"mix": -mix}, "mix[2026-07-01, u, input]: expected a finite number >= 0, got -1.0"),
        ({"mix": nothing}, "mix[2026-07-01, u]: expected some component > 0, got none"),
        ({"mix": mix[:, :, :1]}, "mix: expected shape (2, 2, 2), got (2, 2, 1)"),
        ({"price": seen.price}, "price: expected shape (2, 3, 2), got (2, 3)"),
        ({"components": ()}, "price: expected shape (2, 3), got (2, 3, 2)"),
        ({"leader": Leader(("a",), (9.0,))}, "leader.price_cap: expected 2 caps, got 1"),
        ({"leader": Leader(("a",), (9.0,), ("x",))}, "leader.decides: no component is called 'x'"),
    ):
        with pytest.raises(ObservationsError) as caught:
            replace(apart, **changed)
        assert f"seen: {told}" in str(caught.value)


def test_frames_of_price_lists(seen: Observations) -> None:
    import pandas as pd

    days = seen.days[:1] * 2
    flows = pd.DataFrame({"day": days, "user": ["u", "u"], "provider": ["a", "b"], "flow": [3.0, 1.0]})
    lists = {"day": days, "provider": ["a", "b"], "capacity": 9.0, "price_in": [1.0, 2.0], "price_out": [4.0, 2.0]}
    delays = pd.DataFrame({"user": ["u", "u"], "provider": ["a", "b"], "delay": 1.0})
    mixes = pd.DataFrame({"user": ["u", "u"], "component": ["in", "out"], "share": [0.75, 0.25]})
    made = Observations.from_frames(
        flows, pd.DataFrame(lists), delays, mixes, leader="a", price_cap=9.0, decides=["out"]
    )
    assert made.leader == Leader(("a",), (9.0,), ("out",))
    assert made.paid.tolist() == [[[1.75, 2.0]]]
