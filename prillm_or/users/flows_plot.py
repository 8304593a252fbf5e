r"""Flows: who routes how much where, users on the left and providers on the right, each flow a band as thick as it is.

Both sides are ordered by the mean position of whom they route to or serve, weighted by flow, in turn, and of the orders
met the one in which the least flow crosses is drawn. It need not be the least of all.

Reference: barycentre heuristic: K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical
system structures", IEEE Transactions on Systems, Man, and Cybernetics 11 (1981) 109-125, doi 10.1109/TSMC.1981.4308636.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prillm_or.market.market import Array, Market
from prillm_or.output.look import DEMAND, LEADER, RIVALS, short
from prillm_or.users.equilibrium import Equilibrium

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

MOST = 20
"""Users or providers drawn one by one."""
_AXIS, _ROW = 0.7, 0.2
_GAP, _VOLUME = 0.25, 0.7
_LEAST_VOLUME = 8.0
_BAR, _SPACE = 0.025, 0.015
_ROUNDS = 12
_LETTERS = 52

Order = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Side:
    """Users or providers to be drawn.

    Parameters
    ----------
    names
        Of each; the last may stand for many.
    sizes
        Shape (len(names),): demands or loads, volume units.
    leads
        Which of them are the leader's.
    """

    names: Sequence[str]
    sizes: Array
    leads: Sequence[bool]


def plot_flows(ax: Axes, market: Market, found: Equilibrium) -> None:
    """Draw the flows of an equilibrium, those to the leader in its colour.

    Bars are as tall as demands and loads. Of more than 20 users or providers the largest are drawn, and the leader's,
    and the others as one. `ax.legend()` says what the colours mean.

    Parameters
    ----------
    found
        The equilibrium of this market at some price.
    """
    users, providers, flow = _sides(market, found)
    rows, columns = _orders(flow)
    scale = _volume(users, providers) / float(market.demand.sum())
    left, right, height = _places(users.sizes[rows] * scale, providers.sizes[columns] * scale)
    _draw_bands(ax, flow[np.ix_(rows, columns)] * scale, left, right, [providers.leads[j] for j in columns])
    _draw_users(ax, users, rows, left)
    _draw_providers(ax, providers, columns, right)
    _legend(ax, found)
    ax.set_xlim(-_BAR, 1 + _BAR)
    ax.set_ylim(height + _GAP, -_GAP)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    units = market.units
    label = f"left: users and their demand; right: providers and their load; {units.volume} per {units.period}"
    ax.set_xlabel(textwrap.fill(label, _LETTERS), parse_math=False)


def flows_height(market: Market) -> float:
    """Inches that the names and bars need."""
    rows = min(max(market.n, market.m), MOST + 1)
    return _AXIS + _ROW * (max(_LEAST_VOLUME, _VOLUME * rows) + (1 + _GAP) * rows)


def _sides(market: Market, found: Equilibrium) -> tuple[Side, Side, Array]:
    """Users and providers to draw, and the flows between them, with those that are merged in the last place."""
    rows, columns = _chosen(market.demand), _chosen(found.load, market.leader)
    users = _side(market.user_ids, market.demand, rows, ())
    providers = _side(market.provider_ids, found.load, columns, market.leader)
    return users, providers, _merged(_merged(found.flow, rows).T, columns).T


def _chosen(sizes: Array, always: Sequence[int] = ()) -> list[int]:
    """Positions of all, if they are few, or of the largest and `always`."""
    if len(sizes) <= MOST + 1:  # "1 other" would take as much room
        return list(range(len(sizes)))
    order = [k for k in np.argsort(-sizes, kind="stable").tolist() if k not in always]
    return [*always, *order[: max(MOST - len(always), 0)]]


def _side(ids: Sequence[str], sizes: Array, chosen: Sequence[int], leader: Sequence[int]) -> Side:
    names = [short(ids[k]) for k in chosen]
    leads = [k in leader for k in chosen]
    if others := len(ids) - len(chosen):
        names.append(f"{others} others")
        leads.append(False)
    return Side(names, _merged(sizes[:, None], chosen)[:, 0], leads)


def _merged(matrix: Array, chosen: Sequence[int]) -> Array:
    """The chosen rows, and in a last one the sum of the others where there are some."""
    kept: Array = matrix[list(chosen)]
    if len(chosen) == len(matrix):
        return kept
    return np.vstack([kept, np.delete(matrix, list(chosen), axis=0).sum(axis=0)])


def _orders(flow: Array) -> tuple[Order, Order]:
    """Orders of rows and columns in which little flow crosses."""
    rows = np.argsort(-flow.sum(axis=1), kind="stable")
    best: tuple[float, Order, Order] | None = None
    for _ in range(_ROUNDS):
        columns = _by_mean_position(flow.T, rows)
        crossing = _crossing(flow[np.ix_(rows, columns)])
        if best is None or crossing < best[0]:
            best = crossing, rows, columns
        rows = _by_mean_position(flow, columns)
    assert best is not None
    return best[1], best[2]


def _by_mean_position(flow: Array, columns: Order) -> Order:
    """Rows by the mean position of their flow among the columns; those without flow are last."""
    position = np.empty(len(columns))
    position[columns] = np.arange(len(columns))
    total = flow.sum(axis=1)
    mean = np.where(total > 0, flow @ position / np.where(total > 0, total, 1.0), len(columns))
    return np.argsort(mean, kind="stable")


def _crossing(flow: Array) -> float:
    """Sum over crossing pairs of flows of the product of the two."""
    below_right = np.cumsum(np.cumsum(flow[::-1], axis=0)[::-1], axis=1)
    return float((flow[:-1, 1:] * below_right[1:, :-1]).sum())


def _volume(users: Side, providers: Side) -> float:
    """Height of all demand, in rows of names."""
    return max(_LEAST_VOLUME, _VOLUME * max(len(users.names), len(providers.names)))


def _places(left: Array, right: Array) -> tuple[Array, Array, float]:
    """Upper ends of the bars of both sides, heights given in order, and the height of all; each has room for a name."""
    slots = [np.maximum(side, 1.0) for side in (left, right)]
    height = max(float(slot.sum()) + _GAP * (len(slot) - 1) for slot in slots)
    tops = []
    for side, slot in zip((left, right), slots, strict=True):
        gap = (height - float(slot.sum())) / len(slot)
        starts = np.cumsum(slot + gap) - slot - gap / 2
        tops.append(starts + (slot - side) / 2)
    return np.stack([tops[0], left]), np.stack([tops[1], right]), height


def _draw_bands(ax: Axes, flow: Array, left: Array, right: Array, leads: Sequence[bool]) -> None:
    """Draw the flows, each side stacked in the order of the other."""
    from matplotlib.patches import PathPatch

    start = left[0][:, None] + np.cumsum(flow, axis=1) - flow
    end = right[0] + np.cumsum(flow, axis=0) - flow
    for i, j in np.argwhere(flow > 0).tolist():
        colour = LEADER if leads[j] else RIVALS
        ax.add_patch(
            PathPatch(
                _band(float(start[i, j]), float(end[i, j]), float(flow[i, j])),
                facecolor=colour,
                edgecolor=colour,
                linewidth=0.3,
                alpha=0.75 if leads[j] else 0.45,
                zorder=3 if leads[j] else 2,
            )
        )


def _band(start: float, end: float, thick: float) -> Path:
    """An S from x = 0 to x = 1, as thick everywhere in the vertical."""
    from matplotlib.path import Path

    there = [(0.0, start), (0.5, start), (0.5, end), (1.0, end)]
    back = [(x, y + thick) for x, y in reversed(there)]
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    return Path([*there, *back, there[0]], codes)


def _draw_users(ax: Axes, users: Side, order: Order, bars: Array) -> None:
    ax.bar(-_BAR, bars[1], _BAR, bars[0], align="edge", color=DEMAND, edgecolor=DEMAND, linewidth=0.5)
    for row, k in enumerate(order.tolist()):
        middle = bars[0, row] + bars[1, row] / 2
        text = f"{users.names[k]}  {_amount(users.sizes[k])}"
        ax.text(-_BAR - _SPACE, middle, text, ha="right", va="center", fontsize=8, parse_math=False)


def _draw_providers(ax: Axes, providers: Side, order: Order, bars: Array) -> None:
    for row, k in enumerate(order.tolist()):
        colour, weight = (LEADER, "bold") if providers.leads[k] else (RIVALS, "normal")
        top, height = bars[:, row]
        ax.bar(1.0, height, _BAR, top, align="edge", color=colour, edgecolor=colour, linewidth=0.5)
        text = f"{_amount(providers.sizes[k])}  {providers.names[k]}"
        where = 1 + _BAR + _SPACE, top + height / 2
        ax.text(*where, text, ha="left", va="center", fontsize=8, fontweight=weight, parse_math=False)


def _amount(volume: float) -> str:
    return f"{volume:.3g}" if volume < 1000 else f"{volume:,.0f}"


def _legend(ax: Axes, found: Equilibrium) -> None:
    """Marks without a place in the picture."""
    prices = ", ".join(f"{price:.4g}" for price in found.prices)
    ax.plot([], [], "s", color=LEADER, label=f"the leader, at the price{'s' * (len(found.prices) > 1)} {prices}")
    ax.plot([], [], "s", color=RIVALS, label="rivals")
