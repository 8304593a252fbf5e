"""The nouns: an explanation of several decisions, and what it says of each, of each two, of users and of rivals."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from prillm_or.errors import need_packages
from prillm_or.explanation.explanation import EXPLANATION_FORMAT, Change, RivalPart, Sides, State, Switch, first_rows
from prillm_or.explanation.prices_tables import (
    decisions_table,
    elasticities_table,
    turns_table,
    users_of_prices_table,
)
from prillm_or.explanation.tables import rivals_of_prices_table
from prillm_or.market.market import Units
from prillm_or.output.answer import Answer
from prillm_or.output.plots import on_axes
from prillm_or.output.tables import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_OF_SOME = ("factors", "billed")
_OF_SOME_USERS = ("count", "mix")


class Relation(StrEnum):
    """How the volumes of two decisions answer each other's."""

    SUBSTITUTES = "substitutes"
    """With either price higher more is sold of the other."""
    COMPLEMENTS = "complements"
    """With either price higher less is sold of the other."""
    NEITHER = "neither"
    """One does not answer, or they answer in opposite ways, or there is no elasticity."""


@dataclass(frozen=True)
class Pair:
    """How two decisions answer each other, as they rise."""

    decisions: tuple[str, str]
    relation: Relation


@dataclass(frozen=True)
class DecisionPart:
    """One of several decisions, with the others held.

    Parameters
    ----------
    name
        `ID` of a price or a factor, `ID.COMPONENT` of the price of a component.
    value, sold, profit
        Its value, the volume that it is the price of, and what that earns over its cost.
    cap, cap_binds
        Its cap, and whether a value just above it would earn more.
    higher, lower
        What 1 % more or less of it alone changes: the profit, and the volumes sold, by decision.
    kink
        What changes exactly at its value.
    searched
        The values between which users were looked for who leave or join.
    """

    name: str
    value: float
    sold: float
    profit: float
    cap: float
    cap_binds: bool
    higher: Change
    lower: Change
    kink: tuple[Switch, ...]
    searched: tuple[float, float]


@dataclass(frozen=True)
class Turn:
    """When a user would come or go along one decision, the others held; see `UserPart`."""

    leaves_at: float | None
    joins_at: float | None


@dataclass(frozen=True)
class UserOfPrices:
    """What a user brings, and when it would come or go.

    Parameters
    ----------
    load
        Volume units a period that it routes to the leader.
    profit
        What they earn.
    along
        By decision: where it leaves or joins the decision's provider.
    price_effect, profit_effect
        What 1 % more of its `demand` does to the best decisions, by name, and to their profit; None where that was not
        worked out.
    count, mix
        As of `UserPart`.
    """

    id: str
    load: float
    profit: float
    state: State
    along: Mapping[str, Turn]
    price_effect: Mapping[str, Mapping[str, float]] | None
    profit_effect: Mapping[str, float] | None
    count: int | None = None
    mix: Mapping[str, float] | None = None


@dataclass(frozen=True)
class OneOfMany:
    """Decisions that may move together with nobody paying more or less.

    Parameters
    ----------
    directions
        Steps by decision.
    ranges
        Least and largest value of each.
    """

    directions: tuple[Mapping[str, float], ...]
    ranges: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, repr=False)
class PricesExplanation(Answer):
    """Why several decisions are the best ones.

    Parameters
    ----------
    instance
        Name of the market.
    prices, factors, profit, loads, billed
        As of a result.
    elasticities
        By the decision whose volume is sold, then by the one that moves: relative change of the volume per relative
        change of the decision, as it falls (left) and as it rises (right).
    pairs
        Of decisions, who answer each other most first.
    decisions
        In the market's order.
    users, rivals
        In the market's order; `price_effect` of a rival is by what is raised, then by decision.
    one_of_many
        Of each provider whose bills do not tell its decisions from others.
    notes
        What of it can be said in sentences; not part of the file format.
    units
        Of the market; not part of the file format.
    left_open
        What the data leave open of the price, as `solve` warns; not part of the file format.
    interrupted
        Whether Ctrl-C came before all effects were worked out; not part of the file format.
    """

    instance: str
    prices: Mapping[str, Any]
    factors: Mapping[str, float] | None
    profit: float
    loads: Mapping[str, float]
    billed: Mapping[str, Mapping[str, float]] | None
    elasticities: Mapping[str, Mapping[str, Sides]]
    pairs: tuple[Pair, ...]
    decisions: tuple[DecisionPart, ...]
    users: tuple[UserOfPrices, ...]
    rivals: tuple[RivalPart, ...]
    one_of_many: tuple[OneOfMany, ...]
    notes: tuple[str, ...]
    units: Units
    left_open: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def what(self) -> str:
        """What is explained: prices or factors."""
        return "price" if self.factors is None else "factor"

    @property
    def sold(self) -> str:
        """What a decision is the price of."""
        return "sales" if self.factors is not None else "load" if self.billed is None else "billed volume"

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order; those of lists and crowds only where there are such."""
        fields = dataclasses.asdict(self)
        del fields["notes"], fields["units"], fields["left_open"], fields["interrupted"]
        for holder, names in ((fields, _OF_SOME), *((user, _OF_SOME_USERS) for user in fields["users"])):
            for name in names:
                if holder[name] is None:
                    del holder[name]
        return {"format": EXPLANATION_FORMAT, **fields}

    def to_frame(self) -> DataFrame:
        """A row for each decision, by name: value, sold, profit, 1 % more or less, and elasticities as each rises."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        rows = [
            {
                "decision": part.name,
                "value": part.value,
                "sold": part.sold,
                "profit": part.profit,
                "profit_higher": part.higher.profit,
                "profit_lower": part.lower.profit,
            }
            | {f"elasticity_{other}": sides.right for other, sides in self.elasticities[part.name].items()}
            for part in self.decisions
        ]
        return pd.DataFrame(rows).set_index("decision")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the largest effects of 1 %, on new axes if none are given; the axes."""
        from prillm_or.explanation.effects_plot import effects_height, plot_effects

        return on_axes(ax, lambda axes: plot_effects(axes, self), effects_height(self))

    def parts(self, note: str = "") -> Iterator[Part]:
        """Why in sentences; then decisions, elasticities, who comes and goes, users, and rivals."""
        from prillm_or.explanation.prices_words import sentences_of_prices

        unit = f" ({self.units.of_prices})" if self.factors is None else ""
        yield f"{self.instance}{note}: why these {len(self.decisions)} {self.what}s{unit}"
        yield ""
        yield from (f"* {sentence}" for sentence in sentences_of_prices(self))
        for table in (
            decisions_table(self),
            elasticities_table(self),
            turns_table(self),
            users_of_prices_table(self),
            rivals_of_prices_table(self),
        ):
            yield first_rows(table)
