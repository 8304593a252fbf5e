"""Signals: Ctrl-C and SIGTERM end a command with what was found so far, at whatever moment they come."""

from __future__ import annotations

import os
import signal
import sys
import time
from math import inf
from threading import Thread
from types import FrameType

TYPE_CHECKING = False
"""What a type checker reads as true; its own home takes longer to import than all that is needed here."""
if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN_S = 0.001
_ONCE_S = 1.0
"""What comes within this of Ctrl-C is the same one: a terminal and the program that started us both send it."""
_IMPORTING = "<frozen importlib"


class Ears:
    """Hears signals from `open` to `close`, and from `answer` on raises KeyboardInterrupt where that does no harm.

    Not while a package is loaded, half of which would be left, and C++ in it would abort: later then. Not where Python
    only prints exceptions, as when it frees objects: again then.
    """

    def __init__(self) -> None:
        self._raised = -inf
        self._ready = self._terminated = False

    def open(self) -> None:
        """Hear from here on; not Ctrl-C where whoever started us has it ignored, as shells do in the background."""
        if not hasattr(signal, "setitimer"):
            return
        signal.signal(signal.SIGALRM, self._hear)
        sys.unraisablehook = self._unraisable
        signal.signal(signal.SIGTERM, self._hear)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)

    def pass_on(self) -> None:
        """Pass SIGTERM on as Ctrl-C, which solvers in C hear: Python's handlers run later.

        Files are opened for it, so streams that were closed have to be taken already.
        """
        if signal.getsignal(signal.SIGINT) != self._hear:
            return
        signal.signal(signal.SIGTERM, self._note)
        out, into = os.pipe()
        os.set_blocking(into, False)
        signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        Thread(target=_pass_on, args=(out,), daemon=True).start()

    def answer(self) -> None:
        """Raise KeyboardInterrupt from here on: there is somebody to take it."""
        self._ready = True

    def close(self, code: int) -> int:
        """Hear no more: all is done but for leaving. The exit code after a code: 143 for 130 where it was SIGTERM."""
        for name in ("SIGINT", "SIGTERM", "SIGALRM"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        return 143 if code == 130 and self._terminated else code

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._terminated |= number == signal.SIGTERM
        if number != signal.SIGALRM and time.monotonic() < self._raised + _ONCE_S:
            return
        if not self._ready or _is_importing(frame):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._raised = time.monotonic()
        raise KeyboardInterrupt

    def _unraisable(self, lost: UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
        else:
            sys.__unraisablehook__(lost)


def _pass_on(signals: int) -> None:
    """Send ourselves Ctrl-C for each SIGTERM."""
    while True:
        for number in os.read(signals, 64):
            if number == signal.SIGTERM:
                os.kill(os.getpid(), signal.SIGINT)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            return True
        frame = frame.f_back
    return False
