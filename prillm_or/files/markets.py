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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.errors import ArgumentError, MarketError, PrillmError, argument, checked_path, checked_text
from prillm_or.files.documents import laid_out, parse_json
from prillm_or.files.names import find
from prillm_or.files.reading import read_content
from prillm_or.market.checks import check_links
from prillm_or.market.faults import Faults
from prillm_or.market.market import MARKET_FORMAT, Array, Market, Units, by_leader, own_weights
from prillm_or.output.saving import replace_file

if TYPE_CHECKING:
    from prillm_or.market.schema import MarketFields

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
    # pydantic takes longer to import than to check a market, and a market made of arrays needs none of it.
    from prillm_or.files.delays import check_delays
    from prillm_or.market.fields import check_fields
    from prillm_or.market.schema import MarketFields

    began = time.perf_counter()
    path = checked_path("path", path)
    faults = Faults()
    try:
        content = read_content(path)
        document = parse_json(content, faults)
    except ValueError as refusal:
        raise MarketError(str(path), [str(refusal)]) from None
    parsed = check_fields(MarketFields, document, faults)
    check_links(document, faults)
    delays, beside = None, b""
    if isinstance(document, dict) and "delays" in document:
        shape = (_length(document.get("users")), _length(document.get("providers")))
        delays, beside = check_delays(document["delays"], shape, path.parent, faults)
    if parsed is None or delays is None or faults.lines():
        raise MarketError(str(path), faults.lines())
    sha256 = hashlib.sha256(content)
    sha256.update(beside)
    return MarketFile(_market(parsed, delays), sha256.hexdigest(), path, time.perf_counter() - began)


def write_market(market: AnyMarket, path: str | os.PathLike[str]) -> None:
    """Write a market file; more than a million delays go to an .npy file beside it.

    The same market gives the same bytes, and a reader never sees half a file.

    Raises
    ------
    PrillmError
        When the name does not end in .json or .json.gz, or the file cannot be written.
    """
    market, path = as_market(market), checked_path("path", path)
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


def _market(parsed: MarketFields, delays: Array) -> Market:
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
    own = {key: weights.tolist() for key, weights in own_weights(market).items()}
    common = {key: Counter(weights).most_common(1)[0][0] for key, weights in own.items()}
    caps = by_leader(market, market.price_cap)
    return {
        "format": MARKET_FORMAT,
        "name": market.name,
        "description": market.description,
        **({} if market.units == Units() else {"units": dataclasses.asdict(market.units)}),
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
