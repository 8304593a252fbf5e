"""The site: built with warnings as errors, whole, linked, loading nothing; and the notebooks run."""

from __future__ import annotations

import doctest
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from pkgutil import walk_packages
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
import typer.main
from selenium.webdriver.support.ui import WebDriverWait

import prillm_or
from prillm_or.cli.app import app

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(ROOT.glob("docs/*.ipynb"))
REQUEST = "Network.requestWillBeSent"
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""
LOADS = {"script": "src", "img": "src", "source": "src", "iframe": "src", "object": "data", "use": "href"}
"""Attributes by which an element loads something at once; links to click on are none."""


class Page(HTMLParser):
    """What a page links to, loads, and can be linked at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "shortcut icon", "preload", "preconnect"):
            self.loaded.append(given["href"])
        if LOADS.get(tag) in given:
            self.loaded.append(given[LOADS[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; made at most once a run."""
    place = tmp_path_factory.mktemp("site")
    folders = ["-c", "docs", "-d", f"{place}/doctrees", ".", f"{place}/html"]
    command = [sys.executable, "-m", "sphinx", "-W", "-q", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return place / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page of the site, read."""
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_page_of_the_documentation_is_there(site: Path) -> None:
    sources = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "instances/README.md"]
    assert [page for page in sources if not (site / page.relative_to(ROOT)).with_suffix(".html").exists()] == []
    assert 'url=docs/index.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = [(path.name, what) for path, page in pages.items() for what in page.loaded]
    assert loaded
    assert [(name, what) for name, what in loaded if urlsplit(what).netloc] == []
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    fetched = [what for sheet in sheets for what in re.findall(r"(?:@import|url\()\s*[\"']?([^\"')]+)", sheet)]
    assert [what for what in fetched if urlsplit(what).netloc] == []


@pytest.mark.parametrize("name", ["docs/index.html", "docs/tutorial.html", "search.html"])
def test_a_browser_asks_for_nothing_but_files(site: Path, browser: Chrome, name: str) -> None:
    page = site / name
    browser.get("about:blank")  # the browser's own first page asks for parts of itself
    logged(browser)
    browser.get(page.as_uri())
    asked = [entry["params"]["request"]["url"] for entry in logged(browser) if entry["method"] == REQUEST]
    assert page.as_uri() in asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "chrome:"))] == []


def test_the_landing_page_holds_a_page_that_computes(site: Path, browser: Chrome) -> None:
    browser.get((site / "docs/index.html").as_uri())
    browser.switch_to.frame(browser.find_element("css selector", "iframe.live"))
    profit = "return (document.querySelector('.profit') || {}).value"
    WebDriverWait(browser, 60).until(lambda shown: shown.execute_script(profit))
    best = float(browser.execute_script(profit))
    browser.execute_script("document.querySelector('.jumps button:nth-child(2)').click()")
    assert 0 < float(browser.execute_script(profit)) < best
    browser.switch_to.default_content()


def test_formulas_are_typeset_without_the_network(site: Path, browser: Chrome) -> None:
    """All of them, by the site's own script, none with an error in it."""
    wanted = (site / "docs/mathematics.html").read_text(encoding="utf-8").count('class="math ')
    assert wanted > 500
    browser.get((site / "docs/mathematics.html").as_uri())
    drawn = "return document.querySelectorAll('mjx-container svg').length"
    WebDriverWait(browser, 60).until(lambda shown: shown.execute_script(drawn) >= wanted)
    assert browser.execute_script("return document.querySelectorAll('[data-mml-node=merror]').length") == 0
    assert browser.execute_script("return document.querySelectorAll('article p').length") > 100
    left = (
        "return [...document.querySelectorAll('article p, article li')].filter(e => /\\$[^ ]/.test(e.innerText)).length"
    )
    assert browser.execute_script(left) == 0


def logged(browser: Chrome) -> list[dict[str, Any]]:
    """What the browser has done on the network since it was last asked."""
    entries: list[dict[str, Any]] = browser.get_log("performance")  # type: ignore[no-untyped-call]
    return [json.loads(entry["message"])["message"] for entry in entries]


def test_links_within_the_site_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    links = [(path, link) for path, page in pages.items() for link in (*page.links, *page.loaded)]
    inside = [(path, urlsplit(link)) for path, link in links if not urlsplit(link).scheme]
    assert len(inside) > len(pages)
    broken = []
    for path, link in inside:
        target = (path.parent / unquote(link.path)).resolve() if link.path else path
        lost = link.fragment and target in pages and unquote(link.fragment) not in pages[target].anchors
        if lost or not target.exists():
            broken.append((str(path.relative_to(site)), link.geturl()))
    assert broken == []


def test_every_module_and_every_public_name_is_in_the_reference(pages: dict[Path, Page]) -> None:
    described = set().union(*(page.anchors for path, page in pages.items() if path.parent.name == "reference"))
    modules = {name.removeprefix("module-") for name in described if name.startswith("module-")}
    all_modules = {found.name for found in walk_packages(prillm_or.__path__, "prillm_or.")}
    assert {name for name in all_modules - modules if not name.startswith("prillm_or.cli")} == set()
    assert {f"prillm_or.{name}" for name in dir(prillm_or)} - described == set()
    assert {"prillm_or.market.market.Market", "prillm_or.solving.run.solve"} <= described
    assert "prillm_or.solving.pricer.Pricer.update" in described


def test_every_command_is_in_the_reference_with_its_own_help(site: Path) -> None:
    page = (site / "docs/reference/commands.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    names = list(typer.main.get_group(app).commands)
    assert [name for name in names if f"Usage: prillm-or {name} " not in text] == []


def test_modules_that_the_pages_use_are_in_the_reference(pages: dict[Path, Page]) -> None:
    modules = {name for page in pages.values() for name in page.anchors if name.startswith("module-")}
    used = {
        name
        for page in ROOT.glob("docs/**/*.md")
        for name in re.findall(r"^from (prillm_or[\w.]*) import", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(used) > 5
    assert {name for name in used if f"module-{name}" not in modules} == set()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_its_page(notebook: Path, tmp_path: Path) -> None:
    made = tmp_path / notebook.name
    subprocess.run([sys.executable, "docs/notebook.py", str(made)], cwd=ROOT, check=True)
    assert made.read_bytes() == notebook.read_bytes(), f"make it anew: python docs/notebook.py docs/{notebook.name}"


def run_notebook(name: str, folder: Path) -> Path:
    """A copy of a notebook, run: every cell printed what its page shows."""
    original, copy = ROOT / "docs" / name, folder / name
    copy.write_bytes(original.read_bytes())
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-c", EXECUTE, copy.name]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown, printed = outputs(original), outputs(copy)
    assert shown.keys() == printed.keys()
    same = doctest.OutputChecker().check_output
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    wrong = {cell: text for cell, text in printed.items() if not same(shown[cell].strip(), text.strip(), flags)}
    assert {cell: (shown[cell], text) for cell, text in wrong.items()} == {}
    return copy


def test_the_notebook_prints_what_the_tutorial_shows(tmp_path: Path) -> None:
    copy = run_notebook("tutorial.ipynb", tmp_path)
    assert len([text for text in outputs(copy).values() if text]) > 10
    assert (tmp_path / "nova.html").stat().st_size > 10_000
    for name in ("curve.svg", "why.svg"):
        drawn, shown = (words(path) for path in (tmp_path / name, ROOT / "docs" / "pictures" / f"tutorial-{name}"))
        assert drawn == shown, "draw it anew: python docs/shoot.py"
        assert len(drawn) > 10


def words(picture: Path) -> list[str]:
    """All that is written in a picture."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))


def test_a_newcomer_goes_from_frames_to_a_picture_in_12_lines(tmp_path: Path) -> None:
    run = [cell for cell in cells(run_notebook("newcomer.ipynb", tmp_path)) if cell["cell_type"] == "code"]
    assert len([line for cell in run for line in "".join(cell["source"]).splitlines() if line]) == 12
    assert "image/png" in run[-1]["outputs"][-1]["data"]


def cells(notebook: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return found


def outputs(notebook: Path) -> dict[str, str]:
    """What each cell that runs prints, less the colours that a kernel asks commands for."""
    return {
        cell["id"]: re.sub(
            r"\x1b\[[\d;]*m", "", "".join(line for part in cell["outputs"] for line in part.get("text", ()))
        )
        for cell in cells(notebook)
        if cell["cell_type"] == "code"
    }
