"""counterfactual: a market with several leaders as it would be after a merger, an entry, a shock, a rule, a fee."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from prillm_or.competition.setting import Owner, Setting, all_decisions, joint_name
from prillm_or.errors import MarketError, argument
from prillm_or.market.changes import Change, apply
from prillm_or.market.decisions import FACTOR, decisions_in
from prillm_or.market.market import Array, Market
from prillm_or.market.outside import OUTSIDE

EVERYBODY = "all"
"""Stands for every id in a shock."""


@dataclass(frozen=True)
class Shift:
    """What happens to a figure: it becomes `factor` times itself plus `amount`.

    Parameters
    ----------
    text
        How it was asked for, if it was read.
    """

    factor: float = 1.0
    amount: float = 0.0
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.text or f"x {self.factor:g} {self.amount:+g}"


def parse_shift(text: str) -> Shift:
    """Read `+10%` or `-10%`, a share, or `+0.5` or `-0.5`, an amount; the sign is needed.

    Raises
    ------
    ValueError
        When it is neither.
    """
    number = float(text.removesuffix("%"))
    if text[:1] not in "+-" or not math.isfinite(number):
        raise ValueError
    if text.endswith("%"):
        return Shift(factor=1 + number / 100, text=text)
    return Shift(amount=number, text=text)


@dataclass(frozen=True)
class Counterfactual:
    """What is different; all of it happens together.

    Parameters
    ----------
    merge
        New owners and the providers they take over from theirs.
    entry
        Providers that come, each with an owner of its own: the fields of `add.providers` in a change
        (`prillm_or.market.changes`), by the name of where they come from.
    exit
        Ids of providers that leave.
    price_cap
        No owner's provider may ask more, currency per volume unit; None for no such rule.
    cost, demand
        What happens to unit costs and demands, by id of provider and user, or `all`.
    platform_fee
        The routing platform's share of revenue; None if it stays.
    """

    merge: Sequence[Owner] = ()
    entry: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exit: Sequence[str] = ()
    price_cap: float | None = None
    cost: Mapping[str, Shift] = field(default_factory=dict)
    demand: Mapping[str, Shift] = field(default_factory=dict)
    platform_fee: float | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is different."""
        return self == Counterfactual()


def apply_counterfactual(setting: Setting, what: Counterfactual) -> Setting:
    """The setting as it would be.

    Raises
    ------
    MarketError
        When a rule is broken; it lists every fault of the first part that has any.
    """
    moved = _moved(setting, what)
    return _merged(_limited(_shocked(moved, what), what), what.merge)


def carried_over(before: Setting, decisions: Array, after: Setting) -> Array:
    """Decisions, shape (k,), of one setting as those of another: by name, of newcomers those they come with."""
    known = _named(before, decisions)
    return np.array([known.get(name, value) for name, value in _named(after, after.today).items()])


def _named(setting: Setting, values: Array) -> dict[str, float]:
    """Values of all decisions by their names."""
    return dict(zip((decision.name for decision in setting.decisions), values.tolist(), strict=True))


def _moved(setting: Setting, what: Counterfactual) -> Setting:
    """Without those who leave and with those who come."""
    if not what.exit and not what.entry:
        return setting
    market = setting.market
    unknown = [name for name in what.exit if name not in market.provider_ids]
    if unknown:
        raise MarketError(market.name, [f"{argument('exit')}: no provider has the id {name!r}" for name in unknown])
    staying = [j for j, name in enumerate(market.provider_ids) if name not in what.exit]
    if not staying:
        raise MarketError(market.name, [f"{argument('exit')}: no provider would be left; keep one"])
    first = staying[0]  # leads from now on, since a leader could not leave
    own = [k for k, decision in enumerate(setting.decisions) if decision.provider == first]
    prices = market.price if market.decides == FACTOR else setting.prices(setting.start())
    market = replace(market, price=prices, leader=(first,), price_cap=setting.cap[own], fit=None)
    newcomers = []
    for source, fields in what.entry.items():
        market = _changed(market, {"add": {"providers": [dict(fields)]}}, source)
        newcomers.append(market.provider_ids[-1])
    if what.exit:
        market = _changed(market, {"remove": {"providers": list(what.exit)}}, argument("exit"))
    owners = [*_left(setting, what.exit), *(Owner(name, (name,)) for name in newcomers)]
    return replace(setting, market=market, owners=tuple(owners), cap=_caps(setting, market))


def _caps(setting: Setting, market: Market) -> Array:
    """Caps of a market with newcomers, whose are the highest of the component there are, or what they ask if more."""
    known = _named(setting, setting.cap)
    highest: dict[int | None, float] = {}
    for decision, cap in zip(setting.decisions, setting.cap.tolist(), strict=True):
        highest[decision.component] = max(cap, highest.get(decision.component, 0.0))
    today = decisions_in(market, market.price).tolist()
    return np.array(
        [
            known.get(decision.name, max(highest[decision.component], now))
            for decision, now in zip(all_decisions(market), today, strict=True)
        ]
    )


def _changed(market: Market, change: Change, source: str) -> Market:
    try:
        return apply(market, change)
    except MarketError as error:
        raise MarketError(source, [line.removeprefix("add.providers[0].") for line in error.problems]) from None


def _left(setting: Setting, gone: Sequence[str]) -> Iterator[Owner]:
    """Owners without the providers that are gone; one that is called by its providers is called by those left."""
    for owner in setting.owners:
        stay = tuple(name for name in owner.providers if name not in gone)
        if stay:
            yield Owner(joint_name(stay) if owner.name == joint_name(owner.providers) else owner.name, stay)


def _shocked(setting: Setting, what: Counterfactual) -> Setting:
    """With other unit costs and demands."""
    market = setting.market
    cost, faults = _shifted("cost_shock", "provider", what.cost, market.provider_ids, market.unit_cost)
    demand, more = _shifted("demand_shock", "user", what.demand, market.user_ids, market.demand)
    faults += more
    faults += [
        f"{argument('cost_shock', name)}: its unit cost is 0, of which a share is nothing; give an amount, as in "
        f"{name}=+0.1"
        for name, shift in what.cost.items()
        if shift.factor != 1.0 and not market.unit_cost[_those(name, market.provider_ids)].any()
    ]
    if (cost < 0).any():
        faults.append(f"{argument('cost_shock')}: a unit cost would fall below 0")
    if (demand <= 0).any():
        faults.append(
            f"{argument('demand_shock')}: a demand would not be above 0; the market knows no user without one"
        )
    if faults:
        raise MarketError(market.name, faults)
    return replace(setting, market=replace(market, unit_cost=cost, demand=demand))


def _those(name: str, ids: Sequence[str]) -> list[int]:
    """Positions of an id; of all but an outside option if the name is `all` and nobody is called so."""
    if name in ids:
        return [ids.index(name)]
    return [j for j, one in enumerate(ids) if one != OUTSIDE] if name == EVERYBODY else []


def _shifted(
    which: str, side: str, shifts: Mapping[str, Shift], ids: Sequence[str], values: Array
) -> tuple[Array, list[str]]:
    shifted, faults = values.copy(), []
    for name, shift in shifts.items():
        places = _those(name, ids)
        if not places:
            faults.append(f"{argument(which)}: no {side} has the id {name!r}")
        shifted[places] = shift.factor * shifted[places] + shift.amount
    return shifted, faults


def _limited(setting: Setting, what: Counterfactual) -> Setting:
    """Under a price cap and the platform's fee."""
    fee = setting.fee if what.platform_fee is None else what.platform_fee
    cap = setting.cap
    if what.price_cap is not None:
        cap = cap.copy()
        own = list(setting.priced)
        cap[own] = np.minimum(cap[own], _most(setting, what.price_cap)[own])
    return replace(setting, cap=cap, fee=fee)


def _most(setting: Setting, price_cap: float) -> Array:
    """The highest decisions, shape (k,), at which no price is above a cap."""
    if setting.market.decides != FACTOR:
        return np.full(len(setting.decisions), price_cap)
    dearest = setting.market.price.reshape(setting.market.m, -1).max(axis=1)
    return np.asarray(np.divide(price_cap, dearest, out=np.full(len(dearest), np.inf), where=dearest > 0))


def _merged(setting: Setting, mergers: Sequence[Owner]) -> Setting:
    """With new owners, who take providers over."""
    taken = [name for merger in mergers for name in merger.providers]
    priced = {name for owner in setting.owners for name in owner.providers}
    strangers = [name for name in taken if name not in priced]
    if strangers:
        faults = [f"{argument('merge')}: {name!r} is no provider that an owner sets the price of" for name in strangers]
        raise MarketError(setting.market.name, faults)
    return replace(setting, owners=(*mergers, *_left(setting, taken)))
