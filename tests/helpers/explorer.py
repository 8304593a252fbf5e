"""The page on which the leader's price moves, open in a browser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.browser import open_page
from prillm_or.explanation.explanation import Explanation
from prillm_or.market.market import Market
from prillm_or.report.explorer import Explored, explore, explorer_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


def explored(market: Market) -> Explored:
    """A market with its best price and why it is best."""
    return explore(market)


def why(one: Explored) -> Explanation:
    """The explanation of a market with one price."""
    assert isinstance(one.explanation, Explanation)
    return one.explanation


def page_of(markets: Sequence[Explored], folder: Path) -> Path:
    """The page of these markets as a file."""
    path = folder / "page.html"
    path.write_bytes(explorer_page(markets).encode())
    return path


def opened(browser: Chrome, page: Path, width: int = 1200) -> Part:
    """Open a page at a width; its first part."""
    open_page(browser, page, width)
    part = Part(browser, 0)
    part.wait()
    return part


class Part:
    """One market's part of an open page."""

    def __init__(self, browser: Chrome, place: int) -> None:
        self.browser = browser
        self.place = place

    def script(self, body: str, *arguments: object) -> Any:
        """Run a script in which `find` and `all` look in this part."""
        start = f"""const article = document.querySelectorAll("article")[{self.place}];
        const find = (query) => article.querySelector(query), all = (query) => [...article.querySelectorAll(query)];"""
        return self.browser.execute_script(start + body, *arguments)

    def wait(self) -> None:
        """Until the pictures are drawn, which they are as soon as the page has been laid out."""
        self.browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done))"
        )
        assert self.script("return all('.drawn svg').length === all('.drawn').length")

    def switch(self, place: int) -> Part:
        self.browser.execute_script(
            "const choose = document.getElementById('choose'); choose.value = arguments[0];"
            "choose.dispatchEvent(new Event('change'))",
            str(place),
        )
        part = Part(self.browser, place)
        part.wait()
        return part

    def move(self, price: float) -> None:
        """Type a price, which is not rounded as that of a dragged slider is."""
        self.script(
            "const field = find('.price'); field.value = arguments[0]; field.dispatchEvent(new Event('change'))",
            repr(price),
        )

    def value(self, name: str) -> float:
        return float(self.script("return find(arguments[0]).value", name))

    def flows(self, market: Market) -> dict[tuple[str, str], float]:
        """What the bands show: the height of each, and between whom its title says it runs."""
        bands = self.script("return all('.band').map((band) => [band.textContent, band.getAttribute('d')])")
        found = {}
        for title, path in bands:
            user, provider = title.rsplit(":", 1)[0].split(" to ")
            tall = re.search(r"v([-0-9.e]+)C", path)
            found[user, provider] = float(tall.group(1)) / 300 * market.demand.sum() if tall else 0.0
        return found

    def table(self, name: str) -> dict[str, list[str]]:
        rows = self.script(
            f"return all('table.{name} tbody tr').map((row) => [...row.children].map((cell) => cell.textContent))"
        )
        return {row[0]: row[1:] for row in rows}

    def press(self, query: str, *keys: str) -> None:
        element = self.script("return find(arguments[0])", query)
        for key in keys:
            element.send_keys(key)
