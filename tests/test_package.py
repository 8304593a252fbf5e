"""The package's front door: light to open, every name behind it, one version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import prillm_or
from helpers.commands import imported_by

ROOT = Path(__file__).parent.parent


def test_another_name_is_not() -> None:
    name = "nothing"
    with pytest.raises(AttributeError, match="attribute nothing"):
        getattr(prillm_or, name)


def test_no_public_name_is_hidden_by_a_module() -> None:
    modules = {path.stem for path in Path(prillm_or.__file__).parent.iterdir()}
    assert not modules & set(dir(prillm_or))


def test_importing_the_package_imports_nothing_else() -> None:
    assert imported_by("import prillm_or", "numpy", "pydantic") == []


def test_the_citation_has_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(rf"^version: {re.escape(prillm_or.__version__)}$", citation, re.MULTILINE)
