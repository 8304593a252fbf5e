"""Engine: independent units of work one after the other, on several processes, or on the workers of a Dask cluster.

A unit is a function of one item, importable by name; calling it again gives the same. Results come as they are ready,
each with its item's number. A worker that dies takes nothing with it but its unit, which runs again; a unit that keeps
killing its workers is given up, the others are not.

Processes are loky's, as joblib ships it; scheduling on a cluster is Dask's own.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Thread
from typing import Any, TypeVar

from prillm_or.errors import CombinationError, PrillmError, UnavailableError

Item = TypeVar("Item")
Made = TypeVar("Made")

_CONNECT_S = 5.0
_LOOK_S = 0.5
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Engine:
    """Where units run.

    Parameters
    ----------
    jobs
        Processes on this machine; one is this one.
    address
        Of a Dask scheduler, as in tcp://127.0.0.1:8786, or None for this machine.
    """

    jobs: int = 1
    address: str | None = None

    @property
    def here(self) -> bool:
        """Whether units run in this process, one after the other."""
        return self.address is None and self.jobs == 1


@dataclass(frozen=True)
class Lost:
    """In place of the result of a unit whose worker died each time it ran."""

    message: str


def engine_of(name: str, jobs: int, address: str | None) -> Engine:
    """Engine as the command line asks for it.

    Raises
    ------
    CombinationError
        When name, jobs and address do not go together.
    UnavailableError
        When Dask is asked for and missing.
    """
    if name == "local":
        if address is not None:
            raise CombinationError(f"--address {address}: only with --engine dask")
        return Engine(jobs)
    if address is None:
        raise CombinationError("--engine dask: give the scheduler's --address, as in --address tcp://127.0.0.1:8786")
    if jobs != 1:
        raise CombinationError(f"--jobs {jobs}: with --engine dask the cluster's workers say how many; leave it out")
    if find_spec("distributed") is None:
        raise UnavailableError("--engine dask: distributed is missing; pip install 'prillm-or[cluster]'")
    return Engine(address=address)


def spread(engine: Engine, work: Callable[[Item], Made], items: Sequence[Item]) -> Iterator[tuple[int, Made | Lost]]:
    """Yield the number of each item and what `work` makes of it, as they are done.

    Raises
    ------
    PrillmError
        When a scheduler cannot be reached, or is lost on the way.
    Exception
        Whatever `work` raises.
    """
    if engine.address is not None:
        return _on_cluster(work, items, engine.address)
    if engine.jobs == 1:
        return ((number, work(item)) for number, item in enumerate(items))
    return _in_processes(work, items, engine.jobs)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_processes(
    work: Callable[[Item], Made], items: Sequence[Item], jobs: int
) -> Iterator[tuple[int, Made | Lost]]:
    """All together, again from where a process died; at the end those alone that were there two times when one did."""
    together, alone = dict(enumerate(items)), {}
    seen: Counter[int] = Counter()
    while together:
        for number in (yield from _pool(work, together, jobs)):
            seen[number] += 1
            if seen[number] == 2:
                alone[number] = together.pop(number)
    for number, item in alone.items():
        if (yield from _pool(work, {number: item}, 1)):
            yield number, Lost("its process died each of three times: out of memory, or killed")


def _pool(
    work: Callable[[Item], Made], waiting: dict[int, Item], jobs: int
) -> Generator[tuple[int, Made], None, list[int]]:
    """Work off what waits until all is done or a process dies; return what was running then, most likely.

    Processes take units in order, so these are the first that are not done.
    """
    from concurrent.futures import BrokenExecutor

    from joblib.externals.loky import ProcessPoolExecutor, as_completed

    size = min(jobs, len(waiting))
    threads = {name: os.environ.get(name, str(max(1, cores() // jobs))) for name in _THREADS}
    pool: Any = ProcessPoolExecutor(size, initializer=_prepare_worker, initargs=(os.getpid(),), env=threads)
    try:
        with _without_ctrl_c():
            futures = {pool.submit(work, item): number for number, item in waiting.items()}
        for future in as_completed(futures):
            made = future.result()
            del waiting[futures[future]]
            yield futures[future], made
        return []
    except BrokenExecutor:
        return list(waiting)[:size]
    finally:
        pool.shutdown(wait=True, kill_workers=True)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes begun meanwhile never see Ctrl-C, not even while they import; here it waits for the end."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end with it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _on_cluster(work: Callable[[Item], Made], items: Sequence[Item], address: str) -> Iterator[tuple[int, Made | Lost]]:
    with _silent_client(address) as client:
        yield from _submitted(work, items, client, address)


@contextmanager
def _silent_client(address: str) -> Iterator[Any]:
    """A client whose package does not log tracebacks of what we tell in a line."""
    from distributed import Client

    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        try:
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as failure:
            raise PrillmError(f"--address {address}: no Dask scheduler answers there ({failure})") from None
        with client:
            yield client
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _submitted(
    work: Callable[[Item], Made], items: Sequence[Item], client: Any, address: str
) -> Iterator[tuple[int, Made | Lost]]:
    from concurrent.futures import CancelledError

    from distributed import KilledWorker, as_completed
    from distributed.comm import CommClosedError

    # Equal units are not one: repeats are there to be run.
    futures = {client.submit(work, item, pure=False): number for number, item in enumerate(items)}
    for future in as_completed(futures, loop=client.loop):
        try:
            made: Made | Lost = future.result()
        except KilledWorker as failure:
            made = Lost(f"its worker died each time: {failure}")
        except (CancelledError, CommClosedError):
            raise PrillmError(f"--address {address}: the scheduler was lost before all was done") from None
        yield futures[future], made
        future.release()
