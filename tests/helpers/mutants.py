"""Mutants: files as accidents and attackers make them of valid ones, the same ones for the same seed."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, 10**400, 0.0, -0.0, 1e-9, 0.5, 1e9),
    *(float("nan"), float("inf"), "", "x", "=1+1", "\x1b[31m", "\ud800", "1", "é" * 300, "a\0b", "../../etc"),
    *([], {}, [[]], [[1]], {"id": {}}, {"": 1}, {"npy": "x.npy"}, {"a": {"b": {}}}, [None], ["x"]),
)


def mutant(document: Any, draw: random.Random) -> bytes:
    """A JSON document with a few of its parts replaced, removed, doubled or renamed, and now and then broken bytes."""
    changed = copy.deepcopy(document)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        _mutate(changed, draw)
    content = json.dumps(changed, ensure_ascii=draw.random() < 0.9).encode("utf-8", "surrogatepass")
    return broken(content, draw) if draw.random() < 0.15 else content


def broken(content: bytes, draw: random.Random) -> bytes:
    """Bytes cut short, changed, doubled, or of another encoding."""
    place = draw.randrange(len(content) + 1)
    ways = (
        lambda: content[:place],
        lambda: content[:place] + bytes([draw.randrange(256)]) + content[place + 1 :],
        lambda: content[:place] + content,
        lambda: content[:place] + b"[" * draw.choice((10, 900, 20_000)) + content[place:],
        lambda: content[:place] + b"9" * draw.choice((20, 400, 5000)) + content[place:],
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.decode("utf-8", "replace").encode("utf-16"),
        lambda: b"\0" * place,
    )
    return draw.choice(ways)()


def _mutate(document: Any, draw: random.Random) -> None:
    places = list(_places(document))
    if not places:
        return
    holder, key = draw.choice(places)
    way = draw.randrange(6)
    if way <= 2:
        holder[key] = copy.deepcopy(draw.choice(JUNK))
    elif way == 3:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[draw.randrange(len(holder))]))
    elif way == 4:
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = copy.deepcopy(holder[draw.choice(list(holder))])


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(data, dict):
        for key in list(data):
            yield data, key
            yield from _places(data[key])
    elif isinstance(data, list):
        for i, each in enumerate(data):
            yield data, i
            yield from _places(each)
