"""Markets of many users and few providers: time and peak memory up to a million users, priced to a gap of 1e-6.

As in `growth`, every figure comes from a child process of its own. A price includes its own certificate; with its file,
reading that, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from benchmarks.growth import Measured, measured, slope
from benchmarks.report import Table, Target, target_table

_USERS, _PROVIDERS = (10_000, 100_000, 1_000_000), (3, 4)
_SHAPES = ("uniform", "heavy", "market", "tastes")
_LIMIT = 240.0
_MILLION_S, _MILLION_GIB, _EXPONENT = 77.0, 4.0, 1.1


@dataclass(frozen=True)
class Row:
    """An exact price of one market."""

    market: str
    action: str
    cpu_s: float | None
    wall_s: float | None
    peak_MiB: float | None
    note: str


@dataclass(frozen=True)
class ExponentRow:
    """Slopes of log time and log memory against log n, over all sizes."""

    market: str
    users: str
    time: float
    memory: float


def measure(quick: bool) -> Iterator[Table]:
    """Figures by size, exponents in users, then the targets."""
    users = _USERS[:2] if quick else _USERS
    cases = list(product(_SHAPES[:1] if quick else _SHAPES, _PROVIDERS[:1] if quick else _PROVIDERS))
    found = {(s, m, n): measured("tight", s, (n, m), _LIMIT) for (s, m), n in product(cases, users)}
    largest = (_SHAPES[0], _PROVIDERS[0], users[-1])
    filed = measured("file", largest[0], (largest[2], largest[1]), _LIMIT)
    rows = [_row(f"{s} {n}x{m}", "price", figure) for (s, m, n), figure in found.items()]
    yield Table("many users", [*rows, _row(f"{largest[0]} {largest[2]}x{largest[1]}", "file to price", filed)])
    exponents = [_exponent(f"{s}, m = {m}", {n: found[s, m, n] for n in users}) for s, m in cases]
    yield Table("exponents in users", exponents, "least squares over all sizes; memory less what the child held before")
    yield target_table(_targets(found[largest], filed, users[-1], exponents))


def _row(market: str, action: str, found: Measured | str) -> Row:
    if isinstance(found, str):
        return Row(market, action, None, None, None, found)
    return Row(market, action, found.cpu_s, found.wall_s, found.peak / 2**20, found.note)


def _exponent(market: str, found: dict[int, Measured | str]) -> ExponentRow:
    told = [each for each in found.values() if isinstance(each, Measured)]
    sizes = f"{min(found):,} to {max(found):,}"
    if len(told) < len(found):
        return ExponentRow(market, sizes, np.inf, np.inf)
    held = [max(each.peak - each.before, 1) for each in told]
    return ExponentRow(market, sizes, slope(list(found), [each.cpu_s for each in told]), slope(list(found), held))


def _targets(priced: Measured | str, filed: Measured | str, users: int, exponents: list[ExponentRow]) -> list[Target]:
    targets = []
    for action, found in (("price", priced), ("file to price", filed)):
        cpu, peak = (np.inf, np.inf) if isinstance(found, str) else (found.cpu_s, found.peak / 2**30)
        market = f"uniform {users:,}x{_PROVIDERS[0]}: {action}"
        targets.append(Target(f"{market}, processor s", cpu, _MILLION_S, at_least=False))
        targets.append(Target(f"{market}, peak GiB", peak, _MILLION_GIB, at_least=False))
    worst = max(exponents, key=lambda row: row.time)
    targets.append(Target(f"largest exponent of time in users, {worst.market}", worst.time, _EXPONENT, at_least=False))
    return targets
