"""Flips: how much must change before the best price jumps towards the next-best local maximum."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from prillm_or.explanation.effects import worth_more
from prillm_or.explanation.explanation import Flip
from prillm_or.market.decisions import all_prices
from prillm_or.market.market import Array, Market
from prillm_or.solving.pricer import Pricer

_FIRST, _MOST, _GROWTH = 1 / 64, 1.0, 2**0.5
_LEAST_DEMAND = 0.01
_PRECISION, _LEAST = 1e-4, 1e-9
_JUMP = 0.25


def flips(market: Market, pricer: Pricer, best: float, second: float, unit: float) -> tuple[Flip, ...]:
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
    unit
        What a unit of volume comes to at the leader's; values change by shares of it, unit costs by shares of prices.
    """
    s = market.leader[0]
    prices, costs = all_prices(market, [best])[s], market.unit_cost[s]
    kinds: dict[str, Callable[[float], Market]] = {
        "demand": lambda by: market.with_arrays(demand=(1 + by) * market.demand),
        "price": partial(_all_rival_prices, market),
        "unit_cost": partial(_unit_cost, market, prices),
        "value": lambda by: worth_more(market, s, by * unit),
    }
    paid = prices > 0
    least = float((costs[paid] / prices[paid]).min()) if paid.any() else 0.0
    lowest = {"demand": 1 - _LEAST_DEMAND, "unit_cost": min(least, _MOST)}
    found = []
    for what, change in kinds.items():
        ways = ((1.0, _MOST), (-1.0, lowest.get(what, _MOST)))
        jumps = [jump for sign, most in ways if (jump := _jump(pricer, change, sign * most, second - best)) is not None]
        by, price = min(jumps, key=lambda jump: abs(jump[0]), default=(None, None))
        found.append(Flip(what, by, price))
    return tuple(found)


def _jump(pricer: Pricer, change: Callable[[float], Market], most: float, way: float) -> tuple[float, float] | None:
    """The least change up to `most`, of its sign, beyond which the best price has jumped, and that price."""

    def best(by: float) -> float:
        return float(pricer.best_if(change(math.copysign(by, most)))[0][0])

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


def _all_rival_prices(market: Market, by: float) -> Market:
    price, rivals = market.price.copy(), list(market.rivals)
    price[rivals] = (1 + by) * price[rivals]
    return market.with_arrays(price=price)


def _unit_cost(market: Market, prices: Array, by: float) -> Market:
    cost = market.unit_cost.copy()
    cost[market.leader[0]] = np.maximum(cost[market.leader[0]] + by * prices, 0.0)
    return market.with_arrays(unit_cost=cost)
