"""Price lists: what a service is sold at, and what it is sold at under a condition, as a service of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from prillm_or.market.faults import Faults, Where, field_path, shown
from prillm_or.prices.components import FREE_OF_CHARGE, TOKENS, price_of

_NAMED, _LONGEST = 4, 200
"""Lists under conditions that a remark names, and letters of a value."""


@dataclass(frozen=True)
class PriceList:
    """What a service is sold at.

    Parameters
    ----------
    id
        As its table calls it; of prices under a condition with `:CONDITION` behind it, such as `gpt-5.5:batch`.
    price
        USD per 1e6 units, by component; those that its table does not price are left out.
    remarks
        What the prices do not say.
    """

    id: str
    price: Mapping[str, Decimal]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, order=True)
class Condition:
    """When prices hold that differ from the usual ones.

    Parameters
    ----------
    tier
        How a request is served, such as `batch`, `flex`, `priority` or `off-peak`; "" for the usual way.
    above
        For requests of more than so many tokens; 0 for all.
    """

    tier: str = ""
    above: int = 0

    @property
    def suffix(self) -> str:
        """What ids under the condition end in."""
        length = f"{self.above // 1000}k" if self.above % 1000 == 0 else str(self.above)
        return (f":{self.tier}" if self.tier else "") + (f":above-{length}" if self.above else "")


Prices = Mapping[Condition, Mapping[str, Decimal]]
"""Prices by condition and component, of one service."""


def lists_of(name: str, prices: Prices, lost: Sequence[str]) -> dict[str, PriceList]:
    """Price lists of a service by id, the usual one first. What a condition does not price costs what it does without.

    Parameters
    ----------
    lost
        What the table says of its prices beyond components and conditions.
    """
    charged = {Condition(): {}, **{condition: _charged(listed) for condition, listed in prices.items()}}
    usual = charged[Condition()]
    none = [c for c, price in prices.get(Condition(), {}).items() if c not in usual and price_of(c, usual) > price]
    remarks = (*lost, *(f"{component} is listed at 0: taken as {TOKENS[component]}" for component in none))
    ids = {condition: f"{name}{condition.suffix}" for condition in sorted(charged)}
    under = [each for each in ids.values() if each != name]
    lists = {}
    for condition, own in ids.items():
        price = _layered(condition, charged)
        about = _about_others(under) if own == name else _about(condition, name, price, charged[condition])
        lists[own] = PriceList(own, price, (*remarks, *about))
    return lists


def _charged(prices: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Prices without those of 0 that are none."""
    return {component: price for component, price in prices.items() if price > 0 or component in FREE_OF_CHARGE}


def _layered(condition: Condition, prices: Prices) -> dict[str, Decimal]:
    """Prices under a condition: the usual ones, over them those of shorter requests, over them those of its tier.

    A component that costs what it would without a price of its own gets none, so that it follows the other.
    """
    price: dict[str, Decimal] = {}
    for layer in sorted(prices):
        if layer.tier in ("", condition.tier) and layer.above <= condition.above:
            price |= prices[layer]
            price = {component: value for component, value in price.items() if is_apart(component, price)}
    return price


def is_apart(component: str, prices: Mapping[str, Decimal]) -> bool:
    """Whether a component's price tells more than the prices of the others."""
    others = {name: price for name, price in prices.items() if name != component}
    return not TOKENS.get(component) or price_of(component, prices) != price_of(component, others)


def _about_others(ids: Sequence[str]) -> Iterator[str]:
    if ids:
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        yield f"has other prices under conditions: {', '.join(ids[:_NAMED])}{more}"


def _about(condition: Condition, name: str, price: Mapping[str, Decimal], own: Mapping[str, Decimal]) -> Iterator[str]:
    if condition.above:
        yield f"prices of requests of more than {condition.above:,} tokens, not a service beside {name}"
    if same := [component for component in price if component in TOKENS and component not in own]:
        yield f"priced as without the condition: {', '.join(same)}"


def not_kept(where: Where, value: object) -> str:
    """What to remark of a field that no price list can hold."""
    text = json.dumps(value, default=str)
    return f"not kept: {field_path(where)} {text if len(text) <= _LONGEST else f'{text[:_LONGEST]}...'}"


def whole(value: object) -> int | None:
    """A length or an hour: a whole number >= 0, None of what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf or value % 1:
        return None
    return int(value)


def read_prices(
    fields: Mapping[str, object], components: Mapping[str, str], where: Where, faults: Faults, times: int
) -> dict[str, Decimal]:
    """Prices of the fields that are components, in USD per 1e6 units.

    Parameters
    ----------
    components
        By field.
    times
        How many of the table's units of price make one of ours.
    """
    found = {}
    for name, component in components.items():
        value = fields.get(name)
        if value is not None and (price := read_price(value, (*where, name), faults, times)) is not None:
            found[component] = price
    return found


def read_price(value: object, where: Where, faults: Faults, times: int) -> Decimal | None:
    """A price in USD per 1e6 units, exactly as it is written; None, and a fault, of what is none."""
    try:
        number = Decimal(str(value).strip()) if isinstance(value, (int, float, str)) else Decimal("nan")
        if isinstance(value, bool) or not number >= 0 or not math.isfinite(float(number * times)):
            raise ValueError
    except (ArithmeticError, ValueError):
        faults.add(where, f"expected a number >= 0, got {shown(value)}", "prices")
        return None
    return number * times
