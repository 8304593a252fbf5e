"""Calibration: preferences with everything that says how far to trust them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or import __version__
from prillm_or.calibration.bootstrap import LEVEL, Intervals
from prillm_or.calibration.draw_files import DRAWS_NAME, write_draws
from prillm_or.calibration.draws import Draws, drawn_markets, open_markets
from prillm_or.calibration.fit import Fit
from prillm_or.calibration.identifiability import Identifiability
from prillm_or.calibration.noise import window_noise
from prillm_or.calibration.observations import Observations
from prillm_or.calibration.preferences import Preferences, market_with
from prillm_or.calibration.profile import Profile, decided
from prillm_or.calibration.scores import Scores
from prillm_or.calibration.shrinkage import ShrinkageChoice
from prillm_or.calibration.verdict import verdict
from prillm_or.errors import (
    CombinationError,
    PrillmError,
    argument,
    check_count,
    checked_list,
    checked_path,
    need_packages,
)
from prillm_or.files.markets import write_market
from prillm_or.market.fit_note import FITTED, MEASURES, FitNote
from prillm_or.market.market import Array, Market, Mask
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.tables import Part, Table
from prillm_or.result import Result

if TYPE_CHECKING:
    from pandas import DataFrame

FIT_FORMAT = "prillm-or/fit@1"

OURS = FITTED
"""Our name among the methods of a score table."""


@dataclass(frozen=True)
class MethodScores:
    """One method in a score table.

    Parameters
    ----------
    in_sample
        Over the cells seen.
    held_out
        Over the cells held out, None where there are none.
    held_out_rest
        The same once each user's predictions of a day are scaled to what its demand leaves for the cells held out,
        which whoever knows the demand can do; None where there are none or whole rows are held out, so that nothing
        is left to scale by.
    time_s
        Processor seconds.
    note
        Why there are no scores, where there are none.
    """

    in_sample: Scores | None
    held_out: Scores | None
    held_out_rest: Scores | None
    time_s: float
    note: str = ""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Calibration(Answer):
    """What `calibrate` found.

    Parameters
    ----------
    observations
        What was observed, held-out cells included.
    fit
        On the cells seen.
    choice
        How the shrinkage was chosen; None where it was given.
    held_out
        Shape (T, n, m): the cells held out; none of them where nothing is.
    holdout
        What was held out, in the words of the command line, or "".
    flow
        Shape (T, n, m): predicted flows, volume units.
    scores
        By method: `OURS` first, then the baselines.
    intervals
        None where no draws were asked for.
    elasticity
        Shape (m,): own-price elasticities; NaN without revenue.
    findings
        What a reader has to know, in plain words.
    profile
        Along what the data leave open; None where it was not asked for, or nothing is sold for a price.
    best
        The best price in the fitted market of the last day; None without a leader.
    tested
        The verdict of a backtest on price events, "" where none was given.
    interrupted
        Whether Ctrl-C came: baselines or draws are then missing, or the fit is not finished, as the first finding says.
    """

    observations: Observations
    fit: Fit
    choice: ShrinkageChoice | None
    held_out: Mask
    holdout: str
    flow: Array
    scores: Mapping[str, MethodScores]
    intervals: Intervals | None
    identifiability: Identifiability
    elasticity: Array
    findings: tuple[str, ...]
    profile: Profile | None = None
    best: Result | None = None
    tested: str = ""
    interrupted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order; what is not known is null."""
        preferences, observations = self.fit.preferences, self.observations
        ours, *others = self.scores.items()
        return {
            "format": FIT_FORMAT,
            "weights": {"price": 1.0, "congestion": preferences.congestion, "delay": preferences.delay},
            "values": dict(zip(preferences.provider_ids, preferences.value.tolist(), strict=True)),
            "users": _users(preferences),
            "groups": _groups(preferences),
            "dispersion": _dispersion(preferences),
            "user_values": _user_values(preferences),
            "intervals": _intervals(self),
            "scores": _method(ours[1]),
            "baselines": {name: _method(scored) for name, scored in others},
            "identifiability": {
                "singular_values": self.identifiability.singular_values.tolist(),
                "condition": self.identifiability.condition,
                "undetermined": [dict(direction) for direction in self.identifiability.undetermined],
                "at_most": list(self.identifiability.at_most),
                "at_least": list(self.identifiability.at_least),
            },
            "elasticities": {
                name: None if np.isnan(elasticity) else float(elasticity)
                for name, elasticity in zip(preferences.provider_ids, self.elasticity, strict=True)
            },
            **_profile(self.profile),
            "noise": self.noise,
            "shrinkage": self.fit.shrinkage,
            "holdout": self.holdout or None,
            "findings": list(self.findings),
            "name": observations.name,
            "units": asdict(observations.units),
            "days": observations.T,
            "observations": int(observations.cells.sum()),
            "version": __version__,
        }

    def to_frame(self) -> DataFrame:
        """A row for each provider: its value with its interval, and its own-price elasticity."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        ends = np.full((len(self.elasticity), 2), np.nan) if self.intervals is None else self.intervals.values
        columns = {"value": self.fit.preferences.value, "low": ends[:, 0], "high": ends[:, 1]}
        index = pd.Index(self.fit.preferences.provider_ids, name="provider")
        return pd.DataFrame(columns | {"elasticity": self.elasticity}, index=index)

    def parts(self, note: str = "") -> Iterator[Part]:
        """What providers are worth to users, how well that predicts, and what a reader has to know."""
        yield from self.verdict
        preferences, ends, units = self.fit.preferences, self.intervals, self.observations.units
        columns = ("provider", "value", f"{LEVEL:.0%} interval", "own-price elasticity")
        rows = [
            (
                name,
                figure(float(preferences.value[j]), 4),
                "-" if ends is None else f"{ends.values[j][0]:.4g} to {ends.values[j][1]:.4g}",
                "-" if np.isnan(self.elasticity[j]) else f"{self.elasticity[j]:.3g}",
            )
            for j, name in enumerate(preferences.provider_ids)
        ]
        title = f"{self.observations.name}{note}: values in {units.currency} per {units.volume}"
        yield Table(title, columns, rows, columns[1:])
        yield (
            f"weights: price 1, congestion {preferences.congestion:.5g}, delay {preferences.delay:.5g}; "
            f"shrinkage {self.fit.shrinkage:g}"
        )
        if preferences.dispersion:
            yield f"dispersion: {preferences.dispersion:.5g} {units.of_prices}"
        yield _score_table(self.scores)
        yield from (f"{name}: {scored.note}" for name, scored in self.scores.items() if scored.note)
        yield from (f"* {sentence}" for sentence in self.findings)

    def market(self, day: str | None = None) -> Market:
        """The fitted market of a day, the last one if None.

        Raises
        ------
        ObservationsError
            When there is no such day, or the observations name no leader.
        """
        seen = self.observations
        about = (
            f"Fitted by prillm-or calibrate to the flows of {seen.name}, {seen.days[0]} to {seen.days[-1]} "
            f"({seen.T} days, {int(self.fit.days.train.sum())} cells). From the observations: demand, price, capacity, "
            f"delay of the day. Fitted: weights and values. {' '.join(self.findings)}"
        )
        if seen.description:
            about += f" What was observed: {seen.description}"
        market = market_with(self.fit.preferences, seen, seen.days[-1] if day is None else day, about)
        note = FitNote(scores=self.noted_scores)
        if self.profile is not None:
            note = FitNote(self.profile.elasticity_range, self.profile.best_price_range, self.noted_scores)
        # Best prices are those of the last day's market.
        return replace(market, fit=note if day in (None, seen.days[-1]) else note.elsewhere())

    def draws(self, count: int | None = None, day: str | None = None) -> tuple[Market, ...]:
        """Markets of a day, the last one if None, in which users want what the bootstrap drew: the first `count`.

        Raises
        ------
        ArgumentError
            When `count` is no whole number >= 0.
        CombinationError
            When there are not so many.
        """
        if count is not None:
            check_count("count", count, 0)
        drawn = self._some_draws
        return drawn_markets(drawn, self.market(day), len(drawn.drawn) if count is None else count)

    def points(self, day: str | None = None) -> tuple[Market, ...]:
        """All markets of a day, the last one if None, among which the flows do not tell.

        Those of the draws, of the points of the profile, and of the fit itself.

        Raises
        ------
        CombinationError
            When there are no draws.
        """
        return open_markets(self._some_draws, self.market(day))

    def write(self, folder: str | os.PathLike[str], days: Sequence[str] = ()) -> list[str]:
        """Write fit.json, draws.json where there are draws, and the markets of some days; the names of the files.

        Raises
        ------
        PrillmError
            When one cannot be written, or a day has no market.
        """
        folder, days = checked_path("folder", folder), checked_list("days", days)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as failure:
            raise PrillmError(f"{folder}: cannot be made: {failure.strerror}") from None
        self.save(folder / "fit.json")
        names = ["fit.json"]
        if self._drawn is not None:
            write_draws(self._drawn, folder / DRAWS_NAME)
            names.append(DRAWS_NAME)
        for day in days:
            names.append(f"{self.observations.name}-{day}.json")
            write_market(self.market(day), folder / names[-1])
        return names

    @property
    def _some_draws(self) -> Draws:
        if self._drawn is None:
            raise CombinationError(f"{self.observations.name}: no draws; calibrate with {argument('draws', 200)}")
        return self._drawn

    @property
    def verdict(self) -> tuple[str, ...]:
        """What to do about the price, how sure that is, and why, in plain words; nothing without a profile."""
        return verdict(self)

    @property
    def noise(self) -> float | None:
        """How much the leader's load changes for no reason that the fit knows: see `noise.py`."""
        seen = self.observations
        leading = () if seen.leader is None else seen.leader.providers
        return window_noise(seen.flow, self.flow, [seen.provider_ids.index(name) for name in leading])

    @property
    def noted_scores(self) -> dict[str, dict[str, Any]]:
        """Scores as a market's file has them: R^2 of those who have any."""
        return noted(self.scores)

    @property
    def _drawn(self) -> Draws | None:
        if self.intervals is None:
            return None
        profile = () if self.profile is None else tuple(point.preferences for point in self.profile.open)
        return Draws(self.observations.name, self.fit.preferences, self.intervals.sample, profile)


def noted(scores: Mapping[str, MethodScores]) -> dict[str, dict[str, Any]]:
    """Scores as a market's file has them: R^2 of those who have any."""
    return {
        name: {
            part: None if found is None else {measure: getattr(found, measure) for measure in MEASURES}
            for part, found in (("in_sample", scored.in_sample), ("holdout", scored.held_out))
        }
        for name, scored in scores.items()
        if scored.in_sample is not None
    }


def _score_table(scores: Mapping[str, MethodScores]) -> Table:
    heads = (
        "method",
        *(f"{what} {where}" for what in ("R2", "R2 of shares", "MAE") for where in ("in sample", "held out")),
    )
    rows = [
        (
            name,
            *(
                figure(None if part is None else getattr(part, key), 3)
                for key in ("r2", "r2_shares", "mae")
                for part in (scored.in_sample, scored.held_out)
            ),
        )
        for name, scored in scores.items()
    ]
    return Table("scores", heads, rows, heads[1:], ranks=heads[2:3] + heads[1:2])


def _users(preferences: Preferences) -> dict[str, dict[str, Any]]:
    """Each user's own factors and its group; nothing where all want the same."""
    if preferences.common:
        return {}
    return {
        name: {
            "price": float(preferences.price_factor[i]),
            "congestion": float(preferences.congestion_factor[i]),
            "group": preferences.group_ids[preferences.group[i]],
        }
        for i, name in enumerate(preferences.user_ids)
    }


def _groups(preferences: Preferences) -> dict[str, dict[str, float]]:
    if not preferences.group_value.any():
        return {}
    return {
        name: dict(zip(preferences.provider_ids, beyond.tolist(), strict=True))
        for name, beyond in zip(preferences.group_ids, preferences.group_value, strict=True)
    }


def _user_values(preferences: Preferences) -> dict[str, dict[str, float]]:
    """What each user holds each provider to be worth, in place of `values`; nothing where none differs of its own."""
    if not preferences.user_value.any():
        return {}
    by_user = preferences.value_by_user.tolist()
    names = preferences.provider_ids
    return {user: dict(zip(names, own, strict=True)) for user, own in zip(preferences.user_ids, by_user, strict=True)}


def _dispersion(preferences: Preferences) -> dict[str, Any] | None:
    """The common one, and factors of users and of providers that differ; None where there is none."""
    if not preferences.dispersion:
        return None

    def named(names: Sequence[str], factors: Array) -> dict[str, float]:
        return dict(zip(names, factors.tolist(), strict=True)) if (factors != 1.0).any() else {}

    return {
        "common": preferences.dispersion,
        "users": named(preferences.user_ids, preferences.dispersion_factor),
        "providers": named(preferences.provider_ids, preferences.provider_dispersion),
    }


def _intervals(calibration: Calibration) -> dict[str, Any] | None:
    found = calibration.intervals
    if found is None:
        return None
    names = calibration.fit.preferences.provider_ids
    return {
        "level": LEVEL,
        "draws": found.draws,
        "drawn": found.drawn,
        "weights": {name: list(ends) for name, ends in found.weights.items()},
        "values": dict(zip(names, found.values.tolist(), strict=True)),
        "reference": names[found.reference],
    }


def _profile(profile: Profile | None) -> dict[str, Any]:
    """Columns of the points, and the ranges of the profile set; of one decision numbers, of several an object."""
    if profile is None:
        return {"profile": None, "best_price_range": None, "elasticity_range": None}
    results = [point.best for point in profile.points]
    decisions = [None if result is None else decided(result) for result in results]
    names = next((list(one) for one in decisions if one is not None), [""])
    best = {name: [None if one is None else one[name] for one in decisions] for name in names}
    ranges = profile.best_price_range
    return {
        "profile": {
            "elasticity": [point.elasticity for point in profile.points],
            "misfit": [point.misfit for point in profile.points],
            "best_price": _one_or_each(best),
            "profit": [None if result is None else result.profit for result in results],
            "logit_price": [point.logit_price for point in profile.points] if len(names) == 1 else None,
        },
        "best_price_range": ranges and _one_or_each({name: list(ends) for name, ends in ranges.items()}),
        "elasticity_range": list(profile.elasticity_range),
    }


def _one_or_each(by_decision: Mapping[str, list[Any]]) -> object:
    return next(iter(by_decision.values())) if len(by_decision) == 1 else by_decision


def _method(scored: MethodScores) -> dict[str, Any]:
    return {
        "in_sample": _scores(scored.in_sample),
        "holdout": _scores(scored.held_out),
        "holdout_rest": _scores(scored.held_out_rest),
        "time_s": scored.time_s,
        **({"note": scored.note} if scored.note else {}),
    }


def _scores(found: Scores | None) -> dict[str, Any] | None:
    return None if found is None else asdict(found)
