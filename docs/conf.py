"""How Sphinx builds the site: `sphinx-build -c docs . build/site`, or `make docs`.

The source folder is the whole repository, of which `include_patterns` takes the pages: so links between pages, to
`instances/README.md` and the like, are the same on a code host and on the site.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib import import_module
from importlib.metadata import files
from io import StringIO
from pathlib import Path
from pkgutil import walk_packages
from tempfile import TemporaryDirectory

import typer.main
from sphinx.application import Sphinx

import prillm_or
from prillm_or import cli
from prillm_or.cli.app import app as commands

project = "prillm-or"
author = "The prillm-or authors"
copyright = author
release = version = prillm_or.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "instances/**.md", "models/**.md", "solvers/**.md", "benchmarks/README.md"]
exclude_patterns = [".*", "build", "dist"]

html_theme = "furo"
html_title = "prillm-or"
html_extra_path = ["site"]
html_copy_source = False
html_show_sphinx = False
html_css_files = ["site.css"]

# MathJax as one script of the site's own, whose letters are drawn: no page loads anything from elsewhere.
MATHJAX = next(file for file in files("sphinx-mathjax-offline") or () if file.name == "tex-svg.js")
html_static_path = ["static", str(Path(str(MATHJAX.locate())))]
mathjax_path = MATHJAX.name
myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_labels = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
highlight_language = "text"

myst_heading_anchors = 3

# Shapes and names that two rooms share are no references to anything in particular.
suppress_warnings = ["ref.python"]
default_role = "code"
napoleon_google_docstring = False
autodoc_default_options = {"members": True, "member-order": "bysource", "ignore-module-all": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("Array", "ArrayLike", "Indices", "Mask", "Order")}
napoleon_attr_annotations = False

COMMANDS = "<!-- commands -->"
LIVE = "<!-- live page of the tutorial's market -->"
FRAME = '<iframe class="live" src="live.html" title="A page that computes: move its price" loading="lazy"></iframe>'
MODULES = "<!-- modules of "
PUBLIC = "<!-- public "
LITERAL = "        "


def setup(app: Sphinx) -> None:
    """Fill pages that stand for something generated."""
    app.connect("source-read", fill)
    app.connect("build-finished", make_live)
    app.connect("autodoc-process-docstring", as_restructured, priority=400)  # before napoleon


def saved(page: str) -> str:
    """The first file that a page has its readers save."""
    text = (Path(__file__).parent / page).read_text(encoding="utf-8")
    found = re.search(r"Save as `[^`]+`:\s+```json\n(.*?)^```", text, re.DOTALL | re.M)
    assert found is not None
    return found[1]


def make_live(app: Sphinx, failure: Exception | None) -> None:
    """Write the page that the landing page holds."""
    if failure is None and app.builder.format == "html":
        with TemporaryDirectory() as folder:
            Path(folder, "nova.json").write_text(saved("tutorial.md"), encoding="utf-8")
            live = Path(app.outdir, "docs", "live.html").absolute()
            program = [sys.executable, "-c", "from prillm_or.cli import main; main()"]
            command = [*program, "page", "nova.json", "--out", str(live)]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put commands' help, modules with all that is below them, or public names where a comment asks for them."""
    source[0] = "".join(f"{line}\n" for read in source[0].splitlines() for line in filled(read))


def filled(line: str) -> Iterator[str]:
    """Lines that a line of a page stands for, most often itself."""
    if line == COMMANDS:
        for name in typer.main.get_group(commands).commands:
            yield from (f"## prillm-or {name}", "", "```text", help_of(name), "```", "")
    elif line == LIVE:
        yield FRAME
    elif line.startswith(MODULES):
        for module in line.removeprefix(MODULES).removesuffix(" -->").split(", "):
            for name in (module.removesuffix(".*"), *below(module)):
                yield from described(2, name, f"automodule:: {name}")
    elif line.startswith(PUBLIC):
        for name in line.removeprefix(PUBLIC).removesuffix(" -->").split(", "):
            kind = "autoclass" if isinstance(getattr(prillm_or, name), type) else "autofunction"
            yield from described(3, name, f"{kind}:: prillm_or.{name}")
    else:
        yield line


def described(level: int, name: str, directive: str) -> tuple[str, ...]:
    """A heading, and what autodoc finds below it."""
    return f"{'#' * level} {name}", "", "```{eval-rst}", f".. {directive}", "```", ""


def help_of(command: str) -> str:
    """What a command says of itself."""
    os.environ["COLUMNS"] = "100"
    with redirect_stdout(StringIO()) as said:
        cli.run([command, "--help"])
    return said.getvalue().strip()


def below(pattern: str) -> list[str]:
    """Names of all modules of the package in `PACKAGE.*`; none of a module without the star."""
    package, star, _ = pattern.partition(".*")
    path = import_module(package).__path__ if star else []
    return [found.name for found in walk_packages(path, f"{package}.")]


def as_restructured(app: Sphinx, what: str, name: str, about: object, options: object, lines: list[str]) -> None:
    """Formulas in docstrings are plain text, with bars and in columns: neither means anything to docutils."""
    if what in ("property", "attribute", "data"):
        lines[:0] = ["..", ""]  # an empty comment; else napoleon takes what stands before a colon for a type
    if what == "module":
        paragraphs = re.split(r"\n{2,}", "\n".join(lines).strip())
        lines[:] = "\n\n".join(literal(part) if in_columns(part) else part for part in paragraphs).splitlines()
    lines[:] = [line if line.startswith(LITERAL) else line.replace("|", r"\|") for line in lines]


def in_columns(paragraph: str) -> bool:
    """Whether a paragraph's spaces matter: a formula, a table, or lines indented below a first one."""
    first, *others = paragraph.splitlines()
    indented = [line.startswith(" ") for line in others]
    is_list = re.match(r"([*-]|\d+\.) ", first)
    return first.startswith(" ") or (any(indented) and not is_list) or bool(re.search(r"\S {3,}\S", paragraph))


def literal(paragraph: str) -> str:
    """A paragraph shown as it is."""
    return "::\n\n" + "\n".join(f"{LITERAL}{line}" for line in paragraph.splitlines())
