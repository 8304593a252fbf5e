"""The nouns: an explanation of a price, and what it says of users, rivals and other prices."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prillm_or.curves.profit_curve import LocalMaximum
from prillm_or.errors import need_packages
from prillm_or.explanation.tables import maxima_table, prices_table, rivals_table, users_table
from prillm_or.market.market import Units
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.plots import on_axes
from prillm_or.output.tables import Part, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

EXPLANATION_FORMAT = "prillm-or/explanation@1"

_MOST_ROWS = 50
_OF_LISTS = ("component", "factors", "sold", "net_cost", "components")
_OF_SOME_USERS = ("count", "mix", "pays")

NEAR = 0.01
"""Prices this near, relative to the price explained, decide who is about to leave or to join."""


class State(StrEnum):
    """What a user has to do with the leader at a price."""

    CAPTIVE = "captive"
    """All of its demand goes to the leader."""
    SHARED = "shared"
    """It uses the leader and rivals."""
    LEAVING = "leaving"
    """It uses the leader, and would not at a price 1 % higher."""
    JOINING = "joining"
    """It does not use the leader, and would at a price 1 % lower."""
    AWAY = "away"
    """It does not use the leader."""


@dataclass(frozen=True)
class Sides:
    """A figure just below a price and just above it: two where the price sits on a kink; None where there is none."""

    left: float | None
    right: float | None


@dataclass(frozen=True)
class Switch:
    """A pair that changes exactly at the price explained, as the price rises.

    Parameters
    ----------
    begins
        Whether the user begins to use the provider; else it stops.
    """

    user: str
    provider: str
    begins: bool


@dataclass(frozen=True)
class Change:
    """What a change of a price does: to the profit, and to the volumes billed, by component or by decision."""

    profit: float
    billed: Mapping[str, float]


@dataclass(frozen=True)
class PricePart:
    """What a price of the leader's list brings.

    Parameters
    ----------
    component
        Its name.
    price, billed, profit
        The price, the volume billed at it, and what that earns.
    decided
        Whether the leader decides it, by itself or by a factor; else it is the file's.
    higher, lower
        What 1 % more or less of this price alone would change.
    """

    component: str
    price: float
    billed: float
    profit: float
    decided: bool
    higher: Change
    lower: Change


@dataclass(frozen=True)
class UserPart:
    """What a user brings, and when it would come or go.

    Parameters
    ----------
    load
        Volume units a period that it routes to the leader.
    profit
        What they earn.
    leaves_at
        The least price above at which it stops using the leader; None where that was not seen.
    joins_at
        Of a user that does not use the leader: the greatest price below at which it does; None where that was not seen.
    price_effect, profit_effect
        What 1 % more of its `demand` does to the best price and to its profit; None where that was not worked out.
    count
        How many users it stands for; None where each stands for one.
    mix, pays
        Units of each component in one unit of its volume, and what that comes to at the leader, currency per volume
        unit; None where there are no components.
    """

    id: str
    load: float
    profit: float
    state: State
    leaves_at: float | None
    joins_at: float | None
    price_effect: Mapping[str, float] | None
    profit_effect: Mapping[str, float] | None
    count: int | None = None
    mix: Mapping[str, float] | None = None
    pays: float | None = None


@dataclass(frozen=True)
class RivalPart:
    """What a rival has to do with the price.

    Parameters
    ----------
    load
        Its load.
    connected
        Whether shared users tie it to the leader, directly or through others.
    chain
        The shortest way from the leader to it, providers and users in turn; empty where there is none.
    price_effect, profit_effect
        What 1 % more of its `price`, all of a list, or `capacity`, or a `value` raised by 1 % of the leader's price,
        does to the best price, or to each of several by name, and to its profit; None where that was not worked out.
    """

    id: str
    load: float
    connected: bool
    chain: tuple[str, ...]
    price_effect: Mapping[str, Any] | None
    profit_effect: Mapping[str, float] | None

    @property
    def largest_effect(self) -> float:
        """How much 1 % more of its price, capacity or value changes the best profit at most; 0 where not known."""
        return max(map(abs, (self.profit_effect or {}).values()), default=0.0)


@dataclass(frozen=True)
class Flip:
    """What was found to make the best price jump towards the next-best local maximum.

    Parameters
    ----------
    what
        `demand` of all users or `price` of all rivals, relative; the leader's `unit_cost` or `value`, relative to its
        price.
    change
        The least change found at which it has jumped; None where none was found.
    price
        The best price then.
    """

    what: str
    change: float | None
    price: float | None


@dataclass(frozen=True, repr=False)
class Explanation(Answer):
    """Why a price of one provider, of one of its components, or the factor of its list, is the best one.

    Parameters
    ----------
    instance, provider
        Names of the market and of the leader's provider.
    prices, profit, load
        The prices explained, by id as in a result, what they earn and the load they have.
    elasticity
        Relative change of the volume sold per relative change of the price.
    load_near
        The volumes sold at prices 1 % lower (left) and higher (right).
    marginal_revenue
        What one unit more of the volume sold would bring, its price less what is lost on all others, as the price falls
        (left) or rises (right): p + x / x'. The best price of the market lies where it passes the marginal cost.
    marginal_cost
        The unit cost of what is sold; 0 for a factor, whose costs are in `net_cost`.
    kink
        What changes exactly at the price; nothing where the load is smooth there.
    cap, cap_binds
        The price cap, and whether a price just above it would earn more.
    users, rivals
        In the market's order.
    local_maxima
        Best first; the best price of all leads.
    flips
        What would make the next-best local maximum the best; nothing where there is none, or in a large market.
    searched
        The prices between which local maxima, and prices to leave and to join at, were looked for.
    units
        Of the market; not part of the file format.
    left_open
        What the data leave open of the price, as `solve` warns; not part of the file format.
    interrupted
        Whether Ctrl-C came before all effects were worked out; not part of the file format.
    decision
        Name of what is explained: `ID` of a price or a factor, `ID.COMPONENT` of the price of a component.
    component
        Whose price it is; None of a single price, and of a factor.
    factors
        By id, where a factor is explained; else None.
    sold
        The volume that the price is of: the load, what is billed of the component, or of a factor the sales at the
        prices of the file, currency per period.
    net_cost
        The marginal cost less what a unit more of the volume sold brings besides, at other prices of the list and less
        their costs, as the price falls (left) or rises (right); None where there is one price.
    components
        The prices of the leader's list, in the market's order; nothing where there is one.
    """

    instance: str
    provider: str
    prices: Mapping[str, Any]
    profit: float
    load: float
    elasticity: Sides
    load_near: Sides
    marginal_revenue: Sides
    marginal_cost: float
    kink: tuple[Switch, ...]
    cap: float
    cap_binds: bool
    users: tuple[UserPart, ...]
    rivals: tuple[RivalPart, ...]
    local_maxima: tuple[LocalMaximum, ...]
    flips: tuple[Flip, ...]
    searched: tuple[float, float]
    units: Units
    left_open: tuple[str, ...] = ()
    interrupted: bool = False
    decision: str = ""
    component: str | None = None
    factors: Mapping[str, float] | None = None
    sold: float = 0.0
    net_cost: Sides | None = None
    components: tuple[PricePart, ...] = ()

    @property
    def price(self) -> float:
        """The price explained, or the factor."""
        if self.factors is not None:
            return self.factors[self.provider]
        prices = self.prices[self.provider]
        return float(prices if self.component is None else prices[self.component])

    @property
    def what(self) -> str:
        """What is explained: a price or a factor."""
        return "price" if self.factors is None else "factor"

    @property
    def named(self) -> str:
        """What is explained, in words."""
        return f"{'' if self.component is None else f'{self.component} '}{self.what}"

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order; those of lists and crowds only where there are such."""
        fields = dataclasses.asdict(self)
        del fields["units"], fields["left_open"], fields["interrupted"]  # those of the market, and for people
        if self.net_cost is None:
            for name in _OF_LISTS:
                del fields[name]
        for user in fields["users"]:
            for name in _OF_SOME_USERS:
                if user[name] is None:
                    del user[name]
        return {"format": EXPLANATION_FORMAT, **fields}

    def to_frame(self) -> DataFrame:
        """A row for each user and rival: `side`, load, and what 1 % more does to the best price and profit."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        rows = [
            {"side": side, "id": part.id, "load": part.load}
            | {f"price_effect_{key}": effect for key, effect in (part.price_effect or {}).items()}
            | {f"profit_effect_{key}": effect for key, effect in (part.profit_effect or {}).items()}
            for side, parts in (("user", self.users), ("rival", self.rivals))
            for part in parts
        ]
        return pd.DataFrame(rows).set_index(["side", "id"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the largest effects of 1 %, on new axes if none are given; the axes."""
        from prillm_or.explanation.effects_plot import effects_height, plot_effects

        return on_axes(ax, lambda axes: plot_effects(axes, self), effects_height(self))

    def parts(self, note: str = "") -> Iterator[Part]:
        """Why in sentences; then the list's prices, users by what they bring, rivals by how they matter, and maxima."""
        from prillm_or.explanation.words import sentences

        whose = self.provider if self.net_cost is None else f"{self.provider}, {self.named}"
        unit = f" ({self.units.of_prices})" if self.factors is None else ""
        yield f"{self.instance}{note}: why {whose} at {figure(self.price)}{unit}"
        yield ""
        yield from (f"* {sentence}" for sentence in sentences(self))
        lists = [prices_table(self)] if self.components else []
        for table in (*lists, users_table(self), rivals_table(self), maxima_table(self)):
            yield first_rows(table)


def first_rows(table: Table) -> Table:
    """The first rows, and how many are left out."""
    more = len(table.rows) - _MOST_ROWS
    if more <= 0:
        return table
    rest = (f"and {more} more", *[""] * (len(table.columns) - 1))
    return dataclasses.replace(table, rows=[*table.rows[:_MOST_ROWS], rest])
