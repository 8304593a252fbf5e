"""Tables of an explanation: prices of a list, users by what they bring, rivals by how much they matter, maxima."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prillm_or.explanation.effects import RIVAL_KEYS
from prillm_or.output.numbers import figure, signed
from prillm_or.output.tables import Table
from prillm_or.output.words import TIE

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import Explanation
    from prillm_or.explanation.prices_explanation import PricesExplanation


def prices_table(explanation: Explanation) -> Table:
    """The prices of the leader's list, and what 1 % more or less of each would bring."""
    names = [part.component for part in explanation.components]
    effects = ("1 % higher: profit", "1 % lower: profit", *(f"1 % higher: {name}" for name in names))
    rows = [
        (
            part.component if part.decided else f"{part.component} (the file's)",
            figure(part.price, 4),
            figure(part.billed, 4),
            figure(part.profit, 4),
            signed(part.higher.profit),
            signed(part.lower.profit),
            *(signed(part.higher.billed[name]) for name in names),
        )
        for part in explanation.components
    ]
    columns = ("component", "price", "billed", "profit", *effects)
    return Table(
        "prices; last: change of the profit, and of the volumes billed, with 1 % more or less of each alone",
        columns,
        rows,
        columns[1:],
        ranks=("price", "billed", *effects[:2], "profit"),
    )


def users_table(explanation: Explanation) -> Table:
    """Users, who brings most profit first; the market's order among equals."""
    effects = (f"+1 % demand: {explanation.what}", "+1 % demand: profit")
    parts = explanation.users
    crowds = any(user.count is not None for user in parts)
    mixed = len({tuple((user.mix or {}).items()) for user in parts}) > 1
    rows = [
        (
            user.id,
            *([str(user.count)] if crowds else []),
            *([mix_in_words(user.mix or {}), figure(user.pays, 4)] if mixed else []),
            figure(user.load, 4),
            figure(user.profit, 4),
            str(user.state),
            figure(user.leaves_at, 4),
            figure(user.joins_at, 4),
            _effect(user.price_effect, "demand"),
            _effect(user.profit_effect, "demand"),
        )
        for user in sorted(parts, key=lambda user: -user.profit)
    ]
    who = (*(["count"] if crowds else []), *(["mix", "pays"] if mixed else []))
    return Table(
        f"users; last two: change of the best {explanation.what} and of the best profit with 1 % more demand",
        ("user", *who, "to leader", "profit", "state", "leaves at", "joins at", *effects),
        rows,
        ("count", "pays", "to leader", "profit", "leaves at", "joins at", *effects),
        ("mix",),
        ranks=("to leader", "profit", "state", "mix", effects[1], "leaves at", "joins at"),
    )


def mix_in_words(mix: Mapping[str, float]) -> str:
    """What a user asks for, the most first."""
    most = sorted(mix.items(), key=lambda part: -part[1])
    return ", ".join(f"{name}{TIE}{figure(units, 3)}" for name, units in most if units)


def rivals_table(explanation: Explanation) -> Table:
    """Rivals, who matters most first; the market's order among equals."""
    effects = [f"+1 % {key}: {what}" for key in RIVAL_KEYS for what in (explanation.what, "profit")]
    rows = [
        (
            rival.id,
            figure(rival.load, 4),
            " - ".join(rival.chain[1:-1]) or "-",
            *(_effect(effect, key) for key in RIVAL_KEYS for effect in (rival.price_effect, rival.profit_effect)),
        )
        for rival in sorted(explanation.rivals, key=lambda rival: -rival.largest_effect)
    ]
    return Table(
        f"rivals; last: change of the best {explanation.what} and of the best profit with 1 % more of each",
        ("rival", "load", "tied by", *effects),
        rows,
        ("load", *effects),
        ("tied by",),
        ("load", *effects[1::2], "tied by"),
    )


def rivals_of_prices_table(explanation: PricesExplanation) -> Table:
    """Rivals, who matters most first; what they do to each decision is in the file alone."""
    effects = [f"+1 % {key}" for key in RIVAL_KEYS]
    rows = [
        (
            rival.id,
            figure(rival.load, 4),
            " - ".join(rival.chain[:-1]) or "-",
            *(_effect(rival.profit_effect, key) for key in RIVAL_KEYS),
        )
        for rival in sorted(explanation.rivals, key=lambda rival: -rival.largest_effect)
    ]
    return Table(
        "rivals; last: change of the best profit with 1 % more of each",
        ("rival", "load", "tied by", *effects),
        rows,
        ("load", *effects),
        ("tied by",),
        ("load", *effects, "tied by"),
    )


def maxima_table(explanation: Explanation) -> Table:
    """Prices that earn more than those around them, best first."""
    sold = "load" if explanation.net_cost is None else "sold"
    columns = (explanation.what, sold, "profit")
    rows = [(figure(one.price), figure(one.load), figure(one.profit)) for one in explanation.local_maxima]
    return Table("local maxima, best first", columns, rows, columns)


def _effect(effect: Mapping[str, float] | None, key: str) -> str:
    return signed(None if effect is None else effect[key])
