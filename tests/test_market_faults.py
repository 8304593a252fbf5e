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
    ("weight-congestion-zero", "weights.congestion", "0 of all users, which needs a dispersion > 0 of each of them"),
    ("weight-delay-negative", "weights.delay", "expected a number >= 0, got -1"),
    ("user-weight-congestion-zero", "users[0].weights.congestion", "0, but > 0 of other users"),
    ("user-weight-null", "users[0].weights.delay", "expected a number, got null"),
    ("components-type", "components", 'expected a list, got "input"'),
    ("components-empty", "components", "expected at least one"),
    ("component-type", "components[1]", "expected a string, got 5"),
    ("component-dot", "components[2]", 'expected a name without a dot, got "v1.5"'),
    ("component-repeated", "components[2]", '"input" names components[0] already'),
    ("mix-missing", "users[1].mix", "missing; say how much of each component"),
    ("mix-without-components", "users[0].mix", "there are no `components`"),
    ("mix-type", "users[0].mix", "expected an object, got 1"),
    ("mix-unknown", "users[0].mix.ouput", 'no component has the name "ouput"; did you mean "output"?'),
    ("mix-negative", "users[0].mix.output", "expected a number >= 0, got -0.25"),
    ("mix-infinite", "users[0].mix.output", "expected a finite number, got Infinity"),
    ("mix-zero", "users[1].mix", "expected some component > 0"),
    ("mix-empty", "users[1].mix", "expected some component > 0"),
    ("count-zero", "users[0].count", "expected a number >= 1, got 0"),
    ("count-negative", "users[0].count", "expected a number >= 1, got -3"),
    ("count-broken", "users[0].count", "expected a whole number >= 1, got 1.5"),
    ("count-type", "users[0].count", 'expected a number, got "10"; write it without quotes'),
    ("count-infinite", "users[0].count", "expected a finite number, got Infinity"),
    ("dispersion-negative", "dispersion", "expected a number >= 0, got -0.5"),
    ("user-dispersion-negative", "users[1].dispersion", "expected a number >= 0, got -1"),
    ("user-dispersion-null", "users[1].dispersion", "expected a number, got null"),
    ("provider-dispersion-negative", "providers[2].dispersion", "expected a number >= 0, got -2"),
    ("values-type", "users[0].values", "expected an object, got 3"),
    ("values-unknown", "users[0].values.d", 'no provider has the id "d"'),
    ("values-infinite", "users[0].values.a", "expected a finite number, got -Infinity"),
    (
        "price-list-without-components",
        "providers[0].price",
        "expected a number, got an object; there are no `components`",
    ),
    ("price-list-unknown", "providers[2].price.cached", 'no component has the name "cached"'),
    ("price-list-short", "providers[2].price.output", "missing; only the leader's providers may leave it out"),
    ("price-list-negative", "providers[2].price.output", "expected a number >= 0, got -1"),
    ("unit-cost-list-short", "providers[0].unit_cost.input", "missing; give all components, or a number"),
    ("unit-cost-list-unknown", "providers[0].unit_cost.cached", 'no component has the name "cached"'),
    (
        "decides-unknown",
        "leader.decides",
        'expected "components" or "factor" or a list of components, got "factors"',
    ),
    (
        "decides-type",
        "leader.decides",
        'expected "components" or "factor" or a list of components, got an empty object',
    ),
    ("decides-empty", "leader.decides", "expected at least one"),
    ("decides-component-unknown", "leader.decides[1]", 'no component has the name "cached"'),
    ("decides-component-repeated", "leader.decides[1]", '"input" names leader.decides[0] already'),
    ("decides-without-components", "leader.decides[0]", "there are no `components`"),
    ("price-not-decided", "providers[0].price", "missing; only what the leader decides may be left out"),
    (
        "price-component-not-decided",
        "providers[0].price.input",
        "missing; only what the leader decides may be left out",
    ),
    ("factor-without-price", "providers[0].price", "missing; the factor of the leader multiplies it"),
    ("factor-without-list", "providers[0].price", "missing; the factor of the leader multiplies it"),
    ("factor-of-short-list", "providers[0].price.output", "missing; the factor of the leader multiplies it"),
    (
        "cap-list-short",
        "leader.price_cap.a.output",
        "missing; an object needs a cap for each component that the leader decides",
    ),
    ("cap-list-unknown", "leader.price_cap.a.cached", 'no component has the name "cached"'),
    ("cap-list-not-decided", "leader.price_cap.a.output", "the leader does not decide it"),
    ("cap-list-negative", "leader.price_cap.a.output", "expected a number >= 0, got -4"),
    ("cap-list-of-factor", "leader.price_cap.a", "expected a number, got an object; a factor has no components"),
    (
        "cap-list-without-components",
        "leader.price_cap.a",
        "expected a number, got an object; there are no `components`",
    ),
    ("congestion-mixed", "users[1].weights.congestion", "0, but > 0 of other users"),
    ("congestion-of-one", "users[0].weights.congestion", "> 0, but 0 of other users"),
    ("congestion-zero-user-dispersion", "users[1].dispersion", "expected > 0 where no user weighs congestion, got 0"),
    (
        "congestion-zero-provider-dispersion",
        "providers[2].dispersion",
        "expected > 0 where no user weighs congestion, got 0",
    ),
    ("fit-type", "fit", "expected an object, got 3"),
    ("fit-unknown", "fit.elasticity", 'unknown field; did you mean "elasticity_range"?'),
    ("fit-range", "fit.elasticity_range", "expected 2 numbers, got a list"),
    ("fit-range-order", "fit.elasticity_range", "expected the lower one first, got a list"),
    ("fit-prices-unknown", "fit.best_price_range", "expected an object with names of a"),
    ("fit-scores-infinite", "fit.scores", "expected finite numbers, got an object"),
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
    ("npy-folder", "delays.npy", "a folder that holds no .npy file"),
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
    "cap-list-not-decided",
    "cap-list-of-factor",
    "cap-list-short",
    "cap-list-unknown",
    "cap-list-without-components",
    "capacity-missing",
    "component-dot",
    "component-repeated",
    "congestion-mixed",
    "congestion-of-one",
    "congestion-zero-provider-dispersion",
    "congestion-zero-user-dispersion",
    "decides-component-repeated",
    "decides-component-unknown",
    "decides-without-components",
    "factor-of-short-list",
    "factor-without-list",
    "factor-without-price",
    "mix-empty",
    "mix-missing",
    "mix-unknown",
    "mix-without-components",
    "mix-zero",
    "price-component-not-decided",
    "price-list-short",
    "price-list-unknown",
    "price-list-without-components",
    "price-not-decided",
    "unit-cost-list-short",
    "unit-cost-list-unknown",
    "user-weight-congestion-zero",
    "values-unknown",
    "weight-congestion-zero",
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
    "fit-prices-unknown",
    "fit-range-order",
    "fit-scores-infinite",
    "mix-infinite",
    "values-infinite",
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


def test_all_faults_of_price_lists_and_crowds_are_told_at_once(tmp_path: Path) -> None:
    document = valid() | {"components": ["input", "output"], "dispersion": -1, "weights": {"congestion": 0}}
    document["users"][0] |= {"mix": {"input": 1, "ouput": 0}, "count": 0.5, "values": {"x": 1}}
    document["users"][1] |= {"dispersion": 0}
    document["providers"][0] |= {"price": {"input": 1}, "unit_cost": {"output": -1}}
    document["providers"][1] |= {"price": {"input": 1, "cached": 1}}
    del document["providers"][2]["capacity"]  # nobody weighs congestion
    document["leader"] |= {"decides": ["output", "cached"], "price_cap": {"a": {"input": 9}}}
    fields_at_fault = {line.split(": ")[0] for line in refusal(written(tmp_path, document))}
    assert fields_at_fault == {
        "dispersion",
        "users[0].mix.ouput",
        "users[0].count",
        "users[0].values.x",
        "users[1].mix",
        "users[1].dispersion",
        "providers[0].unit_cost.input",
        "providers[0].unit_cost.output",
        "providers[1].price.cached",
        "providers[1].price.output",
        "leader.decides[1]",
        "leader.price_cap.a.input",
        "leader.price_cap.a.output",
    }


def test_refusals_hold_no_jargon() -> None:
    text = "\n".join(line for name, _, _ in TABLE for line in refusal(FAULTS / f"{name}.json"))
    for jargon in ("pydantic", "http", "type=", "<number>", "<object>", "<text>", "<list>", "_type", "MarketFile"):
        assert jargon not in text


def test_an_odd_key_is_quoted_in_its_path(tmp_path: Path) -> None:
    document = valid()
    document["leader"]["price_cap"] = {"a": 9, "gpt 5\n": 1}
    assert refusal(written(tmp_path, document)) == ['leader.price_cap["gpt 5\\n"]: not one of the leader\'s providers']


def test_many_faults_of_a_kind_are_counted_under_their_field(tmp_path: Path) -> None:
    document = valid()
    document["users"] = [{"id": "u", "demand": 1, "mix": {"input": 1}, "values": {"x": 1}} for _ in range(30)]
    document["delays"] = [[1, 2, 3]] * 30
    surplus = [line for line in refusal(written(tmp_path, document)) if "more of the kind" in line]
    # 29 ids, 30 mixes, 30 values
    assert surplus == [f"users: ... and {more} more of the kind" for more in (9, 10, 10)]


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
