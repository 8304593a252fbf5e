"""What a page needs to show a market along a decision of its leader: loads and flows at the values where they bend.

Between the ends of the pieces of `curves/trace.py` loads and flows are linear in the price, so their values there give
those at every price. In a large market the users of the leader and the largest others and rivals are kept by name, the
rest summed up as one, which is exact too: a sum of linear functions is linear.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prillm_or.curves.price_axis import last_shown
from prillm_or.curves.profit_curve import ProfitCurve
from prillm_or.curves.turns import using
from prillm_or.errors import CombinationError
from prillm_or.explanation.beside import curve_around
from prillm_or.explanation.explanation import Explanation
from prillm_or.market.decisions import FACTOR, all_prices, decision_costs, what_is_set
from prillm_or.market.market import Array, Market
from prillm_or.users.certificate import certify
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem

_log = logging.getLogger(__name__)

_SIZES = (40, 20, 10, 5)
_DIGITS = 10


@dataclass(frozen=True)
class Group:
    """Users or providers by position: the largest, in the order they are shown in, and all others, shown as one."""

    named: tuple[int, ...]
    others: tuple[int, ...]

    def summed(self, values: Array) -> Array:
        """Those of the named and the sum of all others, along the first axis."""
        rest = [values[list(self.others)].sum(axis=0)] if self.others else []
        return np.stack([*values[list(self.named)], *rest])


@dataclass(frozen=True, eq=False)
class Movement:
    """A market as one of its leader's decisions moves, the others held.

    Parameters
    ----------
    curve
        What is earned along it.
    price
        Shape (ends,), rising: between two of them everything is linear.
    bends
        Those at which a user begins or stops using a provider.
    load, sold, rest
        Shape (ends,): the load of all of the leader's providers, the volume that the decision is the price of, and what
        is earned besides (decision - its cost) times that.
    flow
        Shape (ends, users shown, providers shown).
    users, providers
        Who is shown; the leader's providers come first.
    kkt_residual
        The largest of the equilibria at these prices; `users/certificate.py` defines it.
    """

    curve: ProfitCurve
    price: Array
    bends: tuple[float, ...]
    load: Array
    sold: Array
    rest: Array
    flow: Array
    users: Group
    providers: Group
    kkt_residual: float

    @property
    def cap_profit(self) -> float | None:
        """What the leader earns at the cap; None where the curve was not traced so far."""
        return float(self.curve.profit(self.curve.cap)) + 0.0 if self.curve.complete else None


def movement(market: Market, explanation: Explanation, room: int) -> Movement:
    """The market as its leader's one decision moves; see `movements`."""
    curve = curve_around(market, 0, np.array([explanation.price]))
    marks = [explanation.price, *(maximum.price for maximum in explanation.local_maxima)]
    (moved,) = movements(market, [(curve, marks)], [rival.load for rival in explanation.rivals], room)
    return moved


def movements(
    market: Market, curves: Sequence[tuple[ProfitCurve, Sequence[float]]], rival_loads: Sequence[float], room: int
) -> list[Movement]:
    """Solve the equilibria at all ends of pieces of some curves, at today's value, and at others to be marked.

    High values at which nothing happens are left out, see `last_shown`. The same users and providers are shown of all.

    Parameters
    ----------
    curves
        Each with values to be marked.
    rival_loads
        At the best decisions, in the market's order: the largest rivals are named.
    room
        How many numbers it may take at most.

    Raises
    ------
    CombinationError
        When the curves have so many pieces that they do not fit, however few users and rivals are named.
    """
    ends = [_ends(curve, marks) for curve, marks in curves]
    points = sum(len(prices) for prices, _ in ends)
    size = next((size for size in _SIZES if points * _cells(market, size) <= room), None)
    if size is None:
        pieces = sum(len(curve.pieces) for curve, _ in curves)
        raise CombinationError(
            f"{market.name}: the profit curve has {pieces} pieces, too many for a page; `prillm-or curve` writes them "
            "all"
        )
    who, providers = _users(market, [curve for curve, _ in curves], size), _providers(market, rival_loads, size)
    return [
        _movement(market, curve, prices, bends, who, providers)
        for (curve, _), (prices, bends) in zip(curves, ends, strict=True)
    ]


def _movement(
    market: Market, curve: ProfitCurve, price: Array, bends: tuple[float, ...], who: Group, providers: Group
) -> Movement:
    users, which = user_problem(market), curve.decision
    others = curve.held - decision_costs(market)
    others[which] = 0.0
    load, sold, rest, flow, residual = [], [], [], [], 0.0
    found: Equilibrium | None = None
    for count, at in enumerate(price.tolist(), start=1):
        decisions = curve.held.copy()
        decisions[which] = at
        found = solve_users(users, decisions, found)
        load.append(float(found.load[list(market.leader)].sum()))
        sold.append(float(found.by_decision[which]))
        rest.append(found.beside + float(others @ found.by_decision))
        residual = max(residual, certify(market, decisions, found.flow).kkt_residual)
        flow.append(providers.summed(who.summed(found.flow).T).T)
        _log.info("flows: %d of %d prices", count, len(price))
    return Movement(
        curve=curve,
        price=price,
        bends=bends,
        load=np.array(load),
        sold=np.array(sold),
        rest=np.array(rest),
        flow=np.array(flow),
        users=who,
        providers=providers,
        kkt_residual=residual,
    )


def _cells(market: Market, size: int) -> int:
    """Pairs of users and providers that are shown, of `size` named ones each at most and all others."""
    return min(market.n, size + 1) * min(market.m, size + 2)


def _users(market: Market, curves: Sequence[ProfitCurve], size: int) -> Group:
    """By demand; those that use the leader at some price are named before all others."""
    wanted = np.zeros(market.n, dtype=np.bool_)
    for curve in curves:
        for j in market.leader:
            wanted |= [any(begins for _, begins in turn) for turn in using(curve, j)]
    group = _group(sorted(range(market.n), key=lambda i: (not wanted[i], -market.demand[i])), size)
    return Group(tuple(sorted(group.named, key=lambda i: -market.demand[i])), group.others)


def _providers(market: Market, rival_loads: Sequence[float], size: int) -> Group:
    """The leader's, then rivals by their load at the best decisions."""
    load = dict(zip(market.rivals, rival_loads, strict=True))
    rivals = _group(sorted(market.rivals, key=lambda j: -load[j]), size)
    return Group((*market.leader, *rivals.named), rivals.others)


def _group(order: Sequence[int], size: int) -> Group:
    """The first `size`; one more rather than a single one left over."""
    named = len(order) if len(order) <= size + 1 else size
    return Group(tuple(order[:named]), tuple(order[named:]))


def _ends(curve: ProfitCurve, marks: Sequence[float]) -> tuple[Array, tuple[float, ...]]:
    """All values to solve at, and those of them where pieces meet."""
    low, high = curve.searched
    marks = [mark for mark in (*marks, *([] if curve.today is None else [curve.today])) if low <= mark <= high]
    high = last_shown(curve, marks)
    bends = tuple(piece.start for piece in curve.pieces[1:] if piece.start < high)
    return np.unique([low, high, *marks, *bends]), bends


def document(market: Market, explanation: Explanation, moved: Movement) -> dict[str, Any]:
    """Give a page's script what it shows of a market with one decision."""
    maxima = [maximum.price for maximum in explanation.local_maxima]
    return {"provider": explanation.provider} | along(market, moved, explanation.price, maxima)


def along(market: Market, moved: Movement, best: float, maxima: Sequence[float]) -> dict[str, Any]:
    """What a page's script shows along a decision; flows as shares of the user's demand, pairs never used left out."""
    curve, demand = moved.curve, moved.users.summed(market.demand)
    share = np.round(moved.flow / demand[:, None], _DIGITS) + 0.0
    today = curve.today
    lists = (
        {} if market.plain and len(market.leader) == 1 else {"sold": moved.sold.tolist(), "rest": moved.rest.tolist()}
    )
    return {
        "what": what_is_set(market),
        "label": label(curve),
        "unitCost": curve.unit_cost,
        "units": {
            "price": market.units.of_prices,
            "volume": market.units.of_volume,
            "money": market.units.of_money,
        },
        "price": moved.price.tolist(),
        "bends": moved.bends,
        "load": moved.load.tolist(),
        **lists,
        "best": best,
        "today": today if today is not None and moved.price[0] <= today <= moved.price[-1] else None,
        "maxima": maxima,
        "users": [
            {"name": name, "demand": float(wanted), "named": named}
            for (name, named), wanted in zip(_names(market.user_ids, moved.users, "user"), demand, strict=True)
        ],
        "providers": [
            {"name": name, "named": named, **_offer(market, moved, place)}
            for place, (name, named) in enumerate(_names(market.provider_ids, moved.providers, "rival"))
        ],
        "flows": [[i, j, share[:, i, j].tolist()] for i, j in np.argwhere(share.max(axis=0) > 0).tolist()],
    }


def _names(ids: Sequence[str], group: Group, what: str) -> list[tuple[str, bool]]:
    others = [(f"{len(group.others)} other {what}s", False)] if group.others else []
    return [*((ids[k], True) for k in group.named), *others]


def label(curve: ProfitCurve) -> str:
    """What a slider moves, and in what unit."""
    unit = "" if curve.market.decides == FACTOR else f", {curve.market.units.of_prices}"
    return f"{curve.in_words}{unit}"


def _offer(market: Market, moved: Movement, place: int) -> dict[str, Any]:
    """Price and capacity of a provider; others that are one have no price of their own."""
    if place >= len(moved.providers.named):
        return {"price": None, "capacity": None}
    j = moved.providers.named[place]
    alone = j not in market.leader and not market.components
    price = float(market.price[j]) if alone else _moving(market, moved.curve, j)
    return {"price": price, "capacity": float(market.capacity[j]) if market.congested else None}


def _moving(market: Market, curve: ProfitCurve, j: int) -> list[tuple[str, float, float]]:
    """Prices of a provider as a decision moves: names, what they are at 0, and their slopes."""
    rows = []
    for value in (0.0, 1.0):
        decisions = curve.held.copy()
        decisions[curve.decision] = value
        rows.append(np.atleast_1d(all_prices(market, decisions)[j]))
    names = market.components or ("",)
    return list(zip(names, rows[0].tolist(), (rows[1] - rows[0]).tolist(), strict=True))
