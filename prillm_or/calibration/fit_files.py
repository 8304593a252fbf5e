"""Fits as JSON: what `calibrate` found, and the preferences of an earlier one to start from."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ConfigDict, Field

from prillm_or import __version__
from prillm_or.errors import PrillmError
from prillm_or.files.documents import parse_json
from prillm_or.market.checks import check_fields
from prillm_or.market.faults import Faults
from prillm_or.market.schema import NonNegative, Part, Positive, Text

if TYPE_CHECKING:
    from prillm_or.calibration.calibration import Calibration, MethodScores
    from prillm_or.calibration.preferences import Preferences
    from prillm_or.calibration.procedure import Earlier
    from prillm_or.calibration.scores import Scores

FIT_FORMAT = "prillm-or/fit@1"


class FitError(PrillmError):
    """A file that does not hold a fit. Remedy: it names each field; give the fit.json of an earlier `calibrate`."""


class _Read(Part):
    """Fields beyond those that are needed are let through: a fit holds scores and more."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class _Weights(_Read):
    congestion: Positive
    delay: NonNegative


class _User(_Read):
    price: Positive = 1.0
    congestion: Positive = 1.0
    group: Text | None = None


class FitFile(_Read):
    """What of a fit.json a next fit starts from."""

    format: Literal["prillm-or/fit@1"]
    weights: _Weights
    values: dict[str, NonNegative] = Field(min_length=1)
    users: dict[str, _User] = Field(default_factory=dict)
    groups: dict[str, dict[str, float]] = Field(default_factory=dict)
    shrinkage: NonNegative = 0.0


def fit_to_json(calibration: Calibration) -> dict[str, Any]:
    """Give a calibration the fields of the file format, in its order; what is not known is null."""
    preferences, observations = calibration.fit.preferences, calibration.observations
    ours, *others = calibration.scores.items()
    return {
        "format": FIT_FORMAT,
        "weights": {"price": 1.0, "congestion": preferences.congestion, "delay": preferences.delay},
        "values": dict(zip(preferences.provider_ids, preferences.value.tolist(), strict=True)),
        "users": _users(preferences),
        "groups": _groups(preferences),
        "intervals": _intervals(calibration),
        "scores": _method(ours[1]),
        "baselines": {name: _method(scored) for name, scored in others},
        "identifiability": {
            "singular_values": calibration.identifiability.singular_values.tolist(),
            "condition": calibration.identifiability.condition,
            "undetermined": [dict(direction) for direction in calibration.identifiability.undetermined],
        },
        "elasticities": {
            name: None if np.isnan(elasticity) else float(elasticity)
            for name, elasticity in zip(preferences.provider_ids, calibration.elasticity, strict=True)
        },
        "shrinkage": calibration.fit.shrinkage,
        "holdout": calibration.holdout or None,
        "findings": list(calibration.findings),
        "name": observations.name,
        "units": asdict(observations.units),
        "days": observations.T,
        "observations": int(observations.cells.sum()),
        "version": __version__,
    }


def read_earlier(path: str | os.PathLike[str]) -> Earlier:
    """Read the preferences of a fit.json.

    Raises
    ------
    FitError
        When the file cannot be read or lacks what is needed; it lists every fault.
    """
    from prillm_or.calibration.preferences import Preferences
    from prillm_or.calibration.procedure import Earlier

    path, faults, parsed = Path(path), Faults(), None
    try:
        parsed = check_fields(FitFile, parse_json(path.read_bytes(), faults), faults)
    except (OSError, ValueError) as refusal:
        faults.add((), f"cannot be read: {refusal.strerror}" if isinstance(refusal, OSError) else str(refusal))
    if parsed is None or faults.lines():
        raise FitError("\n".join(f"{path}: {line}" for line in faults.lines()))
    users, values = parsed.users, np.array(list(parsed.values.values()))
    groups = tuple(parsed.groups) or ("everyone",)
    preferences = Preferences(
        user_ids=tuple(users),
        provider_ids=tuple(parsed.values),
        congestion=parsed.weights.congestion,
        delay=parsed.weights.delay,
        value=values - values.min(),
        price_factor=np.array([own.price for own in users.values()]),
        congestion_factor=np.array([own.congestion for own in users.values()]),
        group_ids=groups,
        group=np.array([groups.index(own.group) if own.group in groups else 0 for own in users.values()], np.intp),
        group_value=np.array([[parsed.groups.get(name, {}).get(j, 0.0) for j in parsed.values] for name in groups]),
    )
    return Earlier(preferences, parsed.shrinkage)


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


def _intervals(calibration: Calibration) -> dict[str, Any] | None:
    from prillm_or.calibration.bootstrap import LEVEL

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
