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
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from threading import Thread
from typing import Any, TypeVar

from prillm_or.errors import CombinationError, PrillmError, argument, check_choice, need_packages
from prillm_or.users.threads import cores
from prillm_or.workers.ctrl_c import without_ctrl_c

Item = TypeVar("Item")
Done = TypeVar("Done")

_log = logging.getLogger(__name__)

_PACKAGE = "prillm-or"
_CONNECT_S = 5.0
_AHEAD = 4
_LOOK_S = 0.5
_SEND_S = 0.001
_SAFE = {"PYTHONSAFEPATH": "1"}
"""For processes started by `python -m` and `-c`, which would look for modules in the working folder first."""
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
    own
        Whether the processes are workers of a Dask cluster of our own, started for the time of a run.
    """

    jobs: int = 1
    address: str | None = None
    own: bool = False

    @property
    def here(self) -> bool:
        """Whether units run in this process, one after the other."""
        return self.address is None and self.jobs == 1 and not self.own


@dataclass(frozen=True)
class Lost:
    """In place of the result of a unit whose worker died each time it ran."""

    message: str


def engine_of(name: str, jobs: int, address: str | None, *, own: bool = False) -> Engine:
    """Engine asked for by name; `own`: whether Dask without an address is a cluster of our own.

    Raises
    ------
    ArgumentError
        When the name is neither `local` nor `dask`.
    CombinationError
        When name, jobs and address do not go together.
    UnavailableError
        When Dask is asked for and missing.
    """
    check_choice("engine", name, ("local", "dask"))
    if name == "local":
        if address is not None:
            raise CombinationError(f"{argument('address', address)}: only with {argument('engine', 'dask')}")
        return Engine(jobs)
    if address is None and not own:
        raise CombinationError(
            f"{argument('engine', 'dask')}: give the scheduler's {argument('address')}, as in "
            f"{argument('address', 'tcp://127.0.0.1:8786')}"
        )
    if jobs != 1 and address is not None:
        raise CombinationError(
            f"{argument('jobs', jobs)}: with {argument('engine', 'dask')} the cluster's workers say how many; "
            "leave it out"
        )
    need_packages(argument("engine", "dask"), "distributed", extra="cluster")
    return Engine(jobs, address, own=address is None)


def spread(engine: Engine, work: Callable[[Item], Done], items: Iterable[Item]) -> Iterator[tuple[int, Done | Lost]]:
    """Yield the number of each item and what `work` makes of it, as they are done.

    Parameters
    ----------
    items
        On a cluster taken one by one as workers become free, so that they need not all be in memory.

    Raises
    ------
    PrillmError
        When a scheduler cannot be reached, is lost on the way, or is not of our version.
    Exception
        Whatever `work` raises.
    """
    if engine.address is not None:
        return _on_cluster(work, items, engine.address)
    if engine.jobs == 1:
        return ((number, work(item)) for number, item in enumerate(items))
    return _in_processes(work, items, engine.jobs)


def _in_processes(work: Callable[[Item], Done], items: Iterable[Item], jobs: int) -> Iterator[tuple[int, Done | Lost]]:
    """All together, again from where a process died; at the end those alone that were there two times when one did."""
    # Which of the units that ran brought a process down is not known. Those there twice are suspect, and run alone,
    # where they can take no other with them.
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
    work: Callable[[Item], Done], waiting: dict[int, Item], jobs: int
) -> Generator[tuple[int, Done], None, list[int]]:
    """Work off what waits until all is done or a process dies; return what was running then, most likely.

    Processes take units in order, so these are the first that are not done. No more are handed over than loky sends
    to its processes at once: it cannot be shut down in silence while it holds more.
    """
    from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
    from multiprocessing import resource_tracker

    with warnings.catch_warnings():
        # Where /dev/shm is full; the pool will say so, too.
        warnings.filterwarnings("ignore", ".*joblib will operate in serial mode", UserWarning)
        from joblib.externals.loky import ProcessPoolExecutor

    size = min(jobs, len(waiting))
    threads = {name: os.environ.get(name, str(max(1, cores() // jobs))) for name in _THREADS}
    with no_module_from_here():  # its queues start loky's tracker of resources
        pool: Any = ProcessPoolExecutor(size, initializer=_prepare_worker, initargs=(os.getpid(),), env=threads | _SAFE)
    running: dict[Any, int] = {}
    unsent = iter(list(waiting))
    idle = False
    try:
        while True:
            # Started by loky inside the block below, it would unblock Ctrl-C there.
            with no_module_from_here():
                resource_tracker.ensure_running()
            with without_ctrl_c(), no_module_from_here():
                for number in islice(unsent, 2 * size - len(running)):
                    running[pool.submit(work, waiting[number])] = number
            if idle := not running:
                return []
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            # Results first: a dead process shows as an exception, after which none of them would be handed out.
            for future in sorted(done, key=lambda future: future.exception() is not None):
                output = future.result()
                number = running.pop(future)
                del waiting[number]
                yield number, output
    except BrokenExecutor:
        return list(waiting)[:size]
    finally:
        # loky's thread fails with a traceback at a unit it has yet to send when the processes are killed.
        while not all(future.running() or future.done() for future in running):
            time.sleep(_SEND_S)
        pool.shutdown(wait=True, kill_workers=not idle)


def _prepare_worker(parent: int) -> None:
    """Leave Ctrl-C, and what stands for it, to the parent, and end with it, however it ends."""
    import multiprocessing

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if "fork" in multiprocessing.get_all_start_methods():
        # So that locks, Pyomo's for one, leave no name behind when this process is killed, which would be warned of.
        multiprocessing.set_start_method("fork", force=True)

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _on_cluster(work: Callable[[Item], Done], items: Iterable[Item], address: str) -> Iterator[tuple[int, Done | Lost]]:
    """All together; at the end those alone whose workers died each time, as Dask blames all that run on a worker."""
    with client_of(address) as client:
        for number, item in (yield from _flight(work, enumerate(items), client, address)):
            if (yield from _flight(work, [(number, item)], client, address)):
                yield number, Lost("its worker died each time: out of memory, or killed")


@contextmanager
def no_module_from_here() -> Iterator[None]:
    """Processes begun meanwhile, and theirs, take no module from the working folder."""
    before = {name: os.environ.get(name) for name in _SAFE}
    os.environ.update(_SAFE)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def client_of(address: str) -> Iterator[Any]:
    """A client of a cluster of our version; its package neither logs tracebacks nor warns of large markets.

    Raises
    ------
    PrillmError
        When no scheduler answers, or it or a worker is of another version.
    """
    from distributed import Client
    from distributed.comm import get_address_host_port

    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        try:
            get_address_host_port(address)  # a client would wait for ever at a malformed address
            _call(address)
            client = Client(address, timeout=_CONNECT_S, set_as_default=False)
        except Exception as failure:  # who is there may answer anything
            why = str(failure) or "it says nothing that we understand"
            raise PrillmError(f"{argument('address', address)}: no Dask scheduler answers there ({why})") from None
        with client, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
            _check_versions(client, address)
            yield client
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _call(address: str) -> None:
    """Ask who is there, in a thread of its own: a client hangs where it connects and gets no answer, or none in Dask.

    Raises
    ------
    Exception
        When nobody is, or somebody else.
    """
    import asyncio

    from distributed import Security
    from distributed.core import rpc

    async def identity() -> str:
        secure = Security().get_connection_args("client")
        async with rpc(address, timeout=_CONNECT_S, connection_args=secure) as there:
            return str((await there.identity())["type"])

    async def answer() -> str:
        return await asyncio.wait_for(identity(), _CONNECT_S)

    found: list[str | Exception] = []

    def call() -> None:
        try:
            found.append(asyncio.run(answer()))
        except Exception as failure:
            found.append(failure)

    thread = Thread(target=call, daemon=True)
    thread.start()
    thread.join(2 * _CONNECT_S)
    who = found[0] if found else TimeoutError("no answer")
    if isinstance(who, Exception):
        raise who
    if who != "Scheduler":
        raise ValueError(f"a {who.lower()} does")


def _check_versions(client: Any, address: str) -> None:
    """Other versions would give other results, or none."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version(_PACKAGE)
    except PackageNotFoundError:  # run from a copy of the sources
        return
    found = {f"worker {name}": theirs for name, theirs in client.run(version, _PACKAGE, on_error="return").items()}
    try:
        found["the scheduler"] = client.run_on_scheduler(version, _PACKAGE)
    except PackageNotFoundError as failure:
        found["the scheduler"] = failure
    for who, theirs in found.items():
        if theirs != ours:
            has = f"has prillm-or {theirs}" if isinstance(theirs, str) else "has no prillm-or"
            raise PrillmError(f"{argument('address', address)}: {who} {has}; install {ours} there, as here")


def _flight(
    work: Callable[[Item], Done], units: Iterable[tuple[int, Item]], client: Any, address: str
) -> Generator[tuple[int, Done], None, list[tuple[int, Item]]]:
    """Work off units, a few for each of the cluster's threads at a time; return those whose workers died."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker, as_completed
    from distributed.client import ClosedClientError
    from distributed.comm import CommClosedError

    unsent, room = iter(units), 0
    flying: dict[Any, tuple[int, Item]] = {}
    killed: list[tuple[int, Item]] = []
    ready = as_completed(loop=client.loop)
    try:
        while True:
            # Refilled only when half empty, so that the cluster is not asked for its size after each unit.
            if len(flying) <= room // 2:
                room = _room(client, address)
                for number, item in islice(unsent, max(0, room - len(flying))):
                    # Dask takes equal pure calls for one and runs it once, but repeats are there to be run.
                    future = client.submit(work, item, pure=False)
                    flying[future] = number, item
                    ready.add(future)
            if not flying:
                return killed
            future = next(ready)
            number, item = flying.pop(future)
            try:
                output = future.result()
            except KilledWorker:
                killed.append((number, item))
                continue
            yield number, output
    except (CancelledError, ClosedClientError, CommClosedError):
        raise _lost(address) from None


def _room(client: Any, address: str) -> int:
    """How many units to have on the cluster; workers may come and go."""
    try:
        threads = int(sum(client.nthreads().values()))
    except OSError:
        raise _lost(address) from None
    if threads == 0:
        _log.warning("address %s: no worker there; waiting for one", address)
    return max(1, _AHEAD * threads)


def _lost(address: str) -> PrillmError:
    return PrillmError(
        f"{argument('address', address)}: the scheduler was lost before all was done; {argument('resume')} goes "
        f"on with what was kept"
    )
