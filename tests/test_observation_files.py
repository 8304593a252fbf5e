"""Folders of observations: what is read of CSV and Parquet, what is written, and that both agree."""

from __future__ import annotations

import csv
import io
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from helpers.commands import imported_by, in_process
from helpers.equality import assert_same
from helpers.observation_folders import DELAYS, FLOWS, folder_of, refusal
from prillm_or.calibration.observation_files import Form, read_observations, write_observations
from prillm_or.calibration.observations import Leader, Observations
from prillm_or.cli import run
from prillm_or.errors import PrillmError, UnavailableError
from prillm_or.files.cells import csv_text
from prillm_or.files.tables import Kind
from prillm_or.market.market import Units
from prillm_or.output.saving import new_folder

DATED = "day,user,provider,delay\n" + "".join(
    f"{day},{row}\n" for day in ("2026-07-01", "2026-07-02") for row in DELAYS.splitlines()[1:]
)


def test_tables_become_arrays(seen: Observations) -> None:
    nan = np.nan
    assert (seen.name, seen.days) == ("seen", ("2026-07-01", "2026-07-02"))
    assert (seen.T, seen.n, seen.m) == (2, 2, 3)
    assert (seen.user_ids, seen.provider_ids) == (("u", "v"), ("a", "b", "c"))
    assert seen.flow.tolist() == [[[3, 1, 0], [0, 0, 0]], [[0, 2, 0], [0.5, 0, 0]]]
    np.testing.assert_array_equal(seen.price, [[1, 2, 3], [1.5, 2, nan]])
    np.testing.assert_array_equal(seen.capacity, [[10, 20, 30], [10, 25, nan]])
    np.testing.assert_array_equal(seen.delay, np.broadcast_to([[1, 2, 3], [4, 5, nan]], (2, 2, 3)))
    assert seen.demand.tolist() == [[4, 0], [2, 0.5]]
    assert seen.load.tolist() == [[3, 1, 0], [0.5, 2, 0]]
    assert seen.offered.tolist() == [[True, True, True], [True, True, False]]
    assert seen.cells.sum() == 3 + 4
    assert seen.units == Units(currency="EUR")
    assert seen.leader == Leader(("a",), (9.0,))


def test_a_folder_json_is_not_needed(folder: Path) -> None:
    (folder / "folder.json").unlink()
    seen = read_observations(folder)
    assert (seen.units, seen.leader) == (Units(), None)


def test_zero_rows_and_row_order_and_marks_of_spreadsheets_change_nothing(tmp_path: Path, seen: Observations) -> None:
    head, *rows = (FLOWS + "2026-07-02,u,c,0\n").splitlines()
    text = "\ufeff" + "\r\n".join([head, rows[0], *reversed(rows[1:]), "", ""])
    assert_same(read_observations(folder_of(tmp_path / "other", flows=text)), seen, but=["name"])


def test_delays_may_be_dated(tmp_path: Path, seen: Observations) -> None:
    assert_same(read_observations(folder_of(tmp_path / "dated", delays=DATED)), seen, but=["name"])
    (line,) = refusal(folder_of(tmp_path / "gap", delays=DATED.replace("2026-07-02,u,b,2\n", "")))
    assert line.startswith('delays.csv: no delay of 2026-07-02, "u", "b"; ')
    (line,) = refusal(folder_of(tmp_path / "stranger", delays=DATED + "2026-08-01,u,b,2\n"))
    assert 'day: unknown day "2026-08-01"; flows.csv has no row of it' in line


def as_parquet(folder: Path, stem: str, columns: dict[str, list[Any]]) -> None:
    (folder / f"{stem}.csv").unlink()
    parquet.write_table(pyarrow.table(columns), folder / f"{stem}.parquet")


@pytest.mark.parametrize("kind", [str, date.fromisoformat, datetime.fromisoformat])
def test_parquet_days_may_be_texts_dates_or_times_at_midnight(
    folder: Path, seen: Observations, kind: Callable[[str], object]
) -> None:
    day, user, provider, flow = zip(*(row.split(",") for row in FLOWS.splitlines()[1:]), strict=True)
    columns = {"day": [kind(one) for one in day], "user": list(user), "provider": list(provider)}
    as_parquet(folder, "flows", columns | {"flow": [float(one) for one in flow]})
    assert_same(read_observations(folder), seen, but=["name"])


def test_faulty_parquet_cells_are_told_by_row(folder: Path) -> None:
    columns: dict[str, list[Any]] = {
        "day": [datetime(2026, 7, 1), datetime(2026, 7, 1, 12), None],
        "user": ["u", "v", "u"],
        "provider": ["a", "a", "b"],
        "flow": [-1.0, None, 1.0],
    }
    as_parquet(folder, "flows", columns)
    as_parquet(folder, "delays", {"user": [1, 2], "provider": ["a", "b"], "delay": [True, False]})
    lines = refusal(folder)
    for message in (
        f"flows.parquet: row 2, day: expected {Kind.TIME.value}, got 2026-07-01 12:00:00",
        f"flows.parquet: row 3, day: expected {Kind.TIME.value}, got an empty cell",
        "flows.parquet: row 1, flow: expected a finite number >= 0, got -1.0",
        "flows.parquet: row 2, flow: expected a finite number >= 0, got an empty cell",
        "delays.parquet: row 1, user: expected a text, got 1",
        "delays.parquet: row 2, delay: expected a finite number >= 0, got false",
    ):
        assert message in lines


def test_without_pyarrow_parquet_is_refused_with_the_way_out(
    seen: Observations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_observations(seen, tmp_path / "out", "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnavailableError, match=r"reading Parquet needs pyarrow.*prillm-or\[calibrate\].*use CSV"):
        read_observations(tmp_path / "out")
    with pytest.raises(UnavailableError, match="writing Parquet needs pyarrow"):
        write_observations(seen, tmp_path / "more", "parquet")
    assert not (tmp_path / "more").exists()


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


positive = st.floats(min_value=0, exclude_min=True, max_value=1e300)


non_negative = st.floats(min_value=0, max_value=1e300)


@st.composite
def observations(draw: st.DrawFn) -> Observations:
    T, n, m = (draw(st.integers(1, 3)) for _ in range(3))
    days = sorted(draw(st.lists(st.dates(date(1000, 1, 1)), min_size=T, max_size=T, unique=True)))
    users, providers = (tuple(draw(st.lists(names, min_size=k, max_size=k, unique=True))) for k in (n, m))

    def numbers(kind: st.SearchStrategy[float], *shape: int) -> Any:
        size = int(np.prod(shape))
        return np.array(draw(st.lists(kind, min_size=size, max_size=size))).reshape(shape)

    offered = numbers(st.booleans(), T, m).astype(bool)
    offered[:, 0] = offered[0] = True
    flow = np.where(offered[:, None, :], numbers(non_negative, T, n, m), 0.0)
    flow[0, :, 0] = flow[:, 0, 0] = draw(positive)
    delay = numbers(non_negative, T, n, m)
    if draw(st.booleans()):
        delay[:] = delay[0]
    return Observations(
        name="drawn",
        days=tuple(day.isoformat() for day in days),
        user_ids=users,
        provider_ids=providers,
        flow=flow,
        price=np.where(offered, numbers(non_negative, T, m), np.nan),
        capacity=np.where(offered, numbers(positive, T, m), np.nan),
        delay=np.where(draw(st.booleans()) | offered[:, None, :], delay, np.nan),
        units=Units(currency=draw(names)),
        leader=Leader((providers[-1],), (draw(non_negative),)) if m > 1 and draw(st.booleans()) else None,
    )


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "'=", "''-", "'"])
def test_no_spreadsheet_computes_an_id(sign: str, seen: Observations, tmp_path: Path) -> None:
    users = tuple(f"{sign}1+{name}" for name in seen.user_ids)
    write_observations(replace(seen, user_ids=users), tmp_path / "out")
    assert read_observations(tmp_path / "out").user_ids == users
    with (tmp_path / "out" / "flows.csv").open(newline="") as file:
        assert not any(row["user"].startswith(tuple("=+-@")) for row in csv.DictReader(file))


def test_a_carriage_return_in_an_id_survives() -> None:
    text = csv_text({"user": ["\r", "a\rb", "plain"], "flow": [1.0, 2.0, 3.0]})
    assert text == 'user,flow\n"\'\r",1.0\n"a\rb",2.0\nplain,3.0\n'


@pytest.mark.parametrize("form", ["csv", "parquet"])
@given(drawn=observations())
def test_any_observations_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, drawn: Observations, form: Form
) -> None:
    folder = tmp_path_factory.mktemp("round") / "out"
    write_observations(drawn, folder, form)
    assert_same(read_observations(folder), drawn, but=["name"])


def test_writing_is_whole_or_not_at_all(tmp_path: Path, seen: Observations, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    write_observations(seen, out, readme="# What this is\n")
    assert sorted(path.name for path in out.iterdir()) == [
        *("README.md", "delays.csv", "flows.csv", "folder.json", "providers.csv"),
    ]
    with pytest.raises(PrillmError, match="there is something in this folder"):
        write_observations(seen, out)
    with pytest.raises(PrillmError, match="a file, not a folder"):
        write_observations(seen, out / "flows.csv")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(PrillmError, match="cannot be written: No space left on device"):
        write_observations(seen, tmp_path / "more")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "seen"]


def test_a_new_folder_is_gone_when_filling_it_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "out") as place:
        (place / "file").write_text(str(1 / 0))
    assert list(tmp_path.iterdir()) == []


def test_the_same_observations_give_the_same_files(tmp_path: Path, seen: Observations) -> None:
    for name in ("one", "two"):
        write_observations(seen, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_large_table_is_read_quickly(tmp_path: Path) -> None:
    flows, providers, delays = io.StringIO(), io.StringIO(), io.StringIO()
    flows.write("day,user,provider,flow\n")
    providers.write("day,provider,price,capacity\n")
    delays.write("user,provider,delay\n")
    for j in range(50):
        providers.writelines(f"2026-07-{t:02},p{j},1.5,2\n" for t in range(1, 21))
        delays.writelines(f"u{i},p{j},0.25\n" for i in range(100))
        flows.writelines(f"2026-07-{t:02},u{i},p{j},0.125\n" for i in range(100) for t in range(1, 21))
    folder = folder_of(
        tmp_path / "big", flows=flows.getvalue(), providers=providers.getvalue(), delays=delays.getvalue()
    )
    (folder / "folder.json").unlink()
    start = time.process_time()
    assert read_observations(folder).flow.sum() == 12500
    assert time.process_time() - start < 3.0


def test_reading_csv_imports_nothing_heavy(folder: Path) -> None:
    code = f"from prillm_or.calibration.observation_files import read_observations; read_observations({str(folder)!r})"
    assert imported_by(code, "pandas", "pyarrow", "scipy", "pyomo", "torch") == []


@pytest.mark.wheel
def test_validate_checks_folders_in_a_real_process(tmp_path: Path, folder: Path) -> None:
    faulty = folder_of(tmp_path / "faulty", flows=FLOWS.replace("u,a,3", "u,a,-3"))
    done = in_process("validate", str(folder), str(faulty), "tiny/tie")
    assert done.returncode == 2
    assert f"{folder}: valid, 2 days, 2 users, 3 providers, leader a" in " ".join(done.stdout.split())
    assert "tie.json: valid, " in " ".join(done.stdout.split())
    assert done.stderr == f"{faulty}: flows.csv: row 2, flow: expected a finite number >= 0, got -3\n"


def test_validate_says_that_there_is_no_leader(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "folder.json").unlink()
    assert run(["validate", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("3 providers, no leader\n")


# Prices by component


LISTS = """day,provider,price,capacity,price_output,price_input
2026-07-01,a,1,10,4,1
2026-07-01,b,2,20,2,2
2026-07-01,c,3,30,3,3
2026-07-02,a,1.5,10,4,1.5
2026-07-02,b,2,25,2,2
"""
MIXES = "user,component,share\nu,input,0.75\nu,output,0.25\nv,output,0.5\n"


def test_price_lists_and_mixes_become_arrays(tmp_path: Path) -> None:
    seen = read_observations(folder_of(tmp_path / "seen", providers=LISTS, mixes=MIXES))
    assert seen.components == ("output", "input")  # as in the file; the one price beside them is not read
    assert seen.price[0].tolist() == [[4, 1], [2, 2], [3, 3]]
    assert np.isnan(seen.price[1, 2]).all()
    assert seen.offered.tolist() == [[True, True, True], [True, True, False]]
    assert seen.mix.tolist() == [[[0.25, 0.75], [0.5, 0]]] * 2
    np.testing.assert_array_equal(seen.paid[0], [[1.75, 2, 3], [2, 1, 1.5]])
    assert seen.leader == Leader(("a",), (9.0, 9.0))


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize(
    "leader",
    [
        Leader(("a",), (9.0, 8.0)),
        Leader(("a", "b"), (9.0, 8.0, 9.0, 7.0)),
        Leader(("a", "b"), (9.0, 8.0), ("input",)),
        Leader(("b",), (3.0,), "factor"),
    ],
    ids=["lists", "two lists", "one component", "factor"],
)
def test_price_lists_come_back(tmp_path: Path, leader: Leader, form: Form) -> None:
    seen = read_observations(folder_of(tmp_path / "seen", providers=LISTS, mixes=MIXES))
    mix = seen.mix * [[[1.0]], [[3.0]]]
    for name, shares in (("one", seen.mix), ("dated", mix)):
        written = replace(seen, name=name, leader=leader, mix=shares)
        write_observations(written, tmp_path / name, form)
        assert_same(read_observations(tmp_path / name), written)
