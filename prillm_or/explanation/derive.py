"""explain: why a price of one provider, of one of its components, or the factor of its list, is the best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prillm_or.curves.profit_curve import PATIENCE_S, LocalMaximum, ProfitCurve, curve_between
from prillm_or.curves.trace import SAME, Piece, trace
from prillm_or.curves.turns import beside, switches_at, tolerance, using
from prillm_or.errors import ArgumentError, CombinationError, ConvergenceError, argument, is_number
from prillm_or.explanation.effects import Effects, effects, is_large, unit_price
from prillm_or.explanation.explanation import (
    NEAR,
    Explanation,
    Flip,
    RivalPart,
    Sides,
    State,
    Switch,
    UserPart,
)
from prillm_or.explanation.flips import flips
from prillm_or.explanation.influence import chains
from prillm_or.explanation.price_parts import price_parts
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.market.decisions import all_prices, decision_costs, per_unit, rises, what_is_set
from prillm_or.market.market import Market, Mask
from prillm_or.result import Result
from prillm_or.solving.pricer import Pricer
from prillm_or.solving.recheck import decided_in
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import UserProblem, user_problem

_FLAT = 1e-12


def explain(market: AnyMarket, result: Result | None = None) -> Explanation:
    """Explain a price.

    Cost: the trace of the whole curve; one solution of the market, much quicker than the first, for each of the n
    demands and 3 (m - 1) figures of the rivals; some hundred for what it takes to flip. In markets of more than 50,000
    pairs the effects of the ten users and ten rivals that matter most are worked out, the others' are None, and no
    flips.

    Parameters
    ----------
    market
        A market whose leader decides one price or factor: itself, with its file, the path of a file, or the name of a
        shipped one.
    result
        What was found for it; solved by `path` if there is none. Effects are those on the best price of all, also
        where the result's price is not the best.

    Raises
    ------
    ArgumentError
        When the result is none.
    CombinationError
        When the leader decides several, or the result is that of another market or of a price beyond the cap.
    ConvergenceError
        When an equilibrium could not be certified.
    KeyboardInterrupt
        When it comes before the price is known; later, what is left is skipped.
    """
    market = as_market(market)
    if (several := len(market.decisions)) > 1:
        raise CombinationError(
            f"{market.name}: the leader sets {several} prices, explain takes one; `equilibrium` shows who uses whom "
            "at given prices"
        )
    pricer = Pricer(market)
    result = pricer.result if result is None else result
    price = _price(market, result)
    cap, unit_cost = float(market.price_cap[0]), float(decision_costs(market)[0])
    users = user_problem(market)
    found = solve_users(users, [price])
    certified(market, [price], found.flow)
    curve, interrupted = _curve(market, price)
    left, right = beside(curve.pieces, price)
    at_cap = price >= cap - tolerance(curve.pieces, price)
    if at_cap:
        right = next(trace(users, found.prices, 0, 2 * cap or 1.0, found))
    of_users, of_rivals, interrupted = ({}, {}, True) if interrupted else effects(market, pricer, found)
    jumps, interrupted = ((), True) if interrupted else _flips(market, pricer, curve.local_maxima, found)
    (decision,), (sold,) = market.decisions, found.by_decision.tolist()
    sides = (_side(market, users, left), above := _side(market, users, right))
    return Explanation(
        instance=market.name,
        provider=market.leader_ids[0],
        prices=dict(result.prices),
        profit=profit_of(market, found.prices, found.billed),
        load=float(found.load[decision.provider]),
        elasticity=Sides(*(_elasticity(price, sold, side) for side in sides)),
        load_near=Sides(*(_sold(users, found, (1 + step) * price) for step in (-NEAR, NEAR))),
        marginal_revenue=Sides(*(_marginal_revenue(price, sold, side) for side in sides)),
        marginal_cost=unit_cost,
        kink=_kink(market, curve, price),
        cap=cap,
        cap_binds=at_cap and above is not None and sold + (price - unit_cost) * above.slope + above.besides > 0,
        users=_user_parts(market, found, curve, of_users),
        rivals=_rival_parts(market, found, curve, of_rivals),
        local_maxima=curve.local_maxima,
        flips=jumps,
        searched=curve.searched,
        units=market.units,
        interrupted=interrupted,
        decision=decision.name,
        component=None if decision.component is None else market.components[decision.component],
        factors=result.factors,
        sold=sold,
        net_cost=None if market.plain else Sides(*(_net_cost(unit_cost, side) for side in sides)),
        components=price_parts(market, found),
    )


def _price(market: Market, result: Result) -> float:
    """The price to explain, which has to be one of this market."""
    if not isinstance(result, Result):
        raise ArgumentError(f"{argument('result')}: expected a Result, as `solve` gives, got {type(result).__name__}")
    name = market.decisions[0].name
    if tuple(result.prices) != market.leader_ids:
        others = ", ".join(result.prices) or "nobody"
        raise CombinationError(f"{market.name}: the result has a price of {others}, not of {name}")
    if result.instance != market.name:
        raise CombinationError(f"{market.name}: the result is that of another market, {result.instance}")
    cap = float(market.price_cap[0])
    told = {one.name: one.value for one in result.decided}.get(name, np.nan)
    if not is_number(told) or not 0 <= told <= cap * (1 + SAME):
        raise CombinationError(
            f"{market.name}: the result's {what_is_set(market)} {told} is not between 0 and the cap {cap:g}"
        )
    try:
        return float(decided_in(market, result)[0])
    except ValueError as refusal:
        raise CombinationError(f"{market.name}: the result contradicts the market: {refusal}") from None


def _curve(market: Market, price: float) -> tuple[ProfitCurve, bool]:
    """The curve, near the price alone after Ctrl-C, and whether that came."""
    try:
        return curve_around(market, price), False
    except KeyboardInterrupt:
        return _near(market, price), True


def curve_around(market: Market, price: float) -> ProfitCurve:
    """The whole curve; where that takes too long or does not resolve, the part `NEAR` the price.

    The leader has one decision.
    """
    try:
        curve = curve_between(market, 0, 0.0, float(market.price_cap[0]), PATIENCE_S)
    except ConvergenceError:
        return _near(market, price)
    return curve if curve.complete else _near(market, price)


def _near(market: Market, price: float) -> ProfitCurve:
    return curve_between(market, 0, (1 - NEAR) * price, min((1 + NEAR) * price, float(market.price_cap[0])))


@dataclass(frozen=True)
class _Side:
    """Slopes on one side of a price: of the volume sold, and of what is earned besides."""

    slope: float
    besides: float


def _side(market: Market, users: UserProblem, piece: Piece | None) -> _Side | None:
    """The slopes on a piece; none that is but rounding of the steepest there could be."""
    if piece is None:
        return None
    slope, s = float(piece.slope[0]), market.leader[0]
    if market.plain and market.congested:
        steepest = float(market.capacity[s] * users.sensitivity.max())
    else:
        width = np.broadcast_to(users.width, users.base.shape)[:, s]
        # Of each unit a user leaves, as many are sold less as it pays more for it.
        steepest = float((width * users.sensitivity[:, 0] * rises(market)[:, 0]).sum())
    moves = slope < -_FLAT * steepest or (slope > _FLAT * steepest and not market.plain)
    return _Side(slope if moves else 0.0, piece.rest_slope)


def _sold(users: UserProblem, found: Equilibrium, price: float) -> float:
    """The volume sold at another price."""
    return float(solve_users(users, [price], found).by_decision[0])


def _elasticity(price: float, sold: float, side: _Side | None) -> float | None:
    return None if side is None or sold <= 0 else price * side.slope / sold


def _marginal_revenue(price: float, sold: float, side: _Side | None) -> float | None:
    return None if side is None or not side.slope or sold <= 0 else price + sold / side.slope


def _net_cost(unit_cost: float, side: _Side | None) -> float | None:
    return None if side is None or not side.slope else unit_cost - side.besides / side.slope


def _kink(market: Market, curve: ProfitCurve, price: float) -> tuple[Switch, ...]:
    """Pairs that change at the price."""
    return tuple(
        Switch(market.user_ids[i], market.provider_ids[j], begins)
        for (i, j), begins in switches_at(curve, price).items()
    )


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
        leaves = next((at for at, begins in turns if at >= price and not begins), None) if load > 0 else None
        joins = None if load > 0 else _joins(turns, price)
        parts.append(
            UserPart(
                id=market.user_ids[i],
                load=load,
                profit=float(pays[i] - costs[i]) * load,
                state=_state(price, load, bool(alone[i]), leaves, joins),
                leaves_at=leaves,
                joins_at=joins,
                price_effect=known[i].price if i in known else None,
                profit_effect=known[i].profit if i in known else None,
                count=int(market.count[i]) if crowds else None,
                mix=dict(zip(market.components, market.mix[i].tolist(), strict=True)) if market.components else None,
                pays=float(pays[i]) if market.components else None,
            )
        )
    return tuple(parts)


def _joins(turns: Sequence[tuple[float, bool]], price: float) -> float | None:
    """The last price below at which a user stopped that used the leader up to there."""
    stops = [at for (at, begins), (_, began) in zip(turns[1:], turns, strict=False) if began and not begins]
    return max((at for at in stops if at <= price * (1 + SAME)), default=None)


def _state(price: float, load: float, alone: bool, leaves: float | None, joins: float | None) -> State:
    if load > 0:
        if leaves is not None and leaves < (1 + NEAR) * price:
            return State.LEAVING
        return State.CAPTIVE if alone else State.SHARED
    return State.JOINING if joins is not None and joins > (1 - NEAR) * price else State.AWAY


def _rival_parts(
    market: Market, found: Equilibrium, curve: ProfitCurve, known: dict[int, Effects]
) -> tuple[RivalPart, ...]:
    ways = chains(market, _used_around(found, curve))
    return tuple(
        RivalPart(
            id=market.provider_ids[j],
            load=float(found.load[j]),
            connected=j in ways,
            chain=ways.get(j, ()),
            price_effect=known[j].price if j in known else None,
            profit_effect=known[j].profit if j in known else None,
        )
        for j in market.rivals
    )


def _used_around(found: Equilibrium, curve: ProfitCurve) -> Mask:
    """The pairs in use at the price, and at a kink those that change there."""
    used = found.flow > 0
    for pair in switches_at(curve, float(found.prices[0])):
        used[pair] = True
    return used


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
