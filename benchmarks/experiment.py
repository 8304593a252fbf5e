"""Trials of `experiment`, a grid of prices and Thompson sampling on known truths: regret until the price is known.

A truth is a market of 8 users x 5 providers, its shares at today's price drawn, its own-price elasticity there from -4
to -0.3. Of half of the truths users have tastes, as in the model (dispersion, a factor for each user and provider); of
half each user is a logit of its own slope, which no model of ours is. What may be true are 60 markets of the model
with nearly these shares and elasticities of that range: all that shares at one price leave open.

Every three days a price is asked, and the log load is seen: that of the truth, a level that drifts, and noise of the
window; the change between neighbouring windows has the standard deviation told, and a correlation of -0.28 with the
next, as measured on the marketplace. All methods weigh the same markets by the same likelihood, exactly (a Kalman
filter of the level), and stop when the range of best prices is no wider than a quarter of the best guess, or after 200
windows. `trials`: `best_trial`, planned anew after each pair of windows. `grid`: five prices from 30 % below to 30 %
above today's, in turn. `thompson`: the best price of a market drawn by its weight. Regret: what the truth earns less at
the prices asked than at its best one, in days of its best profit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from joblib import Parallel, delayed

from benchmarks.report import Table, Target, target_table
from prillm_or.calibration.noise import WINDOW
from prillm_or.curves.profit_curve import curve
from prillm_or.experiments.points import Points, points_of
from prillm_or.experiments.trial import best_trial
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate

Kind = Literal["model", "logit"]
Method = Literal["trials", "grid", "thompson"]

_USERS, _PROVIDERS, _POINTS, _CAP = 8, 5, 60, 3.0
_ELASTICITIES = (0.3, 4.0)
_NOISES = (0.2, 0.62)
_AGAIN = -0.28
_WIDTH, _POWER = 0.25, 0.8
_LIMIT, _REPLAN = 200, 2
_GRID = np.linspace(0.7, 1.3, 5)
_UNKNOWN = 1e9
_TICK = 0.005


@dataclass(frozen=True)
class Row:
    """One method over the truths of one kind: means, and `reached`, the share of them where it came to the width.

    `held`: the share where the range at the end holds the true best price; `loss`: of the best profit, at
    the best guess at the end.
    """

    noise: float
    truths: str
    method: str
    markets: int
    reached: float
    windows_median: float
    regret_mean: float
    regret_median: float
    loss: float
    held: float
    cpu_s: float


@dataclass(frozen=True)
class RatioRow:
    """Regret of `trials` over that of another method, on the same truths.

    `both`: over those where both came to the width; `smaller`: the share of truths on which it was smaller.
    """

    noise: float
    against: str
    of_means: float
    of_medians: float
    of_means_both: float
    smaller: float


@dataclass(frozen=True, eq=False)
class Truth:
    """A truth: its loads over the price asked, its cost, and what may be true in its place."""

    load: Callable[[float], float]
    unit_cost: float
    best: float
    most: float
    points: Points

    def lost(self, price: float) -> float:
        """Days of best profit that a window at a price costs."""
        return WINDOW * (1 - (price - self.unit_cost) * self.load(price) / self.most)


@dataclass(frozen=True)
class End:
    """How a run ended."""

    reached: bool
    windows: int
    regret: float
    loss: float
    held: bool
    cpu_s: float


def measure(quick: bool) -> Iterator[Table]:
    """The methods by kind of truth, their ratios, then the targets."""
    seeds = range(8 if quick else 200)
    found = Parallel(n_jobs=-1)(delayed(_runs)(seed) for seed in seeds)
    rows, ratios = [], []
    for noise in _NOISES:
        ends = {method: [one[noise, method] for one in found] for method in get_args(Method)}
        for kind in ("both", *get_args(Kind)):
            chosen = [k for k in seeds if kind in ("both", _kind(k))]
            rows += [_row(noise, kind, method, [ends[method][k] for k in chosen]) for method in ends]
        ratios += [_ratio(noise, other, ends["trials"], ends[other]) for other in ends if other != "trials"]
    yield Table("until the best price is known", rows, f"to {_WIDTH:.0%} of the best guess; windows of {WINDOW} days")
    yield Table("regret of trials over that of others", ratios, "below 1: trials cost less")
    yield target_table(
        [
            Target(f"mean regret over that of {row.against}, noise {row.noise}", row.of_means, 0.5, at_least=False)
            for row in ratios
        ]
    )


def _kind(seed: int) -> Kind:
    return "logit" if seed % 2 else "model"


def _runs(seed: int) -> dict[tuple[float, Method], End]:
    truth = draw_truth(seed, _kind(seed))
    return {(noise, method): run(truth, method, noise, seed) for noise in _NOISES for method in get_args(Method)}


def draw_truth(seed: int, kind: Kind) -> Truth:
    """A truth, and the markets of the model with nearly its shares at today's price, which is 1."""
    rng = np.random.default_rng(seed)
    demand, share = np.exp(rng.normal(2, 1, _USERS)), rng.dirichlet(np.full(_PROVIDERS, 1.5), _USERS)
    share = _normed(np.maximum(share, 0.01))
    price, cost = np.append(rng.uniform(0.5, 2, _PROVIDERS - 1), 1.0), float(rng.uniform(0, 0.5))

    def elasticity() -> float:
        return float(np.exp(rng.uniform(*np.log(_ELASTICITIES))))

    def market(share: Array) -> Market:
        return _with_tastes(rng, demand, share, price, cost, elasticity())

    nearly = (_normed(share * np.exp(rng.normal(0, 0.1, share.shape))) for _ in range(_POINTS))
    points = points_of([curve(market(one)) for one in nearly], np.ones(_POINTS))
    if kind == "model":
        true = curve(market(share))
        return Truth(lambda p: float(true.load(p)), cost, true.best.price, true.best.profit, points)
    load = _logit_load(rng, demand, share[:, -1], elasticity())
    prices = np.linspace(0, _CAP, 3001)
    profits = (prices - cost) * np.array([load(p) for p in prices.tolist()])
    return Truth(load, cost, float(prices[profits.argmax()]), float(profits.max()), points)


def _normed(share: Array) -> Array:
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def _with_tastes(
    rng: np.random.Generator, demand: Array, share: Array, price: Array, cost: float, elasticity: float
) -> Market:
    """A market of no congestion: dispersion s_ij makes b_ij = p_j + s_ij share_ij the values at which these are shares.

    Where all are used, a rise of the last price by 1 lowers share i by (1 - (1 / s_i) / sum_j 1 / s_ij) / s_i: so s is
    scaled to the elasticity wanted.
    """
    user, provider = np.exp(rng.normal(0, 0.4, _USERS)), np.exp(rng.normal(0, 0.3, _PROVIDERS))
    per = 1 / np.outer(user, provider)
    slope = float(demand @ (per[:, -1] * (1 - per[:, -1] / per.sum(axis=1))))
    scale = slope / (elasticity * float(demand @ share[:, -1]))
    base = generate(_USERS, _PROVIDERS, "uniform", 1)
    return replace(
        base,
        demand=demand,
        price=price,
        unit_cost=np.append(np.zeros(_PROVIDERS - 1), cost),
        value=np.zeros(_PROVIDERS),
        user_values=price + scale * share / per,
        delay=np.zeros((_USERS, _PROVIDERS)),
        congestion_weight=np.zeros(_USERS),
        dispersion=scale * user,
        provider_dispersion=provider,
        price_cap=np.array([_CAP]),
    )


def _logit_load(rng: np.random.Generator, demand: Array, share: Array, elasticity: float) -> Callable[[float], float]:
    """Load of logit users of a slope each, their shares at price 1 as given, of an own-price elasticity there."""
    slope = np.exp(rng.normal(0, 0.5, _USERS))
    slope *= elasticity * float(demand @ share) / float(demand @ (share * (1 - share) * slope))

    def load(price: float) -> float:
        kept = share * np.exp(-slope * (price - 1))
        return float(demand @ (kept / (1 - share + kept)))

    return load


class _Belief:
    """What windows say of the points: the level of log loads drifts, and is filtered at each point alike."""

    def __init__(self, truth: Truth, noise: float, seed: int) -> None:
        self._truth, self._rng = truth, np.random.default_rng([seed, int(1000 * noise)])
        self._window = -_AGAIN * noise**2  # variance of a window's own noise; what is left of a change is drift
        self._drift = noise**2 - 2 * self._window
        self._logs = truth.points.log_loads(np.arange(0, _CAP + _TICK, _TICK).clip(max=_CAP))
        self._true_level, self._level, self._variance = 0.0, np.zeros(_POINTS), _UNKNOWN
        self._likelihood, self._prior = np.zeros(_POINTS), truth.points.weight
        self.points, self.windows, self.regret = truth.points, 0, 0.0
        self._ask(1.0)

    def ask(self, price: float) -> bool:
        """Ask a price, rounded to a tick, for a window; whether that is the end."""
        price = round(price / _TICK) * _TICK
        self._ask(price)
        self.windows += 1
        self.regret += self._truth.lost(price)
        return self.narrow or self.windows >= _LIMIT

    def _ask(self, price: float) -> None:
        self._true_level += self._rng.normal(0, np.sqrt(self._drift))
        seen = (
            np.log(max(self._truth.load(price), self.points.least))
            + self._true_level
            + self._rng.normal(0, np.sqrt(self._window))
        )
        self._variance += self._drift
        missed = seen - self._logs[:, round(price / _TICK)] - self._level
        spread = self._variance + self._window
        if self._variance < _UNKNOWN:  # the first window says where the level is, no more
            self._likelihood -= missed**2 / spread / 2
        self._level = self._level + missed * self._variance / spread
        self._variance *= self._window / spread
        weight = self._prior * np.exp(self._likelihood - self._likelihood.max())
        self.points = replace(self.points, weight=weight / weight.sum())

    @property
    def narrow(self) -> bool:
        """Whether the range is as narrow as wished."""
        low, high = self.points.range
        return high - low <= _WIDTH * self.points.guess

    def prices(self, method: Method) -> Sequence[float]:
        """What to ask next."""
        if method == "grid":
            return list(map(float, _GRID))
        if method == "thompson":
            return [float(self._rng.choice(self.points.best, p=self.points.weight))]
        trial = best_trial(self.points, self._noise, _WIDTH * self.points.guess, _POWER)
        assert trial is not None
        return [trial.price, trial.against] * min(trial.days // (2 * WINDOW), _REPLAN // 2)

    @property
    def _noise(self) -> float:
        return float(np.sqrt(self._drift + 2 * self._window))


def run(truth: Truth, method: Method, noise: float, seed: int) -> End:
    """Ask prices until the range is narrow, or for so many windows."""
    began = time.process_time()
    belief = _Belief(truth, noise, seed)
    done = belief.narrow
    while not done:
        for price in belief.prices(method):
            if done := belief.ask(price):
                break
    low, high = belief.points.range
    return End(
        reached=belief.narrow,
        windows=belief.windows,
        regret=belief.regret,
        loss=truth.lost(belief.points.guess) / WINDOW,
        held=low <= truth.best <= high,
        cpu_s=time.process_time() - began,
    )


def _row(noise: float, kind: str, method: str, ends: Sequence[End]) -> Row:
    regret = [end.regret for end in ends]
    return Row(
        noise,
        kind,
        method,
        len(ends),
        float(np.mean([end.reached for end in ends])),
        float(np.median([end.windows for end in ends])),
        float(np.mean(regret)),
        float(np.median(regret)),
        float(np.mean([end.loss for end in ends])),
        float(np.mean([end.held for end in ends])),
        float(np.mean([end.cpu_s for end in ends])),
    )


def _ratio(noise: float, other: str, ours: Sequence[End], theirs: Sequence[End]) -> RatioRow:
    one, two = (np.array([end.regret for end in ends]) for ends in (ours, theirs))
    both = np.array([a.reached and b.reached for a, b in zip(ours, theirs, strict=True)])
    return RatioRow(
        noise,
        other,
        float(one.mean() / two.mean()),
        float(np.median(one) / np.median(two)),
        float(one[both].mean() / two[both].mean()) if both.any() else float("nan"),
        float((one < two).mean()),
    )
