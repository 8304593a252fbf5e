"""The pictures of README, site and tutorial: `python docs/shoot.py`, with Chromium and its driver installed.

The tutorial's are those that its commands draw, of the market that it has its readers save.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.support.ui import WebDriverWait

from prillm_or import cli
from prillm_or.report.explorer import explore, explorer_page

PAGES = Path(__file__).parent
PICTURES = PAGES / "pictures"
WIDTH, HEIGHT = 1100, 720


def main() -> None:
    """Draw all of them anew."""
    with TemporaryDirectory() as folder:
        nova = Path(folder, "nova.json")
        nova.write_text(saved("tutorial.md"), encoding="utf-8")
        cli.run(["curve", str(nova), "--plot", str(PICTURES / "tutorial-curve.svg")])
        cli.run(["explain", str(nova), "--plot", str(PICTURES / "tutorial-why.svg")])
        shoot(nova, PICTURES / "tutorial-page.png")
        shoot("coding-13", PICTURES / "page.png")


def saved(page: str) -> str:
    """The first file that a page has its readers save."""
    found = re.search(r"Save as `[^`]+`:\s+```json\n(.*?)^```", (PAGES / page).read_text("utf-8"), re.DOTALL | re.M)
    assert found is not None
    return found[1]


def shoot(market: str | Path, picture: Path) -> None:
    """Open the page of a market at its best price, and take what is seen first."""
    options = ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--hide-scrollbars", "--force-color-profile=srgb"):
        options.add_argument(flag)
    with TemporaryDirectory() as folder, Chrome(options=options) as browser:
        page = Path(folder, "page.html")
        page.write_text(explorer_page([explore(market)]), encoding="utf-8")
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(page.as_uri())
        drawn = "return document.querySelectorAll('.band').length"
        WebDriverWait(browser, 20).until(lambda shown: shown.execute_script(drawn))
        browser.save_screenshot(str(picture))


if __name__ == "__main__":
    main()
