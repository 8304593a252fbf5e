"""Faults of a file: where each is, what is wrong, and at most a handful of a kind."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

MOST = 20
"""Lines shown of each kind of fault: a list of a million helps nobody."""

Where = tuple[str | int, ...]
Found = TypeVar("Found")


class Faults:
    """Lines of a refusal, grouped by kind in the order the kinds appear."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, ...], list[str]] = {}
        self._surplus: Counter[tuple[str, ...]] = Counter()

    def add(self, where: Where, what: str, *kind: str) -> None:
        """Note one fault; without a `kind` it stands alone and is always shown."""
        lines = self._lines.setdefault(kind or (field_path(where), what), [])
        if len(lines) < MOST:
            lines.append(f"{field_path(where)}: {what}" if where else what)
        else:
            self._surplus[kind] += 1

    def add_all(
        self, places: Iterable[tuple[Where, Found]], *kind: str, describe: Callable[[Found], str] = str
    ) -> None:
        """Note many faults of one kind; those beyond the first few are only counted, not described."""
        for number, (where, found) in enumerate(places):
            if number < MOST:
                self.add(where, describe(found), *kind)
            else:
                self._surplus[kind] += 1

    def lines(self) -> list[str]:
        """Every line to show."""
        shown: list[str] = []
        for kind, lines in self._lines.items():
            shown += lines
            if self._surplus[kind]:
                shown.append(f"{kind[0]}: ... and {self._surplus[kind]} more of the kind")
        return shown


def field_path(where: Where) -> str:
    """Path of a field as a person writes it, such as `providers[3].capacity` or `leader.price_cap["gpt 5"]`."""
    path = ""
    for part in where:
        if isinstance(part, int):
            path += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][\w-]*", part, re.ASCII):
            path += f".{part}" if path else part
        else:
            path += f"[{shown(part)}]"
    return path


def shown(value: object, most: int = 60) -> str:
    """Give a value as the file writes it, shortened; control characters stay escaped."""
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, tuple):
        return "a tuple"
    text = json.dumps(value, ensure_ascii=not _printable(value), default=repr)
    return text if len(text) <= most else f"{text[:most]}..."


def _printable(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()
