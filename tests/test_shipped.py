"""Names resolve to files: the working directory's folders first, then what the package ships."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import prillm_or.market
from helpers.answers import profit_at
from helpers.markets import shipped
from prillm_or.cli import run
from prillm_or.cli.common import known_here, model_here, names_here, solver_here
from prillm_or.errors import UnknownNameError
from prillm_or.files.markets import read_market
from prillm_or.files.names import find, names
from prillm_or.market.selection import select
from prillm_or.solvers.registry import solver_profile
from prillm_or.users.equilibrium import equilibrium_at


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, away from the checkout."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.wheel
def test_the_package_is_the_one_under_test() -> None:
    code = "import prillm_or; print(prillm_or.__file__)"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert ("site-packages" in run.stdout) == ("PRILLM_OR_WHEEL" in os.environ)


@pytest.mark.wheel
@pytest.mark.usefixtures("workplace")
def test_every_shipped_market_is_found_and_read() -> None:
    found = names("instances")
    assert "coding-13" in found
    assert any(name.startswith("tiny/") for name in found)
    for name in found:
        assert read_market(find("instances", name)).market.m >= 2


@pytest.mark.wheel
@pytest.mark.usefixtures("workplace")
def test_the_schema_is_shipped_with_the_package_and_no_market_is_one() -> None:
    assert prillm_or.market.__file__ is not None
    assert (Path(prillm_or.market.__file__).parent / "market.schema.json").is_file()
    # `prillm-or solve instances/*.json` must meet markets alone.
    for path in find("instances", "coding-13").parent.glob("*.json"):
        assert read_market(path).market.m >= 2


def test_the_working_directory_comes_first(workplace: Path) -> None:
    own = workplace / "instances" / "coding-13.json"
    own.parent.mkdir()
    assert known_here("instances", "coding-13") == "coding-13"
    own.touch()
    assert Path(known_here("instances", "coding-13")).absolute() == own
    assert names_here("instances").count("coding-13") == 1
    assert find("instances", "coding-13") != own  # the library knows what is shipped


def test_zipped_markets_and_profiles_in_folders_are_found(workplace: Path) -> None:
    for path in (zipped := workplace / "instances/big.json.gz", fast := workplace / "solvers/mine/fast.toml"):
        path.parent.mkdir(parents=True)
        path.touch()
    assert Path(known_here("instances", "big")).absolute() == zipped
    assert Path(known_here("solvers", "mine/fast")).absolute() == fast
    assert "mine/fast" in names_here("solvers")


def test_other_suffixes_can_be_asked_for(workplace: Path) -> None:
    weights = workplace / "models/abstraction/mine.npz"
    weights.parent.mkdir(parents=True)
    weights.touch()
    assert Path(known_here("models", "abstraction/mine", (".npz",))).absolute() == weights
    assert "abstraction/mine" in names_here("models", (".npz",))
    assert "abstraction/mine" not in names_here("models")


def test_a_path_is_a_path(workplace: Path) -> None:
    (workplace / "plain").touch()
    for name in ("plain", "none.json", "none.json.gz", "./coding-13", "../coding-13", "/none/coding-13"):
        assert find("instances", name) == Path(name)
    assert find("instances", "~/coding-13") == Path.home() / "coding-13"
    assert known_here("instances", "plain") == "./plain"


def test_a_name_comes_before_a_file_of_that_name(workplace: Path) -> None:
    for name in ("path", "kkt-bigm", "coding-13"):
        (workplace / name).touch()
    assert solver_here("path") == "path"
    assert model_here("kkt-bigm") == "kkt-bigm"
    assert known_here("instances", "coding-13") == "coding-13"
    assert find("instances", "coding-13").name == "coding-13.json"


@pytest.mark.usefixtures("workplace")
def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"instance .codin-13.: there is none of that name; .* coding-13"):
        find("instances", "codin-13")


def test_a_name_without_its_folder_is_led_there(workplace: Path) -> None:
    (workplace / "solvers/zz").mkdir(parents=True)
    (workplace / "solvers/zz/q.toml").touch()
    with pytest.raises(UnknownNameError, match=r"did you mean .*zz/q"):
        known_here("solvers", "q")


def test_a_name_like_no_other_is_told_what_there_is(workplace: Path) -> None:
    (workplace / "models").mkdir()
    (workplace / "models/mine.toml").touch()
    with pytest.raises(UnknownNameError, match=r"model '0': there is none of that name; there are .*mine"):
        known_here("models", "0")


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("HIGHS", "did you mean highs?"),
        ("pat", "did you mean path?"),
        ("bissect", "did you mean bisect?"),
        ("stock", "did you mean highs/stock?"),
        ("cplex", "there are auto, path, bisect, enumerate"),
    ],
)
def test_a_wrong_solver_is_told_the_solvers_before_their_profiles(given: str, meant: str) -> None:
    for told in (solver_here, solver_profile):
        with pytest.raises(UnknownNameError, match=re.escape(f"solver {given!r}: there is none of that name; {meant}")):
            told(given)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Solve", "tiny/tie"], "command 'Solve': there is none of that name; did you mean solve"),
        (["solve", "tiny/TIE"], "did you mean tiny/tie"),
        (["solve", "tie"], "did you mean tiny/tie"),
        (["solve", "tiny/tie", "--model", "KKT-BIGM"], "did you mean kkt-bigm"),
        (["solve", "tiny/tie", "--abstraction", "Min"], "did you mean min"),
        (["compare", "tiny/tie", "--method", "path:anchord@1"], "did you mean anchored"),
        (["compare", "--preset", "table1"], "did you mean table-1"),
        (["generate", "--users", "2", "--providers", "2", "--shape", "Heavy", "--out", "m.json"], "'heavy'"),
    ],
)
def test_a_wrong_name_of_any_kind_is_told_the_nearest(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert says in capsys.readouterr().err


def test_the_crowd_is_a_million_people_and_no_other_than_its_people_in_more_rows() -> None:
    market = shipped("crowd")
    assert market.count.sum() == 10**6
    twenty_five = [i for i in range(market.n) for _ in range(25)]
    rows = select(
        market,
        twenty_five,
        user_ids=tuple(f"{market.user_ids[i]}.{k}" for k, i in enumerate(twenty_five)),
        demand=market.demand[twenty_five] / 25,
        count=market.count[twenty_five] / 25,
    )
    price = [0.1950573]  # instances/README.md
    few, many = equilibrium_at(market, price), equilibrium_at(rows, price)
    np.testing.assert_allclose(many.load, few.load, rtol=1e-10)
    assert profit_at(market, price) == pytest.approx(36.92155, rel=1e-6)


def test_the_price_lists_are_those_of_the_same_market() -> None:
    market, plain = shipped("premium-4-lists"), shipped("premium-4")
    assert market.components == ("input", "output")
    np.testing.assert_allclose(market.mix.sum(axis=1), 1.0, rtol=1e-12)
    for name in ("user_ids", "provider_ids", "leader"):
        assert getattr(market, name) == getattr(plain, name)
    np.testing.assert_allclose(market.demand, plain.demand, rtol=1e-12)
    assert ((market.price[:, 0] < plain.price) & (plain.price < market.price[:, 1])).all()  # its blend


FITTED = ("premium-4", "economy-8", "coding-13", "roleplay-10", "premium-4-two-prices", "premium-4-lists")


@pytest.mark.parametrize("name", [*FITTED, "openrouter-40"])
def test_a_real_market_says_what_it_is_made_of_and_that_no_price_is_known(name: str) -> None:
    market = shipped(name)
    assert market.fit is not None
    ranges = market.fit.best_price_range
    assert ranges is not None
    assert list(ranges) == [decision.name for decision in market.decisions]
    if name not in FITTED:
        return
    assert market.name == name
    for part in ("Do not price on it", "Sources: ", "pluriholonomic/ai-routing", "no licence stated", "2026-07-07"):
        assert part in market.description


@pytest.mark.parametrize("name", FITTED)
def test_a_real_market_is_like_its_flows_and_its_elasticity_the_known_one(name: str) -> None:
    """-1.07 with a standard error of 0.32, by the price changes of other markets (instances/README.md)."""
    market = shipped(name)
    assert market.fit is not None
    scores = market.fit.scores
    assert scores["calibrated"]["in_sample"]["r2"] > scores["independence"]["in_sample"]["r2"]
    low, high = market.fit.elasticity_range or (0.0, 0.0)
    assert low < -1.07 < high
