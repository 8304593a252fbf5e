"""Units spread over processes and over a real Dask cluster: the same results, whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from helpers.commands import PROGRAM, in_process, running, untimed, wait_for_lines, wait_until, worked
from prillm_or.abstraction.training.examples import computed
from prillm_or.abstraction.training.learned import AnchorLesson
from prillm_or.cli import run
from prillm_or.errors import CombinationError, PrillmError
from prillm_or.files.markets import MarketFile, write_market
from prillm_or.files.names import find
from prillm_or.market.synthetic import generate
from prillm_or.result import Result, Status, result_from_json
from prillm_or.solving.batch import Kept, Settings, Task, solve_task
from prillm_or.solving.run import solve
from prillm_or.workers.engine import Engine, Lost, engine_of, spread

# Work for the tests; workers import it by the file's name in the folder that they are given.

WORK = '''
import os, signal, time
def square(item):
    """Leaves the number of its process in a folder, and waits until so many are there."""
    x, folder, processes = item
    open(os.path.join(folder, str(os.getpid())), "w").close()
    while len(os.listdir(folder)) < processes:
        time.sleep(0.01)
    return x * x, os.getpid()
def die_once(item):
    """Kills its process the first time it runs, as told by a file."""
    x, mark = item
    if x == 3 and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return x * x
def die_always(x):
    if x == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return x * x
def die_later(x):
    if x == 3:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1.0 if x < 6 else 0.1)
    return x * x
def refuse(x):
    raise ValueError(f"no {x}")
'''


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "engine_work.py").write_text(WORK, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    import engine_work  # type: ignore[import-not-found]

    yield engine_work
    del sys.modules["engine_work"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_worked_off_once(work: Any, jobs: int, tmp_path: Path) -> None:
    seen = tmp_path / "processes"
    seen.mkdir()
    made: list[Any] = list(spread(Engine(jobs), work.square, [(x, str(seen), jobs) for x in range(20)]))
    assert sorted((number, value) for number, (value, _) in made) == [(x, x * x) for x in range(20)]
    elsewhere = {pid for _, (_, pid) in made} - {os.getpid()}
    assert len(elsewhere) == (0 if jobs == 1 else 2)


def test_a_killed_process_loses_nothing_but_its_unit_which_runs_again(work: Any, tmp_path: Path) -> None:
    items = [(x, str(tmp_path / "mark")) for x in range(12)]
    made = dict(spread(Engine(2), work.die_once, items))
    assert (tmp_path / "mark").exists()
    assert made == {x: x * x for x in range(12)}


def test_a_unit_that_kills_all_its_processes_is_given_up_and_no_other(work: Any) -> None:
    """Processes have to die and be replaced."""
    made = dict(spread(Engine(2), work.die_always, range(8)))
    assert isinstance(made.pop(3), Lost)
    assert made == {x: x * x for x in range(8) if x != 3}


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_work_raises_comes_out(work: Any, jobs: int) -> None:
    with pytest.raises(ValueError, match="no 1"):
        list(spread(Engine(jobs), work.refuse, [1]))


def test_nothing_to_do_is_done(work: Any) -> None:
    assert list(spread(Engine(2), work.refuse, [])) == []


@pytest.mark.parametrize(
    ("name", "jobs", "address", "why"),
    [
        ("local", 2, "tcp://127.0.0.1:1", "address=.*only with engine='dask'"),
        ("dask", 1, None, "give the scheduler's `address`"),
        ("dask", 2, "tcp://127.0.0.1:1", "jobs=2.*leave it out"),
    ],
)
def test_engines_that_cannot_be(name: str, jobs: int, address: str | None, why: str) -> None:
    with pytest.raises(CombinationError, match=why):
        engine_of(name, jobs, address)


# A real cluster: a scheduler and two workers, each a process of its own.


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster(
    folder: Path, *flags: str, workers: int = 2, threads: int = 1
) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """Address of the scheduler, and the processes: it first, then its workers, which die for good if killed."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    module = (sys.executable, "-m", "distributed.cli.dask_scheduler")
    scheduler = (*module, "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    command = (sys.executable, "-m", "distributed.cli.dask_worker", address)
    worker = (*command, "--host", "127.0.0.1", "--nthreads", str(threads), *(flags or ["--no-nanny"]), "--no-dashboard")
    with ExitStack() as stack:
        processes = [stack.enter_context(running(*scheduler))]
        for number in range(workers):
            place = folder / f"worker{number}"
            processes.append(stack.enter_context(running(*worker, "--local-directory", str(place))))
        _wait_for_workers(address, workers)
        yield address, processes


def _wait_for_workers(address: str, workers: int) -> None:
    from distributed import Client

    until = time.monotonic() + 60
    while True:
        with suppress(OSError), Client(address, timeout=5, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
            return
        assert time.monotonic() < until


@pytest.mark.slow
def test_compare_on_a_cluster_gives_the_same_whoever_is_killed(tmp_path: Path) -> None:
    names = [write(tmp_path, seed) for seed in range(3)]
    arguments = ("compare", *names, "--method", "path", "--method", "highs:kkt-bigm", "--repeat", "4")
    assert run([*arguments, "--report", str(tmp_path / "here")]) == 0
    there = tmp_path / "there"
    with cluster(tmp_path) as (address, processes):
        command = (*PROGRAM, *arguments, "--engine", "dask", "--address", address, "--report", str(there))
        with running(*command) as process:
            wait_for_lines(there / "runs.jsonl", 3, process)
            processes[1].kill()
            assert process.wait(timeout=120) == 0, process.stderr and process.stderr.read()
    reports = [json.loads((tmp_path / name / "report.json").read_bytes()) for name in ("here", "there")]
    assert reports[1]["environment"]["engine"] == "dask"
    assert len(reports[0]["rows"]) == 24
    assert untimed(reports[1]["rows"]) == untimed(reports[0]["rows"])


@pytest.mark.slow
def test_a_training_set_computed_on_a_cluster_is_the_same(tmp_path: Path) -> None:
    seeds, large = range(1_000_000, 1_000_006), bytes(2 * 10**7)  # what Dask calls a large graph, and warns of
    here = computed(AnchorLesson().example, seeds, tmp_path, "here", Engine())
    with cluster(tmp_path) as (address, _):
        there = computed(AnchorLesson().example, seeds, tmp_path, "there", Engine(address=address))
        assert list(spread(Engine(address=address), len, [large])) == [(0, len(large))]
    assert len(here) == len(there) == 6
    for one, other in zip(here, there, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


@pytest.mark.slow
def test_a_lost_scheduler_is_told_and_the_next_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [write(tmp_path, seed) for seed in range(16)]
    out = tmp_path / "all.json"
    with cluster(tmp_path) as (address, processes):
        command = (*PROGRAM, "solve", *names, "--solver", "highs", "--engine", "dask", "--address", address)
        with running(*command, "--json", str(out)) as process:
            wait_for_lines(tmp_path / "all.json.parts", 2, process)
            processes[0].kill()
            code = process.wait(timeout=120)
            assert process.stderr is not None
            error = process.stderr.read()
    assert code == 2, error
    assert f"--address {address}: the scheduler was lost" in error
    assert "Traceback" not in error
    kept = (tmp_path / "all.json.parts").read_bytes().count(b"\n")
    assert 2 <= kept < 16
    capsys.readouterr()
    assert run(["solve", *names, "--solver", "highs", "--json", str(out), "--resume"]) == 0
    assert [row["instance"] for row in json.loads(out.read_bytes())] == [f"uniform-6x6-{seed}" for seed in range(16)]
    assert not (tmp_path / "all.json.parts").exists()


@pytest.mark.slow
def test_a_unit_that_kills_workers_of_a_cluster_is_given_up_and_no_other(work: Any, tmp_path: Path) -> None:
    with cluster(tmp_path, "--nanny", workers=1, threads=4) as (address, _):
        made = dict(spread(Engine(address=address), work.die_later, range(12)))
    assert isinstance(made.pop(3), Lost)
    assert made == {x: x * x for x in range(12) if x != 3}


@pytest.mark.parametrize("address", ["foo", "http://127.0.0.1:80", "tcp://127.0.0.1:x", ""])
def test_an_address_that_is_none_is_one_line_at_once(address: str) -> None:
    """It took 240 s once; to import Dask takes 15 s and more where the machine is busy, so time says no more."""
    command = (*PROGRAM, "solve", "tiny/kink", "--engine", "dask", "--address", address)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith(f"--address {address}: no Dask scheduler answers there")


@pytest.mark.parametrize("command", ["solve", "compare"])
def test_profiles_of_this_machine_do_not_go_to_a_cluster(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "solvers" / "highs" / "default.toml"
    own.parent.mkdir(parents=True)
    own.write_text('solver = "highs"', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    method = ["--solver", "highs", "--model", "kkt-bigm"] if command == "solve" else ["--method", "highs:kkt-bigm"]
    assert run([command, "tiny/kink", *method, "--engine", "dask", "--address", "tcp://127.0.0.1:9"]) == 2
    assert f"--engine dask: {own} is a file of this machine" in capsys.readouterr().err


@pytest.mark.slow
def test_no_scheduler_at_the_address_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    assert run(["solve", "tiny/kink", "tiny/tie", "--engine", "dask", "--address", address]) == 2
    error = capsys.readouterr().err
    assert f"--address {address}: no Dask scheduler answers there" in error


# Many markets


def write(folder: Path, seed: int) -> str:
    path = folder / f"m{seed}.json"
    write_market(generate(6, 6, "uniform", seed), path)
    return str(path)


def test_markets_on_several_processes_come_out_in_order(tmp_path: Path) -> None:
    names = [*(write(tmp_path, seed) for seed in range(6)), str(tmp_path / "missing.json")]
    assert run(["solve", *names, "--json", str(tmp_path / "one.json")]) == 2
    assert run(["solve", *names, "--jobs", "2", "--json", str(tmp_path / "two.json")]) == 2
    one, two = (json.loads((tmp_path / f"{name}.json").read_bytes()) for name in ("one", "two"))
    assert [row["instance"] for row in one] == [f"uniform-6x6-{seed}" for seed in range(6)]
    assert untimed(two) == untimed(one)


def test_a_market_that_breaks_a_run_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks_one(market: MarketFile, **options: Any) -> Result:
        if market.market.name == "tie":
            raise ZeroDivisionError("a fault of ours")
        return solve(market, **options)

    monkeypatch.setattr("prillm_or.solving.batch.solve", breaks_one)
    out = tmp_path / "out.json"
    assert run(["solve", "tiny/kink", "tiny/tie", "tiny/cap-binds", "--json", str(out)]) == 3
    assert [row["instance"] for row in json.loads(out.read_bytes())] == ["kink", "cap-binds"]
    assert "tiny/tie: internal error: ZeroDivisionError: a fault of ours" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_is_told_in_a_line(tmp_path: Path) -> None:
    """The whole group hears it there, its processes on their way at first, then at work."""
    names = [str(find("instances", "coding-13"))] * 6
    flags = ("--model", "kkt-bigm-naive", "--solver", "highs", "--jobs", "2")
    for seconds in (0.0, 2.0):
        with running(*PROGRAM, "solve", *names, *flags, alone=True) as process:
            wait_until(partial(_have_worked, process.pid, seconds), process)
            os.killpg(process.pid, signal.SIGINT)
            _, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (130, "interrupted: 0 of 6 done\n")


def _have_worked(pid: int, seconds: float) -> bool:
    """Whether a process has workers, of which one has used so much processor time."""
    with suppress(psutil.Error):
        workers = [child for child in psutil.Process(pid).children() if "loky" in " ".join(child.cmdline())]
        return any(worked(worker.pid) >= seconds for worker in workers)
    return False


@pytest.mark.slow
def test_processes_leave_no_word_on_standard_error() -> None:
    command = ("solve", "tiny/kink", "tiny/tie", "--model", "kkt-bigm", "--jobs", "2", "--json", "-")
    done = in_process(*command)
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["instance"] for row in json.loads(done.stdout)] == ["kink", "tie"]


def test_one_market_is_solved_here_whatever_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prillm_or.cli.solve.solve_all", None)
    assert run(["solve", "tiny/kink", "--jobs", "2"]) == 0


def test_nothing_is_kept_beside_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["solve", "tiny/kink", "tiny/tie", "--json", os.devnull]) == 0
    assert not Path(f"{os.devnull}.parts").exists()
    assert run(["solve", "tiny/kink", "tiny/tie", "--json", os.devnull, "--resume"]) == 2
    assert "is no file that results could be kept beside" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_run_goes_on_where_it_was(jobs: str, tmp_path: Path) -> None:
    names = [write(tmp_path, seed) for seed in range(20)]
    parts = tmp_path / "all.json.parts"
    command = (*PROGRAM, "solve", *names, "--solver", "highs", "--json", str(tmp_path / "all.json"), "--jobs", jobs)
    with running(*command) as process:
        wait_for_lines(parts, 3, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "all.json").exists()
    before = parts.read_bytes().splitlines()
    assert 3 <= len(before) < 20
    known = [json.loads(line)["result"] for line in before]
    known[0]["time_s"]["total"] = 12345.0  # told apart from one that is solved again
    changed = [{**json.loads(line), "result": row} for line, row in zip(before, known, strict=True)]
    whole = b"".join(json.dumps(line).encode() + b"\n" for line in changed)
    parts.write_bytes(whole + b'{"settings": {"cut sho')  # as a kill in mid-write would leave it
    assert run([*command[3:], "--resume"]) == 0
    rows = json.loads((tmp_path / "all.json").read_bytes())
    assert [row["instance"] for row in rows] == [f"uniform-6x6-{seed}" for seed in range(20)]
    assert [row["time_s"]["total"] for row in rows].count(12345.0) == 1
    assert not parts.exists()


def test_other_settings_and_other_content_are_solved_again(tmp_path: Path) -> None:
    names = [write(tmp_path, seed) for seed in range(2)]
    tasks = [Task(name, Settings()) for name in names]
    kept = Kept(tmp_path / "parts", Settings(), resume=False)
    kept.add(solve_task(tasks[0]))
    kept.add(replace(solve_task(tasks[1]), status=Status.ERROR))  # is to be tried again
    again = Kept(tmp_path / "parts", Settings(), resume=True)
    assert again.result_of(tasks[0]) is not None
    assert again.result_of(tasks[1]) is None
    assert Kept(tmp_path / "parts", Settings(solver="bisect"), resume=True).result_of(tasks[0]) is None
    write_market(generate(6, 6, "uniform", 99), Path(names[0]))
    assert again.result_of(tasks[0]) is None


@pytest.mark.parametrize(
    "line", ['{"settings": nonsense', '{"settings": 1, "settings": 2}', '{"settings": ' + "9" * 5000]
)
def test_parts_that_are_none_are_refused_by_line(line: str, tmp_path: Path) -> None:
    (tmp_path / "parts").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(PrillmError, match="parts: line 1 is no record of a run"):
        Kept(tmp_path / "parts", Settings(), resume=True)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("content", [b"my own notes\n", b"[1]\n", b"{}\n", b"\x00\xff"])
def test_a_file_that_is_not_ours_is_left_alone(
    content: bytes, resume: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "all.json.parts"
    mine.write_bytes(content)
    flags = ["--json", str(tmp_path / "all.json"), *(["--resume"] if resume else [])]
    assert run(["solve", "tiny/kink", "tiny/tie", *flags]) == 2
    assert "all.json.parts: is not ours, and would be overwritten" in capsys.readouterr().err
    assert mine.read_bytes() == content


TAMPERED: list[tuple[dict[str, Any], str]] = [
    ({"profit": 1e-15}, "its gap is not"),
    ({"profit": 1e-15, "gap": None, "upper_bound": None, "status": "heuristic"}, "its profit is not"),
    ({"upper_bound": 15.0, "gap": -0.0625}, "its bound is below its profit"),
    ({"upper_bound": 32.0, "gap": 1.0}, "it is called optimal"),
    ({"upper_bound": None}, "a bound or a gap"),
    ({"prices": {"lead": 7.0}}, "its profit is not"),
    ({"prices": {"lead": -1.0}}, "beyond its cap"),
    ({"prices": {"lead": 1e9}}, "beyond its cap"),
    ({"prices": {"other": 8.0}}, "its prices are not those"),
    ({"loads": {"lead": 2.5}}, "its loads are not"),
    ({"profit": "16"}, "no finite number"),
    ({"profit": float("nan")}, "no finite number"),
    ({"today": None}, "its prices today"),
    ({"instance": 3}, "a name in it is no text"),
    ({"time_s": {"total": "soon"}}, "no finite number"),
]


@pytest.mark.parametrize(("change", "says"), TAMPERED, ids=[f"{says}-{k}" for k, (_, says) in enumerate(TAMPERED)])
def test_a_kept_result_that_contradicts_itself_or_its_market_is_refused(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    task = Task("tiny/tie", Settings())
    Kept(tmp_path / "parts", Settings(), resume=False).add(solve_task(task))
    kept = json.loads((tmp_path / "parts").read_bytes())
    kept["result"] |= change
    (tmp_path / "parts").write_text(json.dumps(kept) + "\n")
    with pytest.raises(PrillmError, match=f"parts: line 1 contradicts itself or its market: .*{says}"):
        Kept(tmp_path / "parts", Settings(), resume=True).result_of(task)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_an_address_where_nobody_answers_is_refused_in_time(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It is only by waiting that one learns that there will be no answer."""
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert run(["solve", "tiny/kink", "tiny/tie", "--engine", "dask", "--address", address]) == 2
        assert time.monotonic() - began < 30
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"--address {address}: no Dask scheduler answers there (")


def test_no_file_of_the_working_folder_is_run(tmp_path: Path) -> None:
    """It takes processes of their own, which is what it is about."""
    names = [write(tmp_path, seed) for seed in range(2)]
    spy = "open('was-run', 'a').close()"
    for module in ("json", "signal", "random", "pickle", "numpy", "selectors"):
        (tmp_path / f"{module}.py").write_text(spy)
    script = tmp_path / "bin" / "prillm-or"  # as pip writes it: its own folder is searched, not the working one
    script.parent.mkdir()
    script.write_text("from prillm_or.cli import main\nif __name__ == '__main__':\n    main()\n")
    command = [sys.executable, str(script), "solve", *names, "--jobs", "2", "--json", "out.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "out.json").read_bytes())) == 2
    assert not (tmp_path / "was-run").exists()


def test_resume_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    for flags in ([], ["--json", "-"]):
        assert run(["solve", "tiny/kink", "tiny/tie", "--resume", *flags]) == 2
        assert "--resume: results are kept beside a file; name it" in capsys.readouterr().err


def test_a_result_comes_back_from_its_json() -> None:
    for solver in ("path", "spiter"):  # the second proves no bound
        document = solve_task(Task("tiny/kink", Settings(solver))).to_dict()
        assert result_from_json(document).to_dict() == document
