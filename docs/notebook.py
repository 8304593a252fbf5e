"""Pages as notebooks: `python docs/notebook.py docs/tutorial.ipynb` makes that of `docs/tutorial.md`.

Text becomes text; a block to save becomes a cell that writes the file; commands become cells of the shell. Outputs are
those that the page shows, with `...` where it has them; `tests/test_site.py` runs the notebook and compares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

PAGES = Path(__file__).parent
FENCE = re.compile(r"^```(\w+)\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
SAVED = re.compile(r"Save\s+as\s+`([^`]+)`:\s*\Z")
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*\n)", re.MULTILINE)
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def cells(page: str) -> list[nbformat.NotebookNode]:
    """Cells of a page, in order, numbered so that the same page gives the same notebook."""
    made, end = [], 0
    for fence in FENCE.finditer(page):
        text = page[end : fence.start()].strip()
        language, body = fence.groups()
        if text:
            made.append(new_markdown_cell(text))
        if saved := SAVED.search(text):
            made.append(code(f"%%writefile {saved[1]}\n{body}", f"Writing {saved[1]}\n"))
        elif language == "python":
            made.append(code(body))
        elif language == "console":
            made.append(code("%%sh\n" + "".join(COMMAND.findall(body)), COMMAND.sub("", body)))
        elif language == "text":
            made[-1] = code(made[-1].source, body)
        end = fence.end()
    made.append(new_markdown_cell(page[end:].strip()))
    for number, cell in enumerate(made):
        cell.id = f"cell-{number}"
    return made


def code(source: str, shown: str = "") -> nbformat.NotebookNode:
    """A cell that runs, with what it prints."""
    return new_code_cell(source.rstrip(), outputs=[new_output("stream", text=shown)] if shown else [])


def main(outs: Sequence[str]) -> None:
    """Write the notebooks, each of the page of its name."""
    for out in outs:
        page = (PAGES / Path(out).name).with_suffix(".md").read_text(encoding="utf-8")
        nbformat.write(new_notebook(cells=cells(page), metadata=KERNEL), out)


if __name__ == "__main__":
    main(sys.argv[1:])
