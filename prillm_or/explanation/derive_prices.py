"""explain, of several decisions: each along its own curve, the others held, and how they answer one another."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from prillm_or.curves.profit_curve import ProfitCurve
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
from prillm_or.explanation.effects import Best, Effects, effects
from prillm_or.explanation.explanation import NEAR, Change, Sides
from prillm_or.explanation.prices_explanation import (
    DecisionPart,
    OneOfMany,
    Pair,
    PricesExplanation,
    Relation,
    Turn,
    UserOfPrices,
)
from prillm_or.market.decisions import decision_costs, unit_margins
from prillm_or.market.market import Array, Market, by_component, by_decision, by_leader
from prillm_or.output.advice import left_open
from prillm_or.result import Result
from prillm_or.solvers.ascent import ascend
from prillm_or.solvers.incumbent import Incumbent
from prillm_or.solving.one_of_many import many_in_words
from prillm_or.solving.run import solve
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem
from prillm_or.users.same_bills import nearest_same, same_bills

_NOTHING = 1e-9


def explain_prices(market: Market, result: Result | None = None) -> PricesExplanation:
    """Explain the several decisions of a leader; see `explain`."""
    result = _solved(market) if result is None else result
    decisions = checked_decisions(market, result)
    found = solve_users(user_problem(market), decisions)
    certified(market, decisions, found.flow)
    curves, interrupted = _curves(market, decisions)
    sides = [_sides(market, found, curve) for curve in curves]
    of_users, of_rivals, interrupted = ({}, {}, True) if interrupted else _effects(market, found)
    elasticities = _elasticities(market, found, sides)
    parts = tuple(_part(market, found, curve, side[1]) for curve, side in zip(curves, sides, strict=True))
    return PricesExplanation(
        instance=market.name,
        prices=dict(result.prices),
        factors=result.factors,
        profit=profit_of(market, decisions, found.billed),
        loads=by_leader(market, found.load[list(market.leader)]),
        billed=by_component(market, found.billed, market.leader) if market.components else None,
        elasticities=elasticities,
        pairs=_pairs(elasticities),
        decisions=parts,
        users=_users(market, found, curves, of_users),
        rivals=rival_parts(market, found, curves, of_rivals, lambda known: _by_name(market, known)),
        one_of_many=tuple(_many(market, found)),
        notes=tuple(f"{line[0].upper()}{line[1:]}." for line in many_in_words(market, found)),
        units=market.units,
        left_open=left_open(result),
        interrupted=interrupted,
    )


def _solved(market: Market) -> Result:
    result = solve(market)
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _curves(market: Market, decisions: Array) -> tuple[list[ProfitCurve], bool]:
    """The curve along each decision, and whether Ctrl-C cut one short."""
    curves, interrupted = [], False
    for which in range(len(decisions)):
        curve, cut = traced(market, which, decisions)
        curves.append(curve)
        interrupted |= cut
    return curves, interrupted


def _value(found: Equilibrium, curve: ProfitCurve) -> float:
    return float(found.prices[curve.decision])


def _sides(market: Market, found: Equilibrium, curve: ProfitCurve) -> tuple[Side | None, Side | None]:
    """Slopes as the decision falls and as it rises, at its cap those beyond."""
    value, which = _value(found, curve), curve.decision
    left, right = beside(curve.pieces, value)
    if _at_cap(found, curve):
        right = next(trace(found.users, found.prices, which, 2 * curve.cap or 1.0, found))
    return side_of(market, found.users, which, left), side_of(market, found.users, which, right)


def _at_cap(found: Equilibrium, curve: ProfitCurve) -> bool:
    value = _value(found, curve)
    return value >= curve.cap - tolerance(curve.pieces, value)


def _elasticities(
    market: Market, found: Equilibrium, sides: list[tuple[Side | None, Side | None]]
) -> dict[str, dict[str, Sides]]:
    sold, values = found.by_decision.tolist(), found.prices.tolist()
    names = [decision.name for decision in market.decisions]
    return {
        name: {
            other: Sides(
                *(elasticity(values[b], sold[a], None if side is None else float(side.slopes[a])) for side in sides[b])
            )
            for b, other in enumerate(names)
        }
        for a, name in enumerate(names)
    }


def _pairs(elasticities: dict[str, dict[str, Sides]]) -> tuple[Pair, ...]:
    """Each two decisions and how they answer one another as they rise, who answer most first."""

    def answer(of: str, by: str) -> float:
        sides = elasticities[of][by]
        return (sides.left if sides.right is None else sides.right) or 0.0

    ranked = sorted(combinations(elasticities, 2), key=lambda two: -(abs(answer(*two)) + abs(answer(two[1], two[0]))))
    return tuple(Pair(two, _relation(answer(*two), answer(two[1], two[0]))) for two in ranked)


def _relation(one: float, other: float) -> Relation:
    if one > 0 and other > 0:
        return Relation.SUBSTITUTES
    return Relation.COMPLEMENTS if one < 0 and other < 0 else Relation.NEITHER


def _part(market: Market, found: Equilibrium, curve: ProfitCurve, above: Side | None) -> DecisionPart:
    which, value = curve.decision, _value(found, curve)
    margins = found.prices - decision_costs(market)
    sold = float(found.by_decision[which])
    rises = above is not None and sold + float(margins @ above.slopes) + above.besides > 0
    return DecisionPart(
        name=curve.name,
        value=value,
        sold=sold,
        profit=float(margins[which]) * sold,
        cap=curve.cap,
        cap_binds=_at_cap(found, curve) and rises,
        higher=_change(market, found, which, NEAR),
        lower=_change(market, found, which, -NEAR),
        kink=switched(market, curve, value),
        searched=curve.searched,
    )


def _change(market: Market, found: Equilibrium, which: int, by: float) -> Change:
    """What a relative change of one decision does."""
    moved = found.prices.copy()
    moved[which] *= 1 + by
    there = solve_users(found.users, moved, found)
    profit = profit_of(market, moved, there.billed) - profit_of(market, found.prices, found.billed)
    return Change(profit, by_decision(market, there.by_decision - found.by_decision))


def _effects(market: Market, found: Equilibrium) -> tuple[dict[int, Effects], dict[int, Effects], bool]:
    """Of users and rivals, on the local maximum that is reached from the decisions."""

    def followed(changed: Market) -> Best:
        near = Incumbent(changed)
        near.offer(start)
        near.polish()  # most often that is all, and no price has to be moved alone
        assert near.prices is not None
        best = ascend(changed, near.users, [near.prices], near.equilibrium)
        assert best.equilibrium is not None
        return Best(nearest_same(changed, best.equilibrium, start), best.profit)

    try:
        start = found.prices
        now = followed(market)
        start = now.decisions
        return effects(market, now, followed, found)
    except KeyboardInterrupt:
        return {}, {}, True


def _users(
    market: Market, found: Equilibrium, curves: list[ProfitCurve], known: dict[int, Effects]
) -> tuple[UserOfPrices, ...]:
    own, rivals = list(market.leader), list(market.rivals)
    margins = np.broadcast_to(unit_margins(market, found.prices), found.flow.shape)
    earned, load = (margins * found.flow)[:, own].sum(axis=1), found.flow[:, own].sum(axis=1)
    alone = np.count_nonzero(found.flow[:, rivals] > 0, axis=1) == 0
    crowds = bool((market.count > 1).any())
    turns = [using(curve, curve.column) for curve in curves]
    parts = []
    for i in range(market.n):
        along = {curve.name: _turn(found, curve, turn[i], i) for curve, turn in zip(curves, turns, strict=True)}
        near = [(along[curve.name], _value(found, curve)) for curve in curves]
        parts.append(
            UserOfPrices(
                id=market.user_ids[i],
                load=float(load[i]),
                profit=float(earned[i]),
                state=state_of(
                    float(load[i]),
                    bool(alone[i]),
                    leaves=any(turn.leaves_at is not None and turn.leaves_at < (1 + NEAR) * at for turn, at in near),
                    joins=any(turn.joins_at is not None and turn.joins_at > (1 - NEAR) * at for turn, at in near),
                ),
                along=along,
                price_effect=_by_name(market, known[i]) if i in known else None,
                profit_effect=known[i].profit if i in known else None,
                count=int(market.count[i]) if crowds else None,
                mix=dict(zip(market.components, market.mix[i].tolist(), strict=True)) if market.components else None,
            )
        )
    return tuple(parts)


def _turn(found: Equilibrium, curve: ProfitCurve, turns: list[tuple[float, bool]], i: int) -> Turn:
    """Where a user leaves the decision's provider, if it uses it now, or else joins it."""
    value = _value(found, curve)
    if found.flow[i, curve.column] > 0:
        return Turn(leaves_at(turns, value), None)
    return Turn(None, joins_at(turns, value))


def _by_name(market: Market, known: Effects) -> dict[str, dict[str, float]]:
    return {key: by_decision(market, change) for key, change in known.price.items()}


def _many(market: Market, found: Equilibrium) -> list[OneOfMany]:
    many = []
    for same in same_bills(market, found):
        names = [market.decisions[k].name for k in same.decisions.tolist()]
        low, high = (ends.tolist() for ends in same.ranges())
        steps = np.where(np.abs(same.steps) > _NOTHING * np.abs(same.steps).max(), same.steps, 0.0)
        many.append(
            OneOfMany(
                directions=tuple(dict(zip(names, step, strict=True)) for step in steps.T.tolist()),
                ranges={name: (first, last) for name, first, last in zip(names, low, high, strict=True)},
            )
        )
    return many
