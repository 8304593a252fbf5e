"""Abstraction: what prices found with K rivals left earn in the full market, on markets that no network was trained on.

Small markets are solved by `path`, and every price is judged at an equilibrium of the full market certified afresh;
what is lost is the difference to the best profit, by `path`, as a share of it. Markets with K rivals or fewer do not
count for K. In markets with price lists or factors `learned` is `anchored`; `learned-paper` refuses these, crowds and
tastes: there they are not listed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import numpy as np
from joblib import Parallel, delayed

from benchmarks.report import Table, Target, target_table
from prillm_or.abstraction.anchors import today_anchor
from prillm_or.abstraction.refine import refine
from prillm_or.abstraction.registry import AbstractionChoice
from prillm_or.abstraction.training.scenarios import REAL, Sizes, kind_of, scenario
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import Shape, generate
from prillm_or.solvers.path import Path
from prillm_or.users.certificate import certify, is_certified, profit_of
from prillm_or.users.equilibrium import equilibrium_at
from prillm_or.users.problem import user_problem

_KEEP = (1, 2, 3, 4)
_UNSEEN = "roleplay-10"
_NO_PROFIT = 1e-9
_SHOWN = ("anchored,", "anchored+refine,", "learned,", "learned+refine,")
Key = tuple[str, int]
"""Method and K."""

_ONE_SHOT = ("min", "avg", "capacity", "learned-paper", "anchored", "learned")


@dataclass(frozen=True)
class Group:
    """Markets to judge on, one for each seed, none of which training knows; their kinds, where these are told apart."""

    name: str
    seeds: Sequence[int]
    draw: Callable[[int], Market]
    kind: Callable[[int], str] | None = None


def _scenarios(name: str, seeds: range, sizes: Sizes, real: tuple[str, ...], kinds: tuple[str, ...]) -> Group:
    chosen = [seed for seed in seeds if kind_of(seed) in kinds]
    return Group(name, chosen, partial(scenario, sizes=sizes, real=real), kind_of if len(kinds) == len(_ALL) else None)


def _as_sold(seed: int) -> Market:
    """A market of 4 to 30 users and 4 to 20 rivals with something of `_SOLD`; dispersions are as prices are."""
    what = _sold_kind(seed)
    rng = np.random.default_rng([seed, 78])
    users, rivals, taste = int(rng.integers(4, 31)), int(rng.integers(4, 21)), float(np.exp(rng.normal(0.0, 0.5)))
    draw = partial(generate, users, rivals + 1, _SHAPES[seed // len(_SOLD) % 3], seed)
    lists = what in ("factor", "output", "all")
    market = draw(
        components=("input", "output") if lists else (),
        people=1000 * users if what in ("crowds", "all") else None,
        dispersion=taste * float(np.median(draw().price)) if what in ("tastes", "no congestion", "all") else 0.0,
        congestion=what != "no congestion",
    )
    if not lists:
        return market
    if what == "output":
        return replace(market, decides=("output",), price_cap=market.price_cap[-1:])
    return replace(market, decides="factor", price_cap=np.array([10.0]))


def _sold_kind(seed: int) -> str:
    return _SOLD[seed % len(_SOLD)]


_ALL = ("uniform", "heavy", "market", "real")
_SHAPES = get_args(Shape)
_SOLD = ("factor", "output", "crowds", "tastes", "no congestion", "all")
_GROUPS = (
    _scenarios("4 to 20 rivals", range(500), Sizes(), (*REAL, _UNSEEN), _ALL),
    _scenarios(f"{_UNSEEN}, perturbed", range(3, 803, 4), Sizes(), (_UNSEEN,), ("real",)),
    _scenarios("50 rivals", range(200), Sizes(rivals=(50, 50)), (), _ALL[:3]),
    _scenarios("100 rivals", range(200), Sizes(rivals=(100, 100)), (), _ALL[:3]),
    Group("price lists, crowds, tastes", range(204), _as_sold, _sold_kind),
)


@dataclass(frozen=True)
class Row:
    """What one method loses of the best profit, in percent, with K = 1 to 4 rivals left: mean and worst market."""

    method: str
    markets: int
    K1_mean: float | None
    K1_worst: float | None
    K2_mean: float | None
    K2_worst: float | None
    K3_mean: float | None
    K3_worst: float | None
    K4_mean: float | None
    K4_worst: float | None


def measure(quick: bool) -> Iterator[Table]:
    """A table for each group, one of the shapes apart, then the targets."""
    shares: dict[str, dict[Key, list[float]]] = {}
    for group in _GROUPS:
        seeds = group.seeds[:12] if quick else group.seeds
        found = Parallel(n_jobs=os.cpu_count())(delayed(_shares)(seed, group) for seed in seeds)
        shares[group.name] = _gathered(found)
        yield Table(f"profit lost in %, {group.name}", _rows(shares[group.name]), _NOTE)
        if group.kind is not None:
            yield _by_kind(group.name, [group.kind(seed) for seed in seeds], found)
    yield target_table(list(_targets(shares)))


def _by_kind(name: str, kinds: list[str], found: list[dict[Key, float]]) -> Table:
    """What some methods lose on the markets of each kind."""
    rows = []
    for kind in dict.fromkeys(kinds):
        part = _gathered([one for its, one in zip(kinds, found, strict=True) if its == kind])
        rows += [row for row in _rows(part, kind) if row.method.startswith(_SHOWN)]
    return Table(f"profit lost in %, {name}, by kind", rows, "the closed form, `learned`, and both refined")


_NOTE = (
    "anchored (today): anchored at today's price instead of the capacity merge's best; 2 anchors: anchored again, "
    "once, at the price found; refine: until it stands still, then from other starts, six equilibria at most"
)


def _gathered(found: list[dict[Key, float]]) -> dict[Key, list[float]]:
    together: dict[Key, list[float]] = {}
    for one in found:
        for key, share in one.items():
            together.setdefault(key, []).append(share)
    return together


def _rows(shares: dict[Key, list[float]], kind: str | None = None) -> list[Row]:
    rows = []
    for method in dict.fromkeys(method for method, _ in shares):
        by_keep = [shares.get((method, keep), []) for keep in _KEEP]
        pairs = [(_mean(values), _worst(values)) if values else (None, None) for values in by_keep]
        figures = [figure for pair in pairs for figure in pair]
        rows.append(Row(method if kind is None else f"{method}, {kind}", len(by_keep[0]), *figures))
    return rows


def _mean(shares: list[float]) -> float:
    return 100 * (1 - float(np.mean(shares)))


def _worst(shares: list[float]) -> float:
    return 100 * (1 - min(shares))


def _targets(shares: dict[str, dict[Key, list[float]]]) -> Iterator[Target]:
    goals = (
        ("learned", 1, 0.3, 5.0),
        ("learned", 2, 0.1, 2.0),
        ("learned+refine", 2, 0.01, 1.0),
        ("learned+refine", 4, 0.001, 0.1),
    )
    for name, group in shares.items():
        for method, keep, mean, worst in goals:
            if (values := group.get((method, keep))) is None:
                continue
            yield Target(f"{name}: {method}, K = {keep}, mean lost %", _mean(values), mean, at_least=False)
            yield Target(f"{name}: {method}, K = {keep}, worst lost %", _worst(values), worst, at_least=False)


def _shares(seed: int, group: Group) -> dict[Key, float]:
    """Profit shares of every method and K on one market; none where no price earns anything."""
    market = group.draw(seed)
    best = _judged(market, _solved(market))
    if best <= _NO_PROFIT * float(market.demand.sum() * np.nanmax(market.price)):
        return {}
    found = {}
    for keep in _KEEP:
        if len(market.rivals) <= keep:
            continue
        for method, price in _methods(market, keep).items():
            found[method, keep] = _judged(market, price()) / best
    return found


def _methods(market: Market, keep: int) -> dict[str, Callable[[], Array]]:
    """Price of every method, to be found when asked for."""
    methods: dict[str, Callable[[], Array]] = {}
    for name in _ONE_SHOT:
        if not market.plain and name.startswith("learned"):
            continue
        if name == "learned-paper" and user_problem(market).width.ndim > 1:
            continue
        choice = AbstractionChoice(name, keep)
        if name == "anchored":
            methods["anchored (today)"] = partial(_priced, market, choice, today_anchor(market))
        methods[name] = partial(_priced, market, choice, None)
        if name in ("anchored", "learned"):
            methods[f"{name}, 2 anchors"] = partial(_twice, market, choice)
            methods[f"{name}+refine"] = partial(_refined, market, AbstractionChoice(name, keep, refine=True))
    return methods


def _priced(market: Market, choice: AbstractionChoice, anchor: Array | None) -> Array:
    return _solved(choice.abstract(market, anchor).market)


def _twice(market: Market, choice: AbstractionChoice) -> Array:
    return _priced(market, choice, _priced(market, choice, None))


def _refined(market: Market, choice: AbstractionChoice) -> Array:
    prices = refine(market, choice, lambda small: Path().solve(small, Limits())).prices
    assert prices is not None
    return prices


def _solved(market: Market) -> Array:
    prices = Path().solve(market, Limits()).prices
    assert prices is not None
    return prices


def _judged(market: Market, prices: Array) -> float:
    found = equilibrium_at(market, prices)
    assert is_certified(certify(market, prices, found.flow))
    return profit_of(market, prices, found.billed)
