"""explain: why decisions are the best ones: a price of one provider, of a component, a factor, or several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prillm_or.curves.profit_curve import LocalMaximum, ProfitCurve
from prillm_or.curves.trace import trace
from prillm_or.curves.turns import beside, tolerance, using
from prillm_or.explanation.beside import (
    Side,
    checked_decisions,
    elasticity,
    joins_at,
    leaves_at,
    rival_parts,
    side_of,
    state_of,
    switched,
    traced,
)
from prillm_or.explanation.derive_prices import explain_prices
from prillm_or.explanation.effects import Best, Effects, effects, is_large, unit_price
from prillm_or.explanation.explanation import NEAR, Explanation, Flip, Sides, UserPart
from prillm_or.explanation.flips import flips
from prillm_or.explanation.price_parts import price_parts
from prillm_or.explanation.prices_explanation import PricesExplanation
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.market.decisions import all_prices, decision_costs, per_unit
from prillm_or.market.market import Array, Market
from prillm_or.output.advice import left_open
from prillm_or.result import Result
from prillm_or.solving.pricer import Pricer
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import UserProblem, user_problem


def explain(market: AnyMarket, result: Result | None = None) -> Explanation | PricesExplanation:
    """Explain a price, or several.

    Cost of one: the trace of the whole curve; one solution of the market, much quicker than the first, for each of the
    n demands and 3 (m - 1) figures of the rivals; some hundred for what it takes to flip. In markets of more than
    50,000 pairs the effects of the ten users and ten rivals that matter most are worked out, the others' are None, and
    no flips. Of several: the trace of a curve along each, and an ascent for each demand and figure, in markets of more
    than 5,000 pairs of those that matter most; some 0.01 to 0.1 s each, up to 1 s where six prices of lists meet at
    kinks.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    result
        What was found for it; solved by `path`, or of several decisions by `branch`, if there is none. Effects are
        those on the best price of all, also where the result's price is not the best; of several, those on the local
        maximum that is reached from the result's.

    Returns
    -------
    Explanation
        Of a leader who decides one price or factor; `PricesExplanation` of one who decides several.

    Raises
    ------
    ArgumentError
        When the result is none.
    CombinationError
        When the result is that of another market or of a price beyond the cap.
    ConvergenceError
        When an equilibrium could not be certified.
    KeyboardInterrupt
        When it comes before the price is known; later, what is left is skipped.
    """
    market = as_market(market)
    return explain_price(market, result) if len(market.decisions) == 1 else explain_prices(market, result)


def explain_price(market: Market, result: Result | None = None) -> Explanation:
    """Explain the one decision of a leader; see `explain`."""
    pricer = Pricer(market)
    result = pricer.result if result is None else result
    price = float(checked_decisions(market, result)[0])
    cap, unit_cost = float(market.price_cap[0]), float(decision_costs(market)[0])
    users = user_problem(market)
    found = solve_users(users, [price])
    certified(market, [price], found.flow)
    curve, interrupted = traced(market, 0, found.prices)
    left, right = beside(curve.pieces, price)
    at_cap = price >= cap - tolerance(curve.pieces, price)
    if at_cap:
        right = next(trace(users, found.prices, 0, 2 * cap or 1.0, found))
    best = Best(np.array([pricer.result.price]), pricer.result.profit)
    of_users, of_rivals, interrupted = (
        ({}, {}, True) if interrupted else effects(market, best, lambda changed: Best(*pricer.best_if(changed)), found)
    )
    jumps, interrupted = ((), True) if interrupted else _flips(market, pricer, curve.local_maxima, found)
    (decision,), (sold,) = market.decisions, found.by_decision.tolist()
    sides = (side_of(market, users, 0, left), above := side_of(market, users, 0, right))
    return Explanation(
        instance=market.name,
        provider=market.leader_ids[0],
        prices=dict(result.prices),
        profit=profit_of(market, found.prices, found.billed),
        load=float(found.load[decision.provider]),
        elasticity=Sides(*(elasticity(price, sold, None if side is None else side.slope) for side in sides)),
        load_near=Sides(*(_sold(users, found, (1 + step) * price) for step in (-NEAR, NEAR))),
        marginal_revenue=Sides(*(_marginal_revenue(price, sold, side) for side in sides)),
        marginal_cost=unit_cost,
        kink=switched(market, curve, price),
        cap=cap,
        cap_binds=at_cap and above is not None and sold + (price - unit_cost) * above.slope + above.besides > 0,
        users=_user_parts(market, found, curve, of_users),
        rivals=rival_parts(market, found, [curve], of_rivals, lambda known: _of_one(known.price)),
        local_maxima=curve.local_maxima,
        flips=jumps,
        searched=curve.searched,
        units=market.units,
        left_open=left_open(result),
        interrupted=interrupted,
        decision=decision.name,
        component=None if decision.component is None else market.components[decision.component],
        factors=result.factors,
        sold=sold,
        net_cost=None if market.plain else Sides(*(_net_cost(unit_cost, side) for side in sides)),
        components=price_parts(market, found),
    )


def _of_one(effect: Mapping[str, Array]) -> dict[str, float]:
    """Changes of the one decision."""
    return {key: float(change[0]) for key, change in effect.items()}


def _sold(users: UserProblem, found: Equilibrium, price: float) -> float:
    """The volume sold at another price."""
    return float(solve_users(users, [price], found).by_decision[0])


def _marginal_revenue(price: float, sold: float, side: Side | None) -> float | None:
    return None if side is None or not side.slope or sold <= 0 else price + sold / side.slope


def _net_cost(unit_cost: float, side: Side | None) -> float | None:
    return None if side is None or not side.slope else unit_cost - side.besides / side.slope


def _user_parts(
    market: Market, found: Equilibrium, curve: ProfitCurve, known: dict[int, Effects]
) -> tuple[UserPart, ...]:
    s, price, prices = market.leader[0], float(found.prices[0]), all_prices(market, found.prices)
    pays, costs = (np.broadcast_to(per_unit(market, of)[..., s], market.n) for of in (prices, market.unit_cost))
    crowds = bool((market.count > 1).any())
    alone = np.count_nonzero(found.flow > 0, axis=1) == 1
    parts = []
    for i, turns in enumerate(using(curve, s)):
        load = float(found.flow[i, s])
        leaves = leaves_at(turns, price) if load > 0 else None
        joins = None if load > 0 else joins_at(turns, price)
        parts.append(
            UserPart(
                id=market.user_ids[i],
                load=load,
                profit=float(pays[i] - costs[i]) * load,
                state=state_of(
                    load,
                    bool(alone[i]),
                    leaves=leaves is not None and leaves < (1 + NEAR) * price,
                    joins=joins is not None and joins > (1 - NEAR) * price,
                ),
                leaves_at=leaves,
                joins_at=joins,
                price_effect=_of_one(known[i].price) if i in known else None,
                profit_effect=known[i].profit if i in known else None,
                count=int(market.count[i]) if crowds else None,
                mix=dict(zip(market.components, market.mix[i].tolist(), strict=True)) if market.components else None,
                pays=float(pays[i]) if market.components else None,
            )
        )
    return tuple(parts)


def _flips(
    market: Market, pricer: Pricer, maxima: Sequence[LocalMaximum], found: Equilibrium
) -> tuple[tuple[Flip, ...], bool]:
    """What was found, and whether Ctrl-C came first."""
    unit = unit_price(market, found) if not market.plain else maxima[0].price if maxima else 0.0
    if len(maxima) < 2 or is_large(market):
        return (), False
    try:
        return flips(market, pricer, maxima[0].price, maxima[1].price, unit), False
    except KeyboardInterrupt:
        return (), True
