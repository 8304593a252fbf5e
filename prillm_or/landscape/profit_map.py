"""Profit map: what the leader earns over two of its decisions, and where its users change whom they use.

The profit is that of equilibria on an even grid of 61 by 61 values, each looked for from its neighbour's. In a region
everybody uses the same providers, and it is one quadratic; regions meet where some slack (`users/equilibrium.py`) is
zero. Slacks are linear in each region, so that lines through their zeros on the grid are the borders, but for cells in
which several regions meet.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or.curves.profit_curve import known_held, position_of
from prillm_or.errors import ArgumentError, argument, need_packages
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.market.held import hold
from prillm_or.market.market import Array, Market, Mask, by_decision
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.plots import on_axes
from prillm_or.output.tables import Part, Table
from prillm_or.result import Result
from prillm_or.solving.recheck import decided_in
from prillm_or.solving.run import solve
from prillm_or.users.certificate import certified, profit_of
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_log = logging.getLogger(__name__)

MAP_FORMAT = "prillm-or/map@1"

SIDE = 61
"""Values of each of the two decisions, evenly from 0 to the end."""

_BEYOND = 1.25
"""How far beyond the best and today's values the map reaches, if nobody stops paying, and no cap comes, before."""
_MOST_PAIRS = 2_000


@dataclass(frozen=True)
class Spot:
    """Decisions, by name, and what they earn."""

    decisions: Mapping[str, float]
    profit: float


@dataclass(frozen=True, eq=False, repr=False)
class ProfitMap(Answer):
    """What the leader earns over two of its decisions, the others as today.

    Parameters
    ----------
    market
        The market.
    axes
        Positions of the two decisions.
    values
        Of each, rising, shape (61,).
    profit
        Shape (61, 61): at each value of the first and of the second.
    slacks
        By pair (user, provider) that comes into use or goes out of it somewhere, shape (61, 61): above 0 where it is in
        use. In a market of more than 2,000 pairs those of the leader's providers alone.
    regions
        How many sets of pairs in use were met.
    best, upper_bound
        The best of all values of the two, and the bound that is proven of it.
    today
        Today's, None where the market has none.
    """

    market: Market
    axes: tuple[int, int]
    values: tuple[Array, Array]
    profit: Array
    slacks: Mapping[tuple[int, int], Array]
    regions: int
    best: Spot
    upper_bound: float | None
    today: Spot | None

    @property
    def names(self) -> tuple[str, str]:
        """Names of the two decisions."""
        first, second = (self.market.decisions[k].name for k in self.axes)
        return first, second

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order."""
        return {
            "format": MAP_FORMAT,
            "decisions": list(self.names),
            "values": [values.tolist() for values in self.values],
            "profit": self.profit.tolist(),
            "regions": self.regions,
            "best": {"decisions": dict(self.best.decisions), "profit": self.best.profit},
            "upper_bound": self.upper_bound,
            "today": None
            if self.today is None
            else {"decisions": dict(self.today.decisions), "profit": self.today.profit},
        }

    def to_frame(self) -> DataFrame:
        """Profits by the values of the first decision, in rows, and of the second, in columns."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        rows, columns = (pd.Index(values, name=name) for values, name in zip(self.values, self.names, strict=True))
        return pd.DataFrame(self.profit, rows, columns)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the map, on new axes if none are given; the axes."""
        from prillm_or.landscape.map_plot import HEIGHT, plot_map

        return on_axes(ax, lambda axes: plot_map(axes, self), HEIGHT)

    def parts(self, note: str = "") -> Iterator[Part]:
        """What the two earn at a few values, the best, and today's."""
        units = self.market.units
        first, second = self.names
        every = slice(None, None, (SIDE - 1) // 6)
        heads = [figure(value, 4) for value in self.values[1][every]]
        rows = [
            (figure(value, 4), *(figure(earned, 5) for earned in row))
            for value, row in zip(self.values[0][every].tolist(), self.profit[every, every].tolist(), strict=True)
        ]
        title = f"{self.market.name}{note}: profits in {units.of_money} by {first} (rows) and {second}"
        yield Table(title, (first, *heads), rows, (first, *heads), ranks=heads)
        for when, spot in (("best", self.best), ("today", self.today)):
            if spot is not None:
                told = ", ".join(f"{name} {figure(spot.decisions[name])}" for name in self.names)
                yield f"{when}: {told}, profit {figure(spot.profit)}"
        yield f"{self.regions} regions of who uses whom were met on {SIDE} by {SIDE} values"


def profit_map(market: AnyMarket, first: str, second: str) -> ProfitMap:
    """Work out what the leader earns over two of its decisions, all others held at today's.

    Cost: 61 by 61 equilibria, each near to the last, and the solution of the market of the two.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    first, second
        Names of the two decisions: `ID` of a price or a factor, `ID.COMPONENT` of the price of a component.

    Raises
    ------
    ArgumentError
        When both are the same.
    CombinationError
        When the leader has no such decision, or another to be held has no value today.
    ConvergenceError
        When an equilibrium could not be certified.
    KeyboardInterrupt
        When it comes: half a map is none.
    """
    market = as_market(market)
    axes = position_of(market, first), position_of(market, second)
    if axes[0] == axes[1]:
        flag = argument("second", flag="--provider")
        raise ArgumentError(f"{flag}: expected two different decisions, got {first} twice")
    held = known_held(market, market.current, dict.fromkeys(axes, 0.0))
    best = solve(_of_two(market, axes, held))
    if best.interrupted:
        raise KeyboardInterrupt
    top = held.copy()
    top[list(axes)] = _of_axes(market, axes, held, best)
    ends = _ends(market, axes, top)
    values = np.linspace(0.0, ends[0], SIDE), np.linspace(0.0, ends[1], SIDE)
    profit, slacks, regions = _surveyed(market, axes, values, held)
    return ProfitMap(
        market=market,
        axes=axes,
        values=values,
        profit=profit,
        slacks=slacks,
        regions=regions,
        best=_spot(market, top),
        upper_bound=best.upper_bound,
        today=None if market.today is None else _spot(market, market.today),
    )


def _of_two(market: Market, axes: tuple[int, int], held: Array) -> Market:
    """The market whose leader decides the two alone."""
    others = {one.name: float(held[k]) for k, one in enumerate(market.decisions) if k not in axes}
    return hold(market, others) if others else market


def _of_axes(market: Market, axes: tuple[int, int], held: Array, result: Result) -> Array:
    """Values of the two that a result of the market of the two has."""
    two = _of_two(market, axes, held)
    found = by_decision(two, decided_in(two, result))
    return np.array([found[market.decisions[k].name] for k in axes])


def _ends(market: Market, axes: tuple[int, int], top: Array) -> list[float]:
    """Where the two end: a margin beyond the best and today's, or before, at the cap or where nobody pays any more."""
    last = np.minimum(market.price_cap, np.maximum(reach(market), top))
    seen = np.fmax(top, market.current)
    ends = [float(min(last[k], _BEYOND * seen[k]) or last[k]) for k in axes]
    return [end if end > 0 else 1.0 for end in ends]


def _spot(market: Market, decisions: Array) -> Spot:
    found = solve_users(user_problem(market), decisions)
    certified(market, decisions, found.flow)
    return Spot(by_decision(market, decisions), profit_of(market, decisions, found.billed))


def _surveyed(
    market: Market, axes: tuple[int, int], values: tuple[Array, Array], held: Array
) -> tuple[Array, dict[tuple[int, int], Array], int]:
    """Profits, the slacks that change their sign, and how many supports were met, row by row, there and back."""
    users, near = user_problem(market), None
    seen = np.ones((market.n, market.m), dtype=np.bool_)
    if market.n * market.m > _MOST_PAIRS:
        seen[:, list(market.rivals)] = False
    profit, slack = np.empty((SIDE, SIDE)), np.empty((SIDE, SIDE, np.count_nonzero(seen)))
    supports: set[bytes] = set()
    decisions = held.copy()
    for row, first in enumerate(values[0].tolist()):
        for column in range(SIDE)[:: 1 if row % 2 == 0 else -1]:
            decisions[list(axes)] = first, values[1][column]
            near = solve_users(users, decisions, near)
            profit[row, column] = profit_of(market, decisions, near.billed)
            slack[row, column] = _slack(near)[seen]
            supports.add(np.packbits(near.flow > 0).tobytes())
        _log.info("row %d of %d: best %.6g", row + 1, SIDE, profit[: row + 1].max())
    return profit, _turning(seen, slack), len(supports)


def _slack(found: Equilibrium) -> Array:
    return found.level[:, None] - found.users.offsets(found.prices) - found.congestion


def _turning(seen: Mask, slack: Array) -> dict[tuple[int, int], Array]:
    """Slacks of the pairs that are in use somewhere and out of use elsewhere, but for rounding."""
    pairs = np.argwhere(seen).tolist()
    noise = 1e-9 * float(np.abs(slack).max())
    turns = (slack.max(axis=(0, 1)) > noise) & (slack.min(axis=(0, 1)) < -noise)
    return {(i, j): slack[..., number] for number, (i, j) in enumerate(pairs) if turns[number]}
