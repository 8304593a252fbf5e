"""caveats: what a careful analyst would say before acting on a price, each under a code that scripts can read.

Their thresholds are those of judgement, not of mathematics: within them a price is nothing out of the ordinary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from prillm_or.market.market import Market, by_leader
from prillm_or.market.sanity import implausible
from prillm_or.output.numbers import figure, rounded_percent
from prillm_or.result import Caveat
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium, UserProblem, load_slopes, solve_users
from prillm_or.users.reach import turnover

_FAR = 2.0
"""Times today's price, or the part of it: beyond what anybody has seen, and further than anybody moves at once."""

_INELASTIC, _HYPERELASTIC = -0.2, -20.0
"""Own elasticities that no market like these has been seen to have, so that the market's figures are to be doubted."""

_CAPTIVE = 0.5
_NUDGE = 1e-6
_ROUNDING = 1e-12


def caveats(
    market: Market,
    users: UserProblem,
    found: Equilibrium,
    profit: float,
    elasticity: Mapping[str, float | None],
    *,
    abstracted: bool,
) -> tuple[Caveat, ...]:
    """Those of the prices of an equilibrium, and of the market's own figures.

    Parameters
    ----------
    found
        At the prices found.
    elasticity
        Own elasticities at today's prices, by provider; see `own_elasticity`.
    abstracted
        Whether a small market proposed the prices, and nothing is proven of them.
    """
    return (
        *_cap_binds(market, users, found, profit),
        *_nobody_served(market, found),
        *_loss(market, profit),
        *_far_from_today(market, found),
        *_odd_elasticity(elasticity),
        *_captive(market, found, profit),
        *_abstracted(abstracted),
        *implausible(market),
    )


def own_elasticity(market: Market, users: UserProblem, today: Equilibrium | None) -> dict[str, float | None]:
    """Own elasticities at today's prices, by provider; None where there is no load, or no price, to take a share of.

    At a kink they are those of one side.
    """
    if today is None:
        return {}
    load = today.load[list(market.leader)]
    slopes = load_slopes(users, today.laplacian).diagonal()
    return {
        name: float(price * slope / served) if served > 0 and price > 0 else None
        for name, price, slope, served in zip(market.leader_ids, today.prices, slopes, load, strict=True)
    }


def _cap_binds(market: Market, users: UserProblem, found: Equilibrium, profit: float) -> Iterator[Caveat]:
    """Prices at their caps that would earn more a little beyond; a step is taken, as a kink may lie at the cap."""
    cap = market.price_cap
    for k in np.flatnonzero(found.prices >= cap * (1 - _NUDGE)).tolist():
        scale = max(float(cap.max()), float(np.nanmax(market.price)))
        beyond = found.prices.copy()
        beyond[k] = cap[k] + _NUDGE * scale
        more = profit_of(market, beyond, solve_users(users, beyond, found).billed)
        if more > profit and more - profit > _ROUNDING * turnover(market):
            name = "" if len(cap) == 1 else f" of {market.leader_ids[k]}"
            yield Caveat(
                "cap-binds", f"the price cap{name}, {figure(cap[k], 4)}, binds: a higher price would earn more"
            )


def _nobody_served(market: Market, found: Equilibrium) -> Iterator[Caveat]:
    if not found.load[list(market.leader)].any():
        who = market.leader_ids[0] if len(market.leader) == 1 else "any of the leader's providers"
        yield Caveat("nobody-served", f"nobody uses {who} at this price, which earns nothing")


def _loss(market: Market, profit: float) -> Iterator[Caveat]:
    if profit < 0 and profit < -_ROUNDING * turnover(market):
        yield Caveat("loss", f"this price loses money: a profit of {figure(profit, 4)}")


def _far_from_today(market: Market, found: Equilibrium) -> Iterator[Caveat]:
    if market.today is None:
        return
    prices = by_leader(market, found.prices)
    for (name, price), today in zip(prices.items(), market.today.tolist(), strict=True):
        if price > _FAR * today or price < today / _FAR:
            ratio = f"{figure(price / today, 3)} times today's" if today > 0 else "today's is 0"
            yield Caveat(
                "far-from-today",
                f"{figure(price, 4)} for {name} is far from what was observed ({ratio}): go there in steps, and look",
            )


def _odd_elasticity(elasticity: Mapping[str, float | None]) -> Iterator[Caveat]:
    for name, e in elasticity.items():
        if e is None:
            continue
        costs = f"at today's price 1 % more would cost {name} {rounded_percent(-e / 100)} of its load"
        if e > _INELASTIC:
            yield Caveat("inelastic", f"{costs}: users hardly answer its price; are prices and weights in one unit?")
        elif e < _HYPERELASTIC:
            yield Caveat("hyperelastic", f"{costs}: a small error of the market's figures moves the price a lot")


def _captive(market: Market, found: Equilibrium, profit: float) -> Iterator[Caveat]:
    if profit <= 0:
        return
    leader, rivals = list(market.leader), list(market.rivals)
    alone = ~(found.flow[:, rivals] > 0).any(axis=1)
    earned = float((found.flow[alone][:, leader] @ (found.prices - market.unit_cost[leader])).sum())
    if earned > _CAPTIVE * profit * (1 + _NUDGE):
        yield Caveat(
            "captive",
            f"{rounded_percent(min(earned / profit, 1.0))} of the profit comes from users who use no rival at this "
            "price: would they stay?",
        )


def _abstracted(abstracted: bool) -> Iterator[Caveat]:
    if abstracted:
        yield Caveat(
            "abstracted", "a smaller market stood for this one: nothing proves how near the price is to the best"
        )
