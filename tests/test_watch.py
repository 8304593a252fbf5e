"""`prillm-or watch`: a line in, a line out, at once; mostly in a real process."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.commands import PROGRAM
from helpers.markets import shipped, shipped_file
from prillm_or.cli import run
from prillm_or.market.changes import apply
from prillm_or.solving.run import solve

WATCH = (*PROGRAM, "watch")
CHEAPER = {"providers": {"rival": {"price": 1.5}}}


@contextmanager
def watching(market: str = "tiny/one-rival") -> Iterator[subprocess.Popen[bytes]]:
    """The command at the other end of three pipes."""
    pipe = subprocess.PIPE
    with subprocess.Popen([*WATCH, market], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        yield process
        process.kill()


def ask(process: subprocess.Popen[bytes], line: bytes) -> Any:
    """Write a line and wait for its answer, while the input stays open."""
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()
    return answer(process)


def answer(process: subprocess.Popen[bytes]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def fed(content: bytes, market: str = "tiny/one-rival") -> tuple[int, list[Any], str]:
    """Exit code, answers and standard error, in this process, when the whole input is there from the start."""
    with pytest.MonkeyPatch.context() as patch:
        out, error = io.StringIO(), io.StringIO()
        for name, stream in (("stdin", io.TextIOWrapper(io.BytesIO(content))), ("stdout", out), ("stderr", error)):
            patch.setattr(sys, name, stream)
        code = run(["watch", market])
    return code, [json.loads(line) for line in out.getvalue().splitlines()], error.getvalue()


def as_line(change: object) -> bytes:
    return json.dumps(change).encode() + b"\n"


@pytest.mark.wheel
def test_each_line_is_answered_before_the_next_is_written() -> None:
    market = shipped("coding-13")
    rival = next(name for name in market.provider_ids if name not in market.leader_ids)
    with watching("coding-13") as process:
        first = answer(process)
        assert first["instance_sha256"] == shipped_file("coding-13").sha256
        assert first["profit"] == pytest.approx(solve(market).profit, rel=1e-12)
        for change in ({"users": {"cline": {"demand": 45.0}}}, {"remove": {"providers": [rival]}}, {"price_cap": 0.1}):
            market = apply(market, change)
            found = ask(process, as_line(change))
            assert (found["format"], found["instance_sha256"]) == ("prillm-or/result@1", None)
            assert found["profit"] == pytest.approx(solve(market).profit, rel=1e-9)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (0, b"", b"")


def test_a_refused_line_changes_nothing_and_the_next_is_taken() -> None:
    with watching() as process:
        first = answer(process)
        assert ask(process, b"\n  \r\n" + as_line({"providers": {"rvial": {"price": 1}}})) == {
            "error": ['providers.rvial: no provider has the id "rvial"; did you mean "rival"?'],
            "line": 3,
        }
        again = ask(process, as_line({"providers": {"rival": {"price": 2.0}}}))  # as it is in the file
        assert (again["prices"], again["profit"]) == (first["prices"], first["profit"])
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (2, b"", b"")


def test_no_input_gives_the_first_answer_alone() -> None:
    code, (first,), error = fed(b"")
    assert (code, error) == (0, "")
    assert first["prices"] == {"lead": 3.0}  # tiny/README.md


def test_lines_speak_of_price_lists_crowds_and_mixes() -> None:
    """As in tiny/README.md with z the price of output; its cost per unit of volume is the mix times 2."""
    lines = [
        {"providers": {"rival": {"price": {"output": 4}}}},  # a bill of 3: f = (7 - P)/2, top at P = 4, z = 2
        {"users": {"a": {"mix": {"output": 1}}}},  # bills of 5 and 3 + z, costs 2: f = (9 - P)/2, top at P = 5.5
        {"users": {"a": {"mix": {"cached": 1}}}},
        {"users": {"a": {"count": 2}}},  # P + 3 f/4 = 5 + 3 (4 - f)/4: top at P = 5
    ]
    code, (first, *answers), error = fed(b"".join(map(as_line, lines)), "tiny/below-cost")
    assert (code, error) == (2, "")
    assert first["prices"]["lead"] == {"input": 3.0, "output": 1.0}
    assert answers[0]["prices"]["lead"] == pytest.approx({"input": 3.0, "output": 2.0})
    assert answers[1]["prices"]["lead"] == pytest.approx({"input": 3.0, "output": 2.5})
    assert answers[2]["error"] == ['users.a.mix.cached: no component has the name "cached"']
    assert answers[3]["prices"]["lead"] == pytest.approx({"input": 3.0, "output": 2.0})


def test_several_prices_are_kept_up_to_date_line_by_line() -> None:
    # As in tiny/README.md, and with the rival at 7/2 as in test_pricer.py.
    lines = [{"providers": {"rival": {"price": 3.5}}}, {"remove": {"providers": ["plain"]}}]
    code, (first, changed, refused), error = fed(b"".join(map(as_line, lines)), "tiny/two-prices")
    assert (code, error) == (2, "")
    assert first["prices"] == pytest.approx({"plain": 3.5, "better": 4.0}, rel=1e-6)
    assert first["method"]["solver"] == "branch"
    assert changed["prices"] == pytest.approx({"plain": 3.75, "better": 4.25}, rel=1e-6)
    assert changed["status"] == "optimal"
    assert 0 <= changed["gap"] <= 1e-4
    assert refused["error"] == ['remove.providers[0]: "plain" is the leader\'s; only rivals can leave']


def test_line_ends_of_any_system_and_a_last_line_without_one() -> None:
    plain = fed(as_line(CHEAPER) * 2)
    code, answers, _ = fed(as_line(CHEAPER).replace(b"\n", b"\r\n") + as_line(CHEAPER).rstrip())
    assert (code, len(answers)) == (0, 3)
    assert [found["prices"] for found in answers] == [found["prices"] for found in plain[1]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\x00\x01\x02\xff\xfe", "not UTF-8: byte 3"),
        (b'{"users": {"\xe9": {"demand": 1}}}', "not UTF-8: byte 12"),
        (b"\x00", "not JSON"),
        (b"{", "not JSON"),
        (b'{"price_cap": NaN}', "price_cap: expected a finite number, got NaN"),
        (b'{"price_cap": 1, "price_cap": 2}', "price_cap: appears twice"),
        (b"[" * 500_000, "nested too deeply"),
        (b" " * 2**20 + b"{}", "expected a line of at most 1048576 bytes; give the change in parts"),
        (b'{"price_cap": 1}' + b" " * 5 * 2**20, "expected a line of at most 1048576 bytes"),
    ],
    ids=lambda part: str(part)[:20],
)
def test_garbage_is_refused_with_its_line_and_the_next_line_is_taken(line: bytes, message: str) -> None:
    code, (first, refused, last), error = fed(line + b"\n" + as_line({"price_cap": 2.0}))
    assert (code, error) == (2, "")
    assert refused["line"] == 1
    assert message in refused["error"][0]
    assert (last["prices"]["lead"], first["prices"]["lead"]) == (2.0, 3.0)


def test_a_long_line_within_the_limit_is_taken() -> None:
    code, answers, _ = fed(b" " * (2**20 - 20) + as_line({"price_cap": 2.0}))
    assert (code, answers[1]["prices"]) == (0, {"lead": 2.0})


def test_ctrl_c_ends_it_quietly() -> None:
    with watching() as process:
        answer(process)
        ask(process, as_line(CHEAPER))
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert error.decode().split() == ["interrupted"]


def test_a_reader_who_leaves_ends_it_without_a_word() -> None:
    with watching() as process:
        answer(process)
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.close()
        process.stdin.write(as_line(CHEAPER) * 3)
        process.stdin.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        process.wait(timeout=60)


@pytest.mark.parametrize(
    ("market", "fragment"),
    [("codin-13", "coding-13"), ("no/such.json", "no/such.json")],
)
def test_a_market_it_cannot_take_gives_one_line_and_2(
    market: str, fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["watch", market]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert fragment in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_change_that_cannot_be_priced_is_told_and_2() -> None:
    code, answers, _ = fed(as_line({"providers": {"rival": {"capacity": 1e300}}}) + as_line(CHEAPER))
    assert code == 2
    assert "one-rival: beyond double precision: demands and capacities go from" in answers[1]["error"][0]
    assert answers[1]["line"] == 1
    assert answers[2]["status"] == "optimal"


def test_help_has_an_example_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["watch", "--help"]) == 0
    (example,) = [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("echo ")]
    change, _, command = example.removeprefix("echo '").partition("' | prillm-or watch ")
    code, answers, _ = fed(change.encode(), command)
    assert (code, len(answers)) == (0, 2)


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line and line.strip()), max_size=5))
def test_random_garbage_never_changes_the_answer(lines: list[bytes]) -> None:
    code, (first, *refused, last), _ = fed(b"\n".join([*lines, b'{"price_cap": 10.0}']))
    assert code == (2 if lines else 0)
    assert [answer["line"] for answer in refused] == list(range(1, len(lines) + 1))
    assert (last["prices"], last["profit"]) == (first["prices"], first["profit"])
