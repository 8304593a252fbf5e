"""Envelope: profit over one decision with the others at their best, above that with the others as today."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prillm_or.curves.profit_curve import curve_between
from prillm_or.market.decisions import FACTOR, what_is_set
from prillm_or.output.look import DARK, LEADER, QUIET, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.landscape.envelope import Envelope
    from prillm_or.market.market import Market

_PATIENCE_S = 10.0


def plot_envelope(ax: Axes, envelope: Envelope) -> None:
    """Draw the points, the best, today's value, and the curve with the others as today where they are known."""
    market, best = envelope.market, envelope.best
    values = [point.value for point in envelope.points]
    what, end = what_is_set(market), values[-1]
    if market.today is not None:
        curve = curve_between(market, envelope.decision, 0.0, end, _PATIENCE_S)
        prices, profits = curve.points(end)
        ax.plot(prices, profits, color=QUIET, linewidth=1.2, zorder=1, label=f"the other {what}s as today")
    profits = np.array([point.profit for point in envelope.points])
    label = f"the other {what}s at their best"
    ax.plot(values, profits, ".-", color=DARK, linewidth=1.3, markersize=4, zorder=2, label=label)
    ax.axvspan(*envelope.between, color=LEADER, alpha=0.12, linewidth=0, label="where the best lies")
    ax.plot(
        [best.value],
        [best.profit],
        "o",
        color=LEADER,
        markersize=8,
        zorder=4,
        label=f"best {what}: {best.value:.4g}, profit {best.profit:.4g}",
    )
    today = float(market.current[envelope.decision])
    if today <= end:
        label = f"{what} today: {today:.4g}"
        ax.axvline(today, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1, label=label)
    ax.set_xlabel(f"{envelope.in_words}{unit_of(market)}", parse_math=False)
    ax.set_xlim(0.0, 1.01 * end if end > 0 else 1.0)
    if best.profit > 0:
        ax.set_ylim(-0.4 * best.profit if profits.min() < 0 else 0.0, 1.05 * best.profit)
    ax.set_ylabel(f"profit, {market.units.currency} per {market.units.period}", parse_math=False)


def unit_of(market: Market) -> str:
    """What an axis of a decision is counted in, after its name."""
    units = market.units
    return "" if market.decides == FACTOR else f", {short(units.currency)} per {short(units.volume)}"
