"""Bills: what a price list makes of a usage is what the package genai-prices bills for it, to the cent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
from genai_prices import Usage, calc_price

from prillm_or.prices.components import PER, price_of
from prillm_or.prices.tables import lists_from, read_table

LITELLM = Path(__file__).parent / "data" / "prices" / "litellm.json"
DAY = datetime(2026, 11, 28, 12, tzinfo=UTC)
LONG = 272_000
"""Requests of more tokens cost more at the one model here that has such prices."""

TIERS: Mapping[str, dict[str, str]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"speed": "fast"},
}
"""How their code calls our conditions."""

INPUTS = {
    "cached": ("cache_read_tokens",),
    "cache_write": ("cache_write_tokens",),
    "cache_write_1h": ("cache_write_tokens", "cache_write_1h_tokens"),
    "input_audio": ("input_audio_tokens",),
    "cached_audio": ("cache_read_tokens", "input_audio_tokens", "cache_audio_read_tokens"),
}
OUTPUTS = {"output_audio": ("output_audio_tokens",)}
"""Counts in which a token of ours is also counted there, where a token is in several: a component's are apart."""

SERVICES = {
    "gpt-4o": ("openai", ("", ":batch", ":priority")),
    "gpt-6-astra": (
        "openai",
        *[[f"{tier}{long}" for tier in ("", ":batch", ":flex", ":priority") for long in ("", ":above-272k")]],
    ),
    "gpt-audio": ("openai", ("",)),
    "claude-opus-5-5": ("anthropic", ("", ":fast")),
    "gemini-2.5-flash": ("google", ("",)),
}
LISTS = [(name, end) for name, (_, ends) in SERVICES.items() for end in ends]


def usage_of(units: Mapping[str, int]) -> Usage:
    """Their counts of a usage of ours."""
    counts = {"input_tokens": 0, "output_tokens": 0}
    for component, tokens in units.items():
        side = "output_tokens" if component.startswith("output") else "input_tokens"
        for count in (side, *INPUTS.get(component, ()), *OUTPUTS.get(component, ())):
            counts[count] = counts.get(count, 0) + tokens
    return Usage(**counts)


def test_bills_of_1000_usages_are_those_of_their_code() -> None:
    random = np.random.default_rng(0)
    table = read_table(LITELLM)
    lists = dict(zip(LISTS, lists_from(table, [f"{name}{end}" for name, end in LISTS]), strict=True))
    dearest = Decimal(0)
    for _ in range(1000):
        name, end = LISTS[random.integers(len(LISTS))]
        prices = lists[name, end].price
        used = ["input", "output", *(c for c in (*INPUTS, *OUTPUTS) if c in prices)]
        units = {
            component: int(tokens)
            for component, tokens in zip(used, random.integers(0, 30_000, len(used)), strict=True)
        }
        units["input"] += (LONG + 1) * end.endswith(":above-272k")
        conditions = {key: value for tier in end.split(":") for key, value in TIERS.get(tier, {}).items()}
        bill = calc_price(
            usage_of(units),
            model_ref=name,
            provider_id=SERVICES[name][0],
            genai_request_timestamp=DAY,
            price_context=conditions or None,
        )
        ours = sum((tokens * price_of(component, prices) for component, tokens in units.items()), Decimal(0)) / PER
        assert ours == bill.total_price, (name, end, units)
        dearest = max(dearest, ours)
    assert dearest > 10
