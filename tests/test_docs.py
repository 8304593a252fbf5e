"""The documentation runs: Python blocks in order, and the README's own market."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from prillm_or.files import read_market
from prillm_or.solve import solve

ROOT = Path(__file__).parent.parent
PAGES = [path for path in (*ROOT.glob("*.md"), *ROOT.glob("*/*.md")) if "```python" in path.read_text(encoding="utf-8")]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_blocks_of_a_page_run_in_order(page: Path) -> None:
    code = "\n".join(blocks(page, "python"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_market_of_the_readme_earns_what_the_readme_says(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "README.md", "json")
    path = tmp_path / "mine.json"
    path.write_text(example, encoding="utf-8")
    assert json.loads(example)["name"] == "mine"
    result = solve(read_market(path).market)
    assert result.today is not None
    said = re.search(r"best price of `us` is ([\d.]+), which earns ([\d.]+); today's price 3 earns ([\d.]+)", _readme())
    assert said is not None
    found = (result.prices["us"], result.profit, result.today.profit)
    assert found == pytest.approx([float(figure.rstrip(".")) for figure in said.groups()], rel=1e-4)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"), ROOT / "instances/tiny/README.md"]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def _readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")
