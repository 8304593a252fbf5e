"""Threads: numpy's work over blocks of users on all cores; and how many cores there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

_BLOCK = 1 << 17


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_blocks(work: Callable[[slice], T], shape: tuple[int, int]) -> Iterator[T]:
    """What `work` makes of each block of users, in order, on all threads; numpy works outside Python's lock."""
    rows = max(1, _BLOCK // shape[1])
    blocks = [slice(first, first + rows) for first in range(0, shape[0], rows)]
    return map(work, blocks) if len(blocks) == 1 or _count() == 1 else _threads().map(work, blocks)


@cache
def _threads() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(_count(), "pairs")


@cache
def _count() -> int:
    """As many threads as numpy was told to use, or one a core."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return int(threads) if threads.isdecimal() and int(threads) > 0 else cores()


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_threads.cache_clear)
