"""The table of the litellm project: a JSON object of services by id, prices in USD per token.

A price is a field such as `cache_read_input_token_cost_above_272k_tokens_priority`: what is billed, how long a request
is, how it is served.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal

from prillm_or.market.checks import entries, member
from prillm_or.market.faults import Faults, Where, shown
from prillm_or.prices.components import PER, TOKENS
from prillm_or.prices.price_list import Condition, PriceList, lists_of, not_kept, read_price, whole

_COMPONENTS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "cache_write_12h",
    "explicit_cache_read_input_token_cost": "cached_explicit",
    "output_cost_per_reasoning_token": "reasoning",
    "citation_cost_per_token": "citation",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "cache_read_input_audio_token_cost": "cached_audio",
    "cache_creation_input_audio_token_cost": "cache_write_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "cache_read_input_image_token_cost": "cached_image",
    "input_cost_per_video_token": "input_video",
    "output_cost_per_video_token": "output_video",
    "input_cost_per_request": "requests",
    "google_maps_grounding_cost_per_query": "map_searches",
    "input_cost_per_image": "images_read",
    "output_cost_per_image": "images_made",
    "search_context_cost_per_query": "searches",
    "search_context_size_low": "searches_low",
    "search_context_size_medium": "searches_medium",
    "search_context_size_high": "searches_high",
}
_TIERS = {"batches": "batch"}
"""Tiers that the table calls otherwise than we."""

_FACTORS = {
    "regional_endpoint_uplift_multiplier": "regional",
    "regional_processing_uplift_multiplier_eu": "eu",
    "regional_processing_uplift_multiplier_us": "us",
}
"""Fields of factors on the prices of tokens, and the tiers they make."""

_MORE_FACTORS = "provider_specific_entry"
_SEARCHES, _BANDS, _OFF_PEAK = "search_context_cost_per_query", "tiered_pricing", "off_peak_pricing"
_ABOVE = re.compile(r"_above_(\d+)k_tokens")
_MONEY = re.compile("cost|pric|multiplier|free_requests")
_SAID_TWICE = re.compile("input_cost_per_token_cache_hit$|dbu_cost_per_token$|_billing_unit$")
"""Fields that repeat others: an old name, and prices in another currency."""


def litellm_rows(document: object) -> dict[str, object]:
    """Services by id; none of another document."""
    if not isinstance(document, dict) or not any(member(row, "litellm_provider") for row in document.values()):
        return {}
    return {name: row for name, row in document.items() if name != "sample_spec"}


def read_litellm(name: str, row: object, faults: Faults) -> dict[str, PriceList]:
    """Price lists of a service, by id."""
    if not isinstance(row, dict):
        faults.add((name,), f"expected an object, got {shown(row)}")
        return {}
    prices: dict[Condition, dict[str, Decimal]] = {Condition(): {}}
    for condition, component, price in _prices(name, row, faults):
        prices.setdefault(condition, {})[component] = price
    usual = prices[Condition()]
    for tier, factor in _factors(row).items():
        if (times := read_price(factor, (name, tier), faults, 1)) is not None:
            dearer = {
                component: much
                for component, price in usual.items()
                if component in TOKENS and (much := read_price(str(price * times), (name, tier), faults, 1)) is not None
            }
            prices[Condition(tier)] = dearer | prices.get(Condition(tier), {})
    return lists_of(name, prices, list(_lost(name, row)))


def _prices(name: str, row: Mapping[str, object], faults: Faults) -> Iterator[tuple[Condition, str, Decimal]]:
    """Each price with its condition and its component."""
    for condition, where, fields in _parts(name, row):
        for field, value in fields.items():
            found = _meaning(field)
            if found is not None and value is not None:
                own, component = found
                if (price := read_price(value, (*where, field), faults, PER)) is not None:
                    yield Condition(own.tier or condition.tier, own.above or condition.above), component, price


def _parts(name: str, row: Mapping[str, object]) -> Iterator[tuple[Condition, Where, Mapping[str, object]]]:
    """The parts of a row that hold fields of prices: its own, those of longer requests, those of certain hours."""
    searches = row.get(_SEARCHES)
    sizes = isinstance(searches, dict)
    yield Condition(), (name,), {field: value for field, value in row.items() if not (sizes and field == _SEARCHES)}
    for k, band in enumerate(entries(row.get(_BANDS))):
        if isinstance(band, dict) and (above := _start(band)) is not None:
            yield Condition(above=above), (name, _BANDS, k), band
    if isinstance(off_peak := row.get(_OFF_PEAK), dict):
        yield Condition("off-peak"), (name, _OFF_PEAK), off_peak
    if isinstance(searches, dict):
        first = next(iter(searches.values()), None)
        alike = all(price == first for price in searches.values())
        yield Condition(), (name, _SEARCHES), {_SEARCHES: first} if alike else searches


def _start(band: object) -> int | None:
    """Length of request at which a band of prices begins."""
    return whole(next(iter(entries(member(band, "range"))), None))


def _meaning(field: str) -> tuple[Condition, str] | None:
    """The condition and the component of a field; None of one that is no price, or of what we have no name for."""
    length = _ABOVE.search(field)
    above = int(length[1]) * 1000 if length else 0
    bare = _ABOVE.sub("", field)
    if bare in _COMPONENTS:
        return Condition(above=above), _COMPONENTS[bare]
    start, _, tier = bare.rpartition("_")
    return (Condition(_TIERS.get(tier, tier), above), _COMPONENTS[start]) if start in _COMPONENTS else None


def _factors(row: Mapping[str, object]) -> dict[str, object]:
    """Factors on the prices of tokens, by tier."""
    more = row.get(_MORE_FACTORS)
    return {tier: row[field] for field, tier in _FACTORS.items() if field in row} | (
        dict(more) if isinstance(more, dict) else {}
    )


def _lost(name: str, row: Mapping[str, object]) -> Iterator[str]:
    """What speaks of money beyond prices by component and condition."""
    read = {*_FACTORS, _SEARCHES, _OFF_PEAK}
    for field, value in row.items():
        if field == _BANDS and all(_start(band) is not None for band in entries(value)):
            continue
        if _MONEY.search(field) and value and not (_meaning(field) or field in read or _SAID_TWICE.search(field)):
            yield not_kept((field,), value)
    if (windows := member(row.get(_OFF_PEAK), "windows")) is not None:
        yield not_kept((_OFF_PEAK, "windows"), windows)
    for _, where, fields in _parts(name, row):
        if len(where) > 1:  # the row's own are told above
            for field, value in fields.items():
                if (_MONEY.search(field) or where[-1] == _SEARCHES) and value and not _meaning(field):
                    yield not_kept((*where[1:], field), value)
