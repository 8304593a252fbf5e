"""Beside decisions: what explanations of one decision and of several share: slopes, who comes and goes, rivals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prillm_or.curves.profit_curve import PATIENCE_S, ProfitCurve, curve_between
from prillm_or.curves.trace import SAME, Piece
from prillm_or.curves.turns import switches_at
from prillm_or.errors import ArgumentError, CombinationError, ConvergenceError, argument, is_number
from prillm_or.explanation.effects import Effects
from prillm_or.explanation.explanation import NEAR, RivalPart, State, Switch
from prillm_or.explanation.influence import chains
from prillm_or.market.decisions import rises, what_is_set
from prillm_or.market.market import Array, Market
from prillm_or.result import Result
from prillm_or.solving.recheck import decided_in
from prillm_or.users.equilibrium import Equilibrium
from prillm_or.users.problem import UserProblem

_FLAT = 1e-12


def checked_decisions(market: Market, result: Result) -> Array:
    """The decisions to explain, shape (k,), which have to be some of this market.

    Raises
    ------
    ArgumentError
        When the result is none.
    CombinationError
        When it is that of another market, or of a decision beyond its cap.
    """
    if not isinstance(result, Result):
        raise ArgumentError(f"{argument('result')}: expected a Result, as `solve` gives, got {type(result).__name__}")
    if tuple(result.prices) != market.leader_ids:
        others, names = ", ".join(result.prices) or "nobody", ", ".join(one.name for one in market.decisions)
        raise CombinationError(f"{market.name}: the result has a price of {others}, not of {names}")
    if result.instance != market.name:
        raise CombinationError(f"{market.name}: the result is that of another market, {result.instance}")
    told = {one.name: one.value for one in result.decided}
    for decision, cap in zip(market.decisions, market.price_cap.tolist(), strict=True):
        value = told.get(decision.name, np.nan)
        if not is_number(value) or not 0 <= value <= cap * (1 + SAME):
            whose = f" of {decision.name}" if len(market.decisions) > 1 else ""
            raise CombinationError(
                f"{market.name}: the result's {what_is_set(market)}{whose} {value} is not between 0 and the cap {cap:g}"
            )
    try:
        return decided_in(market, result)
    except ValueError as refusal:
        raise CombinationError(f"{market.name}: the result contradicts the market: {refusal}") from None


def traced(market: Market, which: int, decisions: Array) -> tuple[ProfitCurve, bool]:
    """The curve of one decision, the others held; near its value alone after Ctrl-C, and whether that came."""
    try:
        return curve_around(market, which, decisions), False
    except KeyboardInterrupt:
        return _near(market, which, decisions), True


def curve_around(market: Market, which: int, decisions: Array) -> ProfitCurve:
    """The whole curve; where that takes too long or does not resolve, the part `NEAR` the value.

    Parameters
    ----------
    which
        Position of the decision that moves.
    decisions
        Shape (k,): where the others are held, and near what the curve is wanted at least.
    """
    try:
        curve = curve_between(market, which, 0.0, float(market.price_cap[which]), PATIENCE_S, decisions)
    except ConvergenceError:
        return _near(market, which, decisions)
    return curve if curve.complete else _near(market, which, decisions)


def _near(market: Market, which: int, decisions: Array) -> ProfitCurve:
    value, cap = float(decisions[which]), float(market.price_cap[which])
    return curve_between(market, which, (1 - NEAR) * value, min((1 + NEAR) * value, cap), held=decisions)


@dataclass(frozen=True)
class Side:
    """Slopes on one side of a decision: of the volumes sold by each, and of what is earned besides.

    Parameters
    ----------
    slopes
        Shape (k,).
    which
        Position of the decision that moves.
    """

    slopes: Array
    besides: float
    which: int

    @property
    def slope(self) -> float:
        """Of the volume that the decision is the price of."""
        return float(self.slopes[self.which])


def side_of(market: Market, users: UserProblem, which: int, piece: Piece | None) -> Side | None:
    """The slopes on a piece of a decision's curve; none that is but rounding of the steepest there could be."""
    if piece is None:
        return None
    j = users.decided[which]
    if market.plain and market.congested:
        steepest = float(market.capacity[j] * users.sensitivity[:, which].max())
    else:
        width = np.broadcast_to(users.width, users.base.shape)[:, j]
        # Of each unit a user leaves, as many are sold less as it pays more for it.
        steepest = float((width * users.sensitivity[:, which] * rises(market)[:, which]).sum())
    moves = np.abs(piece.slope) > _FLAT * steepest
    if market.plain:
        moves[which] = piece.slope[which] < -_FLAT * steepest
    return Side(np.where(moves, piece.slope, 0.0), piece.rest_slope, which)


def elasticity(value: float, sold: float, slope: float | None) -> float | None:
    """Relative change of a volume sold per relative change of a decision's value."""
    return None if slope is None or sold <= 0 else value * slope / sold


def switched(market: Market, curve: ProfitCurve, price: float) -> tuple[Switch, ...]:
    """Pairs that change exactly at a price of a curve."""
    return tuple(
        Switch(market.user_ids[i], market.provider_ids[j], begins)
        for (i, j), begins in switches_at(curve, price).items()
    )


def leaves_at(turns: Sequence[tuple[float, bool]], price: float) -> float | None:
    """The least price above at which a user stops that uses a provider now; `turns` are of `curves.turns.using`."""
    return next((at for at, begins in turns if at >= price and not begins), None)


def joins_at(turns: Sequence[tuple[float, bool]], price: float) -> float | None:
    """The last price below at which a user stopped that used a provider up to there."""
    stops = [at for (at, begins), (_, began) in zip(turns[1:], turns, strict=False) if began and not begins]
    return max((at for at in stops if at <= price * (1 + SAME)), default=None)


def state_of(load: float, alone: bool, *, leaves: bool, joins: bool) -> State:
    """What a user has to do with the leader, given whether it leaves or joins within a change of 1 %."""
    if load > 0:
        if leaves:
            return State.LEAVING
        return State.CAPTIVE if alone else State.SHARED
    return State.JOINING if joins else State.AWAY


def rival_parts(
    market: Market,
    found: Equilibrium,
    curves: Sequence[ProfitCurve],
    known: Mapping[int, Effects],
    told: Callable[[Effects], Mapping[str, Any]],
) -> tuple[RivalPart, ...]:
    """The rivals in the market's order, with what was worked out of some, its `price_effect` as it is told.

    At a kink of a curve the pairs that change there tie users and providers, too.
    """
    used = found.flow > 0
    for curve in curves:
        for pair in switches_at(curve, float(found.prices[curve.decision])):
            used[pair] = True
    ways = chains(market, used)
    return tuple(
        RivalPart(
            id=market.provider_ids[j],
            load=float(found.load[j]),
            connected=j in ways,
            chain=ways.get(j, ()),
            price_effect=told(known[j]) if j in known else None,
            profit_effect=known[j].profit if j in known else None,
        )
        for j in market.rivals
    )
