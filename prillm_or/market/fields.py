"""The fields of a file against their classes: types, ranges and names, each fault with its place and the way out."""

from __future__ import annotations

from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prillm_or.market.checks import meant
from prillm_or.market.faults import Faults, Where, shown
from prillm_or.market.schema import TAGS, TEXT

_EXPECTED = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "a number > 0",
    "string_type": "a string",
    "invalid_key": "a string",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "too_short": "at least one",
    "string_pattern_mismatch": "a SHA-256, 64 hexadecimal digits",
}

_KEY = "[key]"
"""Where pydantic says that a key is no text, after the key."""

Parsed = TypeVar("Parsed", bound=BaseModel)


def check_fields(part: type[Parsed], data: object, faults: Faults, at: Where = ()) -> Parsed | None:
    """Check types, ranges and names of fields; None where any is wrong, and then `faults` holds them all."""
    try:
        return part.model_validate(data)
    except ValidationError as refusal:
        for error in refusal.errors(include_url=False):
            where = (*at, *(key for key in error["loc"] if key not in (*TAGS, _KEY)))
            faults.add(where, _what(part, where, error), str(where[0]) if where else "", error["type"])
    return None


def _what(part: type[BaseModel], where: Where, error: ErrorDetails) -> str:
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return "missing"
    if kind == "extra_forbidden":
        return f"unknown field{meant(str(where[-1]), _known_fields(part, where))}"
    if kind == "value_error":
        return f"{error['ctx']['error']}, got {shown(value)}"
    if kind == "literal_error":
        or_list = " or a list of components" if TEXT in error["loc"] else ""
        return f"expected {error['ctx']['expected'].replace(chr(39), chr(34))}{or_list}, got {shown(value)}"
    expected = _EXPECTED.get(kind, error["msg"])
    if kind == "greater_than_equal":
        expected = f"a number >= {error['ctx']['ge']:g}"
    if kind == "too_short" and error["ctx"]["min_length"] > 1:
        expected = f"{error['ctx']['min_length']} numbers"
    if kind == "float_type" and type(value) is int:
        expected = "a number within the range of double precision"
    return f"expected {expected}, got {shown(value)}{_remedy(where, kind, value)}"


def _remedy(where: Where, kind: str, value: object) -> str:
    if kind != "float_type":
        return ""
    if isinstance(value, str) and _reads_as_number(value):
        return "; write it without quotes"
    if value is None and where[-1] == "price":
        return "; leave the field out where the leader's price today is unknown"
    return ""


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _known_fields(part: type[BaseModel], where: Where) -> list[str]:
    """Fields of the part of the file in which an unknown one stands."""
    for key in where[:-1]:  # positions and ids lead no deeper
        field = part.model_fields.get(str(key))
        part = (field and _part_in(field.annotation)) or part
    return list(part.model_fields)


def _part_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _part_in(inner))), None)
