"""price parts: what 1 % more or less of each price of the leader's list would bring, others held."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prillm_or.explanation.explanation import NEAR, Change, PricePart
from prillm_or.market.decisions import COMPONENTS, all_prices
from prillm_or.market.market import Market
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem


def price_parts(market: Market, found: Equilibrium) -> tuple[PricePart, ...]:
    """The components of the leader's one provider, in the market's order; nothing where there are none.

    Cost: two equilibria for each.
    """
    if not market.components:
        return ()
    s = market.leader[0]
    decided = {decision.component for decision in market.decisions}
    every = replace(
        market,
        price=all_prices(market, found.prices),
        decides=COMPONENTS,
        price_cap=np.full(len(market.components), market.price_cap[0]),
    )
    users, prices = user_problem(every), every.current
    here = solve_users(users, prices)
    profit = profit_of(every, prices, here.billed)

    def change(c: int, by: float) -> Change:
        moved = prices.copy()
        moved[c] *= 1 + by
        there = solve_users(users, moved, here)
        billed = there.billed[s] - here.billed[s]
        return Change(
            profit_of(every, moved, there.billed) - profit, dict(zip(market.components, billed.tolist(), strict=True))
        )

    return tuple(
        PricePart(
            component=name,
            price=float(prices[c]),
            billed=float(here.billed[s, c]),
            profit=float((prices[c] - market.unit_cost[s, c]) * here.billed[s, c]),
            decided=c in decided or None in decided,
            higher=change(c, NEAR),
            lower=change(c, -NEAR),
        )
        for c, name in enumerate(market.components)
    )
