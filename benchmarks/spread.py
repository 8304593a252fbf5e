"""One market larger than a machine: its users spread over two workers, against one process; a worker killed on the way.

The market is `uniform`, its delays are written to disk in files of some of the users each, and gone afterwards. Every
run is `prillm-or solve` in a process of its own, at a gap of 1e-4; memory is the peak of resident memory (VmHWM) of the
largest worker, and of the process that asks them, which does the work itself where there are no workers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.report import Table, Target, target_table
from prillm_or.files.markets import write_market
from prillm_or.market.synthetic import generate

_SIZES = ((10_000, 1000), (100_000, 1000))
_QUICK = ((2000, 100), (4000, 200))
_FILES, _BLOCK = 4, 1000
_ALONE = 10**7
"""Pairs up to which a market is solved each way; of more, by two workers alone."""

_PROGRAM = (sys.executable, "-c", "from prillm_or.cli import main; main()", "solve")
_WAYS: dict[str, Sequence[str]] = {
    "whole, one process": ("--solver", "bisect"),
    "parts, one process": ("--split", "users"),
    "two workers": ("--split", "users", "--engine", "dask", "--jobs", "2"),
    "two workers, one killed": ("--split", "users", "--engine", "dask", "--jobs", "2"),
}
_KILLED_AT = 12
"""Lines of progress before a worker is killed."""

_GAP, _GIB, _APART = 1e-4, 2.0, 1e-9
_LOOK_S = 0.05
_NOTE = "cpu s: of all processes together; wall s: beside whatever else the machine did"


@dataclass(frozen=True)
class Row:
    """A certified price of one market.

    Parameters
    ----------
    cpu_s
        Processor seconds of all processes together, their start included.
    wall_s
        As the result tells it: the start of workers included, that of the program not.
    profit_off, bound_off
        Relative differences to the first row of the same market.
    """

    market: str
    pairs: int
    way: str
    cpu_s: float
    wall_s: float
    worker_GiB: float | None
    head_GiB: float
    gap: float
    certified: float
    profit_off: float
    bound_off: float


def measure(quick: bool) -> Iterator[Table]:
    """Each market by each way, then the targets."""
    rows: list[Row] = []
    for users, providers in _QUICK if quick else _SIZES:
        with tempfile.TemporaryDirectory() as folder:
            own = _rows(written(Path(folder), users, providers), users, providers)
        rows += own
        yield Table(f"users spread, {users}x{providers}", own, _NOTE)
    yield target_table(_targets(rows))


def _rows(path: Path, users: int, providers: int) -> list[Row]:
    rows: list[Row] = []
    first: dict[str, Any] | None = None
    for way, flags in _WAYS.items():
        if users * providers > _ALONE and way != "two workers":
            continue
        found, cpu_s, worker, head = _run([*_PROGRAM, str(path), *flags], killing="killed" in way)
        first = first or found
        profit_off, bound_off = (abs(found[name] / first[name] - 1) for name in ("profit", "upper_bound"))
        certified, spent = max(found["certificate"].values()), found["time_s"]["total"]
        where = (f"uniform {users}x{providers}", users * providers, way, cpu_s, spent, worker, head)
        rows.append(Row(*where, found["gap"], certified, profit_off, bound_off))
    return rows


def _targets(rows: Sequence[Row]) -> list[Target]:
    targets = []
    for row in rows:
        what = f"{row.market}, {row.way}"
        targets.append(Target(f"{what}: gap", row.gap, _GAP, at_least=False))
        if row.worker_GiB is not None:
            targets.append(Target(f"{what}: GiB a worker", row.worker_GiB, _GIB, at_least=False))
        if row.profit_off or row.bound_off:
            off = max(row.profit_off, row.bound_off)
            targets.append(Target(f"{what}: off one process", off, _APART, at_least=False))
    return targets


def _run(command: Sequence[str], *, killing: bool) -> tuple[dict[str, Any], float, float | None, float]:
    """The result of a command, processor seconds, GiB of its largest worker and of itself; a worker may be killed."""
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder, "out.json"), Path(folder, "log")
        with log.open("w") as stream:
            flags = ("--json", str(out), "--verbose")
            process = subprocess.Popen([*command, *flags], stdout=subprocess.DEVNULL, stderr=stream)
        workers, head, killed = 0, 0, False
        spent: dict[int, float] = {}
        while process.poll() is None:
            seen = _workers(process.pid)
            workers, head = max([workers, *map(_peak, seen)]), max(head, _peak(process.pid))
            spent |= {pid: cpu_s for pid in (process.pid, *seen) if (cpu_s := _spent(pid))}
            if killing and not killed and log.read_text().count("\n") >= _KILLED_AT:
                os.kill(seen[0], signal.SIGKILL)
                killed = True
            time.sleep(_LOOK_S)
        if process.returncode or (killing and not killed):
            raise RuntimeError(f"ended with code {process.returncode}, killed {killed}: {log.read_text()[-1000:]}")
        return json.loads(out.read_text()), sum(spent.values()), workers / 2**30 if workers else None, head / 2**30


def _workers(pid: int) -> list[int]:
    """Dask's workers among the processes that one began."""
    with suppress(psutil.NoSuchProcess):
        below = psutil.Process(pid).children(recursive=True)
        return [one.pid for one in below if any("spawn_main" in part for part in _command(one))]
    return []


def _command(process: psutil.Process) -> list[str]:
    with suppress(psutil.Error):
        line: list[str] = process.cmdline()
        return line
    return []


def _spent(pid: int) -> float:
    """Processor seconds; 0 of a process that is gone."""
    with suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def _peak(pid: int) -> int:
    """Peak of resident memory, bytes; 0 of a process that is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


def written(folder: Path, users: int, providers: int) -> Path:
    """Write the market file, and delays a block at a time: nothing here is as large as the market."""
    market = replace(generate(1, providers, "uniform", 1), name=f"uniform-{users}x{providers}")
    path = folder / "market.json"
    write_market(market, path)
    document = json.loads(path.read_text())
    rng = np.random.default_rng([1, users])
    demand = rng.uniform(5, 100, users)
    document["users"] = [{"id": f"u{i + 1}", "demand": value} for i, value in enumerate(demand.tolist())]
    room = float(demand.sum() / market.demand.sum())  # capacities are drawn in proportion to all demand
    for provider in document["providers"]:
        provider["capacity"] *= room
    document["delays"] = {"npy": "delays"}
    (folder / "delays").mkdir()
    for number, first in enumerate(range(0, users, users // _FILES)):
        rows = min(users // _FILES, users - first)
        whole = np.lib.format.open_memmap(
            folder / "delays" / f"{number:03d}.npy", mode="w+", dtype=np.float64, shape=(rows, providers)
        )
        for low in range(0, rows, _BLOCK):
            whole[low : low + _BLOCK] = rng.uniform(0.2, 3, (min(_BLOCK, rows - low), providers))
        whole.flush()
    path.write_text(json.dumps(document))
    return path
