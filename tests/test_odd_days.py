"""Days in another unit are named, days that differ as days do are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import observations_of
from prillm_or.calibration.observation_files import write_observations
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.odd_days import odd_days
from prillm_or.cli import run
from prillm_or.output.saving import new_folder


def plain(days: int, spread: float = 0.3) -> Observations:
    """Days that differ from each other by some tens of per cent."""
    rng = np.random.default_rng(days)
    flow, price, capacity, delay = (rng.lognormal(1, spread, (days, *shape)) for shape in ((3, 4), (4,), (4,), (3, 4)))
    return observations_of(flow, price=price, capacity=capacity, delay=delay)


@pytest.mark.parametrize("name", ["flow", "price", "capacity", "delay"])
@pytest.mark.parametrize("factor", [1000.0, 1 / 60])
def test_a_day_in_another_unit_is_named_with_its_factor(name: str, factor: float) -> None:
    seen = plain(9)
    values = getattr(seen, name).copy()
    values[4] *= factor
    (odd,) = odd_days(replace(seen, **{name: values}))
    assert (odd.day, odd.what) == (seen.days[4], {"capacity": "capacities"}.get(name, f"{name}s"))
    assert odd.factor == pytest.approx(factor, rel=0.5)


def test_days_that_differ_as_days_do_are_not_named() -> None:
    for days in (1, 2, 5, 30):
        assert list(odd_days(plain(days))) == []
    growing = plain(20)  # a hundredfold in 20 days, day by day
    flow = growing.flow * 100 ** (np.arange(20) / 19)[:, None, None]
    assert list(odd_days(replace(growing, flow=flow))) == []


def test_a_day_on_which_a_provider_and_a_user_are_missing_is_not_odd() -> None:
    seen = plain(6)
    flow, price, capacity = seen.flow.copy(), seen.price.copy(), seen.capacity.copy()
    flow[2, 0], flow[2, :, 1], price[2, 1], capacity[2, 1] = 0.0, 0.0, np.nan, np.nan
    assert list(odd_days(replace(seen, flow=flow, price=price, capacity=capacity))) == []


def test_validate_says_so(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    seen = plain(5)
    flow = seen.flow.copy()
    flow[1] *= 100.0
    with new_folder(tmp_path / "seen") as folder:
        write_observations(replace(seen, flow=flow), folder, "csv")
    assert run(["validate", str(tmp_path / "seen")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"On {seen.days[1]} flows are about" in said
    assert "leave the day out" in said
