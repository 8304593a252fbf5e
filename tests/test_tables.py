"""Tables, blocks and lines at any width: nothing is broken, what there is no room for is named, nothing steers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.calibration import observed
from helpers.draws import wanted_of_their_own
from prillm_or.calibration.observation_files import write_observations
from prillm_or.cli import run
from prillm_or.output.look import letters
from prillm_or.output.tables import Block, Part, Table, as_html, as_text
from prillm_or.output.words import cut, inert, wrapped

WIDTHS = (40, 60, 80, 100, 120)
COMMANDS = (
    "solve premium-4",
    "solve premium-4 tiny/kink",
    "solve premium-4 --abstraction anchored",
    "compare premium-4 --method path --method bisect --repeat 1",
    "compare tiny/two-prices --method ascent --repeat 1",
    "explain premium-4",
    "explain premium-4-two-prices",
    "curve premium-4",
    "curve tiny/two-prices --provider plain --best-others",
    "curve tiny/two-prices --provider plain --provider better",
    "equilibrium premium-4",
    "compete tiny/kink --starts 1",
    "compete tiny/kink --starts 1 --price-cap 1",
    "instances",
    "models",
    "solvers",
    "validate premium-4 tiny/kink",
)
HIDDEN = "hidden for want of width:"


def shown(command: str, monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """What a command shows."""
    caught: list[Part] = []
    monkeypatch.setattr("prillm_or.cli.common.show", caught.extend)
    run(command.split())
    return caught


def lines_at(width: int, parts: Iterable[Part], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    return as_text(parts).splitlines()


def check(lines: list[str], whole: list[str], width: int) -> None:
    """No line is too wide but one of a single word, and each word is a whole one of those there are without any want
    of width (a long path is such a word)."""
    assert lines
    assert all(letters(line) <= width or len(line.split()) == 1 for line in lines)
    words = {word for line in whole for word in line.split()}
    named = " ".join(lines).count(HIDDEN)
    strangers = {word for line in lines for word in line.split() if word not in words and not set(word) <= {"─"}}
    # What a note about hidden columns says is not there without it.
    if named:
        strangers -= {word for word in strangers if not any(letter.isdigit() for letter in word)}
        strangers -= {word for word in strangers if word.rstrip(",;") in words}
    assert not strangers
    assert named == " ".join(lines).count("all is in `to_dict()`")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_breaks_a_figure_or_an_id(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = shown(command, monkeypatch)
    whole = lines_at(1000, parts, monkeypatch)
    assert HIDDEN not in " ".join(whole)
    for width in WIDTHS:
        check(lines_at(width, parts, monkeypatch), whole, width)


@pytest.mark.slow
def test_no_slow_command_breaks_a_figure_or_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    true = replace(wanted_of_their_own(4, 5, 1), price_factor=np.ones(4), congestion_factor=np.ones(4))
    write_observations(observed(true, noise=0.1), tmp_path / "known")
    quick = "--shrinkage 0 --baseline independence --draws 4 --holdout cells:0.2"
    for command in (
        f"calibrate known --out fitted {quick}",
        "robust fitted/known-2026-07-04.json --draws fitted/draws.json",
        "train --out mine.safetensors --scenarios 100 --epochs 1",
    ):
        parts = shown(command, monkeypatch)
        whole = lines_at(1000, parts, monkeypatch)
        for width in WIDTHS:
            check(lines_at(width, parts, monkeypatch), whole, width)


TABLE = Table(
    "a title of some words",
    ("id", "what", "first", "second"),
    [("one-long-id", "a text of several words", "1.234567", "-9.8"), ("b", "short", "-", "12")],
    numbers=("first", "second"),
    texts=("what",),
    ranks=("second",),
)


def text_at(width: int, parts: Iterable[Part], monkeypatch: pytest.MonkeyPatch) -> str:
    return "\n".join(lines_at(width, parts, monkeypatch))


def test_a_table_with_room_has_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_at(80, [TABLE], monkeypatch) == "\n".join(
        [
            "a title of some words",
            "id           what                        first  second",
            "──────────────────────────────────────────────────────",
            "one-long-id  a text of several words  1.234567    -9.8",
            "b            short                           -      12",
        ]
    )


def test_texts_take_several_lines_before_a_column_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = text_at(50, [TABLE], monkeypatch).splitlines()
    assert lines[3:5] == [
        "one-long-id  a text of several    1.234567    -9.8",
        "             words",
    ]


def test_columns_of_low_rank_go_first_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_at(38, [TABLE], monkeypatch).splitlines() == [
        "a title of some words",
        "id           what               second",
        "──────────────────────────────────────",
        "one-long-id  a text of several    -9.8",
        "             words",
        "b            short                  12",
        "hidden for want of width: first; all",
        "is in `to_dict()`",
    ]


def test_where_only_the_ids_fit_each_row_is_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = Table("", ("method", "price"), [("x" * 30, "1.25"), ("y" * 30, "2.5")], numbers=("price",))
    assert text_at(34, [wide], monkeypatch).splitlines() == [
        "method",
        "  " + "x" * 30,
        "price   1.25",
        "",
        "method",
        "  " + "y" * 30,
        "price   2.5",
    ]


def test_an_id_wider_than_the_screen_is_cut_and_never_split(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "head" + "-" * 90 + "tail"
    parts: list[Part] = [f"{long} is", Block("", [("id", long)]), Table("", ("id", "x"), [(long, "1")])]
    for width in WIDTHS:
        lines = text_at(width, parts, monkeypatch).splitlines()
        ids = [line.strip() for line in lines if "head" in line]
        assert len(ids) == 3
        assert all(letters(line) <= width for line in lines)
        assert all(("…" in line) is (width < 100) and "tail" in line for line in ids)


def test_a_block_sets_values_below_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    block = Block("", [("price", "1.5"), ("a longer label", "words that do not fit on one line"), ("end", "")])
    assert text_at(32, [block], monkeypatch).splitlines() == [
        "price           1.5",
        "a longer label  words that do",
        "                not fit on one",
        "                line",
        "end",
    ]


def test_lines_wrap_between_words_and_bullets_hang() -> None:
    assert list(wrapped("* one two three 4 % of it", 12)) == ["* one two", "  three 4 %", "  of it"]
    assert list(wrapped("  indented words", 10)) == ["  indented", "  words"]
    assert list(wrapped("", 10)) == [""]


def test_a_path_is_never_cut() -> None:
    path = "/a/folder" + "/" * 40 + "market.json"
    assert list(wrapped(f"written: {path}", 30)) == ["written:", path]


def test_a_pipe_is_as_wide_as_people_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert max(map(letters, as_text(["word " * 100]).splitlines())) in range(75, 81)


def test_wide_letters_count_twice() -> None:
    assert cut("日本語の名前です", 9) == "日本…です"
    assert letters(cut("日本語の名前です", 9)) <= 9


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("\x1b[2J\x1b]0;owned\x07red", "\\x1b[2J\\x1b]0;owned\\x07red"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("turned \u202e back", "turned \\u202e back"),
        ("line\u2028break \x9b31m", "line\\u2028break \\x9b31m"),
        ("half a letter \ud83d", "half a letter \\ud83d"),
        ("käse 日本 🙂 plain \\x1b", "käse 日本 🙂 plain \\x1b"),
    ],
)
def test_nothing_steers_the_terminal(text: str, safe: str) -> None:
    assert inert(text) == safe
    table = Table(text, ("id", text), [(text, "1")])
    for printed in (as_text([text, table, Block(text, [(text, text)])]), as_html([text, table])):
        assert not set(printed) & set("\x1b\x07\x9b\r\t\u202e\u2028\ud83d")


def odd_market(folder: Path) -> Path:
    """A market whose ids and name hold escape sequences and line ends."""
    lead = "\x1b]8;;http://127.0.0.1:9\x07lead"
    market = {
        "format": "prillm-or/market@1",
        "name": "\x1b[2J\x1b]0;owned\x07\x1b[31mred",
        "leader": {"providers": [lead], "price_cap": 10},
        "users": [{"id": "a\nb", "demand": 7}],
        "providers": [{"id": lead, "price": 1, "capacity": 2}, {"id": "near\r\n", "price": 1, "capacity": 2}],
        "delays": [[0, 0]],
    }
    path = folder / "odd.json"
    path.write_text(json.dumps(market))
    return path


@pytest.mark.parametrize(
    "command", ["solve", "explain", "equilibrium", "curve", "validate", "compete", "compare --method path --repeat 1"]
)
def test_ids_with_escapes_are_inert_in_every_command(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*command.split(), str(odd_market(tmp_path))])
    printed = capsys.readouterr()
    assert "lead" in printed.out or "red" in printed.out
    assert not set(printed.out + printed.err) & set("\x1b\x07\r")


def test_a_refusal_with_escapes_is_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = odd_market(tmp_path)
    path.write_text(path.read_text().replace('"capacity": 2', '"capacity": -2'))
    assert run(["validate", str(path)]) == 2
    assert run(["equilibrium", str(odd_market(tmp_path)), "--price", "\x1b[31m=1"]) == 2
    assert not set("".join(capsys.readouterr())) & set("\x1b\x07\r")
