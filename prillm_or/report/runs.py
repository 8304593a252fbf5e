"""Runs: units one after the other, or several at a time on this machine; a failed one gives a row like the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

from prillm_or import __version__
from prillm_or.errors import PrillmError
from prillm_or.files import result_to_json
from prillm_or.files.results import RESULT_FORMAT
from prillm_or.generate import generate
from prillm_or.report.method import MethodSpec
from prillm_or.report.plan import Record, Row, Unit
from prillm_or.result import Status
from prillm_or.solve import solve
from prillm_or.solvers.base import Limits

if TYPE_CHECKING:
    from concurrent.futures import Future

_WARM_UP_S = 5.0


def run_unit(unit: Unit) -> Record:
    """Run a unit. Its time does not hold the reading of the file, nor a method's first imports.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, also where the solver still had a price to give: half a run is no row.
    """
    _warm_up(unit.method)
    began = time.perf_counter()
    method, instance = unit.method, unit.instance
    try:
        result = solve(
            instance.market,
            solver=method.solver,
            model=method.model,
            limits=unit.limits,
            abstraction=method.abstraction,
            sha256=instance.sha256,
        )
    except PrillmError as error:
        return failed(unit, "refused", str(error), time.perf_counter() - began)
    except Exception as error:  # one broken run must not cost the others
        return failed(unit, "crashed", f"{type(error).__name__}: {error}", time.perf_counter() - began)
    if result.interrupted:
        raise KeyboardInterrupt
    row = result_to_json(result) | {"repeat": unit.repeat}
    if result.status is Status.ERROR:
        row["message"] = "; ".join(result.notes)
    return Record(unit, row)


def failed(unit: Unit, failure: str, message: str, seconds: float) -> Record:
    """Record of a run without a result: the fields of one, empty, and why."""
    method = unit.method
    row: Row = {
        "format": RESULT_FORMAT,
        "instance": unit.instance.market.name,
        "instance_sha256": unit.instance.sha256,
        "today": None,
        "method": {
            "solver": method.solver,
            "solver_version": None,
            "model": method.model,
            "abstraction": method.abstraction and method.abstraction.label,
            "keep": method.abstraction and method.abstraction.keep,
        },
        "status": Status.ERROR.value,
        "prices": {},
        "profit": None,
        "upper_bound": None,
        "gap": None,
        "loads": {},
        "certificate": None,
        "time_s": {"total": seconds, "read": 0.0, "build": 0.0, "abstract": 0.0, "solve": 0.0, "verify": 0.0},
        "seed": unit.limits.seed,
        "threads": unit.limits.threads,
        "version": __version__,
        "repeat": unit.repeat,
        "message": message,
    }
    return Record(unit, row, failure)


def run_all(units: Sequence[Unit], jobs: int, on_begin: Callable[[Unit], None]) -> Iterator[Record]:
    """Yield records as units finish, `jobs` at a time.

    Parameters
    ----------
    on_begin
        Told of each unit that begins, where they run one after the other.
    """
    if jobs > 1:
        yield from _run_in_processes(units, jobs)
        return
    for unit in units:
        on_begin(unit)
        yield run_unit(unit)


def crowding(jobs: int, threads: int) -> str | None:
    """Warning where more threads are asked for than there are cores, or None."""
    if jobs * threads <= (available := cores()):
        return None
    return (
        f"warning: {jobs} jobs x {threads} threads on {available} cores: the runs will slow each other down; "
        "times are not to be trusted"
    )


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _warm_up(method: MethodSpec) -> None:
    """Solve a small market first, so that imports, weights and a solver's first start count for no run."""
    rivals = 1 if method.abstraction is None else method.abstraction.keep + 1  # one too many, so that it does its work
    with suppress(Exception):
        solve(
            generate(2, rivals + 1, "uniform", 0),
            solver=method.solver,
            model=method.model,
            limits=Limits(time_limit=_WARM_UP_S),
            abstraction=method.abstraction,
        )


def _run_in_processes(units: Sequence[Unit], jobs: int) -> Iterator[Record]:
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from multiprocessing import active_children, get_context

    others = set(active_children())
    # Not forked: solvers keep threads.
    pool = ProcessPoolExecutor(min(jobs, len(units)), get_context("spawn"), initializer=_prepare_worker)
    try:
        futures = {pool.submit(run_unit, unit): unit for unit in units}
        for future in as_completed(futures):
            yield _record(future, futures[future])
    except BaseException:
        for worker in set(active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _record(future: Future[Record], unit: Unit) -> Record:
    try:
        return future.result()
    except Exception as error:  # the process died: out of memory, or killed
        return failed(unit, "crashed", f"{type(error).__name__}: {error}", 0.0)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    from multiprocessing import parent_process
    from threading import Thread

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()
