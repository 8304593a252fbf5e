"""The marketplace's tables: a model's endpoints, or all models, as its API gives them; prices in USD per token.

Prices are those after a promotion: a field `discount` says what it took off.
"""

from __future__ import annotations

from collections import Counter

from prillm_or.market.checks import entries, member
from prillm_or.market.faults import Faults, Where, shown
from prillm_or.prices.components import PER
from prillm_or.prices.price_list import Condition, PriceList, lists_of, not_kept, read_prices, whole

_COMPONENTS = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cached",
    "input_cache_write": "cache_write",
    "input_cache_write_1h": "cache_write_1h",
    "internal_reasoning": "reasoning",
    "audio": "input_audio",
    "audio_output": "output_audio",
    "input_audio_cache": "cached_audio",
    "image_token": "input_image",
    "request": "requests",
    "web_search": "searches",
    "image": "images_read",
    "image_output": "images_made",
}
_OVERRIDES, _DISCOUNT = "overrides", "discount"
_LONGER, _FROM, _TO = "min_prompt_tokens", "utc_start", "utc_end"


def openrouter_rows(document: object) -> dict[str, object]:
    """Models by id, or a model's endpoints by their tags, numbered where one comes again; none of another document."""
    data = member(document, "data")
    seen: Counter[str] = Counter()
    rows: dict[str, object] = {}
    for item in entries(member(data, "endpoints") or data):
        if member(item, "pricing") is not None:
            name = str(member(item, "tag") or member(item, "id") or member(item, "name"))
            seen[name] += 1
            rows[name if seen[name] == 1 else f"{name}#{seen[name]}"] = item
    return rows


def read_openrouter(name: str, row: object, faults: Faults) -> dict[str, PriceList]:
    """Price lists of a model or an endpoint, by id."""
    pricing = member(row, "pricing")
    if not isinstance(pricing, dict):
        faults.add((name, "pricing"), f"expected an object, got {shown(pricing)}")
        return {}
    where: Where = (name, "pricing")
    prices = {Condition(): read_prices(pricing, _COMPONENTS, where, faults, PER)}
    known = {*_COMPONENTS, _OVERRIDES, _DISCOUNT}
    lost = [not_kept((field,), value) for field, value in pricing.items() if field not in known and value]
    for k, override in enumerate(entries(pricing.get(_OVERRIDES))):
        condition = _condition(override)
        if condition is None or not isinstance(override, dict):
            lost.append(not_kept((_OVERRIDES, k), override))
            continue
        own = read_prices(override, _COMPONENTS, (*where, _OVERRIDES, k), faults, PER)
        prices.setdefault(condition, {}).update(own)
    return lists_of(name, prices, lost)


def _condition(override: object) -> Condition | None:
    """When an override holds, hours as a tier such as `utc-1630-0030`; None where that cannot be read."""
    if not isinstance(override, dict) or {*override} - {*_COMPONENTS, _LONGER, _FROM, _TO}:
        return None
    above, start, end = (whole(override.get(field, 0)) for field in (_LONGER, _FROM, _TO))
    if above is None or start is None or end is None:
        return None
    return Condition(f"utc-{start:04}-{end:04}" if {_FROM, _TO} & {*override} else "", above)
