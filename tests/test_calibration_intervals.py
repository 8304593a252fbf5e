"""Intervals of a fit: their ends by hand, how days are drawn, and how often they hold the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from helpers.calibration import (
    drawn_days,
    fit_from,
    wanted,
    with_flow,
)
from prillm_or.calibration import bootstrap as bootstrap_module
from prillm_or.calibration.bootstrap import Intervals, bootstrap
from prillm_or.calibration.days import Days
from prillm_or.calibration.fit import Fit
from prillm_or.calibration.parameters import Parameters
from prillm_or.calibration.preferences import Preferences
from prillm_or.market.market import Array

pytestmark = pytest.mark.usefixtures("one_thread")


def width(intervals: Intervals) -> Array:
    low, high = np.array([intervals.weights["congestion"], intervals.weights["delay"], *intervals.values]).T
    return np.asarray(high - low)


@pytest.fixture(scope="module")
def noisy_fit() -> Fit:
    true = wanted(3, 4, 2)
    return fit_from(true, drawn_days(true, 8, 2, 0.2, noise=0.05))


def test_intervals_have_two_ends_about_the_fit_and_the_reference_has_none(noisy_fit: Fit) -> None:
    found = bootstrap(noisy_fit, 12, seed=1)
    assert (found.draws, found.drawn) == (12, "days")
    assert found.weights.keys() == {"congestion", "delay"}
    assert found.values.shape == (4, 2)
    assert found.reference == noisy_fit.parameters.reference
    others = np.arange(4) != found.reference
    assert (width(found)[2:][others] > 0).all()
    assert all(low < high for low, high in found.weights.values())
    preferences = noisy_fit.preferences
    np.testing.assert_allclose(found.values[found.reference], preferences.value[found.reference], atol=1e-12)
    # With deviations of either sign the fit lies inside, which 12 draws have for all numbers but with 1 in 2000.
    assert found.weights["congestion"][0] < preferences.congestion < found.weights["congestion"][1]
    assert found.weights["delay"][0] < preferences.delay < found.weights["delay"][1]
    assert (found.values[others, 0] < preferences.value[others]).all()
    assert (found.values[others, 1] > preferences.value[others]).all()


def test_the_seed_chooses_the_draws(noisy_fit: Fit) -> None:
    one, again, other = (bootstrap(noisy_fit, 3, seed) for seed in (1, 1, 2))
    assert one.weights == again.weights
    np.testing.assert_array_equal(one.values, again.values)
    assert one.weights != other.weights


def test_intervals_are_narrower_with_less_noise() -> None:
    true = wanted(3, 4, 2, congestion=8.0)
    widths = [width(bootstrap(fit_from(true, drawn_days(true, 8, 2, noise=noise)), 8)) for noise in (0.0, 0.01, 0.05)]
    others = widths[2] > 0
    assert others.sum() == 5
    assert (widths[0] < 1e-6).all()
    # Five times the noise: five times as wide, to first order.
    np.testing.assert_allclose(widths[2][others] / widths[1][others], 5, rtol=0.3)


def drawn_by_hand(
    monkeypatch: pytest.MonkeyPatch, changes: Sequence[Callable[[Preferences], Preferences]]
) -> list[Array]:
    """Replace the fits of the draws by changed preferences; the weights they were asked for are kept."""
    weights: list[Array] = []

    def fake(
        days: Days, given: Parameters, shrinkage: float, weight: Array, start: Array, anchor: None, _: float
    ) -> Fit:
        weights.append(np.broadcast_to(weight, days.demand.shape))
        changed = changes[(len(weights) - 1) % len(changes)](given.unpack(start))
        return Fit(changed, given, days, shrinkage, weight, 0.0, start)

    monkeypatch.setattr(bootstrap_module, "fit_days", fake)
    return weights


# Student's t at 95 % for T - 1 degrees of freedom, over the normal quantile 1.644854, times sqrt((T + 1) / (T - 1)):
# for 8 days 1.894579 and sqrt(9/7), for 6 days 2.015048 and sqrt(7/5).
WIDER = {8: 1.894579 / 1.644854 * (9 / 7) ** 0.5, 6: 2.015048 / 1.644854 * (7 / 5) ** 0.5}


@pytest.mark.parametrize("seen", [8, 6])
def test_ends_by_hand(noisy_fit: Fit, monkeypatch: pytest.MonkeyPatch, seen: int) -> None:
    # A single draw has w_q twice that of the fit, w_d larger by 0.1, the value of the last but one by 1: both ends are
    # the fit's and WIDER times the deviation; of w_q in logarithms.
    train = noisy_fit.days.train.copy()
    train[seen:] = False
    fit = replace(noisy_fit, days=replace(noisy_fit.days, train=train))
    before, j = fit.preferences, (fit.parameters.reference + 1) % 4
    drawn_by_hand(
        monkeypatch,
        [lambda p: replace(p, congestion=2 * p.congestion, delay=p.delay + 0.1, value=p.value + (np.arange(4) == j))],
    )
    found = bootstrap(fit, 1)
    np.testing.assert_allclose(found.weights["congestion"], before.congestion * 2.0 ** WIDER[seen], rtol=1e-6)
    np.testing.assert_allclose(found.weights["delay"], before.delay + 0.1 * WIDER[seen], rtol=1e-6)
    expected = before.value + WIDER[seen] * (np.arange(4) == j)
    np.testing.assert_allclose(found.values, np.stack([expected, expected], axis=1), atol=1e-6)


def test_ends_are_quantiles_of_the_draws(noisy_fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    # 21 draws of w_d, off by -1.0, -0.9 ... 1.0 tenths, part the line into 22: 5 % of 22 is 1.1, a tenth of the way
    # from the first draw to the second, -0.99 tenths; likewise above.
    before = noisy_fit.preferences

    def slower(step: float) -> Callable[[Preferences], Preferences]:
        return lambda p: replace(p, delay=p.delay + step)

    drawn_by_hand(monkeypatch, [slower(0.01 * step) for step in range(-10, 11)])
    found = bootstrap(noisy_fit, 21)
    expected = before.delay + 0.099 * WIDER[8] * np.array([-1, 1])
    np.testing.assert_allclose(found.weights["delay"], expected, rtol=1e-6)
    drawn_by_hand(monkeypatch, [lambda p: replace(p, delay=0.0)])  # widened it would be below 0
    assert bootstrap(noisy_fit, 3).weights["delay"] == (0.0, 0.0)


def test_a_constant_on_all_values_of_a_draw_changes_nothing(noisy_fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_by_hand(monkeypatch, [lambda p: replace(p, value=p.value + 7.0)])
    value = noisy_fit.preferences.value
    np.testing.assert_allclose(bootstrap(noisy_fit, 3).values, np.stack([value, value], axis=1), atol=1e-12)


def test_days_are_drawn_as_wholes_and_with_few_days_users_of_days(
    noisy_fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = drawn_by_hand(monkeypatch, [lambda p: p])
    weight = np.broadcast_to([1.0, 2.0, 0.0], noisy_fit.weight.shape)
    assert bootstrap(replace(noisy_fit, weight=weight), 200).drawn == "days"
    drawn = np.array(weights)
    np.testing.assert_array_equal(drawn[..., 1], 2 * drawn[..., 0])
    np.testing.assert_array_equal(drawn[..., 2], 0)
    # 1600 exponentials: the mean is 1 give or take 1/40, and so is the standard deviation but twice as much.
    assert drawn[..., 0].mean() == pytest.approx(1, abs=0.1)
    assert drawn[..., 0].std() == pytest.approx(1, abs=0.2)
    train = noisy_fit.days.train.copy()
    train[4:] = False
    few = replace(noisy_fit, days=replace(noisy_fit.days, train=train))
    weights.clear()
    assert bootstrap(few, 200).drawn == "users of days"
    drawn = np.array(weights)
    assert np.abs(np.corrcoef(drawn[..., 0].ravel(), drawn[..., 1].ravel())[0, 1]) < 0.1  # 5/40 would be 4 deviations
    assert drawn[..., 1].mean() == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_intervals_hold_the_truth_nearly_as_often_as_they_say() -> None:
    # 16 times noisy flows of 16 days, 4 numbers each. Ends at the 5 % and 95 % quantiles of 20 draws, at places 1.95
    # and 19.05 of 21, hold 17.1/21 = 81 % rather than 90. Of 64 such intervals, those of one time as good as 2 alone,
    # the share has a standard deviation of sqrt(0.81 x 0.19 / 32) = 7 %: we allow for three of them.
    true = wanted(3, 3, 3, congestion=4.0)
    base = drawn_days(true, 16, 3)
    inside = []
    for number in range(16):
        noise = np.random.default_rng(number).standard_normal(base.flow.shape)
        fit = fit_from(true, with_flow(base, base.flow * np.exp(0.05 * noise)))
        found = bootstrap(fit, 20, number)
        value = true.value - true.value[found.reference] + fit.preferences.value[found.reference]
        truth = np.array([true.congestion, true.delay, *value])
        ends = np.array([found.weights["congestion"], found.weights["delay"], *found.values])
        rest = np.arange(5) != 2 + found.reference
        inside.append(((ends[:, 0] <= truth) & (truth <= ends[:, 1]))[rest].mean())
    assert 0.6 < np.mean(inside) < 1.0
