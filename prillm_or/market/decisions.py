r"""Decisions: the numbers a leader sets, and how what its users pay and what it earns follow from them.

Where a market names components c, such as input and output tokens, user i asks for a_ic of each in one unit of its
volume (its mix) and pays sum_c a_ic price_jc for one at provider j. The leader's price lists are affine in its
decisions y,

    price_jc(y) = price_jc(0) + sum_k y_k U_kjc,

whether it sets components (U_k is 1 at one place) or factors (U_k is the list of the file at one provider, and
price_jc(0) is 0 there). With X_jc = sum_i a_ic f_ij, the billed volumes, the profit is

    sum_jc (price_jc(y) - cost_jc) X_jc = sum_k (y_k - cost_k) B_k + R,
    B_k = sum_jc U_kjc X_jc,      R = sum_jc (price_jc(0) - cost_jc + sum_k cost_k U_kjc) X_jc,

with cost_k the cost of what a decision is the price of, and 0 for a factor. A market without components is one with a
single component, of which each user asks for 1: then X is the load, and R is 0 unless factors are decided, or a price
is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from prillm_or.market.market import Array, Market

COMPONENTS, FACTOR = "components", "factor"
"""What `Market.decides` may be beside a list of components."""


@dataclass(frozen=True)
class Decision:
    """A number that the leader sets.

    Parameters
    ----------
    name
        `ID` of a price or a factor, `ID.COMPONENT` of the price of a component.
    provider
        Position of its provider.
    component
        Position of the component whose price it is; None of a single price, and of a factor.
    """

    name: str
    provider: int
    component: int | None = None


def decisions_of(
    leader: Sequence[int], provider_ids: Sequence[str], components: Sequence[str], decides: str | Sequence[str]
) -> tuple[Decision, ...]:
    """The decisions of a leader, provider by provider in its order, then component by component."""
    if not components or decides == FACTOR:
        return tuple(Decision(provider_ids[j], j) for j in leader)
    decided = [c for c, name in enumerate(components) if decides == COMPONENTS or name in decides]
    return tuple(Decision(f"{provider_ids[j]}.{components[c]}", j, c) for j in leader for c in decided)


def in_words(market: Market, decision: Decision) -> str:
    """What a decision is called in a sentence: `output price of own`, `factor of own`."""
    component = "" if decision.component is None else f"{market.components[decision.component]} "
    return f"{component}{what_is_set(market)} of {market.provider_ids[decision.provider]}"


def what_is_set(market: Market) -> str:
    """What the leader's decisions are: prices or factors."""
    return "factor" if market.decides == FACTOR else "price"


def all_prices(market: Market, decisions: ArrayLike) -> Array:
    """Prices of all providers, shape (m,) or, with components, (m, C), when the leader decides `decisions`, (k,)."""
    prices = market.price.copy()
    if market.plain:
        prices[list(market.leader)] = decisions
        return prices
    values = np.broadcast_to(np.asarray(decisions, dtype=np.float64), len(market.decisions))
    return prices_at(market, market.decisions, values)


def prices_at(market: Market, decisions: Sequence[Decision], values: Array) -> Array:
    """Prices as of `all_prices`, of any providers' decisions, shape (k,)."""
    prices = market.price.copy()
    for decision, value in zip(decisions, values.tolist(), strict=True):
        j = decision.provider
        if decision.component is not None:
            prices[j, decision.component] = value
        else:
            prices[j] = value * market.price[j] if market.decides == FACTOR else value
    return prices


def decisions_in(market: Market, prices: Array) -> Array:
    """Decisions that all providers would have taken who ask prices, in file order; factors of their own lists are 1."""
    if market.plain:
        return prices.copy()
    decided = decisions_of(range(market.m), market.provider_ids, market.components, market.decides)
    if market.decides == FACTOR:
        return np.ones(len(decided))
    return np.array([prices[d.provider] if d.component is None else prices[d.provider, d.component] for d in decided])


def per_unit(market: Market, table: Array) -> Array:
    """What a unit of volume comes to by a table of prices or costs: shape (m,) for all users, (n, m) by their mix."""
    return table if table.ndim == 1 else market.mix @ table.T


def unit_margins(market: Market, decisions: ArrayLike) -> Array:
    """What a unit of volume earns at each provider at the leader's decisions, shape as of `per_unit`."""
    return per_unit(market, all_prices(market, decisions) - market.unit_cost)


def dearest(market: Market, prices: Array) -> float:
    """What a unit of volume costs at most, for any user at any of the leader's providers, by a table of prices."""
    return float(per_unit(market, prices)[..., list(market.leader)].max())


def rises(market: Market) -> Array:
    """What one more of each decision adds to what a unit of volume costs a user at its provider, shape (n, k)."""
    if market.plain:
        return np.ones((market.n, len(market.decisions)))
    columns = []
    for decision in market.decisions:
        if market.decides != FACTOR:
            columns.append(np.ones(market.n) if decision.component is None else market.mix[:, decision.component])
        else:
            columns.append(np.broadcast_to(per_unit(market, market.price[[decision.provider]]).T, (1, market.n))[0])
    return np.column_stack(columns)


def sizes(market: Market) -> Array:
    """The most that one more of each decision adds to what a unit of volume costs a user, shape (k,).

    1 of a price, and of a decision that concerns nobody: what decisions are measured by.
    """
    most = rises(market).max(axis=0)
    return np.where(most > 0, most, 1.0)


def decision_costs(market: Market) -> Array:
    """Unit cost of what each decision is the price of, shape (k,); 0 for a factor."""
    if market.plain:
        return market.unit_cost[list(market.leader)]
    if market.decides == FACTOR:
        return np.zeros(len(market.decisions))
    places = [d.provider if d.component is None else (d.provider, d.component) for d in market.decisions]
    return np.array([market.unit_cost[place] for place in places])


@dataclass(frozen=True, eq=False)
class Tariff:
    """How a leader's earnings follow from billed volumes, where they are not just prices times loads.

    Parameters
    ----------
    mix
        Shape (n, C): what each user asks for of each component in a unit of volume.
    sets
        Shape (k, m, C): U.
    rest
        Shape (m, C): what a billed unit earns whatever is decided, 0 for rivals.
    """

    mix: Array
    sets: Array
    rest: Array

    def of_decisions(self, billed: Array) -> Array:
        """B, shape (k,), of billed volumes or their slopes, shape (m, C)."""
        return np.asarray(np.tensordot(self.sets, billed, axes=2))

    def beside(self, billed: Array) -> float:
        """R, of billed volumes or their slopes, shape (m, C)."""
        return float((self.rest * billed).sum())


def tariff_of(market: Market) -> Tariff | None:
    """The tariff of a market; None where each decision is the only price of a provider."""
    if market.plain:
        return None
    mix, table = market.mix, market.price
    cost = market.unit_cost
    if not market.components:
        mix, table, cost = np.ones((market.n, 1)), table[:, None], cost[:, None]
    sets, rest = np.zeros((len(market.decisions), *table.shape)), np.zeros_like(table)
    own = list(market.leader)
    rest[own] = table[own] - cost[own]
    for k, decision in enumerate(market.decisions):
        where = (decision.provider, slice(None) if decision.component is None else decision.component)
        factor = market.decides == FACTOR
        sets[(k, *where)] = table[where] if factor else 1.0
        rest[where] = -cost[where] if factor else 0.0
    return Tariff(mix, sets, rest)
