"""Ctrl-C that waits: for what must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGALRM", "SIGINT") if hasattr(signal, name)]
"""Those that may stand for Ctrl-C; it itself is given back last, as whatever comes then may raise."""


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Ctrl-C waits until the end, and does then what it does.

    The handlers of Python are exchanged: to block the signal in this thread is not enough, as another may take it, and
    the handler runs in the main thread all the same. Blocked it is besides, for the sake of processes begun meanwhile,
    which would hear it from their first instruction on, before they could ignore it.
    """
    came: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        came.append(number)

    main = threading.current_thread() is threading.main_thread()
    before = {number: found for number in _SIGNALS if main and callable(found := signal.getsignal(number))}
    masks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS) if masks else None
    try:
        for number in before:
            signal.signal(number, keep)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in came[:1]:
            before[number](number, None)
