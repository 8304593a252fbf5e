"""Market files: read with every refusal at once, written whole or not at all."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import ArgumentError, MarketError, PrillmError, argument, checked_path, checked_text
from prillm_or.files.delay_files import DelayFiles
from prillm_or.files.documents import laid_out, parse_json
from prillm_or.files.names import find
from prillm_or.files.reading import read_content
from prillm_or.market.decisions import COMPONENTS, Decision, decisions_of
from prillm_or.market.faults import Faults
from prillm_or.market.fit_note import FitNote
from prillm_or.market.links import check_links
from prillm_or.market.market import MARKET_FORMAT, Array, Market, Units, by_provider, own_weights
from prillm_or.output.saving import replace_file

if TYPE_CHECKING:
    from prillm_or.market.schema import FitFields, MarketFields

INLINE_DELAYS = 10**6
"""Largest number of delays written into the market file itself."""


@dataclass(frozen=True)
class MarketFile:
    """A market and the file it came from.

    Parameters
    ----------
    sha256
        Of the uncompressed JSON bytes, followed by those of the .npy file where there is one.
    read_s
        Seconds that reading took.
    """

    market: Market
    sha256: str
    path: Path
    read_s: float = 0.0


AnyMarket = Market | MarketFile | str | os.PathLike[str]
"""A market as one may name it: itself, with its file, the path of a file, or the name of a shipped one."""


def load(name: str | os.PathLike[str]) -> Market:
    """Read a market by the name of a shipped one, such as `coding-13` or `tiny/kink`, or by the path of a file.

    Raises
    ------
    ArgumentError
        When it is neither a name nor a path.
    UnknownNameError
        When no shipped market has the name; it lists the nearest.
    MarketError
        When the file cannot be read or breaks a rule of the format; it lists every fault.
    """
    return read_market(find("instances", checked_text("name", name))).market


def as_market(given: AnyMarket, name: str = "market") -> Market:
    """The market that is meant by the argument `name`; see `load` for names and paths.

    Raises
    ------
    ArgumentError
        When it is nothing of the kind.
    """
    return opened(given, name)[0]


def opened(given: AnyMarket, name: str = "market") -> tuple[Market, MarketFile | None]:
    """The market that is meant, and its file where it has one; see `as_market`."""
    if isinstance(given, Market):
        return given, None
    if isinstance(given, (str, os.PathLike)):
        given = read_market(find("instances", os.fspath(given)))
    if not isinstance(given, MarketFile):
        raise ArgumentError(
            f"{argument(name)}: expected a Market, the path of a file or a name, got {type(given).__name__}"
        )
    return given.market, given


def read_market(path: str | os.PathLike[str]) -> MarketFile:
    """Read a market file, `.json` or `.json.gz`.

    Raises
    ------
    MarketError
        When the file cannot be read or breaks a rule of the format; it lists every fault with the path of its field.
    """
    began = time.perf_counter()
    path, fields, delays, sha256 = checked_fields(path, whole=True)
    assert not isinstance(delays, DelayFiles)
    try:
        market = Market(**fields, delay=delays)
    except MarketError as refusal:
        raise MarketError(str(path), refusal.problems) from None
    return MarketFile(market, sha256, path, time.perf_counter() - began)


def checked_fields(
    path: str | os.PathLike[str], *, whole: bool
) -> tuple[Path, dict[str, Any], Array | DelayFiles, str]:
    """A market file's path, what it says by the names of `Market`, its delays, and the digest of all.

    Parameters
    ----------
    whole
        Whether delays in files are read and checked; otherwise they stay there.

    Raises
    ------
    MarketError
        See `read_market`.
    """
    # pydantic takes longer to import than to check a market, and a market made of arrays needs none of it.
    from prillm_or.files.delays import check_delays, find_delays
    from prillm_or.market.fields import check_fields
    from prillm_or.market.schema import MarketFields

    path = checked_path("path", path)
    faults = Faults()
    try:
        content = read_content(path)
        document = parse_json(content, faults)
    except ValueError as refusal:
        raise MarketError(str(path), [str(refusal)]) from None
    parsed = check_fields(MarketFields, document, faults)
    check_links(document, faults)
    delays: Array | DelayFiles | None = None
    files: DelayFiles | None = None
    if isinstance(document, dict) and "delays" in document:
        shape = (_length(document.get("users")), _length(document.get("providers")))
        asked = (document["delays"], shape, path.parent, faults)
        if whole:
            delays, files = check_delays(*asked)
        else:
            delays = find_delays(*asked)
            files = delays if isinstance(delays, DelayFiles) else None
    if parsed is None or delays is None or faults.lines():
        raise MarketError(str(path), faults.lines())
    sha256 = hashlib.sha256(content)
    if files is not None:
        files.add_to(sha256)
    try:
        return path, _fields(parsed), delays, sha256.hexdigest()
    except MarketError as refusal:
        raise MarketError(str(path), refusal.problems) from None


def write_market(market: AnyMarket, path: str | os.PathLike[str]) -> None:
    """Write a market file; more than a million delays go to an .npy file beside it.

    The same market gives the same bytes, and a reader never sees half a file.

    Raises
    ------
    PrillmError
        When the name does not end in .json or .json.gz, the file cannot be written, or decisions of the market are
        held, for which it has no place.
    """
    market, path = as_market(market), checked_path("path", path)
    if market.held:
        raise PrillmError(f"{market.name}: decisions are held, {', '.join(market.held)}: a market file cannot say so")
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    if not path.name.endswith((".json", ".json.gz")):
        raise PrillmError(f"{path}: expected a name that ends in .json or .json.gz")
    delays: object = market.delay.tolist()
    if market.delay.size > INLINE_DELAYS:
        beside = path.with_name(f"{stem}.delays.npy")
        stream = io.BytesIO()
        np.save(stream, market.delay, allow_pickle=False)
        replace_file(beside, stream.getvalue())
        # Killed before the next file is written, this one lies beside an old one, which must not take it for its own.
        delays = {"npy": beside.name, "sha256": hashlib.sha256(stream.getvalue()).hexdigest()}
    content = laid_out(_to_document(market, delays)).encode()
    # No time stamp, so that the same market gives the same bytes.
    replace_file(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _length(items: object) -> int | None:
    return len(items) if isinstance(items, list) and items else None


def _fields(parsed: MarketFields) -> dict[str, Any]:
    """What a file says of a market, but for its delays, by the names of `Market`."""
    ids, components = tuple(provider.id for provider in parsed.providers), tuple(parsed.components)
    leader = tuple(ids.index(name) for name in parsed.leader.providers)
    decides = given if isinstance(given := parsed.leader.decides, str) else tuple(given)
    decisions = decisions_of(leader, ids, components, decides)
    return dict(
        name=parsed.name,
        user_ids=tuple(user.id for user in parsed.users),
        provider_ids=ids,
        demand=np.array([user.demand for user in parsed.users]),
        price=_table([provider.price for provider in parsed.providers], components),
        capacity=np.array([provider.capacity for provider in parsed.providers]),
        value=np.array([provider.value for provider in parsed.providers]),
        user_values=_own_values(parsed, ids),
        unit_cost=_table([provider.unit_cost for provider in parsed.providers], components),
        price_weight=_weights(parsed, "price"),
        congestion_weight=_weights(parsed, "congestion"),
        delay_weight=_weights(parsed, "delay"),
        count=np.array([user.count for user in parsed.users]),
        dispersion=np.array([parsed.dispersion if math.isnan(u.dispersion) else u.dispersion for u in parsed.users]),
        provider_dispersion=np.array([provider.dispersion for provider in parsed.providers]),
        components=components,
        mix=np.array([[user.mix.get(c, 0.0) for c in components] for user in parsed.users]),
        leader=leader,
        decides=decides,
        price_cap=np.array([cap_of(parsed.leader.price_cap, ids, components, each) for each in decisions]),
        units=Units(**parsed.units.model_dump()),
        description=parsed.description,
        fit=None if parsed.fit is None else _note(parsed.fit, [decision.name for decision in decisions]),
    )


def _weights(parsed: MarketFields, key: str) -> Array:
    """A weight of each user, its own or the market's, shape (n,)."""
    usual, own = getattr(parsed.weights, key), (user.weights for user in parsed.users)
    return np.array([getattr(each, key) if key in each.model_fields_set else usual for each in own])


def _note(parsed: FitFields, names: Sequence[str]) -> FitNote:
    """What the file says of its fit; best prices are a pair of numbers where the leader decides one."""
    best = parsed.best_price_range
    if isinstance(best, list):
        best = {names[0]: best} if len(names) == 1 else {"": best}
    if best is not None and not set(best) <= set(names):
        raise MarketError("fit", [f"fit.best_price_range: expected an object with names of {', '.join(names)}"])
    ends = parsed.elasticity_range
    return FitNote(
        elasticity_range=None if ends is None else (ends[0], ends[1]),
        best_price_range=None if best is None else {name: (own[0], own[1]) for name, own in best.items()},
        scores=parsed.scores,
    )


def _note_document(market: Market, note: FitNote) -> dict[str, Any]:
    best = {name: list(ends) for name, ends in (note.best_price_range or {}).items()}
    told: dict[str, Any] = {
        "elasticity_range": note.elasticity_range and list(note.elasticity_range),
        "best_price_range": next(iter(best.values())) if best and len(market.decisions) == 1 else best,
        "scores": note.scores,
    }
    return {key: value for key, value in told.items() if value}


def _table(given: Sequence[float | dict[str, float]], components: Sequence[str]) -> Array:
    """Prices or costs, shape (m,) or (m, C), each given by component or one for all; NaN where one is left out."""
    if not components:
        return np.array(given)
    rows = (each if isinstance(each, dict) else dict.fromkeys(components, each) for each in given)
    return np.array([[row.get(c, math.nan) for c in components] for row in rows])


def _own_values(parsed: MarketFields, ids: Sequence[str]) -> Array:
    """Values of users' own, shape (n, m), NaN where a user has none; empty where nobody has any."""
    if not any(user.values for user in parsed.users):
        return np.empty((0, 0))
    return np.array([[user.values.get(name, math.nan) for name in ids] for user in parsed.users])


def cap_of(caps: Any, ids: Sequence[str], components: Sequence[str], decision: Decision) -> float:
    """The cap of a decision in what a file holds: of all, of its provider, or of its component."""
    own = caps[ids[decision.provider]] if isinstance(caps, dict) else caps
    if decision.component is not None and isinstance(own, dict):
        own = own[components[decision.component]]
    return float(own)


def _to_document(market: Market, delays: object) -> dict[str, Any]:
    own = {key: weights.tolist() for key, weights in own_weights(market).items()}
    common = {key: _usual(weights) for key, weights in own.items()}
    dispersion = _usual(market.dispersion.tolist())
    return {
        "format": MARKET_FORMAT,
        "name": market.name,
        "description": market.description,
        **({} if market.units == Units() else {"units": dataclasses.asdict(market.units)}),
        "weights": common,
        **({"dispersion": dispersion} if dispersion else {}),
        **({"components": list(market.components)} if market.components else {}),
        "leader": {
            "providers": list(market.leader_ids),
            **({} if market.decides == COMPONENTS else {"decides": market.decides}),
            "price_cap": caps_document(
                market.decisions, market.price_cap.tolist(), market.provider_ids, market.components
            ),
        },
        "users": [
            _user(market, i, {key: own[key][i] for key in own if own[key][i] != common[key]}, dispersion)
            for i in range(market.n)
        ],
        "providers": [_provider(market, j) for j in range(market.m)],
        "delays": delays,
        **({} if market.fit is None else {"fit": _note_document(market, market.fit)}),
    }


def _usual(values: Sequence[float]) -> float:
    return Counter(values).most_common(1)[0][0]


def caps_document(
    decisions: Sequence[Decision], caps: Sequence[float], ids: Sequence[str], components: Sequence[str]
) -> float | dict[str, Any]:
    """One cap, where all are the same, or one for each of the leader's providers, or for what it decides of each."""
    own: dict[str, dict[str, float]] = {ids[decision.provider]: {} for decision in decisions}
    for decision, cap in zip(decisions, caps, strict=True):
        own[ids[decision.provider]]["" if decision.component is None else components[decision.component]] = cap
    return caps[0] if len(set(caps)) == 1 else {name: _one_or_each(each) for name, each in own.items()}


def _one_or_each(values: dict[str, float]) -> float | dict[str, float]:
    """One number where all are the same."""
    return values if len(set(values.values())) > 1 else next(iter(values.values()))


def _user(market: Market, i: int, weights: dict[str, float], dispersion: float) -> dict[str, Any]:
    count, own = market.count[i].item(), market.dispersion[i].item()
    values = by_provider(market, market.user_values[i]) if market.user_values.size else {}
    fields = {
        "mix": dict(zip(market.components, market.mix[i].tolist(), strict=True)),
        "count": int(count) if count != 1 else None,
        "dispersion": own if own != dispersion else None,
        "values": {name: value for name, value in values.items() if not math.isnan(value)},
        "weights": weights,
    }
    told = {key: value for key, value in fields.items() if value not in (None, {})}
    return {"id": market.user_ids[i], "demand": market.demand[i].item()} | told


def _provider(market: Market, j: int) -> dict[str, Any]:
    dispersion = market.provider_dispersion[j].item()
    return {
        "id": market.provider_ids[j],
        **_listed(market, "price", j),
        **({"capacity": market.capacity[j].item()} if market.congested or (market.capacity != 1).any() else {}),
        "value": market.value[j].item(),
        **_listed(market, "unit_cost", j),
        **({} if dispersion == 1 else {"dispersion": dispersion}),
    }


def _listed(market: Market, name: str, j: int) -> dict[str, Any]:
    """A price or a cost, or a list of them; nothing where none is known."""
    numbers = np.atleast_1d(getattr(market, name)[j]).tolist()
    told = {c: x for c, x in zip(market.components or [""], numbers, strict=True) if not math.isnan(x)}
    if not told:
        return {}
    return {name: told if len(told) < len(numbers) else _one_or_each(told)}
