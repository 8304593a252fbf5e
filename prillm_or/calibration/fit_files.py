"""Fits read from JSON: the preferences of an earlier `calibrate`, to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from prillm_or.calibration.draw_files import DRAWS_NAME, read_draws
from prillm_or.calibration.draws import Draws
from prillm_or.errors import CombinationError, PrillmError, argument, checked_path
from prillm_or.files.documents import read_fields
from prillm_or.market.schema import NonNegative, Part, Positive, Text

if TYPE_CHECKING:
    from prillm_or.calibration.judged_fit import Earlier

FIT_NAME = "fit.json"


class FitError(PrillmError):
    """A file that does not hold a fit. Remedy: it names each field; give the fit.json of an earlier `calibrate`."""


class _Read(Part):
    """Fields beyond those that are needed are let through: a fit holds scores and more."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class _Weights(_Read):
    congestion: NonNegative
    delay: NonNegative


class _User(_Read):
    price: Positive = 1.0
    congestion: Positive = 1.0
    group: Text | None = None


class _Dispersion(_Read):
    common: Positive
    users: dict[str, Positive] = Field(default_factory=dict)
    providers: dict[str, Positive] = Field(default_factory=dict)


_Best = list[float | None]
_Ends = Annotated[tuple[float, float], Field(strict=False)]


class ProfileColumns(_Read):
    """The points of a profile, from the strongest response on; best prices by decision if there are several."""

    elasticity: list[float] = Field(min_length=1)
    misfit: list[float]
    best_price: _Best | dict[str, _Best]
    logit_price: _Best | None = None

    @model_validator(mode="after")
    def _as_long(self) -> Self:
        best = self.best_price.values() if isinstance(self.best_price, dict) else [self.best_price]
        logit = () if self.logit_price is None else (self.logit_price,)
        if {len(self.elasticity)} != {len(column) for column in (self.misfit, *best, *logit)}:
            raise ValueError("expected columns of one length")
        return self


class FitFile(_Read):
    """What of a fit.json a next fit starts from, or a page shows."""

    format: Literal["prillm-or/fit@1"]
    weights: _Weights
    values: dict[str, NonNegative] = Field(min_length=1)
    users: dict[str, _User] = Field(default_factory=dict)
    groups: dict[str, dict[str, float]] = Field(default_factory=dict)
    user_values: dict[str, dict[str, float]] = Field(default_factory=dict)
    dispersion: _Dispersion | None = None
    shrinkage: NonNegative = 0.0
    noise: Positive | None = None
    profile: ProfileColumns | None = None
    elasticity_range: _Ends | None = None
    best_price_range: _Ends | dict[str, _Ends] | None = None


def fit_path(place: str | os.PathLike[str]) -> Path:
    """The fit.json that a path names, itself or by its folder.

    Raises
    ------
    FitError
        When there is none.
    """
    path = Path(place)
    path = path / FIT_NAME if path.is_dir() else path
    if not path.is_file():
        raise FitError(f"{path}: there is no such file; give the {FIT_NAME} of a calibrate, or its folder")
    return path


def read_fit(path: str | os.PathLike[str]) -> FitFile:
    """Read a fit.json.

    Raises
    ------
    FitError
        When the file cannot be read or lacks what is needed; it lists every fault.
    """
    return read_fields(FitFile, path, FitError)


def read_fit_draws(place: str | os.PathLike[str]) -> Draws:
    """Read the draws beside a fit.json, or in its folder.

    Raises
    ------
    FitError, DrawsError
        When a file cannot be read, or breaks a rule of its format.
    CombinationError
        When there are no draws beside the fit.
    """
    path = fit_path(place)
    read_fit(path)
    beside = path.with_name(DRAWS_NAME)
    if not beside.is_file():
        raise CombinationError(
            f"{path}: no {DRAWS_NAME} beside it: it was moved, or fitted without draws; give the folder that calibrate "
            f"wrote, or calibrate again with {argument('draws', 200)}"
        )
    return read_draws(beside)


def read_earlier(path: str | os.PathLike[str]) -> Earlier:
    """Read the preferences of a fit.json.

    Raises
    ------
    FitError
        As of `read_fit`.
    """
    from prillm_or.calibration.judged_fit import Earlier
    from prillm_or.calibration.preferences import EVERYONE, Preferences

    parsed = read_fit(checked_path("warm", path))
    users, values = parsed.users, np.array(list(parsed.values.values()))
    groups, tastes = tuple(parsed.groups) or (EVERYONE,), parsed.dispersion
    beyond = np.array([[parsed.groups.get(name, {}).get(j, 0.0) for j in parsed.values] for name in groups])
    group = np.array([groups.index(own.group) if own.group in groups else 0 for own in users.values()], np.intp)
    shared = values - values.min() + beyond[group]
    told = [[parsed.user_values.get(name, {}).get(j, np.nan) for j in parsed.values] for name in users]
    preferences = Preferences(
        user_ids=tuple(users),
        provider_ids=tuple(parsed.values),
        congestion=parsed.weights.congestion,
        delay=parsed.weights.delay,
        value=values - values.min(),
        price_factor=np.array([own.price for own in users.values()]),
        congestion_factor=np.array([own.congestion for own in users.values()]),
        group_ids=groups,
        group=group,
        group_value=beyond,
        user_value=np.nan_to_num(np.array(told).reshape(shared.shape) - shared),
        dispersion=tastes.common if tastes else 0.0,
        dispersion_factor=np.array([tastes.users.get(name, 1.0) if tastes else 1.0 for name in users]),
        provider_dispersion=np.array([tastes.providers.get(name, 1.0) if tastes else 1.0 for name in parsed.values]),
    )
    return Earlier(preferences, parsed.shrinkage)
