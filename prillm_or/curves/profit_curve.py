r"""Profit curve: the leader's load and profit over one of its decisions, exact, with all local maxima.

On a piece from p_0 the load that the decision p is the price of is x(p) = x_0 + b (p - p_0), its profit (p - k) x(p),
and each other decision of the leader, held at today's, adds its margin times a load that is linear, too, as is what is
earned besides (`market/decisions.py`). So the profit is a parabola with the derivative d(p) = x(p) + (p - k) b + (what
the others gain per unit of p). It has a local maximum where d passes from above zero to below it: inside a piece at its
vertex, between two at a kink, at the cap where d is still above zero there.

Of the price of a component the load is the volume that is billed of it; of a factor, what its list of the file earns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prillm_or.curves.parabola import tops
from prillm_or.curves.trace import SAME, Piece, best_on_piece, trace
from prillm_or.errors import ArgumentError, CombinationError, ConvergenceError, argument, check_number, need_packages
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.limits import Deadline
from prillm_or.market.decisions import FACTOR, decision_costs, in_words, what_is_set
from prillm_or.market.market import Array, Market, Mask
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.plots import on_axes
from prillm_or.output.tables import Part, Table
from prillm_or.users.certificate import certified
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.problem import user_problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

CURVE_FORMAT = "prillm-or/curve@1"

PATIENCE_S = 30.0
"""Seconds after which a report or an explanation, of which the curve is but a part, takes what is traced by then."""

_COLUMNS = ("from", "to", "load", "slope")
_POINTS = 300


@dataclass(frozen=True)
class BestPrice:
    """The price with the highest profit, the smallest of equals, and that profit."""

    price: float
    profit: float


@dataclass(frozen=True)
class LocalMaximum:
    """A price that earns more than its neighbours, with its load and profit."""

    price: float
    load: float
    profit: float


@dataclass(frozen=True, eq=False, repr=False)
class ProfitCurve(Answer):
    """The leader's load and profit over one of its decisions, the others held, as today if nothing else is said.

    Parameters
    ----------
    market
        The market it was traced in.
    decision
        Which of the leader's decisions moves, by position.
    pieces
        From `trace`, without holes, prices rising.
    support
        Shape (n, m): the pairs in use where the first piece starts; `moved` of the pieces says how that changes.
    held
        Shape (k,): the leader's decisions where the first piece starts, of which the others stay.
    """

    market: Market
    decision: int
    pieces: tuple[Piece, ...]
    support: Mask
    held: Array

    @property
    def name(self) -> str:
        """Name of the decision that moves."""
        return self.market.decisions[self.decision].name

    @property
    def in_words(self) -> str:
        """What it is, such as `price of own`."""
        return in_words(self.market, self.market.decisions[self.decision])

    @property
    def provider(self) -> str:
        """Id of the provider whose price moves."""
        return self.market.provider_ids[self.column]

    @property
    def column(self) -> int:
        """Position of that provider in the market."""
        return self.market.decisions[self.decision].provider

    @property
    def unit_cost(self) -> float:
        """Of what the decision is the price of, currency per volume unit; 0 for a factor."""
        return float(self._costs[self.decision])

    @property
    def cap(self) -> float:
        """Highest value of the decision, currency per volume unit of a price."""
        return float(self.market.price_cap[self.decision])

    @property
    def today(self) -> float | None:
        """Its value today, None where the market has none."""
        price = float(self.market.current[self.decision])
        return None if np.isnan(price) else price

    @property
    def searched(self) -> tuple[float, float]:
        """The prices that the pieces reach from and to."""
        return self.pieces[0].start, self.pieces[-1].end

    @property
    def complete(self) -> bool:
        """Whether the pieces cover all prices, from 0 to the cap."""
        low, high = self.searched
        return low == 0.0 and high >= self.cap

    @cached_property
    def starts(self) -> Array:
        """Shape (pieces,): where each piece starts."""
        return np.array([piece.start for piece in self.pieces])

    def load(self, prices: ArrayLike) -> Array:
        """Volume that the decision is the price of, at prices of any shape; NaN where none was traced."""
        load: Array = self._loads(_prices(prices))[self.decision]
        return load

    def slope(self, prices: ArrayLike) -> Array:
        """Slope of that load, on the piece that each price is on or starts."""
        slope: Array = self._slope[self._piece(_prices(prices)), self.decision]
        return slope

    def profit(self, prices: ArrayLike) -> Array:
        """Profit of all of the leader's providers, at prices of any shape; NaN where none was traced."""
        prices = _prices(prices)
        return np.asarray((prices - self.unit_cost) * self.load(prices) + self.besides(prices)[0])

    def besides(self, prices: ArrayLike) -> tuple[Array, Array]:
        """What is earned besides (decision - its cost) times its volume at prices of any shape, and its slope there."""
        prices = _prices(prices)
        piece = self._piece(prices)
        rest, slope = self._rest[:, piece]
        return rest + slope * (prices - self.starts[piece]), slope

    @cached_property
    def best(self) -> BestPrice:
        """The best of all prices that were traced."""
        value, first, second = self._parabolas
        length = np.array([piece.end for piece in self.pieces]) - self.starts
        step = tops(first, second, length)
        profit = value + step * (first + second * step)
        place = int(profit.argmax())
        return BestPrice(*best_on_piece(self.pieces[place], self.decision, self._margins, self.unit_cost))

    @cached_property
    def local_maxima(self) -> tuple[LocalMaximum, ...]:
        """Local maxima with a profit above zero, best first."""
        found: list[LocalMaximum] = []
        first = self.pieces[0]
        if first.start == 0.0 and self._derivative(first, 0.0) <= 0 and (earned := float(self.profit(0.0))) > 0:
            found.append(LocalMaximum(0.0, self._load_on(first, 0.0), earned))  # by what is earned besides
        for piece, following in zip(self.pieces, (*self.pieces[1:], None), strict=True):
            if self._derivative(piece, piece.start) <= 0:
                continue
            if self._derivative(piece, piece.end) > 0:
                if following is None and piece.end < self.cap * (1 - SAME):
                    continue  # not the end of all prices, only of those looked at
                if following is not None and self._derivative(following, following.start) > 0:
                    continue
            price, profit = best_on_piece(piece, self.decision, self._margins, self.unit_cost)
            if profit > 0 and not (found and price - found[-1].price <= SAME * price):
                found.append(LocalMaximum(price, self._load_on(piece, price), profit))
        return tuple(sorted(found, key=lambda maximum: -maximum.profit))

    def points(self, end: float) -> tuple[Array, Array]:
        """Prices from the first to `end`, rising, and profits to draw the curve through, shape (points,) each.

        Some 300 points, besides two for each piece.
        """
        prices, profits = [], []
        for piece, (rest, rest_slope) in zip(self.pieces, self._rest.T, strict=True):
            last = min(piece.end, end)
            if last < piece.start:
                break
            within = (last - piece.start) / end if end > 0 else 0.0
            price = np.linspace(piece.start, last, 2 + int(_POINTS * within))
            prices.append(price)
            h = price - piece.start
            load = piece.load[self.decision] + piece.slope[self.decision] * h
            profits.append((price - self.unit_cost) * load + rest + rest_slope * h)
        return np.concatenate(prices), np.concatenate(profits)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the profit over the price, on new axes if none are given; the axes."""
        from prillm_or.curves.profit_plot import plot_profit

        return on_axes(ax, lambda axes: plot_profit(axes, self))

    def plot_support(self, ax: Axes | None = None) -> Axes:
        """Draw whom each user uses at each price, on new axes if none are given; the axes."""
        from prillm_or.curves.support_plot import plot_support, support_height

        return on_axes(ax, lambda axes: plot_support(axes, self), support_height(self))

    def to_dict(self) -> dict[str, Any]:
        """The fields of `curve@1`."""
        return {
            "format": CURVE_FORMAT,
            "provider": self.provider,
            "decision": self.name,
            "pieces": [dict(zip(_COLUMNS, row, strict=True)) for row in self._rows()],
            "best": {"price": self.best.price, "profit": self.best.profit},
        }

    def to_frame(self) -> DataFrame:
        """A row for each piece: from, to, load, slope; on it the load at a price p is load + slope (p - from)."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=list(_COLUMNS))

    def parts(self, note: str = "") -> Iterator[Part]:
        """The pieces, and the best price."""
        rows = [[figure(value) for value in row] for row in self._rows()]
        what = what_is_set(self.market)
        units = self.market.units
        title = f"{self.name}; prices in {units.of_prices}, loads in {units.of_volume}"
        if self.market.decides == FACTOR:
            title = f"factor of {self.name}; loads are sales at the prices of the file, in {units.of_money}"
        elif self.market.components:
            title = f"{self.name}: price and billed volume; prices in {units.of_prices}, loads in {units.of_volume}"
        yield Table(f"{self.market.name}{note}: {title}", _COLUMNS, rows, numbers=_COLUMNS)
        if not self.complete:
            low, high = map(figure, self.searched)
            yield f"only {what}s from {low} to {high} were traced; the cap is {figure(self.cap)}"
        yield f"best {what} {figure(self.best.price, 10)}, profit {figure(self.best.profit, 10)} {units.of_money}"

    def _rows(self) -> list[tuple[float, float, float, float]]:
        k = self.decision
        return [(piece.start, piece.end, float(piece.load[k]), float(piece.slope[k])) for piece in self.pieces]

    def parabolas(self, prices: Array) -> tuple[Array, Array, Array]:
        """Value, first and second of the profit value + first h + second h^2 at prices + h, on the piece of each."""
        piece = self._piece(prices)
        h, (value, first, second) = prices - self.starts[piece], self._parabolas[:, piece]
        return value + h * (first + second * h), first + 2 * second * h, second

    @cached_property
    def _parabolas(self) -> Array:
        """Shape (3, pieces): the three numbers where the pieces start."""
        load, slope = self._load[:, self.decision], self._slope[:, self.decision]
        margin, (rest, rest_slope) = self.starts - self.unit_cost, self._rest
        return np.array([margin * load + rest, load + margin * slope + rest_slope, slope])

    @cached_property
    def _load(self) -> Array:
        """Shape (pieces, k): the volume that each decision is the price of, where the pieces start."""
        return np.array([piece.load for piece in self.pieces])

    @cached_property
    def _slope(self) -> Array:
        return np.array([piece.slope for piece in self.pieces])

    @cached_property
    def _rest(self) -> Array:
        """What is earned besides where the pieces start, and its slope, shape (2, pieces)."""
        held = self._margins
        return np.array([(p.rest + held @ p.load, p.rest_slope + held @ p.slope) for p in self.pieces]).T

    @cached_property
    def _costs(self) -> Array:
        return decision_costs(self.market)

    @cached_property
    def _margins(self) -> Array:
        """Margins of the leader's decisions that are held, shape (k,); 0 for the one that moves."""
        margins = self.held - self._costs
        margins[self.decision] = 0.0
        return margins

    def _piece(self, prices: Array) -> NDArray[np.intp]:
        """Number of the piece that each price is on or starts."""
        return np.clip(np.searchsorted(self.starts, prices, "right") - 1, 0, len(self.pieces) - 1)

    def _loads(self, prices: Array) -> Array:
        """Of all of the leader's decisions, shape (k, *prices.shape)."""
        low, high = self.searched
        piece = self._piece(prices)
        load = self._load[piece] + self._slope[piece] * (prices - self.starts[piece])[..., None]
        # A best price found elsewhere may lie beyond the end by rounding.
        traced = (prices >= low * (1 - SAME)) & (prices <= high * (1 + SAME))
        return np.moveaxis(np.where(traced[..., None], np.maximum(load, 0.0), np.nan), -1, 0)

    def _load_on(self, piece: Piece, price: float) -> float:
        return float(piece.load[self.decision] + piece.slope[self.decision] * (price - piece.start))

    def _derivative(self, piece: Piece, price: float) -> float:
        """Of the profit by the price, on a piece."""
        own = self._load_on(piece, price) + (price - self.unit_cost) * float(piece.slope[self.decision])
        return own + float(self._margins @ piece.slope) + piece.rest_slope


def curve(
    market: AnyMarket,
    decision: str | None = None,
    *,
    time_limit: float | None = None,
) -> ProfitCurve:
    """Trace the leader's load and profit over all values of one of its decisions, from 0 to the cap.

    Cost: one equilibrium, and that of the pieces, see `trace`.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    decision
        Name of the decision that moves: `ID` of a price or a factor, `ID.COMPONENT` of the price of a component; needed
        where the leader has several, of which the others stay as today.
    time_limit
        Seconds, after which the curve ends where it is; it also ends at a breakpoint that does not resolve.
        Without a limit it runs to the cap.

    Raises
    ------
    ArgumentError
        When the time limit is no number of seconds.
    CombinationError
        When the leader has several decisions and none is named, another's is named, or another price to be held is
        absent.
    ConvergenceError
        When an equilibrium could not be certified, or, without a time limit, when a breakpoint does not resolve.
    """
    if time_limit is not None:
        check_number("time_limit", time_limit)
    market = as_market(market)
    moving = position_of(market, decision)
    return curve_between(market, moving, 0.0, float(market.price_cap[moving]), time_limit)


def curve_between(
    market: Market,
    decision: int,
    low: float,
    high: float,
    time_limit: float | None = None,
    held: Array | None = None,
) -> ProfitCurve:
    """Trace the part of a curve between two prices; as `curve`, of the decision at that position.

    The others are held as in `held`, shape (k,), or as today.
    """
    deadline = Deadline(time_limit)
    users = user_problem(market)
    start = solve_users(users, known_held(market, market.current if held is None else held, {decision: low}))
    certified(market, start.prices, start.flow)
    pieces: list[Piece] = []
    try:
        for piece in trace(users, start.prices, decision, high, start):
            pieces.append(piece)
            if deadline.passed():
                break
    except ConvergenceError:
        if time_limit is None or not pieces:
            raise
    return ProfitCurve(market, decision, tuple(pieces), start.support, start.prices)


def _prices(given: ArrayLike) -> Array:
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentError(f"{argument('prices')}: expected numbers, got {type(given).__name__}") from None


def position_of(market: Market, name: str | None) -> int:
    """Position among the leader's decisions; None names the only one."""
    names = [decision.name for decision in market.decisions]
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        flag = argument("decision", flag="--provider")
        raise CombinationError(f"{market.name}: {flag}: expected one of {', '.join(names)} (the leader's), got {name}")
    return names.index(name)


def known_held(market: Market, held: Array, moving: Mapping[int, float]) -> Array:
    """The leader's decisions where they are held, those that move, by position, at their values.

    Raises
    ------
    CombinationError
        When one to be held is absent.
    """
    prices = held.copy()
    for decision, value in moving.items():
        prices[decision] = value
    if np.isnan(prices).any():
        absent = market.decisions[int(np.isnan(prices).argmax())]
        whose = f"provider {absent.name}" if absent.component is None else absent.name
        raise CombinationError(f"{market.name}: {whose} has no price today for the curve to hold it at")
    return prices
