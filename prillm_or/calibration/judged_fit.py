"""fit_and_judge: from observations to preferences, and to everything that says how far to trust them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from prillm_or.calibration.anchor import Anchor
from prillm_or.calibration.baselines import NotApplicableError, baseline_flows
from prillm_or.calibration.bootstrap import Intervals, bootstrap
from prillm_or.calibration.calibration import OURS, Calibration, MethodScores
from prillm_or.calibration.days import Days, days_of
from prillm_or.calibration.elasticities import own_price_elasticities
from prillm_or.calibration.findings import findings
from prillm_or.calibration.fit import CutShortError, Fit, anchored_fit, fit_days, without_price
from prillm_or.calibration.identifiability import identifiability
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.parameters import parameters_of
from prillm_or.calibration.pooling import own_elasticity, response_of
from prillm_or.calibration.preferences import Preferences, aligned, predicted_flows
from prillm_or.calibration.profile import Profile, best_price, profile
from prillm_or.calibration.scores import Scores, scores
from prillm_or.calibration.shrinkage import ShrinkageChoice, choose_shrinkage
from prillm_or.calibration.specification import Specification, specification_of
from prillm_or.calibration.weighting import Loss, by_share, decayed, trusted
from prillm_or.errors import ObservationsError
from prillm_or.market.market import Array, Mask
from prillm_or.result import Result

_log = logging.getLogger(__name__)
_ROBUST_ROUNDS = 20
_SETTLED = 1e-3
_UNFINISHED = (
    "Interrupted: these are the best preferences met so far, in part of the cells perhaps, and no fit; calibrate again."
)


@dataclass(frozen=True)
class Options:
    """How to calibrate.

    Parameters
    ----------
    specification
        What users may want, and in what they may differ; None for what an earlier fit has, else chosen with the
        shrinkage.
    shrinkage
        kappa of `misfit.py`; None chooses it by cross-validation on the cells seen.
    capacity_of_load
        Whether capacities are multiples of the observed loads; see `days_of`.
    loss
        Of what the squares are that a fit makes least: "shares", weighted by demand, or "flows".
    half_life
        Days after which a day counts half; None counts all alike.
    robust
        Whether days unlike the others count less.
    baselines
        Names of what to compare with, of `BASELINES`.
    draws
        Bootstrap draws for intervals; 0 for none.
    profile
        Whether to look for the best price, and for all that the data do not tell from the fit; their best prices are
        found where there are draws.
    seed
        Of draws, folds, baselines and the profile's resamplings.
    elasticity
        Own-price elasticity of the leader's providers, of all where there is no leader, known from elsewhere, with its
        standard error.
    pool
        Other markets whose response to price is shared, in place of an elasticity.
    """

    specification: Specification | None = field(default_factory=Specification)
    shrinkage: float | None = None
    capacity_of_load: bool = False
    loss: Loss = "shares"
    half_life: float | None = None
    robust: bool = False
    baselines: Sequence[str] = ("independence",)
    draws: int = 0
    profile: bool = False
    seed: int = 0
    elasticity: tuple[float, float] | None = None
    pool: Sequence[Observations] = ()


@dataclass(frozen=True, eq=False)
class Earlier:
    """A fit to start from, when a day has come in: its preferences and shrinkage."""

    preferences: Preferences
    shrinkage: float


def fit_and_judge(
    observations: Observations,
    options: Options | None = None,
    *,
    held_out: Mask | None = None,
    holdout: str = "",
    earlier: Earlier | None = None,
) -> Calibration:
    """Fit preferences to the cells that are not held out, and judge them.

    Parameters
    ----------
    held_out
        Shape (T, n, m), from `holdout.py`; None holds out nothing.
    holdout
        What is held out, in words.
    earlier
        Start from these preferences, and keep their shrinkage unless another is asked for: no other start is tried.

    Raises
    ------
    ObservationsError
        When a group or an option does not go with the observations.
    UnavailableError
        When a baseline needs a package that is missing.
    KeyboardInterrupt
        When it comes before any preferences were tried; later, what is left is skipped.
    """
    options = options or Options()
    held = np.zeros(observations.flow.shape, dtype=bool) if held_out is None else held_out & observations.cells
    days = days_of(observations, observations.cells & ~held, capacity_of_load=options.capacity_of_load)
    began = time.process_time()
    cut_short, choice = False, None
    try:
        fit, choice = _fit(observations, days, options, earlier)
    except CutShortError as stop:
        fit, cut_short = stop.fit, True
    flow = predicted_flows(fit.preferences, days)
    scored = {OURS: _scored(days, held, flow, time.process_time() - began)}
    intervals: Intervals | None = None
    unpriced: Fit | None = None
    best: Result | None = None
    profiled: Profile | None = None
    interrupted = cut_short
    try:
        if options.profile and not cut_short:
            best = best_price(fit.preferences, observations)
            profiled = _profile(fit, observations, best if options.draws else None, options.seed)
        for name in () if cut_short else options.baselines:
            _log.info("baseline %s", name)
            scored[name] = _baseline(name, observations, days, held, fit.weight, options.seed)
        if options.draws and not cut_short:
            intervals = bootstrap(fit, options.draws, options.seed)
        if fit.parameters.specification.own and not cut_short:
            unpriced = without_price(fit)
    except KeyboardInterrupt:
        interrupted = True
    identified = identifiability(fit)
    own = None if profiled is None else profiled.own
    return Calibration(
        observations=observations,
        fit=fit,
        choice=choice,
        held_out=held,
        holdout=holdout,
        flow=flow,
        scores=scored,
        intervals=intervals,
        identifiability=identified,
        elasticity=own_price_elasticities(fit.preferences, days),
        findings=(_UNFINISHED,) * cut_short
        + findings(observations, fit, scored, intervals, identified, unpriced, own, best, choice),
        profile=profiled,
        best=best,
        interrupted=interrupted,
    )


def _fit(
    observations: Observations, days: Days, options: Options, earlier: Earlier | None
) -> tuple[Fit, ShrinkageChoice | None]:
    known, users, providers = _known(observations, days, options), observations.user_ids, observations.provider_ids
    weight = by_share(days) if options.loss == "shares" else np.ones(days.demand.shape)
    if options.half_life is not None:
        weight = weight * decayed(observations, days, options.half_life)
    specification, shrinkage, choice = options.specification, options.shrinkage, None
    if earlier is not None:
        shrinkage = earlier.shrinkage if shrinkage is None else shrinkage
        specification = specification or specification_of(earlier.preferences)
    if shrinkage is None:
        choice = choose_shrinkage(
            observations,
            specification and replace(specification, families=observations.families),
            days.train,
            capacity_of_load=options.capacity_of_load,
            weight=weight,
            seed=options.seed,
        )
        specification, shrinkage = choice.specification, choice.shrinkage
    specification = replace(specification or Specification(), families=observations.families)
    parameters = parameters_of(specification, days, users, providers, observations.name)
    start = None if earlier is None else parameters.pack(aligned(earlier.preferences, users, providers))
    fit = fit_days(days, parameters, shrinkage, weight, start)
    fit = _robust(fit, weight) if options.robust else fit
    anchor = known and replace(known, noise=fit.noise)
    return (anchored_fit(fit, anchor, everywhere=earlier is None) if anchor else fit), choice


def _known(observations: Observations, days: Days, options: Options) -> Anchor | None:
    """The elasticity known from elsewhere, given or of the pool, where there is one."""
    if options.elasticity:
        return Anchor(priced(observations), *options.elasticity)
    if not options.pool:
        return None
    meant = priced(observations)
    others = [one for one in options.pool if one.name != observations.name]
    shared = response_of(observations, days.train, others)
    if shared is None:
        raise ObservationsError("pool", ["no price moves by 5 % or more: give other folders, or an elasticity"])
    found = own_elasticity(shared, days, meant)
    return Anchor(meant, found.estimate, found.error)


def _profile(fit: Fit, observations: Observations, best: Result | None, seed: int) -> Profile | None:
    """None where nothing is sold for a price, so that there is no elasticity."""
    if observations.free:
        return None
    return profile(fit, observations, priced(observations), best=best, seed=seed)


def priced(observations: Observations) -> tuple[int, ...]:
    """Positions of the providers whose elasticity is meant by one number: the leader's, all where there is none.

    Raises
    ------
    ObservationsError
        When none of them has a price > 0.
    """
    leader = observations.leader
    names = observations.provider_ids if leader is None else leader.providers
    places = tuple(observations.provider_ids.index(name) for name in names)
    if observations.free:
        what = "providers are free" if leader is None else f"{', '.join(names)}: free"
        raise ObservationsError("elasticity", [f"{what} on all days: without a price there is no elasticity"])
    return places


def _robust(fit: Fit, weight: Array) -> Fit:
    """Turns of weighing days by how far they are missed, and of fitting to the weights."""
    for _ in range(_ROBUST_ROUNDS):
        after = trusted(fit, weight)
        if np.abs(after - fit.weight).max() <= _SETTLED:
            break
        fit = fit_days(fit.days, fit.parameters, fit.shrinkage, after, start=fit.theta)
    return fit


def _baseline(name: str, observations: Observations, days: Days, held: Mask, weight: Array, seed: int) -> MethodScores:
    users, providers = observations.user_ids, observations.provider_ids
    began = time.process_time()
    try:
        flow = baseline_flows(name, days, users, providers, weight=weight, seed=seed)
    except NotApplicableError as refusal:
        return MethodScores(None, None, None, 0.0, str(refusal))
    return _scored(days, held, flow, time.process_time() - began)


def _scored(days: Days, held: Mask, flow: Array, seconds: float) -> MethodScores:
    return MethodScores(
        in_sample=scores(days.flow, flow, days.demand, days.train),
        held_out=scores(days.flow, flow, days.demand, held) if held.any() else None,
        held_out_rest=_rest_scores(days, held, flow),
        time_s=seconds,
    )


def _rest_scores(days: Days, held: Mask, flow: Array) -> Scores | None:
    part = held & days.train.any(axis=2, keepdims=True)
    if not part.any():
        return None
    return scores(days.flow, scaled_to_rest(days.flow, flow, days.demand, part), days.demand, part)


def scaled_to_rest(observed: Array, predicted: Array, demand: Array, held: Mask) -> Array:
    """Predictions of the cells held out, each user's scaled to what its other cells leave of its demand that day.

    Shapes (T, n, m), and (T, n) of `demand`; 0 at cells that are not held out. Where the predictions of a user sum to
    0, what is left is split evenly.
    """
    rest = demand - np.where(held, 0.0, observed).sum(axis=2)
    own = np.where(held, predicted, 0.0)
    total = own.sum(axis=2, keepdims=True)
    even = held / np.maximum(held.sum(axis=2, keepdims=True), 1)
    return np.asarray(rest[:, :, None] * np.where(total > 0, own / np.where(total > 0, total, 1.0), even))
