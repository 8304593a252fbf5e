"""Components: what services bill apart, under one name in all tables."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

TOKENS: Mapping[str, str] = {
    "input": "",
    "output": "",
    "cached": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "cache_write_12h": "cache_write_1h",
    "cached_explicit": "cached",
    "reasoning": "output",
    "citation": "input",
    "input_audio": "input",
    "output_audio": "output",
    "cached_audio": "cached",
    "cache_write_audio": "cache_write",
    "input_image": "input",
    "output_image": "output",
    "cached_image": "cached",
    "input_video": "input",
    "output_video": "output",
}
"""Kinds of tokens, each apart from the others, and as which of them one is billed that has no price of its own."""

COUNTS = (
    *("requests", "searches", "searches_low", "searches_medium", "searches_high", "map_searches"),
    *("images_read", "images_made"),
)
"""What is counted beside tokens; without a price it costs nothing."""

FREE_OF_CHARGE = ("input", "output", "cached", "cached_explicit", "cached_audio", "cached_image", *COUNTS)
"""What may really cost 0: of other tokens tables write 0 where they are billed as the kind that they belong to."""

PER = 10**6
"""Prices are in USD for so many units."""


def price_of(component: str, prices: Mapping[str, Decimal]) -> Decimal:
    """What a unit of a component costs at prices that may leave some out."""
    while component not in prices and TOKENS.get(component):
        component = TOKENS[component]
    return prices.get(component, Decimal(0))
