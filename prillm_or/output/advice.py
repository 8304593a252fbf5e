"""Advice: what to do about a price, said of a result before any table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prillm_or.output.numbers import apart, figure, gap_figure, rounded_percent

if TYPE_CHECKING:
    from prillm_or.result import Decided, Result

SAME = 5e-5
"""Relative change of a price that nobody acts on."""

_MOST_NAMED = 5

UNIDENTIFIED = "unidentified"
"""Code of the warning that the data leave the price open."""


def sentences(result: Result) -> Iterator[str]:
    """Say what to do, what it brings, how far that is proven, and how the load answers; then the warnings.

    What the data leave open comes first: nobody is sent to the one price of a fit among many that are as good.
    """
    if unknown := left_open(result):
        yield f"Try prices, do not settle on one: {'; '.join(unknown)}."
    if result.status == "error":
        yield "The run failed: do not act on this price."
    else:
        if _is_worse(result):
            yield "Keep today's prices: what was found so far earns less."
        else:
            yield _moves(result, "By the fit alone: " if unknown else "")
        yield from _brings(result)
        yield _proof(result)
    yield from _answers(result)
    yield from (f"* {warning}" for warning in result.warnings if warning.code != UNIDENTIFIED)


def left_open(result: Result) -> tuple[str, ...]:
    """What the data leave open of the price, one clause each."""
    return tuple(warning.text for warning in result.warnings if warning.code == UNIDENTIFIED)


def _moves(result: Result, begin: str) -> str:
    """Which prices to raise or lower, from what to what, all in one unit."""
    units = "" if result.context is None else result.context.units.of_prices
    if result.factors is not None:
        told = [_multiplied(result, one) for one in result.decided]
    else:
        told = [" ".join((verb, f"the {named(one)}", how)) for one in result.decided for verb, how in [move(one)]]
    text = "; ".join(told)
    if len(told) > 1:
        text += f"; all in {units}" if units else ""
    elif units:
        text = f"{text[:-1]}; {units})" if text.endswith(")") else f"{text} ({units})"
    return f"{begin}{text}." if begin else f"{text[0].upper()}{text[1:]}."


def named(one: Decided) -> str:
    """A decision in words."""
    return f"{'' if one.component is None else f'{one.component} '}price of {one.provider}"


def move(one: Decided) -> tuple[str, str]:
    """What to do with a price, and from what to what, as in `raise` and `from 3 to 4 (+33.3 %)`."""
    price, today = one.value, one.today
    if today is None:
        return "set", f"to {figure(price, 4)}"
    if abs(price - today) <= SAME * today:
        return "keep", f"at {figure(today, 4)}"
    before, after = apart(today, price)
    share = f" ({rounded_percent(price / today - 1, sign=True)})" if today > 0 else ""
    return "raise" if price > today else "lower", f"from {before} to {after}{share}"


def _multiplied(result: Result, one: Decided) -> str:
    """What a factor does to the price list of its provider."""
    prices, today = result.prices[one.provider], {} if result.today is None else result.today.prices
    lists = isinstance(prices, Mapping)
    what = f"{'all prices' if lists else 'the price'} of {one.provider}"
    if abs(one.value - 1) <= SAME:
        return f"keep {what} as {'they are' if lists else 'it is'}, a factor of 1"
    each = prices if lists else {None: prices}
    before = today[one.provider] if lists else {None: today[one.provider]}
    moved = [
        f"{f'{component} ' if lists else ''}from {' to '.join(apart(before[component], price))}"
        for component, price in list(each.items())[:_MOST_NAMED]
    ]
    more = f" and {len(each) - _MOST_NAMED} more" if len(each) > _MOST_NAMED else ""
    return f"multiply {what} by {figure(one.value, 4)}: {', '.join(moved)}{more}"


def _brings(result: Result) -> Iterator[str]:
    """Profit and load, today's first."""
    context = result.context
    money, volume = ("", "") if context is None else (context.units.of_money, context.units.of_volume)
    load = sum(result.loads.values())
    its, begin = ("its", "Its") if len(result.prices) == 1 else ("their", "Together their")
    if result.today is None:
        yield f"{begin} profit is then {figure(result.profit, 4)}{_in(money)}, {its} {_load(load, None, volume)}."
        return
    before = None if context is None else sum(context.loads.values())
    profit = _change("profit", result.today.profit, result.profit, money)
    yield f"{begin} {profit}, {its} {_load(load, before, volume)}."


def _is_worse(result: Result) -> bool:
    """Whether today's prices, which may go on, earn more than those found."""
    today = result.today
    worse = today is not None and result.status != "optimal" and result.profit < today.profit
    return worse and not _above_cap(result)


def _above_cap(result: Result) -> bool:
    """Whether today's prices are none that may be asked."""
    caps = {} if result.context is None else result.context.caps
    return any(one.today is not None and one.today > caps[one.name] for one in result.decided if one.name in caps)


def _load(load: float, before: float | None, unit: str) -> str:
    if before is None:
        return f"load {figure(load, 4)}{_in(unit)}"
    return _change("load", before, load, unit)


def _change(what: str, before: float, after: float, unit: str) -> str:
    """What becomes of a figure."""
    if abs(after - before) <= 1e-9 * max(abs(before), abs(after)):
        return f"{what} stays at {figure(after, 4)}{_in(unit)}"
    way = "rises" if after > before else "falls"
    first, last = apart(before, after)
    share = [rounded_percent(after / before - 1, sign=True)] if before > 0 else []
    said = "; ".join([*share, *([unit] if unit else [])])
    return f"{what} {way} from {first} to {last}" + (f" ({said})" if said else "")


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""


def _proof(result: Result) -> str:
    """How far no other price is better."""
    caps = {} if result.context is None else result.context.caps
    many = len(result.decided) > 1
    up_to = f" up to the cap of {figure(next(iter(caps.values())), 4)}" if len(caps) == 1 else " up to the caps" * many
    what = f"No {'price' if result.factors is None else 'factor'}{'s' if many else ''}"
    if result.upper_bound is None or result.gap is None:
        return "Whether another price earns more is not proven: this method gives no bound."
    if result.status == "optimal":
        return f"{what}{up_to} {'earn' if many else 'earns'} more: proven, to a gap of {gap_figure(result.gap)}."
    ended = "The time limit came first: " if result.status == "time_limit" else ""
    more = f", {rounded_percent(result.gap)} more" if result.profit > 0 else ""
    open_gap = f"{what.lower()}{up_to} {'earn' if many else 'earns'} more than {figure(result.upper_bound, 4)}{more}"
    return f"{ended}{open_gap if ended else open_gap[0].upper() + open_gap[1:]}; the best may lie between."


def _answers(result: Result) -> Iterator[str]:
    """What one per cent of price costs in load, at today's price."""
    context = result.context
    known = [] if context is None else [(name, e) for name, e in context.elasticity.items() if e is not None]
    volume = "load" if result.billed is None else "billed volume"
    if len(known) == 1 == len(result.decided):
        what = "price" if result.billed is None else named(result.decided[0])
        if result.factors is not None:
            what, volume = "prices", "sales, counted at today's prices"
        yield f"At today's {what}, 1 % more costs {rounded_percent(-known[0][1] / 100)} of the {volume}."
    elif known:
        share = ", ".join(f"{name} {rounded_percent(-e / 100)}" for name, e in known[:_MOST_NAMED])
        yield f"At today's prices, 1 % more on one alone costs of its {volume}: {share}."
