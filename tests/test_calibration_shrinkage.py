"""The choice of the shrinkage: by parts that a fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    drawn_days,
    observations_of_days,
    parameters,
    wanted,
    with_flow,
)
from prillm_or.calibration import shrinkage as shrinkage_module
from prillm_or.calibration.days import Days, days_of
from prillm_or.calibration.fit import SHRINKAGES, Fit, fit_days
from prillm_or.calibration.holdout import folds, hold_out_days
from prillm_or.calibration.judged_fit import Options, fit_and_judge
from prillm_or.calibration.misfit import Misfit
from prillm_or.calibration.parameters import Parameters
from prillm_or.calibration.preferences import predicted_flows
from prillm_or.calibration.shrinkage import choose_shrinkage
from prillm_or.calibration.specification import Specification
from prillm_or.calibration.weighting import by_share
from prillm_or.market.market import Array

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_flows_without_noise_need_no_shrinkage() -> None:
    true = wanted(2, 3, 3, congestion=4.0)
    found = choose_shrinkage(observations_of_days(drawn_days(true, 4, 3)), Specification())  # parts are cells
    assert found.shrinkage == 0
    assert list(found.tried) == list(SHRINKAGES)
    assert found.tried[0.0] == pytest.approx(1, abs=1e-9)
    assert list(found.tried.values()) == sorted(found.tried.values())


@pytest.mark.slow
def test_flows_of_days_without_noise_need_no_shrinkage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinkage_module, "SHRINKAGES", (0.03, 0.0))
    days = drawn_days(wanted(2, 3, 3, congestion=4.0), 10, 3)
    assert choose_shrinkage(observations_of_days(days), Specification()).shrinkage == 0  # parts are days


@pytest.mark.slow
def test_independent_flows_are_predicted_no_worse_with_the_shrinkage_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Flows are demand x share and noise, whatever prices are. Of 12 days the last 2 are held out from everything.
    monkeypatch.setattr(shrinkage_module, "SHRINKAGES", (1.0, 0.0))
    true = wanted(2, 3, 3)
    base = drawn_days(true, 12, 3)
    rng = np.random.default_rng(1)
    flow = base.demand[:, :, None] * np.array([0.2, 0.3, 0.5]) * np.exp(0.3 * rng.standard_normal(base.flow.shape))
    observations = observations_of_days(with_flow(base, flow))
    held = hold_out_days(observations, 2)
    train = observations.cells & ~held
    choice = choose_shrinkage(observations, Specification(), train)
    assert choice.shrinkage > 0
    assert choice.shrinkage == max(choice.tried, key=lambda kappa: choice.tried[kappa])
    days = days_of(observations, train)
    missed = {}
    for kappa in (choice.shrinkage, 0.0):
        fit = fit_days(days, parameters(days), kappa)
        missed[kappa] = float(((predicted_flows(fit.preferences, days) - observations.flow)[held] ** 2).sum())
    assert missed[choice.shrinkage] <= missed[0.0]


@pytest.mark.parametrize("count", [4, 12])
def test_each_part_is_judged_by_a_fit_that_sees_neither_it_nor_what_is_held_out(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    seen: list[Days] = []

    def fake(
        days: Days, given: Parameters, shrinkages: Sequence[float], weight: Array | None, **_: object
    ) -> list[Fit]:
        seen.append(days)
        return []

    monkeypatch.setattr(shrinkage_module, "fit_path", fake)
    true = wanted(3, 4, 3)
    base = drawn_days(true, count, 3, 0.2)
    observations = observations_of_days(base)
    observations = replace(observations, capacity=np.where(base.offered, np.maximum(observations.load, 1), np.nan))
    train = observations.cells & (np.random.default_rng(1).random(base.flow.shape) < 0.8)
    choose_shrinkage(observations, Specification(), train, capacity_of_load=True)
    assert len(seen) == 5
    parts = [train & ~days.train for days in seen]
    np.testing.assert_array_equal(np.sum(parts, axis=0), train)
    for days in seen:
        assert not (days.train & ~train).any()
        np.testing.assert_array_equal(days.capacity, days_of(observations, days.train, capacity_of_load=True).capacity)


@pytest.mark.slow
@pytest.mark.parametrize(("own", "tasteful"), [(True, False), (False, False), (False, True)])
def test_what_users_want_is_chosen_by_what_predicts(monkeypatch: pytest.MonkeyPatch, own: bool, tasteful: bool) -> None:
    monkeypatch.setattr(shrinkage_module, "SHRINKAGES", (0.1,))
    monkeypatch.setattr(shrinkage_module, "folds", lambda train, seed: folds(train, seed, 2))
    true = replace(wanted(2, 3, 3, congestion=4.0), user_value=np.array([[3.0, 0, 0], [0, 0, 3]]) * own)
    if tasteful:
        true = replace(true, congestion=0.0, dispersion=3.0)
    calibration = fit_and_judge(observations_of_days(drawn_days(true, 3, 3, noise=0.05)), Options(specification=None))
    found = calibration.choice
    assert found is not None
    assert found.specification.own_values is own
    assert found.specification.congestion is not tasteful
    assert (found.specification.dispersion is not None) is tasteful
    assert (found.alike is not None) is (own or tasteful)
    assert found.alike is None or 1 - max(found.tried.values()) < 0.95 * (1 - found.alike)
    told = "\n".join(calibration.findings)
    assert ("its own values of providers" in told, "stands in place of congestion" in told) == (own, tasteful)


def test_the_loss_of_shares_is_that_of_flows_over_demand() -> None:
    days = drawn_days(wanted(3, 4, 2), 2, 2, missing=0.3, noise=0.3)
    given = parameters(days)
    theta = np.zeros(given.size)
    theta[given.places["q"]] = np.log(given.scale)
    misfit = Misfit(given, days, by_share(days))
    missed = misfit.flow(theta) - days.flow
    demand = np.where(days.demand > 0, days.demand, 1.0)[:, :, None]
    shares = (demand * (missed / demand) ** 2)[days.train].sum()
    left = misfit.residuals(theta) @ misfit.residuals(theta)
    other = theta + 0.3 * np.eye(given.size)[0]
    again = misfit.flow(other) - days.flow
    ratio = (demand * (again / demand) ** 2)[days.train].sum() / shares
    assert misfit.residuals(other) @ misfit.residuals(other) == pytest.approx(ratio * left, rel=1e-9)
