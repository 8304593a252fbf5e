"""Market files: what is refused and how, what is read, what is written."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.markets import make_market
from prillm_or.errors import MarketError, PrillmError
from prillm_or.files.markets import read_market, write_market
from prillm_or.files.results import result_from_json
from prillm_or.market.market import Market, Units
from prillm_or.market.schema import instance_schema
from prillm_or.market.synthetic import generate
from prillm_or.output.saving import write_json
from prillm_or.result import Certificate, Method, Result, Status, Times, Today
from prillm_or.solving.run import solve

FAULTS = Path(__file__).parent / "data" / "faults"
ROOT = Path(__file__).parent.parent

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
    ("npy-missing", "delays.npy", '"nowhere.npy": No such file'),
    ("npy-type", "delays.npy", "expected a string, got 3"),
    ("npy-key", "delays.npz", 'unknown field; did you mean "npy"?'),
    ("npy-absolute", "delays.npy", "expected a relative path"),
    ("npy-absolute-windows", "delays.npy", "expected a relative path"),
    ("npy-above", "delays.npy", "leaves the folder"),
    ("npy-folder", "delays.npy", "not a file"),
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


def refusal(path: Path) -> list[str]:
    """Lines of the refusal, without the file name that each must start with."""
    with pytest.raises(MarketError) as caught:
        read_market(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def valid() -> dict[str, Any]:
    """The market that the fault files spoil."""
    return {
        "format": "prillm-or/market@1",
        "name": "fault",
        "leader": {"providers": ["a"], "price_cap": 9},
        "users": [{"id": "u", "demand": 4}, {"id": "v", "demand": 2.5}],
        "providers": [
            {"id": "a", "price": 3, "capacity": 5},
            {"id": "b", "price": 2, "capacity": 6, "value": -1},
            {"id": "c", "price": 1, "capacity": 7, "unit_cost": 0.5},
        ],
        "delays": [[1, 2, 3], [0, 0.5, 1.5]],
    }


def written(folder: Path, document: object, name: str = "market.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(document))
    return path


def assert_equal(left: Market, right: Market) -> None:
    for field in fields(Market):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
        else:
            assert ours == theirs, field.name


def beside(folder: Path, delays: object, name: str = "delays.npy") -> Path:
    """The valid market with its delays in an .npy file; objects are pickled into it."""
    np.save(folder / name, np.asarray(delays), allow_pickle=True)
    return written(folder, valid() | {"delays": {"npy": name}})


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


@pytest.mark.parametrize("as_npy", [False, True])
def test_a_million_faults_take_a_few_lines(tmp_path: Path, as_npy: bool) -> None:
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
        (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM"),
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


@pytest.mark.parametrize(
    ("delays", "message"),
    [
        (np.ones((3, 2)), 'delays.npy: "delays.npy": expected shape (2, 3), users by providers, got (3, 2)'),
        (np.ones(6), "expected shape (2, 3), users by providers, got (6,)"),
        (np.ones((2, 3), dtype=bool), "expected float64 numbers, got bool"),
        (np.ones((2, 3), dtype=complex), "expected float64 numbers, got complex128"),
        (np.full((2, 3), "1"), "expected float64 numbers, got <U1"),
        (np.full((2, 3), None), "expected float64 numbers, got object"),
        ([[1, 2, 3], [0, np.nan, 1]], 'delays[1][1]: expected a finite number >= 0, got nan (in "delays.npy")'),
        ([[1, 2, np.inf], [0, 1, 1]], "delays[0][2]: expected a finite number >= 0, got inf"),
        ([[1, 2, 3], [0, -1.0, 1]], "delays[1][1]: expected a finite number >= 0, got -1.0"),
    ],
)
def test_bad_arrays_are_refused(tmp_path: Path, delays: object, message: str) -> None:
    (line,) = refusal(beside(tmp_path, delays))
    assert message in line


def test_a_pickle_in_an_array_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    refusal(beside(tmp_path, np.full((2, 3), Trap())))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("spoil", [lambda content: content[:-8], lambda content: content + b"x"])
def test_an_array_of_another_length_than_promised_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = beside(tmp_path, np.ones((2, 3)))
    (tmp_path / "delays.npy").write_bytes(spoil((tmp_path / "delays.npy").read_bytes()))
    (line,) = refusal(path)
    assert "expected 48 bytes of numbers" in line


def test_a_header_that_lies_about_its_size_costs_no_memory(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (2, 10**12)})
    (tmp_path / "delays.npy").write_bytes(stream.getvalue())
    (line,) = refusal(written(tmp_path, valid() | {"delays": {"npy": "delays.npy"}}))
    assert "expected shape (2, 3)" in line


def test_delays_may_not_leave_the_folder_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    np.save(tmp_path / "outside.npy", np.ones((2, 3)))
    (tmp_path / "inside" / "delays.npy").symlink_to(tmp_path / "outside.npy")
    (line,) = refusal(written(tmp_path / "inside", valid() | {"delays": {"npy": "delays.npy"}}))
    assert "leaves the folder of the market file" in line


def test_delays_may_lie_in_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    np.save(tmp_path / "below" / "delays.npy", np.ones((2, 3)))
    market = read_market(written(tmp_path, valid() | {"delays": {"npy": "below/../below/delays.npy"}})).market
    np.testing.assert_array_equal(market.delay, np.ones((2, 3)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "f4", "i8", "u2"])
def test_arrays_of_any_real_type_and_order_are_read(tmp_path: Path, dtype: str, order: Any) -> None:
    delays = np.arange(6).reshape(2, 3)
    market = read_market(beside(tmp_path, np.asarray(delays.astype(dtype), order=order))).market
    np.testing.assert_array_equal(market.delay, delays)


def test_the_hash_covers_the_json_and_the_array(tmp_path: Path) -> None:
    path = beside(tmp_path, np.ones((2, 3)))
    expected = hashlib.sha256(path.read_bytes() + (tmp_path / "delays.npy").read_bytes()).hexdigest()
    assert read_market(path).sha256 == expected
    zipped = tmp_path / "market.json.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read_market(zipped).sha256 == expected


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    instance = read_market(written(tmp_path, valid()))
    market = instance.market
    assert instance.path == tmp_path / "market.json"
    assert (market.name, market.description, market.units) == ("fault", "", Units("1000 USD", "1e9 tokens", "s", "day"))
    assert market.value.tolist() == [0.0, -1.0, 0.0]
    assert market.unit_cost.tolist() == [0.0, 0.0, 0.5]
    assert market.price_weight.tolist() == market.congestion_weight.tolist() == market.delay_weight.tolist() == [1, 1]
    assert market.leader == (0,)
    assert market.price_cap.tolist() == [9.0]


def test_own_weights_override_the_markets_key_by_key(tmp_path: Path) -> None:
    document = valid() | {"weights": {"congestion": 2, "delay": 0}}
    document["users"][1]["weights"] = {"congestion": 3, "price": 5}
    market = read_market(written(tmp_path, document)).market
    assert market.price_weight.tolist() == [1.0, 5.0]
    assert market.congestion_weight.tolist() == [2.0, 3.0]
    assert market.delay_weight.tolist() == [0.0, 0.0]


def test_caps_follow_the_order_of_the_leaders_providers(tmp_path: Path) -> None:
    document = valid() | {"leader": {"providers": ["c", "a"], "price_cap": {"a": 1, "c": 2}}}
    market = read_market(written(tmp_path, document)).market
    assert market.leader == (2, 0)
    assert market.price_cap.tolist() == [2.0, 1.0]


def test_a_leaders_price_may_be_absent_or_above_the_cap(tmp_path: Path) -> None:
    document = valid()
    document["providers"][0]["price"] = 90
    today = read_market(written(tmp_path, document)).market.today
    assert today is not None
    assert today.tolist() == [90.0]
    del document["providers"][0]["price"]
    assert read_market(written(tmp_path, document)).market.today is None


def test_a_large_market_is_read_quickly(tmp_path: Path) -> None:
    n, m = 2000, 200
    document = valid()
    document["users"] = [{"id": f"u{i}", "demand": 1.5} for i in range(n)]
    document["providers"] += [{"id": f"p{j}", "price": 1, "capacity": 1} for j in range(m - 3)]
    document["delays"] = np.random.default_rng(0).random((n, m)).tolist()
    path = written(tmp_path, document)
    start = time.process_time()
    assert read_market(path).market.delay.shape == (n, m)
    assert time.process_time() - start < 2.0


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
positive = st.floats(min_value=0, exclude_min=True, allow_nan=False, allow_infinity=False)
non_negative = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


@st.composite
def markets(draw: st.DrawFn) -> Market:
    users, providers = (draw(st.lists(names, min_size=k, max_size=4, unique=True)) for k in (1, 2))
    n, m = len(users), len(providers)
    leader = tuple(draw(st.lists(st.integers(0, m - 1), min_size=1, max_size=m - 1, unique=True)))

    def numbers(kind: st.SearchStrategy[float], size: int) -> Any:
        return np.array(draw(st.lists(kind, min_size=size, max_size=size)))

    price = numbers(non_negative, m)
    price[[j for j in leader if draw(st.booleans())]] = np.nan
    return Market(
        name=draw(names),
        user_ids=tuple(users),
        provider_ids=tuple(providers),
        demand=numbers(positive, n),
        price=price,
        capacity=numbers(positive, m),
        value=numbers(st.floats(allow_nan=False, allow_infinity=False), m),
        unit_cost=numbers(non_negative, m),
        delay=numbers(non_negative, n * m).reshape(n, m),
        price_weight=numbers(positive, n),
        congestion_weight=numbers(positive, n),
        delay_weight=numbers(non_negative, n),
        leader=leader,
        price_cap=numbers(non_negative, len(leader)),
        units=Units(currency=draw(names)),
        description=draw(names),
    )


@given(market=markets(), suffix=st.sampled_from([".json", ".json.gz"]))
def test_any_market_survives_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, market: Market, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("round") / f"market{suffix}"
    write_market(market, path)
    assert_equal(read_market(path).market, market)
    content = gzip.decompress(path.read_bytes()) if suffix.endswith("gz") else path.read_bytes()
    jsonschema.Draft202012Validator(instance_schema()).validate(json.loads(content))


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_the_same_market_gives_the_same_bytes(tmp_path: Path, small_market: Market, suffix: str) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_market(small_market, first)
    os.utime(first, (0, 0))
    write_market(replace(small_market), second)
    assert first.read_bytes() == second.read_bytes()


def test_a_market_file_has_a_line_for_each_user_provider_and_row(tmp_path: Path, small_market: Market) -> None:
    write_market(small_market, tmp_path / "small.json")
    lines = (tmp_path / "small.json").read_text().splitlines()
    assert '    {"id": "u2", "demand": 2.0}' in lines
    assert '    {"id": "p3", "price": 3.0, "capacity": 4.0, "value": 0.0, "unit_cost": 0.0}' in lines
    assert "    [0.75, 1.0, 1.25]" in lines


@pytest.mark.parametrize(("m", "inline"), [(1000, True), (1001, False)])
def test_more_than_a_million_delays_go_beside_the_file(tmp_path: Path, m: int, inline: bool) -> None:
    market = make_market(user_ids=tuple(f"u{i}" for i in range(1000)), provider_ids=tuple(f"p{j}" for j in range(m)))
    write_market(market, tmp_path / "big.json.gz")
    assert (tmp_path / "big.delays.npy").exists() != inline
    assert_equal(read_market(tmp_path / "big.json.gz").market, market)


def test_writing_leaves_nothing_else_behind(tmp_path: Path, small_market: Market) -> None:
    write_market(small_market, tmp_path / "small.json")
    write_market(small_market, tmp_path / "small.json")
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]


def test_a_failed_write_keeps_the_old_file(
    tmp_path: Path, small_market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "small.json"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(PrillmError, match=r"small\.json: cannot be written: No space left on device"):
        write_market(small_market, path)
    assert [path.name for path in tmp_path.iterdir()] == ["small.json"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["market.txt", "market.gz", "market"])
def test_a_market_needs_a_name_its_reader_knows(tmp_path: Path, small_market: Market, name: str) -> None:
    with pytest.raises(PrillmError, match=r"ends in \.json or \.json\.gz"):
        write_market(small_market, tmp_path / name)


def test_writing_into_a_folder_that_is_not_there_is_refused(tmp_path: Path, small_market: Market) -> None:
    with pytest.raises(PrillmError, match="cannot be written: No such file or directory"):
        write_market(small_market, tmp_path / "none" / "small.json")


def test_writing_follows_a_link_and_never_replaces_a_device(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    write_json({"a": 1}, tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "target.json").read_text()) == {"a": 1}
    (tmp_path / "null.json").symlink_to(os.devnull)
    write_json({"a": 1}, tmp_path / "null.json")
    assert Path(os.devnull).is_char_device()


@pytest.mark.parametrize("document", [{"a": 1}, [{"a": 1}], [{"a": 1}, {"b": 2}], []])
def test_a_document_is_written_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], document: dict[str, int] | list[dict[str, int]]
) -> None:
    write_json(document, tmp_path / "out.json")
    write_json(document, "-")
    assert json.loads((tmp_path / "out.json").read_text()) == document
    assert json.loads(capsys.readouterr().out) == document


def test_a_result_has_the_fields_of_the_contract_in_their_order() -> None:
    result = Result(
        instance="coding-13",
        instance_sha256="00ff",
        today=Today({"a": 3.0}, 151.2),
        method=Method("highs", "1.16.0", model="kkt-bigm"),
        status=Status.FEASIBLE,
        prices={"a": np.float64(2.358877)},
        profit=174.0,
        upper_bound=float("inf"),
        gap=None,
        loads={"a": 73.78},
        certificate=Certificate(2.1e-13, 3.0e-14),
        time_s=Times(total=1.0),
        seed=0,
        threads=1,
        version="0.1.0",
        stats={"pieces": 3, "expected_profit": np.float64(1.5)},
        notes=("for people",),
    )
    assert json.dumps(result.to_dict()) == (
        '{"format": "prillm-or/result@1", "instance": "coding-13", "instance_sha256": "00ff", '
        '"today": {"prices": {"a": 3.0}, "profit": 151.2}, '
        '"method": {"solver": "highs", "solver_version": "1.16.0", "model": "kkt-bigm", "abstraction": null, '
        '"keep": null}, "status": "feasible", "prices": {"a": 2.358877}, "profit": 174.0, "upper_bound": null, '
        '"gap": null, "loads": {"a": 73.78}, "certificate": {"kkt_residual": 2.1e-13, "max_regret": 3e-14}, '
        '"time_s": {"total": 1.0, "read": 0.0, "build": 0.0, "abstract": 0.0, "solve": 0.0, "verify": 0.0}, '
        '"seed": 0, "threads": 1, "version": "0.1.0", "stats": {"pieces": 3, "expected_profit": 1.5}}'
    )
    assert replace(result, today=None).to_dict()["today"] is None


def test_a_result_is_read_as_it_was_written_also_without_stats() -> None:
    result = solve(generate(3, 3, "uniform", 0))
    document = json.loads(json.dumps(result.to_dict()))
    assert result_from_json(document) == replace(result, notes=())
    assert result.stats["pieces"] >= 1
    del document["stats"]  # as files had none before
    assert result_from_json(document).stats == {}


def test_the_shipped_schema_is_the_generated_one() -> None:
    shipped = (ROOT / "prillm_or" / "market" / "market.schema.json").read_text()
    assert shipped == json.dumps(instance_schema(), indent=2) + "\n"


def test_reading_imports_nothing_heavy() -> None:
    code = "import sys, prillm_or.files; print([name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ["pandas", "scipy", "pyomo", "torch", "networkx", "matplotlib"]
    run = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
