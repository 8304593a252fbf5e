"""An explanation of several decisions in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prillm_or.explanation.words import (
    MOST_NAMED,
    SAME_PROFIT,
    and_more,
    at_price,
    counted,
    listed,
    reserved,
    rivals_in_words,
)
from prillm_or.output.numbers import figure, rounded_percent, signed

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import RivalPart
    from prillm_or.explanation.prices_explanation import DecisionPart, Pair, PricesExplanation, UserOfPrices

_MOST_PAIRS = 2


def sentences_of_prices(explanation: PricesExplanation) -> tuple[str, ...]:
    """Say why the decisions are the best ones; figures with four digits, the exact ones are in the explanation."""
    return (
        *reserved(explanation.left_open),
        *_earned(explanation),
        *_each(explanation),
        *_pairs(explanation),
        *_users(explanation),
        *_rivals(explanation),
        *explanation.notes,
    )


def _earned(explanation: PricesExplanation) -> Iterator[str]:
    values = [f"{part.name} {figure(part.value, 4)}" for part in explanation.decisions]
    load = sum(explanation.loads.values())
    who = ", ".join(f"{name} {figure(one, 4)}" for name, one in explanation.loads.items())
    of_each = f" ({who})" if len(explanation.loads) > 1 else ""
    yield (
        f"At {', '.join(values[:MOST_NAMED])}{and_more(values)} the leader earns {figure(explanation.profit, 4)} "
        f"({explanation.units.of_money}) with a load of {figure(load, 4)}{of_each}; {explanation.units.of_volume}."
    )


def _each(explanation: PricesExplanation) -> Iterator[str]:
    """What each answers, those that earn most first."""
    ranked = sorted(explanation.decisions, key=lambda part: -part.profit)
    for part in ranked[:MOST_NAMED]:
        own = explanation.elasticities[part.name][part.name].right
        told = []
        if own is not None and part.value > 0:
            told.append(f"1 % more changes its {explanation.sold} by {rounded_percent(own / 100, sign=True)}")
        if part.cap_binds:
            told.append(f"its cap of {figure(part.cap, 4)} binds: a higher {explanation.what} would earn more")
        told += [
            f"exactly here {switch.user} {'begins' if switch.begins else 'stops'} to use {switch.provider} as it rises"
            for switch in part.kink[:1]
        ]
        told += list(_better(explanation, part))
        if told:
            yield f"{part.name}: {'; '.join(told)}."
    if len(ranked) > MOST_NAMED:
        yield f"What else 1 % does is in the tables, of all {len(ranked)}."


def _better(explanation: PricesExplanation, part: DecisionPart) -> Iterator[str]:
    """A change of one alone that would earn more: then the decisions are not the best."""
    for way, change in (("more", part.higher), ("less", part.lower)):
        if change.profit > SAME_PROFIT * abs(explanation.profit) and not (way == "more" and part.cap_binds):
            yield f"1 % {way} of it alone would bring {signed(change.profit)}"


def _pairs(explanation: PricesExplanation) -> Iterator[str]:
    """Who substitutes and who complements whom, and by how much."""
    for relation in ("substitutes", "complements"):
        pairs = [pair for pair in explanation.pairs if pair.relation == relation]
        if not pairs:
            continue
        told = "; ".join(_answers(explanation, pair) for pair in pairs[:_MOST_PAIRS])
        more = f"; and {len(pairs) - _MOST_PAIRS} more, see the elasticities" if len(pairs) > _MOST_PAIRS else ""
        yield f"{relation.capitalize()}: {told}{more}."


def _answers(explanation: PricesExplanation, pair: Pair) -> str:
    first, second = pair.decisions

    def change(of: str, by: str) -> str:
        sides = explanation.elasticities[of][by]
        moved = sides.left if sides.right is None else sides.right
        return rounded_percent((moved or 0.0) / 100, sign=True)

    return (
        f"with {first} 1 % higher the {explanation.sold} of {second} changes by {change(second, first)}, with {second} "
        f"1 % higher that of {first} by {change(first, second)}"
    )


def _users(explanation: PricesExplanation) -> Iterator[str]:
    using = sorted((user for user in explanation.users if user.load > 0), key=lambda user: -user.profit)
    if not using:
        yield "Nobody uses the leader, which earns nothing."
    else:
        by_profit = explanation.profit > 0
        whole = explanation.profit if by_profit else sum(explanation.loads.values())
        named = [f"{user.id} {rounded_percent((user.profit if by_profit else user.load) / whole)}" for user in using]
        what = "profit" if by_profit else "load"
        yield (
            f"Its {what} comes from {counted(using, 'user')} of {len(explanation.users)}: "
            f"{', '.join(named[:MOST_NAMED])}{and_more(named)}."
        )
    captive = [user.id for user in using if user.state == "captive"]
    if captive:
        yield f"Using no rival: {listed(captive)}."
    ranked = sorted(explanation.decisions, key=lambda part: -part.profit)
    for part in ranked[:MOST_NAMED]:
        told = list(_turns(explanation, part))
        if told:
            yield f"Along {part.name} alone {' and '.join(told)}."


def _turns(explanation: PricesExplanation, part: DecisionPart) -> Iterator[str]:
    """Who leaves first as a decision rises, and who joins first as it falls."""

    def leaving(user: UserOfPrices) -> float | None:
        return user.along[part.name].leaves_at

    def joining(user: UserOfPrices) -> float | None:
        return user.along[part.name].joins_at

    leavers = [user for user in explanation.users if leaving(user) is not None]
    if leavers:
        first = min(leavers, key=lambda user: leaving(user) or 0.0)
        yield f"the first to leave as it rises is {first.id}, at {at_price(leaving(first), part.value)}"
    joiners = [user for user in explanation.users if joining(user) is not None]
    if joiners:
        first = max(joiners, key=lambda user: joining(user) or 0.0)
        yield f"the first to join as it falls is {first.id}, at {at_price(joining(first), part.value)}"


def _rivals(explanation: PricesExplanation) -> Iterator[str]:
    def named(key: str) -> str:
        return "prices" if key == "price" and explanation.billed is not None else key

    def moved(rival: RivalPart, key: str) -> str:
        moves = sorted((rival.price_effect or {})[key].items(), key=lambda move: -abs(move[1]))
        told = ", ".join(f"{name} {signed(change)}" for name, change in moves[:MOST_NAMED])
        return f"{explanation.what}s would change ({told}{and_more(moves)})"

    return rivals_in_words(explanation, named, moved)
