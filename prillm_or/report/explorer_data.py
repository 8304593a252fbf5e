"""What a page's script needs of a market: its figures as plain data, how far sliders go, and who is shown by name.

The script solves the users' equilibrium itself, `equilibrium.js`; nothing here is computed for it but where the best
decisions are, and from where on along each decision little happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from prillm_or.curves.price_axis import last_shown
from prillm_or.errors import CombinationError
from prillm_or.explanation.beside import curve_around
from prillm_or.market.decisions import FACTOR, in_words, what_is_set
from prillm_or.market.fit_note import Range
from prillm_or.market.market import Array, Market
from prillm_or.users.equilibrium import equilibrium_at

_NAMED = 40
"""Users, and rivals, that are shown by name; one more rather than a single one left over."""
_MOST_PAIRS = 100_000
"""A page of more would take megabytes, and seconds at each step of a slider."""


def check_size(market: Market) -> None:
    """Refuse a market with more pairs of users and providers than a page can compute with.

    Raises
    ------
    CombinationError
        When it has.
    """
    if (pairs := market.n * market.m) > _MOST_PAIRS:
        raise CombinationError(
            f"{market.name}: {market.n:,} users by {market.m:,} providers are {pairs:,} pairs, too many for a page, "
            f"which computes with {_MOST_PAIRS:,} at most; `prillm-or explain` and `curve` take any number"
        )


def market_data(market: Market) -> dict[str, Any]:
    """The figures of a market, as `equilibrium.js` takes them; a market without components has one."""
    one = not market.components
    arrays = {
        "demand": market.demand,
        "count": market.count,
        "dispersion": market.dispersion,
        "mix": np.ones((market.n, 1)) if one else market.mix,
        "priceWeight": market.price_weight,
        "congestionWeight": market.congestion_weight,
        "delayWeight": market.delay_weight,
        "price": market.price[:, None] if one else market.price,
        "cost": market.unit_cost[:, None] if one else market.unit_cost,
        "capacity": market.capacity,
        "value": market.value,
        "spread": market.provider_dispersion,
        "delay": market.delay,
        **({"own": market.user_values} if market.user_values.size else {}),
    }
    return {name: _known(values.tolist()) for name, values in arrays.items()} | {
        "leader": market.leader,
        "factors": market.decides == FACTOR,
        "decisions": [
            {"name": one.name, "provider": one.provider, "component": one.component or 0} for one in market.decisions
        ],
    }


def _known(values: Any) -> Any:
    """Numbers, nested as they are, with null for what is absent."""
    if isinstance(values, list):
        return [_known(value) for value in values]
    return None if np.isnan(values) else values


def document(
    market: Market, best: Array, maxima: Sequence[float], ranges: Mapping[str, Range] | None = None
) -> dict[str, Any]:
    """What a page's script shows of a market.

    Parameters
    ----------
    best
        Shape (k,): the best decisions.
    maxima
        Of a leader that decides one: all local maxima of the profit.
    ranges
        Of best decisions that the data leave open, by name.
    """
    ranges = ranges or {}
    today = market.today
    reachable = today is not None and bool(np.all(today <= market.price_cap))
    units = market.units
    ends = slider_ends(market, best, maxima)
    return {
        "name": market.name,
        "what": what_is_set(market),
        "units": {"price": units.of_prices, "volume": units.of_volume, "money": units.of_money},
        "market": market_data(market),
        "users": market.user_ids,
        "providers": market.provider_ids,
        "components": market.components,
        "sliders": [
            {
                "name": decision.name,
                "label": in_words(market, decision),
                "high": high,
                "cap": cap,
                "range": ranges.get(decision.name),
            }
            for decision, high, cap in zip(market.decisions, ends, market.price_cap.tolist(), strict=True)
        ],
        "best": best.tolist(),
        "today": today.tolist() if today is not None and reachable else None,
        "maxima": maxima,
        "named": {"users": named_users(market, best), "providers": named_providers(market, best)},
    }


def slider_ends(market: Market, best: Array, maxima: Sequence[float]) -> list[float]:
    """Values up to which anything happens along each decision, the others at the best; today's is among them."""
    ends = []
    for k, cap in enumerate(market.price_cap.tolist()):
        curve = curve_around(market, k, best)
        marks = [float(best[k]), *maxima, *([] if curve.today is None else [curve.today])]
        seen = [mark for mark in marks if mark <= cap]
        ends.append(last_shown(curve, seen) if curve.complete else cap)
    return ends


def named_users(market: Market, best: Array) -> list[int]:
    """By demand; those that use the leader at the best decisions are named before all others."""
    using = equilibrium_at(market, best).flow[:, list(market.leader)].sum(axis=1) > 0
    named = _first(sorted(range(market.n), key=lambda i: (not using[i], -market.demand[i])))
    return sorted(named, key=lambda i: -market.demand[i])


def named_providers(market: Market, best: Array) -> list[int]:
    """The leader's, then rivals by their load at the best decisions."""
    load = equilibrium_at(market, best).load
    return [*market.leader, *_first(sorted(market.rivals, key=lambda j: -load[j]))]


def _first(order: list[int]) -> list[int]:
    return order if len(order) <= _NAMED + 1 else order[:_NAMED]
