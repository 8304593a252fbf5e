"""The package's front door: light to open, every name behind it, one version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import prillm_or

ROOT = Path(__file__).parent.parent


def test_another_name_is_not() -> None:
    name = "nothing"
    with pytest.raises(AttributeError, match="attribute nothing"):
        getattr(prillm_or, name)


def test_no_public_name_is_hidden_by_a_module() -> None:
    modules = {path.stem for path in Path(prillm_or.__file__).parent.iterdir()}
    assert not modules & set(dir(prillm_or))


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, prillm_or; print([name for name in sys.argv[1:] if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code, "numpy", "pydantic"], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_citation_has_the_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(rf"^version: {re.escape(prillm_or.__version__)}$", citation, re.MULTILINE)
