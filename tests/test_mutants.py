"""Whatever a file holds, a command ends with 0, 1 or 2 and says why: thousands were tried, these few are kept."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from helpers.market_files import valid, written
from helpers.mutants import broken, mutant
from helpers.observation_folders import BESIDE, folder_of
from prillm_or.cli import run
from prillm_or.errors import PrillmError
from prillm_or.files.changes import read_change
from prillm_or.files.markets import read_market
from prillm_or.market.changes import apply

pytestmark = pytest.mark.slow

FLAGS = (
    ["solve", "--time-limit", "2"],
    ["solve", "--solver", "bisect", "--time-limit", "2"],
    ["solve", "--abstraction", "anchored", "--keep", "1", "--time-limit", "2"],
    ["solve", "--outside", "1", "--time-limit", "2"],
    ["equilibrium", "--price", "a=1"],
    ["explain"],
    ["curve"],
)
CHANGE: dict[str, Any] = {
    "users": {"u": {"demand": 5}},
    "providers": {"b": {"price": 1.0, "capacity": 3}},
    "add": {"providers": [{"id": "z", "price": 1, "capacity": 3, "delays": {"u": 1, "v": 2}}]},
}
PROFILES = (
    "solver = 'highs'\n[options]\nmip_rel_gap = 0.1\npresolve = 'on'\n",
    "solver = 'scip'\n[options]\n'limits/nodes' = 100\n",
    "solver = 'ipopt'\n[options]\nmax_iter = 50\ntol = 1e-8\n",
)


def ends_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """The exit code, which is none of a fault of ours."""
    code = run(arguments)
    error = capsys.readouterr().err
    assert code in (0, 1, 2), error
    assert "Traceback" not in error
    return code


def test_markets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = set()
    several = valid() | {"leader": {"providers": ["a", "b"], "price_cap": {"a": 9, "b": 4}}}
    for seed in range(120):
        draw = random.Random(seed)
        (tmp_path / "m.json").write_bytes(mutant(draw.choice((valid(), several)), draw))
        codes.add(ends_well(["validate", str(tmp_path / "m.json")], capsys))
        command, *flags = draw.choice(FLAGS)
        ends_well([command, str(tmp_path / "m.json"), *flags], capsys)
    assert codes == {0, 2}


def test_an_id_that_is_an_object_is_refused_with_its_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, {"providers": [{"id": {}}]})
    assert ends_well(["validate", str(path)], capsys) == 2
    assert run(["validate", str(path)]) == 2
    assert f"{path}: providers[0].id: expected a string, got an empty object" in capsys.readouterr().err


def test_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(150):
        draw = random.Random(seed)
        folder = folder_of(tmp_path / str(seed))
        path = draw.choice(sorted(folder.iterdir()))
        path.write_bytes(mutant(BESIDE, draw) if path.suffix == ".json" else broken(path.read_bytes(), draw))
        ends_well(["validate", str(folder)], capsys)


def test_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(45):
        draw = random.Random(seed)
        (tmp_path / "p.toml").write_bytes(broken(draw.choice(PROFILES).encode(), draw))
        ends_well(["solve", "tiny/tie", "--solver", str(tmp_path / "p.toml"), "--time-limit", "2"], capsys)


def test_changes(tmp_path: Path) -> None:
    market = read_market(written(tmp_path, valid())).market
    refused = 0
    for seed in range(1000):
        try:
            apply(market, read_change(mutant(CHANGE, random.Random(seed))))
        except PrillmError:
            refused += 1
    assert 500 < refused < 950


def test_kept_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["solve", "tiny/kink", str(tmp_path / "nowhere.json"), "--json", str(tmp_path / "r.json")]
    assert run(arguments) == 2
    parts = tmp_path / "r.json.parts"
    kept = json.loads(parts.read_bytes())
    for seed in range(200):
        parts.write_bytes(mutant(kept, random.Random(seed)) + b"\n")
        ends_well([*arguments, "--resume"], capsys)
