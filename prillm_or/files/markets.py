"""Market files: read with every refusal at once, written whole or not at all."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import math
import os
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from prillm_or.errors import MarketError, PrillmError
from prillm_or.files.atomic import replace_file
from prillm_or.files.checks import check_fields, check_links
from prillm_or.files.delays import check_delays
from prillm_or.files.faults import Faults, Where
from prillm_or.files.schema import FORMAT, MarketFile
from prillm_or.market import Array, Market, Units

INLINE_DELAYS = 10**6
"""Largest number of delays written into the market file itself."""


@dataclass(frozen=True)
class Instance:
    """A market and the file it came from.

    Parameters
    ----------
    sha256
        Of the uncompressed JSON bytes, followed by those of the .npy file where there is one.
    """

    market: Market
    sha256: str
    path: Path


def read_market(path: str | os.PathLike[str]) -> Instance:
    """Read a market file, `.json` or `.json.gz`.

    Raises
    ------
    MarketError
        When the file cannot be read or breaks a rule of the format; it lists every fault with the path of its field.
    """
    path = Path(path)
    content = _content(path)
    faults = Faults()
    document = _document(path, content, faults)
    parsed = check_fields(MarketFile, document, faults)
    check_links(document, faults)
    delays, beside = None, b""
    if isinstance(document, dict) and "delays" in document:
        shape = (_length(document.get("users")), _length(document.get("providers")))
        delays, beside = check_delays(document["delays"], shape, path.parent, faults)
    if parsed is None or delays is None or faults.lines():
        raise MarketError(str(path), faults.lines())
    sha256 = hashlib.sha256(content)
    sha256.update(beside)
    return Instance(_market(parsed, delays), sha256.hexdigest(), path)


def write_market(market: Market, path: str | os.PathLike[str]) -> None:
    """Write a market file; more than `INLINE_DELAYS` delays go to an .npy file beside it.

    The same market gives the same bytes, and a reader never sees half a file.

    Raises
    ------
    PrillmError
        When the name does not end in .json or .json.gz, or the file cannot be written.
    """
    path = Path(path)
    stem = path.name.removesuffix(".gz").removesuffix(".json")
    if not path.name.endswith((".json", ".json.gz")):
        raise PrillmError(f"{path}: expected a name that ends in .json or .json.gz")
    delays: object = market.delay.tolist()
    if market.delay.size > INLINE_DELAYS:
        beside = path.with_name(f"{stem}.delays.npy")
        stream = io.BytesIO()
        np.save(stream, market.delay, allow_pickle=False)
        replace_file(beside, stream.getvalue())
        delays = {"npy": beside.name}
    content = _laid_out(_to_document(market, delays)).encode()
    # No time stamp, so that the same market gives the same bytes.
    replace_file(path, gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise MarketError(str(path), ["a folder, not a file"])
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise MarketError(str(path), [f"cannot be read: {failure.strerror}"]) from None
    if not path.name.endswith(".gz"):
        if content.startswith(b"\x1f\x8b"):
            raise MarketError(str(path), ["is gzipped; give it a name that ends in .json.gz"])
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as failure:
        raise MarketError(str(path), [f"not a whole gzip file: {failure}"]) from None


def _document(path: Path, content: bytes, faults: Faults) -> object:
    repeats: list[tuple[dict[str, Any], str]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            repeats.extend((fields, key) for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return fields

    try:
        document: object = json.loads(content.decode(), object_pairs_hook=collect)
    except UnicodeDecodeError as failure:
        raise MarketError(str(path), [f"not UTF-8: byte {failure.start} cannot be decoded"]) from None
    except json.JSONDecodeError as failure:
        place = f"line {failure.lineno}, column {failure.colno}"
        raise MarketError(str(path), [f"not JSON: {failure.msg}: {place}"]) from None
    except RecursionError:
        raise MarketError(str(path), ["nested too deeply to be a market"]) from None
    except ValueError:
        raise MarketError(str(path), ["holds an integer too long to be a number of a market"]) from None
    if repeats:
        _note_repeats(document, repeats, faults)
    return document


def _note_repeats(document: object, repeats: list[tuple[dict[str, Any], str]], faults: Faults) -> None:
    """Name each repeated key by its path, found by looking for the objects that repeat one."""
    keys: dict[int, list[str]] = {}
    for fields, key in repeats:
        keys.setdefault(id(fields), []).append(key)
    waiting: list[tuple[Where, object]] = [((), document)]
    while waiting:
        where, data = waiting.pop()
        if isinstance(data, dict):
            for key in keys.get(id(data), []):
                faults.add((*where, key), "appears twice in its object; keep one", "repeated keys")
            waiting += [((*where, key), value) for key, value in data.items()]
        elif isinstance(data, list):
            waiting += [((*where, i), value) for i, value in enumerate(data)]


def _length(items: object) -> int | None:
    return len(items) if isinstance(items, list) and items else None


def _market(parsed: MarketFile, delays: Array) -> Market:
    ids = tuple(provider.id for provider in parsed.providers)
    leader = tuple(ids.index(name) for name in parsed.leader.providers)
    caps = parsed.leader.price_cap
    weights = [parsed.weights.model_copy(update=user.weights.model_dump(exclude_unset=True)) for user in parsed.users]
    return Market(
        name=parsed.name,
        user_ids=tuple(user.id for user in parsed.users),
        provider_ids=ids,
        demand=np.array([user.demand for user in parsed.users]),
        price=np.array([provider.price for provider in parsed.providers]),
        capacity=np.array([provider.capacity for provider in parsed.providers]),
        value=np.array([provider.value for provider in parsed.providers]),
        unit_cost=np.array([provider.unit_cost for provider in parsed.providers]),
        delay=delays,
        price_weight=np.array([own.price for own in weights]),
        congestion_weight=np.array([own.congestion for own in weights]),
        delay_weight=np.array([own.delay for own in weights]),
        leader=leader,
        price_cap=np.array([caps[ids[j]] if isinstance(caps, dict) else caps for j in leader]),
        units=Units(**parsed.units.model_dump()),
        description=parsed.description,
    )


def _to_document(market: Market, delays: object) -> dict[str, Any]:
    own = {
        "price": market.price_weight.tolist(),
        "congestion": market.congestion_weight.tolist(),
        "delay": market.delay_weight.tolist(),
    }
    common = {key: Counter(weights).most_common(1)[0][0] for key, weights in own.items()}
    caps = dict(zip(market.leader_ids, market.price_cap.tolist(), strict=True))
    return {
        "format": FORMAT,
        "name": market.name,
        "description": market.description,
        "units": dataclasses.asdict(market.units),
        "weights": common,
        "leader": {
            "providers": list(market.leader_ids),
            "price_cap": caps if len(set(caps.values())) > 1 else market.price_cap[0].item(),
        },
        "users": [
            _user(name, market.demand[i].item(), {key: own[key][i] for key in own if own[key][i] != common[key]})
            for i, name in enumerate(market.user_ids)
        ],
        "providers": [_provider(market, j) for j in range(market.m)],
        "delays": delays,
    }


def _user(name: str, demand: float, weights: dict[str, float]) -> dict[str, Any]:
    return {"id": name, "demand": demand} | ({"weights": weights} if weights else {})


def _provider(market: Market, j: int) -> dict[str, Any]:
    price = market.price[j].item()
    return {
        "id": market.provider_ids[j],
        **({} if math.isnan(price) else {"price": price}),
        "capacity": market.capacity[j].item(),
        "value": market.value[j].item(),
        "unit_cost": market.unit_cost[j].item(),
    }


def _laid_out(document: Mapping[str, Any]) -> str:
    """JSON with a line for each field, and for each user, provider and row of delays."""
    fields = []
    for key, value in document.items():
        text = _compact(value)
        if isinstance(value, list):
            text = "[\n" + ",\n".join(f"    {_compact(item)}" for item in value) + "\n  ]"
        fields.append(f"  {_compact(key)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
