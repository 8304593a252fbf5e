"""Pictures of a calibration: flows, what is missed, and values, as SVG to stand in a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prillm_or.calibration.bootstrap import LEVEL
from prillm_or.calibration.calibration import Calibration
from prillm_or.market.market import Array, Units
from prillm_or.output.canvas import drawing
from prillm_or.output.look import short
from prillm_or.report.templates import NARROW

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 30
"""Users or providers in a picture; where there are more, those of largest volume."""
_MOST_NARROW = 15
_SEEN, _HELD = "#0072B2", "#D55E00"
_SQUARE, _ROW = 3.9, 0.19
_GRID = 110
_NOTHING = 1e-6
_DECADES = 4
_COLOURS = 15
_ACROSS, _BELOW = 4, 14
"""Letters of a name beside a picture, for each inch of width, and below it."""


def flow_picture(calibration: Calibration, width: float, name: str) -> str:
    """Draw predicted against observed flows of all cells; marks that would lie on each other are drawn once."""
    observed, predicted = calibration.observations.flow, calibration.flow
    seen, held = calibration.fit.days.train, calibration.held_out
    kinds = [("cells seen", seen, "o", _SEEN), ("cells held out", held, "D", _HELD)][: 2 if held.any() else 1]
    shown = np.concatenate([flows[cells] for _, cells, _, _ in kinds for flows in (observed, predicted)])
    with drawing(width, name, _SQUARE) as (axes, done):
        top = _flow_axes(axes, shown)
        axes.plot([0, top], [0, top], color="#999999", linewidth=1, linestyle=(0, (4, 3)), label="predicted = observed")
        for label, cells, sign, colour in kinds:
            points = _distinct(axes, np.stack([observed[cells], predicted[cells]], axis=1))
            axes.plot(*points.T, sign, color=colour, markersize=3.6, markeredgewidth=0, label=label)
        axes.set_xlabel(f"observed flow, {flow_unit(calibration.observations.units)}")
        axes.set_ylabel(f"predicted flow, {flow_unit(calibration.observations.units)}")
    return done[0]


def residual_picture(calibration: Calibration, width: float, name: str) -> str:
    """Draw predicted less observed flows by user and provider, means over the days of a pair's cells."""
    from matplotlib import colormaps

    observations, most = calibration.observations, _MOST_NARROW if width <= NARROW else MOST
    users, providers = largest(observations.demand.sum(axis=0)), largest(observations.load.sum(axis=0), most)
    missed = mean_residuals(calibration)[np.ix_(users, providers)]
    # Rounding errors get no colour.
    bound = float(np.nanmax(np.abs(missed), initial=_NOTHING * observations.flow.max()))
    below = _short(observations.provider_ids, providers, _BELOW)
    height = 1.1 + 0.07 * max(map(len, below)) + max(0.17 * len(users), 2.0)
    with drawing(width, name, height) as (axes, done):
        colours = axes.pcolormesh(
            missed,
            cmap=colormaps["PuOr_r"].resampled(_COLOURS),
            vmin=-bound,
            vmax=bound,
            edgecolors="white",
            linewidth=0.5,
        )
        axes.grid(False)
        axes.set_facecolor("#cccccc")
        axes.invert_yaxis()
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
        axes.set_yticks(np.arange(len(users)) + 0.5, _short(observations.user_ids, users, int(_ACROSS * width)))
        axes.set_xticks(np.arange(len(providers)) + 0.5, below)
        axes.tick_params(axis="x", rotation=90)
        axes.set_ylabel(_largest_of("users", len(users), observations.n))
        axes.set_xlabel(_largest_of("providers", len(providers), observations.m))
        bar = axes.figure.colorbar(colours, ax=axes, location="top", aspect=40, ticks=[-bound, 0, bound])
        bar.ax.set_xticklabels([f"{tick:.2g}" for tick in (-bound, 0, bound)])
        bar.set_label(f"predicted - observed, {flow_unit(observations.units)}")
        bar.ax.tick_params(length=0)
    return done[0]


def value_picture(calibration: Calibration, width: float, name: str) -> str:
    """Draw the providers' values from high to low, with intervals where there are some."""
    observations, preferences = calibration.observations, calibration.fit.preferences
    chosen = largest(observations.load.sum(axis=0))
    order = chosen[np.argsort(-preferences.value[chosen], kind="stable")]
    reference = order == held_provider(calibration)
    value, rows = preferences.value[order], np.arange(len(order))
    with drawing(width, name, 1.0 + _ROW * max(len(order), 3)) as (axes, done):
        if calibration.intervals is not None:
            low, high = calibration.intervals.values[order][~reference].T
            ends = _limits(value, low, high)
            longer = bool((low < ends[0]).any() or (high > ends[1]).any())
            label = f"{LEVEL:.0%} interval" + ("; some are longer than the picture" if longer else "")
            axes.hlines(rows[~reference], low, high, color=_SEEN, linewidth=1.6, label=label)
            axes.set_xlim(*ends)
        axes.plot(value[~reference], rows[~reference], "o", color=_SEEN, markersize=5, label="value")
        if reference.any():
            hollow, label = "white", "reference: its value is held"
            axes.plot(
                value[reference], rows[reference], "o", color=_SEEN, markersize=5, markerfacecolor=hollow, label=label
            )
        axes.set_yticks(rows, _short(observations.provider_ids, order, int(_ACROSS * width)))
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set_ylabel(_largest_of("providers", len(order), observations.m))
        axes.set_xlabel(f"value, {money_unit(observations.units)}")
    return done[0]


def mean_residuals(calibration: Calibration) -> Array:
    """Predicted less observed flows, shape (n, m), volume units: means over a pair's cells, NaN where it has none."""
    cells = calibration.observations.cells
    missed = np.where(cells, calibration.flow - calibration.observations.flow, 0.0).sum(axis=0)
    count = cells.sum(axis=0)
    return np.asarray(np.divide(missed, count, out=np.full(missed.shape, np.nan), where=count > 0))


def largest(volume: Array, most: int = MOST) -> NDArray[np.intp]:
    """Positions of the largest entries, largest first."""
    return np.argsort(-volume, kind="stable")[:most]


def held_provider(calibration: Calibration) -> int:
    """The provider whose value is held, so that those of the others are counted from it."""
    intervals = calibration.intervals
    return calibration.fit.parameters.reference if intervals is None else intervals.reference


def flow_unit(units: Units) -> str:
    """The unit of flows."""
    return f"{units.volume} per {units.period}"


def money_unit(units: Units) -> str:
    """The unit of prices and values."""
    return f"{units.currency} per {units.volume}"


def _flow_axes(axes: Axes, flows: Array) -> float:
    """Axes on which zeros and large flows both show: linear up to a bend, logarithmic from there; gives the largest."""
    top = float(flows.max()) or 1.0
    positive = flows[flows > 1e-9 * top]
    low = max(float(np.quantile(positive, 0.1)), top * 10.0**-_DECADES) if positive.size else top
    bend = 10.0 ** np.floor(np.log10(low))
    margin = 0.04 * top
    if top > 20 * bend:
        ticks = [0.0, *(bend * 10.0**k for k in range(int(np.log10(top / bend)) + 1))]
        axes.set_xscale("symlog", linthresh=bend, linscale=0.5)
        axes.set_yscale("symlog", linthresh=bend, linscale=0.5)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        margin = 0.2 * bend
    high = 1.4 * top if top > 20 * bend else top + margin
    axes.set_xlim(-margin, high)
    axes.set_ylim(-margin, high)
    return top


def _distinct(axes: Axes, points: Array) -> Array:
    """One of the points, shape (k, 2), of each small square of the picture, to keep pages of many cells small."""
    places = (axes.transScale + axes.transLimits).transform(points)
    _, first = np.unique(np.floor(places * _GRID), axis=0, return_index=True)
    return points[np.sort(first)]


def _limits(value: Array, low: Array, high: Array) -> tuple[float, float]:
    """Ends of the axis: of the bars, unless some are so long that the values would lie on one spot."""
    span = float(np.ptp(value)) or 1.0
    least = max(float(np.min(low, initial=value.min())), float(value.min()) - span)
    most = min(float(np.max(high, initial=value.max())), float(value.max()) + span)
    margin = 0.04 * (most - least) or 1.0
    return least - margin, most + margin


def _short(names: Sequence[str], positions: NDArray[np.intp], most: int) -> list[str]:
    return [short(names[k], most) for k in positions.tolist()]


def _largest_of(what: str, shown: int, count: int) -> str:
    return what if shown == count else f"{what}, the {shown} largest of {count}"
