"""The page of a report: one file, in a real browser at two widths, and what its pictures show."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.browser import assert_needs_no_network, complaints, cut_off, open_page, pictures_shown, too_wide
from helpers.comparisons import plan
from helpers.markets import shipped_file
from helpers.sold import price_list
from prillm_or.comparison.comparison import Comparison, compare
from prillm_or.comparison.method import parse_method
from prillm_or.comparison.plan import Plan
from prillm_or.comparison.summary import Line
from prillm_or.curves.profit_curve import curve
from prillm_or.files.markets import read_market, write_market
from prillm_or.report.gap_folder import write_report
from prillm_or.report.gap_pictures import shown_gap
from prillm_or.solving.run import solve

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SPLIT = """
return [...document.querySelectorAll("td:not(:first-child)")].filter(e => e.getClientRects().length)
  .filter(e => /^[-\\d.,e]+\\*?$/.test(e.textContent)).filter(e => {
    const range = document.createRange(); range.selectNodeContents(e); return range.getClientRects().length > 1;
  }).map(e => e.textContent)
"""
"""Figures in tables that are broken over lines."""

SHADES = """
const colour = (query, name) => getComputedStyle(document.querySelector(query))[name];
return [colour("body", "backgroundColor"), colour("body", "color"), colour("figure svg text", "fill"),
  colour("figure svg path[style*='--ink']", "stroke")]
"""


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Markets with one price and two, methods that prove, do not prove, and fail; with the paper's figures."""
    names = ("coding-13", "economy-8", "tiny/two-prices")
    methods = ("path", "bisect", "odca", "highs:kkt-bigm")
    return compare(plan(names, methods, preset="table-1"))


@pytest.fixture(scope="module")
def page(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(comparison, folder)
    return folder / "report.html"


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_the_page_needs_no_network_and_fits(page: Path, browser: Chrome, width: int) -> None:
    open_page(browser, page, width)
    assert_needs_no_network(browser, page)
    assert complaints(browser) == []
    assert too_wide(browser) <= 0
    assert cut_off(browser, "td, th, dd, p, h2, h3, svg text") == []
    assert pictures_shown(browser) == 5  # two pictures for one price, one for two
    assert browser.execute_script(SPLIT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_follows_the_scheme_of_its_reader(page: Path, browser: Chrome, scheme: str) -> None:
    """Text and curves stand out from the page: the picture's colours are the page's."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    open_page(browser, page, 1280)
    shades = browser.execute_script(SHADES)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    paper, *marks = [sum(map(int, re.findall(r"\d+", shade)[:3])) for shade in shades]
    assert (paper > 3 * 200) == (scheme == "light")
    assert min(abs(mark - paper) for mark in marks) > 250


def test_the_page_begins_with_what_the_methods_say(page: Path) -> None:
    text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    assert '<p class="headline">The optimum is proven on 3 of 3 markets. Where several methods prove it' in text
    assert "path, bisect and highs:kkt-bigm all prove the optimum, and agree to " in text
    assert "time, %: of path; times leave out" in text.replace("Time", "time")


def test_the_page_names_no_other_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<(script|link(?! rel=\"icon\" href=\"data:)|img|iframe|object|embed)\b", text)
    assert "@import" not in text
    for attribute in re.findall(r'\b(?:href|src|srcset|action)="([^"]*)"', text):
        assert attribute.startswith(("#", "data:"))
    assert not re.search(r"url\((?!#)", text)
    identities = re.findall(r'\bid="([^"]+)"', text)
    assert len(identities) == len(set(identities))


def test_the_page_holds_curves_marks_paper_and_environment(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for said in (
        f"Profit over price: {len(curve('coding-13').pieces)} exact pieces",
        f"path, bisect, highs:kkt-bigm: {solve('coding-13').price:.4g}",
        "No profit curve",
        "paper, on its own data",
        "solver path takes one",
        "reconstructed",
        "processor",
    ):
        assert said in re.sub(r"\s+", " ", text)


def test_ids_are_text_and_never_markup(tmp_path: Path) -> None:
    odd = shipped_file("tiny/kink")
    ids = ("<b>$x$</b>", *odd.market.provider_ids[1:])
    odd = replace(odd, market=replace(odd.market, name="<i>&amp;", provider_ids=ids))
    write_report(compare(Plan((odd,), (parse_method("path"),))), tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in text
    assert "<i>" not in text
    assert "&lt;b&gt;$x$" in text


@pytest.mark.parametrize(("gap", "share", "shown"), [(1e-3, 0.5, 1e-3), (None, 0.8, 0.25), (None, 1.1, 0.0)])
def test_the_gap_drawn_is_proven_or_known_from_others(gap: float | None, share: float, shown: float) -> None:
    line = Line("odca", {}, 1.0, share, gap, 1.0, 1.0, "heuristic")
    assert shown_gap(line) == pytest.approx(shown)


def test_a_market_without_profit_has_a_page(tmp_path: Path) -> None:
    write_report(compare(plan(["tiny/nobody", "tiny/own-weights"], ["odca", "path"])), tmp_path)
    assert "nobody" in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("decides", "told"), [(("output",), "own.output=5.5"), ("factor", "own.output=3.75")])
def test_a_report_of_price_lists_tells_decisions(decides: str | tuple[str, ...], told: str, tmp_path: Path) -> None:
    path = tmp_path / "lists.json"
    write_market(price_list(decides=decides), path)
    done = compare(Plan((read_market(path),), (parse_method("path"), parse_method("bisect"))))
    write_report(done, tmp_path)
    text = re.sub(r"\s+", " ", (tmp_path / "report.html").read_text(encoding="utf-8"))
    value = "1.875" if decides == "factor" else "5.5"
    assert f"path, bisect: {value}" in text  # both at one point of the picture
    assert f"Profit over {'factor' if decides == 'factor' else 'price'}" in text
    assert told in (tmp_path / "report.csv").read_text(encoding="utf-8")
    row = done.to_dict()["rows"][0]
    assert row["billed"] == {"own": {"input": pytest.approx(1.625), "output": pytest.approx(0.8125)}}
    assert str(done).count(value) >= 2
