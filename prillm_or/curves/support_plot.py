"""Support: whom each user uses at each price of the leader: the leader alone, rivals too, or rivals only."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from prillm_or.curves.price_axis import last_shown, mark_today, price_axis
from prillm_or.market.decisions import what_is_set
from prillm_or.market.market import Market, Mask
from prillm_or.output.look import LEADER, SHARED, letters_beside, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from prillm_or.curves.profit_curve import ProfitCurve

MOST_ROWS = 40
_AXIS, _ROW = 1.0, 0.19


class Use(StrEnum):
    """Whom a user uses."""

    ALONE = "the leader alone"
    SHARED = "the leader and rivals"
    RIVALS = "rivals only"


_COLOURS = {Use.ALONE: LEADER, Use.SHARED: SHARED, Use.RIVALS: "#d4d4d4"}

Span = tuple[float, float, Use]
"""From one price to another."""


def plot_support(ax: Axes, curve: ProfitCurve) -> None:
    """Draw a row for each user, coloured by whom it uses as the price rises; users who stay with the leader are on top.

    Of more than 40 users at most 40 are drawn, those of largest demand that use the leader at some price. `ax.legend()`
    says what the colours mean.
    """
    from matplotlib.ticker import NullLocator

    market, end, spans = curve.market, last_shown(curve), uses(curve)
    chosen = _chosen(market, spans)
    for use, colour in _COLOURS.items():
        bars = [(row, span) for row, i in enumerate(chosen) for span in spans[i] if span[2] is use]
        if bars:
            rows, shown = zip(*bars, strict=True)
            starts = np.array([span[0] for span in shown])
            widths = np.array([span[1] for span in shown]) - starts
            ax.barh(rows, widths, 0.8, starts, color=colour, linewidth=0, zorder=2, label=str(use))
    price_axis(ax, curve, end)
    best = curve.best.price
    ax.axvline(best, color="black", linewidth=1.4, zorder=3, label=f"best {what_is_set(curve.market)}: {best:.4g}")
    mark_today(ax, curve, end)
    ax.set_yticks(range(len(chosen)), [short(market.user_ids[i]) for i in chosen], parse_math=False)
    ax.set_ylim(len(chosen) - 0.4, -0.6)
    ax.yaxis.set_minor_locator(NullLocator())
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.grid(visible=False, axis="y")
    ax.set_ylabel(_shown(market, spans, len(chosen)))


def support_height(curve: ProfitCurve) -> float:
    """Inches that the rows need."""
    return _AXIS + _ROW * max(len(_chosen(curve.market, uses(curve))), 6)


def uses(curve: ProfitCurve) -> list[list[Span]]:
    """For each user whom it uses along the price, without gaps."""
    leader = np.zeros(curve.market.m, dtype=bool)
    leader[list(curve.market.leader)] = True
    support, (low, high) = curve.support.copy(), curve.searched
    begun: list[list[tuple[float, Use]]] = [[(low, _use(row, leader))] for row in support]
    for piece in curve.pieces:
        for i, j in piece.moved:
            support[i, j] = not support[i, j]
        for i in {i for i, _ in piece.moved}:
            if (use := _use(support[i], leader)) is not begun[i][-1][1]:
                begun[i].append((piece.start, use))
    return [_spans(turns, high) for turns in begun]


def _use(used: Mask, leader: Mask) -> Use:
    if not used[leader].any():
        return Use.RIVALS
    return Use.SHARED if used[~leader].any() else Use.ALONE


def _spans(turns: Sequence[tuple[float, Use]], end: float) -> list[Span]:
    ends = [*(at for at, _ in turns[1:]), end]
    return [(start, stop, use) for (start, use), stop in zip(turns, ends, strict=True)]


def _chosen(market: Market, spans: Sequence[Sequence[Span]]) -> list[int]:
    """Positions of the users drawn, those who use the leader up to the highest price first."""
    largest = np.argsort(-market.demand, kind="stable").tolist()
    if market.n > MOST_ROWS:
        largest = [i for i in largest if _with_leader(spans[i]) >= 0] or largest
    return sorted(largest[:MOST_ROWS], key=lambda i: -_with_leader(spans[i]))


def _shown(market: Market, spans: Sequence[Sequence[Span]], shown: int) -> str:
    if shown == market.n:
        return "users"
    using = sum(_with_leader(turns) >= 0 for turns in spans)
    largest = "" if shown == using else f"the {shown} largest of "
    who = f"{largest}{using} of {market.n} users: those who use the leader at some price"
    if not using:
        who = f"the {shown} largest of {market.n} users, none of whom uses the leader at any price"
    return textwrap.fill(who, letters_beside(shown))


def _with_leader(spans: Sequence[Span]) -> float:
    """The last price at which a user uses the leader; below all prices where it never does."""
    return max((stop for _, stop, use in spans if use is not Use.RIVALS), default=-1.0)
