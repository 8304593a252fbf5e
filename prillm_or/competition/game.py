"""compete: prices at which no owner gains by moving, and what a change of the market would do to them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prillm_or.competition.competition import Competition
from prillm_or.competition.counterfactual import (
    Counterfactual,
    Shift,
    apply_counterfactual,
    carried_over,
    parse_shift,
)
from prillm_or.competition.search import find_prices
from prillm_or.competition.setting import Owner, setting_of
from prillm_or.competition.tables import competition_parts, difference, same_demands
from prillm_or.errors import (
    ArgumentError,
    argument,
    check_count,
    check_number,
    checked_list,
    checked_path,
    need_packages,
)
from prillm_or.files.changes import read_change_file
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.output.answer import Answer
from prillm_or.output.tables import Part

if TYPE_CHECKING:
    from pandas import DataFrame

Entrant = Mapping[str, Any] | str | os.PathLike[str]
"""A provider that comes: the fields of `add.providers` in a change of `watch`, or the path of a JSON file of them."""

Shocks = Mapping[str, str | Shift]
"""What happens to figures, by id or `all`: `+10%`, `-0.5`."""


@dataclass(frozen=True)
class Difference:
    """What a change of the market does, from the first equilibrium before to the first one after.

    Parameters
    ----------
    price
        By name of the decisions there before and after: ids where each provider has one price or factor.
    load, profit
        By id of the providers there before and after.
    users_cost
        Of all users together, currency per period; None where their demands are others.
    """

    price: Mapping[str, float]
    load: Mapping[str, float]
    profit: Mapping[str, float]
    users_cost: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Game(Answer):
    """Several leaders in one market, and in the market as it would be after a change.

    Parameters
    ----------
    before
        What was found in the market as it is.
    after
        After the change; None where none was asked for.
    what_if
        The change in the words of the command line, by argument.
    """

    before: Competition
    after: Competition | None = None
    what_if: Mapping[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether an equilibrium is known, before and after."""
        return all(one is None or one.equilibria for one in (self.before, self.after))

    @property
    def change(self) -> Difference | None:
        """What the change does; None where there is none, or no equilibrium is known before or after it."""
        old, new = self.before.first, None if self.after is None else self.after.first
        if old is None or new is None or self.after is None:
            return None
        places = {name: j for j, name in enumerate(self.before.setting.market.provider_ids)}
        pairs = [
            (name, places[name], k) for k, name in enumerate(self.after.setting.market.provider_ids) if name in places
        ]
        load, profit = (
            {name: difference(float(a[j]), float(b[k])) for name, j, k in pairs}
            for a, b in ((old.load, new.load), (old.profit, new.profit))
        )
        was, now = (
            dict(zip((decision.name for decision in one.setting.decisions), at.decisions.tolist(), strict=True))
            for one, at in ((self.before, old), (self.after, new))
        )
        price = {name: difference(was[name], now[name]) for name in was if name in now}
        cost = difference(old.users_cost, new.users_cost) if same_demands(self.before, self.after) else None
        return Difference(price, load, profit, cost)

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, those of the change under `counterfactual`."""
        after = None if self.after is None else {"what_if": dict(self.what_if), **self.after.to_dict()}
        return self.before.to_dict() | {"counterfactual": after}

    def to_frame(self) -> DataFrame:
        """A row for each provider; with a change, columns before, after and their difference."""
        need_packages("to_frame", "pandas")
        if self.after is None:
            return self.before.to_frame()
        import pandas as pd

        frames = {"before": self.before.to_frame(), "after": self.after.to_frame()}
        shown = [name for name in frames["before"] if not str(name).startswith("today_")]
        both = pd.concat({name: frame[shown] for name, frame in frames.items()}, axis=1)
        change = both["after"] - both["before"]
        return pd.concat([both, pd.concat({"change": change}, axis=1)], axis=1)

    def parts(self, note: str = "") -> Iterable[Part]:
        """Prices, loads and profits side by side, then what is claimed of each and why."""
        return competition_parts(self.before, self.after, note)


def compete(
    market: AnyMarket,
    *,
    leaders: Sequence[str] = (),
    owners: Mapping[str, Sequence[str]] | None = None,
    cap: float | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
    entry: Entrant | Sequence[Entrant] | None = None,
    exit: Sequence[str] = (),
    price_cap: float | None = None,
    cost_shock: Shocks | None = None,
    demand_shock: Shocks | None = None,
    platform_fee: float | None = None,
    starts: int = 5,
    seed: int = 0,
    tolerance: float = 1e-8,
    time_limit: float | None = None,
) -> Game:
    """Find prices at which no owner gains by moving, and compare them with those after a change.

    Owners answer one another with better prices, from several starts; what is claimed is checked afresh and proven,
    owner by owner. Where no start settles, `before.nearest` says how near an equilibrium comes. `merge` to
    `platform_fee` ask what if; together they make one other market.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    leaders
        Ids of the providers whose prices are set; none for all of them. The others keep their prices.
    owners
        Owners of several of them, who set their prices jointly, with the ids.
    cap
        Highest price of every provider but the leader's, currency per volume unit; None for the largest cap or price
        today that there is.
    merge
        New owners, and the providers they take over from theirs.
    entry
        Providers that come, each with an owner of its own.
    exit
        Ids of providers that leave.
    price_cap
        No owner may ask more, currency per volume unit.
    cost_shock, demand_shock
        What happens to unit costs, by provider, and to demands, by user, as in `{"a": "+10%", "b": "-0.05"}`; `all` is
        everybody.
    platform_fee
        Share of revenue that the routing platform takes, in [0, 1).
    starts
        Prices to start from: today's, costs, caps, random ones.
    seed
        Of the random starts.
    tolerance
        Largest relative gain by moving of an owner at an equilibrium.
    time_limit
        Seconds of rounds, for each market, and of the search for the nearest prices; certificates come after.

    Raises
    ------
    ArgumentError
        When an argument is not what it has to be.
    MarketError
        When ids are unknown, or the change breaks a rule; it lists every fault.

    Examples
    --------
    >>> from prillm_or.market.synthetic import generate
    >>> game = compete(generate(5, 4, "uniform", 1), merge={"big": ["p1", "p2"]}, starts=1)
    >>> game.found, game.change.profit["p3"] > 0
    (True, True)
    """
    market = as_market(market)
    _check(starts, seed, tolerance, time_limit=time_limit, cap=cap, price_cap=price_cap, platform_fee=platform_fee)
    leaders = checked_list("leaders", leaders)
    if repeated := [name for name, times in Counter(leaders).items() if times > 1]:
        raise ArgumentError(f"{argument('leaders')}: {', '.join(map(str, repeated))} more than once")
    entrants = _entrants(entry)
    what = Counterfactual(
        merge=_owners("merge", merge),
        entry=entrants,
        exit=checked_list("exit", exit),
        price_cap=price_cap,
        cost=_shifts("cost_shock", cost_shock),
        demand=_shifts("demand_shock", demand_shock),
        platform_fee=platform_fee,
    )
    setting = setting_of(market, leaders, _owners("owners", owners), cap)
    other = None if what.empty else apply_counterfactual(setting, what)
    asked: dict[str, Any] = {"starts": starts, "seed": seed, "tolerance": tolerance, "time_limit": time_limit}
    before = find_prices(setting, **asked)
    if other is None:
        return Game(before)
    at = setting.start() if before.first is None else before.first.decisions
    after = find_prices(other, first=carried_over(setting, at, other), **asked)
    return Game(before, after, _in_words(what))


def _check(starts: int, seed: int, tolerance: float, **amounts: float | None) -> None:
    check_count("starts", starts, 1)
    check_count("seed", seed, 0)
    check_number("tolerance", tolerance)
    for name, value in amounts.items():
        if value is not None:
            check_number(name, value)
    fee = amounts["platform_fee"]
    if fee is not None and fee >= 1:
        raise ArgumentError(f"{argument('platform_fee')}: expected a share of revenue in [0, 1), got {fee:g}")


def _owners(name: str, given: Mapping[str, Sequence[str]] | None) -> tuple[Owner, ...]:
    given = {} if given is None else given
    if not isinstance(given, Mapping) or not all(isinstance(owner, str) for owner in given):
        raise ArgumentError(f"{argument(name)}: expected names with the ids they own, as in {{'big': ['a', 'b']}}")
    return tuple(Owner(owner, checked_list(name, ids)) for owner, ids in given.items())


def _shifts(name: str, given: Shocks | None) -> dict[str, Shift]:
    if not isinstance({} if given is None else given, Mapping):
        raise ArgumentError(f"{argument(name)}: expected changes by id, as in {{'a': '+10%'}}")
    shifts = {}
    for key, change in (given or {}).items():
        try:
            shifts[key] = change if isinstance(change, Shift) else parse_shift(change)
        except (AttributeError, TypeError, ValueError):
            text = f"{key}={change}" if key else change
            raise ArgumentError(
                f"{argument(name, text)}: expected ID=CHANGE with a change such as +10%, -10%, +0.5 or -0.5"
            ) from None
    return shifts


def _entrants(entry: Entrant | Sequence[Entrant] | None) -> dict[str, Mapping[str, Any]]:
    """Fields of the providers that come, by their files, else by their ids."""
    if entry is None:
        return {}
    given = [entry] if isinstance(entry, (Mapping, str, os.PathLike)) else checked_list("entry", entry, "providers")
    return dict(_entrant(one) for one in given)


def _entrant(given: Entrant) -> tuple[str, Mapping[str, Any]]:
    if isinstance(given, Mapping):
        return str(given.get("id", argument("entry"))), given
    path = checked_path("entry", given)
    return str(path), read_change_file(path)


def _in_words(what: Counterfactual) -> dict[str, Any]:
    """What is different, as flags say it; nothing of what is not asked for."""
    words = {
        "merge": [f"{owner.name}={','.join(owner.providers)}" for owner in what.merge],
        "entry": list(what.entry),
        "exit": list(what.exit),
        "price_cap": what.price_cap,
        "cost_shock": [f"{name}={shift}" for name, shift in what.cost.items()],
        "demand_shock": [f"{name}={shift}" for name, shift in what.demand.items()],
        "platform_fee": what.platform_fee,
    }
    return {name: value for name, value in words.items() if value is not None and value != []}
