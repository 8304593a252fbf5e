"""How far a fit can be trusted: what flows cannot tell, intervals, elasticities, shrinkage; and markets made of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from prillm_or.calibration import bootstrap as bootstrap_module
from prillm_or.calibration import shrinkage as shrinkage_module
from prillm_or.calibration.bootstrap import Intervals, bootstrap
from prillm_or.calibration.days import Days, days_of
from prillm_or.calibration.elasticities import own_price_elasticities
from prillm_or.calibration.fit import SHRINKAGES, Fit, fit_days
from prillm_or.calibration.holdout import hold_out_days
from prillm_or.calibration.identifiability import identifiability
from prillm_or.calibration.misfit import Misfit
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.preferences import EVERYONE, Preferences, market_with, predicted_flows
from prillm_or.calibration.shrinkage import choose_shrinkage
from prillm_or.calibration.specification import Parameters, Specification, parameters_of
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array
from prillm_or.market.synthetic import generate
from prillm_or.users.equilibrium import equilibrium


def wanted(n: int, m: int, seed: int, congestion: float = 1.0, delay: float = 0.5) -> Preferences:
    """Preferences common to all users, with random values."""
    value = generate(n, m, "uniform", seed).value
    return Preferences(
        user_ids=tuple(f"u{i + 1}" for i in range(n)),
        provider_ids=tuple(f"p{j + 1}" for j in range(m)),
        congestion=congestion,
        delay=delay,
        value=value - value.min(),
        price_factor=np.ones(n),
        congestion_factor=np.ones(n),
        group_ids=(EVERYONE,),
        group=np.zeros(n, dtype=np.intp),
        group_value=np.zeros((1, m)),
    )


def differing(true: Preferences, seed: int) -> Preferences:
    """The same with own weights for all, and groups that hold providers to be worth more or less."""
    rng, (n, m) = np.random.default_rng(seed), (len(true.user_ids), len(true.provider_ids))
    return replace(
        true,
        price_factor=rng.uniform(0.5, 2, n),
        congestion_factor=rng.uniform(0.5, 2, n),
        group_ids=("a", EVERYONE),
        group=np.arange(n) % 2,
        group_value=0.5 * rng.standard_normal((2, m)),
    )


def made(true: Preferences, count: int, seed: int, missing: float = 0.0, noise: float = 0.0) -> Days:
    """Days on which users want what is true, with a share of offers and of users missing; flows are lognormal about it.

    The first two providers are always offered, the first user is always there.
    """
    n, m = len(true.user_ids), len(true.provider_ids)
    base, rng = generate(n, m, "uniform", seed), np.random.default_rng([seed, n, m, count])
    offered, present = rng.random((count, m)) >= missing, rng.random((count, n)) >= missing
    offered[:, :2] = present[:, 0] = True
    cells = present[:, :, None] & offered[:, None]
    days = Days(
        price=np.where(offered, base.price * rng.uniform(0.8, 1.25, (count, m)), 0.0),
        capacity=np.where(offered, base.capacity, 1.0),
        delay=np.where(cells, base.delay * rng.uniform(0.8, 1.25, (count, n, m)), 0.0),
        demand=base.demand * rng.uniform(0.5, 1.5, (count, n)) * present,
        offered=offered,
        flow=np.zeros((count, n, m)),
        train=cells,
    )
    return with_flow(days, predicted_flows(true, days) * np.exp(noise * rng.standard_normal(cells.shape)))


def with_flow(days: Days, flow: Array) -> Days:
    return replace(days, flow=flow, demand=flow.sum(axis=2))


def parameters(days: Days, specification: Specification | None = None) -> Parameters:
    _, n, m = days.flow.shape
    names = [f"u{i + 1}" for i in range(n)], [f"p{j + 1}" for j in range(m)]
    return parameters_of(specification or Specification(), days, *names, "seen")


def fit_at(true: Preferences, days: Days, specification: Specification | None = None) -> Fit:
    """A fit from the truth: a small part of the time of a search."""
    given = parameters(days, specification)
    return fit_days(days, given, start=given.pack(true))


def observed(days: Days) -> Observations:
    """Observations of the same days; p1 leads."""
    count, n, m = days.flow.shape
    return Observations(
        name="seen",
        days=tuple(f"2026-07-{day + 1:02d}" for day in range(count)),
        user_ids=tuple(f"u{i + 1}" for i in range(n)),
        provider_ids=tuple(f"p{j + 1}" for j in range(m)),
        flow=days.flow,
        price=np.where(days.offered, days.price, np.nan),
        capacity=np.where(days.offered, days.capacity, np.nan),
        delay=np.where(days.cells, days.delay, np.nan),
        leader=Leader(("p1",), (99.0,)),
    )


def assert_direction(found: dict[str, float], names: Sequence[str], expected: Array) -> None:
    """The same direction but for its sign; what is left out is small."""
    expected = expected / np.sqrt(expected @ expected)
    expected = expected * np.sign(expected[names.index(next(iter(found)))]) * np.sign(next(iter(found.values())))
    for name, part in zip(names, expected, strict=True):
        if name in found:
            assert found[name] == pytest.approx(part, abs=1e-5)
        else:
            assert abs(part) < 0.2 * np.abs(expected).max() + 1e-9
    assert list(found.values()) == sorted(found.values(), key=lambda part: -abs(part))


# What flows cannot tell


def test_one_day_tells_no_scale_of_money() -> None:
    # All users pay the same p_j on the only day, so that a value can stand for any part of it. Let w_q grow by a factor
    # 1 + e, and with it w_d and all p_j - b_j: no offset changes, but for a constant. Log w_q moves by e, theta_d by
    # theta_d e, and b_j by e (b_j - p_j), less that of the reference.
    true = wanted(3, 3, 5, congestion=8.0)
    days = made(true, 1, 5)
    assert (days.flow > 0).all()
    found = fit_at(true, days)
    given, theta = found.parameters, found.theta
    moved = (found.preferences.value - days.price[0]) / given.money
    others = np.delete(moved - moved[given.reference], given.reference)
    (direction,) = identifiability(found).undetermined
    assert_direction(direction, list(given.names()), np.array([1.0, theta[given.places["d"].start], *others]))
    # Prices that stay as they are teach no more; prices that change do.
    same = with_flow_of(true, replace(made(true, 4, 5), price=np.repeat(days.price, 4, axis=0)))
    assert len(identifiability(fit_at(true, same)).undetermined) == 1
    assert identifiability(fit_at(true, made(true, 2, 5))).undetermined == ()


def with_flow_of(true: Preferences, days: Days) -> Days:
    return with_flow(days, predicted_flows(true, days))


def test_a_provider_that_is_never_offered_has_an_unknown_value() -> None:
    true = wanted(3, 4, 1)
    days = made(true, 5, 1)
    offered = days.offered.copy()
    offered[:, 2] = False
    gone = replace(
        days,
        price=np.where(offered, days.price, 0.0),
        capacity=np.where(offered, days.capacity, 1.0),
        delay=np.where(offered[:, None], days.delay, 0.0),
        offered=offered,
        train=days.train & offered[:, None],
    )
    (direction,) = identifiability(fit_at(true, with_flow_of(true, gone))).undetermined
    assert direction.keys() == {"value of p3"}
    assert abs(direction["value of p3"]) == pytest.approx(1)


def test_a_provider_that_nobody_uses_has_an_unknown_value() -> None:
    true = wanted(3, 4, 1)
    days = made(true, 5, 1)
    price = days.price.copy()
    price[:, 2] = 99.0
    (direction,) = identifiability(fit_at(true, with_flow_of(true, replace(days, price=price)))).undetermined
    assert direction.keys() == {"value of p3"}


def test_without_delays_their_weight_is_unknown() -> None:
    true = wanted(3, 4, 1)
    days = made(true, 5, 1)
    (direction,) = identifiability(fit_at(true, with_flow_of(true, replace(days, delay=0 * days.delay)))).undetermined
    assert direction.keys() == {"weight of delay"}


def test_a_weight_of_congestion_of_everybody_s_own_is_that_of_all() -> None:
    # Log w_q up by one and every log own factor down by one: nothing changes. All of these four parts are 1/2.
    true = wanted(3, 4, 1)
    found = fit_at(true, made(true, 5, 1), Specification(own_congestion=True))
    (direction,) = identifiability(found).undetermined
    assert_direction(direction, list(found.parameters.names()), np.array([1.0, 0, 0, 0, 0, -1, -1, -1]))


def test_what_is_hidden_tells_nothing() -> None:
    true = wanted(3, 4, 1)
    days = made(true, 5, 1)
    assert identifiability(fit_at(true, days)).undetermined == ()
    train = days.train.copy()
    train[1:] = False
    assert len(identifiability(fit_at(true, replace(days, train=train))).undetermined) == 1  # one day, see above
    weight = np.zeros(days.demand.shape)
    weight[0] = 1.0
    given = parameters(days)
    weighted = fit_days(days, given, weight=weight, start=given.pack(true))
    assert len(identifiability(weighted).undetermined) == 1


def test_singular_values_are_those_of_the_derivatives_in_units_of_the_flows() -> None:
    true = wanted(3, 3, 5, congestion=8.0)
    found = fit_at(true, made(true, 4, 5, noise=0.05))
    misfit = Misfit(found.parameters, found.days, found.weight)
    steps = 1e-6 * np.eye(found.parameters.size)
    differences = [(misfit.flow(found.theta + one) - misfit.flow(found.theta - one)).ravel() / 2e-6 for one in steps]
    unit = np.sqrt((found.days.flow**2).sum())
    expected = np.linalg.svd(np.array(differences) / unit, compute_uv=False)
    told = identifiability(found)
    np.testing.assert_allclose(told.singular_values, expected, rtol=1e-4)
    assert told.condition == pytest.approx(expected[0] / expected[-1], rel=1e-4)


def test_with_fewer_flows_than_numbers_to_find_there_is_no_condition() -> None:
    # One user, one day: 4 flows, that sum to what they have to, for log w_q, theta_d and 3 values: 3 of 5 directions
    # are told at most.
    true = wanted(1, 4, 5, congestion=8.0)
    days = made(true, 1, 5)
    assert (days.flow > 0).all()
    told = identifiability(fit_at(true, days))
    assert len(told.singular_values) == 5
    assert (np.diff(told.singular_values) <= 0).all()
    assert told.condition is None
    assert len(told.undetermined) == 2


# A matrix of cells by cells would have 10 GB for 20 users, 20 providers and 90 days.
def test_memory_grows_with_cells_times_parameters() -> None:
    true = wanted(8, 8, 1)
    found = fit_at(true, made(true, 20, 1))
    derivatives = 8 * found.days.flow.size * found.parameters.size
    tracemalloc.start()
    try:
        identifiability(found)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * derivatives


# Intervals


def width(intervals: Intervals) -> Array:
    low, high = np.array([intervals.weights["congestion"], intervals.weights["delay"], *intervals.values]).T
    return np.asarray(high - low)


@pytest.fixture(scope="module")
def noisy_fit() -> Fit:
    true = wanted(3, 4, 2)
    return fit_at(true, made(true, 8, 2, 0.2, noise=0.05))


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
    widths = [width(bootstrap(fit_at(true, made(true, 8, 2, noise=noise)), 8)) for noise in (0.0, 0.01, 0.05)]
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

    def fake(days: Days, given: Parameters, shrinkage: float, weight: Array, start: Array) -> Fit:
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


def test_intervals_hold_the_truth_nearly_as_often_as_they_say() -> None:
    # 16 times noisy flows of 16 days, 4 numbers each. Ends at the 5 % and 95 % quantiles of 20 draws, at places 1.95
    # and 19.05 of 21, hold 17.1/21 = 81 % rather than 90. Of 64 such intervals, those of one time as good as 2 alone,
    # the share has a standard deviation of sqrt(0.81 x 0.19 / 32) = 7 %: we allow for three of them.
    true = wanted(3, 3, 3, congestion=4.0)
    base = made(true, 16, 3)
    inside = []
    for number in range(16):
        noise = np.random.default_rng(number).standard_normal(base.flow.shape)
        fit = fit_at(true, with_flow(base, base.flow * np.exp(0.05 * noise)))
        found = bootstrap(fit, 20, number)
        value = true.value - true.value[found.reference] + fit.preferences.value[found.reference]
        truth = np.array([true.congestion, true.delay, *value])
        ends = np.array([found.weights["congestion"], found.weights["delay"], *found.values])
        rest = np.arange(5) != 2 + found.reference
        inside.append(((ends[:, 0] <= truth) & (truth <= ends[:, 1]))[rest].mean())
    assert 0.6 < np.mean(inside) < 1.0


# Elasticities


def hand_days() -> tuple[Preferences, Days]:
    """One user of demand 4, w_q = 2; two providers of capacity 2 and 4 at prices 6 and 4, on day 2 the second alone.

    Offsets 3 and 2, so that flows are 2/3 and 10/3 on day 1, as in test_calibration_gradient.
    """
    offered = np.array([[True, True], [False, True]])
    true = replace(wanted(1, 2, 1, congestion=2.0), value=np.zeros(2))
    days = Days(
        price=np.array([[6.0, 4.0], [0.0, 4.0]]),
        capacity=np.array([[2.0, 4.0], [1.0, 4.0]]),
        delay=np.zeros((2, 1, 2)),
        demand=np.full((2, 1), 4.0),
        offered=offered,
        flow=np.zeros((2, 1, 2)),
        train=offered[:, None],
    )
    return true, with_flow_of(true, days)


def test_elasticities_of_one_user_and_two_providers_by_hand() -> None:
    # Day 1: df_j/dg_j = -1 / (2/2 + 2/4) = -2/3 for both, so df_j/dp_j = -1/3. Elasticities -1/3 x 6 / (2/3) = -3 and
    # -1/3 x 4 / (10/3) = -2/5. Day 2: 0, nobody else is there. Revenue of p2: 40/3 and 16, so that day 1 counts 5/11.
    true, days = hand_days()
    np.testing.assert_allclose(days.flow, np.array([[[2 / 3, 10 / 3]], [[0, 4]]]), rtol=1e-13)
    np.testing.assert_allclose(own_price_elasticities(true, days), [-3, -2 / 5 * 5 / 11], rtol=1e-12)


def test_who_does_not_mind_prices_much_reacts_less() -> None:
    # Half the price weight at twice the price: the same flows, the same share by which they change.
    true, days = hand_days()
    other = replace(true, price_factor=np.array([0.5]))
    dearer = replace(days, price=2 * days.price)
    np.testing.assert_allclose(own_price_elasticities(other, dearer), own_price_elasticities(true, days), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_elasticities_are_those_of_the_equilibria(seed: int) -> None:
    true = differing(wanted(4, 5, seed), seed)
    days = made(true, 4, seed, 0.3)
    found = own_price_elasticities(true, days)
    load, step = predicted_flows(true, days).sum(axis=1), 1e-6
    for j in range(5):
        revenue = (load * days.price)[:, j]
        used = np.flatnonzero(revenue)
        if not len(used):
            assert np.isnan(found[j])
            continue
        factor = 1 + step * (np.arange(5) == j)
        up = predicted_flows(true, replace(days, price=days.price * factor)).sum(axis=1)
        down = predicted_flows(true, replace(days, price=days.price / factor)).sum(axis=1)
        of_day = np.log(up[used, j] / down[used, j]) / (2 * step)
        assert found[j] == pytest.approx(of_day @ revenue[used] / revenue[used].sum(), rel=1e-5)
        assert found[j] < 0


def test_providers_without_revenue_have_no_elasticity() -> None:
    true = wanted(3, 4, 1)
    days = made(true, 3, 1)
    price = days.price.copy()
    price[:, 1], price[:, 2] = 0.0, 99.0  # one is free, one is used by nobody
    changed = replace(days, price=price)
    flow = predicted_flows(true, changed)
    assert (flow[:, :, 1] > 0).any()
    assert (flow[:, :, 2] == 0).all()
    np.testing.assert_array_equal(np.isnan(own_price_elasticities(true, changed)), [False, True, True, False])


# The choice of the shrinkage


def test_flows_without_noise_need_no_shrinkage(monkeypatch: pytest.MonkeyPatch) -> None:
    true = wanted(2, 3, 3, congestion=4.0)
    found = choose_shrinkage(observed(made(true, 4, 3)), Specification())  # parts are cells
    assert found.shrinkage == 0
    assert list(found.tried) == list(SHRINKAGES)
    assert found.tried[0.0] == pytest.approx(1, abs=1e-9)
    assert list(found.tried.values()) == sorted(found.tried.values())
    monkeypatch.setattr(shrinkage_module, "SHRINKAGES", (0.03, 0.0))
    assert choose_shrinkage(observed(made(true, 10, 3)), Specification()).shrinkage == 0  # parts are days


def test_independent_flows_are_predicted_no_worse_with_the_shrinkage_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    # Flows are demand x share and noise, whatever prices are. Of 12 days the last 2 are held out from everything.
    monkeypatch.setattr(shrinkage_module, "SHRINKAGES", (1.0, 0.0))
    true = wanted(2, 3, 3)
    base = made(true, 12, 3)
    rng = np.random.default_rng(1)
    flow = base.demand[:, :, None] * np.array([0.2, 0.3, 0.5]) * np.exp(0.3 * rng.standard_normal(base.flow.shape))
    observations = observed(with_flow(base, flow))
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

    def fake(days: Days, given: Parameters, shrinkages: Sequence[float], weight: Array | None) -> list[Fit]:
        seen.append(days)
        return []

    monkeypatch.setattr(shrinkage_module, "fit_path", fake)
    true = wanted(3, 4, 3)
    base = made(true, count, 3, 0.2)
    observations = observed(base)
    observations = replace(observations, capacity=np.where(base.offered, np.maximum(observations.load, 1), np.nan))
    train = observations.cells & (np.random.default_rng(1).random(base.flow.shape) < 0.8)
    choose_shrinkage(observations, Specification(), train, capacity_of_load=True)
    assert len(seen) == 5
    parts = [train & ~days.train for days in seen]
    np.testing.assert_array_equal(np.sum(parts, axis=0), train)
    for days in seen:
        assert not (days.train & ~train).any()
        np.testing.assert_array_equal(days.capacity, days_of(observations, days.train, capacity_of_load=True).capacity)


# Markets made of preferences


@pytest.mark.parametrize("alike", [True, False], ids=["common", "own weights and groups"])
@pytest.mark.parametrize("seed", range(3))
def test_the_market_of_a_day_has_the_equilibrium_that_is_predicted(seed: int, alike: bool) -> None:
    true = wanted(4, 5, seed) if alike else differing(wanted(4, 5, seed), seed)
    days = made(true, 4, seed, 0.3)
    observations = observed(days)
    predicted = predicted_flows(true, days)
    for t, day in enumerate(observations.days):
        market = market_with(true, observations, day)
        there, offered = observations.present[t], observations.offered[t]
        expected = predicted[t][np.ix_(there, offered)]
        assert market.today is not None
        flow = equilibrium(market, market.today).flow
        np.testing.assert_allclose(flow, expected, rtol=0, atol=1e-9 * days.demand.max())
        assert market.user_ids == tuple(np.array(true.user_ids)[there])
        assert market.provider_ids == tuple(np.array(true.provider_ids)[offered])
        assert (market.delay >= 0).all()
        # At another price of the leader, too.
        other = days.price.copy()
        other[t, 0] += 1.0
        moved = predicted_flows(true, replace(days, price=other))[t][np.ix_(there, offered)]
        flow = equilibrium(market, market.today + 1.0).flow
        np.testing.assert_allclose(flow, moved, rtol=0, atol=1e-9 * days.demand.max())


def test_values_of_a_market_are_zero_at_least() -> None:
    for seed in range(3):
        for true in (wanted(4, 5, seed), differing(wanted(4, 5, seed), seed)):
            observations = observed(made(true, 1, seed))
            assert market_with(true, observations, observations.days[0]).value.min() == 0


def test_groups_hold_what_they_value_less_to_be_slower_by_hand() -> None:
    # b = (1, 0); group a adds (2, 0), everyone (0, 1): worth (3, 0) to u1 and (1, 1) to u2. The largest are 3 and 1,
    # 2 and 0 once the least is 0. What is missing counts as delay: to u1 0 and 1, to u2 2 and 0, with w_d d = d/2 each.
    true = replace(
        wanted(2, 2, 1),
        value=np.array([1.0, 0.0]),
        group_ids=("a", EVERYONE),
        group=np.array([0, 1]),
        group_value=np.array([[2.0, 0.0], [0.0, 1.0]]),
    )
    observations = replace(observed(made(true, 1, 1)), delay=np.array([[[2.0, 4.0], [6.0, 8.0]]]))
    market = market_with(true, observations, observations.days[0], "as told")
    np.testing.assert_allclose(market.value, np.array([2.0, 0.0]), atol=1e-15)
    np.testing.assert_allclose(market.delay, [[1 + 0, 2 + 1], [3 + 2, 4 + 0]], rtol=1e-15)
    np.testing.assert_array_equal(market.delay_weight, [1, 1])
    assert market.units.delay == "1000 USD per 1e9 tokens"
    assert market.description == "as told"


def test_without_groups_delays_stay_what_they_are() -> None:
    true = wanted(2, 2, 1)
    observations = observed(made(true, 1, 1))
    market = market_with(true, observations, observations.days[0])
    np.testing.assert_array_equal(market.delay, observations.delay[0])
    np.testing.assert_array_equal(market.delay_weight, [true.delay] * 2)
    np.testing.assert_array_equal(market.congestion_weight, [true.congestion] * 2)
    assert market.units == observations.units
    assert market.common_weights


def test_a_market_needs_a_leader_and_a_day() -> None:
    true = wanted(2, 3, 1)
    observations = observed(made(true, 2, 1))
    with pytest.raises(ObservationsError, match="leader: none, and a market needs one"):
        market_with(true, replace(observations, leader=None), observations.days[0])
    with pytest.raises(ObservationsError, match="no day is called '2020-01-01'"):
        market_with(true, observations, "2020-01-01")
