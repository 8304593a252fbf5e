"""Keep what a solver may say off standard output, which may have to hold nothing but JSON.

Solvers are silenced by options of their own; Gurobi still comments on Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prillm_or.workers.ctrl_c import without_ctrl_c


@contextmanager
def quiet() -> Iterator[None]:
    """Send what is written to the process's standard output, by C code too, nowhere."""
    sys.stdout.flush()
    with without_ctrl_c():
        kept, sink = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        yield
    finally:
        with without_ctrl_c():
            os.dup2(kept, 1)
            os.close(kept)
            os.close(sink)
