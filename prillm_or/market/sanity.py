"""sanity: what in a market's figures looks like a slip of units or a field left out; it is allowed, and worth a word.

Figures are measured by the usual price, the middle one of today's. In the shipped markets, which were fitted to what
users did, delays cost users up to 0.7 of it from the nearest provider to the farthest, and congestion 0.2 to 0.7 of it,
at loads shared out by capacity. A slip, milliseconds for seconds, tokens for thousands of them, is a factor of 1000:
the thresholds lie between that and what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from prillm_or.market.decisions import decision_costs, per_unit, rises, what_is_set
from prillm_or.market.market import Array, Market
from prillm_or.market.outside import OUTSIDE
from prillm_or.output.numbers import figure
from prillm_or.result import Caveat

_DELAYS, _CONGESTION, _CAPACITY = 30.0, 100.0, 1000.0


def implausible(market: Market) -> Iterator[Caveat]:
    """What bears on any price of the leader's. Cost: n m."""
    price, capacity = _usual_price(market), _in_order(market.capacity)
    if price > 0:
        yield from _delays(market, price)
        if market.congested:
            yield from _congestion(market, price, capacity)
    if market.congested:
        yield from _capacities(market, capacity)
    if not market.worth.any():
        yield Caveat("no-values", "no provider has a `value`: users choose by price, delay and congestion alone")
    yield from _unbought(market)
    yield from _caps(market)


def costless(market: Market) -> Iterator[Caveat]:
    """What bears on prices that others set, too: whoever serves for nothing can ask next to nothing."""
    rivals = [j for j in market.rivals if market.provider_ids[j] != OUTSIDE]
    if rivals and not market.unit_cost[rivals].any():
        yield Caveat(
            "no-unit-costs",
            "no rival has a `unit_cost`: each is taken to serve for nothing, and prices that they set may be too low",
        )


def _usual_price(market: Market) -> float:
    prices = per_unit(market, market.price)
    if prices.ndim > 1:
        prices = market.demand @ prices / market.demand.sum()
    asked = ~np.isnan(prices)
    if OUTSIDE in market.provider_ids:
        asked[market.provider_ids.index(OUTSIDE)] = False
    known = prices[asked]
    return _middle(_in_order(known)) if known.size else 0.0


def _in_order(values: Array) -> Array:
    """Values from the smallest to the largest. Quicker than `np.sort`, of few."""
    ordered = values.copy()
    ordered.sort()
    return ordered


def _middle(ordered: Array) -> float:
    """The middle one, the lower of two: what is usual."""
    return ordered.item((ordered.size - 1) // 2)


def _delays(market: Market, price: float) -> Iterator[Caveat]:
    spread = np.maximum.reduce(market.delay, axis=1) - np.minimum.reduce(market.delay, axis=1)
    costs = spread * market.delay_weight / market.price_weight
    if costs.max() <= _DELAYS * price:
        return
    order = np.argsort(costs)
    middle = np.searchsorted(market.demand[order].cumsum(), market.demand.sum() / 2)
    times = float(costs[order][min(middle, market.n - 1)]) / price
    if times > _DELAYS:
        yield Caveat(
            "delays-dominate",
            f"from the nearest provider to the farthest, delay costs users {figure(times, 3)} times the usual price "
            f"{figure(price, 3)}: it decides, prices do not; are delays in the unit that their weights are for?",
        )


def _congestion(market: Market, price: float, capacity: Array) -> Iterator[Caveat]:
    """Congestion where loads are shared out by capacity, in order, without those far beyond all others."""
    most = _CAPACITY * _middle(capacity)
    usual = capacity if capacity.item(-1) <= most else capacity[capacity <= most]
    shared = float(np.add.reduce(market.demand) / np.add.reduce(usual))
    times = shared * _middle(_in_order(market.congestion_weight / market.price_weight)) / price
    if times > _CONGESTION:
        yield Caveat(
            "congestion-dominates",
            f"with loads shared out by capacity, congestion costs users {figure(times, 3)} times the usual price "
            f"{figure(price, 3)}: it decides, prices do not; are capacities and demands in one unit?",
        )
    elif times < 1 / _CONGESTION and times + _taste(market) / price < 1 / _CONGESTION:
        yield Caveat(
            "no-congestion",
            f"with loads shared out by capacity, congestion costs users {figure(times, 2)} of the usual price "
            f"{figure(price, 3)}: all but the cheapest lose everybody; are capacities and demands in one unit?",
        )


def _taste(market: Market) -> float:
    """What dispersion costs users, as congestion does."""
    usual = _middle(_in_order(market.dispersion / market.price_weight))
    return usual * _middle(_in_order(market.provider_dispersion))


def _unbought(market: Market) -> Iterator[Caveat]:
    """Decisions that no user ever pays for."""
    if market.plain:
        return
    for decision, paid in zip(market.decisions, rises(market).max(axis=0).tolist(), strict=True):
        if not paid and decision.component is not None:
            what = f"no user's `mix` holds {market.components[decision.component]}: the price {decision.name}"
            yield Caveat("nobody-buys", f"{what} changes nothing; is the component missing in the mixes?")
        elif not paid:
            what = f"of what users buy all prices of {decision.name} are 0 today"
            yield Caveat("nobody-buys", f"{what}: a factor changes nothing; give it prices")


def _capacities(market: Market, ordered: Array) -> Iterator[Caveat]:
    usual = _middle(ordered)
    if usual / _CAPACITY < ordered.item(0) and ordered.item(-1) < usual * _CAPACITY:
        return
    apart = (market.capacity >= usual * _CAPACITY) | (market.capacity <= usual / _CAPACITY)
    for j in np.flatnonzero(apart).tolist():
        name, capacity = market.provider_ids[j], float(market.capacity[j])
        if name != OUTSIDE:
            yield Caveat(
                "capacity-apart",
                f"the capacity of {name}, {figure(capacity, 3)}, is {figure(capacity / usual, 2)} times the usual "
                f"{figure(usual, 3)}: is it in their unit?",
            )


def _caps(market: Market) -> Iterator[Caveat]:
    what = what_is_set(market)
    costs = zip(decision_costs(market).tolist(), market.price_cap.tolist(), market.current.tolist(), strict=True)
    for decision, (cost, cap, today) in zip(market.decisions, costs, strict=True):
        name = decision.name
        # What a component or a factor brings besides what it is the price of may well be worth a loss on that.
        if cap <= cost and market.plain:
            yield Caveat(
                "cap-below-cost",
                f"the price cap of {name}, {figure(cap, 4)}, is not above its unit cost {figure(cost, 4)}: nothing can "
                "be earned",
            )
        if today > cap:
            yield Caveat(
                "today-above-cap", f"today's {what} of {name}, {figure(today, 4)}, is above its cap {figure(cap, 4)}"
            )
