"""Held: things that stay where they are made, in this process or with Dask's workers, and are asked again and again.

A worker that dies takes what it held with it: Dask makes that anew elsewhere, and asks again for the one answer that
was lost. So an answer has to be a function of the thing and the question.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from prillm_or.errors import PrillmError
from prillm_or.workers.ctrl_c import without_ctrl_c
from prillm_or.workers.engine import Engine, client_of, no_module_from_here

Item = TypeVar("Item")
Thing = TypeVar("Thing")

_log = logging.getLogger(__name__)


@contextmanager
def held(
    engine: Engine, make: Callable[[Item], Thing], items: Callable[[int], Sequence[Item]]
) -> Iterator[Callable[..., Iterable[Any]]]:
    """Make things, and give what calls a function of a thing, and of what else it gets, for each of them in order.

    Parameters
    ----------
    items
        What they are made of, given for how many processes at a time there is room.

    Raises
    ------
    PrillmError
        When a cluster cannot be reached, is lost on the way, or its workers die each time of the same thing; and what
        `make` and the functions raise of it.
    """
    if engine.here:
        things = [make(item) for item in items(1)]
        yield lambda work, *given: [work(thing, *given) for thing in things]
        return
    with ExitStack() as stack:
        address = stack.enter_context(_cluster(engine.jobs)) if engine.address is None else engine.address
        client = stack.enter_context(client_of(address))
        yield _on_workers(client, make, items)


def _on_workers(
    client: Any, make: Callable[[Item], Thing], items: Callable[[int], Sequence[Item]]
) -> Callable[..., Iterable[Any]]:
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.client import ClosedClientError
    from distributed.comm import CommClosedError

    def gathered(futures: Sequence[Any]) -> list[Any]:
        try:
            return list(client.gather(futures))
        except KilledWorker:
            raise PrillmError(
                "workers that held the same part of the users died, several times: out of memory, or killed; give more "
                "workers, or larger ones"
            ) from None
        except (CancelledError, ClosedClientError, CommClosedError):
            raise PrillmError("the scheduler was lost before all was done; start it anew, and solve again") from None

    if not client.nthreads():
        _log.warning("no worker there; waiting for one")
    client.wait_for_workers(1)
    threads = sum(client.nthreads().values())
    _log.info("%d workers", threads)
    things = [client.submit(_told, make, item, pure=False) for item in items(threads)]
    return lambda work, *given: gathered([client.submit(_told, work, thing, *given, pure=False) for thing in things])


def _told(work: Callable[..., Any], *given: Any) -> Any:
    """Do it, on a worker; a mistake of the user's comes back as its message, which every process can read."""
    try:
        return work(*given)
    except PrillmError as mistake:
        raise PrillmError(mistake.message) from None


@contextmanager
def _cluster(workers: int) -> Iterator[str]:
    """A Dask cluster on this machine, while it is needed; a worker that dies is replaced. Ctrl-C is left to us."""
    from multiprocessing import resource_tracker

    from distributed import LocalCluster

    with no_module_from_here(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resource_tracker.ensure_running()  # started inside the block below, it would unblock Ctrl-C there
        with ExitStack() as stack:
            with without_ctrl_c():
                cluster = stack.enter_context(
                    LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        host="127.0.0.1",
                        dashboard_address=None,
                        memory_limit=None,
                        silence_logs=logging.CRITICAL,
                    )
                )
            yield cluster.scheduler_address
