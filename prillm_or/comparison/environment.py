"""Environment: what a run depended on, without names of people or machines."""

from __future__ import annotations

import platform
import re
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prillm_or import __version__
from prillm_or.solvers.registry import SOLVERS
from prillm_or.users import kernel
from prillm_or.users.threads import cores
from prillm_or.workers.engine import Engine

if TYPE_CHECKING:
    from prillm_or.comparison.plan import Plan


def environment(plan: Plan, engine: Engine) -> dict[str, Any]:
    """Limits of the run, the machine's kind, and the version of every package that may have taken part."""
    limits = plan.limits
    return {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "system": _system(),
        "processor": _processor(),
        "cores": cores(),
        "kernel": kernel.state(),
        "threads": limits.threads,
        "engine": "local" if engine.address is None else "dask",
        "jobs": engine.jobs if engine.address is None else None,
        "seed": limits.seed,
        "gap": limits.gap,
        "time_limit": limits.time_limit,
        "repeats": plan.repeats,
        "packages": _versions(),
    }


def show_versions() -> None:
    """Print what a report of a fault should hold: system, Python, and versions of all packages that may take part."""
    lines = {"python": platform.python_version(), "system": _system(), "processor": _processor(), "cores": cores()}
    for name, value in {**lines, "kernel": kernel.state(), **_versions()}.items():
        print(f"{name}: {value}")


def _versions() -> dict[str, str]:
    """Versions of what this package needs and of its solvers, where installed."""
    packages = {entry.package for entry in SOLVERS.values() if entry.package is not None}
    try:
        needed = requires("prillm-or") or []
    except PackageNotFoundError:  # run from a copy of the sources
        needed = []
    for line in needed:
        if "extra ==" not in line and (name := re.match(r"[\w.-]+", line)):
            packages.add(name[0])
    found = {"prillm-or": __version__}
    for package in sorted(packages, key=str.lower):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _system() -> str:
    name = platform.system()
    if name == "Linux":
        with suppress(OSError, KeyError):
            name = platform.freedesktop_os_release()["PRETTY_NAME"]
    elif name == "Darwin":
        name = f"macOS {platform.mac_ver()[0]}"
    return f"{name}, {platform.machine()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        field, _, value = line.partition(":")
        if field.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
