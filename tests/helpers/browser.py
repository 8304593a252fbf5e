"""A page in a real browser: what it asks the network for, what it logs, what is cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-ipc-flooding-protection",
)


def open_page(browser: Chrome, page: Path, width: int) -> None:
    """Show a page at a width; what was logged before is forgotten."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get("about:blank")  # the browser's own first page asks for parts of itself
    for kind in ("performance", "browser"):
        _logged(browser, kind)
    browser.get(page.as_uri())


def assert_needs_no_network(browser: Chrome, page: Path) -> None:
    """The page was asked for, and after it nothing but files and data."""
    entries = [json.loads(text)["message"] for text in _logged(browser, "performance")]
    asked = [entry["params"]["request"]["url"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
    assert page.as_uri() in asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "chrome:"))] == []


def complaints(browser: Chrome) -> list[str]:
    """What the browser has had to say of the page since it was last asked."""
    return _logged(browser, "browser")


def _logged(browser: Chrome, kind: str) -> list[str]:
    entries: list[dict[str, Any]] = browser.get_log(kind)  # type: ignore[no-untyped-call]
    return [entry["message"] for entry in entries]


def too_wide(browser: Chrome) -> int:
    """Pixels by which the page is wider than the window; none or fewer than none where it fits."""
    wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    pixels: int = browser.execute_script(wider)
    return pixels


def cut_off(browser: Chrome, of: str, *, by_pictures: bool = False) -> list[str]:
    """Texts of the elements that reach out of the window, or out of the picture that they are in."""
    texts: list[str] = browser.execute_script(_CUT_OFF, of, by_pictures)
    return texts


_CUT_OFF = """
const [of, byPictures] = arguments, page = {left: 0, right: document.documentElement.clientWidth};
const beyond = (e, box) => {
  const r = e.getBoundingClientRect(); return r.left < box.left - 1 || r.right > box.right + 1;
};
return [...document.querySelectorAll(of)].filter(e => e.getClientRects().length)
  .filter(e => beyond(e, page)
    || byPictures && e.ownerSVGElement && beyond(e, e.ownerSVGElement.getBoundingClientRect()))
  .map(e => e.textContent)
"""


def pictures_shown(browser: Chrome) -> int:
    """Number of figures' pictures that are visible."""
    seen = "return [...document.querySelectorAll('figure svg')].filter(e => e.getClientRects().length).length"
    number: int = browser.execute_script(seen)
    return number
