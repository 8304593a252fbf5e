"""The file that price lists are kept in: `components` and `providers` as in a market file, and what was not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from prillm_or.market.checks import entries, ids_of, member
from prillm_or.market.faults import Faults, shown
from prillm_or.prices.components import COUNTS, TOKENS, price_of
from prillm_or.prices.price_list import PriceList, is_apart, read_prices

PRICES_FORMAT = "prillm-or/prices@1"
UNITS = {"currency": "USD", "volume": "1e6 tokens"}


def document(lists: Sequence[PriceList], source: str) -> dict[str, Any]:
    """Price lists as a JSON object.

    A component stays if one of the lists has a price of it that its units would not be billed at anyway; of it each
    list then has a price, which is that of the kind of tokens it belongs to, or 0, where its table says none.

    Parameters
    ----------
    source
        Where they come from, for people.
    """
    components = components_of(lists)
    notes: dict[str, list[str]] = {}
    for each in lists:
        for text in _notes(each, components):
            notes.setdefault(text, []).append(each.id)
    return {
        "format": PRICES_FORMAT,
        "description": source,
        "units": UNITS,
        "components": components,
        "providers": [
            {"id": each.id, "price": {c: float(price_of(c, each.price)) for c in components}} for each in lists
        ],
        "notes": [{"providers": names, "text": text} for text, names in notes.items()],
    }


def own_rows(document: object) -> dict[str, object]:
    """Services by id, each with what the file notes of it; none of another document."""
    if member(document, "format") != PRICES_FORMAT:
        return {}
    providers, notes = entries(member(document, "providers")), entries(member(document, "notes"))
    return {
        name: {
            "price": member(providers[i], "price"),
            "notes": [member(note, "text") for note in notes if name in entries(member(note, "providers"))],
        }
        for i, name in ids_of(providers).items()
    }


def read_own(name: str, row: object, faults: Faults) -> dict[str, PriceList]:
    """The price list of a service, by its id."""
    prices = member(row, "price")
    if not isinstance(prices, dict):
        faults.add((name, "price"), f"expected an object, got {shown(prices)}")
        return {}
    notes = tuple(str(note) for note in entries(member(row, "notes")))
    return {name: PriceList(name, read_prices(prices, {c: c for c in prices}, (name, "price"), faults, 1), notes)}


def components_of(lists: Sequence[PriceList]) -> list[str]:
    """Components that tell the prices of some lists, in the order in which we name them."""
    listed = dict.fromkeys((*TOKENS, *COUNTS, *(name for each in lists for name in each.price)))
    return [name for name in listed if name in ("input", "output") or any(_told(name, each.price) for each in lists)]


def _told(component: str, prices: Mapping[str, Decimal]) -> bool:
    return component in prices and is_apart(component, prices) and (component in TOKENS or prices[component] > 0)


def _notes(each: PriceList, components: Sequence[str]) -> list[str]:
    """What the prices of a list do not say, and which of them its table does not."""
    billed = [f"{c} as {TOKENS[c]}" for c in components if c not in each.price and TOKENS.get(c)]
    free = [c for c in components if c not in each.price and not TOKENS.get(c)]
    return [
        *([f"billed as other tokens: {', '.join(billed)}"] if billed else []),
        *([f"not listed, taken as 0: {', '.join(free)}"] if free else []),
        *each.remarks,
    ]
