"""Look: the colours that all plots share, and names that fit beside them."""

from __future__ import annotations

from unicodedata import east_asian_width

# Of Okabe and Ito, told apart by colour-blind readers too.
LEADER, SHARED, RIVALS = "#D55E00", "#E69F00", "#56B4E9"
QUIET, DARK = "#666666", "#333333"
DEMAND, PRICE, CAPACITY, VALUE = "#009E73", "#0072B2", "#E69F00", "#CC79A7"

_MOST_LETTERS = 30
_FEWEST_BESIDE, _BESIDE_A_ROW = 14, 2


def short(name: str, most: int = _MOST_LETTERS) -> str:
    """A name on one line, cut where it would take too much of the picture."""
    line = " ".join(name.split())
    if letters(line) <= most:
        return line
    while letters(line) >= most:
        line = line[:-1]
    return line + "…"


def letters(text: str) -> int:
    """Its width in letters; Chinese ones, and their like, are as wide as two."""
    return len(text) + wide_letters(text)


def wide_letters(text: str) -> int:
    """How many of its letters are as wide as two."""
    return sum(east_asian_width(letter) in "WF" for letter in text)


def letters_beside(rows: int) -> int:
    """How many letters a line beside so many rows may have, written along them."""
    return max(_FEWEST_BESIDE, _BESIDE_A_ROW * rows)
