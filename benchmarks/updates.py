"""A price kept up to date by `Pricer.update`, against pricing the changed market anew by `solve` with `path`.

Changes are small and random, one thing at a time, each on top of those before: a rival's price or a user's demand
rises or falls by 1 to 10 %, a rival much like another comes, it leaves again. Each is timed once, by processor time,
checks of the change included; the cold solve goes first every other time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.markets import SHAPES, sample, size
from benchmarks.report import Table, Target, span, target_table
from prillm_or.market.changes import Change, apply
from prillm_or.market.market import Market
from prillm_or.solving.pricer import Pricer
from prillm_or.solving.run import solve

_TARGET = (20, 20)
_RATIO = 0.5
_AGREE = 1e-9
_ROUNDS = 25
_NEWCOMER = "newcomer"
_LEAVES = "it leaves"
"""So that a market does not grow; not one of the changes that the target is about."""


@dataclass(frozen=True)
class Timed:
    """One change: seconds of both, and how far their profits are apart, relative."""

    kind: str
    update: float
    cold: float
    apart: float


@dataclass(frozen=True)
class Row:
    """Changes of a kind in the markets of a size and shape: medians, the ratio's quartiles, the largest difference."""

    size: str
    shape: str
    change: str
    changes: int
    update_ms: float
    cold_ms: float
    ratio: float
    middle_half: str
    profits_apart: float


def measure(quick: bool) -> Iterator[Table]:
    """Ratios by size, shape and kind of change, then the targets."""
    sizes = (((8, 13), 1), (_TARGET, 1)) if quick else (((8, 13), 3), (_TARGET, 3), ((200, 100), 1))
    rounds = 5 if quick else _ROUNDS
    rows: list[Row] = []
    everything: list[Timed] = []
    aimed: list[float] = []
    for (users, providers), seeds in sizes:
        for shape in SHAPES:
            markets = sample(users, providers, seeds, (shape,))
            timed = [t for market in markets for t in change_and_time(market, rounds)]
            rows += [_row(markets[0], shape, [t for t in timed if t.kind == kind]) for kind in KINDS]
            everything += timed
            if (users, providers) == _TARGET:
                aimed += [t.update / t.cold for t in timed if t.kind != _LEAVES]
    yield Table("updates", rows, "cold: solve of the same changed market")
    figure = f"{_TARGET[0]}x{_TARGET[1]}: update / cold solve, median of {len(aimed)} prices, demands and new rivals"
    middle = span([float(quartile) for quartile in np.quantile(aimed, (0.25, 0.75))])
    apart = max(t.apart for t in everything)
    yield target_table(
        [
            Target(figure, median(aimed), _RATIO, at_least=False, range=middle),
            Target("profits of update and cold solve, largest difference", apart, _AGREE, at_least=False),
        ]
    )


def change_and_time(market: Market, rounds: int) -> Iterator[Timed]:
    """Change a market again and again, every kind of change in each round."""
    rng = np.random.default_rng(1)
    pricer = Pricer(market)
    for number in range(rounds * len(KINDS)):
        kind = list(KINDS)[number % len(KINDS)]
        change = KINDS[kind](pricer.market, rng)
        changed = apply(pricer.market, change)

        def update(change: Change = change) -> float:
            return pricer.update(change).profit

        def cold(changed: Market = changed) -> float:
            return solve(changed, solver="path").profit

        if number % 2:
            cold_s, wanted = _timed(cold)
            update_s, profit = _timed(update)
        else:
            update_s, profit = _timed(update)
            cold_s, wanted = _timed(cold)
        yield Timed(kind, update_s, cold_s, abs(profit - wanted) / abs(wanted))


def _timed(act: Callable[[], float]) -> tuple[float, float]:
    began = time.process_time()
    profit = act()
    return time.process_time() - began, profit


def _row(market: Market, shape: str, timed: list[Timed]) -> Row:
    ratios = [t.update / t.cold for t in timed]
    return Row(
        size=size(market),
        shape=shape,
        change=timed[0].kind,
        changes=len(timed),
        update_ms=1e3 * median(t.update for t in timed),
        cold_ms=1e3 * median(t.cold for t in timed),
        ratio=median(ratios),
        middle_half=span([float(quartile) for quartile in np.quantile(ratios, (0.25, 0.75))]),
        profits_apart=max(t.apart for t in timed),
    )


def _factor(rng: np.random.Generator) -> float:
    """Between 1 and 10 % up or down."""
    return float(1 + rng.choice((-1, 1)) * rng.uniform(0.01, 0.1))


def _price(market: Market, rng: np.random.Generator) -> Change:
    j = int(rng.choice(market.rivals))
    return {"providers": {market.provider_ids[j]: {"price": float(market.price[j]) * _factor(rng)}}}


def _demand(market: Market, rng: np.random.Generator) -> Change:
    i = int(rng.integers(market.n))
    return {"users": {market.user_ids[i]: {"demand": float(market.demand[i]) * _factor(rng)}}}


def _arrival(market: Market, rng: np.random.Generator) -> Change:
    j = int(rng.choice(market.rivals))
    like = {name: float(getattr(market, name)[j]) * _factor(rng) for name in ("price", "capacity", "value")}
    delays = [float(delay) * _factor(rng) for delay in market.delay[:, j]]
    each = dict(zip(market.user_ids, delays, strict=True))
    return {"add": {"providers": [{"id": _NEWCOMER, **like, "delays": each}]}}


def _departure(market: Market, rng: np.random.Generator) -> Change:
    return {"remove": {"providers": [_NEWCOMER]}}


KINDS: dict[str, Callable[[Market, np.random.Generator], Change]] = {
    "a rival's price": _price,
    "a demand": _demand,
    "a new rival": _arrival,
    _LEAVES: _departure,
}
