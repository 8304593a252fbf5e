"""Observations: what is refused and how, what is read and written, what is held out, the market of a day."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from prillm_or.calibration.observation_files import Form, read_observations, write_observations
from prillm_or.calibration.observations import Leader, Observations, market_of, select, without_absent
from prillm_or.cli import run
from prillm_or.errors import MarketError, ObservationsError, PrillmError, UnavailableError
from prillm_or.market.market import Units
from prillm_or.output.saving import new_folder
from prillm_or.users.equilibrium import equilibrium

PROGRAM = (sys.executable, "-c", "from prillm_or.cli import main; main()")

# Two users, three providers, two days; v is there on the second day only, c is offered on the first only.
FLOWS = """day,user,provider,flow
2026-07-01,u,a,3
2026-07-01,u,b,1
2026-07-02,u,b,2
2026-07-02,v,a,0.5
"""
PROVIDERS = """day,provider,price,capacity
2026-07-01,a,1,10
2026-07-01,b,2,20
2026-07-01,c,3,30
2026-07-02,a,1.5,10
2026-07-02,b,2,25
"""
DELAYS = """user,provider,delay
u,a,1
u,b,2
u,c,3
v,a,4
v,b,5
"""
BESIDE: dict[str, Any] = {"leader": {"providers": ["a"], "price_cap": 9}, "units": {"currency": "EUR"}}
TABLES = {"flows.csv": FLOWS, "providers.csv": PROVIDERS, "delays.csv": DELAYS}
DATED = "day,user,provider,delay\n" + "".join(
    f"{day},{row}\n" for day in ("2026-07-01", "2026-07-02") for row in DELAYS.splitlines()[1:]
)
WIDE = "".join(f"{row},0\n" for row in PROVIDERS.splitlines()).replace("capacity,0", "capacity,x")

# One fault each: name, file, what is replaced, by what, and the line of the refusal.
FAULTS = [
    ("flow-negative", "flows.csv", "u,a,3", "u,a,-3", "row 2, flow: expected a finite number >= 0, got -3"),
    ("flow-nan", "flows.csv", "u,a,3", "u,a,nan", "row 2, flow: expected a finite number >= 0, got nan"),
    ("flow-infinite", "flows.csv", "u,a,3", "u,a,1e999", "row 2, flow: expected a finite number >= 0, got 1e999"),
    ("flow-text", "flows.csv", "u,a,3", "u,a,much", 'row 2, flow: expected a finite number >= 0, got "much"'),
    ("flow-grouped", "flows.csv", "u,a,3", "u,a,1_0", 'row 2, flow: expected a finite number >= 0, got "1_0"'),
    ("flow-empty", "flows.csv", "u,a,3", "u,a,", "row 2, flow: expected a finite number >= 0, got an empty cell"),
    (
        "day-odd",
        "flows.csv",
        "02,u,b",
        "32,u,b",
        'row 4, day: expected an ISO date such as 2026-07-21, got "2026-07-32"',
    ),
    (
        "day-compact",
        "flows.csv",
        "2026-07-02,u",
        "20260702,u",
        "row 4, day: expected an ISO date such as 2026-07-21, got",
    ),
    ("user-empty", "flows.csv", "u,b,2", ",b,2", "row 4, user: expected a text, got an empty cell"),
    ("flow-repeated", "flows.csv", "u,b,1", "u,a,1", 'row 3, day, user, provider: "2026-07-01", "u", "a" is in row 2'),
    (
        "provider-unknown",
        "flows.csv",
        "u,b,1",
        "u,x,1",
        'row 3, provider: unknown provider "x"; providers.csv has no row',
    ),
    ("provider-absent", "flows.csv", "u,b,2", "u,c,2", 'row 4, flow: 2 to "c", which has no price on 2026-07-02'),
    (
        "day-unpriced",
        "flows.csv",
        "v,a,0.5\n",
        "v,a,0.5\n2026-07-03,u,a,1\n",
        "2026-07-03 has flow rows, and providers.csv",
    ),
    ("user-idle", "flows.csv", "v,a,0.5", "v,a,0", 'user "v" has no flow; leave its rows out'),
    ("cells", "flows.csv", "u,b,2\n", "u,b,2,7\n", "row 4: expected 4 cells, got 5"),
    ("column-missing", "delays.csv", DELAYS, "user,provider\nu,a\n", "column delay is missing; its columns are"),
    ("column-unknown", "providers.csv", PROVIDERS, WIDE, 'unknown column "x"; expected day, provider, price, capacity'),
    ("column-repeated", "flows.csv", "user,provider", "user,user", 'cannot be read: column "user" appears twice'),
    ("price-negative", "providers.csv", "b,2,20", "b,-2,20", "row 3, price: expected a finite number >= 0, got -2"),
    ("capacity-zero", "providers.csv", "b,2,20", "b,2,0", "row 3, capacity: expected a finite number > 0, got 0"),
    (
        "price-repeated",
        "providers.csv",
        "b,2,25\n",
        "b,2,25\n2026-07-02,b,3,9\n",
        'row 7, day, provider: "2026-07-02", "b"',
    ),
    (
        "day-idle",
        "providers.csv",
        "b,2,25",
        "b,2,25\n2026-07-09,b,2,25",
        'day "2026-07-09" has no flow; leave its rows',
    ),
    ("delay-negative", "delays.csv", "u,b,2", "u,b,-2", "row 3, delay: expected a finite number >= 0, got -2"),
    ("delay-user", "delays.csv", "v,b,5", "v,b,5\nw,b,5", 'row 7, user: unknown user "w"; flows.csv has no row of it'),
    (
        "delay-provider",
        "delays.csv",
        "v,b,5",
        "v,b,5\nv,x,5",
        'row 7, provider: unknown provider "x"; providers.csv has',
    ),
    ("delay-repeated", "delays.csv", "v,b,5", "v,b,5\nv,b,5", 'row 7, user, provider: "v", "b" is in row 6 already'),
    ("delay-missing", "delays.csv", "v,b,5\n", "", 'no delay of "v", "b"; every user needs one to every provider'),
    ("empty", "delays.csv", DELAYS, "user,provider,delay\n", "no rows; expected at least one"),
    ("nothing", "delays.csv", DELAYS, "", "cannot be read: the file is empty"),
    ("quotes", "delays.csv", "v,b,5\n", 'v,"b,5\n', "cannot be read: not CSV: line 6: unexpected end of data"),
]


def folder_of(path: Path, **changed: str) -> Path:
    """A valid folder, but for the changed tables."""
    path.mkdir()
    for name, text in (TABLES | {f"{stem}.csv": text for stem, text in changed.items()}).items():
        (path / name).write_text(text)
    (path / "folder.json").write_text(json.dumps(BESIDE))
    return path


def refusal(folder: Path) -> list[str]:
    with pytest.raises(ObservationsError) as caught:
        read_observations(folder)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{folder}: ") for line in lines)
    return [line.removeprefix(f"{folder}: ") for line in lines]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "seen")


@pytest.fixture
def seen(folder: Path) -> Observations:
    return read_observations(folder)


def assert_same(left: Observations, right: Observations) -> None:
    for field in fields(Observations):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        elif field.name != "name":
            assert ours == theirs, field.name


@pytest.mark.parametrize(("name", "file", "old", "new", "message"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_each_fault_is_told_with_file_row_and_value(
    tmp_path: Path, name: str, file: str, old: str, new: str, message: str
) -> None:
    assert old in TABLES[file]
    lines = refusal(folder_of(tmp_path / name, **{file.removesuffix(".csv"): TABLES[file].replace(old, new)}))
    assert len(lines) == 1
    assert lines[0].startswith(f"{file}: ")
    assert message in lines[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leader": {"providers": ["x"], "price_cap": 9}}, 'leader.providers[0]: no provider has the id "x"'),
        (
            {"leader": {"providers": ["a", "b", "c"], "price_cap": 9}},
            "leader.providers: the leader owns every provider",
        ),
        ({"leader": {"providers": ["a"], "price_cap": -1}}, "leader.price_cap: expected a number >= 0, got -1"),
        ({"leader": {"providers": ["a"], "price_cap": {"b": 1}}}, "leader.price_cap.a: missing"),
        ({"units": {"money": "EUR"}}, "units.money: unknown field"),
        ({"unit": {}}, "unit: unknown field"),
        ([], "expected an object, got a list"),
        (None, "not JSON: Expecting value: line 1, column 1"),
    ],
)
def test_faults_of_folder_json_are_told_with_their_field(folder: Path, change: object, message: str) -> None:
    text = "" if change is None else json.dumps(BESIDE | change if isinstance(change, dict) else change)
    (folder / "folder.json").write_text(text)
    lines = refusal(folder)
    assert any(line.startswith(f"folder.json: {message}") for line in lines)


def test_all_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path / "seen",
        flows=FLOWS.replace("u,a,3", "u,a,-3").replace("u,b,1", "u,x,1"),
        providers=PROVIDERS.replace("a,1,10", "a,-1,0"),
        delays=DELAYS.replace("v,b,5", "w,b,nan"),
    )
    (folder / "folder.json").write_text('{"units": 1}')
    assert [line.split(": ")[1].split(":")[0] for line in refusal(folder)] == [
        "row 2, flow",
        "row 2, price",
        "row 2, capacity",
        "row 6, delay",
        "units",
        "row 3, provider",
        "row 6, user",
    ]


def test_one_faulty_row_makes_no_others(tmp_path: Path) -> None:
    (line,) = refusal(folder_of(tmp_path / "seen", providers=PROVIDERS.replace("2026-07-01,b", "1 July,b")))
    assert line.startswith("providers.csv: row 3, day: expected an ISO date")


def test_many_faults_take_a_few_lines(tmp_path: Path) -> None:
    rows = "".join(f"2026-07-01,u{k},a,-1\n" for k in range(1000))
    lines = refusal(folder_of(tmp_path / "seen", flows="day,user,provider,flow\n" + rows))
    assert "flows.csv: ... and 980 more of the kind" in lines
    assert len(lines) < 50


def test_missing_and_double_tables_and_folders_are_told(folder: Path) -> None:
    (folder / "flows.csv").unlink()
    (folder / "delays.parquet").write_bytes(b"")
    assert refusal(folder) == [
        "flows: missing; expected flows.csv or flows.parquet",
        "delays.csv, delays.parquet: more than one file for one table; keep one",
    ]
    assert "not a folder" in refusal(folder / "none")[0]


def test_what_is_no_parquet_file_is_told(folder: Path) -> None:
    (folder / "flows.csv").unlink()
    (folder / "flows.parquet").write_bytes(b"day,user,provider,flow\n")
    assert refusal(folder)[0].startswith("flows.parquet: cannot be read: ")


def test_text_that_is_not_utf8_is_told(folder: Path) -> None:
    (folder / "flows.csv").write_bytes(FLOWS.replace("u", "é").encode("latin-1"))
    assert "flows.csv: cannot be read: not UTF-8: byte 4 cannot be decoded" in refusal(folder)


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
    assert_same(read_observations(folder_of(tmp_path / "other", flows=text)), seen)


def test_delays_may_be_dated(tmp_path: Path, seen: Observations) -> None:
    assert_same(read_observations(folder_of(tmp_path / "dated", delays=DATED)), seen)
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
    assert_same(read_observations(folder), seen)


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
        "flows.parquet: row 2, day: expected an ISO date such as 2026-07-21, got 2026-07-01 12:00:00",
        "flows.parquet: row 3, day: expected an ISO date such as 2026-07-21, got an empty cell",
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


@pytest.mark.parametrize("form", ["csv", "parquet"])
@given(drawn=observations())
def test_any_observations_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, drawn: Observations, form: Form
) -> None:
    folder = tmp_path_factory.mktemp("round") / "out"
    write_observations(drawn, folder, form)
    assert_same(read_observations(folder), drawn)


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": ("2026-07-02", "2026-07-01")}, "days: expected ascending dates"),
        ({"days": ("2026-07-01", "july")}, "days: expected ISO dates such as 2026-07-21, got 'july'"),
        ({"days": ("2026-07-01", "2026-07-01")}, "days: '2026-07-01' appears more than once"),
        ({"days": ()}, "days: expected at least one"),
        ({"user_ids": ("u", "u")}, "user_ids: 'u' appears more than once"),
        ({"user_ids": ("u", "")}, "user_ids[1]: expected a name, got ''"),
        ({"user_ids": ("u", "\ud800")}, "user_ids[1]: expected a name, got '\\ud800'"),
        ({"flow": np.ones((2, 2))}, "flow: expected shape (2, 2, 3), got (2, 2)"),
        ({"flow": np.full((2, 2, 3), -1.0)}, "flow[2026-07-01, u, a]: expected a finite number >= 0, got -1.0"),
        ({"flow": np.full((2, 2, 3), np.nan)}, "flow[2026-07-02, v, c]: expected a finite number >= 0, got nan"),
        ({"flow": np.ones((2, 2, 3))}, "flow[2026-07-02, u, c]: flow to a provider without a price that day, got 1.0"),
        ({"flow": np.zeros((2, 2, 3))}, "days: 2026-07-01 has no flow; leave the day out"),
        ({"price": np.full((2, 3), np.nan)}, "days: 2026-07-02 has no prices; leave the day out"),
        ({"price": np.full((2, 3), -1.0)}, "price[2026-07-01, b]: expected a finite number >= 0"),
        ({"price": np.full((2, 3), np.inf)}, "price[2026-07-01, b]: expected a finite number >= 0"),
        (
            {"capacity": np.zeros((2, 3))},
            "capacity[2026-07-01, b]: expected a finite number > 0 where there is a price",
        ),
        ({"capacity": np.ones((2, 3))}, "capacity[2026-07-02, c]: expected a finite number > 0 where there is a price"),
        (
            {"delay": np.full((2, 2, 3), np.nan)},
            "delay[2026-07-02, v, b]: expected a finite number >= 0 where the user",
        ),
        ({"delay": np.full((2, 2, 3), -1.0)}, "delay[2026-07-02, v, c]: expected a finite number >= 0 where the user"),
        ({"leader": Leader(("x",), (1.0,))}, "leader.providers: no provider is called 'x'"),
        ({"leader": Leader(("a", "a"), (1.0, 1.0))}, "leader.providers: 'a' appears more than once"),
        ({"leader": Leader((), ())}, "leader.providers: expected at least one provider"),
        ({"leader": Leader(("a", "b", "c"), (1.0,) * 3)}, "leader.providers: the leader owns every provider"),
        ({"leader": Leader(("a",), ())}, "leader.price_cap: expected 1 caps, got 0"),
        ({"leader": Leader(("a",), (np.inf,))}, "leader.price_cap: expected a finite number >= 0, got inf"),
    ],
)
def test_arrays_that_break_a_rule_are_refused(seen: Observations, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ObservationsError) as caught:
        replace(seen, **change)
    assert any(problem.startswith(message) for problem in caught.value.problems)


def test_a_million_faulty_flows_take_a_few_lines() -> None:
    shape = (1, 1000, 1000)
    with pytest.raises(ObservationsError) as caught:
        Observations(
            name="large",
            days=("2026-07-01",),
            user_ids=tuple(f"u{i}" for i in range(1000)),
            provider_ids=tuple(f"p{j}" for j in range(1000)),
            flow=np.full(shape, -1.0),
            price=np.ones((1, 1000)),
            capacity=np.ones((1, 1000)),
            delay=np.zeros(shape),
        )
    assert "flow: ... and 999980 more" in caught.value.problems
    assert len(caught.value.problems) < 30


def test_arrays_cannot_be_changed(seen: Observations) -> None:
    with pytest.raises(ValueError, match="read-only"):
        seen.flow[0, 0, 0] = 1


def test_days_and_users_are_selected_in_their_order(seen: Observations) -> None:
    second = select(seen, days=["2026-07-02"], users=["v"])
    assert (second.days, second.user_ids, second.provider_ids) == (("2026-07-02",), ("v",), ("a", "b", "c"))
    assert second.flow.tolist() == [[[0.5, 0, 0]]]
    assert_same(select(seen, days=["2026-07-02", "2026-07-01"]), seen)
    with pytest.raises(
        ObservationsError, match=r"days: no day is called '2026-07-03'; there are: 2026-07-01, 2026-07-02"
    ):
        select(seen, days=["2026-07-03"])
    with pytest.raises(ObservationsError, match="2026-07-01 has no flow"):
        select(seen, users=["v"])


def test_whoever_is_never_there_can_be_dropped_and_must_be_to_write(seen: Observations, tmp_path: Path) -> None:
    first = select(seen, days=["2026-07-01"])
    with pytest.raises(ObservationsError, match=r"user 'v' has no flow on any day; drop it by without_absent"):
        write_observations(first, tmp_path / "first")
    second = select(seen, days=["2026-07-02"])
    with pytest.raises(ObservationsError, match=r"provider 'c' is not offered on any day"):
        write_observations(second, tmp_path / "second")
    assert without_absent(first).user_ids == ("u",)
    compact = without_absent(second)
    assert compact.provider_ids == ("a", "b")
    write_observations(compact, tmp_path / "second")
    assert_same(read_observations(tmp_path / "second"), compact)


def test_the_market_of_a_day_has_who_is_there(seen: Observations) -> None:
    market = market_of(
        seen, "2026-07-02", value=[1, 2, 3], congestion_weight=[0.5, 0.25], delay_weight=2, description="x"
    )
    assert (market.name, market.description, market.units) == ("seen-2026-07-02", "x", seen.units)
    assert (market.user_ids, market.provider_ids, market.leader_ids) == (("u", "v"), ("a", "b"), ("a",))
    assert market.demand.tolist() == [2, 0.5]
    assert market.value.tolist() == [1, 2]
    assert market.congestion_weight.tolist() == [0.5, 0.25]
    assert market.delay.tolist() == [[1, 2], [4, 5]]
    assert market.price_cap.tolist() == [9]
    first = market_of(seen, "2026-07-01", value=[1, 2, 3], congestion_weight=[0.5, 0.25])
    assert (first.user_ids, first.m, first.congestion_weight.tolist()) == (("u",), 3, [0.5])
    assert equilibrium(first, [1.0]).flow.sum() == pytest.approx(4)


def test_no_market_without_a_leader_who_is_there_and_has_a_rival(seen: Observations) -> None:
    with pytest.raises(ObservationsError, match=r'leader: none.*name one in folder.json: {"leader"'):
        market_of(replace(seen, leader=None), "2026-07-01")
    with pytest.raises(ObservationsError, match=r"leader: c is not offered on 2026-07-02; it is on 2026-07-01"):
        market_of(replace(seen, leader=Leader(("c",), (1.0,))), "2026-07-02")
    with pytest.raises(ObservationsError, match="no rival is offered on 2026-07-02"):
        market_of(replace(seen, leader=Leader(("a", "b"), (1.0, 1.0))), "2026-07-02")
    with pytest.raises(ObservationsError, match="no day is called"):
        market_of(seen, "2026-07-03")
    with pytest.raises(MarketError, match="congestion_weight"):
        market_of(seen, "2026-07-01", congestion_weight=0.0)


def test_a_large_table_is_read_quickly(tmp_path: Path) -> None:
    import time

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
    code = (
        "import sys; from prillm_or.calibration.observation_files import read_observations; "
        "read_observations(sys.argv[1]); "
        "print([name for name in sys.argv[2:] if name in sys.modules])"
    )
    heavy = ["pandas", "pyarrow", "scipy", "pyomo", "torch"]
    done = subprocess.run([sys.executable, "-c", code, str(folder), *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.wheel
def test_validate_checks_folders_in_a_real_process(tmp_path: Path, folder: Path) -> None:
    faulty = folder_of(tmp_path / "faulty", flows=FLOWS.replace("u,a,3", "u,a,-3"))
    done = subprocess.run(
        [*PROGRAM, "validate", str(folder), str(faulty), "tiny/tie"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"{folder}: valid, 2 days, 2 users, 3 providers, leader a\n" in done.stdout
    assert "tie.json: valid, " in done.stdout
    assert done.stderr == f"{faulty}: flows.csv: row 2, flow: expected a finite number >= 0, got -3\n"


def test_validate_says_that_there_is_no_leader(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "folder.json").unlink()
    assert run(["validate", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("3 providers, no leader\n")
