"""Map: profit over two decisions as a field, with lines of equal profit and the borders where users turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prillm_or.landscape.envelope_plot import unit_of
from prillm_or.market.decisions import in_words, what_is_set
from prillm_or.output.look import DARK, LEADER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.landscape.profit_map import ProfitMap

HEIGHT = 5.6
_LEVELS = 12
_LOSS_SHOWN = 0.4


def plot_map(ax: Axes, found: ProfitMap) -> None:
    """Draw profits as a field with lines, the borders of the regions, the best point and today's."""
    market, (x, y) = found.market, found.values
    profit = found.profit.T
    top = max(float(profit.max()), found.best.profit)
    floor = max(float(profit.min()), -_LOSS_SHOWN * top) if top > 0 else float(profit.min())
    field = ax.pcolormesh(
        x, y, np.maximum(profit, floor), cmap="YlGnBu_r", shading="gouraud", rasterized=True, zorder=1
    )
    figure = ax.get_figure()
    if figure is not None:
        label = f"profit, {market.units.currency} per {market.units.period}"
        figure.colorbar(field, ax=ax).set_label(label, parse_math=False)
    if top > floor:
        levels = np.linspace(floor, top, _LEVELS + 1)[1:-1]
        ax.contour(x, y, profit, levels=levels, colors=["white"], linewidths=0.6, linestyles="dotted", zorder=2)
    own = set(market.leader)
    for colour, width, label, pairs in (
        (DARK, 0.5, "a rival's users come or go", [pair for pair in found.slacks if pair[1] not in own]),
        (LEADER, 0.9, "the leader's users come or go", [pair for pair in found.slacks if pair[1] in own]),
    ):
        for pair in pairs:
            ax.contour(x, y, found.slacks[pair].T, levels=[0.0], colors=[colour], linewidths=width, zorder=3)
        if pairs:
            ax.plot([], [], color=colour, linewidth=2 * width, label=label)
    first, second = found.names
    for spot, marker, name in ((found.best, "o", "best"), (found.today, "D", "today")):
        if spot is not None:
            at = spot.decisions[first], spot.decisions[second]
            ax.plot(
                *([value] for value in at),
                marker,
                color=LEADER if marker == "o" else "white",
                markeredgecolor=DARK,
                markersize=8,
                linestyle="none",
                zorder=5,
                clip_on=False,
                label=f"{name}: {at[0]:.4g} and {at[1]:.4g}, profit {spot.profit:.4g}",
            )
    across, up = (f"{in_words(market, market.decisions[k])}{unit_of(market)}" for k in found.axes)
    ax.set_xlabel(across, parse_math=False)
    ax.set_ylabel(up, parse_math=False)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    ax.grid(visible=False)
    others = f"; every other {what_is_set(market)} as today" if len(market.decisions) > 2 else ""
    ax.set_title(f"{found.regions} regions of who uses whom{others}", fontsize=9, loc="left")
