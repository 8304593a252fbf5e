"""Numbers as people read them: significant digits, shares, times; '-' stands for what there is not.

A zero has no sign, nor has what is rounded to one.
"""

from __future__ import annotations

_MOST_DIGITS = 17
_NO_GAP = 1e-13
"""Searches tell profits nearer than this, relatively, not apart: it is rounding."""


def figure(value: float | None, digits: int = 7) -> str:
    """A number of so many significant digits."""
    return "-" if value is None else f"{value + 0.0:.{digits}g}"


def gap_figure(gap: float | None) -> str:
    """A gap between a bound and a profit, relative to the profit."""
    return figure(0.0 if gap is not None and abs(gap) < _NO_GAP else gap, 2)


def signed(value: float | None, digits: int = 3) -> str:
    """A change, with its sign."""
    return "-" if value is None else f"{value:+.{digits}g}" if value else "0"


def apart(before: float, after: float, digits: int = 4) -> tuple[str, str]:
    """Two numbers of so many significant digits, or as many more as tell them apart."""
    while digits < _MOST_DIGITS and before != after and figure(before, digits) == figure(after, digits):
        digits += 1
    return figure(before, digits), figure(after, digits)


def percent(share: float | None, decimals: int = 2) -> str:
    """A share as percents with so many decimals, as in a column of them."""
    return "-" if share is None else f"{round(100 * share, decimals) + 0.0:,.{decimals}f} %"


def rounded_percent(share: float, digits: int = 3, *, sign: bool = False) -> str:
    """A share as percents of so many significant digits, as in a sentence."""
    return f"{100 * share + 0.0:{'+' if sign and share else ''}.{digits}g} %"


def seconds(value: float | None) -> str:
    """A time, in the unit that suits it."""
    if value is None:
        return "-"
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"
