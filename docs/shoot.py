"""The pictures of README and site: `python docs/shoot.py`, with Chromium and its driver installed.

The tutorial's are those that its commands draw, of the market that it has its readers save; a how-to page's likewise.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from conf import saved
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.support.ui import WebDriverWait

from prillm_or import cli
from prillm_or.report.explorer import explore, explorer_page

PAGES = Path(__file__).parent
PICTURES = PAGES / "pictures"
WIDTH, HEIGHT = 1100, 720
_MAP_DRAWN = "return document.querySelector('.map .region').getAttribute('d')"


def main() -> None:
    """Draw all of them anew."""
    with TemporaryDirectory() as folder:
        nova = Path(folder, "nova.json")
        nova.write_text(saved("tutorial.md"), encoding="utf-8")
        cli.run(["curve", str(nova), "--plot", str(PICTURES / "tutorial-curve.svg")])
        cli.run(["explain", str(nova), "--plot", str(PICTURES / "tutorial-why.svg")])
        shoot(nova, PICTURES / "tutorial-page.png")
        for words, picture in commands("howto/what-if.md"):
            cli.run([*words, str(PICTURES / f"what-if-{picture}")])
        shoot("premium-4-two-prices", PICTURES / "what-if-map.png", ".drawn.map")
        shoot("coding-13", PICTURES / "page.png")


def commands(page: str) -> list[tuple[list[str], str]]:
    """The commands of a page that draw, up to the file, and the file."""
    found = re.findall(r"^prillm-or (.* --plot) (\S+)$", (PAGES / page).read_text("utf-8"), re.M)
    return [(words.split(), picture) for words, picture in found if picture != "map.svg"]  # of a megabyte


def shoot(market: str | Path, picture: Path, part: str = "") -> None:
    """Open the page of a market at its best price, and take what is seen first, or a part of it."""
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
        if part:
            WebDriverWait(browser, 60).until(lambda shown: shown.execute_script(_MAP_DRAWN))
            browser.find_element("css selector", part).screenshot(str(picture))
        else:
            browser.save_screenshot(str(picture))


if __name__ == "__main__":
    main()
