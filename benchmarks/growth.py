"""How time and peak memory grow with users n and providers m: equilibria, exact and certified prices, abstractions.

Every figure comes from a child process of its own, `python -m benchmarks.growth ACTION USERS PROVIDERS SHAPE`, warmed
up on a market of 201x200; its peak is that of the whole process, the market's making included. Exponents are slopes of
least squares through logarithms, over the larger sizes; those of memory leave out what the child held before the
market. An equilibrium is cold, at today's price, of a user problem that stands; abstractions leave two rivals, and
`path` prices the small market, unjudged in the full one.
"""

from __future__ import annotations

import atexit
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np

from benchmarks.markets import SHAPES
from benchmarks.report import Table, Target, target_table
from prillm_or.files.markets import AnyMarket, write_market
from prillm_or.market.market import Market
from prillm_or.market.synthetic import Shape, generate

ACTIONS = ("equilibrium", "path", "bisect", "capacity", "anchored", "learned")
_ABSTRACTIONS = ("capacity", "anchored", "learned")

_SIZES = ((100, 10), (316, 32), (1000, 100), (3162, 316), (10_000, 1000))
_IN_USERS = ((1000, 100), (3162, 100), (10_000, 100))
_IN_PROVIDERS = ((1000, 100), (1000, 316), (1000, 1000))
_UPPER = 3
"""Sizes, the largest ones, that exponents are fitted to."""

_LEAST_HELD = 2**20
"""Bytes; of less no exponent of memory is made."""

_LIMIT = 120.0
_ENOUGH, _MOST_RUNS = 0.5, 9
_EQUILIBRIA = 30.0
_GIB = 8.0
_WARM_UP = (201, 200)
_DISPERSION = 0.5


@dataclass(frozen=True)
class Measured:
    """What a child reports: medians of processor and wall-clock seconds, and peaks of memory in bytes.

    Parameters
    ----------
    before
        Peak before the market was made.
    equilibria_s, equilibria_wall_s
        Seconds of one cold equilibrium in the same process, where it was asked for.
    """

    cpu_s: float
    wall_s: float
    peak: int
    before: int
    runs: int
    note: str = ""
    equilibrium_s: float | None = None
    equilibrium_wall_s: float | None = None


@dataclass(frozen=True)
class Row:
    """An action on a market."""

    action: str
    shape: str
    size: str
    pairs: int
    cpu_s: float | None
    wall_s: float | None
    peak_MiB: float | None
    runs: int
    note: str


@dataclass(frozen=True)
class ExponentRow:
    """Slopes of log time and log memory against log of what grows."""

    action: str
    shape: str
    grows: str
    sizes: str
    time: float | None
    memory: float | None


@dataclass(frozen=True)
class CertifiedRow:
    """What `solve` does by itself on the largest market, and a cold equilibrium in the same process."""

    market: str
    method: str
    cpu_s: float
    wall_s: float
    equilibrium_s: float
    equilibrium_wall_s: float
    ratio: float
    wall_ratio: float
    peak_MiB: float


Size = tuple[int, int]
Known = dict[tuple[str, Shape, Size], Measured | str]


def measure(quick: bool) -> Iterator[Table]:
    """Figures by size, exponents, the certified price of the largest market, then the targets."""
    shapes: Sequence[Shape] = SHAPES[:1] if quick else SHAPES
    if quick:
        sweeps = {"n m": _SIZES[:3], "n": ((100, 100), (1000, 100)), "m": ((1000, 10), (1000, 100))}
    else:
        sweeps = {"n m": _SIZES, "n": _IN_USERS, "m": _IN_PROVIDERS}
    known: Known = {}
    for grows, sizes in sweeps.items():
        cases = list(product(ACTIONS, shapes, sizes))
        for case in cases:
            if case not in known:
                known[case] = measured(*case)
        rows = [_row(*case, known[case]) for case in cases]
        yield Table(f"growth in {_words(grows, sizes)}", rows, "medians; a child process each")
    exponents = [
        _exponent(known, action, shape, grows, sizes)
        for action, shape, (grows, sizes) in product(ACTIONS, shapes, sweeps.items())
    ]
    yield Table("exponents", exponents, f"over the {_UPPER} largest sizes of each sweep, or all of fewer")
    certified = [_certified(_SIZES[2] if quick else _SIZES[-1], shape) for shape in shapes]
    yield Table("certified price", certified, "solver auto, gap 1e-4, its own certificate included")
    yield target_table(_targets(known, certified, sweeps["n m"][-1]))


def _words(grows: str, sizes: Sequence[Size]) -> str:
    return {"n m": "n m, n = 10 m", "n": f"n, m = {sizes[0][1]}", "m": f"m, n = {sizes[0][0]}"}[grows]


def measured(action: str, shape: str, size: Size, limit: float = _LIMIT) -> Measured | str:
    """What the child says, or why it says nothing."""
    command = [sys.executable, "-m", "benchmarks.growth", action, str(size[0]), str(size[1]), shape]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"> {limit:g} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
    return Measured(**json.loads(done.stdout))


def _row(action: str, shape: Shape, size: Size, found: Measured | str) -> Row:
    where = (action, shape, f"{size[0]}x{size[1]}", size[0] * size[1])
    if isinstance(found, str):
        return Row(*where, None, None, None, 0, found)
    return Row(*where, found.cpu_s, found.wall_s, found.peak / 2**20, found.runs, found.note)


def _exponent(known: Known, action: str, shape: Shape, grows: str, sizes: Sequence[Size]) -> ExponentRow:
    upper = sizes[-_UPPER:]
    found = [known[action, shape, size] for size in upper]
    whole = [f for f in found if isinstance(f, Measured)]
    span = f"{upper[0][0]}x{upper[0][1]} to {upper[-1][0]}x{upper[-1][1]}"
    if len(whole) < len(found):
        return ExponentRow(action, shape, grows, span, None, None)
    amounts = [{"n m": n * m, "n": n, "m": m}[grows] for n, m in upper]
    held = [f.peak - f.before for f in whole]
    memory = slope(amounts, held) if min(held) >= _LEAST_HELD else None
    return ExponentRow(action, shape, grows, span, slope(amounts, [f.cpu_s for f in whole]), memory)


def slope(amounts: Sequence[float], values: Sequence[float]) -> float:
    """Exponent of the power law that fits best, by least squares on logarithms."""
    return float(np.polyfit(np.log(amounts), np.log(values), 1)[0])


def _certified(size: Size, shape: Shape) -> CertifiedRow:
    found = measured("certified", shape, size)
    if isinstance(found, str):
        raise RuntimeError(f"certified price, {shape} {size[0]}x{size[1]}: {found}")
    assert found.equilibrium_s is not None
    assert found.equilibrium_wall_s is not None
    return CertifiedRow(
        f"{shape} {size[0]}x{size[1]}",
        found.note,
        found.cpu_s,
        found.wall_s,
        found.equilibrium_s,
        found.equilibrium_wall_s,
        found.cpu_s / found.equilibrium_s,
        found.wall_s / found.equilibrium_wall_s,
        found.peak / 2**20,
    )


def _targets(known: Known, certified: Sequence[CertifiedRow], largest: Size) -> list[Target]:
    targets = []
    for row in certified:
        for clock, ratio in (("processor", row.ratio), ("wall", row.wall_ratio)):
            figure = f"{row.market}: certified price / cold equilibrium, {clock} time"
            targets.append(Target(figure, ratio, _EQUILIBRIA, at_least=False))
        targets.append(Target(f"{row.market}: certified price, peak GiB", row.peak_MiB / 1024, _GIB, at_least=False))
    for (action, shape, size), found in known.items():
        if size == largest:
            peak = np.inf if isinstance(found, str) else found.peak / 2**30
            figure = f"{shape} {size[0]}x{size[1]}: {action}, peak GiB"
            targets.append(Target(figure, float(peak), _GIB, at_least=False))
    return targets


def drawn(shape: str, users: int, providers: int) -> Market:
    """The market of a shape, or `tastes`: uniform, with dispersions around 0.5."""
    if shape == "tastes":
        return generate(users, providers, dispersion=_DISPERSION, seed=1)
    return generate(users, providers, cast("Shape", shape), 1)


def child(action: str, users: int, providers: int, shape: str) -> Measured:
    """Measure an action in this process, a fresh one."""
    _act(action, drawn(shape, *_WARM_UP))()
    before = _peak()
    market = drawn(shape, users, providers)
    equilibrium = _timed(_act("equilibrium", market)) if action == "certified" else None
    act = _act(action, market)
    cpu_s, wall_s, runs, note = _timed(act)
    return Measured(
        cpu_s,
        wall_s,
        _peak(),
        before,
        runs,
        note,
        None if equilibrium is None else equilibrium[0],
        None if equilibrium is None else equilibrium[1],
    )


def _peak() -> int:
    """Peak of resident memory, bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _timed(act: Callable[[], str]) -> tuple[float, float, int, str]:
    """Medians of processor and wall-clock seconds, number of runs, and what the last one had to say."""
    times: list[tuple[float, float]] = []
    note = ""
    while len(times) < _MOST_RUNS and sum(wall for _, wall in times) < _ENOUGH:
        wall, cpu = time.perf_counter(), time.process_time()
        note = act()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return median(cpu for cpu, _ in times), median(wall for _, wall in times), len(times), note


def _act(action: str, market: Market) -> Callable[[], str]:
    """What is timed; it says what there is to note."""
    from prillm_or.limits import Limits
    from prillm_or.solvers.bisect import Bisect
    from prillm_or.solvers.path import Path as Exact
    from prillm_or.solving.run import solve
    from prillm_or.users.equilibrium import solve_users
    from prillm_or.users.problem import user_problem

    def certified() -> str:
        result = solve(market)
        return f"{result.method.solver}: {result.status.value}, gap {result.gap:.2g}"

    def cold() -> str:
        solve_users(users, today)
        return ""

    if action == "certified":
        return certified
    if action in ("tight", "file"):
        return partial(_tight, _written(market) if action == "file" else market)
    if action == "equilibrium":
        users, today = user_problem(market), market.price[list(market.leader)]
        return cold
    if action in _ABSTRACTIONS:
        return partial(_abstracted, action, market)
    solver = Exact() if action == "path" else Bisect()
    return lambda: ", ".join(f"{count} {name}" for name, count in solver.solve(market, Limits()).stats.items())


def _tight(market: AnyMarket) -> str:
    from prillm_or.solving.run import solve

    result = solve(market, gap=1e-6)
    assert result.gap is not None
    assert result.gap <= 1e-6
    return ", ".join(result.notes)


def _written(market: Market) -> Path:
    """The market's file, in a folder that is gone with the process."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name, "market.json")
    write_market(market, path)
    return path


def _abstracted(name: str, market: Market) -> str:
    from prillm_or.abstraction.registry import AbstractionChoice
    from prillm_or.limits import Limits
    from prillm_or.solvers.path import Path as Exact

    small = AbstractionChoice(name, 2).abstract(market).market
    Exact().solve(small, Limits())
    return ""


def _main() -> None:
    action, users, providers, shape = sys.argv[1:]
    print(json.dumps(asdict(child(action, int(users), int(providers), shape))))


if __name__ == "__main__":
    _main()
