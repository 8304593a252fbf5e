"""The documentation runs: what a page saves, runs and prints, block after block in a folder of its own.

Blocks named by "Save as `FILE`" are written there; python runs in one namespace a page; each command of a console block
(`$ command`, then its output) and each sh block runs in a shell. What is printed has to be what the page shows, spaces
and `...` aside. Figures in the text of the site's own pages are those that their blocks show.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin
from unittest import mock

import pytest
from pydantic import BaseModel

import prillm_or as po
from helpers.pages import ROOT, Block, blocks, commands
from prillm_or.market.schema import MarketFields
from prillm_or.solvers.registry import SOLVERS

SITE = sorted(ROOT.glob("docs/**/*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *SITE, *sorted(ROOT.glob("*/README.md")), ROOT / "instances/tiny/README.md"]
AS_NOTEBOOK = {ROOT / "docs/tutorial.md", ROOT / "docs/newcomer.md"}
"""Run, and what they print compared, in tests/test_site.py: once is enough."""
RUN = {"python", "console", "sh"}
NOT_RUN = {
    ("README.md", "make demo"): "run by tests/test_readme.py",
    ("CONTRIBUTING.md", "make test"): "the tests would run themselves",
    ("CONTRIBUTING.md", "make docs"): "the site is built by tests/test_site.py",
}
SHOWN = {"text", "json", "toml", "csv"}
BUILDS_THE_SITE = {"{toctree}"}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def reason(page: Path, block: Block) -> str | None:
    """Why a block is not run; None of one that is."""
    starts = {start: why for (name, start), why in NOT_RUN.items() if name == page.name}
    return next((why for start, why in starts.items() if block.body.startswith(start)), None)


def says(wanted: str, printed: str) -> None:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.DONT_ACCEPT_BLANKLINE
    if not doctest.OutputChecker().check_output(wanted.strip(), printed.strip(), flags):
        pytest.fail(f"the page says:\n{wanted}\nbut this was printed:\n{printed}")


def shell(command: str, folder: Path) -> str:
    """Output of a command that has to end well, both streams."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{command}\nended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def run_page(page: Path, folder: Path, *, all_shown: bool) -> None:
    found = blocks(page)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block, after in zip(found, [*found[1:], None], strict=True):
        if block.file is not None:
            saved = folder / block.file
            saved.parent.mkdir(parents=True, exist_ok=True)
            saved.write_text(block.body, encoding="utf-8")
        elif block.language == "python":
            code = compile("\n" * (block.line + 1) + block.body, str(page), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, namespace)
            shows = after is not None and after.language == "text" and after.above.endswith("```")
            if shows or (all_shown and printed.getvalue()):
                assert after is not None
                says(after.body if shows else "", printed.getvalue())
        elif block.language == "console":
            assert block.body.startswith("$ ")
            for command, output in commands(block.body):
                says(output, shell(command, folder))
        elif block.language == "sh" and not reason(page, block):
            shell(block.body, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page not in AS_NOTEBOOK and any(block.language in RUN for block in blocks(page))],
    ids=named,
)
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with mock.patch.dict(SOLVERS):
        run_page(page, tmp_path, all_shown=page in SITE)


@pytest.mark.parametrize("page", [*SITE, ROOT / "CONTRIBUTING.md"], ids=named)
def test_every_block_is_run_or_of_a_language_that_is_only_shown(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= RUN | SHOWN | BUILDS_THE_SITE
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("page", [page for page in SITE if blocks(page)], ids=named)
def test_figures_in_the_text_are_those_of_the_blocks(page: Path) -> None:
    text = re.sub(r"^```\S*\n.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)
    shown = "".join(block.body for block in blocks(page))
    assert [figure for figure in re.findall(r"\d+\.\d+", text) if figure not in shown] == []


def test_exceptions_are_blocks_there_are() -> None:
    assert sum(reason(page, block) is not None for page in PAGES for block in blocks(page)) == len(NOT_RUN)


def test_what_is_printed_is_compared(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for language, body in (("python", "print(1)\n```\n\n```text\n2"), ("console", "$ echo 1\n2"), ("sh", "false")):
        page.write_text(f"```{language}\n{body}\n```\n", encoding="utf-8")
        with pytest.raises(pytest.fail.Exception):
            run_page(page, tmp_path, all_shown=True)


def test_the_market_of_the_readme_earns_what_the_readme_says(tmp_path: Path) -> None:
    (example,) = [block.body for block in blocks(ROOT / "README.md") if block.file == "mine.json"]
    path = tmp_path / "mine.json"
    path.write_text(example, encoding="utf-8")
    assert json.loads(example)["name"] == "mine"
    result = po.solve(path)
    assert result.today is not None
    first = " ".join(str(result).split()).split(" No price")[0]
    assert first.startswith("mine Raise the price of us from 3 to 4.525 (")
    assert first in " ".join(_readme().split())


def test_the_readme_is_short() -> None:
    assert len(_readme().splitlines()) <= 120


def test_the_table_of_extras_is_that_of_the_package() -> None:
    """But for what developers need, which `make` installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    said = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert said == set(project["optional-dependencies"]) - {"test", "bench", "docs"}


def test_the_table_of_the_market_file_is_the_schema() -> None:
    """Every field with its default, and whether it has to be there; no other."""
    page = (ROOT / "docs/reference/market-file.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| .* \|(.*)\|$", page, re.MULTILINE)
    said = {field: default.strip() for field, default in rows}
    assert len(said) == len(rows)
    wanted = dict(market_fields(MarketFields, ""))
    assert said.keys() == wanted.keys()
    for field, default in wanted.items():
        if default is None:
            assert re.fullmatch("|none|the market's|needed .+", said[field]), field
        else:
            assert said[field].strip("`") in (default, "the market's"), field


def market_fields(part: type[BaseModel], above: str) -> Iterator[tuple[str, str | None]]:
    """Fields of the file that hold a figure, a text or a list, with their defaults; None where there is none."""
    for name, field in part.model_fields.items():
        place, inner = f"{above}{name}", [field.annotation, *get_args(field.annotation)]
        parts = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
        listed = get_origin(field.annotation) is list
        if listed or not parts or len(inner) > 1:
            default = None if field.is_required() or field.default_factory else f"{field.default}".lower()
            if isinstance(field.default, float):
                default = f"{field.default:g}"
            elif isinstance(field.default, str):
                default = f'"{field.default}"'
            yield place, default
        for inside in parts:
            yield from market_fields(inside, f"{place}[]." if listed else f"{place}.")


def test_contributing_lists_the_layers_that_lint_checks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    said = re.findall(r"^\d+\. (`\w+`(?:, `\w+`)*)$", text, re.MULTILINE)
    assert [set(re.findall(r"\w+", line)) for line in said] == [set(re.findall(r"\w+", line)) for line in layers[::-1]]


def test_links_between_pages_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def _readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")
