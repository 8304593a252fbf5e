"""An explanation in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prillm_or.output.numbers import figure, rounded_percent, signed

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import Explanation, Flip, UserPart

_MOST_NAMED = 5
_SAME_SIDES = 1e-6
_SAME_PROFIT = 1e-9
_RAISED = {"price": "1 % higher", "capacity": "1 % larger", "value": "higher by 1 % of the price"}


def sentences(explanation: Explanation) -> tuple[str, ...]:
    """Say why the price is the best one; figures with four digits, the exact ones are in the explanation."""
    if explanation.load <= 0:
        return tuple(_nothing(explanation))
    return (
        *_earned(explanation),
        *_margin(explanation),
        *_users(explanation),
        *_rivals(explanation),
        *_others(explanation),
    )


def _nothing(explanation: Explanation) -> Iterator[str]:
    yield f"At {figure(explanation.price, 4)} nobody uses {explanation.provider}, which earns nothing."
    yield from _joining(explanation)
    yield from _others(explanation)


def _earned(explanation: Explanation) -> Iterator[str]:
    units = explanation.units
    margin = explanation.price - explanation.marginal_cost
    yield (
        f"At {figure(explanation.price, 4)} {explanation.provider} has a load of {figure(explanation.load, 4)} "
        f"({units.of_volume}), and earns {figure(margin, 4)} on each: {figure(explanation.profit, 4)} "
        f"({units.of_money})."
    )


def _margin(explanation: Explanation) -> Iterator[str]:
    left, right = explanation.marginal_revenue.left, explanation.marginal_revenue.right
    cost = figure(explanation.marginal_cost, 4)
    more = f"Selling one unit more ({explanation.units.volume}) would bring"
    if explanation.cap_binds:
        yield f"The price cap of {figure(explanation.cap, 4)} binds: a higher price would earn more."
    elif left is not None and right is not None and abs(left - right) <= _SAME_SIDES * explanation.price:
        yield f"{more} {figure(_zeroed(left, explanation.price), 4)}, marginal revenue, and cost {cost}."
    elif left is None and right is None:
        yield "Its load does not answer small changes of the price here."
    else:
        lower = "A lower price would sell no more" if left is None else f"{more} {figure(left, 4)} and cost {cost}"
        higher = "a higher price would sell no less"
        if right is not None:
            higher = f"one unit less would give up {figure(right, 4)} and save {cost}"
        yield f"{'The price sits on a kink. ' if explanation.price > 0 else ''}{lower}; {higher}."
    for switch in explanation.kink:
        turn = "begins" if switch.begins else "stops"
        yield f"Exactly here {switch.user} {turn} to use {switch.provider} as the price rises."
    yield from _answer(explanation)


def _answer(explanation: Explanation) -> Iterator[str]:
    less, more = explanation.load_near.right, explanation.load_near.left
    if explanation.price > 0 and less is not None and more is not None:
        lost, won = (rounded_percent(abs(load / explanation.load - 1)) for load in (less, more))
        yield f"A price 1 % higher loses {lost} of the load, one 1 % lower wins {won}."


def _users(explanation: Explanation) -> Iterator[str]:
    using = sorted((user for user in explanation.users if user.load > 0), key=lambda user: -user.profit)
    named = ", ".join(f"{user.id} {rounded_percent(user.load / explanation.load)}" for user in using[:_MOST_NAMED])
    what = "profit" if explanation.profit > 0 else "load"
    yield f"Its {what} comes from {_count(using, 'user')} of {len(explanation.users)}: {named}{_more(using)}."
    captive = [user.id for user in using if user.state == "captive"]
    if captive:
        yield f"Using no one else: {_listed(captive)}."
    leaving = [user for user in using if user.leaves_at is not None]
    if leaving:
        first = min(leaving, key=lambda user: user.leaves_at or 0.0)
        yield f"The first to leave as the price rises is {first.id}, at {_at(first.leaves_at, explanation.price)}."
    yield from _joining(explanation)


def _joining(explanation: Explanation) -> Iterator[str]:
    def last(user: UserPart) -> float:
        return user.joins_at or 0.0

    joining = [user for user in explanation.users if user.joins_at is not None]
    if joining:
        first = max(joining, key=last)
        yield f"The first to join as it falls is {first.id}, at {_at(first.joins_at, explanation.price)}."


def _rivals(explanation: Explanation) -> Iterator[str]:
    apart = [rival.id for rival in explanation.rivals if not rival.connected]
    tied = len(explanation.rivals) - len(apart)
    if tied:
        of = len(explanation.rivals)
        yield f"{tied} of {of} {'rival is' if of == 1 else 'rivals are'} tied to it through users they share."
    if apart:
        yield f"Without influence while everyone uses whom they use now: {_listed(apart)}."

    strongest = max(explanation.rivals, key=lambda rival: rival.largest_effect)
    if strongest.price_effect and strongest.profit_effect and strongest.largest_effect > 0:
        profits = strongest.profit_effect
        key = max(profits, key=lambda key: abs(profits[key]))
        yield (
            f"The rival that matters most is {strongest.id}: with its {key} {_RAISED[key]} the best price would change "
            f"by {signed(strongest.price_effect[key])} and the profit by {signed(profits[key])}."
        )
    known = [part.profit_effect is not None for parts in (explanation.users, explanation.rivals) for part in parts]
    if not all(known):
        yield f"In a market of this size effects were worked out for the {sum(known)} that move its load most."


def _others(explanation: Explanation) -> Iterator[str]:
    maxima = explanation.local_maxima
    if explanation.searched != (0.0, explanation.cap):
        low, high = (figure(end, 4) for end in explanation.searched)
        yield f"Only prices from {low} to {high} were looked at: the whole curve has too many pieces."
    if not maxima:
        return
    best = maxima[0]
    if best.profit > explanation.profit * (1 + _SAME_PROFIT):
        yield f"It is not the best price: {figure(best.price, 4)} earns {figure(best.profit, 4)}."
    if len(maxima) == 1:
        among = "" if explanation.searched == (0.0, explanation.cap) else " among them"
        yield f"The profit has no local maximum{among} but at {figure(best.price, 4)}."
        return
    second = maxima[1]
    if second.profit >= best.profit * (1 - _SAME_PROFIT):
        yield f"The price {figure(second.price, 4)} earns as much."
        return
    share = rounded_percent(second.profit / best.profit)
    yield f"The next-best local maximum is {figure(second.price, 4)}, which earns {share} of the best."
    found = [flip for flip in explanation.flips if flip.change is not None]
    if found:
        yield f"The best price would jump towards it with {'; or '.join(_flip(flip) for flip in found)}."
    elif explanation.flips:
        yield "No change of all demands, of rivals' prices, of the unit cost or value was found to make it the best."


def _flip(flip: Flip) -> str:
    assert flip.change is not None
    size = rounded_percent(abs(flip.change))
    way = "more" if flip.change > 0 else "less"
    return {
        "demand": f"{size} {way} demand of all users",
        "price": f"prices of all rivals {size} {'higher' if flip.change > 0 else 'lower'}",
        "unit_cost": f"a unit cost {'higher' if flip.change > 0 else 'lower'} by {size} of the price",
        "value": f"a value {'higher' if flip.change > 0 else 'lower'} by {size} of the price",
    }[flip.what]


def _zeroed(value: float, price: float) -> float:
    """Rounding is no figure."""
    return 0.0 if abs(value) <= _SAME_PROFIT * price else value


def _at(price: float | None, now: float) -> str:
    assert price is not None
    return f"{figure(price, 4)} ({rounded_percent(price / now - 1, sign=True)})" if now > 0 else figure(price, 4)


def _count(things: Sequence[object], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _more(things: Sequence[object]) -> str:
    return f" and {len(things) - _MOST_NAMED} more" if len(things) > _MOST_NAMED else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + _more(names)
