"""Tables of an explanation: users by what they bring, rivals by how much they matter, local maxima."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prillm_or.explanation.effects import RIVAL_KEYS
from prillm_or.output.numbers import figure, signed
from prillm_or.output.tables import Table

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import Explanation


def users_table(explanation: Explanation) -> Table:
    """Users, who brings most profit first; the market's order among equals."""
    effects = ("+1 % demand: price", "+1 % demand: profit")
    rows = [
        (
            user.id,
            figure(user.load, 4),
            figure(user.profit, 4),
            str(user.state),
            figure(user.leaves_at, 4),
            figure(user.joins_at, 4),
            _effect(user.price_effect, "demand"),
            _effect(user.profit_effect, "demand"),
        )
        for user in sorted(explanation.users, key=lambda user: -user.profit)
    ]
    return Table(
        "users; last two: change of the best price and of the best profit with 1 % more demand",
        ("user", "to leader", "profit", "state", "leaves at", "joins at", *effects),
        rows,
        ("to leader", "profit", "leaves at", "joins at", *effects),
        ranks=("to leader", "profit", "state", effects[1], "leaves at", "joins at"),
    )


def rivals_table(explanation: Explanation) -> Table:
    """Rivals, who matters most first; the market's order among equals."""
    effects = [f"+1 % {key}: {what}" for key in RIVAL_KEYS for what in ("price", "profit")]
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
        "rivals; last: change of the best price and of the best profit with 1 % more of each",
        ("rival", "load", "tied by", *effects),
        rows,
        ("load", *effects),
        ("tied by",),
        ("load", *effects[1::2], "tied by"),
    )


def maxima_table(explanation: Explanation) -> Table:
    """Prices that earn more than those around them, best first."""
    columns = ("price", "load", "profit")
    rows = [(figure(one.price), figure(one.load), figure(one.profit)) for one in explanation.local_maxima]
    return Table("local maxima, best first", columns, rows, columns)


def _effect(effect: Mapping[str, float] | None, key: str) -> str:
    return signed(None if effect is None else effect[key])
