"""Effects: what moves the best profit most, of 1 % more of each rival's figures and each user's demand: a tornado."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prillm_or.output.look import CAPACITY, DARK, DEMAND, PRICE, VALUE, letters_beside, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.explanation.explanation import Explanation
    from prillm_or.explanation.prices_explanation import PricesExplanation

MOST_BARS = 15
_AXIS, _ROW = 1.0, 0.22
_ROOM, _MARGIN = 0.35, 1.03
_NOTHING = 1e-9

_KINDS = {
    "demand": (DEMAND, "demand of a user, 1 % more"),
    "price": (PRICE, "price of a rival, 1 % more"),
    "capacity": (CAPACITY, "capacity of a rival, 1 % more"),
    "value": (VALUE, "value of a rival, more by 1 % of the leader's price"),
}


@dataclass(frozen=True)
class Bar:
    """An effect on the best profit: of what, and of whose."""

    what: str
    id: str
    effect: float


def plot_effects(ax: Axes, explanation: Explanation | PricesExplanation) -> None:
    """Draw how much the best profit changes with 1 % more of everything, the largest 15 effects, largest on top.

    Effects that are but rounding are left out. `ax.legend()` says what the colours mean.
    """
    bars, units = largest_bars(explanation), explanation.units
    for what, (colour, label) in _KINDS.items():
        rows = [row for row, bar in enumerate(bars) if bar.what == what]
        if rows:
            ax.barh(rows, [bars[row].effect for row in rows], 0.7, color=colour, zorder=2, label=label)
    for row, bar in enumerate(bars):
        _write(ax, row, bar.effect)
    ax.axvline(0.0, color=DARK, linewidth=1, zorder=3)
    most = max((bar.effect for bar in bars), default=1.0)
    least = min((bar.effect for bar in bars), default=-1.0)
    ax.set_xlim(_MARGIN * min(least, -_ROOM * most), _MARGIN * max(most, -_ROOM * least))
    ax.set_yticks(range(len(bars)), [f"{bar.what} of {short(bar.id)}" for bar in bars], parse_math=False)
    ax.set_ylim(max(len(bars), 1) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(f"change of the best profit, {units.currency} per {units.period}", parse_math=False)
    ax.set_ylabel(_shown(explanation, len(bars)))


def effects_height(explanation: Explanation | PricesExplanation) -> float:
    """Inches that the bars need."""
    return _AXIS + _ROW * max(len(largest_bars(explanation)), 5)


def largest_bars(explanation: Explanation | PricesExplanation) -> list[Bar]:
    """The effects drawn, largest first."""
    least = _NOTHING * abs(explanation.profit)
    bars = [bar for bar in _known(explanation) if abs(bar.effect) > least]
    return sorted(bars, key=lambda bar: -abs(bar.effect))[:MOST_BARS]


def _write(ax: Axes, row: int, effect: float) -> None:
    """Write an effect across the zero from its bar, where there is room whatever the lengths of bars and names."""
    side, place = ("right", -4) if effect > 0 else ("left", 4)
    text = f"{effect:+.3g}"
    ax.annotate(text, (0.0, row), (place, 0), textcoords="offset points", ha=side, va="center", fontsize=8)


def _known(explanation: Explanation | PricesExplanation) -> Iterator[Bar]:
    effects = [(user.id, user.profit_effect) for user in explanation.users]
    effects += [(rival.id, rival.profit_effect) for rival in explanation.rivals]
    for name, known in effects:
        for what, effect in (known or {}).items():
            yield Bar(what, name, effect)


def _shown(explanation: Explanation | PricesExplanation, shown: int) -> str:
    known = len(list(_known(explanation)))
    if shown == known:
        return ""
    return textwrap.fill(f"the {shown} largest of {known} effects", letters_beside(shown)) if shown else "no effect"
