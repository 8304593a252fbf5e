"""HiGHS in a thread of its own: Ctrl-C stops it, at once and for good."""

from __future__ import annotations

import os
import signal
import time
from threading import Timer

import pytest

from helpers.markets import shipped
from prillm_or.limits import Limits
from prillm_or.market.synthetic import generate
from prillm_or.models.kkt_bigm import KktBigmOptions, build
from prillm_or.models.registry import model_profile
from prillm_or.models.window import whole_window
from prillm_or.solvers.algebraic import solve_algebraic
from prillm_or.solvers.highs import Highs
from prillm_or.solvers.protocols import Ended
from prillm_or.solvers.registry import solver_profile
from prillm_or.solving.run import solve


def test_ctrl_c_ends_a_long_solve_at_once() -> None:
    # Freed while it ran, HiGHS took the process with it (SIGABRT) in one of five such runs.
    profile = model_profile("kkt-bigm-naive")
    market = shipped("coding-13")
    formulation = profile.build(market, whole_window(market))
    timer = Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    began = time.perf_counter()
    timer.start()
    answer = Highs().run(formulation, Limits(gap=0.0, time_limit=60.0), {})
    assert time.perf_counter() - began < 5.0
    assert answer.ended is Ended.INTERRUPTED


def test_the_bound_covers_what_the_tolerance_lets_slip() -> None:
    # HiGHS drops nodes that are better than its incumbent by less than the tolerance: its own bound was too low here.
    market = generate(8, 5, "uniform", 5002)
    wide = {"mip_feasibility_tolerance": 1e-7, "small_matrix_value": 1e-9}
    options = {**solver_profile("highs").options, **wide}
    best = solve(market, solver="path").profit
    answer = solve_algebraic(market, lambda m, w: build(m, KktBigmOptions(), w), Highs(), Limits(gap=1e-4), options)
    assert answer.upper_bound is not None
    assert answer.upper_bound >= best * (1 - 1e-9)
    assert answer.upper_bound <= best * (1 + 1e-4)


@pytest.mark.parametrize("solver", ["highs", "enumerate", "grid"])
def test_nothing_is_printed(solver: str, capfd: pytest.CaptureFixture[str]) -> None:
    solve(shipped("tiny/kink"), solver=solver)
    assert capfd.readouterr().out == ""
