"""Fixtures that several tests share; what is no fixture is in `helpers/`."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from helpers.browser import FLAGS
from helpers.markets import KINDS, make_market, shipped
from helpers.observation_folders import folder_of
from prillm_or.calibration.observation_files import read_observations
from prillm_or.calibration.observations import Observations
from prillm_or.market.market import Market

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from selenium.webdriver import Chrome

pytest_plugins = ["helpers.speed", "pytester"]

# The same examples in every run, however slow the machine: few of them by default, many in `make test-all`.
settings.register_profile("few", deadline=None, derandomize=True, database=None, max_examples=15)
settings.register_profile("many", settings.get_profile("few"), max_examples=100)
settings.load_profile("few")

# Started in the background, we ignore Ctrl-C and our children inherit that: the tests of Ctrl-C need it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before those are left out that are not asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A browser is slow."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def small_market() -> Market:
    """The market of `make_market` as it is."""
    return make_market()


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of random market in turn."""
    name: str = request.param
    return name


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
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(params=["all", "listed"])
def listed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether markets count as large from the first pair on."""
    if request.param == "listed":
        monkeypatch.setattr("prillm_or.users.pairs._LISTED", 0)
        monkeypatch.setattr("prillm_or.users.kernel.MOST_PAIRS", 0)
    return bool(request.param == "listed")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch on one thread: where matrices are small, threads wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of observations; see `helpers.observation_folders`."""
    return folder_of(tmp_path / "seen")


@pytest.fixture
def seen(folder: Path) -> Observations:
    """The observations of that folder."""
    return read_observations(folder)


@pytest.fixture
def axes() -> Iterator[Axes]:
    """Axes to draw on, as the package makes them."""
    from prillm_or.output.canvas import new_axes

    with new_axes(7.2, 4.0, "test") as axes:
        yield axes


@pytest.fixture(scope="session")
def coding() -> Market:
    """The shipped market `coding-13`."""
    return shipped("coding-13")
