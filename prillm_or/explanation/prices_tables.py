"""Tables of an explanation of several decisions: these, their elasticities, who comes and goes, and users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from prillm_or.explanation.tables import mix_in_words
from prillm_or.output.numbers import figure, rounded_percent, signed
from prillm_or.output.tables import Table

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import Sides
    from prillm_or.explanation.prices_explanation import PricesExplanation

_SAME_SIDES = 1e-6
_MOST_TURNS = 3


def decisions_table(explanation: PricesExplanation) -> Table:
    """The decisions, what they earn, and what 1 % more or less of each alone would bring."""
    effects = ("1 % higher: profit", "1 % lower: profit")
    columns = (explanation.what, "value", "cap", explanation.sold, "profit", *effects)
    rows = [
        (
            part.name,
            figure(part.value, 4),
            figure(part.cap, 4),
            figure(part.sold, 4),
            figure(part.profit, 4),
            signed(part.higher.profit),
            signed(part.lower.profit),
        )
        for part in explanation.decisions
    ]
    title = f"{explanation.what}s; last two: change of the profit with 1 % more or less of each alone"
    return Table(title, columns, rows, columns[1:], ranks=("value", *effects, explanation.sold, "profit", "cap"))


def elasticities_table(explanation: PricesExplanation) -> Table:
    """A row for what is sold, a column for what moves; those of largest profit are shown where room is short."""
    names = [part.name for part in explanation.decisions]
    ranked = [part.name for part in sorted(explanation.decisions, key=lambda part: -part.profit)]
    rows = [(name, *(_sides(explanation.elasticities[name][other]) for other in names)) for name in names]
    title = (
        f"elasticities: change of the {explanation.sold} of each row with 1 % more of the {explanation.what} of each "
        "column, in %; of two figures at a kink the first is for a lower one"
    )
    first = f"{explanation.sold} of"
    return Table(title, (first, *names), rows, names, ranks=ranked)


def _sides(sides: Sides) -> str:
    left, right = sides.left, sides.right
    if left is None or right is None or abs(left - right) <= _SAME_SIDES * max(abs(left), abs(right)):
        return figure(_none_if_zero(right if right is not None else left), 3)
    return f"{figure(left, 3)} | {figure(right, 3)}"


def _none_if_zero(value: float | None) -> float | None:
    return None if value is None else value + 0.0


def turns_table(explanation: PricesExplanation) -> Table:
    """Who leaves first as each decision rises, and who joins first as it falls, the others held."""
    rows = []
    for part in explanation.decisions:
        turns = [
            (abs(at - part.value), user.id, turn, at)
            for user in explanation.users
            for turn, at in (("leaves", user.along[part.name].leaves_at), ("joins", user.along[part.name].joins_at))
            if at is not None
        ]
        for _, user, turn, at in sorted(turns)[:_MOST_TURNS]:
            change = rounded_percent(at / part.value - 1, sign=True) if part.value > 0 else "-"
            rows.append((part.name, user, turn, figure(at, 4), change))
    columns = (explanation.what, "user", "turn", "at", "change")
    title = f"who comes and goes, the {_MOST_TURNS} nearest along each {explanation.what}, all others held"
    return Table(title, columns, rows, columns[3:])


def users_of_prices_table(explanation: PricesExplanation) -> Table:
    """Users, who brings most profit first; the market's order among equals."""
    names = [part.name for part in explanation.decisions]
    effects = ("+1 % demand: profit", *(f"+1 % demand: {name}" for name in names))
    parts = explanation.users
    crowds = any(user.count is not None for user in parts)
    mixed = len({tuple((user.mix or {}).items()) for user in parts}) > 1
    rows = [
        (
            user.id,
            *([str(user.count)] if crowds else []),
            *([mix_in_words(user.mix or {})] if mixed else []),
            figure(user.load, 4),
            figure(user.profit, 4),
            str(user.state),
            signed(None if user.profit_effect is None else user.profit_effect["demand"]),
            *(_effect(user.price_effect, name) for name in names),
        )
        for user in sorted(parts, key=lambda user: -user.profit)
    ]
    who = (*(["count"] if crowds else []), *(["mix"] if mixed else []))
    return Table(
        f"users; last: change of the best profit and {explanation.what}s with 1 % more demand",
        ("user", *who, "to leader", "profit", "state", *effects),
        rows,
        ("count", "to leader", "profit", *effects),
        ("mix",),
        ranks=("to leader", "profit", "state", effects[0], "mix"),
    )


def _effect(effect: Mapping[str, Mapping[str, float]] | None, name: str) -> str:
    return signed(None if effect is None else effect["demand"][name])
