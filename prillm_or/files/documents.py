"""JSON and TOML documents: parsed with the place of what is wrong; JSON with every key that an object repeats.

What people read and edit is laid out with a line for each thing.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prillm_or.errors import PrillmError
from prillm_or.files.reading import read_content, text_of
from prillm_or.market.faults import Faults, Where

if TYPE_CHECKING:
    from prillm_or.market.fields import Parsed

_TOO_DEEP = "nested too deeply to be one of our files"
_TOO_LONG = "holds an integer too long to be a number of ours"


def parse_json(content: bytes, faults: Faults) -> object:
    """Parse the bytes of a JSON file; keys that an object repeats go to `faults`.

    Raises
    ------
    ValueError
        When the bytes are not JSON; it says where.
    """
    repeats: list[tuple[dict[str, Any], str]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            repeats.extend((fields, key) for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return fields

    text = text_of(content)
    try:
        document: object = json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as failure:
        raise ValueError(f"not JSON: {failure.msg}: line {failure.lineno}, column {failure.colno}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        raise ValueError(_TOO_LONG) from None
    if repeats:
        _note_repeats(document, repeats, faults)
    return document


def read_fields(part: type[Parsed], path: str | os.PathLike[str], refused: type[PrillmError]) -> Parsed:
    """Read a JSON file whose fields are those of a class.

    Raises
    ------
    PrillmError
        Of the class `refused`, when the file cannot be read or breaks a rule; it lists every fault.
    """
    from prillm_or.market.fields import check_fields  # and pydantic, which loads slowly

    faults, parsed = Faults(), None
    try:
        parsed = check_fields(part, parse_json(read_content(Path(path)), faults), faults)
    except ValueError as refusal:
        faults.add((), str(refusal))
    if parsed is None or faults.lines():
        raise refused("\n".join(f"{path}: {line}" for line in faults.lines()))
    return parsed


def parse_toml(content: bytes) -> dict[str, Any]:
    """Parse the bytes of a TOML file.

    Raises
    ------
    ValueError
        When the bytes are not TOML; it says where.
    """
    import tomllib

    text = text_of(content)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise ValueError(f"not a TOML file: {failure}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except ValueError:
        raise ValueError(_TOO_LONG) from None


def laid_out(document: Mapping[str, Any]) -> str:
    """JSON with a line for each field, and for each item of a list that is more than names."""
    fields = []
    for key, value in document.items():
        text = _compact(value)
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            text = "[\n" + ",\n".join(f"    {_compact(item)}" for item in value) + "\n  ]"
        fields.append(f"  {_compact(key)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _note_repeats(document: object, repeats: list[tuple[dict[str, Any], str]], faults: Faults) -> None:
    """Name each repeated key by its path, found by looking for the objects that repeat one."""
    keys: dict[int, list[str]] = {}
    for fields, key in repeats:
        keys.setdefault(id(fields), []).append(key)
    waiting: list[tuple[Where, object]] = [((), document)]
    while waiting:
        where, data = waiting.pop()
        if isinstance(data, dict):
            for key in keys.get(id(data), []):
                faults.add((*where, key), "appears twice in its object; keep one", "repeated keys")
            waiting += [((*where, key), value) for key, value in data.items()]
        elif isinstance(data, list):
            waiting += [((*where, i), value) for i, value in enumerate(data)]
