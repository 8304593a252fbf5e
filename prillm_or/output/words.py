"""Words: text as a screen can take it: wrapped between words, cut where nothing else helps, and inert."""

from __future__ import annotations

import re
from collections.abc import Iterator
from unicodedata import category

from prillm_or.output.look import letters

_GAP = re.compile(r" +(?!%)")
"""Where a line may end: between words, but not between a figure and its per cent."""

TIE = "\u00a0"
"""Stands for a space at which no line ends."""

_STEERS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of the text after them."""


def inert(text: str) -> str:
    r"""The text with all that would steer a terminal, or break its line, spelled out: an escape as `\x1b`."""
    return "".join(_written(letter) if _steers(letter) else letter for letter in text)


def _steers(letter: str) -> bool:
    return letter in _STEERS or category(letter) in ("Cc", "Cs", "Zl", "Zp")


def _written(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def wrapped(text: str, width: int) -> Iterator[str]:
    """Its lines; those after the first stand below the words of a bulleted one.

    None is wider than `width` letters, but one that holds a path: a path is there to be copied.
    """
    words = _GAP.split(text.lstrip(" "))
    indent = " " * (len(text) - len(text.lstrip(" ")))
    line, hang = indent, indent + ("  " if words[0] == "*" else "")
    for number, word in enumerate(words):
        shown = word if "/" in word or "\\" in word else cut(word, width - len(hang))
        if number and letters(line) + 1 + letters(shown) > width:
            yield line.replace(TIE, " ")
            line = hang + shown
        else:
            line = f"{line} {shown}" if number else line + shown
    yield line.replace(TIE, " ")


def cut(word: str, width: int) -> str:
    """A word that is wider than `width`, which is at least 3, without its middle: ends tell ids and paths apart."""
    if letters(word) <= width:
        return word
    head, tail = word[: len(word) // 2], word[len(word) // 2 :]
    while letters(head) + letters(tail) >= width:
        if letters(head) > letters(tail):
            head = head[:-1]
        else:
            tail = tail[1:]
    return f"{head}…{tail}"


def longest_word(text: str) -> int:
    """Width of its widest word, which no line of it can be narrower than."""
    return max(map(letters, _GAP.split(text)))
