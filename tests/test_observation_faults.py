"""Faults of observation folders: each is told with file, row and value, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers.observation_folders import BESIDE, DELAYS, FLOWS, PROVIDERS, TABLES, folder_of, refusal

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
        'row 4, day: expected an ISO date such as 2026-07-21, or an hour of it, 2026-07-21T15, got "2026-07-32"',
    ),
    (
        "day-compact",
        "flows.csv",
        "2026-07-02,u",
        "20260702,u",
        "row 4, day: expected an ISO date such as 2026-07-21, or an hour of it, 2026-07-21T15, got",
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
    ("column-repeated", "flows.csv", "user,provider", "user,user", 'flows.csv: column "user" appears twice'),
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
    ("nothing", "delays.csv", DELAYS, "", "delays.csv: the file is empty"),
    ("quotes", "delays.csv", "v,b,5\n", 'v,"b,5\n', "delays.csv: not CSV: line 6: unexpected end of data"),
]


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
        ([], "expected an object, got an empty list"),
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
        "flows: missing; expected flows.csv or flows.csv.gz or flows.parquet",
        "delays.csv, delays.parquet: more than one file for one table; keep one",
    ]
    assert "not a folder" in refusal(folder / "none")[0]


def test_what_is_no_parquet_file_is_told(folder: Path) -> None:
    (folder / "flows.csv").unlink()
    (folder / "flows.parquet").write_bytes(b"day,user,provider,flow\n")
    assert refusal(folder)[0].startswith("flows.parquet: not a whole Parquet file: ")


def test_text_that_is_not_utf8_is_told(folder: Path) -> None:
    (folder / "flows.csv").write_bytes(FLOWS.replace("u", "é").encode("latin-1"))
    assert "flows.csv: not UTF-8: byte 4 cannot be decoded; save it as UTF-8" in refusal(folder)


# Prices by component


LISTS = """day,provider,capacity,price_input,price_output
2026-07-01,a,10,1,4
2026-07-01,b,20,2,2
2026-07-01,c,30,3,3
2026-07-02,a,10,1.5,4
2026-07-02,b,25,2,2
"""
MIXES = """user,component,share
u,input,0.9
u,output,0.1
v,output,0.5
"""
BY_COMPONENT: list[tuple[str, dict[str, str], str]] = [
    ("share-negative", {"mixes": MIXES.replace("0.9", "-1")}, "mixes.csv: row 2, share: expected a finite number >= 0"),
    (
        "user-unknown",
        {"mixes": f"{MIXES}w,input,1\n"},
        'mixes.csv: row 5, user: unknown user "w"; flows.csv has no row',
    ),
    (
        "component-unknown",
        {"mixes": MIXES.replace("v,output", "v,ouput")},
        'mixes.csv: row 4, component: unknown component "ouput"; providers.csv has prices of input, output',
    ),
    (
        "day-unknown",
        {"mixes": "day," + MIXES.replace("\nu", "\n2026-07-01,u").replace("\nv", "\n2026-07-03,v")},
        'mixes.csv: row 4, day: unknown day "2026-07-03"; flows.csv has no row of it',
    ),
    (
        "repeated",
        {"mixes": f"{MIXES}u,input,1\n"},
        'mixes.csv: row 5, user, component: "u", "input" is in row 2 already',
    ),
    (
        "none-of-a-user",
        {"mixes": MIXES.replace("v,output,0.5\n", "")},
        'mixes.csv: no share > 0 of "v"; every user needs',
    ),
    (
        "none-of-a-day",
        {"mixes": "day," + MIXES.replace("\nu", "\n2026-07-01,u").replace("\nv", "\n2026-07-02,v")},
        'mixes.csv: no share > 0 of 2026-07-02, "u"; every user needs one of some component',
    ),
    ("price-empty", {"providers": LISTS.replace("1,4", "1,")}, "providers.csv: row 2, price_output: expected a finite"),
    ("price-unnamed", {"providers": LISTS.replace("price_output", "price_")}, 'providers.csv: unknown column "price_"'),
    (
        "no-lists",
        {"providers": PROVIDERS},
        "mixes.csv: providers.csv has no prices by component; add price_COMPONENT, or take it away",
    ),
]


@pytest.mark.parametrize(
    ("changed", "told"), [case[1:] for case in BY_COMPONENT], ids=[name for name, *_ in BY_COMPONENT]
)
def test_a_fault_of_price_lists_is_told_with_its_place(tmp_path: Path, changed: dict[str, str], told: str) -> None:
    lines = refusal(folder_of(tmp_path / "seen", **({"providers": LISTS, "mixes": MIXES} | changed)))
    assert lines[0].startswith(told)
    assert len(lines) <= 3  # what is said of a column may leave its name unknown elsewhere


def test_price_lists_without_mixes_are_told(tmp_path: Path) -> None:
    (line,) = refusal(folder_of(tmp_path / "seen", providers=LISTS))
    assert line == "providers.csv: has price_input, price_output; add a table mixes (user, component, share)"


@pytest.mark.parametrize(
    ("leader", "told"),
    [
        ({"decides": ["ouput"], "price_cap": 9}, 'leader.decides[0]: no component has the name "ouput"; did you mean'),
        ({"decides": "all", "price_cap": 9}, "leader.decides: expected"),
        ({"price_cap": {"a": {"input": 9}}}, "leader.price_cap.a.output: missing; an object needs a cap for each"),
        (
            {"decides": "factor", "price_cap": {"a": {"input": 9}}},
            "leader.price_cap.a: expected a number, got an object",
        ),
    ],
)
def test_a_fault_of_what_the_leader_decides_is_told(tmp_path: Path, leader: dict[str, object], told: str) -> None:
    folder = folder_of(tmp_path / "seen", providers=LISTS, mixes=MIXES)
    (folder / "folder.json").write_text(json.dumps({"leader": {"providers": ["a"]} | leader}))
    (line,) = refusal(folder)
    assert line.startswith(f"folder.json: {told}")
