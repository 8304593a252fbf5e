"""Run benchmarks: `python -m benchmarks [NAME...] [--quick] [--json FILE]`, or render results with `--markdown`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks.report import Document, as_document, show, write_readme

_HERE = Path(__file__).parent
_NAMES = (
    *("equilibrium", "kinks", "path", "pricing", "bilevel", "growth", "tall", "spread", "updates"),
    *("models", "startup", "agreement", "identity", "local", "matrix", "several", "competition", "experiment"),
    *(
        "abstraction",
        "abstraction_time",
        "abstraction_shipped",
        "calibration",
        "calibration_recovery",
        "calibration_real",
        "coverage",
        "events",
        "versions",
    ),
)
_OF_TABLES = ("calibration_real", "events")
_IN_PARTS = ("several",)
_BESIDE_BEFORE = ("versions", "abstraction_shipped")
_SMOKE = "smoke"


def main() -> None:
    """Read the command line and do what it says."""
    parser = _parser()
    arguments = parser.parse_args()
    if arguments.markdown is not None:
        from benchmarks.page import write_page

        write_readme(arguments.markdown, _HERE / "README.md")
        write_page(arguments.markdown, _HERE.parent / "docs" / "benchmarks.md")
        return
    if strangers := [name for name in arguments.names if name not in (*_NAMES, _SMOKE)]:
        parser.error(f"no measurement {', '.join(strangers)}; there are {', '.join((*_NAMES, _SMOKE))}")
    if arguments.tables is None and set(arguments.names) & set(_OF_TABLES):
        parser.error(f"{', '.join(_OF_TABLES)}: --tables DIR names the raw tables")
    if arguments.only and not (arguments.names and set(arguments.names) <= set(_IN_PARTS)):
        parser.error(f"--only: name what has parts: {', '.join(_IN_PARTS)}")
    if _SMOKE in arguments.names and arguments.json is not None:
        parser.error(f"{_SMOKE}: no results are kept; --references writes what they are compared with")
    _one_thread()
    if arguments.references:
        from benchmarks.smoke import write_references

        write_references()
        return
    names = arguments.names or [name for name in _NAMES if arguments.tables is not None or name not in _OF_TABLES]
    met = _measure(names, arguments)
    sys.exit(0 if met else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure prillm_or against its peers.")
    names = f"what to measure: {', '.join(_NAMES)} (default: all), or {_SMOKE}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--tables", type=Path, metavar="DIR", help=f"raw tables, for {', '.join(_OF_TABLES)}")
    parts = f"parts of {', '.join(_IN_PARTS)} alone: a regular expression for names as 'compared 8x13, 2, heavy'"
    parser.add_argument("--only", default="", metavar="PATTERN", help=parts)
    before = f"Python with version 0.1.0 installed, for {', '.join(_BESIDE_BEFORE)}"
    parser.add_argument("--before", type=Path, metavar="PYTHON", help=before)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller markets: a trial of the benchmarks")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there; other measurements in it stay")
    parser.add_argument("--references", action="store_true", help=f"measure and write the references of {_SMOKE}")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=_HERE / "results.json",
        help="measure nothing: render FILE (default: results.json beside this file) into README.md and docs/",
    )
    return parser


def _one_thread() -> None:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"  # read when numpy is first imported, by the measurements


def _measure(names: Sequence[str], asked: argparse.Namespace) -> bool:
    """Measure, show and store; False when the smoke test misses its target."""
    from benchmarks.environment import environment

    console, met, quick, file = Console(), True, asked.quick, asked.json
    console.print(environment(), highlight=False)
    for name in names:
        measurement = import_module(f"benchmarks.{name}")
        console.rule(name)
        began = time.perf_counter()
        tables: list[Document] = []
        options = {"tables": _OF_TABLES, "only": _IN_PARTS, "before": _BESIDE_BEFORE}
        more = {option: getattr(asked, option) for option, takers in options.items() if name in takers}
        for table in measurement.measure(quick, **more):
            tables.append(as_document(table))
            show(tables[-1], console)
            if file is not None:  # after each table, so that an interrupt loses little
                about = str(measurement.__doc__).splitlines()[0]
                _store(file, name, {"about": about, "environment": environment(), "quick": quick, "tables": tables})
        if name == _SMOKE:
            met = all(row["met"] for row in tables[-1]["rows"])
        console.print(f"{name}: {time.perf_counter() - began:.0f} s", highlight=False)
    return met


def _store(file: Path, name: str, result: Document) -> None:
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    stored[name] = result
    ordered = {known: stored[known] for known in _NAMES if known in stored}
    file.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
