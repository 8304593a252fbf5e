"""unilateral: what owners gain by moving alone from given prices, recomputed afresh and cold.

Nothing is carried over from the rounds: each owner's market is built anew, its equilibria are found from no start, and
profits are those of equilibria solved and certified by `prillm_or.users.certificate`.

* One price: `path`, exact. Its upper bound is a proven bound on the gain.
* Several prices: `branch`. Its bound proves how much any prices could gain, also where its time ends with a gap open.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prillm_or.competition.best_response import best_response
from prillm_or.competition.competition import Gain, Standing
from prillm_or.competition.setting import Setting
from prillm_or.market.decisions import per_unit
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, equilibrium_at


def stand(setting: Setting, decisions: Array) -> Standing:
    """The market at decisions, shape (k,), at a users' equilibrium solved from no start.

    Raises
    ------
    ConvergenceError
        When the equilibrium could not be certified.
    """
    market = setting.seat(0, decisions)
    found, residual = _certified(market, decisions[setting.moves[0]])
    prices, billed = setting.prices(decisions), found.billed
    return Standing(
        decisions=decisions,
        prices=prices,
        load=found.load,
        paid=_paid(setting, found),
        profit=setting.earned(prices, billed),
        users_cost=_users_cost(replace(market, price=prices), found.flow),
        platform=setting.fee * float(prices.ravel() @ billed.ravel()),
        kkt_residual=residual,
    )


def _paid(setting: Setting, found: Equilibrium) -> Mask:
    """Which decisions anybody pays."""
    if not setting.market.components:
        return np.asarray(found.load > 0)
    billed = found.billed
    return np.array(
        [
            (billed[d.provider] if d.component is None else billed[d.provider, d.component]).any()
            for d in setting.decisions
        ]
    )


def _certified(market: Market, decisions: Array) -> tuple[Equilibrium, float]:
    """The users' equilibrium from no start, and its KKT residual."""
    found = equilibrium_at(market, decisions)
    return found, certified(market, decisions, found.flow).kkt_residual


def _users_cost(market: Market, flow: Array) -> float:
    """Sum of C_i / w_p,i at the market's prices: each user's cost in currency."""
    load = flow.sum(axis=0)
    prices = per_unit(market, market.price)
    own = market.price_weight[:, None] * prices + market.delay_weight[:, None] * market.delay - market.worth
    congestion = market.congestion_weight[:, None] * (load / market.capacity)
    if market.dispersion.any():  # of a slope s / D by its own flow, it pays half at the end of it
        own += market.pair_dispersion * flow / (2 * market.demand[:, None])
    return float(((flow * (own + congestion)).sum(axis=1) / market.price_weight).sum())


def gains(setting: Setting, prices: Array, gap: float = 1e-7) -> tuple[dict[str, Gain], Array]:
    """What each owner gains by moving alone, and all decisions, shape (k,), after the move that gains most.

    `gap` is that of the best responses of owners of several prices, relative.
    """
    certificate: dict[str, Gain] = {}
    moved, most = prices, 0.0
    for number, owner in enumerate(setting.owners):
        gain, answer = _gain(setting, number, prices, gap)
        certificate[owner.name] = gain
        if gain.relative_gain > most:
            most, moved = gain.relative_gain, prices.copy()
            moved[setting.moves[number]] = answer
    return certificate, moved


def _gain(setting: Setting, number: int, prices: Array, gap: float) -> tuple[Gain, Array]:
    market = setting.seat(number, prices)
    here = prices[setting.moves[number]]
    now = _profit(market, here)
    answer = best_response(market, now=here, gap=gap)
    best = _profit(market, answer.prices)
    size = max(abs(best) * setting.keeps, setting.money) or 1.0
    gain = max(best - now, 0.0) * setting.keeps
    most = max((answer.bound - now) * setting.keeps, gain)
    note = "path, exact" if len(market.decisions) == 1 else "branch, proven bound"
    return Gain(gain, gain / size, most, most / size, np.isfinite(most).item(), note), answer.prices


def _profit(market: Market, decisions: Array) -> float:
    return profit_of(market, decisions, _certified(market, decisions)[0].billed)
