"""Files as people and attackers have them: zipped, marked, in other encodings, without end or larger than memory."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from helpers.equality import assert_same
from helpers.market_files import refusal as market_refusal
from helpers.market_files import valid, written
from helpers.observation_folders import DELAYS, FLOWS, folder_of, refusal
from prillm_or.calibration.observation_files import read_observations
from prillm_or.calibration.observations import Observations
from prillm_or.cli import run
from prillm_or.files import cells, reading, tables
from prillm_or.files.markets import read_market
from prillm_or.market.faults import Faults

MARK = b"\xef\xbb\xbf"


@pytest.fixture
def at_most(monkeypatch: pytest.MonkeyPatch) -> int:
    """A limit small enough to be passed in a test."""
    most = 2**20
    monkeypatch.setattr(reading, "MOST_BYTES", most)
    monkeypatch.setattr(cells, "MOST_BYTES", most)
    return most


def test_a_byte_order_mark_is_read_over(tmp_path: Path, folder: Path) -> None:
    path = written(tmp_path, valid())
    path.write_bytes(MARK + path.read_bytes())
    assert read_market(path).market.name == "fault"
    (folder / "folder.json").write_bytes(MARK + (folder / "folder.json").read_bytes())
    (folder / "flows.csv").write_bytes(MARK + (folder / "flows.csv").read_bytes())
    assert read_observations(folder).units.currency == "EUR"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_characters_are_named(encoding: str, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "market.json"
    path.write_bytes(json.dumps(valid()).encode(encoding))
    assert market_refusal(path) == ["is UTF-16 or UTF-32, not UTF-8; save it as UTF-8"]
    (folder / "flows.csv").write_bytes(FLOWS.encode(encoding))
    assert "flows.csv: is UTF-16 or UTF-32, not UTF-8; save it as UTF-8" in refusal(folder)


def test_what_never_ends_is_refused_before_it_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "market.json"
    os.mkfifo(pipe)
    for name in (str(pipe), "/dev/zero"):
        assert run(["validate", name]) == 2
        assert capsys.readouterr().err == (
            f"{name}: a pipe or a device, not a file; save what it holds in a file first\n"
        )


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["solve", "tiny/tie", "--solver"], "p.toml"),
        (["robust", "tiny/tie", "--draws"], "draws.json"),
        (["compete", "tiny/tie", "--entry"], "entry.json"),
        (["solve", "coding-13", "--abstraction", "learned", "--weights"], "w.safetensors"),
    ],
)
def test_no_file_of_any_kind_may_be_a_pipe(
    arguments: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / name)
    assert run([*arguments, str(tmp_path / name)]) == 2
    assert "a pipe or a device, not a file" in capsys.readouterr().err


def test_a_file_above_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "market.json"
    path.touch()
    os.truncate(path, reading.MOST_BYTES + 1)  # no block of the disk is taken
    assert market_refusal(path) == ["holds more than 1 GiB, the most that is read of a file"]


def test_what_unfolds_beyond_the_limit_is_refused(at_most: int, tmp_path: Path) -> None:
    path = tmp_path / "market.json.gz"
    path.write_bytes(gzip.compress(b" " * at_most + b"{}"))
    (line,) = market_refusal(path)
    assert "the most that is read" in line


@pytest.mark.parametrize(("length", "rows"), [(2**17, 10), (1, 200_000)], ids=["long texts", "many rows"])
def test_a_small_parquet_file_that_unfolds_is_refused(length: int, rows: int, at_most: int, folder: Path) -> None:
    columns: dict[str, Any] = {"user": ["u" * length] * rows, "flow": [1.0] * rows}
    (folder / "flows.csv").unlink()
    target = folder / "flows.parquet"
    parquet.write_table(pyarrow.table(columns), target, compression="zstd", use_dictionary=length == 1)
    assert target.stat().st_size < at_most
    assert any(line.startswith("flows.parquet: holds more than") for line in refusal(folder))


def test_a_text_that_recurs_in_a_parquet_file_is_read_once(tmp_path: Path) -> None:
    rows, path = 1000, tmp_path / "t.parquet"
    words = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, "int32"), ["u" * 2**16])
    parquet.write_table(pyarrow.table({"user": words}), path)
    faults = Faults()
    table = tables.read_table(path, [tables.Column("user", tables.Kind.TEXT)], [], faults)
    assert table is not None
    assert len(set(map(id, table.texts["user"]))) == 1


def test_tables_may_be_zipped_or_folders_of_parquet_files(folder: Path, seen: Observations, tmp_path: Path) -> None:
    other = tmp_path / "other" / folder.name
    shutil.copytree(folder, other)
    flows = (other / "flows.csv").read_bytes()
    (other / "flows.csv").unlink()
    (other / "flows.csv.gz").write_bytes(gzip.compress(flows))
    header, *rows = [line.split(",") for line in DELAYS.splitlines()]
    (other / "delays.csv").unlink()
    (other / "delays.parquet").mkdir()
    for number, part in enumerate((rows[:2], rows[2:])):
        users, providers, delays = zip(*part, strict=True)
        table = pyarrow.table(dict(zip(header, (users, providers, [float(one) for one in delays]), strict=True)))
        parquet.write_table(table, other / "delays.parquet" / f"part-{number}.parquet")
    assert_same(read_observations(other), seen)
    for file in (other / "delays.parquet").iterdir():
        file.unlink()
    assert refusal(other) == ["delays.parquet: a folder without a file that ends in .parquet"]


def test_a_zipped_table_without_the_ending_is_named(folder: Path) -> None:
    (folder / "flows.csv").write_bytes(gzip.compress((folder / "flows.csv").read_bytes()))
    assert "flows.csv: is gzipped; give it a name that ends in .csv.gz" in refusal(folder)


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_separator_is_named_once_with_the_way_out(mark: str, word: str, tmp_path: Path) -> None:
    flows = FLOWS.replace(",", mark).replace("0.5", "0,5")
    (line,) = refusal(folder_of(tmp_path / "seen", flows=flows))
    assert line.startswith(f"flows.csv: its cells are separated by {word}; expected commas, and points in numbers")
    pandas = pytest.importorskip("pandas")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "seen")
        eval(line.partition("try ")[2], {"pandas": pandas})
    assert read_observations(tmp_path / "seen").flow.sum() == 6.5


def test_decimal_commas_are_named_once(tmp_path: Path) -> None:
    quoted = FLOWS.replace("u,b,1", 'u,b,"1,0"').replace("v,a,0.5", 'v,a,"0,5"')
    assert refusal(folder_of(tmp_path / "a", flows=quoted)) == [
        "flows.csv: flow: 2 numbers with a comma, the first in row 3: 1,0; write a point"
    ]
    bare = "".join(line + ("" if line.startswith("day") else ",5") + "\n" for line in FLOWS.splitlines())
    assert refusal(folder_of(tmp_path / "b", flows=bare)) == [
        "flows.csv: every row has more cells than the header's 4; does a decimal comma make two of one?"
    ]
