"""Setting: a market with several leaders: who sets which prices, up to which caps, and what the platform takes.

What all providers ask is told by one array of k numbers, their decisions: the prices of all, or of the components that
leaders decide, or the factors of all lists, in file order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from prillm_or.errors import MarketError, argument
from prillm_or.market.decisions import FACTOR, Decision, decisions_in, decisions_of, per_unit, prices_at
from prillm_or.market.market import Array, Market

_LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Owner:
    """Who sets the prices of some providers, jointly.

    Parameters
    ----------
    name
        Its name.
    providers
        Ids of its providers.
    """

    name: str
    providers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Setting:
    """Several leaders in one market. Providers that no owner has keep their prices.

    Parameters
    ----------
    market
        The market; its own leader and price cap play no part, what a leader decides does.
    owners
        In the order of their turns; no provider has two.
    cap
        Shape (k,), currency per volume unit of prices: the highest value of each provider's decisions.
    fee
        The routing platform's share of all revenue, in [0, 1).

    Raises
    ------
    MarketError
        When a rule is broken; it lists every fault.
    """

    market: Market
    owners: tuple[Owner, ...]
    cap: Array
    fee: float = 0.0

    def __post_init__(self) -> None:
        if problems := _problems(self):
            raise MarketError(self.market.name, problems)

    @cached_property
    def places(self) -> tuple[tuple[int, ...], ...]:
        """Positions of each owner's providers."""
        where = {name: j for j, name in enumerate(self.market.provider_ids)}
        return tuple(tuple(where[name] for name in owner.providers) for owner in self.owners)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """What all providers decide, in file order, whether somebody owns them or not."""
        return all_decisions(self.market)

    @cached_property
    def moves(self) -> tuple[list[int], ...]:
        """Positions of each owner's decisions, provider by provider in its order."""
        of: dict[int, list[int]] = {}
        for k, decision in enumerate(self.decisions):
            of.setdefault(decision.provider, []).append(k)
        return tuple([k for j in places for k in of[j]] for places in self.places)

    @cached_property
    def priced(self) -> tuple[int, ...]:
        """Positions of all decisions that some owner has, in file order."""
        return tuple(sorted(k for moves in self.moves for k in moves))

    @property
    def several(self) -> bool:
        """Whether some owner has several decisions."""
        return any(len(moves) > 1 for moves in self.moves)

    @cached_property
    def money(self) -> float:
        """Currency per period that profits count for at least: 1e-6 of the total demand at what owners ask today."""
        own = [j for places in self.places for j in places]
        asked = self.scale
        if not self.market.plain:
            at = self.start() if self.start()[list(self.priced)].any() else self.cap
            asked = float(per_unit(self.market, self.prices(at))[..., own].max())
        return _LEAST_SHARE * float(self.market.demand.sum()) * asked

    @cached_property
    def scale(self) -> float:
        """What decisions are measured by: the highest of an owner's today, currency per volume unit of prices.

        If that is 0 the highest cap; not otherwise, since it may be any number where there is no cap.
        """
        own = list(self.priced)
        return float(self.start()[own].max()) or float(self.cap[own].max())

    @cached_property
    def today(self) -> Array:
        """Decisions today, shape (k,), NaN where one is absent; factors are 1."""
        return decisions_in(self.market, self.market.price)

    def costs(self) -> Array:
        """Decisions that cover unit costs, shape (k,): these, or the factors at which a list comes to its costs."""
        market = self.market
        if market.decides != FACTOR:
            return decisions_in(market, market.unit_cost)
        lists, costs = (of.reshape(market.m, -1).sum(axis=1) for of in (market.price, market.unit_cost))
        return np.asarray(np.divide(costs, lists, out=np.zeros(market.m), where=lists > 0))

    def start(self) -> Array:
        """Decisions today, shape (k,), those of owners at most at their caps, and absent ones at a quarter of them."""
        return self.clipped(np.where(np.isnan(self.today), self.cap / 4, self.today))

    def clipped(self, decisions: Array) -> Array:
        """Decisions, shape (k,), with those of owners brought within [0, cap]."""
        clipped, own = decisions.copy(), list(self.priced)
        clipped[own] = np.clip(decisions[own], 0.0, self.cap[own])
        return clipped

    def prices(self, decisions: Array) -> Array:
        """Prices of all providers, shape (m,) or, with components, (m, C)."""
        return decisions.copy() if self.market.plain else prices_at(self.market, self.decisions, decisions)

    def seat(self, number: int, decisions: Array) -> Market:
        """The market as owner `number` sees it: it leads, all others stay at their decisions, shape (k,).

        A fee phi leaves (1 - phi) p x - k x = (1 - phi) (p - k / (1 - phi)) x: the profit of the unit cost
        k / (1 - phi), scaled. The profits of this market times `keeps` are the owner's.
        """
        own = self.places[number]
        prices = self.prices(decisions)
        if self.market.decides == FACTOR:
            prices[list(own)] = self.market.price[list(own)]  # the lists that its factors multiply
        return replace(
            self.market,
            leader=own,
            price=prices,
            price_cap=self.cap[self.moves[number]],
            unit_cost=self.market.unit_cost / self.keeps,
        )

    @property
    def keeps(self) -> float:
        """What the platform leaves of a unit of revenue."""
        return 1.0 - self.fee

    def earned(self, prices: Array, billed: Array) -> Array:
        """What each provider earns, shape (m,), by prices and billed volumes: prices less the fee and unit costs."""
        margin = self.keeps * prices - self.market.unit_cost
        return margin * billed if margin.shape == billed.shape == (self.market.m,) else _by_provider(margin, billed)


def _by_provider(values: Array, billed: Array) -> Array:
    """Sums over components of values times volumes, shape (m,)."""
    return np.asarray((values.reshape(billed.shape) * billed).sum(axis=1))


def all_decisions(market: Market) -> tuple[Decision, ...]:
    """What all providers of a market decide, in file order, each as its leader does."""
    return decisions_of(range(market.m), market.provider_ids, market.components, market.decides)


def joint_name(providers: Sequence[str]) -> str:
    """What an owner is called that nobody gave a name."""
    return "+".join(providers)


def setting_of(
    market: Market, leaders: Sequence[str] = (), groups: Sequence[Owner] = (), cap: float | None = None
) -> Setting:
    """Who competes in a market.

    Parameters
    ----------
    market
        The market; the leader's price caps stay.
    leaders
        Ids of the providers whose prices are set; none for all of them. The others keep their prices.
    groups
        Owners of several of them. Of the rest, those of the market's leader have one owner, any other its own.
    cap
        Highest price of every provider but the leader's; if None the largest of the leader's caps and of all prices
        today, so that nobody has to ask less than it does.

    Raises
    ------
    MarketError
        When ids are unknown or named twice, an owner would own every provider, or a price that nobody sets is absent;
        it lists every fault.
    """
    ids, own = market.provider_ids, list(market.leader)
    named = tuple(leaders) or ids
    problems = [f"{argument('leaders')}: no provider has the id {name!r}" for name in named if name not in ids]
    problems += [
        f"{argument('owners', group.name)}: {name!r} is not among {argument('leaders')}"
        for group in groups
        for name in group.providers
        if name in ids and name not in named
    ]
    absent = [ids[j] for j in own if np.isnan(market.price[j]).any() and ids[j] not in named]
    problems += [
        f"provider {name} has no price today for it to stay at; put it among {argument('leaders')}" for name in absent
    ]
    if problems:
        raise MarketError(market.name, problems)
    return Setting(market, (*groups, *_ungrouped(market, named, groups)), _caps(market, cap))


def _caps(market: Market, cap: float | None) -> Array:
    """The leader's caps, and of all others one that is given, or the largest cap or price today of the component."""
    decisions, today = all_decisions(market), decisions_in(market, market.price)
    kinds = np.array([-1 if decision.component is None else decision.component for decision in decisions])
    own = [decisions.index(decision) for decision in market.decisions]
    caps = np.full(len(decisions), np.nan if cap is None else cap)
    if cap is None:
        known = np.fmax(today, 0.0)
        known[own] = np.fmax(known[own], market.price_cap)
        for kind in np.unique(kinds):
            caps[kinds == kind] = known[kinds == kind].max()
    caps[own] = market.price_cap
    return caps


def _ungrouped(market: Market, named: Sequence[str], groups: Sequence[Owner]) -> list[Owner]:
    """Owners of the named providers that no group has, in file order; those of the market's leader have one."""
    taken = {name for group in groups for name in group.providers}
    left = [name for name in market.provider_ids if name in set(named) - taken]
    together = tuple(name for name in market.leader_ids if name in left)
    return [
        Owner(joint_name(together), together) if name in together else Owner(name, (name,))
        for name in left
        if name not in together[1:]
    ]


def _problems(setting: Setting) -> list[str]:
    market, ids = setting.market, set(setting.market.provider_ids)
    problems = [] if setting.owners else ["owners: expected at least one"]
    names = Counter(owner.name for owner in setting.owners)
    problems += [f"owner {name}: there are {times} of this name" for name, times in names.items() if times > 1]
    count = Counter(name for owner in setting.owners for name in owner.providers)
    several = [name for name, times in count.items() if times > 1]
    problems += [f"owners: {name!r} is named more than once; it has one price and one owner" for name in several]
    for owner in setting.owners:
        if not owner.providers:
            problems.append(f"owner {owner.name}: expected at least one provider")
        unknown = [name for name in owner.providers if name not in ids]
        problems += [f"owner {owner.name}: no provider has the id {name!r}" for name in unknown]
        if ids <= set(owner.providers):
            problems.append(
                f"owner {owner.name}: it would own every provider, and users have to use one: leave it a rival"
            )
    if setting.cap.shape != (len(all_decisions(market)),) or not (np.isfinite(setting.cap) & (setting.cap >= 0)).all():
        problems.append("cap: expected a finite number >= 0 for each decision")
    if not 0 <= setting.fee < 1:
        problems.append(f"fee: expected a share of revenue in [0, 1), got {setting.fee:g}")
    return problems
