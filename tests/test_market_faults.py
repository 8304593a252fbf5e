"""Faults of market files: each is refused, where and why, all at once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from helpers.market_files import refusal, valid, written
from prillm_or.market.schema import instance_schema

FAULTS = Path(__file__).parent / "data" / "faults"


# One file a fault, each valid but for it: file, path of the field, part of the message.
TABLE = [
    ("format-unknown", "format", 'expected "prillm-or/market@1", got "prillm-or/market@2"'),
    ("format-missing", "format", "missing"),
    ("name-missing", "name", "missing"),
    ("leader-missing", "leader", "missing"),
    ("users-missing", "users", "missing"),
    ("providers-missing", "providers", "missing"),
    ("delays-missing", "delays", "missing"),
    ("field-unknown", "demands", "unknown field"),
    ("provider-field-unknown", "providers[1].capcity", 'unknown field; did you mean "capacity"?'),
    ("user-field-unknown", "users[0].price", "unknown field"),
    ("leader-field-unknown", "leader.cap", "unknown field"),
    ("weight-unknown", "weights.value", "unknown field"),
    ("unit-unknown", "units.money", "unknown field"),
    ("unit-type", "units.delay", "expected a string, got 1"),
    ("name-type", "name", "expected a string, got 7"),
    ("name-surrogate", "name", "half of a surrogate pair"),
    ("description-type", "description", "expected a string, got null"),
    ("user-type", "users[1]", "expected an object, got 5"),
    ("users-type", "users", "expected a list, got an object"),
    ("users-empty", "users", "expected at least one"),
    ("providers-empty", "providers", "expected at least one"),
    ("user-id-missing", "users[0].id", "missing"),
    ("user-id-type", "users[0].id", "expected a string, got 1"),
    ("user-id-repeated", "users[1].id", '"u" names users[0] already'),
    ("provider-id-repeated", "providers[2].id", '"b" names providers[1] already'),
    ("demand-missing", "users[0].demand", "missing"),
    ("demand-zero", "users[0].demand", "expected a number > 0, got 0"),
    ("demand-negative", "users[1].demand", "expected a number > 0, got -2.5"),
    ("demand-bool", "users[0].demand", "expected a number, got true"),
    ("demand-text", "users[0].demand", 'expected a number, got "3.0"; write it without quotes'),
    ("demand-nan", "users[0].demand", "expected a finite number, got NaN"),
    ("demand-infinite", "users[0].demand", "expected a finite number, got Infinity"),
    ("demand-overflow", "users[0].demand", "expected a finite number, got Infinity"),
    ("demand-huge-integer", "users[0].demand", "expected a number within the range of double precision"),
    ("price-negative", "providers[1].price", "expected a number >= 0, got -2"),
    ("price-null", "providers[0].price", "got null; leave the field out"),
    ("price-nan", "providers[0].price", "expected a finite number, got NaN"),
    ("price-of-rival-missing", "providers[2].price", "only the leader's providers may leave it out"),
    ("capacity-missing", "providers[0].capacity", "missing"),
    ("capacity-zero", "providers[2].capacity", "expected a number > 0, got 0"),
    ("capacity-negative", "providers[2].capacity", "expected a number > 0, got -7"),
    ("value-infinite", "providers[1].value", "expected a finite number, got -Infinity"),
    ("unit-cost-negative", "providers[2].unit_cost", "expected a number >= 0, got -0.5"),
    ("weight-price-zero", "weights.price", "expected a number > 0, got 0"),
    ("weight-congestion-zero", "weights.congestion", "expected a number > 0, got 0"),
    ("weight-delay-negative", "weights.delay", "expected a number >= 0, got -1"),
    ("user-weight-congestion-zero", "users[0].weights.congestion", "expected a number > 0, got 0"),
    ("user-weight-null", "users[0].weights.delay", "expected a number, got null"),
    ("leader-type", "leader", 'expected an object, got "a"'),
    ("leader-empty", "leader.providers", "expected at least one"),
    ("leader-unknown", "leader.providers[0]", 'no provider has the id "d"'),
    ("leader-repeated", "leader.providers[1]", '"a" names leader.providers[0] already'),
    ("leader-without-rivals", "leader.providers", "the leader owns every provider"),
    ("cap-missing", "leader.price_cap", "missing"),
    ("cap-negative", "leader.price_cap", "expected a number >= 0, got -9"),
    ("cap-text", "leader.price_cap", 'expected a number, got "9"'),
    ("cap-of-provider-negative", "leader.price_cap.a", "expected a number >= 0, got -9"),
    ("cap-of-provider-missing", "leader.price_cap.b", "missing"),
    ("cap-of-rival", "leader.price_cap.c", "not one of the leader's providers"),
    ("delays-type", "delays", 'expected a list of rows or {"npy": "FILE"}, got 1.5'),
    ("delays-rows", "delays", "expected 2 rows, one for each user, got 1"),
    ("delays-columns", "delays[1]", "expected 3 numbers, one for each provider, got 2"),
    ("delays-row-type", "delays[0]", "expected a list, got null"),
    ("delays-negative", "delays[0][1]", "expected a finite number >= 0, got -2"),
    ("delays-nan", "delays[1][2]", "expected a finite number >= 0, got NaN"),
    ("delays-infinite", "delays[1][2]", "expected a finite number >= 0, got Infinity"),
    ("delays-bool", "delays[0][0]", "expected a finite number >= 0, got false"),
    ("delays-text", "delays[0][0]", 'expected a finite number >= 0, got "1"'),
    ("delays-huge-integer", "delays[0][0]", "expected a finite number >= 0, got 1000"),
    ("npy-missing", "delays.npy", '"nowhere.npy": cannot be read: No such file'),
    ("npy-type", "delays.npy", "expected a string, got 3"),
    ("npy-key", "delays.npz", 'unknown field; did you mean "npy"?'),
    ("npy-absolute", "delays.npy", "expected a relative path"),
    ("npy-absolute-windows", "delays.npy", "expected a relative path"),
    ("npy-above", "delays.npy", "leaves the folder"),
    ("npy-folder", "delays.npy", "a folder, not a file"),
    ("npy-null-character", "delays.npy", "null character"),
    ("npy-not-npy", "delays.npy", "not an .npy file"),
    ("key-repeated", "providers[0].price", "appears twice in its object"),
    ("top-level-list", "", "expected an object, got a list"),
    ("not-json", "", "not JSON: Expecting property name enclosed in double quotes: line 2, column 3"),
    ("empty", "", "not JSON: Expecting value: line 1, column 1"),
]


# What a schema cannot say: links between fields, and whatever only a reader of files meets.
BEYOND_SCHEMA = {
    "cap-of-provider-missing",
    "cap-of-rival",
    "delays-columns",
    "delays-rows",
    "key-repeated",
    "leader-repeated",
    "leader-unknown",
    "leader-without-rivals",
    "name-surrogate",
    "npy-above",
    "npy-absolute",
    "npy-absolute-windows",
    "npy-folder",
    "npy-missing",
    "npy-not-npy",
    "npy-null-character",
    "price-of-rival-missing",
    "provider-id-repeated",
    "user-id-repeated",
    # NaN, infinity and integers beyond double precision are numbers to a schema.
    "delays-huge-integer",
    "delays-infinite",
    "delays-nan",
    "demand-huge-integer",
    "demand-infinite",
    "demand-nan",
    "demand-overflow",
    "price-nan",
    "value-infinite",
}


@pytest.mark.parametrize(("name", "field", "message"), TABLE, ids=[name for name, _, _ in TABLE])
def test_each_fault_is_refused_with_its_path(name: str, field: str, message: str) -> None:
    lines = refusal(FAULTS / f"{name}.json")
    assert len(lines) == 1
    assert lines[0].startswith(f"{field}: " if field else "")
    assert message in lines[0].removeprefix(f"{field}: ")


def test_every_fault_file_is_in_the_table() -> None:
    assert {path.stem for path in FAULTS.iterdir()} == {name for name, _, _ in TABLE}


@pytest.mark.parametrize("name", [name for name, field, _ in TABLE if field])
def test_the_schema_refuses_what_a_schema_can(name: str) -> None:
    document = json.loads((FAULTS / f"{name}.json").read_text())
    allowed = jsonschema.Draft202012Validator(instance_schema()).is_valid(document)
    assert allowed == (name in BEYOND_SCHEMA)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    document = valid() | {"format": "prillm-or/market@2", "delay": []}
    document["users"][0]["demand"] = -1
    document["users"][1]["id"] = "u"
    document["providers"][1]["capacity"] = "6"
    document["leader"] = {"providers": ["x"], "price_cap": -9}
    document["delays"] = [[1, 2], [0, True, 1.5]]
    fields_at_fault = {line.split(": ")[0] for line in refusal(written(tmp_path, document))}
    assert fields_at_fault == {
        "format",
        "delay",
        "users[0].demand",
        "users[1].id",
        "providers[1].capacity",
        "leader.providers[0]",
        "leader.price_cap",
        "delays[0]",
        "delays[1][1]",
    }


def test_refusals_hold_no_jargon() -> None:
    text = "\n".join(line for name, _, _ in TABLE for line in refusal(FAULTS / f"{name}.json"))
    for jargon in ("pydantic", "http", "type=", "<number>", "<object>", "_type", "MarketFile"):
        assert jargon not in text


def test_an_odd_key_is_quoted_in_its_path(tmp_path: Path) -> None:
    document = valid()
    document["leader"]["price_cap"] = {"a": 9, "gpt 5\n": 1}
    assert refusal(written(tmp_path, document)) == ['leader.price_cap["gpt 5\\n"]: not one of the leader\'s providers']


@pytest.mark.slow
@pytest.mark.parametrize("as_npy", [False, True])
def test_a_million_faults_take_a_few_lines(tmp_path: Path, as_npy: bool) -> None:
    """So many that a line each would be felt."""
    n, m = 2000, 500
    document = valid() | {"users": [{"id": f"u{i}", "demand": -1} for i in range(n)]}
    document["providers"] += [{"id": f"p{j}", "price": 1, "capacity": 1} for j in range(m - 3)]
    document["delays"] = [[-1.0] * m] * n
    if as_npy:
        np.save(tmp_path / "delays.npy", np.full((n, m), np.nan))
        document["delays"] = {"npy": "delays.npy"}
    lines = refusal(written(tmp_path, document))
    assert len(lines) == 42
    assert lines[20] == "users: ... and 1980 more of the kind"
    assert lines[-1] == "delays: ... and 999980 more of the kind"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON: Expecting value: line 1, column 1"),
        (b'{"a": 1,\n  "b" 2}', "not JSON: Expecting ':' delimiter: line 2, column 7"),
        (b'{"name": "caf\xe9"}', "not UTF-8: byte 13 cannot be decoded"),
        (b"\xff\xfe{\0}\0", "is UTF-16 or UTF-32, not UTF-8; save it as UTF-8"),
        (b"{\0}\0", "is UTF-16 or UTF-32, not UTF-8; save it as UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 100_000, "nested too deeply"),
        (b'{"name": ' + b"9" * 5000 + b"}", "an integer too long"),
        (gzip.compress(b"{}", mtime=0), "is gzipped; give it a name that ends in .json.gz"),
        (b"null", "expected an object, got null"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "market.json"
    path.write_bytes(content)
    (line,) = refusal(path)
    assert message in line


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-9],
        lambda content: content[:5],
        lambda content: b"plain" + content,
        lambda content: content[:20] + b"\xff\xff" + content[22:],
    ],
    ids=["cut", "cut-in-header", "not-gzip", "changed"],
)
def test_a_broken_gzip_file_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "market.json.gz"
    path.write_bytes(spoil(gzip.compress(json.dumps(valid()).encode())))
    (line,) = refusal(path)
    assert line.startswith("not a whole gzip file: ")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.json") == ["cannot be read: No such file or directory"]
    assert refusal(tmp_path) == ["a folder, not a file"]
