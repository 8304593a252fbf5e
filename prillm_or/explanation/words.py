"""An explanation in plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prillm_or.output.numbers import figure, rounded_percent, signed

if TYPE_CHECKING:
    from prillm_or.explanation.explanation import Explanation, Flip, RivalPart, UserPart
    from prillm_or.explanation.prices_explanation import PricesExplanation

MOST_NAMED = 5
_SAME_SIDES = 1e-6
SAME_PROFIT = 1e-9
RAISED = {"price": "1 % higher", "capacity": "1 % larger", "value": "higher by 1 % of the price"}


def sentences(explanation: Explanation) -> tuple[str, ...]:
    """Say why the price is the best one; figures with four digits, the exact ones are in the explanation."""
    if explanation.load <= 0:
        return tuple(_nothing(explanation))
    return (
        *reserved(explanation.left_open),
        *_earned(explanation),
        *_margin(explanation),
        *_users(explanation),
        *_rivals(explanation),
        *_others(explanation),
    )


def reserved(left_open: Sequence[str]) -> Iterator[str]:
    """What the data leave open, before the reasons for a price of a fit."""
    yield from (f"{text[0].upper()}{text[1:]}. What follows is true of the fit's own price." for text in left_open)


def _nothing(explanation: Explanation) -> Iterator[str]:
    yield f"At {_here(explanation)} nobody uses {explanation.provider}, which earns nothing."
    yield from _joining(explanation)
    yield from _others(explanation)


def _here(explanation: Explanation) -> str:
    """The price explained, and what of where that is not plain."""
    price = figure(explanation.price, 4)
    if explanation.net_cost is None:
        return price
    article = "an" if explanation.named[:1] in "aeiou" else "a"
    return f"{article} {explanation.named} of {price}"


def _earned(explanation: Explanation) -> Iterator[str]:
    units = explanation.units
    margin, mean = explanation.price - explanation.marginal_cost, ""
    if explanation.net_cost is not None:
        margin, mean = explanation.profit / explanation.load, ", on average"
    yield (
        f"At {_here(explanation)} {explanation.provider} has a load of {figure(explanation.load, 4)} "
        f"({units.of_volume}), and earns {figure(margin, 4)} on each{mean}: {figure(explanation.profit, 4)} "
        f"({units.of_money})."
    )


def _margin(explanation: Explanation) -> Iterator[str]:
    left, right = explanation.marginal_revenue.left, explanation.marginal_revenue.right
    cost = saved = figure(explanation.marginal_cost, 4)
    if explanation.net_cost is not None:
        sides = (explanation.net_cost.left, explanation.net_cost.right)
        cost, saved = (figure(_zeroed(side or 0.0, explanation.price), 4) for side in sides)
    more = f"Selling one unit more ({explanation.units.volume}) would bring"
    what, less = explanation.what, _less(explanation)
    if explanation.component is not None:
        more = f"Selling one unit more of {explanation.component} would bring"
    elif explanation.factors is not None:
        more = f"Sales higher by 1 ({explanation.units.currency} at the prices of the file) would bring"
    if explanation.cap_binds:
        yield f"The {what} cap of {figure(explanation.cap, 4)} binds: a higher {what} would earn more."
    elif left is not None and right is not None and abs(left - right) <= _SAME_SIDES * explanation.price:
        yield f"{more} {figure(_zeroed(left, explanation.price), 4)}, marginal revenue, and cost {cost}{less}."
    elif left is None and right is None:
        yield f"{_its(explanation)} does not answer small changes of the {what} here."
    else:
        lower = (
            f"A lower {what} would sell no more" if left is None else f"{more} {figure(left, 4)} and cost {cost}{less}"
        )
        higher = f"a higher {what} would sell no less"
        if right is not None:
            higher = f"one unit less would give up {figure(right, 4)} and save {saved}{less}"
        yield f"{f'The {what} sits on a kink. ' if explanation.price > 0 else ''}{lower}; {higher}."
    for switch in explanation.kink:
        turn = "begins" if switch.begins else "stops"
        yield f"Exactly here {switch.user} {turn} to use {switch.provider} as the {what} rises."
    yield from _answer(explanation)
    yield from _other_prices(explanation)


def _its(explanation: Explanation) -> str:
    """What a price moves."""
    if explanation.net_cost is None:
        return "Its load"
    return "Sales" if explanation.component is None else f"The {explanation.component} billed"


def _less(explanation: Explanation) -> str:
    """What costs are counted without."""
    others = [part.component for part in explanation.components if part.component != explanation.component]
    if explanation.component is None or not others:
        return ""
    return f", less what it brings besides ({', '.join(others)})"


def _answer(explanation: Explanation) -> Iterator[str]:
    less, more = explanation.load_near.right, explanation.load_near.left
    if explanation.price > 0 and less is not None and more is not None and explanation.sold > 0:
        (lost, loses), (won, wins) = (_share(load / explanation.sold - 1) for load in (less, more))
        its = _its(explanation)
        of = "of the load" if explanation.net_cost is None else f"of {its[0].lower()}{its[1:]}"
        yield f"A {explanation.what} 1 % higher {loses or 'loses'} {lost} {of}, one 1 % lower {wins or 'wins'} {won}."


def _share(change: float) -> tuple[str, str]:
    return rounded_percent(abs(change)), "wins" if change > 0 else "loses" if change < 0 else ""


def _other_prices(explanation: Explanation) -> Iterator[str]:
    """What the other prices of the list would bring, the most first."""
    others = [part for part in explanation.components if part.component != explanation.component]
    told = sorted(others, key=lambda part: -max(part.higher.profit, part.lower.profit))
    for part in told[:MOST_NAMED]:
        way, change = max((("higher", part.higher), ("lower", part.lower)), key=lambda one: one[1].profit)
        if change.profit > SAME_PROFIT * abs(explanation.profit):
            alone = "alone " if explanation.factors is not None else ""
            yield f"The {part.component} price {alone}1 % {way} would bring {signed(change.profit)}."


def _users(explanation: Explanation) -> Iterator[str]:
    using = sorted((user for user in explanation.users if user.load > 0), key=lambda user: -user.profit)
    what = "profit" if explanation.profit > 0 else "load"
    by_profit = explanation.profit > 0 and explanation.net_cost is not None
    shares = [user.profit / explanation.profit if by_profit else user.load / explanation.load for user in using]
    parts = list(zip(using, shares, strict=True))[:MOST_NAMED]
    named = ", ".join(f"{user.id} {rounded_percent(share)}" for user, share in parts)
    yield f"Its {what} comes from {counted(using, 'user')} of {len(explanation.users)}: {named}{and_more(using)}."
    captive = [user.id for user in using if user.state == "captive"]
    if captive:
        yield f"Using no one else: {listed(captive)}."
    leaving = [user for user in using if user.leaves_at is not None]
    if leaving:
        first = min(leaving, key=lambda user: user.leaves_at or 0.0)
        at = at_price(first.leaves_at, explanation.price)
        yield f"The first to leave as the {explanation.what} rises is {first.id}, at {at}."
    yield from _joining(explanation)


def _joining(explanation: Explanation) -> Iterator[str]:
    def last(user: UserPart) -> float:
        return user.joins_at or 0.0

    joining = [user for user in explanation.users if user.joins_at is not None]
    if joining:
        first = max(joining, key=last)
        yield f"The first to join as it falls is {first.id}, at {at_price(first.joins_at, explanation.price)}."


def _rivals(explanation: Explanation) -> Iterator[str]:
    def moved(rival: RivalPart, key: str) -> str:
        return f"{explanation.what} would change by {signed((rival.price_effect or {})[key])}"

    return rivals_in_words(explanation, lambda key: _key(explanation, key), moved)


def rivals_in_words(
    explanation: Explanation | PricesExplanation, named: Callable[[str], str], moved: Callable[[RivalPart, str], str]
) -> Iterator[str]:
    """Say how many rivals matter, and which most; what its figure of a key is called, and what that moves, is given."""
    apart = [rival.id for rival in explanation.rivals if not rival.connected]
    tied, of = len(explanation.rivals) - len(apart), len(explanation.rivals)
    if tied:
        yield f"{tied} of {of} {'rival is' if of == 1 else 'rivals are'} tied to it through users they share."
    if apart:
        yield f"Without influence while everyone uses whom they use now: {listed(apart)}."

    strongest = max(explanation.rivals, key=lambda rival: rival.largest_effect)
    if strongest.price_effect and strongest.profit_effect and strongest.largest_effect > 0:
        profits = strongest.profit_effect
        key = max(profits, key=lambda key: abs(profits[key]))
        yield (
            f"The rival that matters most is {strongest.id}: with its {named(key)} {RAISED[key]} the best "
            f"{moved(strongest, key)} and the profit by {signed(profits[key])}."
        )
    known = [part.profit_effect is not None for parts in (explanation.users, explanation.rivals) for part in parts]
    if not all(known):
        yield f"In a market of this size effects were worked out for the {sum(known)} that move its profit most."


def _key(explanation: Explanation, key: str) -> str:
    """What changes of a rival."""
    return "prices" if key == "price" and explanation.components else key


def _others(explanation: Explanation) -> Iterator[str]:
    maxima, what = explanation.local_maxima, explanation.what
    if explanation.searched != (0.0, explanation.cap):
        low, high = (figure(end, 4) for end in explanation.searched)
        yield f"Only {what}s from {low} to {high} were looked at: the whole curve has too many pieces."
    if not maxima:
        return
    best = maxima[0]
    if best.profit > explanation.profit * (1 + SAME_PROFIT):
        yield f"It is not the best {what}: {figure(best.price, 4)} earns {figure(best.profit, 4)}."
    if len(maxima) == 1:
        among = "" if explanation.searched == (0.0, explanation.cap) else " among them"
        yield f"The profit has no local maximum{among} but at {figure(best.price, 4)}."
        return
    second = maxima[1]
    if second.profit >= best.profit * (1 - SAME_PROFIT):
        yield f"The {what} {figure(second.price, 4)} earns as much."
        return
    share = rounded_percent(second.profit / best.profit)
    yield f"The next-best local maximum is {figure(second.price, 4)}, which earns {share} of the best."
    found = [flip for flip in explanation.flips if flip.change is not None]
    if found:
        told = "; or ".join(_flip(flip, bool(explanation.components)) for flip in found)
        yield f"The best {what} would jump towards it with {told}."
    elif explanation.flips:
        yield "No change of all demands, of rivals' prices, of the unit cost or value was found to make it the best."


def _flip(flip: Flip, lists: bool) -> str:
    assert flip.change is not None
    size = rounded_percent(abs(flip.change))
    way = "more" if flip.change > 0 else "less"
    costs, prices = ("unit costs", "prices") if lists else ("a unit cost", "price")
    return {
        "demand": f"{size} {way} demand of all users",
        "price": f"prices of all rivals {size} {'higher' if flip.change > 0 else 'lower'}",
        "unit_cost": f"{costs} {'higher' if flip.change > 0 else 'lower'} by {size} of the {prices}",
        "value": f"a value {'higher' if flip.change > 0 else 'lower'} by {size} of the price",
    }[flip.what]


def _zeroed(value: float, price: float) -> float:
    """Rounding is no figure."""
    return 0.0 if abs(value) <= SAME_PROFIT * price else value


def at_price(price: float | None, now: float) -> str:
    """A price, and how far it is from now."""
    assert price is not None
    return f"{figure(price, 4)} ({rounded_percent(price / now - 1, sign=True)})" if now > 0 else figure(price, 4)


def counted(things: Sequence[object], what: str) -> str:
    """How many of what."""
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def and_more(things: Sequence[object]) -> str:
    """How many are not named."""
    return f" and {len(things) - MOST_NAMED} more" if len(things) > MOST_NAMED else ""


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:MOST_NAMED]) + and_more(names)
