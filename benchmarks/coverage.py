"""How often the range of best prices that `calibrate` tells holds the true best price, on made-up markets.

A market is 6 users x 5 providers over 5 to 30 days, demands within 30 %; a price moves on a tenth of the days, each
time by a share that is the market's, 0 to 20 %; flows carry noise of 10 %. Of half of the markets users are those of
the model, with values of their own; of half each user is a logit of its own slope and tastes, which no model of ours
is. What `calibrate` is given is the flows, no elasticity; its defaults, but one draw. The true best price is that of
the last day. Widths are highest over lowest: `width` of the range told, `width_before` of all elasticities from -20 to
-0.1, what would be told without a look at how users answer. All 500 take more than an hour of two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal, get_args

import numpy as np
from joblib import Parallel, delayed

from benchmarks.report import Table, Target, target_table
from prillm_or.calibration.days import days_of
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.calibration.preferences import EVERYONE, Preferences, market_with, predicted_flows
from prillm_or.calibration.procedure import calibrate
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate
from prillm_or.solving.run import solve

Kind = Literal["model", "logit"]

_USERS, _PROVIDERS = 6, 5
_NOISE, _MOVES, _CAP = 0.1, 0.1, 3.0
_GRID = 3001
_FIRST = 1001


@dataclass(frozen=True)
class Row:
    """Markets of one kind: how many ranges hold the true best price, and how wide they are at the median."""

    users: str
    markets: int
    held: int
    held_share: float
    width: float
    width_before: float
    cpu_s: float


@dataclass(frozen=True)
class Told:
    """What was told of one market."""

    held: bool
    width: float
    width_before: float
    cpu_s: float


def measure(quick: bool) -> Iterator[Table]:
    """Both kinds, then the target."""
    count = 2 if quick else 250
    rows = []
    for kind in get_args(Kind):
        told = Parallel(n_jobs=-1)(delayed(_told)(kind, seed) for seed in range(_FIRST, _FIRST + count))
        rows.append(_row(kind, told))
    yield Table("range of best prices", rows, "90 % asked for")
    share = sum(row.held for row in rows) / sum(row.markets for row in rows)
    yield target_table([Target("share of ranges that hold the true best price", share, 0.9, at_least=True)])


def _row(kind: Kind, told: list[Told]) -> Row:
    held = sum(one.held for one in told)
    widths = (median(getattr(one, name) for one in told) for name in ("width", "width_before", "cpu_s"))
    return Row(kind, len(told), held, held / len(told), *widths)


def _told(kind: Kind, seed: int) -> Told:
    seen, best = made_up(kind, seed)
    began = time.process_time()
    found = calibrate(seen, draws=1).profile
    seconds = time.process_time() - began
    assert found is not None
    if found.best_price_range is None:  # by the fit nobody ever buys of the leader: nothing is told
        return Told(False, np.inf, np.inf, seconds)
    ((low, high),) = found.best_price_range.values()
    prices = [point.best.decided[0].value for point in found.points if point.best is not None]
    prices += [point.logit_price for point in found.points if point.logit_price is not None]
    held = low * (1 - 1e-6) <= best <= high * (1 + 1e-6)
    return Told(held, _width(low, high), _width(min(prices), max(prices)), seconds)


def _width(low: float, high: float) -> float:
    return high / low if low > 0 else np.inf


def made_up(kind: Kind, seed: int) -> tuple[Observations, float]:
    """What is seen of a market, and its best price on the last day."""
    rng = np.random.default_rng([seed, kind == "logit"])
    market = generate(_USERS, _PROVIDERS, "uniform", seed)
    days, step = int(rng.integers(5, 31)), rng.uniform(0.0, 0.2)
    moves = np.where(rng.random((days, market.m)) < _MOVES, step * rng.choice([-1, 1], (days, market.m)), 0.0)
    moves[0] = 0.0
    price = market.price * np.cumprod(1 + moves, axis=0)
    demand = market.demand * rng.uniform(0.7, 1.3, (days, market.n))
    flow, best_of = (_of_the_model if kind == "model" else _of_logits)(market, price, demand, rng)
    seen = _seen(market, price, flow * np.exp(_NOISE * rng.standard_normal(flow.shape)))
    return seen, best_of(seen)


def _seen(market: Market, price: Array, flow: Array) -> Observations:
    days = len(price)
    return Observations(
        name="made-up",
        days=tuple(f"2026-01-{day + 1:02d}" for day in range(days)),
        user_ids=market.user_ids,
        provider_ids=market.provider_ids,
        flow=flow,
        price=price,
        capacity=np.tile(market.capacity, (days, 1)),
        delay=np.tile(market.delay, (days, 1, 1)),
        leader=Leader((market.provider_ids[-1],), (_CAP * float(price[-1, -1]),)),
    )


def _of_the_model(
    market: Market, price: Array, demand: Array, rng: np.random.Generator
) -> tuple[Array, Callable[[Observations], float]]:
    true = Preferences(
        user_ids=market.user_ids,
        provider_ids=market.provider_ids,
        congestion=float(np.exp(rng.uniform(-1.0, 1.5))),
        delay=0.3,
        value=market.value - market.value.min(),
        price_factor=np.ones(market.n),
        congestion_factor=np.ones(market.n),
        group_ids=(EVERYONE,),
        group=np.zeros(market.n, dtype=np.intp),
        group_value=np.zeros((1, market.m)),
        user_value=0.4 * float(market.price.mean()) * rng.standard_normal((market.n, market.m)),
        dispersion=0.0,
        dispersion_factor=np.ones(market.n),
        provider_dispersion=np.ones(market.m),
    )
    even = np.repeat(demand[:, :, None] / market.m, market.m, axis=2)
    flow = predicted_flows(true, days_of(_seen(market, price, even)))
    return flow, lambda seen: solve(market_with(true, seen, seen.days[-1])).decided[0].value


def _of_logits(
    market: Market, price: Array, demand: Array, rng: np.random.Generator
) -> tuple[Array, Callable[[Observations], float]]:
    slope = np.exp(rng.uniform(np.log(0.5), np.log(4.0), market.n))[:, None] / market.price.mean()
    taste = rng.standard_normal((market.n, market.m)) + slope * market.price

    def shares(prices: Array) -> Array:
        utility = taste - slope * prices
        odds = np.exp(utility - utility.max(axis=-1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=-1, keepdims=True))

    def best(seen: Observations) -> float:
        last = np.tile(price[-1], (_GRID, 1))
        last[:, -1] = np.linspace(0.0, _CAP * price[-1, -1], _GRID)
        profits = [prices[-1] * float(demand[-1] @ shares(prices)[:, -1]) for prices in last]
        return float(last[int(np.argmax(profits)), -1])

    return demand[:, :, None] * np.array([shares(prices) for prices in price]), best
