"""HiGHS in a thread of its own: Ctrl-C stops it, at once and for good."""

from __future__ import annotations

import os
import signal
import time
from threading import Timer

from prillm_or.files import read_market
from prillm_or.profiles import model_profile
from prillm_or.registry import load_build
from prillm_or.shipped import find
from prillm_or.solvers.base import Ended, Limits
from prillm_or.solvers.highs import Highs


def test_ctrl_c_ends_a_long_solve_at_once() -> None:
    # Freed while it ran, HiGHS took the process with it (SIGABRT) in one of five such runs.
    profile = model_profile("kkt-bigm-naive")
    market = read_market(find("instances", "coding-13")).market
    formulation = load_build(profile.formulation)(market, profile.options, 0.0)
    timer = Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    began = time.perf_counter()
    timer.start()
    answer = Highs().run(formulation, Limits(gap=0.0, time_limit=60.0), {})
    assert time.perf_counter() - began < 5.0
    assert answer.ended is Ended.INTERRUPTED
