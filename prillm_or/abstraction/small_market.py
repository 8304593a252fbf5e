"""Abstraction: a market with few rivals that stands for one with many, and how it is composed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.equilibrium import Equilibrium, UserProblem, is_ample
from prillm_or.users.threads import over_blocks

_TIE = 1e-9
_MOST_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Abstraction:
    """A small market, and what became of the rivals.

    Parameters
    ----------
    market
        The small market; the original itself where it has no more rivals than were to be left.
    kept
        Names of the rivals that stay as they are.
    merged
        Name of each merged rival, with the weights of the rivals it stands for, adding up to 1.
    equilibrium
        The full market's equilibrium that it was anchored at, or None where none was solved.
    """

    market: Market
    kept: tuple[str, ...]
    merged: Mapping[str, Mapping[str, float]]
    equilibrium: Equilibrium | None = None

    @property
    def anchor(self) -> Array | None:
        """The leader's prices it was anchored at, shape (len(leader),), or None."""
        return None if self.equilibrium is None else self.equilibrium.prices

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for people: who was kept, who was merged, and at which prices."""
        lines = [f"rivals kept: {', '.join(self.kept) or 'none'}"]
        lines += [f"rival {name!r} stands for: {_shares(weights)}" for name, weights in self.merged.items()]
        if self.anchor is not None:
            lines.append(f"anchored at {', '.join(f'{price:.7g}' for price in self.anchor)}")
        return tuple(lines)


@dataclass(frozen=True, eq=False)
class MergedRival:
    """A rival that stands for several.

    Parameters
    ----------
    name
        Its id in the small market.
    price, capacity
        As of any provider.
    cost
        Shape (n,): c_ia = w_p,i p_a + w_d,i d_ia - b_a, what a unit costs user i before congestion, in its own money.
    weights
        Of the rivals it stands for.
    """

    name: str
    price: float
    capacity: float
    cost: Array
    weights: Mapping[str, float]


def unreduced(market: Market) -> Abstraction:
    """The market itself, where there is nothing to leave out."""
    return Abstraction(market, tuple(market.provider_ids[j] for j in market.rivals), {})


def compose(
    market: Market, kept: Sequence[int], merged: Sequence[MergedRival], how: str, found: Equilibrium | None = None
) -> Abstraction:
    """Small market of the leader's providers and the rivals at positions `kept`, in their order, and merged ones last.

    To users, providers that stay cost what they cost before. So that any cost of a merged rival can be written, delays
    are in money, with delay weight 1, and its value is the smallest that leaves none of its delays negative.
    """
    stay = sorted([*market.leader, *kept])
    values = [float(np.max(market.price_weight * rival.price - rival.cost)) for rival in merged]
    delays = [
        np.maximum(rival.cost - market.price_weight * rival.price + value, 0.0)
        for rival, value in zip(merged, values, strict=True)
    ]
    kept_names = tuple(market.provider_ids[j] for j in stay if j not in market.leader)
    small = Market(
        name=f"{market.name}, {len(kept) + len(merged)} rivals by {how}",
        user_ids=market.user_ids,
        provider_ids=(*(market.provider_ids[j] for j in stay), *(rival.name for rival in merged)),
        demand=market.demand,
        price=np.append(market.price[stay], [rival.price for rival in merged]),
        capacity=np.append(market.capacity[stay], [rival.capacity for rival in merged]),
        value=np.append(market.value[stay], values),
        unit_cost=np.append(market.unit_cost[stay], np.zeros(len(merged))),
        delay=np.column_stack([market.delay_weight[:, None] * market.delay[:, stay], *delays]),
        price_weight=market.price_weight,
        congestion_weight=market.congestion_weight,
        delay_weight=np.ones(market.n),
        leader=tuple(stay.index(j) for j in market.leader),
        price_cap=market.price_cap,
        units=replace(market.units, delay=f"{market.units.currency} per {market.units.volume}"),
    )
    abstraction = Abstraction(small, kept_names, {rival.name: rival.weights for rival in merged}, found)
    description = "; ".join((f"{market.name} with fewer rivals, by {how}", *abstraction.notes, "delays are in money"))
    return replace(abstraction, market=replace(small, description=f"{description}."))


def means(market: Market, rivals: Sequence[int], weights: Array) -> tuple[float, Array]:
    """Mean price of some rivals, and what a unit costs users on the mean, shape (n,); weights add up to 1."""
    wide = np.zeros(market.m)  # to pick columns of the delays would copy them
    wide[list(rivals)] = weights
    price, value = float(weights @ market.price[list(rivals)]), float(wide @ market.value)
    return price, market.price_weight * price + market.delay_weight * (market.delay @ wide) - value


def ample(market: Market) -> Mask:
    """Rivals that no load congests, shape (m,), such as an outside option: beside the others, capacity is no weight.

    None where all rivals are such.
    """
    found = is_ample(market.capacity, market.demand)
    found[list(market.leader)] = False
    return found if found.sum() < len(market.rivals) else np.zeros_like(found)


def least_offset(users: UserProblem, rivals: Sequence[int], congestion: Array | float = 0.0) -> Array:
    """Each user's least offset + congestion over some rivals, shape (n,); congestion one for all, or one a rival."""
    added = np.full(users.capacity.size, np.inf)
    added[list(rivals)] = congestion
    return np.concatenate(list(over_blocks(lambda block: (users.base[block] + added).min(axis=1), users.base.shape)))


def new_name(market: Market, wish: str) -> str:
    """`wish`, with as many primes as it takes to be nobody's name."""
    while wish in market.provider_ids:
        wish += "'"
    return wish


def weights_of(market: Market, rivals: Sequence[int], weights: Array) -> dict[str, float]:
    """Weights by name, made to add up to 1; equal ones where they add up to nothing."""
    total = float(weights.sum())
    shares = weights / total if total > 0 else np.full(len(rivals), 1.0 / len(rivals))
    return {market.provider_ids[j]: float(share) for j, share in zip(rivals, shares, strict=True)}


def foremost(market: Market, score: Array, count: int) -> list[int]:
    """Positions of the `count` rivals of highest score, shape (rivals,), in their order.

    Among scores that are equal but for rounding names decide, so that the order of a file does not.
    """
    steps = np.round(score / (_TIE * max(float(np.abs(score).max()), np.finfo(np.float64).tiny)))
    names = np.array([market.provider_ids[j] for j in market.rivals])
    return sorted(np.array(market.rivals)[np.lexsort((names, -steps))[:count]].tolist())


def _shares(weights: Mapping[str, float]) -> str:
    largest = sorted(weights.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {100 * weight:.3g} %" for name, weight in largest[:_MOST_SHOWN])
    return shown if len(largest) <= _MOST_SHOWN else f"{shown} and {len(largest) - _MOST_SHOWN} more"
