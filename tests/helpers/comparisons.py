"""Comparisons of shipped markets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from helpers.markets import shipped_file
from prillm_or.comparison.method import parse_method
from prillm_or.comparison.plan import Plan


def plan(names: Sequence[str], methods: Sequence[str], repeats: int = 1, **fields: Any) -> Plan:
    """A comparison of methods, as the command line writes them, on markets of these names."""
    specs = tuple(parse_method(method) for method in methods)
    return Plan(tuple(shipped_file(name) for name in names), specs, repeats=repeats, **fields)
