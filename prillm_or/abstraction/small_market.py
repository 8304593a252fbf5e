"""Abstraction: a market with few rivals that stands for one with many, and how it is composed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prillm_or.market.decisions import per_unit
from prillm_or.market.market import Array, Market, Mask
from prillm_or.users.equilibrium import Equilibrium
from prillm_or.users.problem import UserProblem, is_ample, widths
from prillm_or.users.threads import over_blocks

_TIE = 1e-9
_LEAST_TASTE = 1e-3
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
    remark
        A line for people beyond these, if there is one.
    """

    market: Market
    kept: tuple[str, ...]
    merged: Mapping[str, Mapping[str, float]]
    equilibrium: Equilibrium | None = None
    remark: str = ""

    @property
    def anchor(self) -> Array | None:
        """The leader's decisions it was anchored at, shape (k,), or None."""
        return None if self.equilibrium is None else self.equilibrium.prices

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines for people: who was kept, who was merged, and at which prices."""
        lines = [f"rivals kept: {', '.join(self.kept) or 'none'}"]
        lines += [f"rival {name!r} stands for: {_shares(weights)}" for name, weights in self.merged.items()]
        if self.anchor is not None:
            lines.append(f"anchored at {', '.join(f'{price:.7g}' for price in self.anchor)}")
        return (*lines, self.remark) if self.remark else tuple(lines)


@dataclass(frozen=True)
class Size:
    """How little a rival minds its load: `capacity` and `dispersion`, as of any provider."""

    capacity: float
    dispersion: float

    def times(self, factor: float) -> Size:
        """The size of so many rivals of this size side by side: all widths are so many times as large."""
        return Size(self.capacity * factor, self.dispersion / factor)

    def width(self, market: Market) -> Array:
        """Flow per slack of a rival of this size, shape (1,) or (n, 1)."""
        return widths(market, np.array([self.capacity]), np.array([self.dispersion]))


@dataclass(frozen=True, eq=False)
class MergedRival:
    """A rival that stands for several.

    Parameters
    ----------
    name
        Its id in the small market.
    price
        0 where there are components: to each user it costs its own, whatever the mix.
    size
        Its capacity and dispersion.
    cost
        Shape (n,): c_ia = w_p,i p_a + w_d,i d_ia - b_a, what a unit costs user i before congestion and taste, in its
        own money.
    weights
        Of the rivals it stands for.
    """

    name: str
    price: float
    size: Size
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
    own = market.user_values
    small = replace(
        market,
        name=f"{market.name}, {len(kept) + len(merged)} rivals by {how}",
        provider_ids=(*(market.provider_ids[j] for j in stay), *(rival.name for rival in merged)),
        price=_with_rows(market.price[stay], [rival.price for rival in merged]),
        capacity=np.append(market.capacity[stay], [rival.size.capacity for rival in merged]),
        provider_dispersion=np.append(market.provider_dispersion[stay], [rival.size.dispersion for rival in merged]),
        value=np.append(market.value[stay], values),
        user_values=np.column_stack([own[:, stay], np.full((market.n, len(merged)), np.nan)]) if own.size else own,
        unit_cost=_with_rows(market.unit_cost[stay], [0.0] * len(merged)),
        delay=np.column_stack([market.delay_weight[:, None] * market.delay[:, stay], *delays]),
        delay_weight=np.ones(market.n),
        leader=tuple(stay.index(j) for j in market.leader),
        units=replace(market.units, delay=f"{market.units.currency} per {market.units.volume}"),
        fit=None,
    )
    abstraction = Abstraction(small, kept_names, {rival.name: rival.weights for rival in merged}, found)
    description = "; ".join((f"{market.name} with fewer rivals, by {how}", *abstraction.notes, "delays are in money"))
    return replace(abstraction, market=replace(small, description=f"{description}."))


def _with_rows(table: Array, values: Sequence[float]) -> Array:
    """Prices or costs, shape (m,) or (m, C), of as many more providers, each of whose components has one value."""
    rows = np.array(values).reshape(-1, *(1 for _ in table.shape[1:]))
    return np.concatenate([table, np.broadcast_to(rows, (len(values), *table.shape[1:]))])


def pooled(market: Market, rivals: Sequence[int]) -> tuple[Array, Size]:
    """Shares of some rivals in what they take together, shape (len(rivals),), and their size as one.

    Shares are those of their widths. The size is that with which each user's congestion and taste cost what they cost
    where its flow is split by the shares.
    """
    rivals = list(rivals)
    capacity, dispersion = market.capacity[rivals], market.provider_dispersion[rivals]
    width = widths(market, capacity, dispersion)
    width = width if width.ndim == 1 else width.sum(axis=0)
    shares = width / width.sum()
    together = float(shares**2 @ dispersion) if market.dispersion.any() else 1.0
    return shares, Size(1.0 / float(shares**2 @ (1.0 / capacity)), together)


def mean_price(market: Market, rivals: Sequence[int], weights: Array) -> float:
    """Mean price of some rivals, weights adding up to 1; 0 where prices are lists."""
    return 0.0 if market.components else float(weights @ market.price[list(rivals)])


def means(market: Market, rivals: Sequence[int], weights: Array) -> tuple[float, Array]:
    """Mean price of some rivals, and what a unit costs users on the mean, shape (n,); weights add up to 1."""
    wide = np.zeros(market.m)  # to pick columns of the delays would copy them
    wide[list(rivals)] = weights
    paid = per_unit(market, market.price[list(rivals)]) @ weights
    cost = market.price_weight * paid + market.delay_weight * (market.delay @ wide) - market.worth @ wide
    return mean_price(market, rivals, weights), cost


def ample(market: Market) -> Mask:
    """Rivals that no load makes dearer, shape (m,), such as an outside option: beside the others, size is no weight.

    None where all rivals are such.
    """
    if market.congested:
        found = is_ample(market.capacity, market.demand)
    else:
        dispersion = market.provider_dispersion
        found = dispersion < _LEAST_TASTE * np.partition(dispersion, 1)[1]
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
