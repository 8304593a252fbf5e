"""One market whose users are in parts: the same equilibria, price, bound and certificate, whoever holds them."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from helpers.commands import PROGRAM, read_json, running, wait_until
from helpers.markets import draw_market
from prillm_or.cli import run
from prillm_or.errors import ConvergenceError, MarketError, PrillmError
from prillm_or.files import split_markets
from prillm_or.files.markets import read_market, write_market
from prillm_or.files.split_markets import read_split, split_rows
from prillm_or.limits import Limits
from prillm_or.market.market import Market
from prillm_or.market.outside import with_outside
from prillm_or.market.synthetic import generate
from prillm_or.result import Method
from prillm_or.solvers.bisect import bisected
from prillm_or.solving.judge import judge
from prillm_or.solving.run import solve
from prillm_or.users.equilibrium import solve_users
from prillm_or.users.parts import Part
from prillm_or.users.problem import user_problem
from prillm_or.users.reach import reach
from prillm_or.users.slopes import load_slopes
from prillm_or.users.split import SplitUsers, reach_at, solve_split
from prillm_or.workers.engine import Engine
from prillm_or.workers.held import held

MARKETS: dict[str, Callable[[], Market]] = {
    "uniform": partial(generate, 40, 8, "uniform", 1),
    "heavy": partial(generate, 40, 8, "heavy", 2),
    "weights": partial(draw_market, "weights", 40, 6, seed=3),
    "tastes": partial(generate, 40, 6, dispersion=0.5, seed=1),
    "crowds": partial(generate, 20, 5, people=300, seed=1),
    "alone": partial(generate, 30, 5, dispersion=0.3, congestion=False, seed=1),
    "outside": lambda: with_outside(generate(40, 6, "uniform", 1), 1.0),
    "listed": partial(generate, 40, 8, "market", 1),
}


def market_of(kind: str, monkeypatch: pytest.MonkeyPatch) -> Market:
    if kind == "listed":  # as pairs of large markets are
        monkeypatch.setattr("prillm_or.users.pairs._LISTED", 10)
    return MARKETS[kind]()


def in_parts(market: Market, count: int, drawn: int = 20) -> SplitUsers:
    rows = split_rows(market)
    parts = [Part(each) for each in rows.parts(count)]
    return SplitUsers(rows.drawn(drawn), lambda work, *given: [work(part, *given) for part in parts])


@pytest.mark.parametrize("kind", MARKETS)
def test_parts_add_up_to_the_equilibrium_of_all(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    market = market_of(kind, monkeypatch)
    whole, one, three = user_problem(market), in_parts(market, 1), in_parts(market, 3)
    size = 1e-12 * float(market.demand.sum())
    for price in (0.0, 0.5, 2.0):
        prices = np.array([price])
        expected = solve_users(whole, prices)
        found, alone = solve_split(three, prices), solve_split(one, prices)
        np.testing.assert_allclose(found.load, alone.load, rtol=0, atol=size)
        np.testing.assert_allclose(found.load, expected.load, rtol=0, atol=size)
        assert found.certificate.worst < 1e-12
        slopes = load_slopes(whole, expected.laplacian)
        np.testing.assert_allclose(found.load_slopes, slopes, rtol=1e-9, atol=size)
        assert found.width_of(market.leader[0]) == pytest.approx(expected.width_of(market.leader[0]), rel=1e-12)


@pytest.mark.parametrize("blocks", [1, 40])
def test_an_answer_is_the_sum_of_those_of_its_blocks(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    market = MARKETS["tastes"]()
    monkeypatch.setattr(split_markets, "_BLOCK", market.n * market.m // blocks)
    rows, where = split_rows(market), (np.array([1.0]), np.linspace(0, 1, market.m))
    assert len(rows.blocks()) == blocks
    whole, parts = Part(rows).answer(*where), [Part(each).answer(*where) for each in rows.parts(7)]
    for name in ("load", "slope", "pull", "width", "alone"):
        summed = np.sum([getattr(part, name) for part in parts], axis=0)
        np.testing.assert_allclose(summed, getattr(whole, name), rtol=1e-12, atol=1e-12 * market.demand.sum())


def test_the_hessian_is_the_derivative_of_the_loads() -> None:
    users, step = in_parts(MARKETS["tastes"](), 2), 1e-6
    prices, q = np.array([1.0]), solve_split(in_parts(MARKETS["tastes"](), 1), np.array([1.1])).congestion
    here = users.answer(prices, q)
    for j in range(len(q)):
        ahead = users.answer(prices, q + step * (np.arange(len(q)) == j))
        assert ahead.support == here.support
        np.testing.assert_allclose((here.load - ahead.load) / step, here.slope[j], rtol=0, atol=1e-5)
    ahead = users.answer(prices + step, q)
    np.testing.assert_allclose((ahead.load - here.load) / step, here.pull[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", MARKETS)
def test_the_price_of_parts_is_that_of_one_process(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    market = market_of(kind, monkeypatch)
    users = in_parts(market, 3)
    proposal = bisected(users.head, users, Limits())
    found = judge(users.head, users, proposal, Method("bisect", "0"), Limits())
    expected = solve(market, solver="bisect")
    assert found.profit == pytest.approx(expected.profit, rel=1e-9)
    assert found.upper_bound == pytest.approx(expected.upper_bound, rel=1e-9)
    assert found.stats == expected.stats
    assert found.prices == pytest.approx(expected.prices, rel=1e-9)
    assert found.today is not None
    assert expected.today is not None
    assert found.today.profit == pytest.approx(expected.today.profit, rel=1e-9)
    assert [each.code for each in found.warnings] == [each.code for each in expected.warnings]


def test_users_drawn_stand_for_all() -> None:
    market = MARKETS["uniform"]()
    drawn = split_rows(market).drawn(8)
    assert (drawn.n, drawn.m) == (8, market.m)
    assert drawn.count.sum() == market.n
    assert drawn.demand.sum() == pytest.approx(market.demand.sum(), rel=1e-12)
    assert split_rows(market).drawn().n == market.n


def test_the_reach_of_parts_is_that_of_the_market() -> None:
    market = replace(MARKETS["uniform"](), price_cap=np.array([50.0]))
    found = solve_split(in_parts(market, 3), market.price_cap)
    assert found.by_decision == 0
    assert reach_at(found) == pytest.approx(reach(market), rel=1e-9)


def test_a_part_is_sent_as_what_it_is_made_of() -> None:
    part, where = Part(split_rows(MARKETS["uniform"]())), (np.array([1.0]), np.zeros(8))
    before, small = part.answer(*where), len(pickle.dumps(Part(split_rows(MARKETS["uniform"]()))))
    assert len(pickle.dumps(part)) == small
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).answer(*where).load, before.load)


def test_a_certificate_of_other_loads_is_refused() -> None:
    users = in_parts(MARKETS["uniform"](), 3)
    found = solve_split(users, np.array([1.0]))
    wrong = replace(found, answer=replace(found.answer, load=found.load * 1.001))
    with pytest.raises(ConvergenceError, match="not the users' equilibrium"):
        assert wrong.certificate
    moved = replace(found, congestion=found.congestion + 0.1 * (np.arange(8) == 0))
    with pytest.raises(ConvergenceError, match="not the users' equilibrium"):
        assert moved.certificate


# Files


def filed(folder: Path, market: Market, files: int) -> Path:
    """The market's file, its delays in a folder of so many files."""
    path = folder / "market.json"
    write_market(market, path)
    (folder / "delays").mkdir(exist_ok=True)
    for number, delays in enumerate(np.array_split(market.delay, files)):
        np.save(folder / "delays" / f"{number}.npy", delays)
    path.write_text(json.dumps(read_json(path) | {"delays": {"npy": "delays"}}))
    return path


def test_a_folder_of_delays_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    market = MARKETS["uniform"]()
    path = filed(tmp_path, market, 3)
    whole, split = read_market(path), read_split(path)
    np.testing.assert_array_equal(whole.market.delay, market.delay)
    assert split.sha256 == whole.sha256
    for count in (1, 4):
        delays = [rows.market().delay for rows in split.rows.parts(count)]
        np.testing.assert_array_equal(np.concatenate(delays), market.delay)


def test_a_folder_that_holds_other_than_its_rows_is_refused(tmp_path: Path) -> None:
    path = filed(tmp_path, MARKETS["uniform"](), 3)
    np.save(tmp_path / "delays" / "3.npy", np.ones((1, 8)))
    for read in (read_market, read_split):
        with pytest.raises(MarketError, match="expected 40 rows in all its files, one for each user, got 41"):
            read(path)
    np.save(tmp_path / "delays" / "3.npy", np.ones((1, 7)))
    with pytest.raises(MarketError, match=r"3\.npy: expected shape \(\?, 8\)"):
        read_split(path)


def test_numbers_that_are_no_delays_are_told_by_the_part_that_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market = MARKETS["uniform"]()
    path = filed(tmp_path, market, 2)
    delays = np.load(tmp_path / "delays" / "1.npy")
    delays[3, 2] = np.nan
    np.save(tmp_path / "delays" / "1.npy", delays)
    assert run(["solve", str(path), "--split", "users"]) == 2
    assert f"{path}: delay[u24, p3]: expected a finite number >= 0, got nan" in capsys.readouterr().err


# The command


def test_the_command_tells_what_it_tells_without_parts(tmp_path: Path) -> None:
    path, out = filed(tmp_path, MARKETS["uniform"](), 2), tmp_path / "out.json"
    assert run(["solve", str(path), "--split", "users", "--json", str(out)]) == 0
    found, expected = read_json(out), solve(path, solver="bisect").to_dict()
    assert found.keys() == expected.keys()
    assert found["instance_sha256"] == expected["instance_sha256"]
    assert found["profit"] == pytest.approx(expected["profit"], rel=1e-9)
    assert found["status"] == "optimal"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["tiny/tie"], "takes one market at a time"),
        (["--solver", "path"], "--solver path: needs all users in one place"),
        (["--abstraction", "anchored", "--keep", "1"], "does not go with --abstraction, --keep"),
        (["--model", "kkt-bigm"], "does not go with --model"),
        (["--outside", "1"], "does not go with --outside"),
        (["--robust", "3"], "does not go with --robust"),
        (["--resume"], "does not go with --resume"),
        (["--jobs", "2"], "--jobs 2: parts of one market are spread over processes by --engine dask"),
    ],
)
def test_what_does_not_go_with_parts_is_told(flags: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["solve", "tiny/kink", *flags, "--split", "users"]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert why in error


def test_leaders_of_other_than_one_plain_price_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    factor = replace(MARKETS["uniform"](), decides="factor", price_cap=np.array([2.0]))
    write_market(factor, tmp_path / "factor.json")
    for market, why in (("premium-4-two-prices", "sets 2 prices"), (str(tmp_path / "factor.json"), "or a factor")):
        assert run(["solve", market, "--split", "users"]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert why in error
        assert "leave --split users out" in error


def test_without_dask_parts_stay_in_this_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("prillm_or.errors.find_spec", lambda name: None)
    assert run(["solve", "tiny/kink", "--split", "users", "--engine", "dask"]) == 2
    assert "pip install 'prillm-or[cluster]'" in capsys.readouterr().err
    assert run(["solve", "tiny/kink", "--split", "users"]) == 0


# Real workers


def workers(process: Any) -> list[int]:
    below = psutil.Process(process.pid).children(recursive=True)
    return [one.pid for one in below if any("spawn_main" in part for part in one.cmdline())]


@pytest.mark.slow
def test_two_workers_find_the_same_when_one_is_killed(tmp_path: Path) -> None:
    """Processes of Dask have to start; one is killed once steps are taken, and its part made anew."""
    market = generate(3000, 60, "uniform", 1)
    path, out, log = filed(tmp_path, market, 3), tmp_path / "out.json", tmp_path / "log"
    expected = solve(market, solver="bisect")
    flags = ("--split", "users", "--engine", "dask", "--jobs", "2", "--json", str(out), "--verbose")
    command = 'import sys; sys.stderr = open(sys.argv[1], "w", buffering=1); from prillm_or.cli import main; '
    told = (sys.executable, "-c", f"{command}sys.argv[1:2] = []; main()", str(log), "solve", str(path), *flags)
    with running(*told) as process:
        wait_until(lambda: log.exists() and "price" in log.read_text(), process)
        os.kill(workers(process)[0], signal.SIGKILL)
        assert process.wait(timeout=200) == 0, log.read_text()
    found = read_json(out)
    assert found["profit"] == pytest.approx(expected.profit, rel=1e-9)
    assert found["upper_bound"] == pytest.approx(expected.upper_bound, rel=1e-9)
    assert max(found["certificate"].values()) < 1e-12


@pytest.mark.slow
def test_ctrl_c_gives_the_best_price_so_far_of_workers(tmp_path: Path) -> None:
    path = filed(tmp_path, generate(3000, 60, "uniform", 1), 1)
    flags = ("--split", "users", "--engine", "dask", "--jobs", "1", "--gap", "0", "--verbose")
    with running(*PROGRAM, "solve", str(path), *flags, alone=True) as process:
        assert process.stderr is not None
        while "price" not in process.stderr.readline():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as in a terminal: workers hear it, too
        output, error = process.communicate(timeout=60)
        assert process.returncode == 130
    assert "Traceback" not in error
    assert "interrupted: the best price so far" in error
    assert "by bisect" in output


@pytest.mark.slow
def test_what_workers_raise_is_told_in_a_line() -> None:
    with pytest.raises(PrillmError, match="nothing here"), held(Engine(1, own=True), _refuse, _one) as each:
        list(each(_refuse))


def _one(count: int) -> list[int]:
    return [0] * count


def _refuse(item: int) -> int:
    raise MarketError("market.json", ["nothing here"])
