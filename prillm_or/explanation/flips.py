"""Flips: how much must change before the best price jumps towards the next-best local maximum."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from prillm_or.explanation.explanation import Flip
from prillm_or.market.changes import Change
from prillm_or.market.market import Market
from prillm_or.solving.pricer import Pricer

_FIRST, _MOST, _GROWTH = 1 / 64, 1.0, 2**0.5
_LEAST_DEMAND = 0.01
_PRECISION, _LEAST = 1e-4, 1e-9
_JUMP = 0.25


def flips(market: Market, pricer: Pricer, best: float, second: float) -> tuple[Flip, ...]:
    """For each kind of change the least one, up or down, that was found to make the best price jump.

    The best price follows a change smoothly while the same local maximum stays the best. Changes grow from 1/64 to 1,
    each sqrt(2) times the last, as far as there is such a market (costs and prices from 0, demands from a hundredth),
    until it has moved by a quarter of the way from `best` to `second`; then they are halved in on where it moves most:
    a jump is what is left of that at a change known to four digits. A jump there and back between two steps is not
    seen.

    Parameters
    ----------
    best, second
        Prices of the best and the next-best local maximum of the market as it is.
    """
    kinds: dict[str, Callable[[float], Change]] = {
        "demand": partial(_all_demands, market),
        "price": partial(_all_rival_prices, market),
        "unit_cost": partial(_unit_cost, market, best),
        "value": partial(_value, market, best),
    }
    unit_cost = float(market.unit_cost[market.leader[0]])
    lowest = {"demand": 1 - _LEAST_DEMAND, "unit_cost": min(unit_cost / best, _MOST)}
    found = []
    for what, change in kinds.items():
        ways = ((1.0, _MOST), (-1.0, lowest.get(what, _MOST)))
        jumps = [jump for sign, most in ways if (jump := _jump(pricer, change, sign * most, second - best)) is not None]
        by, price = min(jumps, key=lambda jump: abs(jump[0]), default=(None, None))
        found.append(Flip(what, by, price))
    return tuple(found)


def _jump(pricer: Pricer, change: Callable[[float], Change], most: float, way: float) -> tuple[float, float] | None:
    """The least change up to `most`, of its sign, beyond which the best price has jumped, and that price."""

    def best(by: float) -> float:
        return pricer.what_if(change(math.copysign(by, most))).price

    low, before = 0.0, pricer.result.price
    while low < abs(most):
        high = min(max(_GROWTH * low, _FIRST), abs(most))
        after = best(high)
        if (after - before) / way >= _JUMP and (found := _narrowed(best, (low, before), (high, after), way)):
            return math.copysign(found[0], most), found[1]
        low, before = high, after
    return None


def _narrowed(
    best: Callable[[float], float], low: tuple[float, float], high: tuple[float, float], way: float
) -> tuple[float, float] | None:
    """The upper end of the narrow range of changes in which the best price jumps; None where it only slides."""
    while high[0] - low[0] > max(_PRECISION * high[0], _LEAST):
        by = (low[0] + high[0]) / 2
        middle = by, best(by)
        low, high = (low, middle) if (middle[1] - low[1]) / way >= (high[1] - middle[1]) / way else (middle, high)
        if (high[1] - low[1]) / way < _JUMP:
            return None
    return high


def _all_demands(market: Market, by: float) -> Change:
    demand = zip(market.user_ids, market.demand.tolist(), strict=True)
    return {"users": {name: {"demand": (1 + by) * now} for name, now in demand}}


def _all_rival_prices(market: Market, by: float) -> Change:
    return {"providers": {market.provider_ids[j]: {"price": (1 + by) * float(market.price[j])} for j in market.rivals}}


def _unit_cost(market: Market, price: float, by: float) -> Change:
    j = market.leader[0]
    return {"providers": {market.provider_ids[j]: {"unit_cost": max(float(market.unit_cost[j]) + by * price, 0.0)}}}


def _value(market: Market, price: float, by: float) -> Change:
    j = market.leader[0]
    return {"providers": {market.provider_ids[j]: {"value": float(market.value[j]) + by * price}}}
