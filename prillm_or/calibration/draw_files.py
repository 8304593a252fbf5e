"""Draws as JSON: the preferences that a bootstrap drew, written beside the fit, read to price over them.

`{"format": "prillm-or/draws@1", "name", "users": [ids], "providers": [ids], "groups": {user: group},
"centre": {...}, "draws": [{...}, ...], "profile": [{...}, ...]}`, where the fitted preferences, each draw and each
point of the profile set are

`{"congestion", "delay", "values": [one for each provider], "price_factors": [one for each user],
"congestion_factors": [one for each user], "group_values": {group: [one for each provider]}, "dispersion",
"dispersion_factors": [one for each user], "provider_dispersions": [one for each provider],
"user_values": {user: [one for each provider]}}`

in the meaning of `Preferences`; factors that are all 1, groups, their values, those of users (what they add to the
common ones), a dispersion of 0 and a profile without points are left out.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from prillm_or.calibration.draws import Draws, drawn_markets
from prillm_or.calibration.preferences import EVERYONE, Preferences
from prillm_or.errors import CombinationError, PrillmError, argument
from prillm_or.files.documents import parse_json
from prillm_or.files.markets import read_market
from prillm_or.files.reading import read_content
from prillm_or.market.checks import member, repeated
from prillm_or.market.faults import Faults, shown
from prillm_or.market.fields import check_fields
from prillm_or.market.market import Array, Market
from prillm_or.market.schema import NonNegative, Part, Positive, Text
from prillm_or.output.saving import replace_file

DRAWS_FORMAT = "prillm-or/draws@1"
DRAWS_NAME = "draws.json"


class DrawsError(PrillmError):
    """A file that does not hold draws. Remedy: it names each field; give the draws.json of a `calibrate`."""


class _Drawn(Part):
    congestion: NonNegative
    delay: NonNegative
    values: list[float]
    price_factors: list[Positive] | None = None
    congestion_factors: list[Positive] | None = None
    dispersion: NonNegative = 0.0
    dispersion_factors: list[Positive] | None = None
    provider_dispersions: list[Positive] | None = None
    user_values: dict[Text, list[float]] = Field(default_factory=dict)
    group_values: dict[Text, list[float]] = Field(default_factory=dict)


class _DrawsFile(Part):
    format: Literal["prillm-or/draws@1"]
    name: Text
    users: list[Text] = Field(min_length=1)
    providers: list[Text] = Field(min_length=1)
    groups: dict[Text, Text] = Field(default_factory=dict)
    centre: _Drawn
    draws: list[_Drawn] = Field(min_length=1)
    profile: list[_Drawn] = Field(default_factory=list)


def write_draws(draws: Draws, path: str | os.PathLike[str]) -> None:
    """Write draws, one a line, whole or not at all.

    Raises
    ------
    PrillmError
        When the file cannot be written.
    """
    centre = draws.centre
    grouped = any(preferences.group_value.any() for preferences in (centre, *draws.drawn, *draws.profile))
    head: dict[str, object] = {
        "format": DRAWS_FORMAT,
        "name": draws.name,
        "users": centre.user_ids,
        "providers": centre.provider_ids,
    }
    if grouped:
        named = zip(centre.user_ids, centre.group, strict=True)
        head["groups"] = {user: centre.group_ids[group] for user, group in named}
    lines = [f"  {_text(key)}: {_text(value)}" for key, value in head.items()]
    lines.append(f'  "centre": {_text(_document(centre, grouped))}')
    for key, several in (("draws", draws.drawn), ("profile", draws.profile)):
        if several:
            listed = ",\n".join(f"    {_text(_document(preferences, grouped))}" for preferences in several)
            lines.append(f"  {_text(key)}: [\n{listed}\n  ]")
    replace_file(Path(path), ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_draws(path: str | os.PathLike[str]) -> Draws:
    """Read the draws of a calibration.

    Raises
    ------
    DrawsError
        When the file cannot be read or breaks a rule of the format; it lists every fault.
    """
    path, faults, parsed = Path(path), Faults(), None
    try:
        document = parse_json(read_content(path), faults)
        if (named := member(document, "format")) != DRAWS_FORMAT:
            faults.add(("format",), f"expected {shown(DRAWS_FORMAT)}, got {shown(named)}")
        else:
            parsed = check_fields(_DrawsFile, document, faults)
    except ValueError as refusal:
        faults.add((), str(refusal))
    if parsed is not None:
        _check_sizes(parsed, faults)
    if parsed is None or faults.lines():
        raise DrawsError("\n".join(f"{path}: {line}" for line in faults.lines()))
    groups = tuple(parsed.centre.group_values) or (EVERYONE,)
    drawn, profile = (tuple(_preferences(parsed, one, groups) for one in few) for few in (parsed.draws, parsed.profile))
    return Draws(parsed.name, _preferences(parsed, parsed.centre, groups), drawn, profile)


def load_draws(place: str | os.PathLike[str], market: Market, count: int | None = None) -> tuple[Market, ...]:
    """Markets of which each may be the right one: draws of a fit of the market, or the market files of a folder.

    Parameters
    ----------
    place
        The draws.json of a calibration, or a folder of markets.
    market
        The market that was fitted; see `drawn_markets`.
    count
        How many, the first ones; None for all.

    Raises
    ------
    PrillmError
        When a file cannot be read, there are too few, or they are draws of another fit.
    """
    place = Path(place)
    if not place.is_dir():
        draws = read_draws(place)
        return drawn_markets(draws, market, len(draws.drawn) if count is None else count)
    if (place / DRAWS_NAME).is_file():
        raise CombinationError(
            f"{argument('draws', str(place))}: the folder of a calibration; give {place / DRAWS_NAME}"
        )
    files = sorted(path for path in place.iterdir() if path.name.endswith((".json", ".json.gz")))
    if len(files) < (count or 0):
        raise CombinationError(f"{place}: {count} draws wanted, it holds {len(files)} markets; take so many")
    return tuple(read_market(path).market for path in files[:count])


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _document(preferences: Preferences, grouped: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "congestion": preferences.congestion,
        "delay": preferences.delay,
        "values": preferences.value.tolist(),
    }
    for key, factor in (
        ("price_factors", preferences.price_factor),
        ("congestion_factors", preferences.congestion_factor),
        ("dispersion_factors", preferences.dispersion_factor),
        ("provider_dispersions", preferences.provider_dispersion),
    ):
        if (factor != 1.0).any():
            document[key] = factor.tolist()
    if preferences.dispersion:
        document["dispersion"] = preferences.dispersion
    if preferences.user_value.any():
        document["user_values"] = dict(zip(preferences.user_ids, preferences.user_value.tolist(), strict=True))
    if grouped:
        document["group_values"] = dict(zip(preferences.group_ids, preferences.group_value.tolist(), strict=True))
    return document


def _check_sizes(parsed: _DrawsFile, faults: Faults) -> None:
    for key in ("users", "providers"):
        numbered = dict(enumerate(getattr(parsed, key)))
        faults.add_all((((key, i), what) for i, what in repeated(numbered, key)), key, "repeated")
    groups = list(parsed.centre.group_values)
    if set(parsed.groups) != set(parsed.users if groups else ()) or not set(parsed.groups.values()) <= set(groups):
        faults.add(("groups",), "expected for each user one of the groups of centre.group_values")
    sizes = {"values": parsed.providers, "provider_dispersions": parsed.providers}
    sizes |= {f"{kind}_factors": parsed.users for kind in ("price", "congestion", "dispersion")}
    listed = [((key, k), one) for key in ("draws", "profile") for k, one in enumerate(getattr(parsed, key))]
    for where, drawn in ((("centre",), parsed.centre), *listed):
        for key, names in sizes.items():
            numbers = getattr(drawn, key)
            if numbers is not None and len(numbers) != len(names):
                faults.add((*where, key), f"expected {len(names)} numbers, got {len(numbers)}", key, "size")
        if not set(drawn.user_values) <= set(parsed.users):
            faults.add((*where, "user_values"), "expected names of users", "users")
        elif any(len(numbers) != len(parsed.providers) for numbers in drawn.user_values.values()):
            faults.add((*where, "user_values"), f"expected {len(parsed.providers)} numbers for each", "users", "size")
        if list(drawn.group_values) != groups:
            faults.add((*where, "group_values"), "expected the groups of centre.group_values", "groups")
        elif any(len(numbers) != len(parsed.providers) for numbers in drawn.group_values.values()):
            faults.add((*where, "group_values"), f"expected {len(parsed.providers)} numbers for each", "groups", "size")


def _preferences(parsed: _DrawsFile, drawn: _Drawn, groups: tuple[str, ...]) -> Preferences:
    n, m = len(parsed.users), len(parsed.providers)

    def factor(own: list[float] | None) -> Array:
        return np.ones(n) if own is None else np.array(own)

    return Preferences(
        user_ids=tuple(parsed.users),
        provider_ids=tuple(parsed.providers),
        congestion=drawn.congestion,
        delay=drawn.delay,
        value=np.array(drawn.values),
        price_factor=factor(drawn.price_factors),
        congestion_factor=factor(drawn.congestion_factors),
        group_ids=groups,
        group=np.array([groups.index(parsed.groups[user]) if parsed.groups else 0 for user in parsed.users], np.intp),
        group_value=np.array([drawn.group_values.get(name, [0.0] * m) for name in groups]),
        user_value=np.array([drawn.user_values.get(name, [0.0] * m) for name in parsed.users]),
        dispersion=drawn.dispersion,
        dispersion_factor=factor(drawn.dispersion_factors),
        provider_dispersion=np.ones(m) if drawn.provider_dispersions is None else np.array(drawn.provider_dispersions),
    )
