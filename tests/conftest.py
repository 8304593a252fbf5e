"""Markets and answers that several tests share."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from prillm_or.files.markets import read_market
from prillm_or.files.names import find
from prillm_or.market.market import Array, Market
from prillm_or.market.synthetic import generate

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

MakeMarket = Callable[..., Market]

# The same examples in every run, however slow the machine.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")

# Started in the background, we ignore Ctrl-C and our children inherit that: the tests of Ctrl-C need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def make_market() -> MakeMarket:
    """Two users, three providers, p1 leads; any field may be given instead."""

    def make(**fields: Any) -> Market:
        n = len(fields.get("user_ids", "12"))
        m = len(fields.get("provider_ids", "123"))
        defaults: dict[str, Any] = {
            "name": "small",
            "user_ids": tuple(f"u{i + 1}" for i in range(n)),
            "provider_ids": tuple(f"p{j + 1}" for j in range(m)),
            "demand": 1.0 + np.arange(n),
            "price": 1.0 + np.arange(m),
            "capacity": 2.0 + np.arange(m),
            "value": np.zeros(m),
            "unit_cost": np.zeros(m),
            "delay": np.arange(n * m, dtype=float).reshape(n, m) / 4,
            "price_weight": np.ones(n),
            "congestion_weight": np.ones(n),
            "delay_weight": np.ones(n),
            "leader": (0,),
            "price_cap": np.full(len(fields.get("leader", "1")), 10.0),
        }
        return Market(**(defaults | fields))

    return make


@pytest.fixture
def small_market(make_market: MakeMarket) -> Market:
    """The market of `make_market` as it is."""
    return make_market()


KINDS = ("uniform", "heavy", "costs", "weights", "degenerate")
"""Kinds of random markets, see `draw_market`."""


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of random market in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def draw_market() -> MakeMarket:
    """Random market of a kind: the same arguments give the same market; the last `leaders` providers lead.

    * `uniform`, `heavy`: the generator's shapes, all weights 1;
    * `costs`: unit costs, one in four above the cap, and common weights other than 1;
    * `weights`: every user has its own;
    * `degenerate`: small integers, users and providers in identical pairs, so that pairs come and go together.
    """
    return _draw


def _draw(kind: str, n: int, m: int, seed: int, leaders: int = 1) -> Market:
    rng = np.random.default_rng([seed, n, m])
    market = generate(n, m, "heavy" if kind == "heavy" else "uniform", seed)
    leader = tuple(range(m - leaders, m))
    market = replace(market, name=f"{kind}-{n}x{m}-{seed}", leader=leader, price_cap=np.full(leaders, 12.0))
    if kind == "costs":
        return _with_costs(market, rng)
    if kind == "weights":
        return replace(
            market,
            price_weight=rng.uniform(0.5, 2, n),
            congestion_weight=rng.uniform(0.5, 2, n),
            delay_weight=rng.uniform(0, 2, n),
        )
    return _degenerate(market, rng) if kind == "degenerate" else market


def _with_costs(market: Market, rng: np.random.Generator) -> Market:
    unit_cost = rng.uniform(0.1, 4, market.m)
    own = unit_cost[list(market.leader)]
    cap = own * (0.7 if rng.integers(4) == 0 else 3.0)
    price, congestion, delay = (np.full(market.n, weight) for weight in rng.uniform(0.3, 3, 3))
    return replace(
        market,
        unit_cost=unit_cost,
        price_cap=cap,
        price_weight=price,
        congestion_weight=congestion,
        delay_weight=delay,
    )


def _degenerate(market: Market, rng: np.random.Generator) -> Market:
    n, m = market.n, market.m
    twin_user, twin_provider = np.arange(n) // 2 * 2, np.arange(m) // 2 * 2
    return replace(
        market,
        demand=_whole(rng.integers(1, 4, n)[twin_user]),
        price=_whole(rng.integers(0, 4, m)[twin_provider]),
        capacity=2.0 ** _whole(rng.integers(0, 3, m)[twin_provider]),
        value=_whole(rng.integers(0, 2, m)[twin_provider]),
        delay=_whole(rng.integers(0, 3, (n, m))[np.ix_(twin_user, twin_provider)]),
        price_cap=np.full(len(market.leader), 8.0),
    )


def _whole(numbers: NDArray[np.int64]) -> Array:
    return numbers.astype(np.float64)


_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A headless browser that logs what it asks the network for; skips where there is none."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


@dataclass(frozen=True)
class HandAnswer:
    """What `instances/tiny/README.md` derives for one of its markets; several numbers are in the leader's order."""

    market: Market
    prices: tuple[Fraction, ...]
    profit: Fraction
    loads: tuple[Fraction, ...]


@pytest.fixture(scope="session")
def hand_answers() -> Mapping[str, HandAnswer]:
    """The markets solved by hand, by name."""
    folder = find("instances", "tiny/one-rival").parent
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    answers = {}
    for name, prices, profit, loads in cells[2:]:
        market = read_market(folder / f"{name}.json").market
        answers[name] = HandAnswer(market, _fractions(prices), Fraction(profit), _fractions(loads))
    return answers


def _fractions(text: str) -> tuple[Fraction, ...]:
    return tuple(Fraction(part) for part in text.split())


@pytest.fixture(params=["all", "listed"])
def listed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether markets count as large from the first pair on."""
    if request.param == "listed":
        monkeypatch.setattr("prillm_or.users.pairs._LISTED", 0)
    return bool(request.param == "listed")
