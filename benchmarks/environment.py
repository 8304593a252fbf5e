"""What a run depends on: the machine, and the versions of what took part."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version

_SOLVERS = ("highspy", "gurobipy", "pyscipopt", "ipyopt")
_PEERS = ("piqp", "daqp", "clarabel", "osqp", "ppopt")
_PACKAGES = ("prillm-or", "numpy", "scipy", "pyomo", *_SOLVERS, *_PEERS)


def environment() -> str:
    """One line: date, machine, threads, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = f"{platform.system()} {platform.machine()}, {cores} cores, {os.environ['OMP_NUM_THREADS']} thread"
    versions = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in _PACKAGES)]
    return f"{date.today().isoformat()}; {machine}; {', '.join(versions)}."


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
