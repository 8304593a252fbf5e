"""The kernel against the code in numpy that it stands for; and that nothing but speed is lost without it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import prillm_or as po
from helpers.markets import draw_market, draw_scaled
from helpers.sold import sold
from prillm_or.curves.small_trace import stretches
from prillm_or.curves.trace import Piece, trace
from prillm_or.limits import Limits
from prillm_or.market.market import Array, Market
from prillm_or.market.outside import with_outside
from prillm_or.solvers.path import Path as PathSolver
from prillm_or.solvers.path import Search
from prillm_or.solvers.small_path import best_of_small
from prillm_or.users import kernel
from prillm_or.users.equilibrium import Equilibrium, solve_users
from prillm_or.users.problem import UserProblem, user_problem
from prillm_or.users.slopes import earning_slopes

KINDS = ("uniform", "heavy", "costs", "weights", "degenerate")

needs_kernel = pytest.mark.skipif(not kernel.BUILT, reason="the kernel is not built")


@pytest.fixture(autouse=True)
def not_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kernel.SWITCH, raising=False)


def both(market: Market, monkeypatch: pytest.MonkeyPatch) -> tuple[UserProblem, UserProblem]:
    """The users of a market for the kernel, and for numpy."""
    fast, slow = replace(user_problem(market)), replace(user_problem(market))
    assert fast.kernel is not None
    with monkeypatch.context() as here:
        here.setenv(kernel.SWITCH, "0")
        assert slow.kernel is None
    return fast, slow


def markets() -> list[Market]:
    """Plain ones, degenerate ones, those with an outside option, and as they are sold."""
    plain = [draw_market(kind, n, m, 3, 2) for kind in KINDS for n, m in ((1, 3), (8, 13), (12, 5))]
    outside = [with_outside(draw_market(kind, 6, 4, 5), 1.0) for kind in KINDS]
    return [*plain, *outside, *(sold(seed) for seed in range(40))]


def assert_same(fast: Equilibrium, slow: Equilibrium, demand: Array) -> None:
    assert fast.users.kernel is not None
    assert fast.users.kernel.equilibrium(fast.prices, fast.support) is not None, "the kernel gave up"
    scale = np.abs(slow.level).max() + np.abs(slow.congestion).max()
    np.testing.assert_allclose(fast.flow, slow.flow, rtol=0, atol=1e-12 * demand.sum())
    np.testing.assert_allclose(fast.level, slow.level, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(fast.congestion, slow.congestion, rtol=0, atol=1e-12 * scale)
    np.testing.assert_allclose(fast.load, slow.load, rtol=1e-12, atol=1e-13 * demand.sum())


@needs_kernel
def test_equilibria_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in markets():
        fast, slow = both(market, monkeypatch)
        before: tuple[Equilibrium | None, Equilibrium | None] = (None, None)
        for part in (0.0, 0.3, 0.31, 1.0):
            decisions = part * market.price_cap
            for starts in ((None, None), before):
                before = solve_users(fast, decisions, starts[0]), solve_users(slow, decisions, starts[1])
                assert_same(*before, market.demand)


@needs_kernel
def test_slopes_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in markets():
        fast, slow = both(market, monkeypatch)
        found = solve_users(slow, 0.3 * market.price_cap)
        pairs = zip(earning_slopes(fast, found.laplacian), earning_slopes(slow, found.laplacian), strict=True)
        scale = float((slow.sensitivity.T @ np.broadcast_to(slow.width, slow.base.shape)).max())
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12 * scale)


@needs_kernel
@pytest.mark.parametrize("kind", KINDS)
def test_best_prices_are_those_of_the_search(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [draw_market(kind, n, m, seed) for n, m in ((1, 3), (3, 4), (8, 13), (12, 5)) for seed in range(3)]
    tastes = [replace(market, dispersion=np.full(market.n, 2.0)) for market in plain]
    alone = [replace(market, congestion_weight=np.zeros(market.n)) for market in tastes]
    for market in (*plain, *tastes, *alone, *(with_outside(each, 0.0) for each in plain)):
        users = user_problem(market)
        assert users.kernel is not None
        fast, search = PathSolver().solve(market, Limits()), Search(market, users)
        search.climb()
        for _ in search.steps():
            pass
        assert (best_of_small(market, users) is None) == (search.best_profit <= 0)
        assert fast.prices == pytest.approx(search.best_price, rel=1e-6)  # a top is flat
        assert fast.upper_bound == pytest.approx(search.upper_bound, rel=1e-12)


def moved(piece: Piece) -> set[tuple[int, int]]:
    """Pairs that are used on one side of its start alone: equal ones may take turns in any order."""
    return {pair for pair in piece.moved if piece.moved.count(pair) % 2}


@needs_kernel
def test_pieces_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    for market in markets():
        users = both(market, monkeypatch)
        start, cap, demand = 0.1 * market.price_cap, float(market.price_cap[0]), market.demand.sum()
        start[0] = 0.0
        fast, slow = (list(trace(each, start, 0, cap)) for each in users)
        most, steepest = (
            max(np.abs(part(piece)).max() for piece in slow) for part in (attrgetter("load"), attrgetter("slope"))
        )
        for one, other in zip(fast, slow, strict=True):
            assert one.start == pytest.approx(other.start, abs=1e-12 * cap)
            assert one.end == pytest.approx(other.end, abs=1e-12 * cap)
            np.testing.assert_allclose(one.load, other.load, rtol=0, atol=1e-12 * max(most, demand))
            np.testing.assert_allclose(one.slope, other.slope, rtol=0, atol=1e-12 * steepest)
            assert one.rest == pytest.approx(other.rest, abs=1e-12 * demand * cap)
            assert moved(one) == moved(other)


@needs_kernel
def test_a_trace_goes_on_where_the_kernel_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third stretch is one that is given up, as where too many pairs move at one price."""
    users, prices = user_problem(draw_market("weights", 8, 13, 3)), np.zeros(1)
    whole = list(trace(users, prices, 0, 12.0))
    monkeypatch.setattr("prillm_or.curves.trace.stretches", partial(stretches, first=2))

    class Tired:
        calls = 0

        def equilibrium(self, *given: Any) -> None:
            return None

        def trace(self, *given: Any) -> tuple[int, bytes, bytes]:
            self.calls += 1
            assert users.kernel is not None
            return (-1, b"", b"") if self.calls == 3 else users.kernel.trace(*given)

    tired = replace(users)
    vars(tired)["kernel"] = Tired()
    parts = list(trace(tired, prices, 0, 12.0, solve_users(users, prices)))
    assert len(whole) > 6
    for one, other in zip(parts, whole, strict=True):
        assert one.end == pytest.approx(other.end, abs=1e-11)
        np.testing.assert_allclose(one.load, other.load, rtol=0, atol=1e-11)
        assert one.moved == other.moved


@needs_kernel
@pytest.mark.parametrize("what", ["demand", "capacity", "weak", "money", "all", "tied"])
def test_where_scales_lie_far_apart_it_is_right_or_gives_up(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far beyond what the kernel takes: it is numpy that goes on, and both come to the same."""
    for seed in range(8):
        market = draw_scaled(what, seed)
        fast, slow = both(market, monkeypatch)
        decisions = 0.3 * market.price_cap
        one, other = solve_users(fast, decisions), solve_users(slow, decisions)
        np.testing.assert_allclose(one.flow, other.flow, rtol=0, atol=1e-9 * market.demand.max())


@needs_kernel
def test_lengths_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    users = both(draw_market("uniform", 3, 4, 1), monkeypatch)[0]
    assert users.kernel is not None
    compute: Any = users.kernel.equilibrium
    _, numbers, used = compute(np.zeros(1), None)
    assert (len(numbers), len(used)) == (8 * 19, 12)
    for wrong in ((np.zeros(2), None), (np.zeros(1), np.ones((3, 3), dtype=np.bool_))):
        with pytest.raises(ValueError, match=r"expected \d+ bytes, got \d+"):
            compute(*wrong)
    # A start in which a user has no provider is none.
    assert compute(np.zeros(1), np.zeros((3, 4), dtype=np.bool_)) is None


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(kernel.SWITCH, "0")
    assert replace(user_problem(draw_market("uniform", 3, 4, 1))).kernel is None
    po.show_versions()
    assert f"kernel: {kernel.state()}\n" in capsys.readouterr().out
    assert kernel.state().endswith("numpy")


def test_users_are_kept_without_it() -> None:
    import pickle

    users = user_problem(draw_market("uniform", 3, 4, 1))
    found = solve_users(users, [1.0])  # by then there is a kernel, where there can be one
    again: UserProblem = pickle.loads(pickle.dumps(users))
    np.testing.assert_array_equal(solve_users(again, [1.0]).flow, found.flow)


def test_without_a_compiler_nothing_is_built_and_nothing_fails(tmp_path: Path) -> None:
    """In a process of its own, as a compiler is looked for in the environment."""
    root = Path(__file__).parent.parent
    if not (root / "hatch_build.py").exists():
        pytest.skip("the wheel does not hold what builds it")
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    pytest.importorskip("setuptools", reason="setuptools is not installed")
    code = "import sys, pathlib, hatch_build; print(hatch_build.build(pathlib.Path.cwd(), pathlib.Path(sys.argv[1])))"
    (tmp_path / "_kernel.abi3.so").write_text("what was compiled when there was one")
    absent = {"CC": "/nowhere/cc", "LDSHARED": "/nowhere/cc", "PATH": "/nowhere"}
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, env=absent, capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "None"
    assert not list(tmp_path.iterdir())
