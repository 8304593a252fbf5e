"""Envelope: what the leader earns at each value of one of its decisions when all others are the best ones for it.

At each of 41 values, and at the best one of all, the others are decided anew, each from the best of its neighbour: by
`path` where one is left, by `branch` where there are several. So every point has a profit and a proven bound; between
points nothing is proven but that no value earns more than the best of all, whose bound is that of the whole market.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prillm_or import __version__
from prillm_or.curves.profit_curve import position_of
from prillm_or.curves.trace import SAME
from prillm_or.errors import CombinationError, need_packages
from prillm_or.files.markets import AnyMarket, as_market
from prillm_or.limits import Limits
from prillm_or.market.decisions import in_words, what_is_set
from prillm_or.market.held import hold
from prillm_or.market.market import Array, Market, by_decision
from prillm_or.output.answer import Answer
from prillm_or.output.numbers import figure
from prillm_or.output.plots import on_axes
from prillm_or.output.tables import Part, Table
from prillm_or.result import Method, Result, Status
from prillm_or.solvers.branch import Branch
from prillm_or.solvers.path import Path
from prillm_or.solving.judge import judge
from prillm_or.solving.recheck import decided_in
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import reach

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_log = logging.getLogger(__name__)

ENVELOPE_FORMAT = "prillm-or/envelope@1"

POINTS = 41
"""Values of the decision that are looked at, evenly from 0 to its cap, or to where nobody pays it any more."""


@dataclass(frozen=True)
class EnvelopePoint:
    """The best others at one value.

    Parameters
    ----------
    value
        Of the decision that moves.
    profit, upper_bound, gap
        What is earned there with the others at `decisions`, what is proven of all others, and how far that is apart.
    decisions
        All of the leader's, by name.
    """

    value: float
    profit: float
    upper_bound: float | None
    gap: float | None
    decisions: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class Envelope(Answer):
    """What the leader earns over one of its decisions, all others at their best.

    Parameters
    ----------
    market
        The market.
    decision
        Which of the leader's decisions moves, by position.
    points
        By rising values.
    best
        The best of all values.
    between
        The nearest values below and above the best at which less is earned, proven; where there is none, the end.
    interrupted
        Whether Ctrl-C came before all points were known. Not part of the file format.
    """

    market: Market
    decision: int
    points: tuple[EnvelopePoint, ...]
    best: EnvelopePoint
    between: tuple[float, float]
    interrupted: bool = False

    @property
    def name(self) -> str:
        """Name of the decision that moves."""
        return self.market.decisions[self.decision].name

    @property
    def in_words(self) -> str:
        """What it is, such as `price of own`."""
        return in_words(self.market, self.market.decisions[self.decision])

    @property
    def proven(self) -> bool:
        """Whether every point is proven to the gap of 1e-4."""
        return all(point.gap is not None and point.gap <= Limits().gap for point in self.points)

    def to_dict(self) -> dict[str, Any]:
        """The fields of the file format, in their order."""
        provider = self.market.provider_ids[self.market.decisions[self.decision].provider]
        return {
            "format": ENVELOPE_FORMAT,
            "provider": provider,
            "decision": self.name,
            "points": [_fields(point) for point in self.points],
            "best": _fields(self.best),
            "between": list(self.between),
        }

    def to_frame(self) -> DataFrame:
        """A row for each point: value, profit, upper_bound, gap, and the other decisions by name."""
        need_packages("to_frame", "pandas")
        import pandas as pd

        rows = [
            {name: value for name, value in _fields(point).items() if name != "decisions"} | self._others(point)
            for point in self.points
        ]
        return pd.DataFrame(rows)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the envelope, and the curve with the others as today below it, on new axes if none are given."""
        from prillm_or.landscape.envelope_plot import plot_envelope

        return on_axes(ax, lambda axes: plot_envelope(axes, self))

    def parts(self, note: str = "") -> Iterator[Part]:
        """The points, the best of all, and between which values it lies."""
        units, what = self.market.units, what_is_set(self.market)
        others = [decision.name for k, decision in enumerate(self.market.decisions) if k != self.decision]
        columns = (what, "profit", "bound", *others)
        rows = [
            (
                figure(point.value),
                figure(point.profit),
                figure(point.upper_bound),
                *(figure(value, 4) for value in self._others(point).values()),
            )
            for point in self.points
        ]
        title = f"{self.market.name}{note}: {self.name}, all other {what}s at their best; profits in {units.of_money}"
        yield Table(title, columns, rows, columns, ranks=("profit", "bound"))
        told = ", ".join(f"{name} {figure(value, 5)}" for name, value in self._others(self.best).items())
        yield f"best {what} {figure(self.best.value, 10)}, profit {figure(self.best.profit, 10)}, with {told}"
        low, high = map(figure, self.between)
        bound = self.best.upper_bound
        most = "" if bound is None else f"; at no value can more than {figure(bound)} be earned"
        yield f"it lies between {low} and {high}{most}"
        if not self.proven:
            yield "not every point is proven to a gap of 0.0001: see their bounds"

    def _others(self, point: EnvelopePoint) -> dict[str, float]:
        return {name: value for name, value in point.decisions.items() if name != self.name}


def _fields(point: EnvelopePoint) -> dict[str, Any]:
    return {
        "value": point.value,
        "profit": point.profit,
        "upper_bound": point.upper_bound,
        "gap": point.gap,
        "decisions": dict(point.decisions),
    }


def envelope(market: AnyMarket, decision: str | None = None) -> Envelope:
    """Find the best other decisions at each of 41 values of one, from 0 to the cap or to where nobody pays it.

    Cost: one solution of the market, and one for each point with one decision less.

    Parameters
    ----------
    market
        A market, one with its file, the path of a file, or the name of a shipped one.
    decision
        Name of the decision that moves: `ID` of a price or a factor, `ID.COMPONENT` of the price of a component.

    Raises
    ------
    CombinationError
        When the leader has no such decision, or no other.
    ConvergenceError
        When an equilibrium could not be certified.
    KeyboardInterrupt
        When it comes before the best of all is known; later, the points so far are returned.
    """
    market = as_market(market)
    moving = position_of(market, decision)
    if len(market.decisions) == 1:
        raise CombinationError(
            f"{market.name}: the leader sets one {what_is_set(market)}, and no others; `curve` has the whole of it"
        )
    name = market.decisions[moving].name
    best = _priced(market, None)
    top, at = decided_in(market, best), float(decided_in(market, best)[moving])
    end = float(min(market.price_cap[moving], max(reach(market)[moving], at)))
    values = np.linspace(0.0, end, POINTS)
    values = values[np.abs(values - at) > SAME * end]  # the best itself is there already
    points, interrupted = [_point(market, moving, at, market, best)], False
    try:
        for side in (values[values > at], values[values < at][::-1]):
            near = np.delete(top, moving)
            for number, value in enumerate(side.tolist()):
                held = hold(market, {name: value})
                found = _priced(held, near)
                near = decided_in(held, found)
                points.append(_point(market, moving, value, held, found))
                _log.info("%s at %.6g, %d of %d: profit %.6g", name, value, number + 1, len(side), found.profit)
    except KeyboardInterrupt:
        interrupted = True
    found_points = tuple(sorted(points, key=lambda point: point.value))
    return Envelope(market, moving, found_points, points[0], _between(found_points, points[0]), interrupted)


def _priced(market: Market, near: Array | None) -> Result:
    """The best decisions of a market, from those of one much like it."""
    one = len(market.decisions) == 1
    proposal = Path().solve(market, Limits()) if one else Branch(near).solve(market, Limits())
    method = Method("path" if one else "branch", __version__)
    result = judge(market, user_problem(market), proposal, method, Limits())
    if result.interrupted or result.status is Status.INFEASIBLE:
        raise KeyboardInterrupt
    return result


def _point(whole: Market, decision: int, value: float, held: Market, found: Result) -> EnvelopePoint:
    """What was found where the decision is held, or where it was decided with the others, told of the whole market."""
    decided = by_decision(held, decided_in(held, found)) | {whole.decisions[decision].name: value}
    decisions = {one.name: decided[one.name] for one in whole.decisions}
    return EnvelopePoint(value, found.profit, found.upper_bound, found.gap, decisions)


def _between(points: tuple[EnvelopePoint, ...], best: EnvelopePoint) -> tuple[float, float]:
    """The nearest values on either side at which less is earned, proven, or the ends."""
    less = [one.value for one in points if one.upper_bound is not None and one.upper_bound < best.profit]
    below = max((value for value in less if value < best.value), default=points[0].value)
    above = min((value for value in less if value > best.value), default=points[-1].value)
    return below, above
