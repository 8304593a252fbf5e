"""caveats: what a careful analyst would say before acting on a price, each under a code that scripts can read.

Their thresholds are those of judgement, not of mathematics: within them a price is nothing out of the ordinary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from prillm_or.market.decisions import COMPONENTS, FACTOR, all_prices, in_words, per_unit, what_is_set
from prillm_or.market.fit_note import FitNote, better_baselines, better_in_words, judged_by
from prillm_or.market.market import Market, by_decision
from prillm_or.market.sanity import implausible
from prillm_or.output.advice import UNIDENTIFIED
from prillm_or.output.numbers import figure, rounded_percent
from prillm_or.result import Caveat
from prillm_or.solving.one_of_many import many_in_words
from prillm_or.users.certificate import profit_of
from prillm_or.users.equilibrium import Equilibrium
from prillm_or.users.reach import turnover
from prillm_or.users.split import AnyEquilibrium, AnyUsers, SplitEquilibrium, equilibrium_of, slopes_at

_FAR = 2.0
"""Times today's price, or the part of it: beyond what anybody has seen, and further than anybody moves at once."""

INELASTIC, HYPERELASTIC = -0.2, -20.0
"""Own elasticities that no market like these has been seen to have, so that the market's figures are to be doubted."""

OPEN = 1.25
"""Times the lowest of best prices, or the weakest of elasticities, that the data do not tell from the best fit's."""

_CAPTIVE = 0.5
_NUDGE = 1e-6
_NEAR = 0.01
"""Relative; a profit proven to 1e-4 leaves the price open by about the root of that."""
_ROUNDING = 1e-12


def caveats(
    market: Market,
    users: AnyUsers,
    found: AnyEquilibrium,
    profit: float,
    elasticity: Mapping[str, float | None],
    *,
    abstracted: bool,
) -> tuple[Caveat, ...]:
    """Those of the prices of an equilibrium, and of the market's own figures.

    Parameters
    ----------
    found
        At the prices found.
    elasticity
        Own elasticities at today's prices, by decision; see `own_elasticity`.
    abstracted
        Whether a small market proposed the prices, and nothing is proven of them.
    """
    return (
        *_cap_binds(market, users, found, profit),
        *_nobody_served(market, found),
        *_loss(market, profit),
        *_far_from_today(market, found),
        *_odd_elasticity(market, elasticity),
        *_captive(market, found, profit),
        *_one_of_many(market, found),
        *_abstracted(abstracted),
        *(() if market.fit is None else _fitted(market, market.fit, found)),
        *implausible(market),
    )


def own_elasticity(market: Market, today: AnyEquilibrium | None) -> dict[str, float | None]:
    """Own elasticities at today's prices, by decision; None where there is no load, or no price, to take a share of.

    They are those of the volume that a decision is the price of; at a kink, those of one side.
    """
    if today is None:
        return {}
    slopes, served = slopes_at(today).diagonal(), today.by_decision
    elasticity: dict[str, float | None] = {}
    each = zip(market.decisions, today.prices.tolist(), slopes.tolist(), served.tolist(), strict=True)
    for decision, price, slope, volume in each:
        e = price * slope / volume if volume > 0 and price > 0 else None
        elasticity[decision.name] = 0.0 if e is not None and abs(e) < _ROUNDING else e
    return elasticity


def _cap_binds(market: Market, users: AnyUsers, found: AnyEquilibrium, profit: float) -> Iterator[Caveat]:
    """Prices at their caps that would earn more a little beyond; a step is taken, as a kink may lie at the cap."""
    cap = market.price_cap
    for k in np.flatnonzero(found.prices >= cap * (1 - _NUDGE)).tolist():
        scale = max(float(cap.max()), 1.0 if market.decides == FACTOR else float(np.nanmax(market.price)))
        beyond = found.prices.copy()
        beyond[k] = cap[k] + _NUDGE * scale
        more = profit_of(market, beyond, equilibrium_of(users, beyond, found).billed)
        if more > profit and more - profit > _ROUNDING * turnover(market):
            name, what = market.decisions[k].name, what_is_set(market)
            whose = f" of {name}" if len(cap) > 1 or market.components else ""
            yield Caveat(
                "cap-binds", f"the {what} cap{whose}, {figure(cap[k], 4)}, binds: a higher {what} would earn more"
            )


def _nobody_served(market: Market, found: AnyEquilibrium) -> Iterator[Caveat]:
    if not found.load[list(market.leader)].any():
        who = market.leader_ids[0] if len(market.leader) == 1 else "any of the leader's providers"
        yield Caveat("nobody-served", f"nobody uses {who} at this price, which earns nothing")


def _loss(market: Market, profit: float) -> Iterator[Caveat]:
    if profit < 0 and profit < -_ROUNDING * turnover(market):
        yield Caveat("loss", f"this price loses money: a profit of {figure(profit, 4)}")


def _far_from_today(market: Market, found: AnyEquilibrium) -> Iterator[Caveat]:
    if (now := market.today) is None:
        return
    for (name, price), today in zip(by_decision(market, found.prices).items(), now.tolist(), strict=True):
        if price > _FAR * today or price < today / _FAR:
            what = "a factor of " if market.decides == FACTOR else ""
            ratio = f"{figure(price / today, 3)} times today's" if today > 0 else "today's is 0"
            yield Caveat(
                "far-from-today",
                f"{what}{figure(price, 4)} for {name} is far from what was observed ({ratio}): go there in steps, and "
                "look",
            )


def _odd_elasticity(market: Market, elasticity: Mapping[str, float | None]) -> Iterator[Caveat]:
    volume = "load" if not market.components else "sales" if market.decides == FACTOR else "billed volume"
    for name, e in elasticity.items():
        if e is not None and e < HYPERELASTIC:
            yield Caveat(
                "hyperelastic",
                f"{_costs(name, e, volume)}: a small error of the market's figures moves the price a lot",
            )
    for name, e in _of_lists(market, elasticity).items():
        if e is not None and e > INELASTIC:
            yield Caveat(
                "inelastic",
                f"{_costs(name, e, volume)}: users hardly answer its price; are prices and weights in one unit?",
            )


def _of_lists(market: Market, elasticity: Mapping[str, float | None]) -> Mapping[str, float | None]:
    """What answers a provider's whole list of prices: a component that is a small part of a bill moves nobody.

    Nothing where a leader decides but a part of each list.
    """
    if market.components and market.decides == COMPONENTS:
        sums: dict[str, float | None] = {}
        for decision, e in zip(market.decisions, elasticity.values(), strict=False):
            if e is not None:  # a price of 0 answers nothing, whichever component of the list it is
                name = market.provider_ids[decision.provider]
                sums[name] = (sums.get(name) or 0.0) + e
        return sums
    return elasticity if not market.components or market.decides == FACTOR else {}


def _costs(name: str, e: float, volume: str) -> str:
    return f"at today's price 1 % more would cost {name} {rounded_percent(-e / 100)} of its {volume}"


def _captive(market: Market, found: AnyEquilibrium, profit: float) -> Iterator[Caveat]:
    if profit <= 0:
        return
    earned = _earned_alone(market, found)
    if earned > _CAPTIVE * profit * (1 + _NUDGE):
        yield Caveat(
            "captive",
            f"{rounded_percent(min(earned / profit, 1.0))} of the profit comes from users who use no rival at this "
            "price: would they stay?",
        )


def _earned_alone(market: Market, found: AnyEquilibrium) -> float:
    """What users bring the leader who use none of its rivals."""
    leader, rivals = list(market.leader), list(market.rivals)
    if isinstance(found, SplitEquilibrium):
        return float(found.answer.alone[leader] @ (all_prices(market, found.prices) - market.unit_cost)[leader])
    alone = np.maximum.reduce(found.flow[:, rivals], axis=1) <= 0
    if not np.count_nonzero(alone):
        return 0.0
    margin = per_unit(market, all_prices(market, found.prices) - market.unit_cost)
    margin = np.broadcast_to(margin, found.flow.shape)[alone][:, leader]
    return float((found.flow[alone][:, leader] * margin).sum())


def _one_of_many(market: Market, found: AnyEquilibrium) -> Iterator[Caveat]:
    """Decisions that no bill tells from others; where nobody is served, that is said already."""
    if len(market.decisions) > 1 and found.load[list(market.leader)].any():
        assert isinstance(found, Equilibrium)
        yield from (Caveat("one-of-many", text) for text in many_in_words(market, found))


def _abstracted(abstracted: bool) -> Iterator[Caveat]:
    if abstracted:
        yield Caveat(
            "abstracted", "a smaller market stood for this one: nothing proves how near the price is to the best"
        )


def _fitted(market: Market, note: FitNote, found: AnyEquilibrium) -> Iterator[Caveat]:
    """What the fit that the market comes from leaves open, and what predicts better than it."""
    yield from _unidentified(market, note, found)
    if better := list(better_baselines(note.scores, judged_by(note.scores))):
        yield Caveat(
            "baseline-wins", f"{better_in_words(better)}: what the fit says of users is in doubt, and the price"
        )


def _unidentified(market: Market, note: FitNote, found: AnyEquilibrium) -> Iterator[Caveat]:
    ends, ranges, prices = note.elasticity_range, note.best_price_range or {}, by_decision(market, found.prices)
    answer = "" if ends is None else f" (own elasticity {figure(ends[0], 3)} to {figure(ends[1], 3)})"
    # A price out of its range is that of another market: since it was fitted, its file has been changed by hand.
    if ranges and all(low * (1 - _NEAR) <= prices[name] <= high * (1 + _NEAR) for name, (low, high) in ranges.items()):
        words = {decision.name: in_words(market, decision) for decision in market.decisions}
        spans = [
            (words[name], f"any from {figure(low, 4)} to {figure(high, 4)}")
            for name, (low, high) in ranges.items()
            if high > OPEN * low
        ]
        if len(spans) == 1:
            ((what, span),) = spans
            yield Caveat(UNIDENTIFIED, f"the data leave the best {what} open, {span} may be it{answer}")
        elif spans:
            each = "; ".join(f"the {what}, {span}" for what, span in spans)
            yield Caveat(UNIDENTIFIED, f"the data leave what is best open{answer}: {each}")
    elif ends is not None and ends[0] < OPEN * ends[1]:
        yield Caveat(UNIDENTIFIED, f"the data leave open how users answer a price{answer}")
    elif ends is None and market.today is not None and not market.today.any():
        yield Caveat(UNIDENTIFIED, "nothing was paid, so that how users answer a price rests on the model alone")
