"""What a page needs to show a market at any price of its leader: loads and flows at the prices where they bend.

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
from prillm_or.market.decisions import FACTOR, all_prices, in_words
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
    """A market as its leader's price moves.

    Parameters
    ----------
    price
        Shape (ends,), rising: between two of them everything is linear.
    bends
        Those at which a user begins or stops using a provider.
    load, sold, rest
        Shape (ends,): the leader's load, the volume that its decision is the price of, and what is earned besides
        (decision - its cost) times that.
    flow
        Shape (ends, users shown, providers shown).
    users, providers
        Who is shown; the leader is the first provider.
    cap_profit
        What the leader earns at the price cap; None where the curve was not traced so far.
    kkt_residual
        The largest of the equilibria at these prices; `users/certificate.py` defines it.
    """

    price: Array
    bends: tuple[float, ...]
    load: Array
    sold: Array
    rest: Array
    flow: Array
    users: Group
    providers: Group
    cap_profit: float | None
    kkt_residual: float


def movement(market: Market, explanation: Explanation, room: int) -> Movement:
    """Solve the equilibria at all ends of pieces, at the price explained, at today's and at local maxima.

    High prices at which nothing happens are left out, see `last_shown`.

    Parameters
    ----------
    explanation
        Of the same market.
    room
        How many numbers it may take at most.

    Raises
    ------
    CombinationError
        When the curve has so many pieces that they do not fit, however few users and rivals are named.
    """
    users = user_problem(market)
    curve = curve_around(market, 0, np.array([explanation.price]))
    price, bends = _ends(market, explanation, curve)
    size = next((size for size in _SIZES if len(price) * _cells(market, size) <= room), None)
    if size is None:
        raise CombinationError(
            f"{market.name}: the profit curve has {len(curve.pieces)} pieces, too many for a page; "
            "`prillm-or curve` writes them all"
        )
    who, providers = _users(market, curve, size), _providers(market, explanation, size)
    load, sold, rest, flow, residual = [], [], [], [], 0.0
    found: Equilibrium | None = None
    for count, at in enumerate(price.tolist(), start=1):
        found = solve_users(users, [at], found)
        load.append(float(found.load[market.leader[0]]))
        sold.append(found.by_decision.item())
        rest.append(found.beside)
        residual = max(residual, certify(market, [at], found.flow).kkt_residual)
        flow.append(providers.summed(who.summed(found.flow).T).T)
        _log.info("flows: %d of %d prices", count, len(price))
    at_cap = float(curve.profit(curve.cap)) + 0.0 if curve.complete else None
    return Movement(
        price=price,
        bends=bends,
        load=np.array(load),
        sold=np.array(sold),
        rest=np.array(rest),
        flow=np.array(flow),
        users=who,
        providers=providers,
        cap_profit=at_cap,
        kkt_residual=residual,
    )


def _cells(market: Market, size: int) -> int:
    """Pairs of users and providers that are shown, of `size` named ones each at most and all others."""
    return min(market.n, size + 1) * min(market.m, size + 2)


def _users(market: Market, curve: ProfitCurve, size: int) -> Group:
    """By demand; those that use the leader at some price are named before all others."""
    turns = using(curve, market.leader[0])
    wanted = [any(begins for _, begins in turn) for turn in turns]
    group = _group(sorted(range(market.n), key=lambda i: (not wanted[i], -market.demand[i])), size)
    return Group(tuple(sorted(group.named, key=lambda i: -market.demand[i])), group.others)


def _providers(market: Market, explanation: Explanation, size: int) -> Group:
    """The leader, then rivals by their load at the price explained."""
    load = {j: rival.load for j, rival in zip(market.rivals, explanation.rivals, strict=True)}
    rivals = _group(sorted(market.rivals, key=lambda j: -load[j]), size)
    return Group((*market.leader, *rivals.named), rivals.others)


def _group(order: Sequence[int], size: int) -> Group:
    """The first `size`; one more rather than a single one left over."""
    named = len(order) if len(order) <= size + 1 else size
    return Group(tuple(order[:named]), tuple(order[named:]))


def _ends(market: Market, explanation: Explanation, curve: ProfitCurve) -> tuple[Array, tuple[float, ...]]:
    """All prices to solve at, and those of them where pieces meet."""
    low, high = curve.searched
    marks = [explanation.price, *(maximum.price for maximum in explanation.local_maxima)]
    if market.today is not None:
        marks.append(market.today.item())
    marks = [mark for mark in marks if low <= mark <= high]
    high = last_shown(curve, marks)
    bends = tuple(piece.start for piece in curve.pieces[1:] if piece.start < high)
    return np.unique([low, high, *marks, *bends]), bends


def document(market: Market, explanation: Explanation, moved: Movement) -> dict[str, Any]:
    """Give a page's script what it shows; flows as shares of the user's demand, pairs never used left out."""
    demand = moved.users.summed(market.demand)
    share = np.round(moved.flow / demand[:, None], _DIGITS) + 0.0
    today = None if market.today is None else market.today.item()
    lists = {} if market.plain else {"sold": moved.sold.tolist(), "rest": moved.rest.tolist()}
    return {
        "provider": explanation.provider,
        "what": explanation.what,
        "label": label(market),
        "unitCost": explanation.marginal_cost,
        "units": {
            "price": market.units.of_prices,
            "volume": market.units.of_volume,
            "money": market.units.of_money,
        },
        "price": moved.price.tolist(),
        "bends": moved.bends,
        "load": moved.load.tolist(),
        **lists,
        "best": explanation.price,
        "today": today if today is not None and moved.price[0] <= today <= moved.price[-1] else None,
        "maxima": [maximum.price for maximum in explanation.local_maxima],
        "users": [
            {"name": name, "demand": float(wanted), "named": named}
            for (name, named), wanted in zip(_names(market.user_ids, moved.users, "user"), demand, strict=True)
        ],
        "providers": [
            {"name": name, "named": named, **_offer(market, moved.providers, place)}
            for place, (name, named) in enumerate(_names(market.provider_ids, moved.providers, "rival"))
        ],
        "flows": [[i, j, share[:, i, j].tolist()] for i, j in np.argwhere(share.max(axis=0) > 0).tolist()],
    }


def _names(ids: Sequence[str], group: Group, what: str) -> list[tuple[str, bool]]:
    others = [(f"{len(group.others)} other {what}s", False)] if group.others else []
    return [*((ids[k], True) for k in group.named), *others]


def label(market: Market) -> str:
    """What the slider moves, and in what unit."""
    unit = "" if market.decides == FACTOR else f", {market.units.of_prices}"
    return f"{in_words(market, market.decisions[0])}{unit}"


def _offer(market: Market, providers: Group, place: int) -> dict[str, Any]:
    """Price and capacity of a provider; others that are one have no price of their own."""
    if place >= len(providers.named):
        return {"price": None, "capacity": None}
    j = providers.named[place]
    price = float(market.price[j]) if j not in market.leader and not market.components else _moving(market, j)
    return {"price": price, "capacity": float(market.capacity[j]) if market.congested else None}


def _moving(market: Market, j: int) -> list[tuple[str, float, float]]:
    """Prices of a provider as the leader's decision moves: names, what they are at 0, and their slopes."""
    at_zero, at_one = (np.atleast_1d(all_prices(market, at)[j]) for at in (0.0, 1.0))
    names = market.components or ("",)
    return list(zip(names, at_zero.tolist(), (at_one - at_zero).tolist(), strict=True))
